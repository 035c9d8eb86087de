// SPDX-License-Identifier: Apache-2.0
//
// Where blobs lie in S3: "s3://bucket/prefix?region=…&endpoint=…" and the credentials of the
// environment.
#ifndef S3_ADDRESS_H
#define S3_ADDRESS_H

#include "base/limits.h"
#include "base/tp_str.h"

#include <tapeout/status.h>

enum { S3_HOST_SIZE = 256, S3_REGION_SIZE = 64, S3_BUCKET_SIZE = 64 };

typedef struct s3_address {
    char bucket[S3_BUCKET_SIZE];
    char prefix[TP_MAX_S3_KEY_BYTES]; // without a slash at either end; may be empty
    char region[S3_REGION_SIZE];
    char scheme[8];          // "https" or "http"
    char host[S3_HOST_SIZE]; // as in the Host header: with the port where it is not the scheme's
    bool has_path_style;     // the bucket stands in the path, not in the host
    uint64_t part_bytes;     // a larger blob goes up in parts of this size
    uint64_t copies_bytes;   // that are kept in a home
} s3_address;

// E_INVALID with what was expected. `region` stands where the address names none; NULL: us-east-1.
// The bucket is put in front of the host, or left for the path.
tapeout_status tp_s3_address_parse(tp_str text, const char *region, s3_address *ret_address,
                                   tapeout_error *err);

#endif
