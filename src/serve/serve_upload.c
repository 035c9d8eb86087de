// SPDX-License-Identifier: Apache-2.0
//
// An upload between its head and its reply: let in by its head alone, so that who may not come in
// sends nothing; written piece by piece, within the limit of an artifact; and last handed to its
// handler, which is not asked who it is from again. What is not finished leaves no file behind.
#include "serve/serve_priv.h"

#include "base/tp_error.h"

static tapeout_status check_size(serve_exchange *exchange, uint64_t size, tapeout_error *err)
{
    const uint64_t most = exchange->state->max_artifact_bytes;
    if (size <= most) {
        return TAPEOUT_OK;
    }
    return tp_serve_fail_as(
        exchange, 413,
        tp_fail(err, TAPEOUT_E_LIMIT,
                "an artifact of %s%llu bytes, at most %llu; limits.artifact_bytes in the server's "
                "configuration says how many",
                exchange->request->content_length > 0 ? "" : "more than ",
                (unsigned long long)(exchange->request->content_length > 0 ? size : most),
                (unsigned long long)most));
}

// The reply, and no file.
static void refuse(serve_exchange *exchange, tapeout_status status)
{
    tp_upload_free(&exchange->upload);
    if (status == TAPEOUT_E_IO && exchange->state->is_stopped != NULL) {
        // As with a sync that failed: nobody knows what else the disk has lost.
        atomic_store_explicit(exchange->state->is_stopped, true, memory_order_release);
    }
    tp_serve_exchange_settle(exchange, status);
}

bool tp_serve_upload_open(serve_exchange *exchange)
{
    tapeout_error *err = &exchange->error;
    if (tp_serve_exchange_is_barred(exchange)) {
        return false;
    }
    tapeout_status status = tp_serve_admit(exchange, err);
    if (status == TAPEOUT_OK) {
        status = check_size(exchange, exchange->request->content_length, err);
    }
    if (status == TAPEOUT_OK) {
        exchange->opens_upload = true;
        status = exchange->route->handler(exchange, err);
        exchange->opens_upload = false;
    }
    if (status != TAPEOUT_OK) {
        tp_upload_free(&exchange->upload);
        tp_serve_exchange_settle(exchange, status);
        return false;
    }
    tp_http_reply_clear(&exchange->reply);
    return true;
}

bool tp_serve_upload_write(serve_exchange *exchange, tp_str piece)
{
    tapeout_error *err = &exchange->error;
    tapeout_status status =
        check_size(exchange, tp_upload_size(exchange->upload) + piece.size, err);
    if (status == TAPEOUT_OK) {
        status = tp_upload_write(exchange->upload, piece, err);
    }
    if (status != TAPEOUT_OK) {
        refuse(exchange, status);
    }
    return status == TAPEOUT_OK;
}

void tp_serve_upload_finish(serve_exchange *exchange)
{
    const tapeout_status status = exchange->route->handler(exchange, &exchange->error);
    tp_upload_free(&exchange->upload);
    tp_serve_exchange_settle(exchange, status);
}
