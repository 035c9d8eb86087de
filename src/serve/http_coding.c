// SPDX-License-Identifier: Apache-2.0
//
// Content codings by zlib. Inflating counts against two ceilings while it runs: the size that a
// body may have, and beyond the first MiB a ratio that no honest body reaches, so that a small bomb
// is found after a small amount of work. One stream, whole: a cut or trailing one is an error.
#include "serve/tp_http.h"

#include "base/tp_error.h"

#include <string.h>
#include <zlib.h>

enum { INFLATE_STEP_BYTES = 64 << 10, RATIO_FREE_BYTES = 1 << 20, ZLIB_WINDOW_BITS = 15 };

tp_http_coding tp_http_coding_from_name(tp_str name)
{
    if (tp_str_equal_ignore_case(name, TP_STR("gzip")) ||
        tp_str_equal_ignore_case(name, TP_STR("x-gzip"))) {
        return TP_HTTP_GZIP;
    }
    if (tp_str_equal_ignore_case(name, TP_STR("deflate"))) {
        return TP_HTTP_DEFLATE;
    }
    return name.size == 0 || tp_str_equal_ignore_case(name, TP_STR("identity"))
               ? TP_HTTP_IDENTITY
               : TP_HTTP_UNKNOWN_CODING;
}

// A weight as in ";q=0.5"; true unless it is zero.
static bool is_wanted(tp_str parameters)
{
    for (size_t i = 0; i + 2 < parameters.size; i++) {
        if ((parameters.data[i] != 'q' && parameters.data[i] != 'Q') ||
            parameters.data[i + 1] != '=') {
            continue;
        }
        for (size_t k = i + 2; k < parameters.size; k++) {
            if (parameters.data[k] >= '1' && parameters.data[k] <= '9') {
                return true;
            }
        }
        return false;
    }
    return true;
}

tp_http_coding tp_http_coding_accepted(tp_str accept_encoding)
{
    bool has_deflate = false;
    while (accept_encoding.size > 0) {
        const char *comma = memchr(accept_encoding.data, ',', accept_encoding.size);
        const size_t size =
            comma == NULL ? accept_encoding.size : (size_t)(comma - accept_encoding.data);
        tp_str name = {accept_encoding.data, size};
        const char *mark = size == 0 ? NULL : memchr(name.data, ';', size);
        tp_str parameters = {NULL, 0};
        if (mark != NULL) {
            parameters = (tp_str){mark, size - (size_t)(mark - name.data)};
            name.size = (size_t)(mark - name.data);
        }
        const tp_http_coding coding = tp_http_coding_from_name(tp_str_trim(name));
        if (coding == TP_HTTP_GZIP && is_wanted(parameters)) {
            return TP_HTTP_GZIP;
        }
        has_deflate = has_deflate || (coding == TP_HTTP_DEFLATE && is_wanted(parameters));
        const size_t step = comma == NULL ? size : size + 1;
        accept_encoding = (tp_str){accept_encoding.data + step, accept_encoding.size - step};
    }
    return has_deflate ? TP_HTTP_DEFLATE : TP_HTTP_IDENTITY;
}

static int window_bits(tp_http_coding coding)
{
    return coding == TP_HTTP_GZIP ? ZLIB_WINDOW_BITS + 16 : ZLIB_WINDOW_BITS;
}

static bool is_bomb(size_t in_bytes, size_t out_bytes)
{
    return out_bytes > RATIO_FREE_BYTES && out_bytes / TP_MAX_HTTP_INFLATE_RATIO > in_bytes;
}

static tapeout_status inflate_all(z_stream *stream, tp_buffer *body, tapeout_error *err)
{
    int code = Z_OK;
    while (code == Z_OK) {
        char *room = tp_buffer_reserve(body, INFLATE_STEP_BYTES);
        if (room == NULL && body->status == TAPEOUT_E_NOMEM) {
            return tp_fail_nomem(err);
        }
        if (room == NULL) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "request body is larger than %zu bytes inflated",
                           body->max_size);
        }
        stream->next_out = (Bytef *)room;
        stream->avail_out = INFLATE_STEP_BYTES;
        code = inflate(stream, Z_NO_FLUSH);
        body->size += INFLATE_STEP_BYTES - stream->avail_out;
        if (is_bomb(stream->total_in, body->size)) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "request body inflates more than %u times",
                           TP_MAX_HTTP_INFLATE_RATIO);
        }
    }
    if (code != Z_STREAM_END || stream->avail_in > 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "request body is not one whole compressed stream");
    }
    return TAPEOUT_OK;
}

tapeout_status tp_http_inflate(tp_http_coding coding, tp_str data, tp_buffer *ret_body,
                               tapeout_error *err)
{
    if (coding != TP_HTTP_GZIP && coding != TP_HTTP_DEFLATE) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED, "content coding other than gzip and deflate");
    }
    z_stream stream = {0};
    if (inflateInit2(&stream, window_bits(coding)) != Z_OK) {
        return tp_fail_nomem(err);
    }
    // zlib does not write to its input; its type lacks the const. Bodies stay far below 4 GiB.
    stream.next_in = (Bytef *)(uintptr_t)data.data;
    stream.avail_in = (uInt)data.size;
    const tapeout_status status = inflate_all(&stream, ret_body, err);
    (void)inflateEnd(&stream); // fails only for a stream that was never begun
    return status;
}

tapeout_status tp_http_deflate(tp_http_coding coding, tp_str data, tp_buffer *ret_body,
                               tapeout_error *err)
{
    z_stream stream = {0};
    if (deflateInit2(&stream, 1, Z_DEFLATED, window_bits(coding), 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        return tp_fail_nomem(err);
    }
    const uLong bound = deflateBound(&stream, (uLong)data.size);
    char *room = tp_buffer_reserve(ret_body, bound);
    tapeout_status status = TAPEOUT_OK;
    if (room == NULL) {
        status = tp_buffer_check(ret_body, "compressed reply", err);
    } else {
        stream.next_in = (Bytef *)(uintptr_t)data.data;
        stream.avail_in = (uInt)data.size;
        stream.next_out = (Bytef *)room;
        stream.avail_out = (uInt)bound;
        if (deflate(&stream, Z_FINISH) == Z_STREAM_END) {
            ret_body->size += stream.total_out;
        } else {
            status = tp_fail(err, TAPEOUT_E_INTERNAL, "a reply could not be compressed");
        }
    }
    (void)deflateEnd(&stream);
    return status;
}
