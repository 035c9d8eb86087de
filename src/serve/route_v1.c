// SPDX-License-Identifier: Apache-2.0
//
// KServe's protocol, version 1: names of models, readiness, and `instances` or `inputs` in,
// `predictions` out. An instance is a record or a list of values in the model's column order.
#include "serve/serve_priv.h"

#include "base/tp_error.h"
#include "table/tp_json.h"

// {"models":["a","b"]}, each name once.
static void write_names(serve_exchange *exchange)
{
    tp_served *models[TP_MAX_SERVED_MODELS];
    tp_engine *engine = exchange->state->engine;
    const size_t count = tp_engine_list(engine, models, TP_MAX_SERVED_MODELS);
    tp_buffer *json = &exchange->reply.body;
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(json, "{\"models\":[");
    bool is_begun = false;
    for (size_t i = 0; i < count; i++) {
        bool is_repeat = false;
        for (size_t k = 0; k < i && !is_repeat; k++) {
            is_repeat = tp_str_equal(models[k]->name, models[i]->name);
        }
        if (!is_repeat) {
            tp_buffer_append_text(json, is_begun ? "," : "");
            tp_json_append_str(json, models[i]->name);
            is_begun = true;
        }
    }
    tp_buffer_append_text(json, "]}");
    for (size_t i = 0; i < count; i++) {
        tp_engine_unref(engine, models[i]);
    }
}

tapeout_status tp_serve_v1_list(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    write_names(exchange);
    return TAPEOUT_OK;
}

tapeout_status tp_serve_v2_list(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    write_names(exchange);
    return TAPEOUT_OK;
}

tapeout_status tp_serve_v1_model(serve_exchange *exchange, tapeout_error *err)
{
    TP_TRY(tp_serve_model_find(exchange, err));
    tp_buffer *json = &exchange->reply.body;
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(json, "{\"name\":");
    tp_json_append_str(json, exchange->model->name);
    tp_buffer_append_text(json, ",\"ready\":true}");
    return TAPEOUT_OK;
}

static tapeout_status predict(serve_exchange *exchange, yyjson_val *root, tapeout_error *err)
{
    yyjson_val *instances = yyjson_obj_get(root, "instances");
    if (instances == NULL) {
        instances = yyjson_obj_get(root, "inputs");
    } else if (yyjson_obj_get(root, "inputs") != NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID, "either \"instances\" or \"inputs\", not both");
    }
    if (!yyjson_is_arr(instances)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "\"instances\" must be a list of records or rows");
    }
    if (yyjson_arr_size(instances) > exchange->state->max_rows) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%zu instances in one request, at most %llu",
                       yyjson_arr_size(instances), (unsigned long long)exchange->state->max_rows);
    }
    serve_batch batch;
    tapeout_status status = tp_serve_batch_begin(&batch, exchange, err);
    yyjson_arr_iter iter = yyjson_arr_iter_with(instances);
    for (yyjson_val *row = yyjson_arr_iter_next(&iter); row != NULL && status == TAPEOUT_OK;
         row = yyjson_arr_iter_next(&iter)) {
        status = yyjson_is_obj(row)
                     ? tp_serve_batch_record(&batch, row, err)
                     : tp_serve_batch_list(&batch, row, NULL, batch.model->schema->count, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_serve_batch_score(&batch, err);
    }
    if (status == TAPEOUT_OK) {
        tp_serve_batch_write_all(&batch, &exchange->reply.body);
    }
    tp_serve_batch_end(&batch);
    return status;
}

tapeout_status tp_serve_v1_predict(serve_exchange *exchange, tapeout_error *err)
{
    TP_TRY(tp_serve_model_find(exchange, err));
    yyjson_doc *doc = NULL;
    TP_TRY(tp_serve_body_json(exchange, &doc, err));
    exchange->reply.content_type = "application/json";
    const tapeout_status status = predict(exchange, yyjson_doc_get_root(doc), err);
    yyjson_doc_free(doc);
    return status;
}
