// SPDX-License-Identifier: Apache-2.0
//
// Matrices times activations, plainly: the definition. A block of 16 rows × 32 inputs is unpacked
// to small integers, scales and minima; then each output adds what the block gives it. How the bits
// of each kind lie is in docs/formats/llm_weights.md, and `codes_of` and `scales_of` read just
// that.
#include "kernels/llm_kernels_priv.h"
#include "kernels/tp_half.h"

#include <assert.h>
#include <string.h>

enum { ROWS = TP_MATRIX_GROUP, INPUTS = TP_MATRIX_BLOCK, PARTS = 8, TOKENS = 16 };

static const tp_matrix_layout layouts[TP_MATRIX_KIND_COUNT] = {
    [TP_MATRIX_F32] = {"F32", 1, ROWS * 4},
    [TP_MATRIX_F16] = {"F16", 1, ROWS * 2},
    [TP_MATRIX_BF16] = {"BF16", 1, ROWS * 2},
    [TP_MATRIX_Q4_0] = {"Q4_0", INPUTS, ROWS *(2 + 16)},
    [TP_MATRIX_Q4_1] = {"Q4_1", INPUTS, ROWS *(4 + 16)},
    [TP_MATRIX_Q5_0] = {"Q5_0", INPUTS, ROWS *(2 + 20)},
    [TP_MATRIX_Q5_1] = {"Q5_1", INPUTS, ROWS *(4 + 20)},
    [TP_MATRIX_Q8_0] = {"Q8_0", INPUTS, ROWS *(2 + 32)},
    [TP_MATRIX_Q4_K] = {"Q4_K", INPUTS *PARTS, ROWS *(4 + PARTS * (2 + 16))},
    [TP_MATRIX_Q5_K] = {"Q5_K", INPUTS *PARTS, ROWS *(4 + PARTS * (2 + 20))},
    [TP_MATRIX_Q6_K] = {"Q6_K", INPUTS *PARTS, ROWS *(2 + PARTS * (2 + 24))},
    [TP_MATRIX_WIDE] = {"WIDE", INPUTS, ROWS *(16 + 32)},
};

const tp_matrix_layout *tp_matrix_layout_of(tp_matrix_kind kind)
{
    assert((unsigned)kind < TP_MATRIX_KIND_COUNT);
    return &layouts[kind];
}

// -- small numbers -------------------------------------------------------------------------------

static uint32_t load16(const uint8_t *data)
{
    return (uint32_t)data[0] | (uint32_t)data[1] << 8;
}

static float from_bits(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static float load_f32(const uint8_t *data)
{
    return from_bits(load16(data) | load16(data + 2) << 16);
}

static float load_f16(const uint8_t *data)
{
    return tp_half_to_float((uint16_t)load16(data));
}

// -- unpacking -----------------------------------------------------------------------------------

typedef struct unpacked {
    int32_t codes[ROWS][INPUTS]; // less the bias
    float scales[2][ROWS];       // of either 16 inputs
    float mins[2][ROWS];
} unpacked;

// Where the parts of a block of 32 inputs lie.
typedef struct block_place {
    const uint8_t *shared; // of the 256 inputs, for kinds that have them
    const uint8_t *scales;
    const uint8_t *codes;
} block_place;

static block_place place_of(tp_matrix_kind kind, const uint8_t *group, uint32_t block)
{
    const llm_shape shape = llm_shape_of(kind);
    const uint8_t *shared = group + (size_t)(block / shape.parts) * layouts[kind].block_bytes;
    const uint8_t *scales = shared + shape.shared_bytes +
                            (size_t)(block % shape.parts) * (shape.scale_bytes + shape.code_bytes);
    return (block_place){shared, scales, scales + shape.scale_bytes};
}

// 16 bits of vector `vector` for a row and either input of a pair.
static uint32_t lane_of(const uint8_t *codes, uint32_t vector, uint32_t row, uint32_t side)
{
    return load16(codes + (size_t)(vector * ROWS + row) * 4 + side * 2);
}

static uint32_t code5_of(const uint8_t *codes, uint32_t pair, uint32_t row, uint32_t side)
{
    static const uint32_t shifts[3] = {0, 5, 11};
    if (pair < 15) {
        return lane_of(codes, pair / 3, row, side) >> shifts[pair % 3] & 31;
    }
    uint32_t code = 0;
    for (uint32_t bit = 0; bit < 5; bit++) {
        code |= (lane_of(codes, bit, row, side) >> 10 & 1) << bit;
    }
    return code;
}

static uint32_t code6_of(const uint8_t *codes, uint32_t pair, uint32_t row, uint32_t side)
{
    if (pair < 12) {
        return lane_of(codes, pair / 2, row, side) >> (pair % 2 == 0 ? 0 : 10) & 63;
    }
    const uint32_t triple = (pair - 12) / 2 * 3;
    const uint32_t odd = pair % 2;
    const uint32_t low = lane_of(codes, triple + odd, row, side) >> 6 & 15;
    return low | (lane_of(codes, triple + 2, row, side) >> (6 + 2 * odd) & 3) << 4;
}

static int32_t code_of(llm_code_form form, const uint8_t *codes, uint32_t row, uint32_t input)
{
    const uint32_t pair = input / 2;
    const uint32_t side = input % 2;
    switch (form) {
    case LLM_CODE_4:
        return (int32_t)(lane_of(codes, pair / 4, row, side) >> (4 * (pair % 4)) & 15);
    case LLM_CODE_5:
        return (int32_t)code5_of(codes, pair, row, side);
    case LLM_CODE_6:
        return (int32_t)code6_of(codes, pair, row, side);
    case LLM_CODE_8:
        return (int8_t)codes[(pair * ROWS + row) * 2 + side];
    case LLM_CODE_NONE:
        break;
    }
    return 0;
}

// Scale and minimum of a row for the inputs `half` (0 or 1) · 16 and on.
static void scale_of(llm_scale_form form, const block_place *at, uint32_t row, uint32_t half,
                     float *ret_scale_min)
{
    const uint8_t *scales = at->scales;
    float scale = 0;
    float min = 0;
    switch (form) {
    case LLM_SCALE_HALF_MIN:
        min = load_f16(scales + (size_t)(ROWS + row) * 2);
        // fall through
    case LLM_SCALE_HALF:
        scale = load_f16(scales + (size_t)row * 2);
        break;
    case LLM_SCALE_SUPER:
        scale = load_f16(at->shared + (size_t)row * 2) * (float)scales[row];
        min = -(load_f16(at->shared + (size_t)(ROWS + row) * 2) * (float)scales[ROWS + row]);
        break;
    case LLM_SCALE_SUPER_16:
        scale = load_f16(at->shared + (size_t)row * 2) * (float)(int8_t)scales[half * ROWS + row];
        break;
    case LLM_SCALE_FLOAT_16:
        scale = load_f32(scales + (size_t)(half * ROWS + row) * 4);
        min = load_f32(scales + (size_t)((2 + half) * ROWS + row) * 4);
        break;
    case LLM_SCALE_NONE:
        break;
    }
    ret_scale_min[0] = scale;
    ret_scale_min[1] = min;
}

static void unpack_row(tp_matrix_kind kind, const block_place *at, uint32_t row, unpacked *ret)
{
    const llm_form *form = &llm_forms[kind];
    for (uint32_t input = 0; input < INPUTS; input++) {
        ret->codes[row][input] = code_of(form->code, at->codes, row, input) - form->bias;
    }
    for (uint32_t half = 0; half < 2; half++) {
        float scale_min[2];
        scale_of(form->scale, at, row, half, scale_min);
        ret->scales[half][row] = scale_min[0];
        ret->mins[half][row] = scale_min[1];
    }
}

// -- products ------------------------------------------------------------------------------------

size_t tp_matrix_group_bytes(const tp_matrix *matrix)
{
    const tp_matrix_layout *layout = &layouts[matrix->kind];
    return (size_t)(matrix->cols / layout->block_inputs) * layout->block_bytes;
}

static const uint8_t *group_of(const tp_matrix *matrix, uint32_t row)
{
    return matrix->data + (size_t)(row / ROWS) * tp_matrix_group_bytes(matrix);
}

static int32_t sum_products(const int32_t *codes, const int16_t *q, uint32_t count)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += codes[i] * q[i];
    }
    return sum;
}

// What one block adds to one output.
static float add_block(llm_scale_form form, const unpacked *w, uint32_t row, const tp_q16_block *x,
                       float acc)
{
    if (llm_has_halves(form)) {
        for (uint32_t half = 0; half < 2; half++) {
            const int32_t sum = sum_products(w->codes[row] + half * 16, x->q + half * 16, 16);
            acc += (float)sum * (w->scales[half][row] * x->scale);
            if (llm_has_min(form)) {
                acc += w->mins[half][row] * (x->scale * (float)x->sums[half]);
            }
        }
        return acc;
    }
    acc += (float)sum_products(w->codes[row], x->q, INPUTS) * (w->scales[0][row] * x->scale);
    return llm_has_min(form) ? acc + w->mins[0][row] * x->scaled_sum : acc;
}

// A group of rows times up to TOKENS tokens.
static void multiply_group(const tp_matrix_product *product, uint32_t row_begin,
                           uint32_t token_begin, float (*ret)[ROWS])
{
    const tp_matrix *matrix = product->matrix;
    const uint8_t *group = group_of(matrix, row_begin);
    const uint32_t left = product->token_count - token_begin;
    const uint32_t tokens = left < TOKENS ? left : TOKENS;
    memset(ret, 0, sizeof(float) * TOKENS * ROWS);
    for (uint32_t block = 0; block < matrix->cols / INPUTS; block++) {
        const block_place at = place_of(matrix->kind, group, block);
        unpacked w;
        for (uint32_t row = 0; row < ROWS; row++) {
            unpack_row(matrix->kind, &at, row, &w);
        }
        for (uint32_t i = 0; i < tokens; i++) {
            const tp_q16_block *x =
                product->blocks + llm_token_of(product, token_begin + i) * product->block_stride;
            for (uint32_t row = 0; row < ROWS; row++) {
                ret[i][row] =
                    add_block(llm_forms[matrix->kind].scale, &w, row, x + block, ret[i][row]);
            }
        }
    }
}

static float weight_of(tp_matrix_kind kind, const uint8_t *group, uint32_t row, uint32_t input)
{
    const size_t index = (size_t)input * ROWS + row;
    return kind == TP_MATRIX_F32   ? load_f32(group + index * 4)
           : kind == TP_MATRIX_F16 ? load_f16(group + index * 2)
                                   : from_bits(load16(group + index * 2) << 16);
}

static void multiply_group_floats(const tp_matrix_product *product, uint32_t row_begin,
                                  uint32_t token_begin, float (*ret)[ROWS])
{
    const tp_matrix *matrix = product->matrix;
    const uint8_t *group = group_of(matrix, row_begin);
    const uint32_t left = product->token_count - token_begin;
    const uint32_t tokens = left < TOKENS ? left : TOKENS;
    memset(ret, 0, sizeof(float) * TOKENS * ROWS);
    for (uint32_t input = 0; input < matrix->cols; input++) {
        float w[ROWS];
        for (uint32_t row = 0; row < ROWS; row++) {
            w[row] = weight_of(matrix->kind, group, row, input);
        }
        for (uint32_t i = 0; i < tokens; i++) {
            const float *x =
                product->floats + llm_token_of(product, token_begin + i) * product->float_stride;
            for (uint32_t row = 0; row < ROWS; row++) {
                ret[i][row] += w[row] * x[input];
            }
        }
    }
}

void tp_multiply_ref(const tp_matrix_product *product)
{
    const bool is_float = layouts[product->matrix->kind].block_inputs == 1;
    for (uint32_t row = product->row_begin; row < product->row_end; row += ROWS) {
        const uint32_t rows = product->row_end - row < ROWS ? product->row_end - row : ROWS;
        for (uint32_t token = 0; token < product->token_count; token += TOKENS) {
            float sums[TOKENS][ROWS];
            if (is_float) {
                multiply_group_floats(product, row, token, sums);
            } else {
                multiply_group(product, row, token, sums);
            }
            for (uint32_t i = 0; i < TOKENS && token + i < product->token_count; i++) {
                memcpy(product->y + (token + i) * product->y_stride + row, sums[i],
                       rows * sizeof(float));
            }
        }
    }
}

void tp_matrix_row_f32(const tp_matrix *matrix, uint32_t row, float *ret_values)
{
    const uint8_t *group = group_of(matrix, row);
    const uint32_t lane = row % ROWS;
    if (layouts[matrix->kind].block_inputs == 1) {
        for (uint32_t input = 0; input < matrix->cols; input++) {
            ret_values[input] = weight_of(matrix->kind, group, lane, input);
        }
        return;
    }
    const bool with_min = llm_has_min(llm_forms[matrix->kind].scale);
    for (uint32_t block = 0; block < matrix->cols / INPUTS; block++) {
        const block_place at = place_of(matrix->kind, group, block);
        unpacked w;
        unpack_row(matrix->kind, &at, lane, &w);
        for (uint32_t i = 0; i < INPUTS; i++) {
            const float product = w.scales[i / 16][lane] * (float)w.codes[lane][i];
            ret_values[(size_t)block * INPUTS + i] =
                with_min ? product + w.mins[i / 16][lane] : product;
        }
    }
}
