// SPDX-License-Identifier: Apache-2.0
//
// MLflow's logged models over HTTP.
#include "serve/mlflow_ask.h"
#include "serve/mlflow_calls.h"

#include "base/limits.h"
#include "base/tp_error.h"

static tp_str path_id(const mlflow_ask *ask)
{
    return ask->exchange->params[0];
}

tapeout_status tp_mlflow_models_create(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_model_spec spec = {
        .experiment_id = tp_ask_needed_text(ask, "experiment_id"),
        .name = tp_ask_text(ask, "name"),
        .model_type = tp_ask_text(ask, "model_type"),
        .source_run_id = tp_ask_text(ask, "source_run_id"),
        .params = tp_ask_pairs(ask, "params", TP_MAX_MLFLOW_BATCH),
        .tags = tp_ask_pairs(ask, "tags", TP_MAX_MLFLOW_BATCH),
    };
    TP_TRY(tp_ask_check(ask, err));
    tp_buffer_append_text(ask->json, "\"model\":");
    return tp_mlflow_model_create(ask->mlflow, &spec, ask->json, err);
}

tapeout_status tp_mlflow_models_get(mlflow_ask *ask, tapeout_error *err)
{
    tp_buffer_append_text(ask->json, "\"model\":");
    return tp_mlflow_model_get(ask->mlflow, path_id(ask), ask->json, err);
}

tapeout_status tp_mlflow_models_finish(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str state = tp_ask_needed_text(ask, "status");
    TP_TRY(tp_ask_check(ask, err));
    tp_buffer_append_text(ask->json, "\"model\":");
    return tp_mlflow_model_finish(ask->mlflow, path_id(ask), state, ask->json, err);
}

tapeout_status tp_mlflow_models_delete(mlflow_ask *ask, tapeout_error *err)
{
    return tp_mlflow_model_delete(ask->mlflow, path_id(ask), err);
}

tapeout_status tp_mlflow_models_set_tags(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_pairs tags = tp_ask_pairs(ask, "tags", TP_MAX_MLFLOW_BATCH);
    TP_TRY(tp_ask_check(ask, err));
    TP_TRY(tp_mlflow_model_tags(ask->mlflow, path_id(ask), tags, err));
    tp_buffer_append_text(ask->json, "\"model\":");
    return tp_mlflow_model_get(ask->mlflow, path_id(ask), ask->json, err);
}

tapeout_status tp_mlflow_models_delete_tag(mlflow_ask *ask, tapeout_error *err)
{
    return tp_mlflow_model_untag(ask->mlflow, path_id(ask), ask->exchange->params[1], err);
}

tapeout_status tp_mlflow_models_set_params(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_pairs params = tp_ask_pairs(ask, "params", TP_MAX_MLFLOW_BATCH);
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_model_params(ask->mlflow, path_id(ask), params, err);
}

// The structured order of this one search becomes the texts of all others.
static tp_mlflow_texts order_of(mlflow_ask *ask)
{
    yyjson_val *list = tp_ask_list(ask, ask->root, "order_by", TP_MAX_MLFLOW_ORDER);
    const size_t count = yyjson_arr_size(list);
    tp_str *texts = tp_arena_array(&ask->arena, count + 1, sizeof(*texts));
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    for (size_t i = 0; i < count && texts != NULL; i++) {
        yyjson_val *item = yyjson_arr_iter_next(&iter);
        const tp_str name = tp_ask_text_of(ask, item, "field_name");
        yyjson_val *ascending = yyjson_obj_get(item, "ascending");
        const bool is_descending = yyjson_is_false(ascending);
        tp_buffer text;
        tp_buffer_init(&text, ask->exchange->state->env->alloc, TP_MAX_MLFLOW_FILTER_BYTES);
        tp_buffer_append_str(&text, name);
        tp_buffer_append_text(&text, is_descending ? " DESC" : " ASC");
        texts[i] = tp_arena_str(&ask->arena, tp_buffer_view(&text));
        if (text.status != TAPEOUT_OK) {
            tp_ask_refuse(ask, "\"field_name\" of an order is too long");
        }
        tp_buffer_deinit(&text);
    }
    return (tp_mlflow_texts){texts, texts == NULL ? 0 : (uint32_t)count};
}

tapeout_status tp_mlflow_models_search(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_search search = {
        .filter = tp_ask_text(ask, "filter"),
        .order = order_of(ask),
        .experiments = tp_ask_texts(ask, "experiment_ids"),
        .max_results = tp_ask_integer(ask, "max_results", 0),
        .page_token = tp_ask_text(ask, "page_token"),
    };
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_model_search(ask->mlflow, &search, ask->json, err);
}
