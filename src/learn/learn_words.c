// SPDX-License-Identifier: Apache-2.0
//
// The words for tasks, objectives and links in specs and reports, from the one map of each.
#include "learn/tp_learn.h"

const char *tp_task_name(tp_task task)
{
    switch (task) {
#define TP_TASK_NAME(name, value, word)                                                            \
    case TP_TASK_##name:                                                                           \
        return word;
        TP_TASK_MAP(TP_TASK_NAME)
#undef TP_TASK_NAME
    }
    return "unknown";
}

const char *tp_objective_name(tp_objective objective)
{
    switch (objective) {
#define TP_OBJECTIVE_NAME(name, value, word)                                                       \
    case TP_OBJECTIVE_##name:                                                                      \
        return word;
        TP_OBJECTIVE_MAP(TP_OBJECTIVE_NAME)
#undef TP_OBJECTIVE_NAME
    }
    return "unknown";
}

const char *tp_link_name(tp_link link)
{
    switch (link) {
#define TP_LINK_NAME(name, value, word)                                                            \
    case TP_LINK_##name:                                                                           \
        return word;
        TP_LINK_MAP(TP_LINK_NAME)
#undef TP_LINK_NAME
    }
    return "unknown";
}

bool tp_task_from_name(tp_str name, tp_task *ret_task)
{
#define TP_TASK_FIND(enumerator, value, word)                                                      \
    if (tp_str_equal(name, TP_STR(word))) {                                                        \
        *ret_task = TP_TASK_##enumerator;                                                          \
        return true;                                                                               \
    }
    TP_TASK_MAP(TP_TASK_FIND)
#undef TP_TASK_FIND
    return false;
}

bool tp_objective_from_name(tp_str name, tp_objective *ret_objective)
{
#define TP_OBJECTIVE_FIND(enumerator, value, word)                                                 \
    if (tp_str_equal(name, TP_STR(word))) {                                                        \
        *ret_objective = TP_OBJECTIVE_##enumerator;                                                \
        return true;                                                                               \
    }
    TP_OBJECTIVE_MAP(TP_OBJECTIVE_FIND)
#undef TP_OBJECTIVE_FIND
    return false;
}
