// SPDX-License-Identifier: Apache-2.0
//
// The arguments of a call: positional and named ones put in the order of the function's parameters,
// and the literals that steer fitted functions read. A name that is none finds its neighbour; a
// message shows how the function is written.
#include "feature/feature_check.h"

#include <stdio.h>

static uint32_t parameter_count(const tp_feature_signature *signature)
{
    uint32_t count = 0;
    while (count < TP_FEATURE_PARAMETERS && signature->parameters[count] != NULL) {
        count++;
    }
    return count;
}

static tp_str parameter_name(const tp_feature_signature *signature, uint32_t index)
{
    tp_str name = tp_str_from(signature->parameters[index]);
    if (tp_str_has_suffix(name, TP_STR("..."))) {
        name.size -= 3;
    }
    return name;
}

// The function as one would write it, "impute(x, strategy, value)".
static const char *usage(const tp_feature_signature *signature, char *buffer, size_t size)
{
    int used = snprintf(buffer, size, "%s(", signature->name);
    for (uint32_t i = 0; i < parameter_count(signature) && used > 0 && (size_t)used < size; i++) {
        used += snprintf(buffer + used, size - (size_t)used, "%s%s", i == 0 ? "" : ", ",
                         signature->parameters[i]);
    }
    if (used > 0 && (size_t)used < size) {
        (void)snprintf(buffer + used, size - (size_t)used, ")");
    }
    return buffer;
}

static tapeout_status place_named(tp_feature_call *c, const tp_feature_node *arg)
{
    const tp_feature_signature *signature = tp_feature_signature_at(c->function);
    tp_str names[TP_FEATURE_PARAMETERS];
    const uint32_t count = parameter_count(signature);
    for (uint32_t i = 0; i < count; i++) {
        names[i] = parameter_name(signature, i);
        if (!tp_str_equal(names[i], arg->label)) {
            continue;
        }
        if (c->args[i] != NULL) {
            return tp_feature_fail(c->checker->err, arg->place, "'%.*s' is given twice",
                                   TP_STR_ARGS(arg->label));
        }
        c->args[i] = arg;
        c->count = c->count > i + 1 ? c->count : i + 1;
        return TAPEOUT_OK;
    }
    const int nearest = tp_str_nearest(arg->label, names, count);
    char buffer[160];
    if (nearest >= 0) {
        return tp_feature_fail(c->checker->err, arg->place,
                               "%s has no argument '%.*s'; did you mean '%.*s'?", signature->name,
                               TP_STR_ARGS(arg->label), TP_STR_ARGS(names[nearest]));
    }
    return tp_feature_fail(c->checker->err, arg->place, "%s has no argument '%.*s'; write %s",
                           signature->name, TP_STR_ARGS(arg->label),
                           usage(signature, buffer, sizeof(buffer)));
}

tapeout_status tp_feature_place_arguments(tp_feature_call *c)
{
    const tp_feature_signature *signature = tp_feature_signature_at(c->function);
    const uint32_t count = parameter_count(signature);
    const bool variadic =
        tp_str_has_suffix(tp_str_from(signature->parameters[count - 1]), TP_STR("..."));
    char buffer[160];
    bool named = false;
    for (uint32_t i = 0; i < c->node->arg_count; i++) {
        const tp_feature_node *arg = c->node->args[i];
        if (arg->label.size > 0) {
            named = true;
            TP_TRY(place_named(c, arg));
        } else if (named) {
            return tp_feature_fail(c->checker->err, arg->place,
                                   "an argument without a name follows one with a name");
        } else if (i >= count && !variadic) {
            return tp_feature_fail(c->checker->err, arg->place,
                                   "%s takes at most %u argument%s: %s", signature->name, count,
                                   count == 1 ? "" : "s", usage(signature, buffer, sizeof(buffer)));
        } else {
            c->args[i] = arg;
            c->count = i + 1;
        }
    }
    for (uint32_t i = 0; i < signature->required; i++) {
        if (c->args[i] == NULL) {
            const tp_str name = parameter_name(signature, i);
            return tp_feature_fail(c->checker->err, c->node->place, "%s needs '%.*s': %s",
                                   signature->name, TP_STR_ARGS(name),
                                   usage(signature, buffer, sizeof(buffer)));
        }
    }
    return TAPEOUT_OK;
}

const char *tp_feature_call_name(const tp_feature_call *c)
{
    return tp_feature_signature_at(c->function)->name;
}

// The argument at `index` compiled as a number or text.
tapeout_status tp_feature_argument(tp_feature_call *c, uint32_t index, tp_feature_type type,
                                   uint32_t *ret_instr)
{
    return tp_feature_check_as(c->checker, c->args[index], type, tp_feature_call_name(c),
                               ret_instr);
}

// A whole number literal between `low` and `high`; `fallback` where it is not given.
tapeout_status tp_feature_literal_count(tp_feature_call *c, uint32_t index, double low, double high,
                                        double *value)
{
    const tp_feature_node *arg = c->args[index];
    if (arg == NULL) {
        return TAPEOUT_OK;
    }
    if (arg->kind != TP_NODE_NUMBER || arg->number != floor(arg->number) || arg->number < low ||
        arg->number > high) {
        const tp_str name = parameter_name(tp_feature_signature_at(c->function), index);
        return tp_feature_fail(c->checker->err, arg->place,
                               "'%.*s' of %s is a whole number from %.0f to %.0f, written out",
                               TP_STR_ARGS(name), tp_feature_call_name(c), low, high);
    }
    *value = arg->number;
    return TAPEOUT_OK;
}

// One of `words`, written bare; `*ret_word` stays where it is not given.
tapeout_status tp_feature_literal_word(tp_feature_call *c, uint32_t index, const tp_str *words,
                                       size_t count, uint32_t *ret_word)
{
    const tp_feature_node *arg = c->args[index];
    if (arg == NULL) {
        return TAPEOUT_OK;
    }
    for (size_t i = 0; i < count && arg->kind == TP_NODE_NAME; i++) {
        if (tp_str_equal(arg->text, words[i])) {
            *ret_word = (uint32_t)i;
            return TAPEOUT_OK;
        }
    }
    char list[128] = "";
    for (size_t i = 0, used = 0; i < count && used < sizeof(list); i++) {
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%.*s", i == 0 ? "" : ", ",
                                 TP_STR_ARGS(words[i]));
    }
    const tp_str name = parameter_name(tp_feature_signature_at(c->function), index);
    const int nearest = arg->kind == TP_NODE_NAME ? tp_str_nearest(arg->text, words, count) : -1;
    if (nearest >= 0) {
        return tp_feature_fail(c->checker->err, arg->place,
                               "'%.*s' of %s is one of %s; did you mean '%.*s'?", TP_STR_ARGS(name),
                               tp_feature_call_name(c), list, TP_STR_ARGS(words[nearest]));
    }
    return tp_feature_fail(c->checker->err, arg->place, "'%.*s' of %s is one of %s",
                           TP_STR_ARGS(name), tp_feature_call_name(c), list);
}
