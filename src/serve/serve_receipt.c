// SPDX-License-Identifier: Apache-2.0
//
// Receipts: each prediction of a table's model as an entry of the audit log, with what it takes to
// run it again (tp_receipt.h). The rows themselves stand in it up to a size and where the
// configuration wants them; their hash always does.
#include "serve/serve_audit.h"

#include "base/limits.h"
#include "pipeline/tp_receipt.h"
#include "table/tp_json.h"

static void append_hash(tp_buffer *json, const char *key, tp_str text)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    const tp_sha256 hash = tp_sha256_of(text.data, text.size);
    tp_sha256_hex(&hash, hex);
    tp_json_append_key(json, key);
    tp_json_append_str(json, (tp_str){hex, TP_SHA256_HEX_SIZE});
}

// The hash of what was appended from `begin` on takes its place, with the text behind it where that
// is wanted and short.
static void append_text(tp_buffer *what, const char *hash_key, const char *key, tp_str text,
                        bool is_kept)
{
    append_hash(what, hash_key, text);
    if (is_kept && text.size <= TP_MAX_RECEIPT_TEXT_BYTES) {
        tp_json_append_key(what, key);
        tp_buffer_append_str(what, text);
    }
}

static void write_receipt(const serve_batch *batch, const tapeout_table *table, tp_buffer *rows,
                          tp_buffer *what)
{
    const serve_exchange *exchange = batch->exchange;
    const tp_served *model = batch->model;
    tp_buffer_append_char(what, '{');
    tp_json_append_key(what, "model");
    tp_json_append_str(what, model->name);
    tp_json_append_key(what, "version");
    tp_json_append_str(what, model->version);
    tp_json_append_key(what, "bundle");
    tp_json_append_str(what, (tp_str){model->sha256, TP_SHA256_HEX_SIZE});
    tp_json_append_key(what, "request");
    tp_json_append_str(what, tp_str_from(exchange->request->id));
    tp_json_append_key(what, "rows");
    tp_json_append_u64(what, table->row_count);
    tp_receipt_rows_write(table, rows);
    append_text(what, "input", "row_list", tp_buffer_view(rows),
                exchange->state->receipts_have_rows);
    const size_t input_end = rows->size;
    tp_receipt_output_write(&batch->scores, model->target->class_count, rows);
    if (rows->status == TAPEOUT_OK) {
        append_text(what, "output", "scores",
                    (tp_str){rows->data + input_end, rows->size - input_end}, true);
    }
    tp_buffer_append_char(what, '}');
}

void tp_serve_receipt(const serve_batch *batch, const tapeout_table *table)
{
    const serve_exchange *exchange = batch->exchange;
    if (!exchange->state->keeps_receipts) {
        return;
    }
    tp_buffer rows;
    tp_buffer what;
    tp_buffer_init(&rows, exchange->state->env->alloc, TP_MAX_HTTP_REPLY_BYTES);
    tp_buffer_init(&what, exchange->state->env->alloc, TP_MAX_AUDIT_WHAT_BYTES);
    write_receipt(batch, table, &rows, &what);
    const tp_audit_event event = {.kind = "prediction",
                                  .who = exchange->principal == NULL ? TP_STR("anonymous")
                                                                     : exchange->principal->id,
                                  .what = tp_buffer_view(&what)};
    if (rows.status == TAPEOUT_OK && what.status == TAPEOUT_OK) {
        (void)tp_audit_post(exchange->state->audit, &event, NULL); // counted where it is lost
    } else {
        tp_audit_lost(exchange->state->audit);
    }
    tp_buffer_deinit(&what);
    tp_buffer_deinit(&rows);
}
