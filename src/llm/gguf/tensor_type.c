// SPDX-License-Identifier: Apache-2.0
//
// The table of tensor types, by the number that files give them. A type with a name and no block
// exists in files and is not taken; a number without a name never existed or was retired.
#include "llm/gguf/tp_tensor_type.h"

#include <assert.h>

static const tp_tensor_layout layouts[TP_TENSOR_TYPE_END] = {
    [TP_TENSOR_F32] = {"F32", 1, 4},
    [TP_TENSOR_F16] = {"F16", 1, 2},
    [TP_TENSOR_Q4_0] = {"Q4_0", 32, 2 + 16},
    [TP_TENSOR_Q4_1] = {"Q4_1", 32, 4 + 16},
    [TP_TENSOR_Q5_0] = {"Q5_0", 32, 2 + 4 + 16},
    [TP_TENSOR_Q5_1] = {"Q5_1", 32, 4 + 4 + 16},
    [TP_TENSOR_Q8_0] = {"Q8_0", 32, 2 + 32},
    [9] = {"Q8_1", 0, 0},
    [TP_TENSOR_Q2_K] = {"Q2_K", 256, 16 + 64 + 4},
    [TP_TENSOR_Q3_K] = {"Q3_K", 256, 32 + 64 + 12 + 2},
    [TP_TENSOR_Q4_K] = {"Q4_K", 256, 4 + 12 + 128},
    [TP_TENSOR_Q5_K] = {"Q5_K", 256, 4 + 12 + 32 + 128},
    [TP_TENSOR_Q6_K] = {"Q6_K", 256, 128 + 64 + 16 + 2},
    [15] = {"Q8_K", 0, 0},
    [16] = {"IQ2_XXS", 0, 0},
    [17] = {"IQ2_XS", 0, 0},
    [18] = {"IQ3_XXS", 0, 0},
    [19] = {"IQ1_S", 0, 0},
    [TP_TENSOR_IQ4_NL] = {"IQ4_NL", 32, 2 + 16},
    [21] = {"IQ3_S", 0, 0},
    [22] = {"IQ2_S", 0, 0},
    [TP_TENSOR_IQ4_XS] = {"IQ4_XS", 256, 2 + 2 + 4 + 128},
    [24] = {"I8", 0, 0},
    [25] = {"I16", 0, 0},
    [26] = {"I32", 0, 0},
    [27] = {"I64", 0, 0},
    [28] = {"F64", 0, 0},
    [29] = {"IQ1_M", 0, 0},
    [TP_TENSOR_BF16] = {"BF16", 1, 2},
    [34] = {"TQ1_0", 0, 0},
    [35] = {"TQ2_0", 0, 0},
    [TP_TENSOR_MXFP4] = {"MXFP4", 32, 1 + 16},
    [40] = {"NVFP4", 0, 0},
};

const tp_tensor_layout *tp_tensor_layout_of(uint32_t type)
{
    static const tp_tensor_layout none = {0};
    return type < TP_TENSOR_TYPE_END ? &layouts[type] : &none;
}

bool tp_tensor_type_find(tp_str name, tp_tensor_type *ret_type)
{
    for (uint32_t i = 0; i < TP_TENSOR_TYPE_END; i++) {
        if (layouts[i].block_length > 0 &&
            tp_str_equal_ignore_case(name, tp_str_from(layouts[i].name))) {
            *ret_type = (tp_tensor_type)i;
            return true;
        }
    }
    return false;
}

uint64_t tp_tensor_row_bytes(tp_tensor_type type, uint64_t count)
{
    const tp_tensor_layout *layout = tp_tensor_layout_of(type);
    assert(layout->block_length > 0 && count % layout->block_length == 0);
    return count / layout->block_length * layout->block_bytes;
}
