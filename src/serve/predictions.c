// SPDX-License-Identifier: Apache-2.0
//
// Scoring what was gathered, and predictions as JSON. A class is shown by its label, bare where the
// target was a number or a truth value; probabilities by the names that the contract gives them:
// "probability" of the positive class, or "p_<class>" for each.
#include "serve/serve_priv.h"

#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "serve/serve_audit.h"
#include "table/tp_json.h"

static void add(atomic_uint_fast64_t *counter, uint64_t more)
{
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

tapeout_status tp_serve_batch_score_table(serve_batch *batch, const tapeout_table *table,
                                          tapeout_error *err)
{
    serve_exchange *exchange = batch->exchange;
    const tp_row_choice rows = {NULL, table->row_count};
    TP_TRY(tp_serve_charge(exchange, TP_COUNT_ROWS, table->row_count, err));
    const uint64_t begin_ns = tp_clock_monotonic_ns();
    TP_TRY(tp_session_score(batch->kit->session, table, rows, &batch->scores, err));
    const uint64_t took_ns = tp_clock_monotonic_ns() - begin_ns;
    batch->row_count = batch->row_count > table->row_count ? batch->row_count : table->row_count;
    exchange->compute_ns += took_ns;
    exchange->row_count += table->row_count;
    add(&batch->model->stats.row_count, table->row_count);
    add(&batch->model->stats.compute_ns, took_ns);
    tp_serve_receipt(batch, table);
    return TAPEOUT_OK;
}

tapeout_status tp_serve_batch_score(serve_batch *batch, tapeout_error *err)
{
    const tapeout_table *table = NULL;
    TP_TRY(tp_table_builder_view(batch->kit->builder, &table, err));
    return tp_serve_batch_score_table(batch, table, err);
}

tp_str tp_serve_batch_label(const serve_batch *batch, uint64_t row)
{
    const tp_target *target = batch->model->target;
    const double prediction = batch->scores.prediction[row];
    // Written so that NaN, which no classifier gives, is no class either.
    return prediction >= 0 && prediction < target->class_count
               ? target->class_names[(uint32_t)prediction]
               : (tp_str){NULL, 0};
}

static void write_label(const serve_batch *batch, uint64_t row, tp_buffer *json)
{
    const tp_str label = tp_serve_batch_label(batch, row);
    if (batch->model->target->classes_are_int) {
        tp_buffer_append_str(json, label);
    } else {
        tp_json_append_str(json, label);
    }
}

void tp_serve_batch_write_row(const serve_batch *batch, uint64_t row, tp_buffer *json)
{
    const tp_target *target = batch->model->target;
    const tp_scores *scores = &batch->scores;
    tp_buffer_append_str(json, TP_STR("\"prediction\":"));
    if (target->class_count == 0) {
        tp_json_append_f64(json, scores->prediction[row]);
        return;
    }
    write_label(batch, row, json);
    if (scores->probability == NULL) {
        return;
    }
    for (uint32_t i = 1; i < batch->model->output_count; i++) {
        tp_buffer_append_char(json, ',');
        tp_json_append_str(json, batch->model->output_names[i]);
        tp_buffer_append_char(json, ':');
        tp_json_append_f64(json, scores->probability[(i - 1) * scores->row_count + row]);
    }
}

// A list is begun with its first member: `,"key":["a"`.
static void append_note(tp_buffer *json, const char *key, bool is_first, tp_str name)
{
    if (is_first) {
        tp_buffer_append_str(json, TP_STR(",\""));
        tp_buffer_append_text(json, key);
        tp_buffer_append_str(json, TP_STR("\":["));
    } else {
        tp_buffer_append_char(json, ',');
    }
    tp_json_append_str(json, name);
}

static void end_notes(tp_buffer *json, const char *key, bool is_begun, bool all)
{
    if (is_begun) {
        tp_buffer_append_char(json, ']');
    } else if (all) {
        tp_buffer_append_str(json, TP_STR(",\""));
        tp_buffer_append_text(json, key);
        tp_buffer_append_str(json, TP_STR("\":[]"));
    }
}

void tp_serve_batch_write_notes(const serve_batch *batch, bool all, tp_buffer *json)
{
    const tp_feature_program *program = tp_scorer_program(batch->model->scorer);
    const tp_schema *schema = batch->model->schema;
    bool is_begun = false;
    for (uint32_t i = 0; i < tp_feature_output_count(program); i++) {
        const uint64_t unseen = tp_session_counts(batch->kit->session, i).unseen;
        if (unseen > 0) {
            batch->exchange->unseen_count += unseen;
            append_note(json, "unseen", !is_begun, tp_feature_output_at(program, i)->name);
            is_begun = true;
        }
    }
    end_notes(json, "unseen", is_begun, all);
    is_begun = false;
    for (uint32_t c = 0; c < schema->count; c++) {
        if (batch->kit->missing[c] > 0) {
            append_note(json, "missing", !is_begun, schema->fields[c].name);
            is_begun = true;
        }
    }
    end_notes(json, "missing", is_begun, all);
    for (uint32_t i = 0; i < batch->ignored.count; i++) {
        append_note(json, "ignored", i == 0, tp_dict_get(&batch->ignored, i));
    }
    end_notes(json, "ignored", batch->ignored.count > 0, all);
}

void tp_serve_batch_write_all(const serve_batch *batch, tp_buffer *json)
{
    tp_buffer_append_str(json, TP_STR("{\"predictions\":["));
    for (uint64_t row = 0; row < batch->scores.row_count; row++) {
        tp_buffer_append_text(json, row == 0 ? "{" : ",{");
        tp_serve_batch_write_row(batch, row, json);
        tp_buffer_append_char(json, '}');
    }
    tp_buffer_append_char(json, ']');
    tp_serve_batch_write_notes(batch, false, json);
    tp_buffer_append_char(json, '}');
}
