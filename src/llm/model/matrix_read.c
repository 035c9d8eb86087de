// SPDX-License-Identifier: Apache-2.0
//
// Blocks of a file's tensors as codes and scales, nothing rounded: what tensor_dequantize.c
// multiplies out, left as factors. Types with a kind of their own keep their bits; the others
// become 8-bit codes with a float scale and minimum for 16 inputs, which hold them exactly, since a
// product of a half float and a small integer fits a float.
#include "llm/model/matrix_priv.h"

#include "kernels/tp_half.h"

#include <assert.h>
#include <string.h>

enum { BLOCK = TP_MATRIX_BLOCK, HALF = BLOCK / 2, PARTS = 8 };

static uint16_t load16(const uint8_t *data)
{
    return (uint16_t)(data[0] | data[1] << 8);
}

static uint8_t low(uint8_t byte)
{
    return byte & 15u;
}

static uint8_t high(uint8_t byte)
{
    return (uint8_t)(byte >> 4);
}

// 16 bytes: the first 16 codes in their low halves, the others in the high ones.
static void read_nibbles(const uint8_t *data, uint8_t *ret)
{
    for (int i = 0; i < HALF; i++) {
        ret[i] = low(data[i]);
        ret[i + HALF] = high(data[i]);
    }
}

// 32 bytes: the codes of an even part in the low halves, those of the odd one in the high ones.
static void read_halves(const uint8_t *data, bool is_high, uint8_t *ret)
{
    for (int i = 0; i < BLOCK; i++) {
        ret[i] = is_high ? high(data[i]) : low(data[i]);
    }
}

static void set_all(tp_code_block *ret, float scale)
{
    ret->scales[0] = scale;
    ret->scales[1] = scale;
}

// -- blocks of 32 --------------------------------------------------------------------------------

static void read_5_bits(const uint8_t *top, const uint8_t *data, uint8_t *ret)
{
    const uint32_t bits = (uint32_t)load16(top) | (uint32_t)load16(top + 2) << 16;
    read_nibbles(data, ret);
    for (int i = 0; i < BLOCK; i++) {
        ret[i] |= (uint8_t)((bits >> i & 1u) << 4);
    }
}

static void read_levels(const uint8_t *data, const int8_t *levels, uint8_t *ret)
{
    for (int i = 0; i < HALF; i++) {
        ret[i] = (uint8_t)levels[low(data[i])];
        ret[i + HALF] = (uint8_t)levels[high(data[i])];
    }
}

static const int8_t iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};

// E2M1, doubled; the scale is a power of two, halved for that.
static void read_mxfp4(const uint8_t *block, tp_code_block *ret)
{
    static const int8_t levels[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    const uint32_t exponent = block[0];
    const uint32_t bits = exponent < 2 ? 0x00200000u << exponent : (exponent - 1) << 23;
    float scale = 0;
    memcpy(&scale, &bits, sizeof(scale));
    set_all(ret, scale);
    read_levels(block + 1, levels, ret->codes);
}

// -- blocks of 256 -------------------------------------------------------------------------------

// Two bits each: four parts share 32 bytes.
static void read_2_bits(const uint8_t *data, uint32_t part, uint8_t *ret)
{
    for (int i = 0; i < BLOCK; i++) {
        ret[i] = (uint8_t)(data[part / 4 * BLOCK + (uint32_t)i] >> (2 * (part % 4)) & 3u);
    }
}

static void read_q2_k(const uint8_t *block, uint32_t part, tp_code_block *ret)
{
    const float scale = tp_half_to_float(load16(block + 80));
    const float min = tp_half_to_float(load16(block + 82));
    for (uint32_t half = 0; half < 2; half++) {
        const uint8_t factors = block[2 * part + half];
        ret->scales[half] = scale * (float)low(factors);
        ret->mins[half] = -(min * (float)high(factors));
    }
    read_2_bits(block + 16, part, ret->codes);
}

// Factor `index` (of 16): four low bits and, in the last four bytes, two high ones.
static int q3_k_factor(const uint8_t *packed, uint32_t index)
{
    const unsigned lower = index < 8 ? low(packed[index]) : high(packed[index - 8]);
    const unsigned upper = (unsigned)packed[8 + index % 4] >> (2 * (index / 4)) & 3u;
    return (int)(lower | upper << 4) - 32;
}

static void read_q3_k(const uint8_t *block, uint32_t part, tp_code_block *ret)
{
    const float scale = tp_half_to_float(load16(block + 108));
    for (uint32_t half = 0; half < 2; half++) {
        ret->scales[half] = scale * (float)q3_k_factor(block + 96, 2 * part + half);
    }
    read_2_bits(block + 32, part, ret->codes);
    for (int i = 0; i < BLOCK; i++) { // where the third bit is clear, 4 is subtracted
        const int offset = (block[i] >> part & 1) != 0 ? 0 : 4;
        ret->codes[i] = (uint8_t)(ret->codes[i] - offset);
    }
}

// Six bits each of scale and minimum `part` (of 8), in 12 bytes.
static void read_k_factors(const uint8_t *packed, uint32_t part, uint8_t *ret)
{
    if (part < 4) {
        ret[0] = packed[part] & 63u;
        ret[1] = packed[part + 4] & 63u;
        return;
    }
    ret[0] = (uint8_t)(low(packed[part + 4]) | packed[part - 4] >> 6 << 4);
    ret[1] = (uint8_t)(high(packed[part + 4]) | packed[part] >> 6 << 4);
}

static void read_q4_k(const uint8_t *block, uint32_t part, tp_code_block *ret)
{
    ret->scale = load16(block);
    ret->min = load16(block + 2);
    read_k_factors(block + 4, part, ret->factors);
    read_halves(block + 16 + (size_t)part / 2 * BLOCK, part % 2 != 0, ret->codes);
}

static void read_q5_k(const uint8_t *block, uint32_t part, tp_code_block *ret)
{
    ret->scale = load16(block);
    ret->min = load16(block + 2);
    read_k_factors(block + 4, part, ret->factors);
    read_halves(block + 48 + (size_t)part / 2 * BLOCK, part % 2 != 0, ret->codes);
    for (int i = 0; i < BLOCK; i++) {
        ret->codes[i] |= (uint8_t)((block[16 + i] >> part & 1) << 4);
    }
}

static void read_q6_k(const uint8_t *block, uint32_t part, tp_code_block *ret)
{
    const uint8_t *upper = block + 128 + (size_t)part / 4 * BLOCK;
    ret->scale = load16(block + 208);
    ret->factors[0] = block[192 + 2 * part];
    ret->factors[1] = block[192 + 2 * part + 1];
    read_halves(block + part / 4 * 64 + part % 2 * BLOCK, part % 4 >= 2, ret->codes);
    for (int i = 0; i < BLOCK; i++) {
        ret->codes[i] |= (uint8_t)((upper[i] >> (2 * (part % 4)) & 3) << 4);
    }
}

static void read_iq4_xs(const uint8_t *block, uint32_t part, tp_code_block *ret)
{
    const uint8_t lower = block[4 + part / 2];
    const unsigned four = part % 2 == 0 ? low(lower) : high(lower);
    const unsigned two = (unsigned)load16(block + 2) >> (2 * part) & 3u;
    set_all(ret, tp_half_to_float(load16(block)) * (float)((int)(four | two << 4) - 32));
    read_levels(block + 8 + (size_t)part * HALF, iq4_levels, ret->codes);
}

static void read_super(tp_tensor_type type, const uint8_t *block, uint32_t part, tp_code_block *ret)
{
    switch ((int)type) {
    case TP_TENSOR_Q2_K:
        read_q2_k(block, part, ret);
        break;
    case TP_TENSOR_Q3_K:
        read_q3_k(block, part, ret);
        break;
    case TP_TENSOR_Q4_K:
        read_q4_k(block, part, ret);
        break;
    case TP_TENSOR_Q5_K:
        read_q5_k(block, part, ret);
        break;
    case TP_TENSOR_Q6_K:
        read_q6_k(block, part, ret);
        break;
    default:
        assert(type == TP_TENSOR_IQ4_XS);
        read_iq4_xs(block, part, ret);
        break;
    }
}

static void read_plain(tp_tensor_type type, const uint8_t *block, tp_code_block *ret)
{
    ret->scale = load16(block);
    ret->min = load16(block + 2); // of those that have one
    switch ((int)type) {
    case TP_TENSOR_Q4_0:
        read_nibbles(block + 2, ret->codes);
        break;
    case TP_TENSOR_Q4_1:
        read_nibbles(block + 4, ret->codes);
        break;
    case TP_TENSOR_Q5_0:
        read_5_bits(block + 2, block + 6, ret->codes);
        break;
    case TP_TENSOR_Q5_1:
        read_5_bits(block + 4, block + 8, ret->codes);
        break;
    case TP_TENSOR_Q8_0:
        memcpy(ret->codes, block + 2, BLOCK);
        break;
    case TP_TENSOR_IQ4_NL:
        set_all(ret, tp_half_to_float(ret->scale));
        read_levels(block + 2, iq4_levels, ret->codes);
        break;
    default:
        assert(type == TP_TENSOR_MXFP4);
        read_mxfp4(block, ret);
        break;
    }
}

void tp_code_block_read(tp_tensor_type type, const uint8_t *row, uint32_t block, tp_code_block *ret)
{
    const tp_tensor_layout *layout = tp_tensor_layout_of(type);
    ret->mins[0] = -0.0f; // for types without minima: adding it changes nothing, not even a -0
    ret->mins[1] = -0.0f;
    if (layout->block_length == BLOCK) {
        read_plain(type, row + (size_t)block * layout->block_bytes, ret);
    } else {
        read_super(type, row + (size_t)(block / PARTS) * layout->block_bytes, block % PARTS, ret);
    }
}
