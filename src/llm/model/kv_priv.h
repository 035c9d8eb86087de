// SPDX-License-Identifier: Apache-2.0
//
// The cache as the forward pass sees it: one position of one head is written at a time, a page of
// one head is read at a time, as floats in the form that the kernels multiply.
#ifndef KV_PRIV_H
#define KV_PRIV_H

#include "llm/model/tp_kv.h"

#include "kernels/tp_kernels_float.h"

typedef struct kv_place {
    uint32_t page;
    uint32_t layer;
    uint32_t head; // of keys and values
} kv_place;

// The key [key_size] and value [value_size] of position `slot` of a page. Numbers beyond ±65504 are
// brought there.
void tp_kv_write(tp_kv *kv, const tp_kernels_float *kernels, const kv_place *place, uint32_t slot,
                 const float *key_value[2]);

// The keys of `lanes` groups of eight positions, [lanes][key_size][8].
void tp_kv_read_keys(const tp_kv *kv, const tp_kernels_float *kernels, const kv_place *place,
                     uint32_t lanes, float *ret_keys);

// The values of the first `positions` positions, [positions][value_size].
void tp_kv_read_values(const tp_kv *kv, const tp_kernels_float *kernels, const kv_place *place,
                       uint32_t positions, float *ret_values);

// Makes a page's positions from `slot` on zero, in all layers.
void tp_kv_clear(tp_kv *kv, uint32_t page, uint32_t slot);

// The model whose positions it holds.
const tp_llm *tp_kv_llm(const tp_kv *kv);

#endif
