// SPDX-License-Identifier: Apache-2.0
//
// Envelopes: the encoding that is signed, one text for one envelope, and what others write.
#include "base/tp_alloc.h"
#include "trust/tp_base64.h"
#include "trust/tp_dsse.h"
#include "trust_cases.h"

#include <string.h>

// The example of the DSSE protocol.
static void test_pre_authentication_encoding(void)
{
    static const char wanted[] = "DSSEv1 29 http://example.com/HelloWorld 11 hello world";
    tp_buffer bytes;
    tp_buffer_init(&bytes, tp_allocator_default(), 4096);
    tp_dsse_pae_append(&bytes, TP_STR("http://example.com/HelloWorld"), TP_STR("hello world"));
    ASSERT_EQ_BYTES(bytes.data, bytes.size, wanted, sizeof(wanted) - 1);
    tp_buffer_clear(&bytes);
    tp_dsse_pae_append(&bytes, TP_STR(""), TP_STR(""));
    ASSERT_EQ_BYTES(bytes.data, bytes.size, "DSSEv1 0  0 ", 12);
    tp_buffer_deinit(&bytes);
}

static tp_buffer sample(const tp_signer *signer)
{
    tp_buffer text;
    tp_buffer_init(&text, tp_allocator_default(), TP_MAX_ENVELOPE_BYTES);
    ASSERT_OK(
        tp_dsse_sign(signer, TP_STR("text/plain"), TP_STR("payload?"), true, &text, &test_err));
    return text;
}

static void test_round_trip(void)
{
    tp_arena arena = trust_arena();
    tp_envelope envelope;
    tp_signer *signer = trust_signer(TP_KEY_ED25519, 1);
    tp_signer *other = trust_signer(TP_KEY_ED25519, 2);
    tp_buffer text = sample(signer);
    ASSERT_OK(tp_dsse_parse(&arena, tp_buffer_view(&text), &envelope, &test_err));
    ASSERT_EQ_BYTES(envelope.payload.data, envelope.payload.size, "payload?", 8);
    ASSERT_EQ_BYTES(envelope.type.data, envelope.type.size, "text/plain", 10);
    ASSERT_EQ_BYTES(&envelope.key_id, 32, &signer->key.id, 32);
    ASSERT(tp_dsse_verify(arena.alloc, &envelope, &signer->key));
    ASSERT(!tp_dsse_verify(arena.alloc, &envelope, &other->key));
    // The type is signed too.
    envelope.type = TP_STR("text/html");
    ASSERT(!tp_dsse_verify(arena.alloc, &envelope, &signer->key));
    tp_buffer_deinit(&text);
    tp_signer_free(&signer);
    tp_signer_free(&other);
    tp_arena_deinit(&arena);
}

static void refuse_instead(const tp_buffer *text, const char *part, const char *instead)
{
    tp_arena arena = trust_arena();
    tp_envelope envelope;
    char copy[2048];
    char plain[2048];
    (void)snprintf(plain, sizeof(plain), "%.*s", (int)text->size, text->data);
    const char *at = strstr(plain, part);
    ASSERT(at != NULL);
    (void)snprintf(copy, sizeof(copy), "%.*s%s%s", (int)(at - plain), plain, instead,
                   at + strlen(part));
    ASSERT_FAILS(tp_dsse_parse(&arena, tp_str_from(copy), &envelope, &test_err), TAPEOUT_E_CORRUPT,
                 "signature");
    tp_arena_deinit(&arena);
}

// What means the same and is written otherwise is not the same envelope.
static void test_one_text(void)
{
    tp_signer *signer = trust_signer(TP_KEY_ED25519, 1);
    tp_buffer text = sample(signer);
    refuse_instead(&text, "{\"payload\"", "{ \"payload\"");
    refuse_instead(&text, "text/plain", "text\\/plain");
    refuse_instead(&text, "text/plain", "\\u0074ext/plain");
    refuse_instead(&text, "cGF5bG9hZD8=", "cGF5bG9hZD8");  // padding
    refuse_instead(&text, "cGF5bG9hZD8=", "cGF5bG9hZD9="); // spare bits
    refuse_instead(&text, "cGF5bG9hZD8=", "cGF5 bG9hZD8=");
    refuse_instead(&text, "\"payloadType\"", "\"payload\":\"\",\"payloadType\"");
    refuse_instead(&text, "}]}", "}],\"more\":1}");
    refuse_instead(&text, "\"keyid\":\"", "\"keyid\":\"0");
    refuse_instead(&text, "\"sig\"", "\"Sig\"");
    refuse_instead(&text, "}]}", "},{\"keyid\":\"\",\"sig\":\"\"}]}");
    refuse_instead(&text, "}]}", "}]}\n");
    tp_buffer_deinit(&text);
    tp_signer_free(&signer);
}

static void test_others_envelopes(void)
{
    static const char *const texts[] = {
        "{\"payloadType\":\"t\", \"payload\":\"YQ==\", \"signatures\":[{\"sig\":\"YQ==\"}]}",
        "{\"payloadType\":\"t\",\"payload\":\"YQ==\",\"signatures\":[{\"sig\":\"YQ==\","
        "\"keyid\":null}]}",
        "{\"payloadType\":\"t\",\"payload\":\"YQ==\",\"signatures\":[{\"sig\":\"YQ==\","
        "\"keyid\":\"\"}]}"};
    for (size_t i = 0; i < 3; i++) {
        tp_arena arena = trust_arena();
        tp_envelope envelope;
        yyjson_doc *doc = NULL;
        ASSERT_OK(tp_json_parse(arena.alloc, tp_str_from(texts[i]), "e", &doc, &test_err));
        ASSERT_OK(tp_dsse_read(&arena, yyjson_doc_get_root(doc), &envelope, &test_err));
        ASSERT(!envelope.has_key_id && envelope.payload.size == 1);
        yyjson_doc_free(doc);
        tp_arena_deinit(&arena);
    }
}

static void test_base64(void)
{
    tp_buffer text;
    uint8_t bytes[4];
    tp_buffer_init(&text, tp_allocator_default(), 64);
    tp_base64_append(&text, TP_STR("\xff\xfe\xfd\xfc"));
    ASSERT_EQ_BYTES(text.data, text.size, "//79/A==", 8);
    ASSERT(tp_base64_decode_exact(tp_buffer_view(&text), bytes, 4));
    ASSERT_EQ_BYTES(bytes, 4, "\xff\xfe\xfd\xfc", 4);
    ASSERT(!tp_base64_decode_exact(tp_buffer_view(&text), bytes, 3));
    ASSERT(!tp_base64_decode_exact(TP_STR("//79/A"), bytes, 4));
    ASSERT(!tp_base64_decode_exact(TP_STR("__79_A=="), bytes, 4));
    ASSERT(!tp_base64_decode_exact(TP_STR("//79/B=="), bytes, 4));
    ASSERT(!tp_base64_decode_exact(TP_STR("//79/A==\n"), bytes, 4));
    tp_buffer_deinit(&text);
}

TEST_MAIN(TEST(test_pre_authentication_encoding), TEST(test_round_trip), TEST(test_one_text),
          TEST(test_others_envelopes), TEST(test_base64))
