// SPDX-License-Identifier: Apache-2.0
//
// POST /score: a raw record as a person would write it, or a list of them, for the first model. The
// answer says what was predicted and by which bundle, and what the record made the model do
// without: keys that are no column, columns without a value, categories that training never saw.
// Records of a list are scored one by one, since what was unseen belongs to each; the bits are
// those of a batch.
#include "serve/serve_handlers.h"

#include "base/tp_error.h"
#include "table/tp_json.h"

static tapeout_status score_record(serve_batch *batch, yyjson_val *record, tapeout_error *err)
{
    const tp_served *model = batch->model;
    tp_buffer *json = &batch->exchange->reply.body;
    tp_serve_batch_clear(batch);
    TP_TRY(tp_serve_batch_record(batch, record, err));
    TP_TRY(tp_serve_batch_score(batch, err));
    tp_buffer_append_char(json, '{');
    tp_serve_batch_write_row(batch, 0, json);
    tp_buffer_append_str(json, TP_STR(",\"model\":"));
    tp_json_append_str(json, model->name);
    tp_buffer_append_str(json, TP_STR(",\"version\":"));
    tp_json_append_str(json, model->version);
    tp_buffer_append_str(json, TP_STR(",\"sha256\":\""));
    tp_buffer_append(json, model->sha256, TP_SHA256_HEX_SIZE);
    tp_buffer_append_char(json, '"');
    tp_serve_batch_write_notes(batch, true, json);
    tp_buffer_append_char(json, '}');
    return TAPEOUT_OK;
}

static tapeout_status score_list(serve_batch *batch, yyjson_val *list, tapeout_error *err)
{
    tp_buffer *json = &batch->exchange->reply.body;
    if (yyjson_arr_size(list) > batch->exchange->state->max_rows) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%zu records in one request, at most %llu",
                       yyjson_arr_size(list), (unsigned long long)batch->exchange->state->max_rows);
    }
    tp_buffer_append_char(json, '[');
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    size_t number = 0;
    for (yyjson_val *record = yyjson_arr_iter_next(&iter); record != NULL;
         record = yyjson_arr_iter_next(&iter)) {
        if (number++ > 0) {
            tp_buffer_append_char(json, ',');
        }
        const tapeout_status status = score_record(batch, record, err);
        if (status != TAPEOUT_OK) {
            tp_error_prefix(err, "record %zu", number);
            return status;
        }
    }
    tp_buffer_append_char(json, ']');
    return TAPEOUT_OK;
}

static tapeout_status score_document(serve_exchange *exchange, yyjson_val *root, tapeout_error *err)
{
    serve_batch batch;
    tapeout_status status = tp_serve_batch_begin(&batch, exchange, err);
    if (status != TAPEOUT_OK) {
        // Falls through to the end, which gives back what there is.
    } else if (tp_serve_is_form(batch.model, root)) {
        status = tp_serve_batch_score_form(&batch, root, err);
        if (status == TAPEOUT_OK) {
            tp_serve_batch_write_all(&batch, &exchange->reply.body);
        }
    } else if (yyjson_is_obj(root)) {
        status = score_record(&batch, root, err);
    } else if (yyjson_is_arr(root)) {
        status = score_list(&batch, root, err);
    } else {
        status = tp_fail(err, TAPEOUT_E_INVALID,
                         "request body: a record (an object) or a list of records was expected");
    }
    tp_serve_batch_end(&batch);
    return status;
}

tapeout_status tp_serve_score(serve_exchange *exchange, tapeout_error *err)
{
    TP_TRY(tp_serve_table_first(exchange, err));
    yyjson_doc *doc = NULL;
    TP_TRY(tp_serve_body_json(exchange, &doc, err));
    exchange->reply.content_type = "application/json";
    const tapeout_status status = score_document(exchange, yyjson_doc_get_root(doc), err);
    yyjson_doc_free(doc);
    return status;
}
