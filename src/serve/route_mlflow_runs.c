// SPDX-License-Identifier: Apache-2.0
//
// MLflow's runs over HTTP. Single metrics, params and tags are batches of one.
#include "serve/mlflow_ask.h"
#include "serve/mlflow_calls.h"

#include "base/limits.h"
#include "base/tp_error.h"

// Old clients say run_uuid.
static tp_str needed_run(mlflow_ask *ask)
{
    const tp_str id = tp_ask_text(ask, "run_id");
    return id.size > 0 ? id : tp_ask_needed_text(ask, "run_uuid");
}

tapeout_status tp_mlflow_runs_create(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_run_spec spec = {
        .experiment_id = tp_ask_needed_text(ask, "experiment_id"),
        .user_id = tp_ask_text(ask, "user_id"),
        .name = tp_ask_text(ask, "run_name"),
        .start_ms = tp_ask_integer(ask, "start_time", 0),
        .tags = tp_ask_pairs(ask, "tags", TP_MAX_MLFLOW_BATCH),
    };
    TP_TRY(tp_ask_check(ask, err));
    tp_buffer_append_text(ask->json, "\"run\":");
    return tp_mlflow_run_create(ask->mlflow, &spec, ask->json, err);
}

tapeout_status tp_mlflow_runs_get(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = needed_run(ask);
    TP_TRY(tp_ask_check(ask, err));
    tp_buffer_append_text(ask->json, "\"run\":");
    return tp_mlflow_run_get(ask->mlflow, id, ask->json, err);
}

tapeout_status tp_mlflow_runs_update(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = needed_run(ask);
    const tp_mlflow_run_change change = {
        .status = tp_ask_text(ask, "status"),
        .name = tp_ask_text(ask, "run_name"),
        .end_ms = tp_ask_integer(ask, "end_time", 0),
    };
    TP_TRY(tp_ask_check(ask, err));
    tp_buffer_append_text(ask->json, "\"run_info\":");
    return tp_mlflow_run_update(ask->mlflow, id, &change, ask->json, err);
}

static tapeout_status delete_run(mlflow_ask *ask, bool is_back, tapeout_error *err)
{
    const tp_str id = needed_run(ask);
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_run_delete(ask->mlflow, id, is_back, err);
}

tapeout_status tp_mlflow_runs_delete(mlflow_ask *ask, tapeout_error *err)
{
    return delete_run(ask, false, err);
}

tapeout_status tp_mlflow_runs_restore(mlflow_ask *ask, tapeout_error *err)
{
    return delete_run(ask, true, err);
}

// -- logging -------------------------------------------------------------------------------------
static tp_mlflow_metric metric_of(mlflow_ask *ask, yyjson_val *object)
{
    return (tp_mlflow_metric){
        .key = tp_ask_text_of(ask, object, "key"),
        .value = tp_ask_real_of(ask, object, "value"),
        .timestamp_ms = tp_ask_integer_of(ask, object, "timestamp", 0),
        .step = tp_ask_integer_of(ask, object, "step", 0),
        .model_id = tp_ask_text_of(ask, object, "model_id"),
        .dataset_name = tp_ask_text_of(ask, object, "dataset_name"),
        .dataset_digest = tp_ask_text_of(ask, object, "dataset_digest"),
    };
}

tapeout_status tp_mlflow_runs_log_metric(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = needed_run(ask);
    const tp_mlflow_metric metric = metric_of(ask, ask->root);
    const tp_mlflow_batch batch = {.metrics = &metric, .metric_count = 1};
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_run_log(ask->mlflow, id, &batch, err);
}

tapeout_status tp_mlflow_runs_log_param(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = needed_run(ask);
    const tp_mlflow_pair param = {tp_ask_text(ask, "key"), tp_ask_text(ask, "value")};
    const tp_mlflow_batch batch = {.params = {&param, 1}};
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_run_log(ask->mlflow, id, &batch, err);
}

tapeout_status tp_mlflow_runs_set_tag(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = needed_run(ask);
    const tp_mlflow_pair tag = {tp_ask_text(ask, "key"), tp_ask_text(ask, "value")};
    const tp_mlflow_batch batch = {.tags = {&tag, 1}};
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_run_log(ask->mlflow, id, &batch, err);
}

tapeout_status tp_mlflow_runs_log_batch(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = needed_run(ask);
    tp_mlflow_batch batch = {
        .params = tp_ask_pairs(ask, "params", TP_MAX_MLFLOW_PAIRS),
        .tags = tp_ask_pairs(ask, "tags", TP_MAX_MLFLOW_PAIRS),
    };
    yyjson_val *list = tp_ask_list(ask, ask->root, "metrics", TP_MAX_MLFLOW_BATCH);
    const size_t count = yyjson_arr_size(list);
    tp_mlflow_metric *metrics = tp_arena_array(&ask->arena, count + 1, sizeof(*metrics));
    if (metrics == NULL) {
        return tp_arena_check(&ask->arena, "request", err);
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    for (size_t i = 0; i < count; i++) {
        metrics[i] = metric_of(ask, yyjson_arr_iter_next(&iter));
    }
    batch.metrics = metrics;
    batch.metric_count = (uint32_t)count;
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_run_log(ask->mlflow, id, &batch, err);
}

tapeout_status tp_mlflow_runs_delete_tag(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = needed_run(ask);
    const tp_str key = tp_ask_needed_text(ask, "key");
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_run_untag(ask->mlflow, id, key, err);
}

// What log_model of version 2 tells of a model: kept as the tag where its clients look for it, one
// list of all that the run has logged.
tapeout_status tp_mlflow_runs_log_model(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = needed_run(ask);
    const tp_str model = tp_ask_needed_text(ask, "model_json");
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_run_history_add(ask->mlflow, id, model, err);
}

// -- inputs and outputs --------------------------------------------------------------------------
static tp_mlflow_dataset dataset_of(mlflow_ask *ask, yyjson_val *input)
{
    yyjson_val *dataset = tp_ask_object(ask, input, "dataset");
    return (tp_mlflow_dataset){
        .name = tp_ask_text_of(ask, dataset, "name"),
        .digest = tp_ask_text_of(ask, dataset, "digest"),
        .source_type = tp_ask_text_of(ask, dataset, "source_type"),
        .source = tp_ask_text_of(ask, dataset, "source"),
        .schema = tp_ask_text_of(ask, dataset, "schema"),
        .profile = tp_ask_text_of(ask, dataset, "profile"),
        .tags = tp_ask_pairs_of(ask, input, "tags", TP_MAX_MLFLOW_PAIRS),
    };
}

static tapeout_status log_models(mlflow_ask *ask, tp_str run_id, bool is_output, tapeout_error *err)
{
    yyjson_val *list = tp_ask_list(ask, ask->root, "models", TP_MAX_MLFLOW_PAIRS);
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    for (yyjson_val *item = yyjson_arr_iter_next(&iter); item != NULL;
         item = yyjson_arr_iter_next(&iter)) {
        const tp_mlflow_model_use use = {tp_ask_text_of(ask, item, "model_id"),
                                         tp_ask_integer_of(ask, item, "step", 0)};
        TP_TRY(tp_ask_check(ask, err));
        TP_TRY(tp_mlflow_run_model(ask->mlflow, run_id, &use, is_output, err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_runs_log_inputs(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = needed_run(ask);
    yyjson_val *list = tp_ask_list(ask, ask->root, "datasets", TP_MAX_MLFLOW_PAIRS);
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    TP_TRY(tp_ask_check(ask, err));
    for (yyjson_val *item = yyjson_arr_iter_next(&iter); item != NULL;
         item = yyjson_arr_iter_next(&iter)) {
        const tp_mlflow_dataset dataset = dataset_of(ask, item);
        TP_TRY(tp_ask_check(ask, err));
        TP_TRY(tp_mlflow_run_dataset(ask->mlflow, id, &dataset, err));
    }
    return log_models(ask, id, false, err);
}

tapeout_status tp_mlflow_runs_log_outputs(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = needed_run(ask);
    TP_TRY(tp_ask_check(ask, err));
    return log_models(ask, id, true, err);
}

// -- reading -------------------------------------------------------------------------------------
tapeout_status tp_mlflow_runs_search(mlflow_ask *ask, tapeout_error *err)
{
    tp_mlflow_search search = tp_ask_search(ask, "run_view_type");
    TP_TRY(tp_ask_check(ask, err));
    if (search.experiments.count == 0) {
        return TAPEOUT_OK; // of no experiment, no run
    }
    return tp_mlflow_run_search(ask->mlflow, &search, ask->json, err);
}

tapeout_status tp_mlflow_metrics_history(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = needed_run(ask);
    const tp_mlflow_history history = {
        .run_ids = {&id, 1},
        .key = tp_ask_needed_text(ask, "metric_key"),
        .first_step = INT64_MIN,
        .last_step = INT64_MAX,
        .max_results = tp_ask_integer(ask, "max_results", 0),
        .page_token = tp_ask_text(ask, "page_token"),
    };
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_metric_history(ask->mlflow, &history, false, ask->json, err);
}

tapeout_status tp_mlflow_metrics_interval(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_history history = {
        .run_ids = tp_ask_texts(ask, "run_ids"),
        .key = tp_ask_needed_text(ask, "metric_key"),
        .first_step = tp_ask_integer(ask, "start_step", INT64_MIN),
        .last_step = tp_ask_integer(ask, "end_step", INT64_MAX),
        .max_results = tp_ask_integer(ask, "max_results", 0),
    };
    TP_TRY(tp_ask_check(ask, err));
    if (history.run_ids.count == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID, "\"run_ids\" is missing");
    }
    return tp_mlflow_metric_history(ask->mlflow, &history, true, ask->json, err);
}
