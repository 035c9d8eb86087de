// SPDX-License-Identifier: Apache-2.0
//
// A large blob in parts of one size: an upload is begun, each part is signed by its own hash, and
// only the last request makes an object of them. One that fails on the way is given up, so that its
// parts do not stay; where even that fails, the bucket's rule for unfinished uploads has them.
#include "base/tp_error.h"
#include "registry/s3_priv.h"

#include <stdio.h>
#include <string.h>

enum { MAX_ETAG_BYTES = 256 };

typedef struct uploading {
    tp_s3 *s3;
    const char *key;
    tp_str data;
    tp_buffer id;
    tp_buffer query;
    tp_buffer list; // the XML that names the parts
} uploading;

static tapeout_status begin_upload(uploading *it, tapeout_error *err)
{
    const s3_request request = {.method = "POST", .key = it->key, .query = TP_STR("uploads=")};
    TP_TRY(tp_s3_ask(it->s3, &request, err));
    TP_TRY(tp_s3_answer_text(it->s3, "UploadId", &it->id, err));
    return it->id.size > 0 ? TAPEOUT_OK
                           : tp_fail(err, TAPEOUT_E_CORRUPT,
                                     "blobs: %s: an upload in parts was begun and has no id",
                                     tp_s3_place(it->s3));
}

// An ETag goes back as it came; what could not stand in XML is no ETag.
static tapeout_status add_part(uploading *it, unsigned number, tapeout_error *err)
{
    const tp_str etag = tp_curl_answer_header(&it->s3->answer, TP_STR("etag"));
    bool is_valid = etag.size > 0 && etag.size <= MAX_ETAG_BYTES;
    for (size_t i = 0; i < etag.size && is_valid; i++) {
        const char c = etag.data[i];
        is_valid = c > ' ' && c <= '~' && c != '<' && c != '>' && c != '&';
    }
    if (!is_valid) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "blobs: %s: part %u was stored without an ETag",
                       tp_s3_place(it->s3), number);
    }
    tp_buffer_printf(&it->list, "<Part><PartNumber>%u</PartNumber><ETag>%.*s</ETag></Part>", number,
                     TP_STR_ARGS(etag));
    return tp_buffer_check(&it->list, "blobs: the list of parts", err);
}

static tapeout_status send_part(uploading *it, unsigned number, tp_str part, tapeout_error *err)
{
    char text[16];
    const int size = snprintf(text, sizeof(text), "%u", number);
    tp_buffer_clear(&it->query);
    tp_s3_query_add(&it->query, "partNumber", (tp_str){text, (size_t)size});
    tp_s3_query_add(&it->query, "uploadId", tp_buffer_view(&it->id));
    TP_TRY(tp_buffer_check(&it->query, "blobs: query", err));
    const s3_request request = {
        .method = "PUT", .key = it->key, .query = tp_buffer_view(&it->query), .body = part};
    TP_TRY(tp_s3_ask(it->s3, &request, err));
    return add_part(it, number, err);
}

static tapeout_status send_parts(uploading *it, tapeout_error *err)
{
    const size_t step = (size_t)it->s3->address.part_bytes;
    unsigned number = 1;
    tp_buffer_append_text(&it->list, "<CompleteMultipartUpload>");
    for (size_t at = 0; at < it->data.size; at += step) {
        const size_t left = it->data.size - at;
        TP_TRY(
            send_part(it, number++, (tp_str){it->data.data + at, left < step ? left : step}, err));
    }
    tp_buffer_append_text(&it->list, "</CompleteMultipartUpload>");
    return tp_buffer_check(&it->list, "blobs: the list of parts", err);
}

// An answer of 200 can tell of a failure here: S3 begins it before it is done.
static tapeout_status end_upload(uploading *it, tapeout_error *err)
{
    tp_buffer *etag = &it->query; // free by now, and emptied before it is used
    tp_buffer_clear(&it->query);
    tp_s3_query_add(&it->query, "uploadId", tp_buffer_view(&it->id));
    TP_TRY(tp_buffer_check(&it->query, "blobs: query", err));
    const s3_request request = {.method = "POST",
                                .key = it->key,
                                .query = tp_buffer_view(&it->query),
                                .body = tp_buffer_view(&it->list)};
    TP_TRY(tp_s3_ask(it->s3, &request, err));
    TP_TRY(tp_s3_answer_text(it->s3, "ETag", etag, err));
    if (etag->size > 0) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_s3_answer_text(it->s3, "Code", etag, err));
    return tp_fail(err, TAPEOUT_E_UNAVAILABLE, "blobs: %s: the parts were not put together: %.*s",
                   tp_s3_place(it->s3), TP_STR_ARGS(tp_buffer_view(etag)));
}

static void give_up(uploading *it)
{
    tp_buffer_clear(&it->query);
    tp_s3_query_add(&it->query, "uploadId", tp_buffer_view(&it->id));
    const s3_request request = {
        .method = "DELETE", .key = it->key, .query = tp_buffer_view(&it->query)};
    if (tp_buffer_check(&it->query, "query", NULL) == TAPEOUT_OK) {
        (void)tp_s3_ask(it->s3, &request, NULL); // what failed first is what is told
    }
}

tapeout_status tp_s3_put_parts(tp_s3 *s3, const char *key, tp_str data, tapeout_error *err)
{
    uploading it = {.s3 = s3, .key = key, .data = data};
    if ((data.size - 1) / s3->address.part_bytes >= TP_MAX_S3_PARTS) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "blobs: %zu bytes are more than %u parts of %llu MiB; give part_mib in the "
                       "address",
                       data.size, TP_MAX_S3_PARTS,
                       (unsigned long long)(s3->address.part_bytes >> 20));
    }
    tp_buffer_init(&it.id, s3->alloc, TP_MAX_S3_KEY_BYTES);
    tp_buffer_init(&it.query, s3->alloc, TP_MAX_URL_BYTES / 2);
    tp_buffer_init(&it.list, s3->alloc, TP_MAX_S3_ANSWER_BYTES);
    tapeout_status status = begin_upload(&it, err);
    if (status == TAPEOUT_OK) {
        status = send_parts(&it, err);
        if (status == TAPEOUT_OK) {
            status = end_upload(&it, err);
        }
        if (status != TAPEOUT_OK) {
            give_up(&it);
        }
    }
    tp_buffer_deinit(&it.id);
    tp_buffer_deinit(&it.query);
    tp_buffer_deinit(&it.list);
    return status;
}
