// SPDX-License-Identifier: Apache-2.0
//
// A small GGUF file made by hand, byte by byte and not by the project's own writer, with the places
// of its fields, so that a case can spoil exactly one of them.
#ifndef GGUF_SAMPLE_H
#define GGUF_SAMPLE_H

#include "base/tp_buffer.h"

typedef enum sample_field {
    AT_MAGIC,
    AT_VERSION,
    AT_TENSOR_COUNT,
    AT_KV_COUNT,
    AT_KEY_LENGTH, // of "general.architecture"
    AT_KEY,
    AT_KEY_KIND,
    AT_STRING_LENGTH, // of its value
    AT_ALIGNMENT,     // the value
    AT_ALIGNMENT_KIND,
    AT_ITEM_KIND, // of the array of strings "words"
    AT_ITEM_COUNT,
    AT_ITEM_LENGTH, // of its first string
    AT_BOOL,
    AT_BOOL_ITEM,     // the last of an array of bools
    AT_NUMBERS_COUNT, // of the array of u16 "numbers"
    AT_TWIN_KEY,      // last letter of "twin_b"; "twin_a" stands before it
    AT_NAME_LENGTH,   // of the first tensor, 63 bytes
    AT_NAME,
    AT_DIM_COUNT,
    AT_DIM_0,
    AT_DIM_1,
    AT_TYPE,
    AT_OFFSET,
    AT_TWIN_NAME, // last letter of the second tensor, "blk.0.b"
    AT_SECOND_DIM_0,
    AT_SECOND_TYPE,
    AT_SECOND_OFFSET,
    AT_DATA,
    SAMPLE_FIELD_COUNT
} sample_field;

typedef struct gguf_sample {
    tp_buffer bytes;
    size_t at[SAMPLE_FIELD_COUNT];
} gguf_sample;

void sample_init(gguf_sample *sample);
void sample_deinit(gguf_sample *sample);

// Overwrites the first `size` bytes of a field with `value`, little-endian.
void sample_patch(gguf_sample *sample, sample_field field, size_t size, uint64_t value);

// One part of a model that is split over `count` files: one tensor of two floats.
void sample_part(tp_buffer *out, uint32_t number, uint32_t count, const char *tensor);

#endif
