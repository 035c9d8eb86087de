// SPDX-License-Identifier: Apache-2.0
//
// POST /score: a raw record as a person would write it, or a list of them, for the first model. The
// answer says what was predicted and by which bundle, and what the record made the model do
// without: keys that are no column, columns without a value, categories that training never saw.
// Records of a list are scored one by one, since what was unseen belongs to each; the bits are
// those of a batch.
#include "serve/serve_priv.h"

#include "base/tp_error.h"
#include "table/tp_json.h"

typedef struct score_notes {
    tp_buffer missing;
    tp_buffer ignored;
} score_notes;

static void write_unseen(const serve_batch *batch, tp_buffer *json)
{
    const tp_feature_program *program = tp_scorer_program(batch->model->scorer);
    const uint32_t count = tp_feature_output_count(program);
    bool is_begun = false;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t unseen = tp_session_counts(batch->kit->session, i).unseen;
        if (unseen == 0) {
            continue;
        }
        batch->exchange->unseen_count += unseen;
        if (is_begun) {
            tp_buffer_append_char(json, ',');
        }
        tp_json_append_str(json, tp_feature_output_at(program, i)->name);
        is_begun = true;
    }
}

static tapeout_status score_record(serve_batch *batch, score_notes *notes, yyjson_val *record,
                                   tapeout_error *err)
{
    const tp_served *model = batch->model;
    tp_buffer *json = &batch->exchange->reply.body;
    serve_batch_clear(batch);
    tp_buffer_clear(&notes->missing);
    tp_buffer_clear(&notes->ignored);
    TP_TRY(serve_batch_record(batch, record, err));
    TP_TRY(serve_batch_score(batch, err));
    tp_buffer_append_char(json, '{');
    serve_batch_write_row(batch, 0, json);
    tp_buffer_append_str(json, TP_STR(",\"model\":"));
    tp_json_append_str(json, model->name);
    tp_buffer_append_str(json, TP_STR(",\"version\":"));
    tp_json_append_str(json, model->version);
    tp_buffer_append_str(json, TP_STR(",\"sha256\":\""));
    tp_buffer_append(json, model->sha256, TP_SHA256_HEX_SIZE);
    tp_buffer_append_str(json, TP_STR("\",\"unseen\":["));
    write_unseen(batch, json);
    tp_buffer_append_str(json, TP_STR("],\"missing\":["));
    tp_buffer_append_str(json, tp_buffer_view(&notes->missing));
    tp_buffer_append_str(json, TP_STR("],\"ignored\":["));
    tp_buffer_append_str(json, tp_buffer_view(&notes->ignored));
    tp_buffer_append_str(json, TP_STR("]}"));
    return tp_buffer_check(&notes->ignored, "list of ignored keys", err);
}

static tapeout_status score_list(serve_batch *batch, score_notes *notes, yyjson_val *list,
                                 tapeout_error *err)
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
        const tapeout_status status = score_record(batch, notes, record, err);
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
    const tapeout_allocator *alloc = exchange->state->env->alloc;
    serve_batch batch;
    TP_TRY(serve_batch_begin(&batch, exchange, err));
    score_notes notes;
    tp_buffer_init(&notes.missing, alloc, exchange->state->max_body_bytes);
    tp_buffer_init(&notes.ignored, alloc, exchange->state->max_body_bytes);
    batch.missing = &notes.missing;
    batch.ignored = &notes.ignored;
    tapeout_status status = TAPEOUT_OK;
    if (yyjson_is_obj(root)) {
        status = score_record(&batch, &notes, root, err);
    } else if (yyjson_is_arr(root)) {
        status = score_list(&batch, &notes, root, err);
    } else {
        status = tp_fail(err, TAPEOUT_E_INVALID,
                         "request body: a record (an object) or a list of records was expected");
    }
    tp_buffer_deinit(&notes.missing);
    tp_buffer_deinit(&notes.ignored);
    serve_batch_end(&batch);
    return status;
}

tapeout_status serve_score(serve_exchange *exchange, tapeout_error *err)
{
    TP_TRY(serve_model_first(exchange, err));
    yyjson_doc *doc = NULL;
    TP_TRY(serve_body_json(exchange, &doc, err));
    exchange->reply.content_type = "application/json";
    const tapeout_status status = score_document(exchange, yyjson_doc_get_root(doc), err);
    yyjson_doc_free(doc);
    return status;
}
