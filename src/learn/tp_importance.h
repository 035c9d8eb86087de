// SPDX-License-Identifier: Apache-2.0
//
// Permutation importance: how much worse a metric gets when one feature's values are dealt out anew
// among the rows (Breiman, 2001; Fisher, Rudin and Dominici, 2019).
#ifndef TP_IMPORTANCE_H
#define TP_IMPORTANCE_H

#include "learn/tp_metrics.h"

typedef struct tp_importance_options {
    tp_metric metric;
    uint32_t repeats; // shuffles a feature; 1 … TP_MAX_IMPORTANCE_REPEATS
    uint64_t seed;
    double quantile;      // for pinball
    double tweedie_power; // for deviance
} tp_importance_options;

// `ret_importance` [F]: the mean loss of the metric over the repeats, in its own unit; positive for
// a feature that helps, 0 for one that the model does not use. Rows should be ones that the model
// was not trained on. E_INVALID when the metric is not defined for the task or the rows.
// Cost: repeats × used features × one prediction of all rows.
tapeout_status tp_importance_permutation(const tp_env *env, const tp_model *model,
                                         const tp_learn_data *data,
                                         const tp_importance_options *options,
                                         double *ret_importance, tapeout_error *err);

#endif
