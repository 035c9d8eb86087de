// SPDX-License-Identifier: Apache-2.0
//
// Random numbers that come from (seed, stream, position) alone: no state to share, so any thread
// may ask for the n-th number and gets the same bits. The mixing function is SplitMix64's finaliser
// (Steele, Lea and Flood, 2014) over a Weyl sequence; not for secrets.
#ifndef TP_RANDOM_H
#define TP_RANDOM_H

#include <stddef.h>
#include <stdint.h>

uint64_t tp_random_u64(uint64_t seed, uint64_t stream, uint64_t position);

// In [0, 1), a multiple of 2^-53.
double tp_random_f64(uint64_t seed, uint64_t stream, uint64_t position);

// In [0, bound), without bias that matters (multiply-shift on 64 bits); 0 for bound 0.
uint64_t tp_random_below(uint64_t seed, uint64_t stream, uint64_t position, uint64_t bound);

// Fisher-Yates over `count` items.
void tp_random_shuffle_u32(uint64_t seed, uint64_t stream, uint32_t *items, size_t count);

#endif
