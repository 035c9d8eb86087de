// SPDX-License-Identifier: Apache-2.0
//
// Pages of keys and values. A page holds 32 positions of every layer and head, one head after
// another:
//   F16   keys    [4 groups][key_size][8 positions]        2 bytes each
//         values  [32 positions][value_size]
//   Q8_0  keys    [4 groups][key_size / 32] of {8 scales (F16), [32][8] codes}
//         values  [32 positions][value_size / 32] of {scale (F16), [32] codes}
// The scale is the greatest magnitude / 127, rounded to F16; a code is x / scale to nearest.
//
// A page is reused without being cleared as a whole: whoever computes with a page reads whole
// groups of eight positions and multiplies what is not meant by zero, so what lies there must be a
// number.
#include "llm/model/kv_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "kernels/tp_half.h"
#include "llm/model/model_priv.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { POSITIONS = TP_KV_PAGE_POSITIONS, LANES = TP_PAGE_LANES, BLOCK = 32 };

// One block of 32 numbers of eight keys, and of one value.
typedef struct key_block {
    uint16_t scales[LANES];
    int8_t codes[BLOCK][LANES];
} key_block;

typedef struct value_block {
    uint16_t scale;
    int8_t codes[BLOCK];
} value_block;

typedef struct kv_layout {
    size_t key_bytes; // of a head
    size_t head_bytes;
    size_t layer_bytes;
    size_t page_bytes;
} kv_layout;

struct tp_kv {
    const tapeout_allocator *alloc;
    const tp_llm *llm;
    tp_kv_type type;
    uint32_t page_count;
    kv_layout layout;
    uint8_t *data; // [page_count, page_bytes]
    size_t size;
};

static kv_layout layout_of(const tp_llm *llm, tp_kv_type type)
{
    const tp_llm_facts *facts = &llm->facts;
    kv_layout layout;
    if (type == TP_KV_F16) {
        layout.key_bytes = (size_t)POSITIONS * facts->key_size * sizeof(uint16_t);
        layout.head_bytes =
            layout.key_bytes + (size_t)POSITIONS * facts->value_size * sizeof(uint16_t);
    } else {
        layout.key_bytes =
            (size_t)(POSITIONS / LANES) * (facts->key_size / BLOCK) * sizeof(key_block);
        layout.head_bytes = layout.key_bytes +
                            (size_t)POSITIONS * (facts->value_size / BLOCK) * sizeof(value_block);
    }
    layout.layer_bytes = layout.head_bytes * facts->kv_head_count;
    layout.page_bytes = layout.layer_bytes * facts->layer_count;
    return layout;
}

uint64_t tp_kv_page_bytes(const tp_llm *llm, tp_kv_type type)
{
    return layout_of(llm, type).page_bytes;
}

tapeout_status tp_kv_type_check(const tp_llm *llm, tp_kv_type type, tapeout_error *err)
{
    const tp_llm_facts *facts = &llm->facts;
    if (type == TP_KV_Q8_0 && (facts->key_size % BLOCK != 0 || facts->value_size % BLOCK != 0)) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "llm: a cache of 8 bits needs heads that are a multiple of %d wide, and "
                       "this model's are %u and %u; use f16",
                       BLOCK, facts->key_size, facts->value_size);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_kv_new(const tp_env *env, const tp_llm *llm, tp_kv_type type, uint32_t page_count,
                         tp_kv **ret_kv, tapeout_error *err)
{
    TP_TRY(tp_kv_type_check(llm, type, err));
    if (page_count == 0 || page_count > TP_MAX_LLM_PAGES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "llm: a cache of %u pages; expected 1 to %u",
                       page_count, TP_MAX_LLM_PAGES);
    }
    const kv_layout layout = layout_of(llm, type);
    size_t size = 0;
    tp_kv *kv = tp_alloc_zero(env->alloc, sizeof(*kv));
    uint8_t *data = __builtin_mul_overflow(layout.page_bytes, page_count, &size)
                        ? NULL
                        : tp_alloc_aligned(env->alloc, size);
    if (kv == NULL || data == NULL) {
        tp_free(env->alloc, kv, sizeof(*kv));
        tp_free_aligned(env->alloc, data, size);
        return tp_fail_nomem(err);
    }
    *kv = (tp_kv){.alloc = env->alloc,
                  .llm = llm,
                  .type = type,
                  .page_count = page_count,
                  .layout = layout,
                  .data = data,
                  .size = size};
    *ret_kv = kv;
    return TAPEOUT_OK;
}

void tp_kv_free(tp_kv *kv)
{
    if (kv == NULL) {
        return;
    }
    tp_free_aligned(kv->alloc, kv->data, kv->size);
    tp_free(kv->alloc, kv, sizeof(*kv));
}

uint32_t tp_kv_page_count(const tp_kv *kv)
{
    return kv->page_count;
}

const tp_llm *tp_kv_llm(const tp_kv *kv)
{
    return kv->llm;
}

// The allocator's memory, so that a number may be read as what it is.
static void *keys_of(const tp_kv *kv, const kv_place *place)
{
    return kv->data + place->page * kv->layout.page_bytes + place->layer * kv->layout.layer_bytes +
           place->head * kv->layout.head_bytes;
}

static void *values_of(const tp_kv *kv, const kv_place *place)
{
    return (uint8_t *)keys_of(kv, place) + kv->layout.key_bytes;
}

// -- writing -------------------------------------------------------------------------------------

static void to_halves(const tp_kernels_float *kernels, const float *x, uint32_t count,
                      uint16_t *ret_halves)
{
    float bounded[TP_MAX_LLM_HEAD_SIZE];
    for (uint32_t i = 0; i < count; i++) {
        const float low = x[i] < -65504.0f ? -65504.0f : x[i];
        bounded[i] = low > 65504.0f ? 65504.0f : low;
    }
    kernels->float_to_half(bounded, count, ret_halves);
}

static void write_halves(tp_kv *kv, const tp_kernels_float *kernels, const kv_place *place,
                         uint32_t slot, const float *key_value[2])
{
    const uint32_t key_size = kv->llm->facts.key_size;
    const uint32_t value_size = kv->llm->facts.value_size;
    uint16_t halves[TP_MAX_LLM_HEAD_SIZE];
    to_halves(kernels, key_value[0], key_size, halves);
    uint16_t *keys = keys_of(kv, place);
    keys += (size_t)(slot / LANES) * key_size * LANES + slot % LANES;
    for (uint32_t i = 0; i < key_size; i++) {
        keys[(size_t)i * LANES] = halves[i];
    }
    uint16_t *values = values_of(kv, place);
    to_halves(kernels, key_value[1], value_size, values + (size_t)slot * value_size);
}

// 32 numbers to 8 bits, the codes `stride` bytes apart; the scale.
static uint16_t quantize_block(const float *x, int8_t *ret_codes, size_t stride)
{
    float most = 0;
    for (uint32_t i = 0; i < BLOCK; i++) {
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    }
    const uint16_t half = tp_float_to_half(most / 127.0f > 65504.0f ? 65504.0f : most / 127.0f);
    const float scale = tp_half_to_float(half);
    for (uint32_t i = 0; i < BLOCK; i++) {
        // A scale that was rounded down leaves quotients above 127.
        const float code = scale > 0 ? rintf(x[i] / scale) : 0;
        ret_codes[i * stride] = (int8_t)(code > 127 ? 127 : code < -127 ? -127 : code);
    }
    return half;
}

static void write_codes(tp_kv *kv, const kv_place *place, uint32_t slot, const float *key_value[2])
{
    const uint32_t key_blocks = kv->llm->facts.key_size / BLOCK;
    const uint32_t value_blocks = kv->llm->facts.value_size / BLOCK;
    key_block *keys = keys_of(kv, place);
    keys += (size_t)(slot / LANES) * key_blocks;
    for (uint32_t i = 0; i < key_blocks; i++) {
        keys[i].scales[slot % LANES] = quantize_block(key_value[0] + (size_t)i * BLOCK,
                                                      &keys[i].codes[0][slot % LANES], LANES);
    }
    value_block *values = values_of(kv, place);
    values += (size_t)slot * value_blocks;
    for (uint32_t i = 0; i < value_blocks; i++) {
        values[i].scale = quantize_block(key_value[1] + (size_t)i * BLOCK, values[i].codes, 1);
    }
}

void tp_kv_write(tp_kv *kv, const tp_kernels_float *kernels, const kv_place *place, uint32_t slot,
                 const float *key_value[2])
{
    assert(place->page < kv->page_count && slot < POSITIONS);
    if (kv->type == TP_KV_F16) {
        write_halves(kv, kernels, place, slot, key_value);
    } else {
        write_codes(kv, place, slot, key_value);
    }
}

// -- reading -------------------------------------------------------------------------------------

void tp_kv_read_keys(const tp_kv *kv, const tp_kernels_float *kernels, const kv_place *place,
                     uint32_t lanes, float *ret_keys)
{
    const uint32_t key_size = kv->llm->facts.key_size;
    if (kv->type == TP_KV_F16) {
        kernels->half_to_float(keys_of(kv, place), (size_t)lanes * key_size * LANES, ret_keys);
        return;
    }
    const key_block *keys = keys_of(kv, place);
    for (uint32_t b = 0; b < lanes * (key_size / BLOCK); b++) {
        float scales[LANES];
        for (uint32_t lane = 0; lane < LANES; lane++) {
            scales[lane] = tp_half_to_float(keys[b].scales[lane]);
        }
        for (uint32_t i = 0; i < BLOCK; i++) {
            for (uint32_t lane = 0; lane < LANES; lane++) {
                *ret_keys++ = scales[lane] * (float)keys[b].codes[i][lane];
            }
        }
    }
}

void tp_kv_read_values(const tp_kv *kv, const tp_kernels_float *kernels, const kv_place *place,
                       uint32_t positions, float *ret_values)
{
    const uint32_t value_size = kv->llm->facts.value_size;
    if (kv->type == TP_KV_F16) {
        kernels->half_to_float(values_of(kv, place), (size_t)positions * value_size, ret_values);
        return;
    }
    const value_block *values = values_of(kv, place);
    for (uint32_t b = 0; b < positions * (value_size / BLOCK); b++) {
        const float scale = tp_half_to_float(values[b].scale);
        for (uint32_t i = 0; i < BLOCK; i++) {
            *ret_values++ = scale * (float)values[b].codes[i];
        }
    }
}

// -- whole pages ---------------------------------------------------------------------------------

void tp_kv_clear(tp_kv *kv, uint32_t page, uint32_t slot)
{
    const tp_llm_facts *facts = &kv->llm->facts;
    if (slot == 0) {
        memset(kv->data + page * kv->layout.page_bytes, 0, kv->layout.page_bytes);
        return;
    }
    static const float zeros[TP_MAX_LLM_HEAD_SIZE];
    const float *key_value[2] = {zeros, zeros};
    tp_kernels_float kernels;
    tp_kernels_float_init(&kernels, 0);
    for (uint32_t layer = 0; layer < facts->layer_count; layer++) {
        for (uint32_t head = 0; head < facts->kv_head_count; head++) {
            const kv_place place = {page, layer, head};
            for (uint32_t i = slot; i < POSITIONS; i++) {
                tp_kv_write(kv, &kernels, &place, i, key_value);
            }
        }
    }
}

void tp_kv_copy(tp_kv *kv, uint32_t from, uint32_t to, uint32_t position_count)
{
    assert(from < kv->page_count && to < kv->page_count && position_count <= POSITIONS);
    memcpy(kv->data + to * kv->layout.page_bytes, kv->data + from * kv->layout.page_bytes,
           kv->layout.page_bytes);
    tp_kv_clear(kv, to, position_count);
}
