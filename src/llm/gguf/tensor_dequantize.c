// SPDX-License-Identifier: Apache-2.0
//
// Blocks of weights to floats, one plain function a type: the definition that fast kernels are held
// against, and bit for bit what the `gguf` package of the format's authors computes
// (tests/conformance/tensor_types). Within a block of 32 the low halves of the bytes hold the first
// 16 weights and the high halves the other 16. The K types have 256 weights in sub-blocks of 16 or
// 32, each with a small scale (and minimum) that multiplies the block's own.
#include "llm/gguf/tp_tensor_type.h"

#include "kernels/tp_half.h"

#include <assert.h>
#include <string.h>

enum { BLOCK = 32, SUPER = 256 };

static uint16_t load16(const uint8_t *data)
{
    return (uint16_t)(data[0] | data[1] << 8);
}

static float half(const uint8_t *data)
{
    return tp_half_to_float(load16(data));
}

static unsigned low(uint8_t byte)
{
    return byte & 15u;
}

static unsigned high(uint8_t byte)
{
    return (unsigned)byte >> 4;
}

static float from_bits(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

// -- blocks of 32 --------------------------------------------------------------------------------

static void f32_block(const uint8_t *block, float *ret)
{
    ret[0] = from_bits((uint32_t)load16(block) | (uint32_t)load16(block + 2) << 16);
}

static void f16_block(const uint8_t *block, float *ret)
{
    ret[0] = half(block);
}

static void bf16_block(const uint8_t *block, float *ret)
{
    ret[0] = tp_brain_to_float(load16(block));
}

static void q4_0_block(const uint8_t *block, float *ret)
{
    const float scale = half(block);
    const uint8_t *codes = block + 2;
    for (int i = 0; i < BLOCK / 2; i++) {
        ret[i] = scale * (float)((int)low(codes[i]) - 8);
        ret[i + BLOCK / 2] = scale * (float)((int)high(codes[i]) - 8);
    }
}

static void q4_1_block(const uint8_t *block, float *ret)
{
    const float scale = half(block);
    const float min = half(block + 2);
    const uint8_t *codes = block + 4;
    for (int i = 0; i < BLOCK / 2; i++) {
        ret[i] = scale * (float)low(codes[i]) + min;
        ret[i + BLOCK / 2] = scale * (float)high(codes[i]) + min;
    }
}

// The fifth bits of a block's 32 weights, in order.
static uint32_t fifth_bits(const uint8_t *data)
{
    return (uint32_t)load16(data) | (uint32_t)load16(data + 2) << 16;
}

static void q5_0_block(const uint8_t *block, float *ret)
{
    const float scale = half(block);
    const uint32_t top = fifth_bits(block + 2);
    const uint8_t *codes = block + 6;
    for (int i = 0; i < BLOCK / 2; i++) {
        ret[i] = scale * (float)((int)(low(codes[i]) | (top >> i & 1u) << 4) - 16);
        ret[i + BLOCK / 2] =
            scale * (float)((int)(high(codes[i]) | (top >> (i + BLOCK / 2) & 1u) << 4) - 16);
    }
}

static void q5_1_block(const uint8_t *block, float *ret)
{
    const float scale = half(block);
    const float min = half(block + 2);
    const uint32_t top = fifth_bits(block + 4);
    const uint8_t *codes = block + 8;
    for (int i = 0; i < BLOCK / 2; i++) {
        ret[i] = scale * (float)(low(codes[i]) | (top >> i & 1u) << 4) + min;
        ret[i + BLOCK / 2] =
            scale * (float)(high(codes[i]) | (top >> (i + BLOCK / 2) & 1u) << 4) + min;
    }
}

static void q8_0_block(const uint8_t *block, float *ret)
{
    const float scale = half(block);
    for (int i = 0; i < BLOCK; i++) {
        ret[i] = scale * (float)(int8_t)block[2 + i];
    }
}

// 16 levels that lie denser around zero.
static const int8_t iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};

static void iq4_nl_block(const uint8_t *block, float *ret)
{
    const float scale = half(block);
    const uint8_t *codes = block + 2;
    for (int i = 0; i < BLOCK / 2; i++) {
        ret[i] = scale * (float)iq4_levels[low(codes[i])];
        ret[i + BLOCK / 2] = scale * (float)iq4_levels[high(codes[i])];
    }
}

// OCP microscaling FP4: levels of E2M1, doubled; the scale is a power of two, halved for that.
static void mxfp4_block(const uint8_t *block, float *ret)
{
    static const int8_t levels[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    const uint32_t exponent = block[0];
    const float scale = from_bits(exponent < 2 ? 0x00200000u << exponent : (exponent - 1) << 23);
    const uint8_t *codes = block + 1;
    for (int i = 0; i < BLOCK / 2; i++) {
        ret[i] = scale * (float)levels[low(codes[i])];
        ret[i + BLOCK / 2] = scale * (float)levels[high(codes[i])];
    }
}

// -- blocks of 256 -------------------------------------------------------------------------------

static void q2_k_block(const uint8_t *block, float *ret)
{
    const uint8_t *scales = block; // 16 × (4 bits of scale, 4 bits of minimum)
    const uint8_t *codes = block + 16;
    const float scale = half(block + 80);
    const float min = half(block + 82);
    for (int i = 0; i < SUPER; i++) {
        const int half_index = i / 128;
        const unsigned shift = 2u * (unsigned)(i / 32 % 4);
        const unsigned code = (unsigned)codes[half_index * 32 + i % 32] >> shift & 3u;
        const uint8_t part = scales[i / 16];
        ret[i] = scale * (float)low(part) * (float)code - min * (float)high(part);
    }
}

// Scale `index` (of 16) of a Q3_K block: four low bits and, in the last four bytes, two high ones.
static int q3_k_scale(const uint8_t *packed, int index)
{
    const unsigned lower = index < 8 ? low(packed[index]) : high(packed[index - 8]);
    const unsigned upper = (unsigned)packed[8 + index % 4] >> (2 * (index / 4)) & 3u;
    return (int)(lower | upper << 4) - 32;
}

static void q3_k_block(const uint8_t *block, float *ret)
{
    const uint8_t *top = block; // the third bit; where it is clear, 4 is subtracted
    const uint8_t *codes = block + 32;
    const float scale = half(block + 108);
    for (int i = 0; i < SUPER; i++) {
        const unsigned shift = 2u * (unsigned)(i / 32 % 4);
        const int code = (int)((unsigned)codes[i / 128 * 32 + i % 32] >> shift & 3u);
        const int offset = (top[i % 32] >> (i / 32) & 1) != 0 ? 0 : 4;
        ret[i] = scale * (float)q3_k_scale(block + 96, i / 16) * (float)(code - offset);
    }
}

// Scale and minimum `index` (of 8) of a Q4_K or Q5_K block: six bits each in 12 bytes.
static void k_scale_min(const uint8_t *packed, int index, float *ret_scale, float *ret_min)
{
    if (index < 4) {
        *ret_scale = (float)(packed[index] & 63u);
        *ret_min = (float)(packed[index + 4] & 63u);
        return;
    }
    *ret_scale = (float)(low(packed[index + 4]) | (unsigned)packed[index - 4] >> 6 << 4);
    *ret_min = (float)(high(packed[index + 4]) | (unsigned)packed[index] >> 6 << 4);
}

static void q4_k_block(const uint8_t *block, float *ret)
{
    const float scale = half(block);
    const float min = half(block + 2);
    const uint8_t *codes = block + 16;
    for (int part = 0; part < 8; part++) {
        float part_scale = 0;
        float part_min = 0;
        k_scale_min(block + 4, part, &part_scale, &part_min);
        const float step = scale * part_scale;
        const float offset = min * part_min;
        for (int i = 0; i < 32; i++) {
            const uint8_t byte = codes[part / 2 * 32 + i];
            ret[part * 32 + i] = step * (float)(part % 2 == 0 ? low(byte) : high(byte)) - offset;
        }
    }
}

static void q5_k_block(const uint8_t *block, float *ret)
{
    const float scale = half(block);
    const float min = half(block + 2);
    const uint8_t *top = block + 16;
    const uint8_t *codes = block + 48;
    for (int part = 0; part < 8; part++) {
        float part_scale = 0;
        float part_min = 0;
        k_scale_min(block + 4, part, &part_scale, &part_min);
        const float step = scale * part_scale;
        const float offset = min * part_min;
        for (int i = 0; i < 32; i++) {
            const uint8_t byte = codes[part / 2 * 32 + i];
            const unsigned lower = part % 2 == 0 ? low(byte) : high(byte);
            const unsigned code = lower | ((unsigned)top[i] >> part & 1u) << 4;
            ret[part * 32 + i] = step * (float)code - offset;
        }
    }
}

static void q6_k_block(const uint8_t *block, float *ret)
{
    const uint8_t *lower = block;
    const uint8_t *upper = block + 128;
    const uint8_t *scales = block + 192; // 16 × int8
    const float scale = half(block + 208);
    for (int i = 0; i < SUPER; i++) {
        const int group = i / 32 % 4; // of the half of 128 that the weight is in
        const uint8_t byte = lower[i / 128 * 64 + i % 64];
        const unsigned bits = group < 2 ? low(byte) : high(byte);
        const unsigned two = (unsigned)upper[i / 128 * 32 + i % 32] >> (2 * group) & 3u;
        ret[i] = scale * (float)(int8_t)scales[i / 16] * (float)((int)(bits | two << 4) - 32);
    }
}

static void iq4_xs_block(const uint8_t *block, float *ret)
{
    const float scale = half(block);
    const unsigned upper = load16(block + 2);
    const uint8_t *lower = block + 4;
    const uint8_t *codes = block + 8;
    for (int part = 0; part < 8; part++) {
        const unsigned four = part % 2 == 0 ? low(lower[part / 2]) : high(lower[part / 2]);
        const int factor = (int)(four | (upper >> (2 * part) & 3u) << 4) - 32;
        const float step = scale * (float)factor;
        for (int i = 0; i < 16; i++) {
            const uint8_t byte = codes[part * 16 + i];
            ret[part * 32 + i] = step * (float)iq4_levels[low(byte)];
            ret[part * 32 + 16 + i] = step * (float)iq4_levels[high(byte)];
        }
    }
}

// -- rows ----------------------------------------------------------------------------------------

void tp_tensor_dequantize(tp_tensor_type type, const uint8_t *row, uint64_t count,
                          float *ret_values)
{
    static void (*const blocks[TP_TENSOR_TYPE_END])(const uint8_t *block, float *ret) = {
        [TP_TENSOR_F32] = f32_block,       [TP_TENSOR_F16] = f16_block,
        [TP_TENSOR_BF16] = bf16_block,     [TP_TENSOR_Q4_0] = q4_0_block,
        [TP_TENSOR_Q4_1] = q4_1_block,     [TP_TENSOR_Q5_0] = q5_0_block,
        [TP_TENSOR_Q5_1] = q5_1_block,     [TP_TENSOR_Q8_0] = q8_0_block,
        [TP_TENSOR_Q2_K] = q2_k_block,     [TP_TENSOR_Q3_K] = q3_k_block,
        [TP_TENSOR_Q4_K] = q4_k_block,     [TP_TENSOR_Q5_K] = q5_k_block,
        [TP_TENSOR_Q6_K] = q6_k_block,     [TP_TENSOR_IQ4_NL] = iq4_nl_block,
        [TP_TENSOR_IQ4_XS] = iq4_xs_block, [TP_TENSOR_MXFP4] = mxfp4_block,
    };
    const tp_tensor_layout *layout = tp_tensor_layout_of(type);
    assert(layout->block_length > 0 && count % layout->block_length == 0);
    for (uint64_t i = 0; i < count; i += layout->block_length) {
        blocks[type](row, ret_values + i);
        row += layout->block_bytes;
    }
}
