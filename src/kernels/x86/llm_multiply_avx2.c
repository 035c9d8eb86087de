// SPDX-License-Identifier: Apache-2.0
//
// Matrices of codes times activations with AVX2, a group of 16 rows at a time.
//
// One token: the weights are read once, in the order in which they lie, so memory is the limit;
// codes are taken apart in registers and multiplied at once. Many tokens: a panel of the group is
// taken apart into 16-bit weights, which stay in the first cache while tile after tile of four
// tokens is multiplied with them; activations of a run of tokens stay in the second. A tile has
// eight sums in registers: two vectors of weights and a broadcast pair of activations feed two
// multiplications a cycle.
#include "kernels/x86/llm_codes_avx2.h"

enum {
    ROWS = TP_MATRIX_GROUP,
    INPUTS = TP_MATRIX_BLOCK,
    TILE = 4,             // tokens
    PANEL_BLOCKS = 20,    // 20 KiB of weights
    RUN_TOKENS_MAX = 128, // whose sums are kept
    RUN_BLOCKS = 3072,    // activations of a run: 240 KiB
    FETCH_AHEAD = 2048,   // bytes: over the end of a page, where the processor's own fetching stops
    LINE = 64,
    AHEAD_LINES = 3
};

// What a block adds to the sums of eight rows, in the order that kernels/tp_kernels_llm.h gives.
LLM_INLINE __m256 add_scaled(__m256 acc, __m256i sum, __m256 scale, float x_scale)
{
    const __m256 both = _mm256_mul_ps(scale, _mm256_set1_ps(x_scale));
    return _mm256_add_ps(acc, _mm256_mul_ps(_mm256_cvtepi32_ps(sum), both));
}

LLM_INLINE __m256 add_min(__m256 acc, __m256 min, float x_sum)
{
    return _mm256_add_ps(acc, _mm256_mul_ps(min, _mm256_set1_ps(x_sum)));
}

// -- one token -----------------------------------------------------------------------------------

LLM_INLINE void add_block(llm_form form, const llm_scales *w, llm_take *take, const tp_q16_block *x,
                          __m256 *acc)
{
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        if (!llm_has_halves(form.scale)) {
            __m256i sum = _mm256_add_epi32(take->sums[0][h], take->sums[1][h]);
            if (form.bias != 0) {
                const int32_t bias = form.bias * (x->sums[0] + x->sums[1]);
                sum = _mm256_sub_epi32(sum, _mm256_set1_epi32(bias));
            }
            acc[h] = add_scaled(acc[h], sum, w->scales[0][h], x->scale);
            if (llm_has_min(form.scale)) {
                acc[h] = add_min(acc[h], w->mins[0][h], x->scaled_sum);
            }
            continue;
        }
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            const __m256i bias = _mm256_set1_epi32(form.bias * x->sums[half]);
            const __m256i sum = _mm256_sub_epi32(take->sums[half][h], bias);
            acc[h] = add_scaled(acc[h], sum, w->scales[half][h], x->scale);
            if (llm_has_min(form.scale)) {
                acc[h] = add_min(acc[h], w->mins[half][h], x->scale * (float)x->sums[half]);
            }
        }
    }
}

// What is multiplied soon. It may lie behind the matrix's end, which a fetch does not mind.
LLM_INLINE void fetch(const uint8_t *data, size_t size)
{
    const uintptr_t begin = (uintptr_t)data + FETCH_AHEAD;
#pragma GCC unroll 16
    for (size_t i = 0; i < size; i += LINE) {
        _mm_prefetch((const void *)(begin + i), _MM_HINT_T0);
    }
}

LLM_INLINE void multiply_one(tp_matrix_kind kind, const uint8_t *group, uint32_t cols,
                             const tp_q16_block *x, float *ret)
{
    const llm_form form = llm_forms[kind];
    const llm_shape shape = llm_shape_of(kind);
    __m256 acc[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    const uint8_t *at = group;
    for (uint32_t input = 0; input < cols; input += shape.parts * INPUTS) {
        const uint8_t *shared = at;
        at += shape.shared_bytes;
        for (uint32_t part = 0; part < shape.parts; part++) {
            llm_take take = {.q = x->q};
            llm_scales w;
            fetch(at, shape.scale_bytes + shape.code_bytes);
            memset(take.sums, 0, sizeof(take.sums));
            llm_take_codes(form.code, at + shape.scale_bytes, &take);
            llm_take_scales(form.scale, shared, at, &w);
            add_block(form, &w, &take, x, acc);
            at += shape.scale_bytes + shape.code_bytes;
            x++;
        }
    }
    _mm256_storeu_ps(ret, acc[0]);
    _mm256_storeu_ps(ret + 8, acc[1]);
}

// -- many tokens ---------------------------------------------------------------------------------

// Some blocks of a group, taken apart.
typedef struct panel {
    uint32_t begin;       // the first block
    uint32_t count;       // at most PANEL_BLOCKS
    float *y;             // of the run's first token and the group's first row
    const uint8_t *ahead; // what is taken apart after this, and how many tiles but one fetch it
    uint32_t ahead_tiles;
    _Alignas(64) int16_t weights[PANEL_BLOCKS][LLM_PAIRS][ROWS][2];
    float scales[PANEL_BLOCKS][2][ROWS]; // of either half of the block, or in the first of both
    float mins[PANEL_BLOCKS][2][ROWS];
} panel;

LLM_INLINE void take_panel(tp_matrix_kind kind, const uint8_t *group, panel *ret)
{
    const llm_form form = llm_forms[kind];
    const llm_shape shape = llm_shape_of(kind);
    const size_t part_bytes = shape.scale_bytes + shape.code_bytes;
    const size_t block_bytes = shape.shared_bytes + shape.parts * part_bytes;
    for (uint32_t i = 0; i < ret->count; i++) {
        const uint32_t block = ret->begin + i;
        const uint8_t *shared = group + block / shape.parts * block_bytes;
        const uint8_t *at = shared + shape.shared_bytes + block % shape.parts * part_bytes;
        llm_take take = {.weights = &ret->weights[i][0][0][0],
                         .bias = _mm256_set1_epi16((int16_t)form.bias)};
        llm_scales w;
        llm_take_codes(form.code, at + shape.scale_bytes, &take);
        llm_take_scales(form.scale, shared, at, &w);
#pragma GCC unroll 2
        for (int half = 0; half < 1 + llm_has_halves(form.scale); half++) {
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++) {
                _mm256_storeu_ps(&ret->scales[i][half][8 * h], w.scales[half][h]);
                if (llm_has_min(form.scale)) {
                    _mm256_storeu_ps(&ret->mins[i][half][8 * h], w.mins[half][h]);
                }
            }
        }
    }
    ret->ahead = group + (ret->begin + ret->count) / shape.parts * block_bytes;
    ret->ahead_tiles = (uint32_t)(block_bytes / shape.parts / (AHEAD_LINES * LINE));
}

// A panel times up to TILE tokens.
typedef struct tile {
    const panel *w;
    const tp_q16_block *x[TILE];
    float (*sums)[ROWS];  // [tokens], added to
    const uint8_t *ahead; // AHEAD_LINES of it are fetched with each block
} tile;

enum { WHOLE = -1 }; // not one half of a block

typedef struct tile_sums {
    __m256i of[TILE][2];
} tile_sums;

// The pairs of a block, or those of one half of it.
LLM_INLINE void sum_pairs(const tile *job, size_t block, int tokens, int half, tile_sums *ret)
{
    const int begin = half == WHOLE ? 0 : half * LLM_PAIRS / 2;
    const int end = half == WHOLE ? LLM_PAIRS : begin + LLM_PAIRS / 2;
    __m256i sums[TILE][2];
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) {
        sums[t][0] = _mm256_setzero_si256();
        sums[t][1] = _mm256_setzero_si256();
    }
#pragma GCC unroll 16
    for (int pair = begin; pair < end; pair++) {
        const __m256i low = llm_load(job->w->weights[block][pair]);
        const __m256i high = llm_load(job->w->weights[block][pair] + 8);
#pragma GCC unroll 4
        for (int t = 0; t < tokens; t++) {
            int32_t both = 0;
            memcpy(&both, job->x[t][block].q + (size_t)pair * 2, sizeof(both));
            const __m256i q = _mm256_set1_epi32(both);
            sums[t][0] = _mm256_add_epi32(sums[t][0], _mm256_madd_epi16(low, q));
            sums[t][1] = _mm256_add_epi32(sums[t][1], _mm256_madd_epi16(high, q));
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) {
        ret->of[t][0] = sums[t][0];
        ret->of[t][1] = sums[t][1];
    }
}

LLM_INLINE void multiply_tile(bool has_halves, bool has_min, const tile *job, int tokens)
{
    const int halves = has_halves ? 2 : 1;
    __m256 acc[TILE][2];
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) {
        acc[t][0] = _mm256_loadu_ps(job->sums[t]);
        acc[t][1] = _mm256_loadu_ps(job->sums[t] + 8);
    }
    for (size_t i = 0; i < job->w->count; i++) {
#pragma GCC unroll 3
        for (size_t line = 0; line < AHEAD_LINES; line++) {
            _mm_prefetch((const void *)(job->ahead + (i * AHEAD_LINES + line) * LINE), _MM_HINT_T0);
        }
#pragma GCC unroll 2
        for (int half = 0; half < halves; half++) {
            tile_sums sums;
            sum_pairs(job, i, tokens, has_halves ? half : WHOLE, &sums);
#pragma GCC unroll 4
            for (int t = 0; t < tokens; t++) {
                const tp_q16_block *x = &job->x[t][i];
                const float x_sum = has_halves ? x->scale * (float)x->sums[half] : x->scaled_sum;
#pragma GCC unroll 2
                for (int h = 0; h < 2; h++) {
                    const __m256 scale = _mm256_loadu_ps(&job->w->scales[i][half][8 * h]);
                    acc[t][h] = add_scaled(acc[t][h], sums.of[t][h], scale, x->scale);
                    if (has_min) {
                        acc[t][h] = add_min(acc[t][h],
                                            _mm256_loadu_ps(&job->w->mins[i][half][8 * h]), x_sum);
                    }
                }
            }
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) {
        _mm256_storeu_ps(job->sums[t], acc[t][0]);
        _mm256_storeu_ps(job->sums[t] + 8, acc[t][1]);
    }
}

LLM_INLINE void multiply_tokens(bool has_halves, bool has_min, const tile *job, uint32_t tokens)
{
    switch (tokens) {
    case 1:
        multiply_tile(has_halves, has_min, job, 1);
        break;
    case 2:
        multiply_tile(has_halves, has_min, job, 2);
        break;
    case 3:
        multiply_tile(has_halves, has_min, job, 3);
        break;
    default:
        multiply_tile(has_halves, has_min, job, TILE);
        break;
    }
}

static __attribute__((noinline)) void tile_plain(const tile *job, uint32_t tokens)
{
    multiply_tokens(false, false, job, tokens);
}

static __attribute__((noinline)) void tile_min(const tile *job, uint32_t tokens)
{
    multiply_tokens(false, true, job, tokens);
}

static __attribute__((noinline)) void tile_halves(const tile *job, uint32_t tokens)
{
    multiply_tokens(true, false, job, tokens);
}

static __attribute__((noinline)) void tile_halves_min(const tile *job, uint32_t tokens)
{
    multiply_tokens(true, true, job, tokens);
}

// A run of tokens.
typedef struct token_run {
    const tp_matrix_product *product;
    uint32_t begin;
    uint32_t count; // at most RUN_TOKENS_MAX
} token_run;

static void multiply_panel(llm_scale_form form, const panel *w, const token_run *run,
                           float (*sums)[ROWS])
{
    static void (*const tiles[2][2])(const tile *, uint32_t) = {{tile_plain, tile_min},
                                                                {tile_halves, tile_halves_min}};
    const tp_matrix_product *product = run->product;
    for (uint32_t i = 0; i < run->count; i += TILE) {
        const uint32_t tokens = run->count - i < TILE ? run->count - i : TILE;
        // Once all of it is fetched, the last lines are fetched again, which costs next to nothing.
        const size_t tile_index = i / TILE < w->ahead_tiles ? i / TILE : w->ahead_tiles;
        tile job = {.w = w,
                    .sums = sums + i,
                    .ahead = w->ahead + tile_index * w->count * AHEAD_LINES * LINE};
        for (uint32_t t = 0; t < tokens; t++) {
            const size_t token = llm_token_of(product, run->begin + i + t);
            job.x[t] = product->blocks + token * product->block_stride + w->begin;
            // Rows of y are far apart: fetched now, they are there when the sums are written.
            __builtin_prefetch(w->y + (i + t) * product->y_stride, 1);
        }
        tiles[llm_has_halves(form)][llm_has_min(form)](&job, tokens);
    }
}

// A group of rows times a run of tokens.
LLM_INLINE void multiply_run(tp_matrix_kind kind, const uint8_t *group, const token_run *run,
                             float *y, float (*ret)[ROWS])
{
    const uint32_t blocks = run->product->matrix->cols / INPUTS;
    const uint32_t panels = (blocks + PANEL_BLOCKS - 1) / PANEL_BLOCKS;
    memset(ret, 0, sizeof(*ret) * run->count);
    panel w;
    w.y = y;
    for (uint32_t p = 0; p < panels; p++) {
        w.begin = (uint32_t)((uint64_t)blocks * p / panels);
        w.count = (uint32_t)((uint64_t)blocks * (p + 1) / panels) - w.begin;
        take_panel(kind, group, &w);
        multiply_panel(llm_forms[kind].scale, &w, run, ret);
    }
}

// -- rows ----------------------------------------------------------------------------------------

static uint32_t run_tokens(const tp_matrix_product *product)
{
    const uint32_t fit = RUN_BLOCKS / (product->matrix->cols / INPUTS) / TILE * TILE;
    return fit < 4 * TILE ? 4 * TILE : fit > RUN_TOKENS_MAX ? RUN_TOKENS_MAX : fit;
}

// The whole group has a size that the compiler knows: a copy of any size starts slowly.
LLM_INLINE void store_sums(float *y, const float *sums, uint32_t rows)
{
    if (rows == ROWS) {
        memcpy(y, sums, ROWS * sizeof(float));
    } else {
        memcpy(y, sums, rows * sizeof(float));
    }
}

LLM_INLINE void multiply_rows(tp_matrix_kind kind, const token_run *run)
{
    const tp_matrix_product *product = run->product;
    const tp_matrix *matrix = product->matrix;
    const size_t group_bytes = tp_matrix_group_bytes(matrix);
    const tp_q16_block *first =
        product->blocks + llm_token_of(product, run->begin) * product->block_stride;
    _Alignas(64) float sums[RUN_TOKENS_MAX][ROWS];
    for (uint32_t row = product->row_begin; row < product->row_end; row += ROWS) {
        const uint8_t *group = matrix->data + row / ROWS * group_bytes;
        const uint32_t rows = product->row_end - row < ROWS ? product->row_end - row : ROWS;
        float *y = product->y + run->begin * product->y_stride + row;
        if (run->count == 1) {
            multiply_one(kind, group, matrix->cols, first, sums[0]);
        } else {
            multiply_run(kind, group, run, y, sums);
        }
        for (uint32_t t = 0; t < run->count; t++) {
            store_sums(y + t * product->y_stride, sums[t], rows);
        }
    }
}

static void multiply_kind(tp_matrix_kind kind, const token_run *run)
{
    switch (kind) {
    case TP_MATRIX_Q4_0:
        multiply_rows(TP_MATRIX_Q4_0, run);
        break;
    case TP_MATRIX_Q4_1:
        multiply_rows(TP_MATRIX_Q4_1, run);
        break;
    case TP_MATRIX_Q5_0:
        multiply_rows(TP_MATRIX_Q5_0, run);
        break;
    case TP_MATRIX_Q5_1:
        multiply_rows(TP_MATRIX_Q5_1, run);
        break;
    case TP_MATRIX_Q8_0:
        multiply_rows(TP_MATRIX_Q8_0, run);
        break;
    case TP_MATRIX_Q4_K:
        multiply_rows(TP_MATRIX_Q4_K, run);
        break;
    case TP_MATRIX_Q5_K:
        multiply_rows(TP_MATRIX_Q5_K, run);
        break;
    case TP_MATRIX_Q6_K:
        multiply_rows(TP_MATRIX_Q6_K, run);
        break;
    case TP_MATRIX_WIDE:
        multiply_rows(TP_MATRIX_WIDE, run);
        break;
    case TP_MATRIX_F32:
    case TP_MATRIX_F16:
    case TP_MATRIX_BF16:
    case TP_MATRIX_KIND_COUNT:
        break;
    }
}

void tp_multiply_blocks_avx2(const tp_matrix_product *product)
{
    const uint32_t most = run_tokens(product);
    for (uint32_t token = 0; token < product->token_count; token += most) {
        const uint32_t left = product->token_count - token;
        const token_run run = {product, token, left < most ? left : most};
        multiply_kind(product->matrix->kind, &run);
    }
}
