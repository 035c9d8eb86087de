// SPDX-License-Identifier: Apache-2.0
//
// Receipts: each prediction of a table's model as an entry of the audit log, with what it takes to
// run it again (tp_receipt.h). The rows themselves stand in it up to a size and where the
// configuration wants them; their hash always does.
//
// While the request is answered only the rows and scores are written as text, since they are gone
// afterwards; hashes and the entry are made where the lane is written, a batch at a time.
#include "serve/serve_audit.h"

#include "base/limits.h"
#include "pipeline/tp_receipt.h"
#include "table/tp_json.h"

#include <string.h>

enum { PART_MODEL, PART_VERSION, PART_REQUEST, PART_ROWS, PART_OUTPUT, PART_COUNT };
enum { USUAL_BYTES = 1024 };

// In front of the parts, which follow each other.
typedef struct receipt_head {
    uint64_t row_count;
    size_t sizes[PART_COUNT];
    bool is_hash[PART_COUNT]; // the part was long: its hash stands for it
    bool keeps_rows;
    char bundle[TP_SHA256_HEX_SIZE];
} receipt_head;

// -- in the lane ---------------------------------------------------------------------------------
static void append_text(tp_buffer *what, const char *key, tp_str text)
{
    tp_json_append_key(what, key);
    tp_json_append_str(what, text);
}

static void append_hashed(tp_buffer *what, const char *hash_key, tp_str text, bool is_hash)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    if (!is_hash) {
        const tp_sha256 hash = tp_sha256_of(text.data, text.size);
        tp_sha256_hex(&hash, hex);
        text = (tp_str){hex, TP_SHA256_HEX_SIZE};
    }
    append_text(what, hash_key, text);
}

static void write_receipt(tp_str data, tp_buffer *what)
{
    receipt_head head;
    tp_str parts[PART_COUNT];
    size_t at = sizeof(head);
    memcpy(&head, data.data, sizeof(head));
    for (int i = 0; i < PART_COUNT; i++) {
        parts[i] = (tp_str){data.data + at, head.sizes[i]};
        at += head.sizes[i];
    }
    tp_buffer_append_char(what, '{');
    append_text(what, "model", parts[PART_MODEL]);
    append_text(what, "version", parts[PART_VERSION]);
    append_text(what, "bundle", (tp_str){head.bundle, sizeof(head.bundle)});
    append_text(what, "request", parts[PART_REQUEST]);
    tp_json_append_key(what, "rows");
    tp_json_append_u64(what, head.row_count);
    append_hashed(what, "input", parts[PART_ROWS], head.is_hash[PART_ROWS]);
    if (head.keeps_rows && !head.is_hash[PART_ROWS]) {
        tp_json_append_key(what, "row_list");
        tp_buffer_append_str(what, parts[PART_ROWS]);
    }
    append_hashed(what, "output", parts[PART_OUTPUT], head.is_hash[PART_OUTPUT]);
    if (!head.is_hash[PART_OUTPUT]) {
        tp_json_append_key(what, "scores");
        tp_buffer_append_str(what, parts[PART_OUTPUT]);
    }
    tp_buffer_append_char(what, '}');
}

// -- in the request ------------------------------------------------------------------------------
static void append_part(tp_buffer *data, receipt_head *head, int part, tp_str text)
{
    head->sizes[part] = text.size;
    tp_buffer_append_str(data, text);
}

// What was appended from `begin` on is the part; where that is long, its hash takes its place.
static void settle_part(tp_buffer *data, receipt_head *head, int part, size_t begin)
{
    head->sizes[part] = data->size - begin;
    if (data->status == TAPEOUT_OK && head->sizes[part] > TP_MAX_RECEIPT_TEXT_BYTES) {
        char hex[TP_SHA256_HEX_SIZE + 1];
        const tp_sha256 hash = tp_sha256_of(data->data + begin, head->sizes[part]);
        tp_sha256_hex(&hash, hex);
        data->size = begin;
        head->is_hash[part] = true;
        append_part(data, head, part, (tp_str){hex, TP_SHA256_HEX_SIZE});
    }
}

static void write_data(const serve_batch *batch, const tapeout_table *table, tp_buffer *data)
{
    const serve_exchange *exchange = batch->exchange;
    const tp_served *model = batch->model;
    receipt_head head = {.row_count = table->row_count,
                         .keeps_rows = exchange->state->receipts_have_rows};
    memcpy(head.bundle, model->sha256, sizeof(head.bundle));
    (void)tp_buffer_reserve(data, USUAL_BYTES); // without memory the buffer says so
    tp_buffer_append(data, &head, sizeof(head));
    append_part(data, &head, PART_MODEL, model->name);
    append_part(data, &head, PART_VERSION, model->version);
    append_part(data, &head, PART_REQUEST, tp_str_from(exchange->request->id));
    size_t begin = data->size;
    tp_receipt_rows_write(table, data);
    settle_part(data, &head, PART_ROWS, begin);
    begin = data->size;
    tp_receipt_output_write(&batch->scores, model->target->class_count, data);
    settle_part(data, &head, PART_OUTPUT, begin);
    if (data->status == TAPEOUT_OK) {
        memcpy(data->data, &head, sizeof(head));
    }
}

void tp_serve_receipt(const serve_batch *batch, const tapeout_table *table)
{
    const serve_exchange *exchange = batch->exchange;
    if (!exchange->state->keeps_receipts) {
        return;
    }
    tp_buffer data;
    tp_buffer_init(&data, exchange->state->env->alloc, TP_MAX_HTTP_REPLY_BYTES);
    write_data(batch, table, &data);
    const tp_audit_draft draft = {.kind = "prediction",
                                  .who = exchange->principal == NULL ? TP_STR("anonymous")
                                                                     : exchange->principal->id,
                                  .data = tp_buffer_view(&data),
                                  .write = write_receipt};
    if (data.status == TAPEOUT_OK) {
        (void)tp_audit_post_draft(exchange->state->audit, &draft, NULL); // counted where it is lost
    } else {
        tp_audit_lost(exchange->state->audit);
    }
    tp_buffer_deinit(&data);
}
