// SPDX-License-Identifier: Apache-2.0
//
// What the targets of constrained output do with what they compiled: it is walked with bytes as
// tokens. A mask is never empty, a token is accepted if and only if the mask has it, and a copy
// stands where the original does. What does not compile is refused with a status that says why.
#ifndef GRAMMAR_WALKER_H
#define GRAMMAR_WALKER_H

#include "base/tp_alloc.h"
#include "llm/grammar/tp_grammar.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS = 24 };

static void grammar_check(bool condition)
{
    if (!condition) {
        abort();
    }
}

// Every byte is a token; token 256 ends.
static tp_vocab_index *make_index(const tp_env *env)
{
    static char bytes[256];
    tp_str pieces[257] = {{NULL, 0}};
    const uint32_t eog[] = {256};
    tp_vocab_index *index = NULL;
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        pieces[i] = (tp_str){&bytes[i], 1};
    }
    grammar_check(tp_vocab_index_new(env, pieces, 257, eog, 1, &index, NULL) == TAPEOUT_OK);
    return index;
}

static bool is_set(const uint32_t *mask, uint32_t id)
{
    return (mask[id / 32] >> (id % 32) & 1) != 0;
}

// One of the allowed tokens, by a number; and one that is not is refused.
static uint32_t choose(tp_constraint *constraint, const uint32_t *mask, uint32_t number)
{
    uint32_t count = 0;
    uint32_t chosen = 257;
    for (uint32_t id = 0; id < 257; id++) {
        count += is_set(mask, id);
    }
    grammar_check(count > 0);
    number %= count;
    for (uint32_t id = 0; id < 257; id++) {
        if (is_set(mask, id) && number-- == 0) {
            chosen = id;
        } else if (!is_set(mask, id) && id % 16 == 3) {
            grammar_check(tp_constraint_accept(constraint, id, NULL) != TAPEOUT_OK);
        }
    }
    return chosen;
}

static void walk(const tp_env *env, tp_grammar *grammar, const uint8_t *data, size_t size)
{
    tp_vocab_index *index = make_index(env);
    tp_constraint *constraint = NULL;
    grammar_check(tp_constraint_new(env, grammar, index, &constraint, NULL) == TAPEOUT_OK);
    for (size_t i = 0; i < STEPS; i++) {
        const uint32_t *mask = NULL;
        tp_constraint *copy = NULL;
        const tapeout_status status = tp_constraint_mask(constraint, &mask, NULL);
        if (status != TAPEOUT_OK) {
            grammar_check(status == TAPEOUT_E_LIMIT);
            break;
        }
        const uint32_t id = choose(constraint, mask, size == 0 ? 0 : data[i % size] * 31u);
        grammar_check(tp_constraint_fork(constraint, &copy, NULL) == TAPEOUT_OK);
        const tapeout_status one = tp_constraint_accept(constraint, id, NULL);
        grammar_check(one == tp_constraint_accept(copy, id, NULL));
        grammar_check(one == TAPEOUT_OK);
        tp_constraint_free(copy);
        if (id == 256) {
            break;
        }
    }
    tp_constraint_free(constraint);
    tp_vocab_index_free(index);
}

typedef tapeout_status grammar_compile_fn(const tp_env *env, tp_str text,
                                          const tp_grammar_options *options, tp_grammar **ret,
                                          tapeout_error *err);

static int grammar_fuzz(grammar_compile_fn *compile, const uint8_t *data, size_t size)
{
    const tp_env env = tp_env_plain();
    tp_grammar *grammar = NULL;
    tapeout_error err = {0};
    const tp_str text = {(const char *)data, size};
    const tapeout_status status = compile(&env, text, NULL, &grammar, &err);
    if (status == TAPEOUT_OK) {
        walk(&env, grammar, data, size);
    } else {
        grammar_check(status == TAPEOUT_E_INVALID || status == TAPEOUT_E_UNSUPPORTED ||
                      status == TAPEOUT_E_LIMIT);
        grammar_check(err.message[0] != '\0');
    }
    tp_grammar_unref(grammar);
    return 0;
}

#endif
