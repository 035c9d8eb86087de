// SPDX-License-Identifier: Apache-2.0
//
// A small Parquet file made by hand, with every number in its footer and page headers at will: one
// column of int32, one row group, a dictionary, a data page of the second version and one of the
// first.
#ifndef PARQUET_SAMPLE_H
#define PARQUET_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

typedef struct parquet_sample {
    int64_t type, repetition, children; // of the schema
    int64_t rows, group_rows;
    int64_t chunk_type, codec, values, stored_size, data_offset, dictionary_offset, nulls;
    int64_t dict_kind, dict_unpacked, dict_stored, dict_values, dict_encoding;
    int64_t v2_unpacked, v2_stored, v2_values, v2_nulls, v2_rows, v2_encoding, v2_def, v2_rep;
    int64_t v2_packed; // 1 or 2: true or false
    int64_t v1_kind, v1_unpacked, v1_stored, v1_values, v1_encoding;
    int64_t index_bits;  // the first byte of the pages' indices
    int64_t footer_size; // 0: as it is
} parquet_sample;

// A sound one: 12 rows, 8 of them in the first page.
parquet_sample parquet_sample_sound(void);

// Writes it to `bytes`; returns its size.
size_t parquet_sample_write(const parquet_sample *sample, uint8_t bytes[1024]);

#endif
