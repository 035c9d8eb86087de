// SPDX-License-Identifier: Apache-2.0
//
// Between reading a tensor's blocks and writing a packed matrix: 32 weights of one row as codes and
// scales, in the terms of the kind that will hold them.
#ifndef MATRIX_PRIV_H
#define MATRIX_PRIV_H

#include "llm/model/tp_matrix.h"

typedef struct tp_code_block {
    uint8_t codes[TP_MATRIX_BLOCK]; // before the bias is taken off; 8 bits in two's complement
    uint16_t scale;                 // f16, of the block or of 256
    uint16_t min;
    uint8_t factors[2]; // of scale and min (Q4_K, Q5_K), or of the scale of either half (Q6_K)
    float scales[2];    // of either half, for WIDE
    float mins[2];
} tp_code_block;

// Weights block · 32 and on of a row. Not for floats.
void tp_code_block_read(tp_tensor_type type, const uint8_t *row, uint32_t block,
                        tp_code_block *ret);

#endif
