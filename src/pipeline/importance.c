// SPDX-License-Identifier: Apache-2.0
//
// Which features carry the model: gain and splits from the forest itself and, where the spec asks
// for it, how much the test metric loses when a feature's values are dealt out anew.
#include "learn/tp_importance.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "pipeline/pipeline_priv.h"
#include "table/tp_json.h"

enum { PERMUTATION_REPEATS = 5 };

typedef struct importance_columns {
    double *gain;
    uint64_t *splits;
    double *permutation; // NULL where it was not asked for
} importance_columns;

static void append_entry(tp_buffer *json, const pipeline_view *view, uint32_t feature,
                         const importance_columns *columns)
{
    tp_buffer_append_text(json, feature > 0 ? ",{" : "{");
    tp_json_append_key(json, "feature");
    tp_json_append_str(json, view->features[feature].name);
    tp_json_append_key(json, "gain");
    tp_json_append_f64(json, columns->gain[feature]);
    tp_json_append_key(json, "splits");
    tp_json_append_u64(json, columns->splits[feature]);
    if (columns->permutation != NULL) {
        tp_json_append_key(json, "permutation");
        tp_json_append_f64(json, columns->permutation[feature]);
    }
    tp_buffer_append_char(json, '}');
}

// AUC tells a binary model's features apart best, log loss a multiclass one's, else the error.
static tp_metric permuted_metric(tp_task task)
{
    switch (task) {
    case TP_TASK_BINARY:
        return TP_METRIC_AUC;
    case TP_TASK_MULTICLASS:
        return TP_METRIC_LOG_LOSS;
    case TP_TASK_QUANTILE:
        return TP_METRIC_PINBALL;
    case TP_TASK_COUNT:
        return TP_METRIC_DEVIANCE;
    case TP_TASK_REGRESSION:
        break;
    }
    return TP_METRIC_RMSE;
}

static tapeout_status permute(const pipeline_subject *subject, const pipeline_view *view,
                              double *ret_importance, tapeout_error *err)
{
    const tp_importance_options options = {.metric = permuted_metric(subject->dataset->target.task),
                                           .repeats = PERMUTATION_REPEATS,
                                           .seed = subject->spec->seed,
                                           .quantile = subject->spec->model.gbt.quantile,
                                           .tweedie_power = subject->spec->model.gbt.tweedie_power};
    tp_learn_data data = {0};
    TP_TRY(tp_pipeline_bind(subject->env, view, &subject->dataset->test, &data, err));
    const tapeout_status status = tp_importance_permutation(subject->env, subject->fitted->model,
                                                            &data, &options, ret_importance, err);
    tp_pipeline_unbind(&data);
    return status;
}

tapeout_status tp_pipeline_importance(const pipeline_subject *subject, tp_buffer *ret_json,
                                      tapeout_error *err)
{
    const tp_model_parts *parts = tp_model_view(subject->fitted->model);
    const bool permuted = subject->spec->evaluate.permutation;
    tp_arena arena;
    pipeline_view view;
    tp_arena_init(&arena, subject->env->alloc, SIZE_MAX);
    tapeout_status status = tp_pipeline_view(subject->fitted->program, &arena, &view, err);
    importance_columns columns = {0};
    if (status == TAPEOUT_OK) {
        columns.gain = tp_arena_array(&arena, view.feature_count, sizeof(double));
        columns.splits = tp_arena_array(&arena, view.feature_count, sizeof(uint64_t));
        columns.permutation =
            permuted ? tp_arena_array(&arena, view.feature_count, sizeof(double)) : NULL;
        status = tp_arena_check(&arena, "importance", err);
    }
    if (status == TAPEOUT_OK && parts->kind == TP_LEARNER_GBT) {
        tp_gbt_importance(parts->gbt, columns.gain, columns.splits);
    }
    if (status == TAPEOUT_OK && permuted) {
        status = permute(subject, &view, columns.permutation, err);
    }
    tp_buffer_append_char(ret_json, '[');
    for (uint32_t f = 0; status == TAPEOUT_OK && f < view.feature_count; f++) {
        append_entry(ret_json, &view, f, &columns);
    }
    tp_buffer_append_char(ret_json, ']');
    tp_arena_deinit(&arena);
    return status;
}
