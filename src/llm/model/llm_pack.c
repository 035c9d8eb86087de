// SPDX-License-Identifier: Apache-2.0
//
// The packed form of one tensor: a vector as float32, a matrix in interleaved rows, a stack of
// matrices one after another. Both a model in memory and a bundle's section are made of these.
#include "llm/model/tp_llm.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "llm/model/tp_matrix.h"

#include <string.h>

static tapeout_status check_shape(const tp_gguf_tensor *tensor, tapeout_error *err)
{
    if (tensor->dim_count > 3 || tensor->dims[0] > TP_MAX_LLM_COLS ||
        tensor->dims[1] > TP_MAX_LLM_ROWS || tensor->dims[2] > TP_MAX_LLM_EXPERTS) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "llm: tensor %.*s: %u dimensions [%llu, %llu, %llu]; expected at most 3, "
                       "up to [%u, %u, %u]",
                       TP_STR_ARGS(tensor->name), tensor->dim_count,
                       (unsigned long long)tensor->dims[0], (unsigned long long)tensor->dims[1],
                       (unsigned long long)tensor->dims[2], TP_MAX_LLM_COLS, TP_MAX_LLM_ROWS,
                       TP_MAX_LLM_EXPERTS);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_llm_packed_bytes(const tp_gguf_tensor *tensor, uint64_t *ret_bytes,
                                   tapeout_error *err)
{
    TP_TRY(check_shape(tensor, err));
    if (tensor->dim_count == 1) {
        *ret_bytes = tensor->dims[0] * sizeof(float);
        return TAPEOUT_OK;
    }
    const size_t size = tp_matrix_size(tp_matrix_kind_of(tensor->type), (uint32_t)tensor->dims[1],
                                       (uint32_t)tensor->dims[0]);
    size_t total = 0;
    if (size == 0 || __builtin_mul_overflow(size, (size_t)tensor->dims[2], &total)) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "llm: tensor %.*s: rows of %llu weights of type %s have no packed form",
                       TP_STR_ARGS(tensor->name), (unsigned long long)tensor->dims[0],
                       tp_tensor_layout_of(tensor->type)->name);
    }
    *ret_bytes = total;
    return TAPEOUT_OK;
}

static tapeout_status pack_vector(const tp_env *env, const tp_gguf_tensor *tensor,
                                  uint8_t *ret_data, tapeout_error *err)
{
    const size_t count = (size_t)tensor->dims[0];
    float *values = tp_alloc_array(env->alloc, count, sizeof(*values));
    if (values == NULL) {
        return tp_fail_nomem(err);
    }
    tp_tensor_dequantize(tensor->type, (const uint8_t *)tensor->data.data, count, values);
    memcpy(ret_data, values, count * sizeof(*values)); // little-endian machines alone, so far
    tp_free_array(env->alloc, values, count, sizeof(*values));
    return TAPEOUT_OK;
}

tapeout_status tp_llm_pack(const tp_env *env, const tp_gguf_tensor *tensor, uint8_t *ret_data,
                           tapeout_error *err)
{
    uint64_t size = 0;
    TP_TRY(tp_llm_packed_bytes(tensor, &size, err));
    if (tensor->dim_count == 1) {
        return pack_vector(env, tensor, ret_data, err);
    }
    tp_matrix_source source = {.type = tensor->type,
                               .data = (const uint8_t *)tensor->data.data,
                               .rows = (uint32_t)tensor->dims[1],
                               .cols = (uint32_t)tensor->dims[0]};
    for (uint64_t i = 0; i < tensor->dims[2]; i++) {
        TP_TRY(tp_matrix_pack(env, &source, ret_data, err));
        source.data += tp_tensor_row_bytes(source.type, source.cols) * source.rows;
        ret_data += size / tensor->dims[2];
    }
    return TAPEOUT_OK;
}
