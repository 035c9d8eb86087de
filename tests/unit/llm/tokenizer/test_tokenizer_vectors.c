// SPDX-License-Identifier: Apache-2.0
//
// Two real models against llama.cpp: every id of every vector, the text that comes back, the bytes
// of every token of the vocabulary, the ids that end a generation.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "tokenizer_cases.h"

#include <openssl/evp.h>
#include <string.h>
#include <yyjson.h>

#define SMOLLM2 "SmolLM2-135M-Instruct.Q4_1.gguf"
#define GEMMA3 "gemma-3-270m-q4_k_m.gguf"

static tp_str read_shared(const char *name)
{
    char path[4096];
    tp_str data = {NULL, 0};
    const char *folder = test_shared_dir();
    if (folder == NULL) {
        test_skip("no shared folder beside the checkout");
    }
    (void)snprintf(path, sizeof(path), "%s/vectors/llm/%s", folder, name);
    if (!tp_path_exists(path)) {
        test_skip("no vectors of language models beside the checkout");
    }
    ASSERT_OK(tp_file_read(tp_allocator_default(), path, 1u << 26, &data, &test_err));
    return data;
}

static yyjson_val *member(yyjson_val *object, const char *key)
{
    return yyjson_obj_get(object, key);
}

static void check_ids(yyjson_val *row, const tp_ids *ids)
{
    yyjson_val *want = member(row, "ids");
    const char *tag = yyjson_get_str(member(row, "tag"));
    const size_t count = yyjson_arr_size(want);
    for (size_t i = 0; i < count && i < ids->count; i++) {
        const uint64_t id = yyjson_get_uint(yyjson_arr_get(want, i));
        if (ids->data[i] != id) {
            test_fail(__FILE__, __LINE__, "%s: id %zu is %u, not %llu, in '%.100s'", tag, i,
                      ids->data[i], (unsigned long long)id, yyjson_get_str(member(row, "text")));
        }
    }
    if (ids->count != count) {
        test_fail(__FILE__, __LINE__, "%s: %zu ids, not %zu, in '%.100s'", tag, ids->count, count,
                  yyjson_get_str(member(row, "text")));
    }
}

static void check_text(const tp_tokenizer *tokenizer, yyjson_val *row, const tp_ids *ids,
                       tp_str text)
{
    const tp_str back = cases_decode(tokenizer, ids->data, ids->count, true);
    yyjson_val *hex = member(row, "detok_hex");
    if (hex == NULL) {
        ASSERT(yyjson_get_bool(member(row, "round_trip")));
        ASSERT_EQ_BYTES(back.data, back.size, text.data, text.size);
        return;
    }
    ASSERT_EQ_UINT(back.size, yyjson_get_len(hex) / 2);
    for (size_t i = 0; i < back.size; i++) {
        char byte[3];
        (void)snprintf(byte, sizeof(byte), "%02x", (uint8_t)back.data[i]);
        ASSERT(memcmp(byte, yyjson_get_str(hex) + 2 * i, 2) == 0);
    }
}

static void check_row(const tp_tokenizer *tokenizer, yyjson_val *row)
{
    yyjson_val *value = member(row, "text");
    const tp_str text = {yyjson_get_str(value), yyjson_get_len(value)};
    uint32_t flags = yyjson_get_bool(member(row, "add_special")) ? TP_TOKENIZE_ADD : 0;
    flags |= yyjson_get_bool(member(row, "parse_special")) ? TP_TOKENIZE_SPECIAL : 0;
    tp_ids ids;
    tp_ids_init(&ids, tp_allocator_default());
    ASSERT_OK(tp_tokenizer_encode(tokenizer, text, flags, &ids, &test_err));
    check_ids(row, &ids);
    check_text(tokenizer, row, &ids, text);
    tp_ids_deinit(&ids);
}

static size_t check_rows(const tp_tokenizer *tokenizer, tp_str lines)
{
    size_t count = 0;
    for (size_t at = 0; at < lines.size; count++) {
        const char *end = memchr(lines.data + at, '\n', lines.size - at);
        const size_t size = end == NULL ? lines.size - at : (size_t)(end - lines.data) - at;
        yyjson_doc *doc = yyjson_read(lines.data + at, size, 0);
        ASSERT(doc != NULL);
        check_row(tokenizer, yyjson_doc_get_root(doc));
        yyjson_doc_free(doc);
        at += size + 1;
    }
    return count;
}

static void check_pieces(const tp_tokenizer *tokenizer, bool shows_special, const char *want)
{
    unsigned char digest[32];
    char hex[65];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    ASSERT(hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1);
    for (uint32_t id = 0; id < tp_tokenizer_vocab_count(tokenizer); id++) {
        const tp_str piece = shows_special ? tp_tokenizer_special_text(tokenizer, id)
                                           : tp_tokenizer_piece(tokenizer, id);
        const uint32_t size = (uint32_t)piece.size;
        const uint8_t head[4] = {(uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16),
                                 (uint8_t)(size >> 24)};
        ASSERT(EVP_DigestUpdate(hash, head, 4) == 1);
        ASSERT(EVP_DigestUpdate(hash, piece.data, piece.size) == 1);
    }
    ASSERT(EVP_DigestFinal_ex(hash, digest, NULL) == 1);
    EVP_MD_CTX_free(hash);
    for (size_t i = 0; i < 32; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    ASSERT_EQ_STR(hex, want);
}

static void check_model(const char *file_name, const char *name)
{
    char vectors[64];
    (void)snprintf(vectors, sizeof(vectors), "tokenizer_%s.jsonl", name);
    const tp_str lines = read_shared(vectors);
    const tp_str text = read_shared("summary.json");
    tp_tokenizer *tokenizer = cases_model(file_name);
    yyjson_doc *summary = yyjson_read(text.data, text.size, 0);
    yyjson_val *facts = member(yyjson_doc_get_root(summary), name);
    yyjson_val *hashes = member(facts, "pieces_sha256");
    yyjson_val *ends = member(facts, "eog_ids");
    uint32_t end_count = 0;
    const uint32_t *eog = tp_tokenizer_eog_ids(tokenizer, &end_count);
    ASSERT_EQ_UINT(end_count, yyjson_arr_size(ends));
    for (uint32_t i = 0; i < end_count; i++) {
        ASSERT_EQ_UINT(eog[i], yyjson_get_uint(yyjson_arr_get(ends, i)));
        ASSERT(tp_tokenizer_is_eog(tokenizer, eog[i]));
    }
    check_pieces(tokenizer, true, yyjson_get_str(member(hashes, "special_shown")));
    check_pieces(tokenizer, false, yyjson_get_str(member(hashes, "special_hidden")));
    ASSERT_EQ_UINT(check_rows(tokenizer, lines), yyjson_get_uint(member(facts, "tokenizer_rows")));
    yyjson_doc_free(summary);
    tp_tokenizer_free(tokenizer);
    tp_free(tp_allocator_default(), (char *)text.data, text.size + 1);
    tp_free(tp_allocator_default(), (char *)lines.data, lines.size + 1);
}

static void test_smollm2(void)
{
    check_model(SMOLLM2, "smollm2");
}

static void test_gemma3(void)
{
    check_model(GEMMA3, "gemma3");
}

TEST_MAIN(TEST(test_smollm2), TEST(test_gemma3))
