// SPDX-License-Identifier: Apache-2.0
//
// Bundles that somebody made by hand: every hash is right and every byte canonical, but a name
// means a path, or a number says more than there is (M1 and M3).
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "bundle/bundle_priv.h"
#include "test.h"

#include <string.h>

enum { PATH_SIZE = 512, DATA_SIZE = 64, MANIFEST_AT = BUNDLE_HEADER_SIZE + DATA_SIZE };

static const char data[DATA_SIZE] = "a section's bytes, and zeros up to the manifest";

static tapeout_status open_forged(tp_str manifest, uint64_t manifest_at)
{
    const tp_env env = tp_env_plain();
    char path[PATH_SIZE];
    uint8_t header[BUNDLE_HEADER_SIZE];
    tp_bundle *bundle = NULL;
    (void)snprintf(path, sizeof(path), "%s/forged.tapeout", test_temp_dir());
    tp_bundle_header_write(manifest, manifest_at, header);
    FILE *file = fopen(path, "wb");
    ASSERT(file != NULL && fwrite(header, 1, sizeof(header), file) == sizeof(header));
    ASSERT_EQ_UINT(fwrite(data, 1, DATA_SIZE, file), DATA_SIZE);
    ASSERT_EQ_UINT(fwrite(manifest.data, 1, manifest.size, file), manifest.size);
    ASSERT_EQ_INT(fclose(file), 0);
    const tapeout_status status = tp_bundle_open(&env, path, &bundle, &test_err);
    ASSERT((status == TAPEOUT_OK) == (bundle != NULL));
    tp_bundle_close(&bundle);
    return status;
}

// One section over all of `data`, and whatever else the case changes in it.
static bundle_layout plain_layout(bundle_entry *entry)
{
    static tp_sha256 hash;
    hash = tp_sha256_of(data, DATA_SIZE);
    *entry = (bundle_entry){.name = TP_STR("one"),
                            .offset = BUNDLE_HEADER_SIZE,
                            .size = DATA_SIZE,
                            .align = BUNDLE_MIN_ALIGN,
                            .chunk_count = 1,
                            .chunks = &hash};
    return (bundle_layout){TP_STR("tabular"), TP_STR("m"), entry, 1, MANIFEST_AT};
}

static tapeout_status open_layout(const bundle_layout *layout)
{
    tp_buffer manifest;
    tp_buffer_init(&manifest, tp_allocator_default(), TP_MAX_BUNDLE_MANIFEST_BYTES);
    tp_bundle_manifest_write(layout, &manifest);
    ASSERT_EQ_INT(manifest.status, TAPEOUT_OK);
    const tapeout_status status = open_forged(tp_buffer_view(&manifest), layout->manifest_offset);
    tp_buffer_deinit(&manifest);
    return status;
}

static void test_names_that_are_paths(void)
{
    static const char *const paths[] = {"../x", "/etc/x", "..\\x", "C:x", "x/..", "a/b", "X", ""};
    bundle_entry entry;
    bundle_layout layout = plain_layout(&entry);
    ASSERT_OK(open_layout(&layout)); // the forging itself is sound
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        layout = plain_layout(&entry);
        entry.name = tp_str_from(paths[i]);
        ASSERT_FAILS(open_layout(&layout), TAPEOUT_E_CORRUPT, "sections do not follow one another");
        layout = plain_layout(&entry);
        layout.kind = tp_str_from(paths[i]);
        ASSERT_FAILS(open_layout(&layout), TAPEOUT_E_CORRUPT, "kind or name has characters");
        layout = plain_layout(&entry);
        layout.name = i == 6 ? TP_STR("X y") : tp_str_from(paths[i]);
        ASSERT_FAILS(open_layout(&layout), TAPEOUT_E_CORRUPT, "kind or name has characters");
    }
}

static void test_more_than_there_is(void)
{
    static bundle_entry many[TP_MAX_BUNDLE_SECTIONS + 1];
    bundle_entry entry;
    bundle_layout layout = plain_layout(&entry);
    entry.size = DATA_SIZE + 1;
    ASSERT_FAILS(open_layout(&layout), TAPEOUT_E_CORRUPT, "sections do not follow one another");
    entry.size = UINT64_MAX;
    ASSERT_FAILS(open_layout(&layout), TAPEOUT_E_CORRUPT, "sections do not follow one another");
    layout = plain_layout(&entry);
    entry.offset = UINT64_MAX - 63;
    ASSERT_FAILS(open_layout(&layout), TAPEOUT_E_CORRUPT, "sections do not follow one another");
    layout = plain_layout(&entry);
    entry.chunk_count = 0;
    ASSERT_FAILS(open_layout(&layout), TAPEOUT_E_CORRUPT, "wrong number of hashes");
    layout = plain_layout(&entry);
    entry.align = 96;
    ASSERT_FAILS(open_layout(&layout), TAPEOUT_E_CORRUPT, "sections do not follow one another");
    layout = plain_layout(&entry);
    for (size_t i = 0; i <= TP_MAX_BUNDLE_SECTIONS; i++) {
        many[i] = entry;
    }
    layout.entries = many;
    layout.entry_count = 2;
    ASSERT_FAILS(open_layout(&layout), TAPEOUT_E_CORRUPT, "two sections have one name");
    layout.entry_count = TP_MAX_BUNDLE_SECTIONS + 1;
    ASSERT_FAILS(open_layout(&layout), TAPEOUT_E_CORRUPT, "no sections, or too many");
}

static void test_manifests_of_another_form(void)
{
    static char deep[20000];
    memset(deep, '[', sizeof(deep) / 2);
    memset(deep + sizeof(deep) / 2, ']', sizeof(deep) / 2);
    const tp_str manifests[] = {TP_STR(""),
                                TP_STR("{}"),
                                TP_STR("[]"),
                                TP_STR("{\"sections\":7}"),
                                TP_STR("{\"sections\":[7]}"),
                                TP_STR("{\"sections\":[{\"chunks\":[\"7\"]}]}"),
                                TP_STR("{\"sections\":[")};
    for (size_t i = 0; i < sizeof(manifests) / sizeof(manifests[0]); i++) {
        ASSERT_FAILS(open_forged(manifests[i], MANIFEST_AT), TAPEOUT_E_CORRUPT, "bundle");
    }
    ASSERT_FAILS(open_forged((tp_str){deep, sizeof(deep)}, MANIFEST_AT), TAPEOUT_E_LIMIT,
                 "nested deeper");
    ASSERT(open_forged(TP_STR("{}"), UINT64_MAX) != TAPEOUT_OK);
}

TEST_MAIN(TEST(test_names_that_are_paths), TEST(test_more_than_there_is),
          TEST(test_manifests_of_another_form))
