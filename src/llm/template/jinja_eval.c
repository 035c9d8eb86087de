// SPDX-License-Identifier: Apache-2.0
//
// Expressions: the tree is walked. Each node costs a step and each level of it a level of depth, so
// that a template can neither run for ever nor use up the stack.
#include "llm/template/jinja_priv.h"

#include "base/limits.h"

#include <stdarg.h>
#include <stdio.h>

static tapeout_status fail_here(tp_jinja_run *run, tapeout_status status, const char *format,
                                va_list arguments)
{
    static const tp_jinja_place nowhere = {1, 1};
    char message[TAPEOUT_ERROR_MESSAGE_SIZE];
    (void)vsnprintf(message, sizeof(message), format, arguments); // a cut message is still one
    return tp_jinja_fail_at(run->err, status, run->at != NULL ? run->at->place : nowhere, "%s",
                            message);
}

tapeout_status tp_jinja_fail(tp_jinja_run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const tapeout_status status = fail_here(run, TAPEOUT_E_INVALID, format, arguments);
    va_end(arguments);
    return status;
}

tapeout_status tp_jinja_fail_limit(tp_jinja_run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const tapeout_status status = fail_here(run, TAPEOUT_E_LIMIT, format, arguments);
    va_end(arguments);
    return status;
}

tapeout_status tp_jinja_fail_memory(tp_jinja_run *run)
{
    if (run->arena->status == TAPEOUT_E_LIMIT) {
        return tp_jinja_fail_limit(run, "the template needs more than %u MiB of memory",
                                   TP_MAX_TEMPLATE_RENDER_BYTES >> 20);
    }
    return tp_fail_nomem(run->err);
}

tapeout_status tp_jinja_spend(tp_jinja_run *run, uint64_t count)
{
    run->steps += count;
    if (run->steps > TP_MAX_TEMPLATE_STEPS) {
        return tp_jinja_fail_limit(run, "the template takes more than %u steps",
                                   TP_MAX_TEMPLATE_STEPS);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_descend(tp_jinja_run *run)
{
    if (run->depth >= TP_MAX_TEMPLATE_RUN_DEPTH) {
        return tp_jinja_fail_limit(run, "the template or its data is nested deeper than %u levels",
                                   TP_MAX_TEMPLATE_RUN_DEPTH);
    }
    run->depth++;
    return TAPEOUT_OK;
}

tapeout_status tp_jinja_undefined(tp_jinja_run *run, tp_str name, tp_jinja_value *ret)
{
    tp_jinja_value made;
    TP_TRY(tp_jinja_text_view(run, name, false, &made));
    made.kind = TP_JINJA_UNDEFINED; // the text is its name
    *ret = made;
    return TAPEOUT_OK;
}

static tapeout_status eval_name(tp_jinja_run *run, const tp_jinja_node *node, tp_jinja_value *ret)
{
    const tp_jinja_value *found = tp_jinja_lookup(run, node->name);
    if (found != NULL) {
        *ret = *found;
        return TAPEOUT_OK;
    }
    const tp_jinja_builtin *function = tp_jinja_find_function(node->name);
    if (function != NULL) {
        *ret = (tp_jinja_value){.kind = TP_JINJA_FUNCTION, .function = function};
        return TAPEOUT_OK;
    }
    return tp_jinja_undefined(run, node->name, ret);
}

static tapeout_status eval_list(tp_jinja_run *run, const tp_jinja_node *node, tp_jinja_value *ret)
{
    tp_jinja_value made;
    TP_TRY(tp_jinja_list_new(run, node->kind == TP_JINJA_N_TUPLE ? TP_JINJA_TUPLE : TP_JINJA_PLAIN,
                             0, &made));
    for (const tp_jinja_node *item = node->items; item != NULL; item = item->next) {
        tp_jinja_value value;
        TP_TRY(tp_jinja_eval(run, item, &value));
        TP_TRY(tp_jinja_list_add(run, made.list, value));
    }
    *ret = made;
    return TAPEOUT_OK;
}

static tapeout_status eval_dict(tp_jinja_run *run, const tp_jinja_node *node, tp_jinja_value *ret)
{
    tp_jinja_value made;
    TP_TRY(tp_jinja_dict_new(run, TP_JINJA_DICT, &made));
    for (const tp_jinja_node *item = node->items; item != NULL; item = item->next->next) {
        tp_jinja_value key;
        tp_jinja_value value;
        TP_TRY(tp_jinja_eval(run, item, &key));
        TP_TRY(tp_jinja_eval(run, item->next, &value));
        TP_TRY(tp_jinja_dict_set(run, made.dict, key, value));
    }
    *ret = made;
    return TAPEOUT_OK;
}

static tapeout_status eval_slice(tp_jinja_run *run, const tp_jinja_node *node, tp_jinja_value *ret)
{
    const tp_jinja_node *const nodes[] = {node->b, node->c, node->d};
    tp_jinja_value bounds[3];
    tp_jinja_value value;
    TP_TRY(tp_jinja_eval(run, node->a, &value));
    for (int i = 0; i < 3; i++) {
        bounds[i] = tp_jinja_none();
        if (nodes[i] != NULL) {
            TP_TRY(tp_jinja_eval(run, nodes[i], &bounds[i]));
        }
    }
    run->at = node;
    return tp_jinja_slice(run, &value, bounds, ret);
}

static tapeout_status eval_concat(tp_jinja_run *run, const tp_jinja_node *node, tp_jinja_value *ret)
{
    tp_jinja_out out;
    tp_jinja_out_init(&out, run->arena);
    for (const tp_jinja_node *item = node->items; item != NULL; item = item->next) {
        tp_jinja_value value;
        TP_TRY(tp_jinja_eval(run, item, &value));
        TP_TRY(tp_jinja_print(run, &value, &out));
    }
    run->at = node;
    return tp_jinja_take(run, &out, ret);
}

// a < b < c: each pair, until one does not hold.
static tapeout_status eval_compare(tp_jinja_run *run, const tp_jinja_node *node,
                                   tp_jinja_value *ret)
{
    tp_jinja_value left;
    bool holds = true;
    TP_TRY(tp_jinja_eval(run, node->a, &left));
    for (const tp_jinja_node *item = node->items; item != NULL && holds; item = item->next) {
        tp_jinja_value right;
        tp_jinja_value result;
        TP_TRY(tp_jinja_eval(run, item->a, &right));
        run->at = item;
        TP_TRY(tp_jinja_binary(run, item->op, &left, &right, &result));
        holds = result.boolean;
        left = right;
    }
    *ret = tp_jinja_bool(holds);
    return TAPEOUT_OK;
}

static tapeout_status eval_sign(tp_jinja_run *run, const tp_jinja_node *node, tp_jinja_value *ret)
{
    tp_jinja_value value;
    TP_TRY(tp_jinja_eval(run, node->a, &value));
    run->at = node;
    if (!tp_jinja_is_number(&value)) {
        return tp_jinja_fail(run, "%s has no sign", tp_jinja_type_name(&value));
    }
    const tp_jinja_value zero = tp_jinja_int(0);
    if (value.kind == TP_JINJA_FLOAT) {
        value.number = node->kind == TP_JINJA_N_NEGATE ? -value.number : value.number;
        *ret = value;
        return TAPEOUT_OK;
    }
    return tp_jinja_binary(run, node->kind == TP_JINJA_N_NEGATE ? TP_JINJA_T_SUB : TP_JINJA_T_ADD,
                           &zero, &value, ret);
}

static tapeout_status eval_condition(tp_jinja_run *run, const tp_jinja_node *node,
                                     tp_jinja_value *ret)
{
    tp_jinja_value test;
    TP_TRY(tp_jinja_eval(run, node->b, &test));
    if (tp_jinja_is_true(&test)) {
        return tp_jinja_eval(run, node->a, ret);
    }
    if (node->c != NULL) {
        return tp_jinja_eval(run, node->c, ret);
    }
    return tp_jinja_undefined(run, TP_STR("an inline if without else"), ret);
}

// and, or: the operand that decided.
static tapeout_status eval_choice(tp_jinja_run *run, const tp_jinja_node *node, tp_jinja_value *ret)
{
    tp_jinja_value first;
    TP_TRY(tp_jinja_eval(run, node->a, &first));
    if (tp_jinja_is_true(&first) == (node->kind == TP_JINJA_N_OR)) {
        *ret = first;
        return TAPEOUT_OK;
    }
    return tp_jinja_eval(run, node->b, ret);
}

static tapeout_status eval_pair(tp_jinja_run *run, const tp_jinja_node *node, tp_jinja_value *ret)
{
    tp_jinja_value a;
    tp_jinja_value b;
    TP_TRY(tp_jinja_eval(run, node->a, &a));
    TP_TRY(tp_jinja_eval(run, node->b, &b));
    run->at = node;
    return node->kind == TP_JINJA_N_ITEM ? tp_jinja_item(run, &a, &b, ret)
                                         : tp_jinja_binary(run, node->op, &a, &b, ret);
}

static tapeout_status eval_inner(tp_jinja_run *run, const tp_jinja_node *node, tp_jinja_value *ret)
{
    tp_jinja_value value;
    switch ((int)node->kind) {
    case TP_JINJA_N_LITERAL:
        *ret = node->value;
        return TAPEOUT_OK;
    case TP_JINJA_N_NAME:
        return eval_name(run, node, ret);
    case TP_JINJA_N_LIST:
    case TP_JINJA_N_TUPLE:
        return eval_list(run, node, ret);
    case TP_JINJA_N_DICT:
        return eval_dict(run, node, ret);
    case TP_JINJA_N_ATTRIBUTE:
        TP_TRY(tp_jinja_eval(run, node->a, &value));
        run->at = node;
        return tp_jinja_attribute(run, &value, node->name, ret);
    case TP_JINJA_N_SLICE:
        return eval_slice(run, node, ret);
    case TP_JINJA_N_CALL:
        return tp_jinja_call_node(run, node, NULL, ret);
    case TP_JINJA_N_FILTER:
    case TP_JINJA_N_TEST:
        return tp_jinja_filter_node(run, node, NULL, ret);
    case TP_JINJA_N_NOT:
        TP_TRY(tp_jinja_eval(run, node->a, &value));
        *ret = tp_jinja_bool(!tp_jinja_is_true(&value));
        return TAPEOUT_OK;
    case TP_JINJA_N_NEGATE:
    case TP_JINJA_N_PLUS:
        return eval_sign(run, node, ret);
    case TP_JINJA_N_ITEM:
    case TP_JINJA_N_BINARY:
        return eval_pair(run, node, ret);
    case TP_JINJA_N_CONCAT:
        return eval_concat(run, node, ret);
    case TP_JINJA_N_COMPARE:
        return eval_compare(run, node, ret);
    case TP_JINJA_N_AND:
    case TP_JINJA_N_OR:
        return eval_choice(run, node, ret);
    default:
        return eval_condition(run, node, ret);
    }
}

tapeout_status tp_jinja_eval(tp_jinja_run *run, const tp_jinja_node *node, tp_jinja_value *ret)
{
    run->at = node;
    TP_TRY(tp_jinja_spend(run, 1));
    TP_TRY(tp_jinja_descend(run));
    TP_TRY(eval_inner(run, node, ret));
    run->depth--;
    return TAPEOUT_OK;
}
