// SPDX-License-Identifier: Apache-2.0
//
// Version 1 twice over: OpenAI's list of models and KServe's names stand in one reply, since both
// kinds of client ask the same path. KServe's prediction: `instances` or `inputs` in,
// `predictions` out. An instance is a record or a list of values in the model's column order.
#include "serve/serve_handlers.h"

#include "base/tp_error.h"
#include "table/tp_json.h"

static void write_data(tp_served *const *models, size_t count, tp_buffer *json)
{
    tp_buffer_append_text(json, "\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < count; i++) {
        tp_buffer_append_text(json, i == 0 ? "{" : ",{");
        tp_openai_model_write(models[i], json);
        tp_buffer_append_char(json, '}');
    }
    tp_buffer_append_text(json, "],");
}

// "models":["a","b"], each name once; for OpenAI's clients "data":[{"id":"a",...}] before it.
static void write_names(serve_exchange *exchange, bool has_data)
{
    tp_served *models[TP_MAX_SERVED_MODELS];
    tp_engine *engine = exchange->state->engine;
    const size_t count = tp_serve_models_list(exchange, models);
    tp_buffer *json = &exchange->reply.body;
    exchange->reply.content_type = "application/json";
    tp_buffer_append_char(json, '{');
    if (has_data) {
        write_data(models, count, json);
    }
    tp_buffer_append_text(json, "\"models\":[");
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
    write_names(exchange, true);
    return TAPEOUT_OK;
}

tapeout_status tp_serve_v2_list(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    write_names(exchange, false);
    return TAPEOUT_OK;
}

tapeout_status tp_serve_v1_model(serve_exchange *exchange, tapeout_error *err)
{
    const tapeout_status status = tp_serve_model_find(exchange, err);
    if (status != TAPEOUT_OK) {
        exchange->fail_code = status == TAPEOUT_E_NOT_FOUND ? "model_not_found" : NULL;
        return status;
    }
    tp_buffer *json = &exchange->reply.body;
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(json, "{\"name\":");
    tp_json_append_str(json, exchange->model->name);
    tp_buffer_append_text(json, ",\"ready\":true,");
    tp_openai_model_write(exchange->model, json);
    tp_buffer_append_char(json, '}');
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
    TP_TRY(tp_serve_table_find(exchange, err));
    yyjson_doc *doc = NULL;
    TP_TRY(tp_serve_body_json(exchange, &doc, err));
    exchange->reply.content_type = "application/json";
    const tapeout_status status = predict(exchange, yyjson_doc_get_root(doc), err);
    yyjson_doc_free(doc);
    return status;
}
