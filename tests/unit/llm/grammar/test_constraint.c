// SPDX-License-Identifier: Apache-2.0
//
// Masks, copies, forced text, the end; and that equal places share a mask without sharing a place.
#include "grammar_vocab.h"
#include "test.h"

#include <string.h>

static tp_env env;
static grammar_vocab vocab;

static void set_up(void)
{
    env = tp_env_plain();
    grammar_vocab_init(&vocab);
    grammar_vocab_index(&vocab);
}

static tp_constraint *begin(tp_grammar *grammar)
{
    tp_constraint *constraint = NULL;
    ASSERT_OK(tp_constraint_new(&env, grammar, vocab.index, &constraint, &test_err));
    return constraint;
}

static bool is_allowed(tp_constraint *constraint, const char *piece)
{
    const uint32_t *mask = NULL;
    ASSERT_OK(tp_constraint_mask(constraint, &mask, &test_err));
    for (uint32_t id = VOCAB_FIRST_BYTE; id < vocab.count; id++) {
        if (tp_str_equal(vocab.pieces[id], tp_str_from(piece))) {
            return (mask[id / 32] >> (id % 32) & 1) != 0;
        }
    }
    test_fail(__FILE__, __LINE__, "no piece '%s'", piece);
}

static void feed(tp_constraint *constraint, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        const uint32_t id = VOCAB_FIRST_BYTE + (uint8_t)*at;
        ASSERT_OK(tp_constraint_accept(constraint, id, &test_err));
    }
}

static void test_mask_and_end(void)
{
    set_up();
    tp_grammar *grammar = NULL;
    ASSERT_OK(tp_grammar_from_regex(&env, TP_STR("ab?|é"), NULL, &grammar, &test_err));
    tp_constraint *c = begin(grammar);
    const uint32_t *mask = NULL;
    ASSERT(is_allowed(c, "a") && is_allowed(c, "ab") && !is_allowed(c, "aa"));
    ASSERT(is_allowed(c, "\xc3") && is_allowed(c, "é") && !is_allowed(c, "è"));
    ASSERT_OK(tp_constraint_mask(c, &mask, &test_err));
    ASSERT_EQ_UINT(mask[0] & 3, 0); // neither the end nor a control token
    ASSERT_FAILS(tp_constraint_accept(c, VOCAB_EOG, &test_err), TAPEOUT_E_INVALID, "cannot come");
    ASSERT_FAILS(tp_constraint_accept(c, VOCAB_CONTROL, &test_err), TAPEOUT_E_INVALID, NULL);
    ASSERT_FAILS(tp_constraint_accept(c, vocab.count, &test_err), TAPEOUT_E_INVALID,
                 "not in the vocabulary");
    feed(c, "a");
    ASSERT(tp_constraint_is_complete(c) && !tp_constraint_is_finished(c));
    ASSERT_OK(tp_constraint_mask(c, &mask, &test_err));
    ASSERT_EQ_UINT(mask[0] & 3, 1);
    feed(c, "b");
    ASSERT(tp_constraint_is_finished(c));
    ASSERT_OK(tp_constraint_accept(c, VOCAB_EOG, &test_err));
    ASSERT_FAILS(tp_constraint_accept(c, VOCAB_EOG, &test_err), TAPEOUT_E_INVALID, "after the end");
    tp_constraint_free(c);
    tp_grammar_unref(grammar);
    grammar_vocab_deinit(&vocab);
}

static void test_copies_part_ways(void)
{
    set_up();
    tp_grammar *grammar = NULL;
    ASSERT_OK(tp_grammar_from_json_object(&env, NULL, &grammar, &test_err));
    tp_constraint *one = begin(grammar);
    tp_constraint *other = NULL;
    feed(one, "{\"a\":[");
    ASSERT_OK(tp_constraint_fork(one, &other, &test_err));
    feed(one, "]}");
    feed(other, "{\"b\":1}");
    ASSERT(tp_constraint_is_finished(one) && !tp_constraint_is_complete(other));
    ASSERT(is_allowed(other, "],") && !is_allowed(other, "}}"));
    tp_constraint_free(one);
    tp_constraint_free(other);
    tp_grammar_unref(grammar);
    grammar_vocab_deinit(&vocab);
}

// The same place at two depths has one mask kept, but "}]" and "}}" tell them apart.
static void test_depth_decides(void)
{
    set_up();
    tp_grammar *grammar = NULL;
    ASSERT_OK(tp_grammar_from_json_object(&env, NULL, &grammar, &test_err));
    tp_constraint *shallow = begin(grammar);
    tp_constraint *deep = begin(grammar);
    feed(shallow, "{\"k\":\"x");
    feed(deep, "{\"k\":[[[[{\"k\":\"x");
    ASSERT(is_allowed(shallow, "\"}") && !is_allowed(shallow, "\"}]"));
    ASSERT(is_allowed(deep, "\"}") && is_allowed(deep, "\"}]"));
    feed(deep, "\"}");
    ASSERT(is_allowed(deep, "]]") && !is_allowed(deep, "}}"));
    tp_constraint_free(shallow);
    tp_constraint_free(deep);
    tp_grammar_unref(grammar);
    grammar_vocab_deinit(&vocab);
}

// A token that reaches a counter below what the mask's key shows is decided by that counter.
static void test_counter_below_decides(void)
{
    set_up();
    tp_grammar *grammar = NULL;
    ASSERT_OK(tp_grammar_from_json_schema(
        &env,
        TP_STR("{\"type\":\"array\",\"minItems\":3,\"maxItems\":4,"
               "\"items\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":5}}"),
        NULL, &grammar, &test_err));
    tp_constraint *c = begin(grammar);
    feed(c, "[\"a\",\"b\",\"c");
    ASSERT(is_allowed(c, "\",\"") && is_allowed(c, "\","));
    feed(c, "\",\"d");
    ASSERT(!is_allowed(c, "\",\"") && !is_allowed(c, "\",") && is_allowed(c, "\""));
    tp_constraint_free(c);
    tp_grammar_unref(grammar);
    grammar_vocab_deinit(&vocab);
}

static void test_forced_text(void)
{
    set_up();
    tp_grammar *grammar = NULL;
    char bytes[64];
    size_t size = 0;
    const tp_grammar_options options = {
        .prefix = TP_STR("<call>"), .suffix = TP_STR("</call>"), .is_compact = true};
    ASSERT_OK(tp_grammar_from_json_schema(
        &env,
        TP_STR("{\"type\":\"object\",\"properties\":{\"n\":{\"enum\":[1,2]}},"
               "\"required\":[\"n\"]}"),
        &options, &grammar, &test_err));
    tp_constraint *c = begin(grammar);
    ASSERT_OK(tp_constraint_forced(c, bytes, sizeof(bytes), &size, &test_err));
    ASSERT_EQ_BYTES(bytes, size, "<call>{\"n\":", 11);
    ASSERT_OK(tp_constraint_forced(c, bytes, 3, &size, &test_err));
    ASSERT_EQ_UINT(size, 3);
    feed(c, "<call>{\"n\":1");
    ASSERT_OK(tp_constraint_forced(c, bytes, sizeof(bytes), &size, &test_err));
    ASSERT_EQ_BYTES(bytes, size, "}</call>", 8);
    tp_constraint_free(c);
    tp_grammar_unref(grammar);
    grammar_vocab_deinit(&vocab);
}

// Near the greatest depth the mask leaves room for closing what is open.
static void test_no_dead_end_in_the_depth(void)
{
    set_up();
    tp_grammar *grammar = NULL;
    ASSERT_OK(tp_grammar_from_gbnf(&env, TP_STR("root ::= \"(\" root \")\" | \"x\""), NULL,
                                   &grammar, &test_err));
    tp_constraint *c = begin(grammar);
    size_t depth = 0;
    while (is_allowed(c, "(")) {
        feed(c, "(");
        depth++;
        ASSERT(depth < 10000);
    }
    ASSERT(depth > 400);
    feed(c, "x");
    for (size_t i = 0; i < depth; i++) {
        feed(c, ")");
    }
    ASSERT(tp_constraint_is_finished(c));
    tp_constraint_free(c);
    tp_grammar_unref(grammar);
    grammar_vocab_deinit(&vocab);
}

// A long counted string: near its bound the mask excludes what would run over it.
static void test_counter_near_its_bound(void)
{
    set_up();
    tp_grammar *grammar = NULL;
    ASSERT_OK(tp_grammar_from_json_schema(
        &env, TP_STR("{\"type\":\"string\",\"minLength\":9990,\"maxLength\":10000}"), NULL,
        &grammar, &test_err));
    tp_constraint *c = begin(grammar);
    feed(c, "\"");
    for (int i = 0; i < 9985; i++) {
        feed(c, "a");
        if (i % 500 == 0) {
            ASSERT(!is_allowed(c, "\"") &&
                   is_allowed(c, "----------------------------------------------"));
        }
    }
    ASSERT(!is_allowed(c, "aaaaaaaaaaaaaaaa") && is_allowed(c, "abc") && !is_allowed(c, "\""));
    feed(c, "aaaaaaaaaaaaa");
    ASSERT(is_allowed(c, "é") && is_allowed(c, "ab") && !is_allowed(c, "abc"));
    feed(c, "aa");
    ASSERT(!is_allowed(c, "a") && is_allowed(c, "\""));
    tp_constraint_free(c);
    tp_grammar_unref(grammar);
    grammar_vocab_deinit(&vocab);
}

static void test_vocabulary_without_a_way_on(void)
{
    const tp_str pieces[] = {TP_STR("</s>"), TP_STR("a")};
    const uint32_t eog[] = {0};
    const uint32_t bad[] = {2};
    tp_vocab_index *index = NULL;
    tp_grammar *grammar = NULL;
    tp_constraint *c = NULL;
    const uint32_t *mask = NULL;
    env = tp_env_plain();
    ASSERT_FAILS(tp_vocab_index_new(&env, pieces, 2, bad, 1, &index, &test_err), TAPEOUT_E_INVALID,
                 "token 2");
    ASSERT_OK(tp_vocab_index_new(&env, pieces, 2, eog, 1, &index, &test_err));
    ASSERT_EQ_UINT(tp_vocab_index_count(index), 2);
    ASSERT_OK(tp_grammar_from_regex(&env, TP_STR("ab"), NULL, &grammar, &test_err));
    ASSERT_OK(tp_constraint_new(&env, grammar, index, &c, &test_err));
    ASSERT_OK(tp_constraint_accept(c, 1, &test_err));
    ASSERT_FAILS(tp_constraint_mask(c, &mask, &test_err), TAPEOUT_E_DATA, "no token");
    tp_constraint_free(c);
    tp_grammar_unref(grammar);
    tp_vocab_index_free(index);
}

// More ways than the limit is an error with its name, not an explosion.
static void test_too_ambiguous(void)
{
    set_up();
    tp_grammar *grammar = NULL;
    ASSERT_OK(tp_grammar_from_regex(&env, TP_STR("((a|aa){5,90000}(a|aa){5,90000})b"), NULL,
                                    &grammar, &test_err));
    tp_constraint *c = begin(grammar);
    tapeout_status status = TAPEOUT_OK;
    for (int i = 0; i < 3000 && status == TAPEOUT_OK; i++) {
        status = tp_constraint_accept(c, VOCAB_FIRST_BYTE + 'a', &test_err);
    }
    ASSERT_EQ_INT(status, TAPEOUT_E_LIMIT);
    tp_constraint_free(c);
    tp_grammar_unref(grammar);
    grammar_vocab_deinit(&vocab);
}

TEST_MAIN(TEST(test_mask_and_end), TEST(test_copies_part_ways), TEST(test_depth_decides),
          TEST(test_counter_below_decides), TEST(test_forced_text),
          TEST(test_no_dead_end_in_the_depth), TEST(test_counter_near_its_bound),
          TEST(test_vocabulary_without_a_way_on), TEST_SLOW(test_too_ambiguous, 400))
