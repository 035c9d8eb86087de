// SPDX-License-Identifier: Apache-2.0
//
// Blobs in S3, each an object PREFIX/sha256/ab/cdef… of its bytes: put, looked for, fetched,
// removed and listed. Requests are tried again where the server or the network fails, with pauses
// that grow, at most TP_MAX_S3_TRIES times; what is put or removed twice is the same as once.
//
// @thread confined
#ifndef S3_CLIENT_H
#define S3_CLIENT_H

#include "base/tp_buffer.h"
#include "bundle/tp_bundle.h"

typedef struct tp_s3 tp_s3;

// `address` is "s3://…" (s3_address.h); credentials, region and certificates come from
// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION and AWS_CA_BUNDLE. A
// tenant's `world` lies below the prefix; NULL: the operator's. Nobody is called yet. E_INVALID,
// E_DENIED without credentials, E_UNAVAILABLE without libcurl.
tapeout_status tp_s3_open(const tapeout_allocator *alloc, const char *address, const char *world,
                          tp_s3 **ret_s3, tapeout_error *err);
void tp_s3_close(tp_s3 **s3); // accepts NULL inside; nulls it

// All that follow: E_UNAVAILABLE and E_TIMEOUT after the last try, E_DENIED where the credentials
// are refused, E_NOT_FOUND for a bucket or object that is not there.

// Sends the blob, in parts where it is large; each request's body is signed by its hash. OK once
// the server has answered 200.
tapeout_status tp_s3_put(tp_s3 *s3, tp_str hex, tp_str data, tapeout_error *err);
// Whether it is there, and its size.
tapeout_status tp_s3_find(tp_s3 *s3, tp_str hex, bool *ret_is_there, uint64_t *ret_size,
                          tapeout_error *err);
// Writes the blob to the file `path`, which is there whole, synced and with that hash, or not at
// all. E_CORRUPT where the object's bytes are others; E_BUSY where another writes the same file.
tapeout_status tp_s3_fetch(tp_s3 *s3, tp_str hex, const char *path, tapeout_error *err);
// One that is not there is no failure.
tapeout_status tp_s3_remove(tp_s3 *s3, tp_str hex, tapeout_error *err);

// What stands in the object "registry-id" beside the blobs; nothing where there is none.
tapeout_status tp_s3_owner_read(tp_s3 *s3, tp_buffer *ret_text, tapeout_error *err);
// E_EXISTS where there is one by now, though not with every store: some ignore the condition.
tapeout_status tp_s3_owner_write(tp_s3 *s3, tp_str text, tapeout_error *err);

typedef struct s3_object {
    char hex[TP_SHA256_HEX_SIZE + 1];
    uint64_t size;
    int64_t modified_s; // since 1970
} s3_object;

typedef tapeout_status s3_visit(void *user, const s3_object *object, tapeout_error *err);

// Every blob, page by page. The visitor may make requests of its own through `s3`. Objects that are
// no blobs are passed over.
tapeout_status tp_s3_list(tp_s3 *s3, s3_visit *visit, void *user, tapeout_error *err);

// How many bytes of copies the address allows a home.
uint64_t tp_s3_copies_bytes(const tp_s3 *s3);

// "s3://bucket/prefix", for messages.
const char *tp_s3_place(const tp_s3 *s3);

#endif
