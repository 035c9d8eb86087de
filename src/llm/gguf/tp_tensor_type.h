// SPDX-License-Identifier: Apache-2.0
//
// How weights lie in a GGUF file: the types that tapeout takes, and what their blocks mean. A row
// is a run of blocks, each of `block_length` weights in `block_bytes` bytes. Dequantising here is
// plain C and the definition; fast kernels are held against it.
#ifndef TP_TENSOR_TYPE_H
#define TP_TENSOR_TYPE_H

#include "base/tp_env.h"
#include "base/tp_str.h"

// The numbers are those of the files.
typedef enum tp_tensor_type {
    TP_TENSOR_F32 = 0,
    TP_TENSOR_F16 = 1,
    TP_TENSOR_Q4_0 = 2,
    TP_TENSOR_Q4_1 = 3,
    TP_TENSOR_Q5_0 = 6,
    TP_TENSOR_Q5_1 = 7,
    TP_TENSOR_Q8_0 = 8,
    TP_TENSOR_Q2_K = 10,
    TP_TENSOR_Q3_K = 11,
    TP_TENSOR_Q4_K = 12,
    TP_TENSOR_Q5_K = 13,
    TP_TENSOR_Q6_K = 14,
    TP_TENSOR_IQ4_NL = 20,
    TP_TENSOR_IQ4_XS = 23,
    TP_TENSOR_BF16 = 30,
    TP_TENSOR_MXFP4 = 39
} tp_tensor_type;

enum { TP_TENSOR_TYPE_END = 41 }; // above every number that the format has given away

typedef struct tp_tensor_layout {
    const char *name;      // "Q4_K"; NULL for a number that means nothing
    uint32_t block_length; // weights; 0 for a type that is known by name and not taken
    uint32_t block_bytes;
} tp_tensor_layout;

// Of any number out of a file: never NULL, its fields zero where the number means nothing.
const tp_tensor_layout *tp_tensor_layout_of(uint32_t type);

// By its name, in either case; false where there is none or it is not taken.
bool tp_tensor_type_find(tp_str name, tp_tensor_type *ret_type);

// The bytes of `count` weights, a multiple of the block's length.
uint64_t tp_tensor_row_bytes(tp_tensor_type type, uint64_t count);

// `count` weights (a multiple of the block's length) as floats. Exact: the operations in
// float32 and their order are those of the format's own reference.
void tp_tensor_dequantize(tp_tensor_type type, const uint8_t *row, uint64_t count,
                          float *ret_values);

// True for F32, F16, BF16, Q8_0, Q4_0, Q4_K and Q6_K.
bool tp_tensor_can_quantize(tp_tensor_type type);

// Floats to a row of such a type; false where a value is not finite or too large for the type.
bool tp_tensor_quantize(tp_tensor_type type, const float *values, uint64_t count, uint8_t *ret_row);

#endif
