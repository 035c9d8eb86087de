// SPDX-License-Identifier: Apache-2.0
//
// One page of S3's list of objects (ListObjectsV2), read from its XML.
#ifndef S3_LIST_H
#define S3_LIST_H

#include "base/tp_buffer.h"
#include "registry/s3_client.h"

typedef struct s3_page {
    tp_buffer objects; // s3_object after s3_object
    tp_buffer next;    // the token of the next page; empty: this was the last
} s3_page;

// Keeps the objects whose key is `root`sha256/ab/cdef…; others are passed over. E_CORRUPT for a
// page that is none, that says there is more and not where, or has an object without a time.
tapeout_status tp_s3_page_read(const tapeout_allocator *alloc, tp_str document, tp_str root,
                               s3_page *page, tapeout_error *err);

#endif
