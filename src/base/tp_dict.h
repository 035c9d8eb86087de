// SPDX-License-Identifier: Apache-2.0
//
// Strings to dense numbers in order of first appearance: column dictionaries, categories, names.
// Open addressing over 64-bit hashes; the bytes live one after another in one buffer with 32-bit
// offsets, which is Arrow's layout of a string array, so a dictionary leaves the process as it is.
#ifndef TP_DICT_H
#define TP_DICT_H

#include "base/tp_str.h"

#include <tapeout/context.h>

typedef struct tp_dict {
    const tapeout_allocator *alloc;
    char *bytes;
    size_t bytes_capacity;
    int32_t *offsets; // [count + 1]; offsets[0] = 0
    size_t offsets_capacity;
    uint32_t count;
    uint32_t slot_count; // a power of two, or 0 while empty
    uint32_t *slots;     // index + 1; 0 is free
    uint32_t *hashes;    // [slot_count] upper half of the hash, compared before the bytes
} tp_dict;

void tp_dict_init(tp_dict *dict, const tapeout_allocator *alloc);
void tp_dict_deinit(tp_dict *dict);
void tp_dict_clear(tp_dict *dict); // keeps the memory

// The number of `key`, added when it is new. E_NOMEM, or E_LIMIT beyond 2^31-1 bytes or entries.
tapeout_status tp_dict_add(tp_dict *dict, tp_str key, uint32_t *ret_index);

// The number of `key`, or -1.
int64_t tp_dict_find(const tp_dict *dict, tp_str key);

// The bytes of entry `index` (< count), until the next add.
tp_str tp_dict_get(const tp_dict *dict, uint32_t index);

#endif
