// SPDX-License-Identifier: Apache-2.0
//
// Counter-based random numbers: SplitMix64's finaliser over seed, stream and position. The n-th
// number of a stream is SplitMix64's n-th output from a state that seed and stream give.
#include "base/tp_random.h"

static const uint64_t WEYL = 0x9e3779b97f4a7c15u; // 2^64 / golden ratio, odd

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t tp_random_u64(uint64_t seed, uint64_t stream, uint64_t position)
{
    const uint64_t start = mix(mix(seed + WEYL) + (stream + 1) * WEYL);
    return mix(start + (position + 1) * WEYL);
}

double tp_random_f64(uint64_t seed, uint64_t stream, uint64_t position)
{
    return (double)(tp_random_u64(seed, stream, position) >> 11) * 0x1p-53;
}

// The upper half of the 128-bit product, by 32-bit halves: the same on machines without it.
static uint64_t multiply_high(uint64_t a, uint64_t b)
{
    const uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX);
    const uint64_t middle = (a >> 32) * (b & UINT32_MAX) + (low >> 32);
    const uint64_t middle_2 = (a & UINT32_MAX) * (b >> 32) + (middle & UINT32_MAX);
    return (a >> 32) * (b >> 32) + (middle >> 32) + (middle_2 >> 32);
}

uint64_t tp_random_below(uint64_t seed, uint64_t stream, uint64_t position, uint64_t bound)
{
    return multiply_high(tp_random_u64(seed, stream, position), bound);
}

void tp_random_shuffle_u32(uint64_t seed, uint64_t stream, uint32_t *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        const size_t j = (size_t)tp_random_below(seed, stream, i, i);
        const uint32_t item = items[i - 1];
        items[i - 1] = items[j];
        items[j] = item;
    }
}
