// SPDX-License-Identifier: Apache-2.0
//
// Texts that were changed: bits, bytes, pieces left out, doubled, swapped, taken from another one.
// The same in every run, by their number.
#ifndef MUTANT_H
#define MUTANT_H

#include "base/tp_str.h"

typedef struct mutant {
    char *data;
    size_t size;
    uint64_t round;
    uint64_t draw;
} mutant;

size_t mutant_draw(mutant *self, size_t bound);
// One change; `donor` is another good one to take bytes from. `data` has room for 40 bytes more.
void mutant_change(mutant *self, tp_str donor);

#endif
