// SPDX-License-Identifier: Apache-2.0
//
// The table of functions: their names and parameters, and how a misspelt name finds its neighbour.
// What a function means stands in feature_call.c.
#include "feature/feature_code.h"

static const tp_feature_signature signatures[] = {
#define TP_FEATURE_FUNCTION(id, name, required, ...) {name, required, {__VA_ARGS__}},
#include "feature/feature_function_list.h"
#undef TP_FEATURE_FUNCTION
};

const tp_feature_signature *tp_feature_signature_at(tp_feature_function function)
{
    return &signatures[function];
}

tp_feature_function tp_feature_function_find(tp_str name)
{
    for (int i = 0; i < TP_FUNCTION_COUNT; i++) {
        if (tp_str_equal(name, tp_str_from(signatures[i].name))) {
            return (tp_feature_function)i;
        }
    }
    return TP_FUNCTION_COUNT;
}

const char *tp_feature_function_nearest(tp_str name)
{
    tp_str names[TP_FUNCTION_COUNT];
    for (int i = 0; i < TP_FUNCTION_COUNT; i++) {
        names[i] = tp_str_from(signatures[i].name);
    }
    const int found = tp_str_nearest(name, names, TP_FUNCTION_COUNT);
    return found < 0 ? NULL : signatures[found].name;
}
