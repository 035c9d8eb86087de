// SPDX-License-Identifier: Apache-2.0
//
// Signatures against a trust list: the cases M4 and M5 and what may not be believed. Mutations of
// envelopes and flipped bits of bundles: a seeded part here, 100,000 and 10,000 of them with
// TAPEOUT_TEST_FULL=1.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "base/tp_random.h"
#include "mutant.h"
#include "trust/tp_dsse.h"
#include "trust_cases.h"

#include <stdlib.h>
#include <string.h>

enum { DAY = 86400 };

static char bundle_path[600];
static char other_path[600];

static void make_bundles(void)
{
    (void)snprintf(bundle_path, sizeof(bundle_path), "%s/m.tapeout", test_temp_dir());
    (void)snprintf(other_path, sizeof(other_path), "%s/n.tapeout", test_temp_dir());
    trust_bundle(bundle_path, "m");
    trust_bundle(other_path, "n");
}

static tp_buffer signed_by(const char *path, uint8_t number, int64_t signed_s)
{
    tp_buffer lines;
    tp_buffer_init(&lines, tp_allocator_default(), TP_MAX_SIGNATURE_FILE_BYTES);
    trust_sign(path, number, signed_s, &lines);
    return lines;
}

// The state of the first signature in `lines` over the first bundle.
static tp_signature_state state_of(const tp_buffer *lines, const tp_trust_list *list,
                                   const char *part)
{
    tp_arena arena = trust_arena();
    const tp_verdict verdict = trust_verdict(&arena, bundle_path, tp_buffer_view(lines), list);
    ASSERT(verdict.count >= 1);
    const tp_signature_state state = verdict.checks[0].state;
    ASSERT_EQ_INT(verdict.is_trusted, state == TP_SIGNATURE_GOOD);
    if (part == NULL) {
        ASSERT(tp_verdict_status(&verdict, "m", &test_err) == TAPEOUT_OK);
    } else {
        ASSERT_FAILS(tp_verdict_status(&verdict, "m", &test_err), TAPEOUT_E_UNTRUSTED, part);
    }
    tp_arena_deinit(&arena);
    return state;
}

static void test_good(void)
{
    make_bundles();
    tp_trust_list list = trust_list((uint8_t[]){1, 2}, 2);
    tp_buffer lines = signed_by(bundle_path, 2, TRUST_NOW - DAY);
    ASSERT_EQ_INT(state_of(&lines, &list, NULL), TP_SIGNATURE_GOOD);
    tp_buffer_deinit(&lines);
    tp_trust_list_free(&list);
}

// M5: unsigned, unknown key, revoked key, key valid only after the date of signing; and before it,
// and no longer today, and a date in the future.
static void test_untrusted(void)
{
    make_bundles();
    tp_arena arena = trust_arena();
    tp_trust_list list = trust_list((uint8_t[]){1}, 1);
    const tp_verdict none = trust_verdict(&arena, bundle_path, TP_STR(""), &list);
    ASSERT_FAILS(tp_verdict_status(&none, "m", &test_err), TAPEOUT_E_UNTRUSTED, "no signature");
    tp_arena_deinit(&arena);

    tp_buffer unknown = signed_by(bundle_path, 9, TRUST_NOW);
    ASSERT_EQ_INT(state_of(&unknown, &list, "nobody here trusts its key"), TP_SIGNATURE_UNKNOWN);
    tp_buffer_deinit(&unknown);

    tp_buffer lines = signed_by(bundle_path, 1, TRUST_NOW - 10 * DAY);
    tp_trusted_key *key = &list.keys[0];
    key->from_s = TRUST_NOW - 9 * DAY;
    ASSERT_EQ_INT(state_of(&lines, &list, "not valid on the date"), TP_SIGNATURE_EXPIRED);
    key->from_s = TRUST_NOW - 10 * DAY;
    ASSERT_EQ_INT(state_of(&lines, &list, NULL), TP_SIGNATURE_GOOD);
    key->until_s = TRUST_NOW - 11 * DAY;
    ASSERT_EQ_INT(state_of(&lines, &list, "not valid on the date"), TP_SIGNATURE_EXPIRED);
    key->until_s = TRUST_NOW - 1;
    ASSERT_EQ_INT(state_of(&lines, &list, "not valid today"), TP_SIGNATURE_EXPIRED);
    key->until_s = INT64_MAX;
    key->revoked_s = TRUST_NOW - DAY; // after the signature: it is refused all the same
    ASSERT_EQ_INT(state_of(&lines, &list, "revoked"), TP_SIGNATURE_REVOKED);
    tp_buffer_deinit(&lines);

    key->revoked_s = 0;
    lines = signed_by(bundle_path, 1, TRUST_NOW + DAY);
    ASSERT_EQ_INT(state_of(&lines, &list, "future"), TP_SIGNATURE_EXPIRED);
    tp_buffer_deinit(&lines);
    tp_trust_list_free(&list);
}

// M4 and the like: a good signature of something else is no signature of this.
static void test_broken(void)
{
    make_bundles();
    tp_trust_list list = trust_list((uint8_t[]){1, 2}, 2);
    tp_buffer lines = signed_by(other_path, 1, TRUST_NOW);
    ASSERT_EQ_INT(state_of(&lines, &list, "other bytes"), TP_SIGNATURE_BROKEN);
    tp_buffer_clear(&lines);
    tp_buffer_append_text(&lines, "{}\n");
    ASSERT_EQ_INT(state_of(&lines, &list, "no envelope"), TP_SIGNATURE_BROKEN);
    tp_buffer_deinit(&lines);

    // A payload that is signed and no statement.
    tp_signer *signer = trust_signer(TP_KEY_ED25519, 1);
    tp_buffer_init(&lines, tp_allocator_default(), TP_MAX_ENVELOPE_BYTES);
    ASSERT_OK(tp_dsse_sign(signer, TP_STR(TP_DSSE_IN_TOTO), TP_STR("{}"), true, &lines, &test_err));
    tp_buffer_append_char(&lines, '\n');
    ASSERT_EQ_INT(state_of(&lines, &list, "not one about a bundle"), TP_SIGNATURE_BROKEN);
    tp_buffer_clear(&lines);
    ASSERT_OK(tp_dsse_sign(signer, TP_STR("text/plain"), TP_STR("{}"), true, &lines, &test_err));
    tp_buffer_append_char(&lines, '\n');
    ASSERT_EQ_INT(state_of(&lines, &list, "not the key's"), TP_SIGNATURE_BROKEN);
    tp_buffer_deinit(&lines);
    tp_signer_free(&signer);
    tp_trust_list_free(&list);
}

// A broken signature spoils good ones; one of an unknown or revoked key does not.
static void test_several(void)
{
    make_bundles();
    tp_arena arena = trust_arena();
    tp_trust_list list = trust_list((uint8_t[]){1, 2}, 2);
    tp_buffer lines = signed_by(bundle_path, 9, TRUST_NOW);
    trust_sign(bundle_path, 1, TRUST_NOW, &lines);
    trust_sign(bundle_path, 2, TRUST_NOW, &lines);
    list.keys[0].revoked_s = 1;
    tp_verdict verdict = trust_verdict(&arena, bundle_path, tp_buffer_view(&lines), &list);
    ASSERT(verdict.is_trusted && verdict.count == 3 && verdict.good_count == 1);
    ASSERT_EQ_INT(verdict.checks[1].state, TP_SIGNATURE_REVOKED);
    trust_sign(other_path, 1, TRUST_NOW, &lines);
    verdict = trust_verdict(&arena, bundle_path, tp_buffer_view(&lines), &list);
    ASSERT(!verdict.is_trusted && verdict.good_count == 1);
    lines.size--; // the end of the last line
    verdict = trust_verdict(&arena, bundle_path, tp_buffer_view(&lines), &list);
    ASSERT(!verdict.is_trusted && verdict.good_count == 0);
    tp_buffer_deinit(&lines);
    tp_trust_list_free(&list);
    tp_arena_deinit(&arena);
}

// -- mutations -----------------------------------------------------------------------------------
static size_t some(size_t full, size_t part)
{
    return getenv("TAPEOUT_TEST_FULL") != NULL ? full : part;
}

static void check_mutants(const tp_buffer *good, const tp_buffer *donor, const tp_signed *what,
                          size_t count)
{
    static char data[16384];
    tp_trust_list list = trust_list((uint8_t[]){1, 2}, 2);
    const tp_inquiry inquiry = {&list, what, TRUST_NOW};
    tp_arena arena = trust_arena();
    size_t changed = 0;
    for (size_t i = 0; i < count; i++) {
        mutant self = {.data = data, .size = good->size, .round = i};
        tp_verdict verdict;
        memcpy(data, good->data, good->size);
        for (size_t k = 1 + mutant_draw(&self, 3); k > 0 && self.size > 0; k--) {
            mutant_change(&self, tp_buffer_view(donor));
        }
        const tp_str lines = {data, self.size};
        if (tp_str_equal(lines, tp_buffer_view(good)) ||
            tp_str_equal(lines, tp_buffer_view(donor))) {
            continue;
        }
        changed++;
        ASSERT_OK(tp_signatures_check(&arena, lines, &inquiry, &verdict, &test_err));
        if (verdict.is_trusted) {
            test_fail(__FILE__, __LINE__, "mutant %zu is believed: %.*s", i, (int)self.size, data);
        }
        tp_arena_clear(&arena);
    }
    ASSERT(changed > count * 8 / 10);
    (void)printf("# %zu mutated envelopes, none believed\n", changed);
    tp_arena_deinit(&arena);
    tp_trust_list_free(&list);
}

static void test_mutated_envelopes(void)
{
    make_bundles();
    const tp_env env = tp_env_plain();
    tp_bundle *bundle = NULL;
    tp_buffer good = signed_by(bundle_path, 1, TRUST_NOW);
    tp_buffer other_key = signed_by(bundle_path, 2, TRUST_NOW);
    tp_buffer other_bundle = signed_by(other_path, 1, TRUST_NOW);
    ASSERT_OK(tp_bundle_open(&env, bundle_path, &bundle, &test_err));
    const tp_signed what = tp_signed_of(bundle);
    check_mutants(&good, &other_key, &what, some(50000, 2500));
    check_mutants(&good, &other_bundle, &what, some(75000, 2500));
    tp_bundle_close(&bundle);
    tp_buffer_deinit(&good);
    tp_buffer_deinit(&other_key);
    tp_buffer_deinit(&other_bundle);
}

// A signed bundle with a bit flipped does not get as far as its signature.
static void test_flipped_bundles(void)
{
    make_bundles();
    const tp_env env = tp_env_plain();
    const char *home = test_temp_dir();
    const size_t count = some(10000, 1000);
    tp_str bytes = {NULL, 0};
    tp_admitted admitted;
    char sig[700];
    tp_buffer lines = signed_by(bundle_path, 1, TRUST_NOW);
    ASSERT_OK(tp_file_read(env.alloc, bundle_path, 1 << 20, &bytes, &test_err));
    char *copy = (char *)(uintptr_t)bytes.data;
    (void)snprintf(sig, sizeof(sig), "%s.sig", bundle_path);
    FILE *file = fopen(sig, "wb");
    ASSERT(file != NULL && fwrite(lines.data, 1, lines.size, file) == lines.size);
    ASSERT_EQ_INT(fclose(file), 0);
    const tp_admission asked = {.home = home, .path = bundle_path};
    for (size_t i = 0; i < count; i++) {
        const size_t bit = tp_random_below(7, 0, i, bytes.size * 8);
        tp_bundle *bundle = NULL;
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
        file = fopen(bundle_path, "wb");
        ASSERT(file != NULL && fwrite(copy, 1, bytes.size, file) == bytes.size);
        ASSERT_EQ_INT(fclose(file), 0);
        if (tp_trust_open(&env, &asked, &bundle, &admitted, &test_err) == TAPEOUT_OK) {
            test_fail(__FILE__, __LINE__, "bit %zu flipped unnoticed", bit);
        }
        ASSERT(bundle == NULL);
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
    }
    (void)printf("# %zu flipped bits in a signed bundle, all refused\n", count);
    tp_free(env.alloc, copy, bytes.size + 1);
    tp_buffer_deinit(&lines);
}

// -- admission -----------------------------------------------------------------------------------
static void trust_key_1(const char *home, tp_trusted_key *ret_key)
{
    tp_trust_list list = trust_list((uint8_t[]){1}, 1);
    *ret_key = list.keys[0];
    ASSERT_OK(tp_trust_list_add(tp_allocator_default(), home, ret_key, &test_err));
    tp_trust_list_free(&list);
}

// From the registry: signed by a trusted key, over the bytes that the row names, or not at all.
static void test_admission(void)
{
    make_bundles();
    const tapeout_allocator *alloc = tp_allocator_default();
    const tp_env env = tp_env_plain();
    const char *home = test_temp_dir();
    char hex[TP_SHA256_HEX_SIZE + 1];
    char sig[TP_MAX_PATH_BYTES];
    tp_sha256 hash;
    tp_trusted_key key;
    tp_admitted admitted;
    tp_bundle *bundle = NULL;
    ASSERT_OK(tp_sha256_file(bundle_path, &hash, &test_err));
    tp_sha256_hex(&hash, hex);
    tp_admission asked = {.home = home, .path = bundle_path, .sha256 = tp_str_from(hex)};
    ASSERT_FAILS(tp_trust_open(&env, &asked, &bundle, &admitted, &test_err), TAPEOUT_E_UNTRUSTED,
                 "no signature");
    asked.allow_unsigned = true;
    ASSERT_OK(tp_trust_open(&env, &asked, &bundle, &admitted, &test_err));
    ASSERT_EQ_STR(admitted.signers, "unsigned");
    ASSERT(!admitted.is_trusted);
    tp_bundle_close(&bundle);

    tp_buffer lines = signed_by(bundle_path, 1, TRUST_NOW - 365 * DAY);
    ASSERT_OK(tp_signature_home_path(home, tp_str_from(hex), sig, &test_err));
    ASSERT_OK(tp_signature_add(alloc, sig, (tp_str){lines.data, lines.size - 1}, &test_err));
    ASSERT_OK(tp_trust_open(&env, &asked, &bundle, &admitted, &test_err));
    ASSERT_EQ_STR(admitted.signers, "untrusted");
    tp_bundle_close(&bundle);
    trust_key_1(home, &key);
    asked.allow_unsigned = false;
    ASSERT_OK(tp_trust_open(&env, &asked, &bundle, &admitted, &test_err));
    ASSERT_EQ_STR(admitted.signers, "key1");
    ASSERT(admitted.is_trusted);
    tp_bundle_close(&bundle);

    // Another good bundle in the blob's place, its own signature beside it.
    tp_buffer others = signed_by(other_path, 1, TRUST_NOW - 365 * DAY);
    ASSERT_OK(tp_file_remove(sig, &test_err));
    ASSERT_OK(tp_signature_add(alloc, sig, (tp_str){others.data, others.size - 1}, &test_err));
    asked.path = other_path;
    asked.allow_unsigned = true; // a broken signature is not an absent one
    ASSERT_FAILS(tp_trust_open(&env, &asked, &bundle, &admitted, &test_err), TAPEOUT_E_UNTRUSTED,
                 "other bytes");
    ASSERT(bundle == NULL);
    tp_buffer_deinit(&lines);
    tp_buffer_deinit(&others);
}

// A key has one line in a file of signatures, the newest.
static void test_signing_again(void)
{
    make_bundles();
    const tapeout_allocator *alloc = tp_allocator_default();
    char sig[700];
    tp_str text = {NULL, 0};
    (void)snprintf(sig, sizeof(sig), "%s.sig", bundle_path);
    tp_buffer first = signed_by(bundle_path, 1, TRUST_NOW);
    tp_buffer second = signed_by(bundle_path, 2, TRUST_NOW);
    tp_buffer third = signed_by(bundle_path, 1, TRUST_NOW + 1);
    const tp_buffer *all[] = {&first, &second, &third};
    for (size_t i = 0; i < 3; i++) {
        ASSERT_OK(
            tp_signature_add(alloc, sig, (tp_str){all[i]->data, all[i]->size - 1}, &test_err));
    }
    ASSERT_OK(tp_signature_read(alloc, sig, &text, &test_err));
    tp_buffer_append_str(&second, tp_buffer_view(&third));
    ASSERT_EQ_BYTES(text.data, text.size, second.data, second.size);
    tp_free(alloc, (char *)(uintptr_t)text.data, text.size + 1);
    tp_buffer_deinit(&first);
    tp_buffer_deinit(&second);
    tp_buffer_deinit(&third);
}

TEST_MAIN(TEST(test_good), TEST(test_untrusted), TEST(test_broken), TEST(test_several),
          TEST_SLOW(test_mutated_envelopes, 600), TEST_SLOW(test_flipped_bundles, 600),
          TEST(test_admission), TEST(test_signing_again))
