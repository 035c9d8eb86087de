// SPDX-License-Identifier: Apache-2.0
//
// Defaults, LightGBM's, and what options may be.
#include "learn/gbt/gbt_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"

#include <math.h>

void tp_gbt_options_init(tp_gbt_options *options, tp_objective objective)
{
    *options = (tp_gbt_options){
        .objective = objective,
        .class_count = objective == TP_OBJECTIVE_BINARY ? 2 : 0,
        .trees = 100,
        .leaves = 31,
        .depth = -1,
        .learning_rate = 0.1,
        .bins = 255,
        .min_rows_in_leaf = 20,
        .min_hessian_in_leaf = 1e-3,
        .category_l2 = 10,
        .category_smoothing = 10,
        .category_max_threshold = 32,
        .category_max_onehot = 4,
        .category_min_rows = 100,
        .row_fraction = 1,
        .row_every = 1,
        .column_fraction = 1,
        .max_delta_step = objective == TP_OBJECTIVE_POISSON ? 0.7 : 0,
        .huber_delta = 0.9,
        .quantile = 0.5,
        .tweedie_power = 1.5,
        .positive_weight = 1,
        .boost_from_average = true,
    };
}

typedef struct range {
    const char *name;
    double value;
    double low;
    double high;
    bool is_open; // the ends themselves are not allowed
} range;

static tapeout_status check_ranges(const range *ranges, size_t count, tapeout_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const range *r = &ranges[i];
        const bool is_inside = r->is_open ? r->value > r->low && r->value < r->high
                                          : r->value >= r->low && r->value <= r->high;
        if (!is_inside) {
            return tp_fail(err, TAPEOUT_E_INVALID, "gbt: %s is %g: must be %s %g and %s %g",
                           r->name, r->value, r->is_open ? "above" : "at least", r->low,
                           r->is_open ? "below" : "at most", r->high);
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status check_interactions(const tp_gbt_options *options, const tp_learn_data *data,
                                         tapeout_error *err)
{
    if (options->interaction_count > TP_MAX_GBT_INTERACTIONS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "gbt: %u interaction groups: at most %u",
                       options->interaction_count, TP_MAX_GBT_INTERACTIONS);
    }
    for (uint32_t group = 0; group < options->interaction_count; group++) {
        for (uint32_t i = 0; i < options->interaction_sizes[group]; i++) {
            if (options->interactions[group][i] >= data->feature_count) {
                return tp_fail(err, TAPEOUT_E_INVALID,
                               "gbt: interaction group %u names feature %u of %u", group,
                               options->interactions[group][i], data->feature_count);
            }
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_gbt_options_check(const tp_gbt_options *options, const tp_learn_data *data,
                                    tapeout_error *err)
{
    const double classes_min = options->objective == TP_OBJECTIVE_MULTICLASS ? 2 : 0;
    const range ranges[] = {
        {"trees", options->trees, 0, TP_MAX_GBT_TREES, false},
        {"leaves", options->leaves, 2, TP_MAX_GBT_LEAVES, false},
        {"learning_rate", options->learning_rate, 0, 1e6, true},
        {"bins", options->bins, 2, 255, false},
        {"min_hessian_in_leaf", options->min_hessian_in_leaf, 0, 1e300, false},
        {"min_gain", options->min_gain, 0, 1e300, false},
        {"l1", options->l1, 0, 1e300, false},
        {"l2", options->l2, 0, 1e300, false},
        {"category_l2", options->category_l2, 0, 1e300, false},
        {"category_smoothing", options->category_smoothing, 0, 1e300, false},
        {"row_fraction", options->row_fraction, 1e-9, 1, false},
        {"row_every", options->row_every, 1, UINT32_MAX, false},
        {"column_fraction", options->column_fraction, 1e-9, 1, false},
        {"max_delta_step", options->max_delta_step, 0, 1e300, false},
        {"huber_delta", options->huber_delta, 0, 1e300, true},
        {"quantile", options->quantile, 0, 1, true},
        {"tweedie_power", options->tweedie_power, 1, 2, true},
        {"positive_weight", options->positive_weight, 1e-9, 1e9, false},
        {"class_count", options->class_count, classes_min, TP_MAX_GBT_CLASSES, false},
        {"feature count", data->feature_count, 1, TP_MAX_GBT_FEATURES, false},
        {"row count", (double)data->row_count, 1, (double)TP_MAX_GBT_ROWS, false},
        {"block_rows", data->block_rows, 1, UINT32_MAX, false},
    };
    TP_TRY(check_ranges(ranges, sizeof(ranges) / sizeof(ranges[0]), err));
    return check_interactions(options, data, err);
}
