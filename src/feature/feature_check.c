// SPDX-License-Identifier: Apache-2.0
//
// The checker: a tree becomes instructions, and every type error becomes a sentence with line and
// column. An instruction is its code; one that exists already is used again, so that the same
// category() or the same local time is computed once however often it is written. Names on the
// right are raw columns first, then earlier features.
//
// Truth values count as numbers wherever numbers are wanted; nothing else converts silently but a
// date to a timestamp, and a text literal beside a date or timestamp.
#include "feature/feature_check.h"

#include "table/tp_value.h"

#include <string.h>

const char *tp_feature_type_name(tp_feature_type type)
{
    switch (type) {
    case TP_FEATURE_NUMBER:
        return "a number";
    case TP_FEATURE_BOOL:
        return "a truth value";
    case TP_FEATURE_DATE:
        return "a date";
    case TP_FEATURE_TIMESTAMP:
        return "a timestamp";
    case TP_FEATURE_TEXT:
        return "a text";
    case TP_FEATURE_CATEGORY:
        return "a category";
    case TP_FEATURE_ONEHOT:
        return "a set of onehot columns";
    case TP_FEATURE_LEVEL:
        break;
    }
    return "a level";
}

static bool has_memo(uint32_t op)
{
    return (op >= TP_OP_LOWER && op <= TP_OP_HASH && op != TP_OP_TEXT_MISSING) ||
           op == TP_OP_IMPUTE_TEXT || op == TP_OP_LEVELS;
}

static bool has_fitted(uint32_t op)
{
    return op >= TP_OP_IMPUTE && op <= TP_OP_ONEHOT;
}

// -- emitting ------------------------------------------------------------------------------------
static uint64_t code_hash(const tp_feature_code *code)
{
    return tp_str_hash((tp_str){(const char *)code, sizeof(*code)});
}

static tapeout_status grow_slots(tp_feature_checker *checker)
{
    const tapeout_allocator *alloc = checker->program->alloc;
    const uint32_t count = checker->slot_count == 0 ? 64 : checker->slot_count * 2;
    uint32_t *slots = tp_alloc_array_zero(alloc, count, sizeof(uint32_t));
    if (slots == NULL) {
        return tp_fail_nomem(checker->err);
    }
    for (uint32_t i = 0; i < checker->program->instr_count; i++) {
        uint64_t at = code_hash(&checker->program->instrs[i].code);
        while (slots[at & (count - 1)] != 0) {
            at++;
        }
        slots[at & (count - 1)] = i + 1;
    }
    tp_free_array(alloc, checker->slots, checker->slot_count, sizeof(uint32_t));
    checker->slots = slots;
    checker->slot_count = count;
    return TAPEOUT_OK;
}

static tapeout_status add_fitted(tp_feature_checker *checker, uint32_t instr, uint32_t *ret_index)
{
    tp_feature_program *program = checker->program;
    tp_feature_fitted *fitted =
        tp_resize_array(program->alloc, program->fitted, program->fitted_count,
                        (size_t)program->fitted_count + 1, sizeof(tp_feature_fitted));
    if (fitted == NULL) {
        return tp_fail_nomem(checker->err);
    }
    program->fitted = fitted;
    fitted[program->fitted_count] = (tp_feature_fitted){.instr = instr, .scale = 1};
    tp_dict_init(&fitted[program->fitted_count].levels, program->alloc);
    *ret_index = program->fitted_count++;
    return TAPEOUT_OK;
}

static tapeout_status reserve_instr(tp_feature_checker *checker, tp_feature_place place)
{
    tp_feature_program *program = checker->program;
    if (program->instr_count < program->instr_capacity) {
        return TAPEOUT_OK;
    }
    if (program->instr_count == TP_MAX_FEATURE_INSTRUCTIONS) {
        return tp_feature_fail(checker->err, place, "the program has more than %u operations",
                               TP_MAX_FEATURE_INSTRUCTIONS);
    }
    const uint32_t capacity = program->instr_capacity == 0 ? 64 : program->instr_capacity * 2;
    tp_feature_instr *instrs = tp_resize_array(program->alloc, program->instrs,
                                               program->instr_capacity, capacity, sizeof(*instrs));
    if (instrs == NULL) {
        return tp_fail_nomem(checker->err);
    }
    program->instrs = instrs;
    program->instr_capacity = capacity;
    return TAPEOUT_OK;
}

tapeout_status tp_feature_emit(tp_feature_checker *checker, tp_feature_place place,
                               const tp_feature_code *code, uint32_t *ret_instr)
{
    tp_feature_program *program = checker->program;
    if (program->instr_count * 2 >= checker->slot_count) {
        TP_TRY(grow_slots(checker));
    }
    uint64_t at = code_hash(code);
    const uint32_t mask = checker->slot_count - 1;
    for (; checker->slots[at & mask] != 0; at++) {
        const uint32_t found = checker->slots[at & mask] - 1;
        if (memcmp(&program->instrs[found].code, code, sizeof(*code)) == 0) {
            *ret_instr = found;
            return TAPEOUT_OK;
        }
    }
    TP_TRY(reserve_instr(checker, place));
    const uint32_t number = program->instr_count;
    tp_feature_instr instr = {.code = *code,
                              .place = place,
                              .fitted = TP_FEATURE_NONE,
                              .memo = TP_FEATURE_NONE,
                              .lag = TP_FEATURE_NONE};
    if (has_fitted(code->op)) {
        TP_TRY(add_fitted(checker, number, &instr.fitted));
    }
    if (has_memo(code->op)) {
        instr.memo = program->memo_count++;
    }
    if (code->op == TP_OP_LAG) {
        instr.lag = program->lag_count++;
    }
    program->instrs[program->instr_count++] = instr;
    checker->slots[at & mask] = number + 1;
    *ret_instr = number;
    return TAPEOUT_OK;
}

tapeout_status tp_feature_emit_number(tp_feature_checker *checker, tp_feature_place place,
                                      double number, uint32_t *ret_instr)
{
    const tp_feature_code code = {.op = TP_OP_NUMBER,
                                  .type = TP_FEATURE_NUMBER,
                                  .a = TP_FEATURE_NONE,
                                  .b = TP_FEATURE_NONE,
                                  .c = TP_FEATURE_NONE,
                                  .number = number};
    return tp_feature_emit(checker, place, &code, ret_instr);
}

static tapeout_status emit_binary(tp_feature_checker *checker, tp_feature_place place,
                                  tp_feature_code code, uint32_t *ret_instr)
{
    code.c = TP_FEATURE_NONE;
    return tp_feature_emit(checker, place, &code, ret_instr);
}

// -- names ---------------------------------------------------------------------------------------
static tapeout_status fail_unknown(tp_feature_checker *checker, const tp_feature_node *node)
{
    const tp_schema *schema = &checker->program->schema;
    const size_t count = (size_t)schema->count + checker->program->name_count;
    tp_str *names = tp_arena_array(&checker->program->arena, count, sizeof(tp_str));
    if (names == NULL) {
        return tp_fail_nomem(checker->err);
    }
    for (uint32_t i = 0; i < schema->count; i++) {
        names[i] = schema->fields[i].name;
    }
    for (uint32_t i = 0; i < checker->program->name_count; i++) {
        names[schema->count + i] = checker->program->names[i].name;
    }
    const int nearest = tp_str_nearest(node->text, names, count);
    if (nearest >= 0) {
        return tp_feature_fail(checker->err, node->place,
                               "no column or earlier feature is called '%.*s'; did you mean "
                               "'%.*s'?",
                               TP_STR_ARGS(node->text), TP_STR_ARGS(names[nearest]));
    }
    const char *function = tp_feature_function_find(node->text) < TP_FUNCTION_COUNT
                               ? "; as a function it needs (...)"
                               : "";
    return tp_feature_fail(checker->err, node->place,
                           "no column or earlier feature is called '%.*s'%s",
                           TP_STR_ARGS(node->text), function);
}

static tp_feature_type type_of_column(tapeout_type type)
{
    switch (type) {
    case TAPEOUT_TYPE_BOOL:
        return TP_FEATURE_BOOL;
    case TAPEOUT_TYPE_INT64:
    case TAPEOUT_TYPE_FLOAT64:
        return TP_FEATURE_NUMBER;
    case TAPEOUT_TYPE_DATE:
        return TP_FEATURE_DATE;
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        return TP_FEATURE_TIMESTAMP;
    case TAPEOUT_TYPE_STRING:
        break;
    }
    return TP_FEATURE_TEXT;
}

static tapeout_status check_name(tp_feature_checker *checker, const tp_feature_node *node,
                                 uint32_t *ret_instr)
{
    const tp_schema *schema = &checker->program->schema;
    const int64_t column = tp_schema_find(schema, node->text);
    if (column >= 0) {
        const tp_feature_code code = {.op = TP_OP_COLUMN,
                                      .type = type_of_column(schema->fields[column].type),
                                      .a = TP_FEATURE_NONE,
                                      .b = TP_FEATURE_NONE,
                                      .c = TP_FEATURE_NONE,
                                      .index = (uint32_t)column};
        return tp_feature_emit(checker, node->place, &code, ret_instr);
    }
    const int64_t feature = tp_dict_find(&checker->name_index, node->text);
    if (feature < 0) {
        return fail_unknown(checker, node);
    }
    *ret_instr = checker->program->names[feature].instr;
    return TAPEOUT_OK;
}

static tapeout_status check_string(tp_feature_checker *checker, const tp_feature_node *node,
                                   uint32_t *ret_instr)
{
    tp_feature_code code = {.op = TP_OP_TEXT,
                            .type = TP_FEATURE_TEXT,
                            .a = TP_FEATURE_NONE,
                            .b = TP_FEATURE_NONE,
                            .c = TP_FEATURE_NONE};
    if (tp_dict_add(&checker->program->constants, node->text, &code.index) != TAPEOUT_OK) {
        return tp_fail_nomem(checker->err);
    }
    return tp_feature_emit(checker, node->place, &code, ret_instr);
}

// -- types ---------------------------------------------------------------------------------------
tapeout_status tp_feature_check_as(tp_feature_checker *checker, const tp_feature_node *node,
                                   tp_feature_type type, const char *what, uint32_t *ret_instr)
{
    TP_TRY(tp_feature_check_node(checker, node, ret_instr));
    const tp_feature_type got = tp_feature_type_of(checker, *ret_instr);
    if (got == type || (type == TP_FEATURE_NUMBER && got == TP_FEATURE_BOOL)) {
        return TAPEOUT_OK;
    }
    if (type == TP_FEATURE_TEXT && got <= TP_FEATURE_TIMESTAMP) {
        return emit_binary(checker, node->place,
                           (tp_feature_code){.op = TP_OP_PRINT,
                                             .type = TP_FEATURE_TEXT,
                                             .a = *ret_instr,
                                             .b = TP_FEATURE_NONE,
                                             .index = (uint32_t)got},
                           ret_instr);
    }
    const char *hint = type == TP_FEATURE_BOOL && got == TP_FEATURE_NUMBER
                           ? "; compare it with something, such as x != 0"
                           : "";
    return tp_feature_fail(checker->err, node->place, "%s takes %s, and this is %s%s", what,
                           tp_feature_type_name(type), tp_feature_type_name(got), hint);
}

// A text literal in `instr` as a time, when it is one; date or timestamp by what it says.
static tapeout_status literal_time(tp_feature_checker *checker, tp_feature_place place,
                                   uint32_t *instr)
{
    const tp_feature_program *program = checker->program;
    const tp_feature_code *code = &program->instrs[*instr].code;
    if (code->op != TP_OP_TEXT) {
        return TAPEOUT_OK;
    }
    const tp_str text = tp_dict_get(&program->constants, code->index);
    tp_feature_code time = {
        .op = TP_OP_NUMBER, .a = TP_FEATURE_NONE, .b = TP_FEATURE_NONE, .c = TP_FEATURE_NONE};
    int32_t days = 0;
    int64_t us = 0;
    bool has_zone = false;
    if (tp_parse_date(text, &days)) {
        time.type = TP_FEATURE_DATE;
        time.number = days;
    } else if (tp_parse_timestamp(text, &us, &has_zone)) {
        time.type = TP_FEATURE_TIMESTAMP;
        time.number = (double)us;
    } else {
        return tp_feature_fail(checker->err, place,
                               "\"%.*s\" is no date or timestamp; write YYYY-MM-DD or "
                               "YYYY-MM-DD HH:MM:SS",
                               TP_STR_ARGS(text));
    }
    return tp_feature_emit(checker, place, &time, instr);
}

// A date as the timestamp of its midnight.
static tapeout_status date_to_timestamp(tp_feature_checker *checker, tp_feature_place place,
                                        uint32_t *instr)
{
    if (tp_feature_type_of(checker, *instr) != TP_FEATURE_DATE) {
        return TAPEOUT_OK;
    }
    uint32_t factor = 0;
    TP_TRY(tp_feature_emit_number(checker, place, TP_FEATURE_US_PER_DAY, &factor));
    return emit_binary(
        checker, place,
        (tp_feature_code){.op = TP_OP_MUL, .type = TP_FEATURE_TIMESTAMP, .a = *instr, .b = factor},
        instr);
}

static bool is_time(tp_feature_type type)
{
    return type == TP_FEATURE_DATE || type == TP_FEATURE_TIMESTAMP;
}

tapeout_status tp_feature_unify(tp_feature_checker *checker, tp_feature_place place, uint32_t *a,
                                uint32_t *b, bool *ret_same)
{
    if (is_time(tp_feature_type_of(checker, *a)) &&
        tp_feature_type_of(checker, *b) == TP_FEATURE_TEXT) {
        TP_TRY(literal_time(checker, place, b));
    } else if (is_time(tp_feature_type_of(checker, *b)) &&
               tp_feature_type_of(checker, *a) == TP_FEATURE_TEXT) {
        TP_TRY(literal_time(checker, place, a));
    }
    const tp_feature_type left = tp_feature_type_of(checker, *a);
    const tp_feature_type right = tp_feature_type_of(checker, *b);
    *ret_same = left == right || (left <= TP_FEATURE_BOOL && right <= TP_FEATURE_BOOL);
    if (is_time(left) && is_time(right) && left != right) {
        TP_TRY(date_to_timestamp(checker, place, a));
        TP_TRY(date_to_timestamp(checker, place, b));
        *ret_same = true;
    }
    *ret_same = *ret_same && left < TP_FEATURE_CATEGORY;
    return TAPEOUT_OK;
}

// -- operators -----------------------------------------------------------------------------------
static const char *sign_of(tp_feature_token_kind kind)
{
    static const char *const signs[] = {
        "+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "and", "or", "not"};
    return signs[kind - TP_TOKEN_ADD];
}

static tapeout_status fail_types(tp_feature_checker *checker, const tp_feature_node *node,
                                 uint32_t a, uint32_t b)
{
    const tp_feature_type left = tp_feature_type_of(checker, a);
    const tp_feature_type right = tp_feature_type_of(checker, b);
    const bool texts = left == TP_FEATURE_TEXT && right == TP_FEATURE_TEXT;
    return tp_feature_fail(checker->err, node->place, "'%s' between %s and %s has no meaning%s",
                           sign_of(node->op), tp_feature_type_name(left),
                           tp_feature_type_name(right),
                           texts && node->op == TP_TOKEN_ADD ? "; use concat(a, b)" : "");
}

// Days between dates, seconds between timestamps.
static tapeout_status emit_time_difference(tp_feature_checker *checker, tp_feature_place place,
                                           uint32_t a, uint32_t b, uint32_t *ret_instr)
{
    const bool is_date = tp_feature_type_of(checker, a) == TP_FEATURE_DATE;
    TP_TRY(emit_binary(
        checker, place,
        (tp_feature_code){.op = TP_OP_SUB, .type = TP_FEATURE_NUMBER, .a = a, .b = b}, ret_instr));
    if (is_date) {
        return TAPEOUT_OK;
    }
    uint32_t unit = 0;
    TP_TRY(tp_feature_emit_number(checker, place, TP_FEATURE_US_PER_SECOND, &unit));
    return emit_binary(
        checker, place,
        (tp_feature_code){.op = TP_OP_DIV, .type = TP_FEATURE_NUMBER, .a = *ret_instr, .b = unit},
        ret_instr);
}

static tapeout_status check_arithmetic(tp_feature_checker *checker, const tp_feature_node *node,
                                       uint32_t *ret_instr)
{
    uint32_t a = 0;
    uint32_t b = 0;
    bool same = false;
    TP_TRY(tp_feature_check_node(checker, node->args[0], &a));
    TP_TRY(tp_feature_check_node(checker, node->args[1], &b));
    if (node->op == TP_TOKEN_SUB) {
        TP_TRY(tp_feature_unify(checker, node->place, &a, &b, &same));
        if (same && is_time(tp_feature_type_of(checker, a))) {
            return emit_time_difference(checker, node->place, a, b, ret_instr);
        }
    }
    if (tp_feature_type_of(checker, a) > TP_FEATURE_BOOL ||
        tp_feature_type_of(checker, b) > TP_FEATURE_BOOL) {
        return fail_types(checker, node, a, b);
    }
    const uint32_t op = TP_OP_ADD + (uint32_t)(node->op - TP_TOKEN_ADD);
    return emit_binary(checker, node->place,
                       (tp_feature_code){.op = op, .type = TP_FEATURE_NUMBER, .a = a, .b = b},
                       ret_instr);
}

static tapeout_status check_comparison(tp_feature_checker *checker, const tp_feature_node *node,
                                       uint32_t *ret_instr)
{
    static const uint32_t ops[] = {TP_OP_EQ, TP_OP_NE, TP_OP_LT, TP_OP_LE, TP_OP_LT, TP_OP_LE};
    uint32_t a = 0;
    uint32_t b = 0;
    bool same = false;
    TP_TRY(tp_feature_check_node(checker, node->args[0], &a));
    TP_TRY(tp_feature_check_node(checker, node->args[1], &b));
    TP_TRY(tp_feature_unify(checker, node->place, &a, &b, &same));
    if (!same) {
        return fail_types(checker, node, a, b);
    }
    if (tp_feature_type_of(checker, a) == TP_FEATURE_TEXT) {
        TP_TRY(emit_binary(
            checker, node->place,
            (tp_feature_code){.op = TP_OP_COMPARE, .type = TP_FEATURE_NUMBER, .a = a, .b = b}, &a));
        TP_TRY(tp_feature_emit_number(checker, node->place, 0, &b));
    }
    const bool swapped = node->op == TP_TOKEN_GT || node->op == TP_TOKEN_GE;
    return emit_binary(checker, node->place,
                       (tp_feature_code){.op = ops[node->op - TP_TOKEN_EQ],
                                         .type = TP_FEATURE_BOOL,
                                         .a = swapped ? b : a,
                                         .b = swapped ? a : b},
                       ret_instr);
}

static tapeout_status check_binary(tp_feature_checker *checker, const tp_feature_node *node,
                                   uint32_t *ret_instr)
{
    if (node->op <= TP_TOKEN_MOD) {
        return check_arithmetic(checker, node, ret_instr);
    }
    if (node->op <= TP_TOKEN_GE) {
        return check_comparison(checker, node, ret_instr);
    }
    tp_feature_code code = {.op = node->op == TP_TOKEN_AND ? TP_OP_AND : TP_OP_OR,
                            .type = TP_FEATURE_BOOL};
    const char *what = sign_of(node->op);
    TP_TRY(tp_feature_check_as(checker, node->args[0], TP_FEATURE_BOOL, what, &code.a));
    TP_TRY(tp_feature_check_as(checker, node->args[1], TP_FEATURE_BOOL, what, &code.b));
    return emit_binary(checker, node->place, code, ret_instr);
}

static tapeout_status check_unary(tp_feature_checker *checker, const tp_feature_node *node,
                                  uint32_t *ret_instr)
{
    const bool is_not = node->op == TP_TOKEN_NOT;
    tp_feature_code code = {.op = is_not ? TP_OP_NOT : TP_OP_NEG,
                            .type = is_not ? TP_FEATURE_BOOL : TP_FEATURE_NUMBER,
                            .b = TP_FEATURE_NONE};
    TP_TRY(tp_feature_check_as(checker, node->args[0], (tp_feature_type)code.type,
                               sign_of(node->op), &code.a));
    return emit_binary(checker, node->place, code, ret_instr);
}

tapeout_status tp_feature_check_node(tp_feature_checker *checker, const tp_feature_node *node,
                                     uint32_t *ret_instr)
{
    switch (node->kind) {
    case TP_NODE_NUMBER:
        return tp_feature_emit_number(checker, node->place, node->number, ret_instr);
    case TP_NODE_BOOL:
        return emit_binary(checker, node->place,
                           (tp_feature_code){.op = TP_OP_NUMBER,
                                             .type = TP_FEATURE_BOOL,
                                             .a = TP_FEATURE_NONE,
                                             .b = TP_FEATURE_NONE,
                                             .number = node->number},
                           ret_instr);
    case TP_NODE_STRING:
        return check_string(checker, node, ret_instr);
    case TP_NODE_NAME:
        return check_name(checker, node, ret_instr);
    case TP_NODE_CALL:
        return tp_feature_check_call(checker, node, ret_instr);
    case TP_NODE_UNARY:
        return check_unary(checker, node, ret_instr);
    case TP_NODE_BINARY:
        break;
    }
    return check_binary(checker, node, ret_instr);
}

// -- lines ---------------------------------------------------------------------------------------
static tapeout_status check_output(tp_feature_checker *checker, const tp_feature_line *line,
                                   uint32_t instr)
{
    const tp_feature_type type = tp_feature_type_of(checker, instr);
    if (line->name.data[0] == '_' || type <= TP_FEATURE_BOOL || type == TP_FEATURE_CATEGORY ||
        type == TP_FEATURE_ONEHOT) {
        return TAPEOUT_OK;
    }
    if (type == TP_FEATURE_TEXT) {
        return tp_feature_fail(checker->err, line->place,
                               "'%.*s' is a text, and a feature is a number or a category; wrap it "
                               "in category(...), or begin the name with '_' if it is only a step",
                               TP_STR_ARGS(line->name));
    }
    return tp_feature_fail(checker->err, line->place,
                           "'%.*s' is %s, and a feature is a number or a category; take a part, "
                           "such as weekday(...), or a difference, such as days_between(a, b)",
                           TP_STR_ARGS(line->name), tp_feature_type_name(type));
}

static tapeout_status add_name(tp_feature_checker *checker, const tp_feature_line *line,
                               uint32_t instr)
{
    tp_feature_program *program = checker->program;
    if (program->name_count == program->name_capacity) {
        const uint32_t capacity = program->name_capacity == 0 ? 16 : program->name_capacity * 2;
        tp_feature_name *names = tp_resize_array(program->alloc, program->names,
                                                 program->name_capacity, capacity, sizeof(*names));
        if (names == NULL) {
            return tp_fail_nomem(checker->err);
        }
        program->names = names;
        program->name_capacity = capacity;
    }
    uint32_t index = 0;
    if (tp_dict_add(&checker->name_index, line->name, &index) != TAPEOUT_OK) {
        return tp_fail_nomem(checker->err);
    }
    program->names[program->name_count++] = (tp_feature_name){line->name, instr, line->place};
    return TAPEOUT_OK;
}

tapeout_status tp_feature_check(tp_feature_checker *checker, const tp_feature_line *lines)
{
    bool any = false;
    for (const tp_feature_line *line = lines; line != NULL; line = line->next) {
        const int64_t before = tp_dict_find(&checker->name_index, line->name);
        if (before >= 0) {
            return tp_feature_fail(checker->err, line->place,
                                   "'%.*s' is defined already in line %u", TP_STR_ARGS(line->name),
                                   checker->program->names[before].place.line);
        }
        uint32_t instr = 0;
        TP_TRY(tp_feature_check_node(checker, line->value, &instr));
        TP_TRY(check_output(checker, line, instr));
        TP_TRY(add_name(checker, line, instr));
        any = any || line->name.data[0] != '_';
    }
    if (!any) {
        return tp_fail(checker->err, TAPEOUT_E_INVALID,
                       "features: the program defines no feature; write lines such as "
                       "\"name = expression\"");
    }
    return TAPEOUT_OK;
}
