// SPDX-License-Identifier: Apache-2.0
//
// Writes packed matrices, byte by byte as docs/formats/llm_weights.md has them: for each group of
// 16 rows and each block of 32 inputs the rows' codes and scales side by side. The two inputs of a
// pair are moved together, as the halves of a 32-bit word, so that laying out bits is shifts and
// ors.
#include "llm/model/matrix_priv.h"

#include "base/tp_error.h"

#include <string.h>

enum { ROWS = TP_MATRIX_GROUP, PAIRS = TP_MATRIX_BLOCK / 2, PARTS = 8 };

static void store16(uint8_t *data, uint32_t value)
{
    data[0] = (uint8_t)value;
    data[1] = (uint8_t)(value >> 8);
}

static void store32(uint8_t *data, uint32_t value)
{
    store16(data, value);
    store16(data + 2, value >> 16);
}

static void store_f32(uint8_t *data, float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    store32(data, bits);
}

// -- codes ---------------------------------------------------------------------------------------

// Both 16-bit lanes of a row in vector `vector`.
static void store_lanes(uint8_t *codes, uint32_t vector, uint32_t row, uint32_t lanes)
{
    store32(codes + (size_t)(vector * ROWS + row) * 4, lanes);
}

static void store_4_bits(uint8_t *codes, uint32_t row, const uint32_t *pairs)
{
    for (uint32_t v = 0; v < 4; v++) {
        const uint32_t *four = pairs + (size_t)v * 4;
        store_lanes(codes, v, row, four[0] | four[1] << 4 | four[2] << 8 | four[3] << 12);
    }
}

// Three codes a lane; bit 10, which they leave free, has a bit of the last pair's code.
static void store_5_bits(uint8_t *codes, uint32_t row, const uint32_t *pairs)
{
    for (uint32_t v = 0; v < 5; v++) {
        const uint32_t *three = pairs + (size_t)v * 3;
        const uint32_t spare = pairs[15] >> v & 0x00010001u;
        store_lanes(codes, v, row, three[0] | three[1] << 5 | spare << 10 | three[2] << 11);
    }
}

// Two codes a lane; bits 6-9, which they leave free, have in each three vectors the codes of two
// more pairs: their low four bits in the first two vectors, their high two bits in the third.
static void store_6_bits(uint8_t *codes, uint32_t row, const uint32_t *pairs)
{
    for (uint32_t v = 0; v < 6; v++) {
        const uint32_t *more = pairs + 12 + (size_t)v / 3 * 2;
        const uint32_t spare =
            v % 3 < 2 ? more[v % 3] & 0x000f000fu
                      : (more[0] >> 4 & 0x00030003u) | (more[1] >> 4 & 0x00030003u) << 2;
        const uint32_t *two = pairs + (size_t)v * 2;
        store_lanes(codes, v, row, two[0] | spare << 6 | two[1] << 10);
    }
}

static void store_8_bits(uint8_t *codes, uint32_t row, const uint32_t *pairs)
{
    for (uint32_t pair = 0; pair < PAIRS; pair++) {
        store16(codes + (size_t)(pair * ROWS + row) * 2, pairs[pair] | pairs[pair] >> 8);
    }
}

static void store_codes(tp_matrix_kind kind, const tp_code_block *block, uint32_t row,
                        uint8_t *codes)
{
    uint32_t pairs[PAIRS];
    for (uint32_t i = 0; i < PAIRS; i++) {
        pairs[i] = (uint32_t)block->codes[2 * i] | (uint32_t)block->codes[2 * i + 1] << 16;
    }
    switch ((int)kind) {
    case TP_MATRIX_Q4_0:
    case TP_MATRIX_Q4_1:
    case TP_MATRIX_Q4_K:
        store_4_bits(codes, row, pairs);
        break;
    case TP_MATRIX_Q5_0:
    case TP_MATRIX_Q5_1:
    case TP_MATRIX_Q5_K:
        store_5_bits(codes, row, pairs);
        break;
    case TP_MATRIX_Q6_K:
        store_6_bits(codes, row, pairs);
        break;
    default:
        store_8_bits(codes, row, pairs);
        break;
    }
}

// -- scales --------------------------------------------------------------------------------------

// The bytes of a block of 32 inputs behind its scales.
static void store_half_scales(const tp_code_block *block, uint32_t row, bool with_min,
                              uint8_t *scales)
{
    store16(scales + (size_t)row * 2, block->scale);
    if (with_min) {
        store16(scales + (size_t)(ROWS + row) * 2, block->min);
    }
}

static void store_wide_scales(const tp_code_block *block, uint32_t row, uint8_t *scales)
{
    for (uint32_t half = 0; half < 2; half++) {
        store_f32(scales + (size_t)(half * ROWS + row) * 4, block->scales[half]);
        store_f32(scales + (size_t)((2 + half) * ROWS + row) * 4, block->mins[half]);
    }
}

static void store_block(tp_matrix_kind kind, const tp_code_block *block, uint32_t row, uint8_t *ret)
{
    size_t scale_bytes = (size_t)ROWS * 2;
    switch ((int)kind) {
    case TP_MATRIX_Q4_1:
    case TP_MATRIX_Q5_1:
        scale_bytes *= 2;
        store_half_scales(block, row, true, ret);
        break;
    case TP_MATRIX_WIDE:
        scale_bytes *= 8;
        store_wide_scales(block, row, ret);
        break;
    default:
        store_half_scales(block, row, false, ret);
        break;
    }
    store_codes(kind, block, row, ret + scale_bytes);
}

// Part `part` (of 8) of a block of 256 inputs.
static void store_part(tp_matrix_kind kind, const tp_code_block *block, uint32_t row, uint32_t part,
                       uint8_t *ret)
{
    const bool with_min = kind != TP_MATRIX_Q6_K;
    const size_t shared_bytes = (size_t)ROWS * (with_min ? 4 : 2);
    const size_t part_bytes = (tp_matrix_layout_of(kind)->block_bytes - shared_bytes) / PARTS;
    if (part == 0) {
        store_half_scales(block, row, with_min, ret);
    }
    uint8_t *factors = ret + shared_bytes + part * part_bytes;
    factors[row] = block->factors[0];
    factors[ROWS + row] = block->factors[1];
    store_codes(kind, block, row, factors + (size_t)ROWS * 2);
}

// -- groups --------------------------------------------------------------------------------------

typedef struct pack_job {
    const tp_env *env;
    const tp_matrix_source *source;
    tp_matrix_kind kind;
    size_t row_bytes;   // of the source
    size_t group_bytes; // of the packed matrix
    uint8_t *data;
} pack_job;

// Row `row` of a group, 32 inputs after the other.
static void pack_row(const pack_job *job, uint32_t row, uint8_t *group)
{
    const tp_matrix_source *source = job->source;
    const uint8_t *data = source->data + (size_t)row * job->row_bytes;
    const tp_matrix_layout *layout = tp_matrix_layout_of(job->kind);
    for (uint32_t block = 0; block < source->cols / TP_MATRIX_BLOCK; block++) {
        tp_code_block codes;
        tp_code_block_read(source->type, data, block, &codes);
        if (layout->block_inputs == TP_MATRIX_BLOCK) {
            store_block(job->kind, &codes, row % ROWS, group + (size_t)block * layout->block_bytes);
        } else {
            store_part(job->kind, &codes, row % ROWS, block % PARTS,
                       group + (size_t)(block / PARTS) * layout->block_bytes);
        }
    }
}

static void pack_row_of_floats(const pack_job *job, uint32_t row, uint8_t *group)
{
    const uint8_t *data = job->source->data + (size_t)row * job->row_bytes;
    const size_t size = job->kind == TP_MATRIX_F32 ? 4 : 2;
    for (size_t input = 0; input < job->source->cols; input++) {
        memcpy(group + (input * ROWS + row % ROWS) * size, data + input * size, size);
    }
}

static tapeout_status pack_task(void *user, size_t index, size_t worker, tapeout_error *err)
{
    (void)worker;
    const pack_job *job = user;
    TP_TRY(tp_env_check(job->env, err));
    uint8_t *group = job->data + index * job->group_bytes;
    const uint32_t begin = (uint32_t)index * ROWS;
    const uint32_t left = job->source->rows - begin;
    if (left < ROWS) {
        memset(group, 0, job->group_bytes); // rows that are not there are zero
    }
    for (uint32_t row = begin; row < begin + (left < ROWS ? left : ROWS); row++) {
        if (tp_matrix_reads(job->kind) == TP_ACTIVATIONS_FLOATS) {
            pack_row_of_floats(job, row, group);
        } else {
            pack_row(job, row, group);
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_matrix_pack(const tp_env *env, const tp_matrix_source *source, uint8_t *ret_data,
                              tapeout_error *err)
{
    const tp_tensor_layout *layout = tp_tensor_layout_of(source->type);
    if (layout->block_length == 0 || source->cols % layout->block_length != 0) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "matrix [%u, %u] of %s: the inputs of a row must be a multiple of %u",
                       source->rows, source->cols, layout->name != NULL ? layout->name : "?",
                       layout->block_length);
    }
    const tp_matrix_kind kind = tp_matrix_kind_of(source->type);
    pack_job job = {.env = env,
                    .source = source,
                    .kind = kind,
                    .row_bytes = (size_t)tp_tensor_row_bytes(source->type, source->cols),
                    .group_bytes = tp_matrix_size(kind, ROWS, source->cols),
                    .data = ret_data};
    const size_t groups = ((size_t)source->rows + ROWS - 1) / ROWS;
    return tp_pool_for(env->pool, groups, pack_task, &job, err);
}
