// SPDX-License-Identifier: Apache-2.0
//
// The hot loops of boosted trees with AVX2.
//
// Leaves are found without branches: every node of a tree is evaluated for 32 rows at a time, bytes
// compared with a byte, and the result of a node is that of one of its children, chosen by the
// comparison. That is some five instructions a node and 32 rows, so all the nodes of a tree of 63
// leaves cost less than the few that a walk with its dependent loads would visit.
#include "kernels/gbt_kernels_priv.h"

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

enum { ROWS = 32 }; // of a vector

// -- histograms ----------------------------------------------------------------------------------

// Eight bins in one load, a packed sum each.
static inline void add_eight(uint64_t bins, uint64_t packed, uint64_t *hist)
{
    hist[0 * TP_GBT_BIN_SLOTS + (bins & 0xff)] += packed;
    hist[1 * TP_GBT_BIN_SLOTS + (bins >> 8 & 0xff)] += packed;
    hist[2 * TP_GBT_BIN_SLOTS + (bins >> 16 & 0xff)] += packed;
    hist[3 * TP_GBT_BIN_SLOTS + (bins >> 24 & 0xff)] += packed;
    hist[4 * TP_GBT_BIN_SLOTS + (bins >> 32 & 0xff)] += packed;
    hist[5 * TP_GBT_BIN_SLOTS + (bins >> 40 & 0xff)] += packed;
    hist[6 * TP_GBT_BIN_SLOTS + (bins >> 48 & 0xff)] += packed;
    hist[7 * TP_GBT_BIN_SLOTS + (bins >> 56)] += packed;
}

static inline void add_four(uint32_t bins, uint64_t packed, uint64_t *hist)
{
    hist[0 * TP_GBT_BIN_SLOTS + (bins & 0xff)] += packed;
    hist[1 * TP_GBT_BIN_SLOTS + (bins >> 8 & 0xff)] += packed;
    hist[2 * TP_GBT_BIN_SLOTS + (bins >> 16 & 0xff)] += packed;
    hist[3 * TP_GBT_BIN_SLOTS + (bins >> 24)] += packed;
}

static void hist_narrow_avx2(const tp_gbt_rows *rows, uint32_t features, uint64_t *hist)
{
    enum { AHEAD = 16 }; // rows whose bins are asked for before they are needed
    const size_t last = rows->count - 1;
    for (size_t i = 0; i < rows->count; i++) {
        const size_t next = i + AHEAD < last ? i + AHEAD : last;
        _mm_prefetch((const char *)rows->cells + (rows->entries[next] & UINT32_MAX) * rows->stride,
                     _MM_HINT_T0);
        const uint64_t entry = rows->entries[i];
        const uint8_t *cells = rows->cells + (entry & UINT32_MAX) * rows->stride;
        const uint64_t packed = tp_gbt_entry_packed(entry);
        uint32_t f = 0;
        for (; f + 8 <= features; f += 8) {
            uint64_t bins;
            memcpy(&bins, cells + f, sizeof(bins));
            add_eight(bins, packed, hist + (size_t)f * TP_GBT_BIN_SLOTS);
        }
        if (f + 4 <= features) {
            uint32_t bins;
            memcpy(&bins, cells + f, sizeof(bins));
            add_four(bins, packed, hist + (size_t)f * TP_GBT_BIN_SLOTS);
            f += 4;
        }
        for (; f < features; f++) {
            hist[(size_t)f * TP_GBT_BIN_SLOTS + cells[f]] += packed;
        }
    }
}

static void hist_wide_avx2(const tp_gbt_rows *rows, uint32_t features, tp_gbt_sum *hist)
{
    for (size_t i = 0; i < rows->count; i++) {
        const size_t row = rows->entries[i] & UINT32_MAX;
        const uint8_t *cells = rows->cells + row * rows->stride;
        const __m128i both = _mm_loadl_epi64((const void *)&rows->fine[row]);
        const __m128i wide = _mm_cvtepi32_epi64(both);
        for (uint32_t f = 0; f < features; f++) {
            __m128i *sum = (void *)&hist[(size_t)f * TP_GBT_BIN_SLOTS + cells[f]];
            _mm_storeu_si128(sum, _mm_add_epi64(_mm_loadu_si128(sum), wide));
        }
    }
}

// -- codes ---------------------------------------------------------------------------------------

// How many of 16 bounds lie below x.
static inline uint32_t count_below(const double *bounds, __m256d x)
{
    const __m256d a = _mm256_cmp_pd(_mm256_loadu_pd(bounds), x, _CMP_LT_OQ);
    const __m256d b = _mm256_cmp_pd(_mm256_loadu_pd(bounds + 4), x, _CMP_LT_OQ);
    const __m256d c = _mm256_cmp_pd(_mm256_loadu_pd(bounds + 8), x, _CMP_LT_OQ);
    const __m256d d = _mm256_cmp_pd(_mm256_loadu_pd(bounds + 12), x, _CMP_LT_OQ);
    const __m256i ab = _mm256_packs_epi32(_mm256_castpd_si256(a), _mm256_castpd_si256(b));
    const __m256i cd = _mm256_packs_epi32(_mm256_castpd_si256(c), _mm256_castpd_si256(d));
    // Each comparison has become two lanes of 16 bits, then one byte pair.
    const uint32_t mask = (uint32_t)_mm256_movemask_epi8(_mm256_packs_epi16(ab, cd));
    return (uint32_t)__builtin_popcount(mask) / 2;
}

// Two steps of 16: which block of 16 bounds, then which of them.
static void bin_values_avx2(const tp_gbt_bin_job *job)
{
    enum { FEW = 64 };
    if (job->count < FEW) {
        tp_gbt_bin_values_ref(job);
        return;
    }
    double bounds[TP_GBT_BIN_SLOTS];
    double pivots[16];
    for (uint32_t i = 0; i < TP_GBT_BIN_SLOTS; i++) {
        bounds[i] = i < job->bound_count ? job->bounds[i] : __builtin_inf();
    }
    for (uint32_t i = 0; i < 16; i++) {
        pivots[i] = bounds[16 * i + 15];
    }
    for (size_t i = 0; i < job->count; i++) {
        const double value = job->values[i];
        const __m256d x = _mm256_set1_pd(value);
        // Not above 15, since the last pivot is infinite with at most 255 bounds.
        const uint32_t block = count_below(pivots, x);
        const uint32_t bin = 16 * block + count_below(bounds + (size_t)16 * block, x);
        job->ret_bins[i * job->stride] = value != value ? job->missing : (uint8_t)bin;
    }
}

// -- leaves --------------------------------------------------------------------------------------

// What a node yields where its comparison picks a side: a leaf, the same for every row, or what one
// of its children has left in a slot.
typedef struct operand {
    bool is_leaf;
    uint8_t leaf;
    const uint8_t *slot;
} operand;

static operand operand_of(uint16_t number, const tp_gbt_code_block *block)
{
    if (number >= TP_GBT_SLOT_BASE) {
        const size_t slot = number - TP_GBT_SLOT_BASE;
        return (operand){.slot = block->slots + slot * block->stride};
    }
    return (operand){.is_leaf = true, .leaf = (uint8_t)number};
}

static inline __m256i operand_rows(operand from, size_t i)
{
    return from.is_leaf ? _mm256_set1_epi8((char)from.leaf)
                        : _mm256_loadu_si256((const void *)(from.slot + i));
}

// Inlined for each of the four kinds of node, so that leaves stay in registers.
__attribute__((always_inline)) static inline void
choose(const tp_gbt_code_op *op, const tp_gbt_code_block *block, operand left, operand right)
{
    const uint8_t *codes = block->codes + op->column * block->stride;
    uint8_t *result = block->slots + op->result * block->stride;
    const size_t count = block->count;
    const __m256i limit = _mm256_set1_epi8((char)op->limit);
#pragma GCC unroll 4
    for (size_t i = 0; i < count; i += ROWS) {
        const __m256i code = _mm256_loadu_si256((const void *)(codes + i));
        const __m256i is_left = _mm256_cmpeq_epi8(_mm256_min_epu8(code, limit), code);
        const __m256i l = operand_rows(left, i);
        const __m256i r = operand_rows(right, i);
        _mm256_storeu_si256((void *)(result + i), _mm256_blendv_epi8(r, l, is_left));
    }
}

static void choose_numeric(const tp_gbt_code_op *op, const tp_gbt_code_block *block, operand left,
                           operand right)
{
    if (left.is_leaf && right.is_leaf) {
        choose(op, block, (operand){.is_leaf = true, .leaf = left.leaf},
               (operand){.is_leaf = true, .leaf = right.leaf});
    } else if (left.is_leaf) {
        choose(op, block, (operand){.is_leaf = true, .leaf = left.leaf},
               (operand){.slot = right.slot});
    } else if (right.is_leaf) {
        choose(op, block, (operand){.slot = left.slot},
               (operand){.is_leaf = true, .leaf = right.leaf});
    } else {
        choose(op, block, (operand){.slot = left.slot}, (operand){.slot = right.slot});
    }
}

static void choose_category(const tp_gbt_code_op *op, const tp_gbt_code_block *block, operand left,
                            operand right, const uint8_t *set)
{
    const uint8_t *codes = block->codes + op->column * block->stride;
    uint8_t *result = block->slots + op->result * block->stride;
    const __m256i low = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)set));
    const __m256i high = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)(set + 16)));
    const __m256i bits = _mm256_set1_epi64x((long long)0x8040201008040201);
    for (size_t i = 0; i < block->count; i += ROWS) {
        const __m256i code = _mm256_loadu_si256((const void *)(codes + i));
        const __m256i byte = _mm256_and_si256(_mm256_srli_epi16(code, 3), _mm256_set1_epi8(31));
        const __m256i bit = _mm256_shuffle_epi8(bits, _mm256_and_si256(code, _mm256_set1_epi8(7)));
        // Bit 4 of the byte's number, moved to bit 7, says which half of the set holds it.
        const __m256i word =
            _mm256_blendv_epi8(_mm256_shuffle_epi8(low, byte), _mm256_shuffle_epi8(high, byte),
                               _mm256_slli_epi16(byte, 3));
        const __m256i is_left = _mm256_cmpeq_epi8(_mm256_and_si256(word, bit), bit);
        const __m256i l = operand_rows(left, i);
        const __m256i r = operand_rows(right, i);
        _mm256_storeu_si256((void *)(result + i), _mm256_blendv_epi8(r, l, is_left));
    }
}

static void find_leaves_avx2(const tp_gbt_code_tree *tree, const tp_gbt_code_block *block,
                             uint8_t *ret_leaves)
{
    for (uint32_t i = 0; i < tree->node_count; i++) {
        const tp_gbt_code_op *op = &tree->ops[i];
        const operand left = operand_of(op->left, block);
        const operand right = operand_of(op->right, block);
        if (op->is_category) {
            choose_category(op, block, left, right, tree->sets + (size_t)op->set * 32);
        } else {
            choose_numeric(op, block, left, right);
        }
    }
    memcpy(ret_leaves, block->slots, block->count);
}

void tp_kernels_gbt_init_avx2(tp_kernels_gbt *kernels)
{
    kernels->hist_narrow = hist_narrow_avx2;
    kernels->hist_wide = hist_wide_avx2;
    kernels->bin_values = bin_values_avx2;
    kernels->find_leaves = find_leaves_avx2;
    kernels->find_leaves_min = 16;
}
