// SPDX-License-Identifier: Apache-2.0
//
// Receipts: each prediction as an entry of the audit log, with what it takes to run it again
// (tp_receipt.h, tp_receipt_llm.h). The rows themselves stand in it up to a size and where the
// configuration wants them; their hash always does.
//
// While the request is answered only the rows and scores are written as text, since they are gone
// afterwards; hashes and the entry are made where the lane is written, a batch at a time.
#include "serve/serve_audit.h"

#include "base/limits.h"
#include "pipeline/tp_receipt.h"
#include "table/tp_json.h"

#include <string.h>

enum { PART_MODEL, PART_VERSION, PART_REQUEST, PART_INPUT, PART_OUTPUT, PART_COUNT };
enum { USUAL_BYTES = 1024 };

// In front of the parts, which follow each other.
typedef struct receipt_head {
    uint64_t count; // rows or choices
    size_t sizes[PART_COUNT];
    bool is_hash[PART_COUNT]; // the part was long: its hash stands for it
    bool is_generation;
    bool keeps_input;
    bool keeps_output;
    char bundle[TP_SHA256_HEX_SIZE];
} receipt_head;

// -- in the lane ---------------------------------------------------------------------------------
static void append_text(tp_buffer *what, const char *key, tp_str text)
{
    tp_json_append_key(what, key);
    tp_json_append_str(what, text);
}

// The hash, and the text behind it where that is wanted and short.
static void append_hashed(tp_buffer *what, const char *const keys[2], tp_str text, bool is_hash,
                          bool is_kept)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    if (is_hash) {
        append_text(what, keys[0], text);
        return;
    }
    const tp_sha256 hash = tp_sha256_of(text.data, text.size);
    tp_sha256_hex(&hash, hex);
    append_text(what, keys[0], (tp_str){hex, TP_SHA256_HEX_SIZE});
    if (is_kept) {
        tp_json_append_key(what, keys[1]);
        tp_buffer_append_str(what, text);
    }
}

static void write_receipt(tp_str data, tp_buffer *what)
{
    static const char *const inputs[2][2] = {{"input", "row_list"}, {"input", "generation"}};
    static const char *const outputs[2][2] = {{"output", "scores"}, {"output", "answer"}};
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
    tp_json_append_key(what, head.is_generation ? "choices" : "rows");
    tp_json_append_u64(what, head.count);
    append_hashed(what, inputs[head.is_generation], parts[PART_INPUT], head.is_hash[PART_INPUT],
                  head.keeps_input);
    append_hashed(what, outputs[head.is_generation], parts[PART_OUTPUT], head.is_hash[PART_OUTPUT],
                  head.keeps_output);
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

// The head's place and the parts that every receipt has.
static void begin_data(const serve_exchange *exchange, const tp_served *model, tp_buffer *data,
                       receipt_head *head)
{
    tp_buffer_init(data, exchange->state->env->alloc, TP_MAX_HTTP_REPLY_BYTES);
    (void)tp_buffer_reserve(data, USUAL_BYTES); // without memory the buffer says so
    memcpy(head->bundle, model->sha256, sizeof(head->bundle));
    tp_buffer_append(data, head, sizeof(*head));
    append_part(data, head, PART_MODEL, model->name);
    append_part(data, head, PART_VERSION, model->version);
    append_part(data, head, PART_REQUEST, tp_str_from(exchange->request->id));
}

static void post(const serve_exchange *exchange, tp_buffer *data, const receipt_head *head)
{
    if (data->status == TAPEOUT_OK) {
        memcpy(data->data, head, sizeof(*head));
        const tp_audit_draft draft = {.kind = "prediction",
                                      .who = exchange->principal == NULL ? TP_STR("anonymous")
                                                                         : exchange->principal->id,
                                      .data = tp_buffer_view(data),
                                      .write = write_receipt};
        (void)tp_audit_post_draft(exchange->state->audit, &draft, NULL); // counted where it is lost
    } else {
        tp_audit_lost(exchange->state->audit);
    }
    tp_buffer_deinit(data);
}

void tp_serve_receipt(const serve_batch *batch, const tapeout_table *table)
{
    const serve_exchange *exchange = batch->exchange;
    if (!exchange->state->keeps_receipts) {
        return;
    }
    tp_buffer data;
    receipt_head head = {.count = table->row_count,
                         .keeps_input = exchange->state->receipts_have_rows,
                         .keeps_output = true};
    begin_data(exchange, batch->model, &data, &head);
    size_t begin = data.size;
    tp_receipt_rows_write(table, &data);
    settle_part(&data, &head, PART_INPUT, begin);
    begin = data.size;
    tp_receipt_output_write(&batch->scores, batch->model->target->class_count, &data);
    settle_part(&data, &head, PART_OUTPUT, begin);
    post(exchange, &data, &head);
}

// An answer may say what was asked: it is kept where that is.
void tp_serve_receipt_generation(const serve_exchange *exchange, const tp_served *model,
                                 const serve_generated *generated)
{
    tp_buffer data;
    receipt_head head = {.count = generated->choice_count,
                         .is_generation = true,
                         .keeps_input = exchange->state->receipts_have_rows,
                         .keeps_output = exchange->state->receipts_have_rows};
    begin_data(exchange, model, &data, &head);
    size_t begin = data.size;
    tp_buffer_append_str(&data, generated->generation);
    settle_part(&data, &head, PART_INPUT, begin);
    begin = data.size;
    tp_buffer_append_str(&data, generated->answer);
    settle_part(&data, &head, PART_OUTPUT, begin);
    post(exchange, &data, &head);
}
