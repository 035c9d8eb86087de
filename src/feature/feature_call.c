// SPDX-License-Identifier: Apache-2.0
//
// What each function of the language means: its arguments are put in the order of its parameters,
// checked, and become instructions. Arguments that steer a fitted function (a strategy, a count, a
// zone) are literals, since they are part of what is fitted and not of a row.
#include "feature/feature_check.h"

static tapeout_status emit(tp_feature_call *c, tp_feature_code code, uint32_t *ret_instr)
{
    return tp_feature_emit(c->checker, c->node->place, &code, ret_instr);
}

static tp_feature_code code_of(tp_feature_op op, tp_feature_type type, uint32_t a, uint32_t b)
{
    return (tp_feature_code){
        .op = (uint32_t)op, .type = (uint32_t)type, .a = a, .b = b, .c = TP_FEATURE_NONE};
}

// -- plain functions -----------------------------------------------------------------------------
static tapeout_status fail_mixed(tp_feature_call *c, const tp_feature_node *arg, uint32_t a,
                                 uint32_t b)
{
    return tp_feature_fail(c->checker->err, arg->place,
                           "%s takes values of one type, not %s and %s", tp_feature_call_name(c),
                           tp_feature_type_name(tp_feature_type_of(c->checker, a)),
                           tp_feature_type_name(tp_feature_type_of(c->checker, b)));
}

// The common type of two unified instructions.
static tp_feature_type common_type(const tp_feature_call *c, uint32_t a, uint32_t b)
{
    const tp_feature_type left = tp_feature_type_of(c->checker, a);
    const tp_feature_type right = tp_feature_type_of(c->checker, b);
    return left == TP_FEATURE_BOOL ? right : left;
}

static tapeout_status check_if(tp_feature_call *c, uint32_t *ret_instr)
{
    tp_feature_code code = {.op = TP_OP_IF};
    bool same = false;
    TP_TRY(tp_feature_argument(c, 0, TP_FEATURE_BOOL, &code.a));
    TP_TRY(tp_feature_check_node(c->checker, c->args[1], &code.b));
    TP_TRY(tp_feature_check_node(c->checker, c->args[2], &code.c));
    TP_TRY(tp_feature_unify(c->checker, c->node->place, &code.b, &code.c, &same));
    if (!same) {
        return fail_mixed(c, c->args[2], code.b, code.c);
    }
    code.type = (uint32_t)common_type(c, code.b, code.c);
    code.op = code.type == TP_FEATURE_TEXT ? TP_OP_TEXT_IF : TP_OP_IF;
    return emit(c, code, ret_instr);
}

// coalesce, min, max: pairs from the left.
static tapeout_status check_fold(tp_feature_call *c, tp_feature_op op, uint32_t *ret_instr)
{
    uint32_t a = 0;
    TP_TRY(tp_feature_check_node(c->checker, c->args[0], &a));
    for (uint32_t i = 1; i < c->count; i++) {
        uint32_t b = 0;
        bool same = false;
        TP_TRY(tp_feature_check_node(c->checker, c->args[i], &b));
        TP_TRY(tp_feature_unify(c->checker, c->args[i]->place, &a, &b, &same));
        const bool is_text = tp_feature_type_of(c->checker, a) == TP_FEATURE_TEXT;
        if (!same || (is_text && op != TP_OP_COALESCE)) {
            return fail_mixed(c, c->args[i], a, b);
        }
        TP_TRY(
            emit(c, code_of(is_text ? TP_OP_TEXT_COALESCE : op, common_type(c, a, b), a, b), &a));
    }
    *ret_instr = a;
    return TAPEOUT_OK;
}

static tapeout_status check_clip(tp_feature_call *c, uint32_t *ret_instr)
{
    uint32_t x = 0;
    uint32_t low = 0;
    uint32_t high = 0;
    TP_TRY(tp_feature_argument(c, 0, TP_FEATURE_NUMBER, &x));
    TP_TRY(tp_feature_argument(c, 1, TP_FEATURE_NUMBER, &low));
    TP_TRY(tp_feature_argument(c, 2, TP_FEATURE_NUMBER, &high));
    if (c->args[1]->kind == TP_NODE_NUMBER && c->args[2]->kind == TP_NODE_NUMBER &&
        c->args[1]->number > c->args[2]->number) {
        return tp_feature_fail(c->checker->err, c->args[1]->place,
                               "the lower bound of clip lies above the upper one");
    }
    TP_TRY(emit(c, code_of(TP_OP_MAX, TP_FEATURE_NUMBER, x, low), &x));
    return emit(c, code_of(TP_OP_MIN, TP_FEATURE_NUMBER, x, high), ret_instr);
}

static tapeout_status check_number(tp_feature_call *c, tp_feature_op op, uint32_t *ret_instr)
{
    uint32_t a = 0;
    uint32_t b = TP_FEATURE_NONE;
    TP_TRY(tp_feature_argument(c, 0, TP_FEATURE_NUMBER, &a));
    if (op == TP_OP_POW) {
        TP_TRY(tp_feature_argument(c, 1, TP_FEATURE_NUMBER, &b));
    }
    return emit(c, code_of(op, TP_FEATURE_NUMBER, a, b), ret_instr);
}

static tapeout_status check_missing(tp_feature_call *c, uint32_t *ret_instr)
{
    uint32_t a = 0;
    TP_TRY(tp_feature_check_node(c->checker, c->args[0], &a));
    const tp_feature_type type = tp_feature_type_of(c->checker, a);
    if (type >= TP_FEATURE_CATEGORY) {
        return tp_feature_fail(c->checker->err, c->args[0]->place,
                               "is_missing takes a value, and "
                               "this is %s",
                               tp_feature_type_name(type));
    }
    return emit(c,
                code_of(type == TP_FEATURE_TEXT ? TP_OP_TEXT_MISSING : TP_OP_MISSING,
                        TP_FEATURE_BOOL, a, TP_FEATURE_NONE),
                ret_instr);
}

// -- texts ---------------------------------------------------------------------------------------
static tapeout_status check_text(tp_feature_call *c, tp_feature_op op, tp_feature_type type,
                                 uint32_t *ret_instr)
{
    uint32_t a = 0;
    uint32_t b = TP_FEATURE_NONE;
    TP_TRY(tp_feature_argument(c, 0, TP_FEATURE_TEXT, &a));
    if (c->count > 1) {
        TP_TRY(tp_feature_argument(c, 1, TP_FEATURE_TEXT, &b));
    }
    return emit(c, code_of(op, type, a, b), ret_instr);
}

static tapeout_status check_concat(tp_feature_call *c, uint32_t *ret_instr)
{
    uint32_t a = 0;
    TP_TRY(tp_feature_argument(c, 0, TP_FEATURE_TEXT, &a));
    for (uint32_t i = 1; i < c->count; i++) {
        uint32_t b = 0;
        TP_TRY(tp_feature_argument(c, i, TP_FEATURE_TEXT, &b));
        TP_TRY(emit(c, code_of(TP_OP_CONCAT, TP_FEATURE_TEXT, a, b), &a));
    }
    *ret_instr = a;
    return TAPEOUT_OK;
}

static tapeout_status check_hash(tp_feature_call *c, uint32_t *ret_instr)
{
    double buckets = 0;
    tp_feature_code code = code_of(TP_OP_HASH, TP_FEATURE_CATEGORY, 0, TP_FEATURE_NONE);
    TP_TRY(tp_feature_argument(c, 0, TP_FEATURE_TEXT, &code.a));
    TP_TRY(tp_feature_literal_count(c, 1, 1, TP_MAX_FEATURE_BUCKETS, &buckets));
    code.index = (uint32_t)buckets;
    return emit(c, code, ret_instr);
}

// -- times ---------------------------------------------------------------------------------------
static tapeout_status find_zone(tp_feature_call *c, const tp_feature_node *arg, uint32_t *ret_zone)
{
    tp_feature_program *program = c->checker->program;
    if (arg->kind != TP_NODE_STRING) {
        return tp_feature_fail(c->checker->err, arg->place,
                               "'zone' is a time zone's name in quotes, such as "
                               "\"America/New_York\"");
    }
    for (uint32_t i = 0; i < program->zone_count; i++) {
        if (tp_str_equal(program->zones[i].name, arg->text)) {
            *ret_zone = i;
            return TAPEOUT_OK;
        }
    }
    if (program->zone_count == TP_MAX_FEATURE_ZONES) {
        return tp_feature_fail(c->checker->err, arg->place, "more than %u time zones",
                               TP_MAX_FEATURE_ZONES);
    }
    tp_feature_zone zone = {.count = 0};
    if (c->checker->with_zones) {
        const tapeout_status status =
            tp_feature_zone_load(program->alloc, arg->text, &zone, c->checker->err);
        if (status != TAPEOUT_OK) {
            tp_error_prefix(c->checker->err, "features:%u:%u", arg->place.line, arg->place.column);
            return status;
        }
    }
    zone.name = arg->text;
    tp_feature_zone *zones =
        tp_resize_array(program->alloc, program->zones, program->zone_count,
                        (size_t)program->zone_count + 1, sizeof(tp_feature_zone));
    if (zones == NULL) {
        tp_feature_zone_deinit(program->alloc, &zone);
        return tp_fail_nomem(c->checker->err);
    }
    program->zones = zones;
    zones[program->zone_count] = zone;
    *ret_zone = program->zone_count++;
    return TAPEOUT_OK;
}

// The first argument as a local timestamp, or as the date that it is.
static tapeout_status local_time(tp_feature_call *c, uint32_t *ret_instr)
{
    uint32_t a = 0;
    TP_TRY(tp_feature_check_node(c->checker, c->args[0], &a));
    const tp_feature_type type = tp_feature_type_of(c->checker, a);
    if (type != TP_FEATURE_DATE && type != TP_FEATURE_TIMESTAMP) {
        return tp_feature_fail(c->checker->err, c->args[0]->place,
                               "%s takes a date or timestamp, and this is %s",
                               tp_feature_call_name(c), tp_feature_type_name(type));
    }
    if (c->args[1] == NULL) {
        *ret_instr = a;
        return TAPEOUT_OK;
    }
    if (type == TP_FEATURE_DATE) {
        return tp_feature_fail(c->checker->err, c->args[1]->place,
                               "a date has no time of day, so no zone either; leave it out");
    }
    tp_feature_code code = code_of(TP_OP_LOCAL, TP_FEATURE_TIMESTAMP, a, TP_FEATURE_NONE);
    TP_TRY(find_zone(c, c->args[1], &code.index));
    return emit(c, code, ret_instr);
}

static tapeout_status check_part(tp_feature_call *c, tp_feature_part part, uint32_t *ret_instr)
{
    uint32_t a = 0;
    TP_TRY(local_time(c, &a));
    if (tp_feature_type_of(c->checker, a) == TP_FEATURE_DATE && part >= TP_PART_HOUR) {
        return tp_feature_fail(c->checker->err, c->args[0]->place,
                               "%s takes a timestamp; a date has no time of day",
                               tp_feature_call_name(c));
    }
    tp_feature_code code =
        code_of(TP_OP_PART, part == TP_PART_IS_WEEKEND ? TP_FEATURE_BOOL : TP_FEATURE_NUMBER, a,
                TP_FEATURE_NONE);
    code.index = (uint32_t)part;
    return emit(c, code, ret_instr);
}

static tapeout_status check_date(tp_feature_call *c, uint32_t *ret_instr)
{
    TP_TRY(local_time(c, ret_instr));
    if (tp_feature_type_of(c->checker, *ret_instr) == TP_FEATURE_DATE) {
        return TAPEOUT_OK;
    }
    return emit(c, code_of(TP_OP_DAY, TP_FEATURE_DATE, *ret_instr, TP_FEATURE_NONE), ret_instr);
}

// `to` minus `from` in units of so many seconds.
static tapeout_status check_between(tp_feature_call *c, double unit_s, uint32_t *ret_instr)
{
    uint32_t from = 0;
    uint32_t to = 0;
    uint32_t unit = 0;
    bool same = false;
    TP_TRY(tp_feature_check_node(c->checker, c->args[0], &from));
    TP_TRY(tp_feature_check_node(c->checker, c->args[1], &to));
    TP_TRY(tp_feature_unify(c->checker, c->node->place, &from, &to, &same));
    const tp_feature_type type = tp_feature_type_of(c->checker, to);
    if (!same || (type != TP_FEATURE_DATE && type != TP_FEATURE_TIMESTAMP)) {
        return tp_feature_fail(
            c->checker->err, c->node->place, "%s takes two dates or timestamps, not %s and %s",
            tp_feature_call_name(c), tp_feature_type_name(tp_feature_type_of(c->checker, from)),
            tp_feature_type_name(type));
    }
    TP_TRY(emit(c, code_of(TP_OP_SUB, TP_FEATURE_NUMBER, to, from), ret_instr));
    if (type == TP_FEATURE_DATE) {
        TP_TRY(tp_feature_emit_number(c->checker, c->node->place, 86400 / unit_s, &unit));
        return emit(c, code_of(TP_OP_MUL, TP_FEATURE_NUMBER, *ret_instr, unit), ret_instr);
    }
    TP_TRY(tp_feature_emit_number(c->checker, c->node->place, unit_s * TP_FEATURE_US_PER_SECOND,
                                  &unit));
    return emit(c, code_of(TP_OP_DIV, TP_FEATURE_NUMBER, *ret_instr, unit), ret_instr);
}

// -- fitted functions ----------------------------------------------------------------------------
static tapeout_status impute_value(tp_feature_call *c, tp_feature_code *code)
{
    const tp_feature_node *value = c->args[2];
    if (code->index != TP_STRATEGY_CONSTANT) {
        return value == NULL ? TAPEOUT_OK
                             : tp_feature_fail(c->checker->err, value->place,
                                               "impute takes 'value' with constant alone");
    }
    if (value == NULL) {
        return tp_feature_fail(c->checker->err, c->node->place,
                               "impute(x, constant, value) needs the value");
    }
    const bool is_text = code->op == TP_OP_IMPUTE_TEXT;
    const bool fits = is_text ? value->kind == TP_NODE_STRING
                              : value->kind == TP_NODE_NUMBER || value->kind == TP_NODE_BOOL;
    if (!fits) {
        return tp_feature_fail(c->checker->err, value->place,
                               "'value' of impute is %s, written out, as x is",
                               is_text ? "a text" : "a number");
    }
    if (is_text) {
        return tp_feature_check_node(c->checker, value, &code->b);
    }
    code->number = value->number;
    return TAPEOUT_OK;
}

static tapeout_status check_impute(tp_feature_call *c, uint32_t *ret_instr)
{
    static const tp_str words[] = {
        {"median", 6}, {"mean", 4}, {"most_frequent", 13}, {"constant", 8}};
    tp_feature_code code = code_of(TP_OP_IMPUTE, TP_FEATURE_NUMBER, 0, TP_FEATURE_NONE);
    TP_TRY(tp_feature_check_node(c->checker, c->args[0], &code.a));
    const tp_feature_type type = tp_feature_type_of(c->checker, code.a);
    if (type > TP_FEATURE_BOOL && type != TP_FEATURE_TEXT) {
        return tp_feature_fail(c->checker->err, c->args[0]->place,
                               "impute takes a number or a text, and this is %s",
                               tp_feature_type_name(type));
    }
    TP_TRY(tp_feature_literal_word(c, 1, words, sizeof(words) / sizeof(words[0]), &code.index));
    if (type == TP_FEATURE_TEXT) {
        code.op = TP_OP_IMPUTE_TEXT;
        code.type = TP_FEATURE_TEXT;
        if (code.index < TP_STRATEGY_MOST_FREQUENT) {
            return tp_feature_fail(c->checker->err, c->args[1]->place,
                                   "a text has no median or mean; use most_frequent or constant");
        }
    }
    TP_TRY(impute_value(c, &code));
    return emit(c, code, ret_instr);
}

static tapeout_status check_scale(tp_feature_call *c, tp_feature_scale scale, uint32_t *ret_instr)
{
    tp_feature_code code = code_of(TP_OP_SCALE, TP_FEATURE_NUMBER, 0, TP_FEATURE_NONE);
    code.index = (uint32_t)scale;
    TP_TRY(tp_feature_argument(c, 0, TP_FEATURE_NUMBER, &code.a));
    return emit(c, code, ret_instr);
}

static tapeout_status check_bin(tp_feature_call *c, uint32_t *ret_instr)
{
    double bins = 0;
    tp_feature_code code = code_of(TP_OP_BIN, TP_FEATURE_NUMBER, 0, TP_FEATURE_NONE);
    TP_TRY(tp_feature_argument(c, 0, TP_FEATURE_NUMBER, &code.a));
    TP_TRY(tp_feature_literal_count(c, 1, 2, TP_MAX_FEATURE_BINS, &bins));
    code.index = (uint32_t)bins;
    return emit(c, code, ret_instr);
}

// Everything that works on the levels of a text shares one LEVELS instruction.
static tapeout_status check_levels(tp_feature_call *c, uint32_t *ret_instr)
{
    static const tp_str unseen[] = {{"missing", 7}, {"other", 5}};
    tp_feature_code code = code_of(TP_OP_LEVELS, TP_FEATURE_LEVEL, 0, TP_FEATURE_NONE);
    TP_TRY(tp_feature_argument(c, 0, TP_FEATURE_TEXT, &code.a));
    TP_TRY(emit(c, code, &code.a));
    if (c->function == TP_FUNCTION_COUNT_ENCODE) {
        code.op = TP_OP_COUNT_ENCODE;
        code.type = TP_FEATURE_NUMBER;
        return emit(c, code, ret_instr);
    }
    if (c->function == TP_FUNCTION_TARGET_MEAN) {
        const tp_feature_node *smoothing = c->args[1];
        code.op = TP_OP_TARGET_MEAN;
        code.type = TP_FEATURE_NUMBER;
        code.number = 10;
        if (smoothing != NULL && (smoothing->kind != TP_NODE_NUMBER || smoothing->number < 0)) {
            return tp_feature_fail(c->checker->err, smoothing->place,
                                   "'smoothing' of target_mean is a number from 0 on, written out");
        }
        code.number = smoothing == NULL ? code.number : smoothing->number + 0.0;
        return emit(c, code, ret_instr);
    }
    code.number = 1;
    TP_TRY(tp_feature_literal_count(c, 1, 1, UINT32_MAX, &code.number));
    if (c->function == TP_FUNCTION_CATEGORY) {
        TP_TRY(tp_feature_literal_word(c, 2, unseen, 2, &code.index));
        code.op = TP_OP_CATEGORY;
        code.type = TP_FEATURE_CATEGORY;
    } else {
        code.op = TP_OP_ONEHOT;
        code.type = TP_FEATURE_ONEHOT;
    }
    return emit(c, code, ret_instr);
}

static tapeout_status check_lag(tp_feature_call *c, uint32_t *ret_instr)
{
    double rows = 0;
    tp_feature_code code = {.op = TP_OP_LAG};
    TP_TRY(tp_feature_check_node(c->checker, c->args[0], &code.a));
    TP_TRY(tp_feature_literal_count(c, 1, 1, UINT32_MAX - 1, &rows));
    TP_TRY(tp_feature_argument(c, 2, TP_FEATURE_TEXT, &code.b));
    TP_TRY(tp_feature_check_node(c->checker, c->args[3], &code.c));
    code.index = (uint32_t)rows;
    code.type = (uint32_t)tp_feature_type_of(c->checker, code.a);
    if (code.type > TP_FEATURE_TIMESTAMP ||
        tp_feature_type_of(c->checker, code.c) > TP_FEATURE_TIMESTAMP) {
        const bool is_value = code.type > TP_FEATURE_TIMESTAMP;
        return tp_feature_fail(c->checker->err, c->args[is_value ? 0 : 3]->place,
                               "lag takes numbers, dates or timestamps as %s",
                               is_value ? "its value" : "'order'");
    }
    return emit(c, code, ret_instr);
}

// -- which is which ------------------------------------------------------------------------------
static tapeout_status check_time_function(tp_feature_call *c, uint32_t *ret_instr)
{
    switch ((int)c->function) {
    case TP_FUNCTION_DATE:
        return check_date(c, ret_instr);
    case TP_FUNCTION_DAYS_BETWEEN:
        return check_between(c, 86400, ret_instr);
    case TP_FUNCTION_HOURS_BETWEEN:
        return check_between(c, 3600, ret_instr);
    case TP_FUNCTION_MINUTES_BETWEEN:
        return check_between(c, 60, ret_instr);
    case TP_FUNCTION_SECONDS_BETWEEN:
        return check_between(c, 1, ret_instr);
    default: // parts stand in the same order in both enums
        return check_part(c, (tp_feature_part)(c->function - TP_FUNCTION_YEAR), ret_instr);
    }
}

static tapeout_status check_text_function(tp_feature_call *c, uint32_t *ret_instr)
{
    switch ((int)c->function) {
    case TP_FUNCTION_LOWER:
        return check_text(c, TP_OP_LOWER, TP_FEATURE_TEXT, ret_instr);
    case TP_FUNCTION_UPPER:
        return check_text(c, TP_OP_UPPER, TP_FEATURE_TEXT, ret_instr);
    case TP_FUNCTION_TRIM:
        return check_text(c, TP_OP_TRIM, TP_FEATURE_TEXT, ret_instr);
    case TP_FUNCTION_CONCAT:
        return check_concat(c, ret_instr);
    case TP_FUNCTION_LENGTH:
        return check_text(c, TP_OP_LENGTH, TP_FEATURE_NUMBER, ret_instr);
    case TP_FUNCTION_CONTAINS:
        return check_text(c, TP_OP_CONTAINS, TP_FEATURE_BOOL, ret_instr);
    case TP_FUNCTION_STARTS_WITH:
        return check_text(c, TP_OP_STARTS, TP_FEATURE_BOOL, ret_instr);
    default:
        return check_text(c, TP_OP_ENDS, TP_FEATURE_BOOL, ret_instr);
    }
}

static tapeout_status check_number_function(tp_feature_call *c, uint32_t *ret_instr)
{
    switch ((int)c->function) {
    case TP_FUNCTION_IF:
        return check_if(c, ret_instr);
    case TP_FUNCTION_IS_MISSING:
        return check_missing(c, ret_instr);
    case TP_FUNCTION_COALESCE:
        return check_fold(c, TP_OP_COALESCE, ret_instr);
    case TP_FUNCTION_MIN:
        return check_fold(c, TP_OP_MIN, ret_instr);
    case TP_FUNCTION_MAX:
        return check_fold(c, TP_OP_MAX, ret_instr);
    case TP_FUNCTION_CLIP:
        return check_clip(c, ret_instr);
    default: // abs … ceil stand in the same order in both enums
        return check_number(c, (tp_feature_op)(TP_OP_ABS + (c->function - TP_FUNCTION_ABS)),
                            ret_instr);
    }
}

static tapeout_status check_fitted_function(tp_feature_call *c, uint32_t *ret_instr)
{
    switch ((int)c->function) {
    case TP_FUNCTION_HASH:
        return check_hash(c, ret_instr);
    case TP_FUNCTION_IMPUTE:
        return check_impute(c, ret_instr);
    case TP_FUNCTION_STANDARDIZE:
        return check_scale(c, TP_SCALE_STANDARD, ret_instr);
    case TP_FUNCTION_ROBUST_SCALE:
        return check_scale(c, TP_SCALE_ROBUST, ret_instr);
    case TP_FUNCTION_MINMAX:
        return check_scale(c, TP_SCALE_MINMAX, ret_instr);
    case TP_FUNCTION_BIN:
        return check_bin(c, ret_instr);
    case TP_FUNCTION_LAG:
        return check_lag(c, ret_instr);
    default:
        return check_levels(c, ret_instr);
    }
}

tapeout_status tp_feature_check_call(tp_feature_checker *checker, const tp_feature_node *node,
                                     uint32_t *ret_instr)
{
    tp_feature_call c = {
        .checker = checker, .node = node, .function = tp_feature_function_find(node->text)};
    if (c.function == TP_FUNCTION_COUNT) {
        const char *nearest = tp_feature_function_nearest(node->text);
        return tp_feature_fail(checker->err, node->place,
                               nearest != NULL ? "no function is called '%.*s'; did you mean '%s'?"
                                               : "no function is called '%.*s'",
                               TP_STR_ARGS(node->text), nearest);
    }
    TP_TRY(tp_feature_place_arguments(&c));
    if (c.function <= TP_FUNCTION_CLIP) {
        return check_number_function(&c, ret_instr);
    }
    if (c.function <= TP_FUNCTION_ENDS_WITH) {
        return check_text_function(&c, ret_instr);
    }
    if (c.function <= TP_FUNCTION_SECONDS_BETWEEN) {
        return check_time_function(&c, ret_instr);
    }
    return check_fitted_function(&c, ret_instr);
}
