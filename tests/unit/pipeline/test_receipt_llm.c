// SPDX-License-Identifier: Apache-2.0
//
// What a receipt says of a generation reads back as it was written, to the byte, and anything else
// is refused with the member's name.
#include "pipeline/tp_receipt_llm.h"

#include "base/tp_alloc.h"
#include "table/tp_json.h"
#include "test.h"

#include <string.h>

static const uint32_t prompt[] = {1, 4294967295u, 17};
static const tp_logit_bias biases[] = {{20, -1.5f}, {4294967295u, 0.1f}};

static tp_receipt_generation make_generation(void)
{
    static const tp_str stops[] = {{"\n\"", 2}, {"", 0}};
    static const tp_grammar_source grammar = {
        .kind = TP_GRAMMAR_GBNF,
        .text = {"root ::= \"a\"\n", 13},
        .options = {.prefix = {"<t>\n", 4}, .suffix = {"</t>", 4}, .is_compact = true}};
    tp_receipt_generation it = {.context_length = 2048, .kv_is_q8 = true};
    tp_sampling_init(&it.request.sampling);
    it.request.prompt = prompt;
    it.request.prompt_count = 3;
    it.request.max_tokens = 9;
    it.request.choice_count = 2;
    it.request.stops = stops;
    it.request.stop_count = 2;
    it.request.ignores_eog = true;
    it.request.sampling.temperature = 0.1;
    it.request.sampling.frequency_penalty = -2;
    it.request.sampling.seed = UINT64_MAX;
    it.request.sampling.biases = biases;
    it.request.sampling.bias_count = 2;
    it.is_constrained = true;
    it.grammar = &grammar;
    it.request.trigger = (tp_str){"<t>", 3};
    it.request.triggers_once = true;
    return it;
}

static tapeout_status read_text(const char *text, tp_arena *arena, yyjson_doc **ret_doc,
                                tp_receipt_generation *ret_generation, tapeout_error *err)
{
    ASSERT_OK(
        tp_json_parse(tp_allocator_default(), tp_str_from(text), "generation", ret_doc, &test_err));
    return tp_receipt_generation_read(yyjson_doc_get_root(*ret_doc), arena, ret_generation, err);
}

static void write_text(const tp_receipt_generation *generation, tp_buffer *text)
{
    tp_buffer_init(text, tp_allocator_default(), 65536);
    tp_receipt_generation_write(generation, text);
    tp_buffer_append_char(text, '\0');
    ASSERT_OK(tp_buffer_check(text, "text", &test_err));
}

static void round_trip(tp_receipt_generation generation)
{
    tp_receipt_generation again;
    tp_buffer text;
    tp_buffer text_again;
    tp_arena arena;
    yyjson_doc *doc = NULL;
    tp_arena_init(&arena, tp_allocator_default(), 65536);
    write_text(&generation, &text);
    ASSERT_OK(read_text(text.data, &arena, &doc, &again, &test_err));
    write_text(&again, &text_again);
    ASSERT_EQ_STR(text_again.data, text.data);
    ASSERT_EQ_UINT(again.request.sampling.seed, UINT64_MAX);
    ASSERT(again.request.sampling.biases[1].bias == 0.1f && again.kv_is_q8);
    ASSERT((again.grammar != NULL) == (generation.grammar != NULL));
    yyjson_doc_free(doc);
    tp_arena_deinit(&arena);
    tp_buffer_deinit(&text);
    tp_buffer_deinit(&text_again);
}

static void test_round_trip(void)
{
    tp_receipt_generation generation = make_generation();
    round_trip(generation);
    generation.grammar = NULL; // held, but not kept: of an earlier tapeout
    round_trip(generation);
    generation.is_constrained = false;
    round_trip(generation);
}

static void test_kinds(void)
{
    static const tp_grammar_kind kinds[] = {TP_GRAMMAR_JSON_SCHEMA, TP_GRAMMAR_JSON_OBJECT,
                                            TP_GRAMMAR_GBNF, TP_GRAMMAR_REGEX};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const tp_grammar_source grammar = {.kind = kinds[i], .text = {"", 0}};
        tp_receipt_generation generation = make_generation();
        generation.grammar = &grammar;
        round_trip(generation);
    }
}

// Each member replaced by what it can't be.
static void try_member(const char *key, const char *value)
{
    const tp_receipt_generation generation = make_generation();
    tp_receipt_generation again;
    tp_buffer text;
    tp_arena arena;
    yyjson_doc *doc = NULL;
    tapeout_error err = {0};
    char mark[64];
    char changed[4096];
    tp_arena_init(&arena, tp_allocator_default(), 65536);
    write_text(&generation, &text);
    (void)snprintf(mark, sizeof(mark), "\"%s\":", key);
    const char *at = strstr(text.data, mark);
    ASSERT(at != NULL);
    (void)snprintf(changed, sizeof(changed), "%.*s\"%s\":%s,\"x%s", // the old one stays, as "x…"
                   (int)(at - text.data), text.data, key, value, at + 1);
    ASSERT(read_text(changed, &arena, &doc, &again, &err) == TAPEOUT_E_DATA);
    ASSERT(strstr(err.message, key) != NULL);
    yyjson_doc_free(doc);
    tp_arena_deinit(&arena);
    tp_buffer_deinit(&text);
}

static void test_wrong_members(void)
{
    static const char *const counts[] = {"context", "max_tokens", "choices", "top_k",
                                         "repeat_window"};
    static const char *const flags[] = {"kv_q8", "constrained", "ignores_eog", "shows_special"};
    static const char *const reals[] = {"temperature",      "top_p",          "min_p",
                                        "typical_p",        "repeat_penalty", "presence_penalty",
                                        "frequency_penalty"};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        try_member(counts[i], "-1");
        try_member(counts[i], "4294967296");
        try_member(counts[i], "1.5");
        try_member(counts[i], "null");
    }
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        try_member(flags[i], "0");
    }
    for (size_t i = 0; i < sizeof(reals) / sizeof(reals[0]); i++) {
        try_member(reals[i], "\"1\"");
    }
    try_member("kind", "\"bnf\"");
    try_member("text", "1");
    try_member("prefix", "null");
    try_member("suffix", "[]");
    try_member("compact", "0");
    try_member("trigger", "1");
    try_member("triggers_once", "null");
    try_member("grammar", "null");
    try_member("grammar", "[]");
    try_member("choices", "0");
    try_member("choices", "4000000000");
    try_member("seed", "-1");
    try_member("prompt", "{}");
    try_member("prompt", "[1,-1]");
    try_member("prompt", "[4294967296]");
    try_member("stops", "[1]");
    try_member("stops", "null");
    try_member("biases", "[1]");
    try_member("biases", "[[1]]");
    try_member("biases", "[[-1,0]]");
    try_member("biases", "[[1,1e39]]");
}

static void test_no_object(void)
{
    tp_receipt_generation again;
    tp_arena arena;
    yyjson_doc *doc = NULL;
    tp_arena_init(&arena, tp_allocator_default(), 65536);
    ASSERT_FAILS(read_text("[]", &arena, &doc, &again, &test_err), TAPEOUT_E_DATA, "JSON object");
    yyjson_doc_free(doc);
    tp_arena_deinit(&arena);
}

TEST_MAIN(TEST(test_round_trip), TEST(test_kinds), TEST(test_wrong_members), TEST(test_no_object))
