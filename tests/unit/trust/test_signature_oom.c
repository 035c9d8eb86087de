// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of ours fails in turn while keys are made and opened, a bundle is signed, and
// its signatures are read. (libsodium and OpenSSL take their memory from the C library.)
#include "base/tp_alloc.h"
#include "trust/tp_oms.h"
#include "trust_cases.h"

#include <stdio.h>

static char home[512];
static char bundle[600];
static int round_number;

static tapeout_status sign_own(const tp_env *env, const char *place, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_signer *signer = NULL;
    tp_bundle *open = NULL;
    tapeout_status status = tp_key_home_own(env->alloc, place, &signer, err);
    if (status == TAPEOUT_OK) {
        status = tp_bundle_open(env, bundle, &open, err);
    }
    if (status == TAPEOUT_OK) {
        const tp_sha256 hash = tp_bundle_hash(open);
        tp_sha256_hex(&hash, hex);
        status = tp_signature_home_path(place, tp_str_from(hex), path, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_trust_sign(env->alloc, signer, open, path, err);
    }
    tp_bundle_close(&open);
    tp_signer_free(&signer);
    return status;
}

static tapeout_status use_home(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    char place[600];
    const tp_env env = {.alloc = alloc};
    tp_buffer json;
    tp_bundle *open = NULL;
    tp_admitted admitted;
    (void)user;
    (void)snprintf(place, sizeof(place), "%s/%d", home, round_number++);
    tapeout_status status = sign_own(&env, place, err);
    tp_buffer_init(&json, alloc, 1 << 20);
    if (status == TAPEOUT_OK) {
        status = tp_key_home_list(alloc, place, &json, err);
    }
    if (status == TAPEOUT_OK) {
        tp_trusted_key revoked;
        status = tp_trust_list_revoke(alloc, place, "home", "why", &revoked, err);
    }
    if (status == TAPEOUT_OK) {
        const tp_admission asked = {.home = place, .path = bundle};
        status = tp_trust_open(&env, &asked, &open, &admitted, err);
    }
    if (status == TAPEOUT_OK) {
        const tp_admission asked = {.home = place, .path = bundle};
        status = tp_trust_append(alloc, open, &asked, &json, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_buffer_check(&json, "json", err);
    }
    tp_bundle_close(&open);
    tp_buffer_deinit(&json);
    return status;
}

static void test_home(void)
{
    (void)snprintf(home, sizeof(home), "%s", test_temp_dir());
    (void)snprintf(bundle, sizeof(bundle), "%s/m.tapeout", home);
    trust_bundle(bundle, "m");
    test_out_of_memory(use_home, NULL);
}

static tapeout_status use_oms(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    const tp_sha256 file = tp_sha256_of("bytes", 5);
    uint8_t seed[TP_KEY_SEED_SIZE] = {1};
    tp_signer *signer = NULL;
    tp_trust_list list = {.alloc = alloc};
    tp_buffer text;
    tp_arena arena;
    tp_verdict verdict;
    (void)user;
    tp_buffer_init(&text, alloc, 1 << 20);
    tp_arena_init(&arena, alloc, 1 << 20);
    tapeout_status status = tp_signer_new(alloc, TP_KEY_P256, seed, &signer, err);
    if (status == TAPEOUT_OK) {
        const tp_key_info info = {.key = signer->key};
        status = tp_trust_list_of(alloc, &info, &list, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_oms_sign(signer, TP_STR("m"), &file, &text, err);
    }
    if (status == TAPEOUT_OK) {
        const tp_signed what = {.file = &file};
        const tp_inquiry inquiry = {&list, &what, TRUST_NOW};
        status = tp_oms_check(&arena, tp_buffer_view(&text), TP_STR("m"), &inquiry, &verdict, err);
    }
    tp_arena_deinit(&arena);
    tp_buffer_deinit(&text);
    tp_trust_list_free(&list);
    tp_signer_free(&signer);
    return status;
}

static void test_oms(void)
{
    test_out_of_memory(use_oms, NULL);
}

TEST_MAIN(TEST_SLOW(test_home, 300), TEST(test_oms))
