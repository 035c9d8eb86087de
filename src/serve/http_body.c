// SPDX-License-Identifier: Apache-2.0
//
// What comes behind a head: the bytes of a body, chunks and trailers, each with its limit, and the
// memory that they may take together with the bodies of all other connections.
#include "serve/http_priv.h"

int tp_http_stop(tp_http_connection *connection, int status, const char *why)
{
    connection->refuse_status = status;
    connection->refuse_why = why;
    return HPE_USER;
}

// -- the budget ----------------------------------------------------------------------------------
static size_t beyond_idle(const tp_buffer *buffer)
{
    return buffer->capacity > TP_MAX_HTTP_IDLE_BYTES ? buffer->capacity : 0;
}

bool tp_http_budget_update(tp_http_connection *connection)
{
    tp_http_budget *budget = connection->shared->budget;
    const size_t held = beyond_idle(&connection->request.body) + beyond_idle(&connection->pending);
    const size_t before = connection->held_bytes;
    if (budget == NULL || held == before) {
        return true;
    }
    connection->held_bytes = held;
    // Sums alone are shared, so no order is needed. Subtracting is adding modulo 2^N.
    const size_t used =
        atomic_fetch_add_explicit(&budget->used_bytes, held - before, memory_order_relaxed);
    return held < before || used + (held - before) <= budget->max_bytes;
}

bool tp_http_budget_is_spent(const tp_http_connection *connection)
{
    const tp_http_budget *budget = connection->shared->budget;
    return budget != NULL &&
           atomic_load_explicit(&budget->used_bytes, memory_order_relaxed) > budget->max_bytes;
}

// -- a body --------------------------------------------------------------------------------------
int tp_http_on_body(llhttp_t *parser, const char *data, size_t size)
{
    tp_http_connection *connection = parser->data;
    tp_buffer *body = &connection->request.body;
    tp_buffer_append(body, data, size);
    connection->request.body_bytes += size;
    if (body->status == TAPEOUT_E_NOMEM) {
        return tp_http_stop(connection, 503, "out of memory");
    }
    if (!tp_http_budget_update(connection)) {
        return tp_http_stop(connection, 503,
                            "the bodies of all requests need too much memory; try again");
    }
    return body->status == TAPEOUT_OK ? 0 : tp_http_stop(connection, 413, "request body too large");
}

int tp_http_on_chunk_header(llhttp_t *parser)
{
    tp_http_connection *connection = parser->data;
    if (connection->upload_step != TP_HTTP_UPLOAD_NONE) {
        return 0; // nothing is kept of what was handed on: its owner counts bytes
    }
    if (++connection->chunk_count > TP_MAX_HTTP_CHUNKS) {
        return tp_http_stop(connection, 413, "too many chunks");
    }
    if (parser->content_length > connection->shared->max_body_bytes) {
        return tp_http_stop(connection, 413, "request body too large");
    }
    return 0;
}

int tp_http_on_chunk_extension(llhttp_t *parser, const char *data, size_t size)
{
    (void)data;
    tp_http_connection *connection = parser->data;
    if (size > TP_MAX_HTTP_CHUNK_EXTENSION_BYTES - connection->extension_bytes) {
        return tp_http_stop(connection, 400, "chunk extensions too large");
    }
    connection->extension_bytes += (uint32_t)size;
    return 0;
}

// Trailers are counted and dropped: they never become headers.
int tp_http_on_trailer(tp_http_connection *connection, size_t size)
{
    if (size > TP_MAX_HTTP_TRAILER_BYTES - connection->trailer_bytes) {
        return tp_http_stop(connection, 431, "trailers too large");
    }
    connection->trailer_bytes += (uint32_t)size;
    return 0;
}
