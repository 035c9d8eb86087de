// SPDX-License-Identifier: Apache-2.0
//
// The bundle file: what is written is read back, the same content gives the same file, and no bit
// of it can change unnoticed.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "base/tp_random.h"
#include "bundle/tp_bundle.h"
#include "test.h"

#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 512, BIG_SIZE = (5 << 20) / 2 };

static char big_data[BIG_SIZE];

static const char *path_in_temp(const char *name)
{
    static char paths[4][PATH_SIZE];
    static int next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, PATH_SIZE, "%s/%s", test_temp_dir(), name);
    return path;
}

static void fill_big(void)
{
    for (size_t i = 0; i < BIG_SIZE; i++) {
        big_data[i] = (char)tp_random_u64(7, 0, i);
    }
}

static tp_sha256 write_sample(const char *path)
{
    const tp_env env = tp_env_plain();
    const tp_bundle_section sections[] = {
        {TP_STR("schema.json"), TP_STR("{}"), 64},
        {TP_STR("empty"), TP_STR(""), 64},
        {TP_STR("weights"), {big_data, BIG_SIZE}, 4096},
        {TP_STR("tail"), TP_STR("end"), 128},
    };
    const tp_bundle_content content = {TP_STR("tabular"), TP_STR("Flights-1.0"), sections, 4};
    tp_sha256 hash;
    ASSERT_OK(tp_bundle_write(&env, path, &content, &hash, &test_err));
    return hash;
}

static void test_reads_back_what_was_written(void)
{
    const tp_env env = tp_env_plain();
    const char *path = path_in_temp("a.tapeout");
    fill_big();
    const tp_sha256 hash = write_sample(path);
    tp_bundle *bundle = NULL;
    tp_sha256 file_hash;
    ASSERT_OK(tp_bundle_open(&env, path, &bundle, &test_err));
    ASSERT_OK(tp_sha256_file(path, &file_hash, &test_err));
    const tp_sha256 open_hash = tp_bundle_hash(bundle);
    ASSERT_EQ_BYTES(&hash, sizeof(hash), &file_hash, sizeof(file_hash));
    ASSERT_EQ_BYTES(&hash, sizeof(hash), &open_hash, sizeof(open_hash));
    ASSERT(tp_str_equal(tp_bundle_kind(bundle), TP_STR("tabular")));
    ASSERT(tp_str_equal(tp_bundle_name(bundle), TP_STR("Flights-1.0")));
    const tp_str weights = tp_bundle_section_find(bundle, TP_STR("weights"));
    ASSERT_EQ_BYTES(weights.data, weights.size, big_data, BIG_SIZE);
    ASSERT_EQ_UINT((uintptr_t)weights.data % 4096, 0);
    const tp_str empty = tp_bundle_section_find(bundle, TP_STR("empty"));
    ASSERT(empty.data != NULL && empty.size == 0);
    ASSERT(tp_bundle_section_find(bundle, TP_STR("none")).data == NULL);
    ASSERT(tp_bundle_probe(path));
    tp_bundle_close(&bundle);
    ASSERT(bundle == NULL);
    ASSERT_OK(tp_file_remove(path, &test_err));
}

static void test_same_content_is_the_same_file(void)
{
    fill_big();
    const char *first = path_in_temp("a.tapeout");
    const char *second = path_in_temp("b.tapeout");
    const tp_sha256 one = write_sample(first);
    const tp_sha256 two = write_sample(second);
    ASSERT_EQ_BYTES(&one, sizeof(one), &two, sizeof(two));
    ASSERT_OK(tp_file_remove(first, &test_err));
    ASSERT_OK(tp_file_remove(second, &test_err));
}

// Writes `big_data` in pieces of uneven sizes, and `*user` bytes less than were announced.
static tapeout_status fill_section(void *user, size_t index, tp_bundle_stream *stream,
                                   tapeout_error *err)
{
    const size_t size = BIG_SIZE - *(const size_t *)user;
    ASSERT_EQ_UINT(index, 2);
    for (size_t at = 0, piece = 1; at < size; at += piece, piece = piece * 3 + 1) {
        piece = piece < size - at ? piece : size - at;
        const tapeout_status status = tp_bundle_stream_write(stream, big_data + at, piece, err);
        if (status != TAPEOUT_OK) {
            return status;
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status write_filled(const char *path, size_t announced, size_t missing,
                                   tp_sha256 *ret_hash)
{
    const tp_env env = tp_env_plain();
    const tp_bundle_section sections[] = {
        {TP_STR("schema.json"), TP_STR("{}"), 64},
        {TP_STR("empty"), TP_STR(""), 64},
        {TP_STR("weights"), {NULL, announced}, 4096},
        {TP_STR("tail"), TP_STR("end"), 128},
    };
    const tp_bundle_content content = {TP_STR("tabular"), TP_STR("Flights-1.0"), sections, 4};
    return tp_bundle_write_filled(&env, path, &content, fill_section, &missing, ret_hash,
                                  &test_err);
}

static void test_a_section_made_while_written_is_the_same_file(void)
{
    fill_big();
    tp_sha256 streamed;
    const char *first = path_in_temp("a.tapeout");
    const char *second = path_in_temp("b.tapeout");
    const tp_sha256 whole = write_sample(first);
    ASSERT_OK(write_filled(second, BIG_SIZE, 0, &streamed));
    ASSERT_EQ_BYTES(&whole, sizeof(whole), &streamed, sizeof(streamed));
    ASSERT_OK(tp_file_remove(first, &test_err));
    ASSERT_OK(tp_file_remove(second, &test_err));
    ASSERT_FAILS(write_filled(second, BIG_SIZE, 1, &streamed), TAPEOUT_E_INTERNAL,
                 "\"weights\" was announced with 2621440 bytes and got 2621439");
    ASSERT_FAILS(write_filled(second, BIG_SIZE - 1, 0, &streamed), TAPEOUT_E_INTERNAL, "gets more");
    ASSERT(!tp_path_exists(second));
}

// Writes `data` as a file of its own and returns how opening it goes.
static tapeout_status open_bytes(const char *path, const char *data, size_t size)
{
    const tp_env env = tp_env_plain();
    tp_bundle *bundle = NULL;
    FILE *file = fopen(path, "wb"); // thousands of files need no sync
    ASSERT(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0);
    const tapeout_status status = tp_bundle_open(&env, path, &bundle, &test_err);
    ASSERT(status == TAPEOUT_OK || bundle == NULL);
    tp_bundle_close(&bundle);
    return status;
}

static void small_sample(tp_str *ret_bytes, const char *path)
{
    const tp_env env = tp_env_plain();
    const tp_bundle_section sections[] = {{TP_STR("one"), TP_STR("first section"), 64},
                                          {TP_STR("two"), TP_STR("2"), 256}};
    const tp_bundle_content content = {TP_STR("tabular"), TP_STR("m"), sections, 2};
    tp_sha256 hash;
    ASSERT_OK(tp_bundle_write(&env, path, &content, &hash, &test_err));
    ASSERT_OK(tp_file_read(env.alloc, path, 1 << 20, ret_bytes, &test_err));
}

static void test_every_flipped_bit_is_refused(void)
{
    const char *path = path_in_temp("flip.tapeout");
    tp_str bytes;
    small_sample(&bytes, path);
    char *copy = (char *)(uintptr_t)bytes.data;
    ASSERT_EQ_INT(open_bytes(path, copy, bytes.size), TAPEOUT_OK);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << (bit % 8)));
        if (open_bytes(path, copy, bytes.size) == TAPEOUT_OK) {
            test_fail(__FILE__, __LINE__, "bit %zu of byte %zu flipped unnoticed", bit % 8,
                      bit / 8);
        }
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << (bit % 8)));
    }
    (void)printf("# %zu flipped bits, all refused\n", bytes.size * 8);
    tp_free(tp_allocator_default(), copy, bytes.size + 1);
    ASSERT_OK(tp_file_remove(path, &test_err));
}

static void test_every_prefix_and_a_longer_file_are_refused(void)
{
    const char *path = path_in_temp("cut.tapeout");
    tp_str bytes;
    char longer[4096] = {0};
    small_sample(&bytes, path);
    for (size_t size = 0; size < bytes.size; size++) {
        ASSERT(open_bytes(path, bytes.data, size) != TAPEOUT_OK);
    }
    ASSERT(bytes.size < sizeof(longer));
    memcpy(longer, bytes.data, bytes.size);
    ASSERT(open_bytes(path, longer, bytes.size + 1) != TAPEOUT_OK);
    tp_free(tp_allocator_default(), (char *)(uintptr_t)bytes.data, bytes.size + 1);
    ASSERT_OK(tp_file_remove(path, &test_err));
}

static void test_damage_is_named(void)
{
    const tp_env env = tp_env_plain();
    const char *path = path_in_temp("damage.tapeout");
    tp_str bytes;
    tp_bundle *bundle = NULL;
    small_sample(&bytes, path);
    char *copy = (char *)(uintptr_t)bytes.data;
    copy[128] = 'F'; // "first section" stands right behind the header
    (void)open_bytes(path, copy, bytes.size);
    ASSERT_FAILS(tp_bundle_open(&env, path, &bundle, &test_err), TAPEOUT_E_CORRUPT,
                 "section \"one\" is damaged");
    copy[8] = 2;
    (void)open_bytes(path, copy, bytes.size);
    ASSERT_FAILS(tp_bundle_open(&env, path, &bundle, &test_err), TAPEOUT_E_UNSUPPORTED,
                 "version 2");
    ASSERT_FAILS(tp_bundle_open(&env, "/nonexistent/x", &bundle, &test_err), TAPEOUT_E_NOT_FOUND,
                 "/nonexistent/x");
    tp_free(env.alloc, copy, bytes.size + 1);
    ASSERT_OK(tp_file_remove(path, &test_err));
}

// The owner writes over the file, and cuts it, while it is in use: an open bundle stays what was
// checked.
static void test_an_open_bundle_does_not_change(void)
{
    const tp_env env = tp_env_plain();
    const char *path = path_in_temp("changed.tapeout");
    tp_bundle *bundle = NULL;
    tp_str bytes;
    small_sample(&bytes, path);
    ASSERT_OK(tp_bundle_open(&env, path, &bundle, &test_err));
    const tp_sha256 before = tp_bundle_hash(bundle);
    FILE *file = fopen(path, "r+b");
    ASSERT(file != NULL && fseek(file, 128, SEEK_SET) == 0 && fwrite("FIRST", 1, 5, file) == 5);
    ASSERT_EQ_INT(fclose(file), 0);
    const tp_str section = tp_bundle_section_find(bundle, TP_STR("one"));
    ASSERT_EQ_BYTES(section.data, section.size, "first section", 13);
    ASSERT_EQ_INT(truncate(path, 1), 0);
    const tp_sha256 after = tp_bundle_hash(bundle);
    ASSERT_EQ_BYTES(&after, sizeof(after), &before, sizeof(before));
    tp_bundle_close(&bundle);
    tp_free(env.alloc, (char *)(uintptr_t)bytes.data, bytes.size + 1);
    ASSERT_OK(tp_file_remove(path, &test_err));
}

static void refuse_content(tp_str kind, tp_str name, const tp_bundle_section *sections,
                           size_t section_count)
{
    const tp_env env = tp_env_plain();
    const tp_bundle_content content = {kind, name, sections, section_count};
    const char *path = path_in_temp("refused.tapeout");
    tp_sha256 hash;
    ASSERT_FAILS(tp_bundle_write(&env, path, &content, &hash, &test_err), TAPEOUT_E_INVALID,
                 "bundle");
    ASSERT(!tp_path_exists(path));
}

static void test_bad_content_is_refused(void)
{
    const tp_bundle_section good[] = {{TP_STR("a"), TP_STR("x"), 64}};
    const tp_bundle_section twice[] = {{TP_STR("a"), TP_STR("x"), 64},
                                       {TP_STR("a"), TP_STR("y"), 64}};
    const tp_bundle_section odd[] = {{TP_STR("a"), TP_STR("x"), 96}};
    const tp_bundle_section named[] = {{TP_STR("../a"), TP_STR("x"), 64}};
    refuse_content(TP_STR("tabular"), TP_STR("../m"), good, 1);
    refuse_content(TP_STR("tabular"), TP_STR(""), good, 1);
    refuse_content(TP_STR("Tab ular"), TP_STR("m"), good, 1);
    refuse_content(TP_STR("tabular"), TP_STR("m"), good, 0);
    refuse_content(TP_STR("tabular"), TP_STR("m"), twice, 2);
    refuse_content(TP_STR("tabular"), TP_STR("m"), odd, 1);
    refuse_content(TP_STR("tabular"), TP_STR("m"), named, 1);
}

static tapeout_status write_and_open(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    const tp_env env = {.alloc = alloc};
    const tp_bundle_section sections[] = {{TP_STR("one"), TP_STR("first section"), 64}};
    const tp_bundle_content content = {TP_STR("tabular"), TP_STR("m"), sections, 1};
    tp_sha256 hash;
    tp_bundle *bundle = NULL;
    tapeout_status status = tp_bundle_write(&env, user, &content, &hash, err);
    if (status == TAPEOUT_OK) {
        status = tp_bundle_open(&env, user, &bundle, err);
    }
    tp_bundle_close(&bundle);
    return status;
}

static void test_out_of_memory_leaves_nothing(void)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s", path_in_temp("oom.tapeout"));
    test_out_of_memory(write_and_open, path);
    ASSERT_OK(tp_file_remove(path, &test_err));
}

TEST_MAIN(TEST(test_reads_back_what_was_written), TEST(test_same_content_is_the_same_file),
          TEST(test_a_section_made_while_written_is_the_same_file),
          TEST(test_every_flipped_bit_is_refused),
          TEST(test_every_prefix_and_a_longer_file_are_refused), TEST(test_damage_is_named),
          TEST(test_an_open_bundle_does_not_change), TEST(test_bad_content_is_refused),
          TEST(test_out_of_memory_leaves_nothing))
