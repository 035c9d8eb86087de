// SPDX-License-Identifier: Apache-2.0
//
// Tree to instructions: what the checker (feature_check.c) and the functions (feature_call.c)
// share.
#ifndef FEATURE_CHECK_H
#define FEATURE_CHECK_H

#include "feature/feature_code.h"

// -- tree to instructions ------------------------------------------------------------------------
typedef struct tp_feature_checker {
    tp_feature_program *program;
    const tp_env *env;
    bool with_zones; // read zones from the system; otherwise the state brings them
    uint32_t *slots; // hash of instructions: index + 1
    uint32_t slot_count;
    tp_dict name_index; // of program->names
    tapeout_error *err;
} tp_feature_checker;

tapeout_status tp_feature_check(tp_feature_checker *checker, const tp_feature_line *lines);
tapeout_status tp_feature_check_node(tp_feature_checker *checker, const tp_feature_node *node,
                                     uint32_t *ret_instr);
// A call while its function is being checked.
typedef struct tp_feature_call {
    tp_feature_checker *checker;
    const tp_feature_node *node;
    tp_feature_function function;
    const tp_feature_node *args[TP_MAX_FEATURE_ARGUMENTS]; // by parameter; NULL: not given
    uint32_t count;                                        // up to the last one given
} tp_feature_call;

const char *tp_feature_call_name(const tp_feature_call *c);
tapeout_status tp_feature_place_arguments(tp_feature_call *c);
// The argument at `index` compiled as a number, truth value or text.
tapeout_status tp_feature_argument(tp_feature_call *c, uint32_t index, tp_feature_type type,
                                   uint32_t *ret_instr);
// A whole number literal between `low` and `high`; `*value` stays where it is not given.
tapeout_status tp_feature_literal_count(tp_feature_call *c, uint32_t index, double low, double high,
                                        double *value);
// One of `words`, written bare; `*ret_word` stays where it is not given.
tapeout_status tp_feature_literal_word(tp_feature_call *c, uint32_t index, const tp_str *words,
                                       size_t count, uint32_t *ret_word);

// Function calls whose arguments have been put in the order of the parameters.
tapeout_status tp_feature_check_call(tp_feature_checker *checker, const tp_feature_node *node,
                                     uint32_t *ret_instr);
// The instruction of that code, made when it is new.
tapeout_status tp_feature_emit(tp_feature_checker *checker, tp_feature_place place,
                               const tp_feature_code *code, uint32_t *ret_instr);
tapeout_status tp_feature_emit_number(tp_feature_checker *checker, tp_feature_place place,
                                      double number, uint32_t *ret_instr);
// Compiles `node` and demands a type: NUMBER accepts truth values, TEXT prints what is none.
tapeout_status tp_feature_check_as(tp_feature_checker *checker, const tp_feature_node *node,
                                   tp_feature_type type, const char *what, uint32_t *ret_instr);
// Makes `a` and `b` the same type where a sensible conversion exists (date to timestamp, truth
// value to number, a text literal to a date or timestamp); false where none does.
tapeout_status tp_feature_unify(tp_feature_checker *checker, tp_feature_place place, uint32_t *a,
                                uint32_t *b, bool *ret_same);

static inline tp_feature_type tp_feature_type_of(const tp_feature_checker *checker, uint32_t instr)
{
    return (tp_feature_type)checker->program->instrs[instr].code.type;
}

#endif
