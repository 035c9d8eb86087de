// SPDX-License-Identifier: Apache-2.0
//
// Model Signing bundles: our own, and what a verifier must refuse. tests/e2e/test_model_signing.py
// has the reference implementation read ours and us read its.
#include "base/tp_alloc.h"
#include "trust/tp_oms.h"
#include "trust_cases.h"

#include <string.h>

static tp_trust_list p256_list(const tp_signer *signer)
{
    tp_trust_list list;
    tp_key_info info = {.key = signer->key};
    (void)snprintf(info.name, sizeof(info.name), "p");
    ASSERT_OK(tp_trust_list_of(tp_allocator_default(), &info, &list, &test_err));
    return list;
}

static tp_signature_state state_of(tp_str text, const char *name, const tp_sha256 *file,
                                   const tp_trust_list *list)
{
    tp_arena arena = trust_arena();
    tp_verdict verdict;
    const tp_signed what = {.file = file};
    const tp_inquiry inquiry = {list, &what, TRUST_NOW};
    ASSERT_OK(tp_oms_check(&arena, text, tp_str_from(name), &inquiry, &verdict, &test_err));
    ASSERT_EQ_UINT(verdict.count, 1);
    const tp_signature_state state = verdict.checks[0].state;
    ASSERT_EQ_INT(verdict.is_trusted, state == TP_SIGNATURE_GOOD);
    tp_arena_deinit(&arena);
    return state;
}

static void test_round_trip(void)
{
    const tp_sha256 file = tp_sha256_of("bytes", 5);
    const tp_sha256 other = tp_sha256_of("byte", 4);
    tp_signer *signer = trust_signer(TP_KEY_P256, 1);
    tp_signer *stranger = trust_signer(TP_KEY_P256, 2);
    tp_trust_list list = p256_list(signer);
    tp_trust_list strangers = p256_list(stranger);
    tp_buffer text;
    tp_buffer_init(&text, tp_allocator_default(), 1 << 20);
    ASSERT_OK(tp_oms_sign(signer, TP_STR("m.tapeout"), &file, &text, &test_err));
    const tp_str made = tp_buffer_view(&text);
    ASSERT_EQ_INT(state_of(made, "m.tapeout", &file, &list), TP_SIGNATURE_GOOD);
    ASSERT_EQ_INT(state_of(made, "m.tapeout", &other, &list), TP_SIGNATURE_BROKEN);
    ASSERT_EQ_INT(state_of(made, "n.tapeout", &file, &list), TP_SIGNATURE_BROKEN);
    ASSERT_EQ_INT(state_of(made, "m.tapeout", &file, &strangers), TP_SIGNATURE_UNKNOWN);
    list.keys[0].revoked_s = 1;
    ASSERT_EQ_INT(state_of(made, "m.tapeout", &file, &list), TP_SIGNATURE_REVOKED);
    list.keys[0].revoked_s = 0;
    list.keys[0].until_s = TRUST_NOW - 1;
    ASSERT_EQ_INT(state_of(made, "m.tapeout", &file, &list), TP_SIGNATURE_EXPIRED);
    list.keys[0].until_s = INT64_MAX;
    // A byte of the payload, a byte of the signature, another hint.
    static const char *const places[] = {"\"payload\":\"", "\"sig\":\"MEU", "\"hint\":\""};
    tp_buffer_append_char(&text, '\0');
    for (size_t i = 0; i < 3; i++) {
        char *at = strstr(text.data, i == 1 ? "\"sig\":\"" : places[i]);
        ASSERT(at != NULL);
        at += strlen(places[i]) + 8;
        const char old = *at;
        *at = old == '1' ? '2' : '1';
        ASSERT(state_of((tp_str){text.data, text.size - 1}, "m.tapeout", &file, &list) !=
               TP_SIGNATURE_GOOD);
        *at = old;
    }
    tp_trust_list_free(&list);
    tp_trust_list_free(&strangers);
    tp_signer_free(&signer);
    tp_signer_free(&stranger);
    tp_buffer_deinit(&text);
}

static void test_only_p256(void)
{
    const tp_sha256 file = tp_sha256_of("bytes", 5);
    tp_signer *signer = trust_signer(TP_KEY_ED25519, 1);
    tp_buffer text;
    tp_buffer_init(&text, tp_allocator_default(), 1 << 20);
    ASSERT_FAILS(tp_oms_sign(signer, TP_STR("m"), &file, &text, &test_err), TAPEOUT_E_INVALID,
                 "--p256");
    tp_signer_free(&signer);
    tp_buffer_deinit(&text);
}

static void test_malformed(void)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"mediaType\":\"x\",\"verificationMaterial\":{},\"dsseEnvelope\":{}}",
        "{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\","
        "\"verificationMaterial\":{\"certificate\":{}},\"dsseEnvelope\":{}}",
        "{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\","
        "\"verificationMaterial\":{\"publicKey\":{\"hint\":\"\"}},\"dsseEnvelope\":{}}"};
    const tp_sha256 file = tp_sha256_of("bytes", 5);
    tp_signer *signer = trust_signer(TP_KEY_P256, 1);
    tp_trust_list list = p256_list(signer);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        ASSERT_EQ_INT(state_of(tp_str_from(texts[i]), "m", &file, &list), TP_SIGNATURE_BROKEN);
    }
    tp_trust_list_free(&list);
    tp_signer_free(&signer);
}

TEST_MAIN(TEST(test_round_trip), TEST(test_only_p256), TEST(test_malformed))
