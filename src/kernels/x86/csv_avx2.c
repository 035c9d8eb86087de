// SPDX-License-Identifier: Apache-2.0
//
// The structure of CSV text, 64 bytes at a time (AVX2, BMI1).
//
// Each byte that matters becomes a bit of a 64-bit mask. The bytes inside quotes are those with an
// odd number of quotes before them: a running exclusive-or over the mask of quotes, which most
// stretches of most files have none of. The idea is that of Langdale and Lemire, "Parsing gigabytes
// of JSON per second" (2019).
#include "kernels/tp_kernels_table.h"

#include <immintrin.h>
#include <string.h>

enum { BLOCK = 64 };

typedef struct block {
    __m256i low;
    __m256i high;
} block;

static inline block load(const uint8_t *data)
{
    return (block){_mm256_loadu_si256((const __m256i *)data),
                   _mm256_loadu_si256((const __m256i *)(data + 32))};
}

static inline uint64_t mask_of(block bytes, __m256i wanted)
{
    const int low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes.low, wanted));
    const int high = _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes.high, wanted));
    return (uint32_t)low | (uint64_t)(uint32_t)high << 32;
}

// Bit i: the exclusive-or of bits 0 … i.
static inline uint64_t running_xor(uint64_t bits)
{
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    return bits ^ bits << 32;
}

// Bytes inside quotes as a mask; `*inside` is all ones or zero before and after the block.
static inline uint64_t inside_mask(uint64_t quotes, uint64_t *inside)
{
    if (quotes == 0) {
        return *inside;
    }
    const uint64_t mask = running_xor(quotes) ^ *inside;
    *inside = (uint64_t)((int64_t)mask >> 63);
    return mask;
}

// -- counting ------------------------------------------------------------------------------------

typedef struct count_state {
    uint64_t inside;
    uint64_t feeds;   // of the block before
    uint64_t returns; // of the block before
} count_state;

static inline void count_block(block bytes, size_t offset, count_state *s, tp_csv_marks *marks)
{
    const uint64_t feeds = mask_of(bytes, _mm256_set1_epi8('\n'));
    const uint64_t returns = mask_of(bytes, _mm256_set1_epi8('\r'));
    const uint64_t quotes = mask_of(bytes, _mm256_set1_epi8('"'));
    const uint64_t outside = feeds & ~inside_mask(quotes, &s->inside);
    if (outside != 0) {
        const uint64_t feed_before = feeds << 1 | s->feeds >> 63;
        const uint64_t feed_two_before = feeds << 2 | s->feeds >> 62;
        const uint64_t return_before = returns << 1 | s->returns >> 63;
        const uint64_t blank = outside & (feed_before | (return_before & feed_two_before));
        marks->newline_count += (uint64_t)__builtin_popcountll(outside);
        marks->blank_count += (uint64_t)__builtin_popcountll(blank);
        marks->last_end = offset + BLOCK - (size_t)__builtin_clzll(outside);
    }
    s->feeds = feeds;
    s->returns = returns;
}

void tp_csv_count_avx2(const uint8_t *data, size_t size, tp_csv_marks *marks)
{
    count_state s = {.inside = marks->is_inside ? UINT64_MAX : 0};
    if (size != 0) {
        s.feeds = (uint64_t)(data[-1] == '\n') << 63 | (uint64_t)(data[-2] == '\n') << 62;
        s.returns = (uint64_t)(data[-1] == '\r') << 63;
    }
    size_t i = 0;
    for (; size - i >= BLOCK; i += BLOCK) {
        count_block(load(data + i), i, &s, marks);
    }
    if (i < size) {
        uint8_t tail[BLOCK] = {0};
        memcpy(tail, data + i, size - i);
        count_block(load(tail), i, &s, marks);
    }
    marks->is_inside = s.inside != 0;
}

// -- indexing ------------------------------------------------------------------------------------

// Delimiters and line feeds outside quotes.
static inline uint64_t index_block(block bytes, __m256i delimiter, uint64_t *inside,
                                   uint64_t *all_quotes, __m256i *all_returns)
{
    const __m256i carriage = _mm256_set1_epi8('\r');
    *all_returns =
        _mm256_or_si256(*all_returns, _mm256_or_si256(_mm256_cmpeq_epi8(bytes.low, carriage),
                                                      _mm256_cmpeq_epi8(bytes.high, carriage)));
    const uint64_t quotes = mask_of(bytes, _mm256_set1_epi8('"'));
    *all_quotes |= quotes;
    const uint64_t outside = ~inside_mask(quotes, inside);
    return (mask_of(bytes, delimiter) | mask_of(bytes, _mm256_set1_epi8('\n'))) & outside;
}

// Eight at a time without looking, which is why there is slack behind the positions.
static inline size_t write_positions(uint64_t marks, uint32_t base, uint32_t *positions)
{
    const size_t count = (size_t)__builtin_popcountll(marks);
    for (size_t done = 0; done < count; done += 8) {
        for (size_t i = 0; i < 8; i++) {
            positions[done + i] = base + (uint32_t)_tzcnt_u64(marks);
            marks = _blsr_u64(marks);
        }
    }
    return count;
}

size_t tp_csv_index_avx2(const uint8_t *data, size_t size, tp_csv_index_state *state,
                         uint32_t *ret_positions)
{
    const __m256i wanted = _mm256_set1_epi8(state->delimiter);
    uint64_t inside = state->is_inside ? UINT64_MAX : 0;
    uint64_t quotes = 0;
    __m256i returns = _mm256_setzero_si256();
    size_t count = 0;
    size_t i = 0;
    for (; size - i >= BLOCK; i += BLOCK) {
        const uint64_t marks = index_block(load(data + i), wanted, &inside, &quotes, &returns);
        count += write_positions(marks, state->base + (uint32_t)i, ret_positions + count);
    }
    if (i < size) {
        uint8_t tail[BLOCK];
        memset(tail, state->delimiter == 0 ? 1 : 0, sizeof tail);
        memcpy(tail, data + i, size - i);
        const uint64_t marks = index_block(load(tail), wanted, &inside, &quotes, &returns);
        count += write_positions(marks, state->base + (uint32_t)i, ret_positions + count);
    }
    state->is_inside = inside != 0;
    state->has_quote |= quotes != 0;
    state->has_return |= _mm256_movemask_epi8(returns) != 0;
    return count;
}
