// SPDX-License-Identifier: Apache-2.0
//
// Signatures in the registry's database: put, replaced, bounded, moved there from files, judged
// like a file's; keys that were taken back; memory that ends.
#include "registry/signature_priv.h"

#include "../trust/trust_cases.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry_cases.h"

#include <string.h>

static const char *bundle_path(void)
{
    static char path[600];
    (void)snprintf(path, sizeof(path), "%s/m.tapeout", test_temp_dir());
    trust_bundle(path, "m");
    return path;
}

static tp_bundle *open_bundle(const char *path, char ret_hex[TP_SHA256_HEX_SIZE + 1])
{
    const tp_env env = {.alloc = tp_allocator_default()};
    tp_bundle *bundle = NULL;
    ASSERT_OK(tp_bundle_open(&env, path, &bundle, &test_err));
    const tp_sha256 hash = tp_bundle_hash(bundle);
    tp_sha256_hex(&hash, ret_hex);
    return bundle;
}

static void sign(tp_registry *registry, const tp_bundle *bundle, uint8_t number)
{
    tp_signer *signer = trust_signer(TP_KEY_ED25519, number);
    ASSERT_OK(tp_signatures_sign(registry, signer, bundle, &test_err));
    tp_signer_free(&signer);
}

// How many signatures are good, as one who trusts keys 1 and 2 sees it.
static size_t good_count(tp_registry *registry, const tp_bundle *bundle, const char *hex,
                         size_t *ret_count)
{
    const uint8_t numbers[] = {1, 2};
    tp_trust_list list = trust_list(numbers, 2);
    tp_buffer lines;
    tp_verdict verdict;
    tp_arena arena = trust_arena();
    tp_buffer_init(&lines, tp_allocator_default(), TP_MAX_SIGNATURE_FILE_BYTES);
    ASSERT_OK(tp_signatures_look_in(registry, tp_str_from(hex), &lines, &list, &test_err));
    const tp_signed what = tp_signed_of(bundle);
    const tp_inquiry inquiry = {&list, &what, TRUST_NOW + 10 * 365 * 86400};
    ASSERT_OK(tp_signatures_check(&arena, tp_buffer_view(&lines), &inquiry, &verdict, &test_err));
    const size_t good = verdict.good_count;
    *ret_count = verdict.count;
    tp_arena_deinit(&arena);
    tp_buffer_deinit(&lines);
    tp_trust_list_free(&list);
    return good;
}

static void test_put_and_replaced(void)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_registry *registry = cases_open(test_temp_dir());
    tp_bundle *bundle = open_bundle(bundle_path(), hex);
    size_t count = 1;
    ASSERT_EQ_UINT(good_count(registry, bundle, hex, &count), 0); // before there is a table
    ASSERT_EQ_UINT(count, 0);
    sign(registry, bundle, 1);
    sign(registry, bundle, 1);
    ASSERT_EQ_UINT(good_count(registry, bundle, hex, &count), 1);
    ASSERT_EQ_UINT(count, 1);
    sign(registry, bundle, 2);
    sign(registry, bundle, 3);
    ASSERT_EQ_UINT(good_count(registry, bundle, hex, &count), 2);
    ASSERT_EQ_UINT(count, 3);
    hex[0] = hex[0] == '0' ? '1' : '0'; // another bundle's
    ASSERT_EQ_UINT(good_count(registry, bundle, hex, &count), 0);
    ASSERT_EQ_UINT(count, 0);
    tp_bundle_close(&bundle);
    tp_registry_close(&registry);
}

static void test_bounded(void)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_registry *registry = cases_open(test_temp_dir());
    tp_bundle *bundle = open_bundle(bundle_path(), hex);
    for (uint8_t i = 1; i <= TP_MAX_SIGNATURES; i++) {
        sign(registry, bundle, i);
    }
    tp_signer *signer = trust_signer(TP_KEY_ED25519, 200);
    ASSERT_FAILS(tp_signatures_sign(registry, signer, bundle, &test_err), TAPEOUT_E_LIMIT,
                 "has 64 signatures");
    tp_signer_free(&signer);
    sign(registry, bundle, 1); // in place of its own is no further one
    tp_bundle_close(&bundle);
    tp_registry_close(&registry);
}

static void write_file(const char *path, tp_str text)
{
    FILE *file = fopen(path, "wb");
    ASSERT(file != NULL && fwrite(text.data, 1, text.size, file) == text.size);
    ASSERT_EQ_INT(fclose(file), 0);
}

// The place of a file of the home with signatures of the bundle `hex`.
static const char *file_of(const char *home, const char *hex)
{
    static char path[TP_MAX_PATH_BYTES];
    ASSERT_OK(tp_signature_home_path(home, tp_str_from(hex), path, &test_err));
    char *slash = strrchr(path, '/');
    *slash = '\0';
    ASSERT_OK(tp_directory_make(path, &test_err));
    *slash = '/';
    return path;
}

static void test_moved_from_files(void)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    char moved[TP_MAX_PATH_BYTES + 8];
    const char *home = test_temp_dir();
    const char *path = bundle_path();
    tp_buffer lines;
    tp_buffer_init(&lines, tp_allocator_default(), TP_MAX_SIGNATURE_FILE_BYTES);
    trust_sign(path, 1, TRUST_NOW, &lines);
    trust_sign(path, 2, TRUST_NOW, &lines);
    tp_registry *registry = cases_open(home);
    tp_bundle *bundle = open_bundle(path, hex);
    const char *file = file_of(home, hex);
    size_t count = 0;
    for (int round = 0; round < 2; round++) { // again after a crash before the renaming
        write_file(file, tp_buffer_view(&lines));
        ASSERT_OK(tp_signatures_adopt(registry, &test_err));
        ASSERT(!tp_path_exists(file));
        (void)snprintf(moved, sizeof(moved), "%s.moved", file);
        ASSERT(tp_path_exists(moved));
        ASSERT_EQ_UINT(good_count(registry, bundle, hex, &count), 2);
        ASSERT_EQ_UINT(count, 2);
    }
    // A damaged one stays where its damage is seen, and hinders no other.
    write_file(file, TP_STR("{\"payload\":\n"));
    ASSERT_OK(tp_signatures_adopt(registry, &test_err));
    ASSERT(tp_path_exists(file));
    tp_buffer_deinit(&lines);
    tp_bundle_close(&bundle);
    tp_registry_close(&registry);
}

static void test_taken_back(void)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    const uint8_t numbers[] = {1};
    tp_registry *registry = cases_open(test_temp_dir());
    tp_bundle *bundle = open_bundle(bundle_path(), hex);
    size_t count = 0;
    sign(registry, bundle, 1);
    sign(registry, bundle, 2);
    tp_trust_list list = trust_list(numbers, 1);
    list.keys[0].revoked_s = TRUST_NOW;
    (void)snprintf(list.keys[0].reason, sizeof(list.keys[0].reason), "stolen");
    ASSERT_OK(tp_signatures_revoke(registry, &list.keys[0], &test_err));
    (void)snprintf(list.keys[0].reason, sizeof(list.keys[0].reason), "later");
    ASSERT_OK(tp_signatures_revoke(registry, &list.keys[0], &test_err));
    ASSERT_EQ_UINT(good_count(registry, bundle, hex, &count), 1);
    list.keys[0].revoked_s = 0;
    ASSERT_OK(tp_signatures_look_in(registry, TP_STR(""), NULL, &list, &test_err));
    ASSERT_EQ_STR(list.keys[0].reason, "stolen"); // the first word stands
    ASSERT_EQ_INT(list.keys[0].revoked_s, TRUST_NOW);
    tp_trust_list_free(&list);
    tp_bundle_close(&bundle);
    tp_registry_close(&registry);
}

// -- memory that ends ----------------------------------------------------------------------------
static int round_number;

static tapeout_status use_store(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    const tp_env env = {.alloc = alloc};
    char home[600];
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_registry *registry = NULL;
    tp_trust_list list = {.alloc = alloc};
    tp_buffer lines;
    tp_sha256 hash;
    (void)snprintf(home, sizeof(home), "%s/%d", test_temp_dir(), round_number++);
    TP_TRY(tp_sha256_file(user, &hash, err));
    tp_sha256_hex(&hash, hex);
    TP_TRY(tp_registry_open(alloc, home, TP_REGISTRY_WRITE, &registry, err));
    tp_buffer_init(&lines, alloc, TP_MAX_SIGNATURE_FILE_BYTES);
    tapeout_status status = tp_signatures_sign_own(&env, registry, user, err);
    if (status == TAPEOUT_OK) {
        status = tp_signatures_look_in(registry, tp_str_from(hex), &lines, &list, err);
    }
    if (status == TAPEOUT_OK) {
        write_file(file_of(home, hex), tp_buffer_view(&lines));
        status = tp_signatures_adopt(registry, err);
    }
    tp_buffer_deinit(&lines);
    tp_registry_close(&registry);
    return status;
}

static void test_without_memory(void)
{
    char path[600];
    (void)snprintf(path, sizeof(path), "%s", bundle_path());
    test_out_of_memory(use_store, path);
}

TEST_MAIN(TEST(test_put_and_replaced), TEST(test_bounded), TEST(test_moved_from_files),
          TEST(test_taken_back), TEST_SLOW(test_without_memory, 300))
