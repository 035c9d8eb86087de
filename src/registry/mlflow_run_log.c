// SPDX-License-Identifier: Apache-2.0
//
// What runs log: metrics with their history, params that never change, tags that do. A batch is one
// transaction. The latest of a metric is the one of the highest step, then time, then value, as in
// MLflow; a metric that comes a second time with all the same (a client's retry) stands once.
#include "registry/mlflow_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"

#include <math.h>

typedef struct log_call {
    tp_str run_id;
    const tp_mlflow_batch *batch;
    tp_str key; // of the tag that goes
} log_call;

// -- metrics -------------------------------------------------------------------------------------
static tapeout_status log_for_model(tp_mlflow *mlflow, tp_str run_id,
                                    const tp_mlflow_metric *metric, tp_sql_value value,
                                    tapeout_error *err)
{
    return tp_mlflow_exec(
        mlflow,
        "INSERT INTO mlflow_model_metrics AS old(model_id, run_id, key, timestamp_ms, step, value, "
        "is_nan, dataset_name, dataset_digest) VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9) "
        "ON CONFLICT(model_id, run_id, key, dataset_name, dataset_digest) DO UPDATE SET "
        "timestamp_ms = excluded.timestamp_ms, step = excluded.step, value = excluded.value, "
        "is_nan = excluded.is_nan WHERE (excluded.step, excluded.timestamp_ms, excluded.value) >= "
        "(old.step, old.timestamp_ms, old.value)",
        TP_SQL(tp_sql_text(metric->model_id), tp_sql_text(run_id), tp_sql_text(metric->key),
               tp_sql_int(metric->timestamp_ms), tp_sql_int(metric->step), value,
               tp_sql_int(isnan(metric->value)), tp_sql_text(metric->dataset_name),
               tp_sql_text(metric->dataset_digest)),
        NULL, err);
}

static tapeout_status log_metric(tp_mlflow *mlflow, tp_str run_id, const tp_mlflow_metric *metric,
                                 tapeout_error *err)
{
    const tp_sql_value value = tp_sql_double(isnan(metric->value) ? 0 : metric->value);
    const tp_sql_values values =
        TP_SQL(tp_sql_text(run_id), tp_sql_text(metric->key), tp_sql_int(metric->timestamp_ms),
               tp_sql_int(metric->step), value, tp_sql_int(isnan(metric->value)));
    TP_TRY(tp_mlflow_exec(mlflow,
                          "INSERT INTO mlflow_metrics(run_id, key, timestamp_ms, step, value, "
                          "is_nan) VALUES($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                          values, NULL, err));
    TP_TRY(tp_mlflow_exec(
        mlflow,
        "INSERT INTO mlflow_latest_metrics AS old(run_id, key, timestamp_ms, step, value, is_nan) "
        "VALUES($1, $2, $3, $4, $5, $6) ON CONFLICT(run_id, key) DO UPDATE SET "
        "timestamp_ms = excluded.timestamp_ms, step = excluded.step, value = excluded.value, "
        "is_nan = excluded.is_nan WHERE (excluded.step, excluded.timestamp_ms, excluded.value) >= "
        "(old.step, old.timestamp_ms, old.value)",
        values, NULL, err));
    return metric->model_id.size == 0 ? TAPEOUT_OK
                                      : log_for_model(mlflow, run_id, metric, value, err);
}

// -- params and tags -----------------------------------------------------------------------------
static tapeout_status log_param(tp_mlflow *mlflow, tp_str run_id, const tp_mlflow_pair *param,
                                tapeout_error *err)
{
    const tp_str value = tp_mlflow_cut(param->value, TP_MAX_MLFLOW_PARAM_BYTES);
    const tp_sql_values values =
        TP_SQL(tp_sql_text(run_id), tp_sql_text(param->key), tp_sql_text(value));
    int64_t made = 0;
    bool is_same = true;
    TP_TRY(tp_mlflow_exec(mlflow,
                          "INSERT INTO mlflow_params(run_id, key, value) VALUES($1, $2, $3) "
                          "ON CONFLICT(run_id, key) DO NOTHING",
                          values, &made, err));
    if (made == 0) {
        TP_TRY(tp_mlflow_exists(mlflow,
                                "SELECT 1 FROM mlflow_params WHERE run_id = $1 AND key = $2 "
                                "AND value = $3",
                                values, &is_same, err));
    }
    return is_same ? TAPEOUT_OK
                   : tp_fail(err, TAPEOUT_E_INVALID,
                             "Changing param values is not allowed. Param with key='%.*s' was "
                             "already logged with another value for run ID='%.*s'",
                             TP_STR_ARGS(param->key), TP_STR_ARGS(run_id));
}

static tapeout_status log_tag(tp_mlflow *mlflow, tp_str run_id, const tp_mlflow_pair *tag,
                              tapeout_error *err)
{
    const tp_str value = tp_mlflow_cut(tag->value, TP_MAX_MLFLOW_TAG_BYTES);
    TP_TRY(tp_mlflow_exec(mlflow,
                          "INSERT INTO mlflow_run_tags(run_id, key, value) VALUES($1, $2, $3) "
                          "ON CONFLICT(run_id, key) DO UPDATE SET value = excluded.value",
                          TP_SQL(tp_sql_text(run_id), tp_sql_text(tag->key), tp_sql_text(value)),
                          NULL, err));
    return tp_str_equal(tag->key, TP_STR("mlflow.runName"))
               ? tp_mlflow_exec(mlflow, "UPDATE mlflow_runs SET name = $1 WHERE run_id = $2",
                                TP_SQL(tp_sql_text(value), tp_sql_text(run_id)), NULL, err)
               : TAPEOUT_OK;
}

// -- batches -------------------------------------------------------------------------------------
static tapeout_status log_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const log_call *call = user;
    const tp_mlflow_batch *batch = call->batch;
    TP_TRY(tp_mlflow_run_need(mlflow, call->run_id, err));
    for (uint32_t i = 0; i < batch->params.count; i++) {
        TP_TRY(log_param(mlflow, call->run_id, &batch->params.items[i], err));
    }
    for (uint32_t i = 0; i < batch->metric_count; i++) {
        TP_TRY(log_metric(mlflow, call->run_id, &batch->metrics[i], err));
    }
    for (uint32_t i = 0; i < batch->tags.count; i++) {
        TP_TRY(log_tag(mlflow, call->run_id, &batch->tags.items[i], err));
    }
    return TAPEOUT_OK;
}

static tapeout_status check_batch(const tp_mlflow_batch *batch, tapeout_error *err)
{
    const uint64_t count = (uint64_t)batch->metric_count + batch->params.count + batch->tags.count;
    if (count > TP_MAX_MLFLOW_BATCH || batch->params.count > TP_MAX_MLFLOW_PAIRS ||
        batch->tags.count > TP_MAX_MLFLOW_PAIRS) {
        return tp_fail(
            err, TAPEOUT_E_INVALID,
            "a batch of %u metrics, %u params and %u tags; at most %u in all, of them %u "
            "params and %u tags",
            batch->metric_count, batch->params.count, batch->tags.count, TP_MAX_MLFLOW_BATCH,
            TP_MAX_MLFLOW_PAIRS, TP_MAX_MLFLOW_PAIRS);
    }
    for (uint32_t i = 0; i < batch->metric_count; i++) {
        const tp_mlflow_metric *metric = &batch->metrics[i];
        TP_TRY(tp_mlflow_key_check("metric", metric->key, err));
        if (metric->timestamp_ms < 0) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "metric \"%.*s\": timestamp %lld lies before 1970; it is milliseconds "
                           "since then",
                           TP_STR_ARGS(metric->key), (long long)metric->timestamp_ms);
        }
    }
    for (uint32_t i = 0; i < batch->params.count; i++) {
        TP_TRY(tp_mlflow_key_check("param", batch->params.items[i].key, err));
    }
    for (uint32_t i = 0; i < batch->tags.count; i++) {
        TP_TRY(tp_mlflow_key_check("tag", batch->tags.items[i].key, err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_run_log(tp_mlflow *mlflow, tp_str run_id, const tp_mlflow_batch *batch,
                                 tapeout_error *err)
{
    log_call call = {.run_id = run_id, .batch = batch};
    TP_TRY(check_batch(batch, err));
    return tp_mlflow_transact(mlflow, log_locked, &call, err);
}

static tapeout_status untag_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const log_call *call = user;
    int64_t changed = 0;
    TP_TRY(tp_mlflow_run_need(mlflow, call->run_id, err));
    TP_TRY(tp_mlflow_exec(mlflow, "DELETE FROM mlflow_run_tags WHERE run_id = $1 AND key = $2",
                          TP_SQL(tp_sql_text(call->run_id), tp_sql_text(call->key)), &changed,
                          err));
    return changed > 0
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_NOT_FOUND, "No tag with name: %.*s in run with id %.*s",
                         TP_STR_ARGS(call->key), TP_STR_ARGS(call->run_id));
}

tapeout_status tp_mlflow_run_untag(tp_mlflow *mlflow, tp_str run_id, tp_str key, tapeout_error *err)
{
    log_call call = {.run_id = run_id, .key = key};
    return tp_mlflow_transact(mlflow, untag_locked, &call, err);
}

// -- models of version 2 -------------------------------------------------------------------------
#define HISTORY_TAG "mlflow.log-model.history"

static tapeout_status read_history(tp_mlflow *mlflow, tp_str run_id, tp_buffer *ret_list,
                                   tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(mlflow->store, &rows,
                   "SELECT value FROM mlflow_run_tags WHERE run_id = $1 AND key = $2",
                   TP_SQL(tp_sql_text(run_id), tp_sql_word(HISTORY_TAG)));
    while (tp_rows_next(&rows)) {
        const tp_str text = tp_rows_text(&rows, 0);
        if (text.size > 1 && text.data[0] == '[' && text.data[text.size - 1] == ']') {
            tp_buffer_append(ret_list, text.data, text.size - 1);
            tp_buffer_append_char(ret_list, ',');
        }
    }
    return tp_rows_close(&rows, err);
}

static tapeout_status history_locked(tp_mlflow *mlflow, void *user, tapeout_error *err)
{
    const log_call *call = user;
    tp_buffer list;
    TP_TRY(tp_mlflow_run_need(mlflow, call->run_id, err));
    tp_buffer_init(&list, mlflow->alloc, TP_MAX_MLFLOW_DATASET_BYTES);
    tapeout_status status = read_history(mlflow, call->run_id, &list, err);
    tp_buffer_append_text(&list, list.size == 0 ? "[" : "");
    tp_buffer_append_str(&list, call->key);
    tp_buffer_append_char(&list, ']');
    if (status == TAPEOUT_OK) {
        status = tp_buffer_check(&list, "the run's list of models", err);
    }
    if (status == TAPEOUT_OK) {
        status =
            tp_mlflow_exec(mlflow,
                           "INSERT INTO mlflow_run_tags(run_id, key, value) VALUES($1, $2, $3) "
                           "ON CONFLICT(run_id, key) DO UPDATE SET value = excluded.value",
                           TP_SQL(tp_sql_text(call->run_id), tp_sql_word(HISTORY_TAG),
                                  tp_sql_text(tp_buffer_view(&list))),
                           NULL, err);
    }
    tp_buffer_deinit(&list);
    return status;
}

tapeout_status tp_mlflow_run_history_add(tp_mlflow *mlflow, tp_str run_id, tp_str model_json,
                                         tapeout_error *err)
{
    log_call call = {.run_id = run_id, .key = model_json};
    return tp_mlflow_transact(mlflow, history_locked, &call, err);
}

// -- history -------------------------------------------------------------------------------------
static tapeout_status write_metric(tp_mlflow *mlflow, const tp_rows *rows, tp_buffer *json,
                                   tapeout_error *err)
{
    (void)mlflow;
    (void)err;
    tp_mlflow_put_metric(rows, rows->columns, json);
    return TAPEOUT_OK;
}

static const mlflow_entity metric_rows = {
    .what = "a metric", .attributes = (const mlflow_attribute[]){{NULL, NULL, MLFLOW_TEXT}}};

tapeout_status tp_mlflow_metric_history(tp_mlflow *mlflow, const tp_mlflow_history *history,
                                        bool names_runs, tp_buffer *json, tapeout_error *err)
{
    const tp_mlflow_search search = {.max_results =
                                         history->max_results == 0 ? 25000 : history->max_results,
                                     .page_token = history->page_token};
    mlflow_sql sql;
    tp_mlflow_sql_init(&sql, mlflow->alloc);
    tp_mlflow_sql_add(&sql, "SELECT m.value, m.is_nan, m.timestamp_ms, m.step, m.key");
    tp_mlflow_sql_add(&sql, names_runs ? ", m.run_id" : "");
    tp_mlflow_sql_add(&sql, " FROM mlflow_metrics m WHERE m.key = ");
    tp_mlflow_sql_text(&sql, history->key);
    tp_mlflow_sql_add(&sql, " AND m.step >= ");
    tp_mlflow_sql_integer(&sql, history->first_step);
    tp_mlflow_sql_add(&sql, " AND m.step <= ");
    tp_mlflow_sql_integer(&sql, history->last_step);
    tp_mlflow_sql_add(&sql, " AND m.run_id IN (");
    for (uint32_t i = 0; i < history->run_ids.count; i++) {
        tp_mlflow_sql_add(&sql, i > 0 ? ", " : "");
        tp_mlflow_sql_text(&sql, history->run_ids.items[i]);
    }
    tp_mlflow_sql_add(&sql, ")");
    tapeout_status status = tp_mlflow_search_add(&sql, &metric_rows, &search,
                                                 "m.run_id, m.timestamp_ms, m.step, m.value", err);
    if (status == TAPEOUT_OK) {
        status = tp_mlflow_search_run(mlflow, &sql, "metrics", write_metric, json, err);
    }
    tp_mlflow_sql_deinit(&sql);
    return status;
}
