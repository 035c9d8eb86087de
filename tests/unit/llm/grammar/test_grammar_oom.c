// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of compiling each notation, indexing a vocabulary, masks, steps and copies fails
// in turn.
#include "base/tp_error.h"
#include "llm/grammar/tp_grammar.h"
#include "test.h"

static const char schema[] =
    "{\"$defs\":{\"n\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/n\"},\"maxItems\":9}},"
    "\"properties\":{\"a\":{\"pattern\":\"^[^x]{2,9}$\",\"maxLength\":5},\"b\":{\"$ref\":"
    "\"#/$defs/"
    "n\"},\"c\":{\"anyOf\":[{\"type\":\"integer\",\"minimum\":1},{\"enum\":[null,1.5]}]}},"
    "\"additionalProperties\":{\"type\":\"string\"}}";

typedef struct made {
    tp_vocab_index *index;
    tp_grammar *grammar;
    tp_constraint *constraint;
    tp_constraint *copy;
} made;

static tapeout_status make(const tp_env *env, int notation, made *m, tapeout_error *err)
{
    static const tp_str pieces[] = {TP_STR("</s>"), TP_STR("a"),  TP_STR("{"),
                                    TP_STR("{\""),  TP_STR("ab"), TP_STR("a")};
    static const uint32_t eog[] = {0};
    const uint32_t *mask = NULL;
    TP_TRY(tp_vocab_index_new(env, pieces, 6, eog, 1, &m->index, err));
    if (notation == 0) {
        TP_TRY(tp_grammar_from_json_schema(env, TP_STR(schema), NULL, &m->grammar, err));
    } else if (notation == 1) {
        TP_TRY(tp_grammar_from_gbnf(env,
                                    TP_STR("root ::= x{1,9} [^é]?\nx ::= \"a\" | y\ny ::= \"b\""),
                                    NULL, &m->grammar, err));
    } else {
        TP_TRY(tp_grammar_from_regex(env, TP_STR("(a|[b-é]$)+.{4,9}"), NULL, &m->grammar, err));
    }
    TP_TRY(tp_constraint_new(env, m->grammar, m->index, &m->constraint, err));
    TP_TRY(tp_constraint_mask(m->constraint, &mask, err));
    TP_TRY(tp_constraint_accept(m->constraint, notation == 0 ? 2 : 1, err));
    return tp_constraint_fork(m->constraint, &m->copy, err);
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    made m = {0};
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    const tapeout_status status = make(&env, *(const int *)user, &m, err);
    tp_constraint_free(m.copy);
    tp_constraint_free(m.constraint);
    tp_grammar_unref(m.grammar);
    tp_vocab_index_free(m.index);
    return status;
}

static void test_schema(void)
{
    int notation = 0;
    test_out_of_memory(scenario, &notation);
}

static void test_gbnf(void)
{
    int notation = 1;
    test_out_of_memory(scenario, &notation);
}

static void test_regex(void)
{
    int notation = 2;
    test_out_of_memory(scenario, &notation);
}

TEST_MAIN(TEST(test_schema), TEST(test_gbnf), TEST(test_regex))
