// SPDX-License-Identifier: Apache-2.0
//
// The string dictionary: open addressing with linear probing, at most half full.
//
// The hash has no secret key, since the same data must take the same way everywhere; who knows it
// can make strings that collide. What that buys is bounded: at half load the longest run of full
// slots over honest keys is a few dozen to a hundred, so an insert that meets PROBE_MAX of them is
// refused with E_LIMIT instead of turning a file of n strings into n² steps. The numbers that the
// dictionary gives out hang on the order of first appearance alone, never on the hash.
#include "base/tp_dict.h"

#include "base/tp_alloc.h"

#include <string.h>

enum { SLOTS_FIRST = 16, PROBE_MAX = 512 };
static const size_t BYTES_MAX = INT32_MAX;

void tp_dict_init(tp_dict *dict, const tapeout_allocator *alloc)
{
    *dict = (tp_dict){.alloc = alloc};
}

void tp_dict_deinit(tp_dict *dict)
{
    tp_free(dict->alloc, dict->bytes, dict->bytes_capacity);
    tp_free_array(dict->alloc, dict->offsets, dict->offsets_capacity, sizeof(*dict->offsets));
    tp_free_array(dict->alloc, dict->slots, dict->slot_count, sizeof(*dict->slots));
    tp_free_array(dict->alloc, dict->hashes, dict->slot_count, sizeof(*dict->hashes));
    tp_dict_init(dict, dict->alloc);
}

void tp_dict_clear(tp_dict *dict)
{
    dict->count = 0;
    if (dict->slot_count > 0) {
        memset(dict->slots, 0, dict->slot_count * sizeof(*dict->slots));
    }
}

tp_str tp_dict_get(const tp_dict *dict, uint32_t index)
{
    const int32_t start = dict->offsets[index];
    return (tp_str){dict->bytes + start, (size_t)(dict->offsets[index + 1] - start)};
}

typedef struct probe {
    uint32_t slot;  // where the key stands, or the free slot where it would
    uint32_t entry; // index + 1, or 0
    bool crowded;   // neither found within PROBE_MAX steps
} probe;

static probe look(const tp_dict *dict, tp_str key, uint64_t hash)
{
    const uint32_t mask = dict->slot_count - 1;
    const uint32_t tag = (uint32_t)(hash >> 32);
    uint32_t slot = (uint32_t)hash & mask;
    for (uint32_t step = 0; step < PROBE_MAX; step++) {
        const uint32_t entry = dict->slots[slot];
        if (entry == 0 ||
            (dict->hashes[slot] == tag && tp_str_equal(tp_dict_get(dict, entry - 1), key))) {
            return (probe){.slot = slot, .entry = entry};
        }
        slot = (slot + 1) & mask;
    }
    return (probe){.crowded = true};
}

// Puts the entries into a table of `slot_count` slots. The lower half of each hash is not stored,
// so it is computed again: growing happens a few dozen times in a dictionary's life.
static tapeout_status rehash(tp_dict *dict, uint32_t slot_count)
{
    uint32_t *slots = tp_alloc_array_zero(dict->alloc, slot_count, sizeof(*slots));
    uint32_t *hashes = tp_alloc_array(dict->alloc, slot_count, sizeof(*hashes));
    if (slots == NULL || hashes == NULL) {
        tp_free_array(dict->alloc, slots, slot_count, sizeof(*slots));
        tp_free_array(dict->alloc, hashes, slot_count, sizeof(*hashes));
        return TAPEOUT_E_NOMEM;
    }
    for (uint32_t i = 0; i < dict->count; i++) {
        const uint64_t hash = tp_str_hash(tp_dict_get(dict, i));
        uint32_t slot = (uint32_t)hash & (slot_count - 1);
        while (slots[slot] != 0) {
            slot = (slot + 1) & (slot_count - 1);
        }
        slots[slot] = i + 1;
        hashes[slot] = (uint32_t)(hash >> 32);
    }
    tp_free_array(dict->alloc, dict->slots, dict->slot_count, sizeof(*slots));
    tp_free_array(dict->alloc, dict->hashes, dict->slot_count, sizeof(*hashes));
    dict->slots = slots;
    dict->hashes = hashes;
    dict->slot_count = slot_count;
    return TAPEOUT_OK;
}

// The next capacity that holds `need` of at most `max` items.
static size_t grown(size_t capacity, size_t need, size_t max)
{
    capacity = capacity < 64 ? 64 : capacity;
    while (capacity < need) {
        capacity = capacity > max / 2 ? max : capacity * 2;
    }
    return capacity;
}

static tapeout_status make_room(tp_dict *dict, size_t key_size)
{
    const size_t used = dict->count == 0 ? 0 : (size_t)dict->offsets[dict->count];
    if (key_size > BYTES_MAX - used || dict->count >= (uint32_t)INT32_MAX / 2) {
        return TAPEOUT_E_LIMIT;
    }
    if (used + key_size > dict->bytes_capacity || dict->bytes == NULL) {
        const size_t capacity = grown(dict->bytes_capacity, used + key_size, BYTES_MAX);
        char *bytes = tp_resize_array(dict->alloc, dict->bytes, dict->bytes_capacity, capacity, 1);
        if (bytes == NULL) {
            return TAPEOUT_E_NOMEM;
        }
        dict->bytes = bytes;
        dict->bytes_capacity = capacity;
    }
    if ((size_t)dict->count + 2 > dict->offsets_capacity) {
        const size_t capacity = grown(dict->offsets_capacity, (size_t)dict->count + 2, INT32_MAX);
        int32_t *offsets = tp_resize_array(dict->alloc, dict->offsets, dict->offsets_capacity,
                                           capacity, sizeof(*offsets));
        if (offsets == NULL) {
            return TAPEOUT_E_NOMEM;
        }
        dict->offsets = offsets;
        dict->offsets_capacity = capacity;
        dict->offsets[0] = 0;
    }
    if (dict->count >= dict->slot_count / 2) {
        return rehash(dict, dict->slot_count == 0 ? SLOTS_FIRST : dict->slot_count * 2);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_dict_add(tp_dict *dict, tp_str key, uint32_t *ret_index)
{
    const uint64_t hash = tp_str_hash(key);
    if (dict->slot_count > 0) {
        const probe found = look(dict, key, hash);
        if (found.entry != 0) {
            *ret_index = found.entry - 1;
            return TAPEOUT_OK;
        }
    }
    const tapeout_status status = make_room(dict, key.size);
    if (status != TAPEOUT_OK) {
        return status;
    }
    const probe place = look(dict, key, hash);
    if (place.crowded) {
        return TAPEOUT_E_LIMIT;
    }
    const int32_t start = dict->offsets[dict->count];
    if (key.size > 0) {
        memcpy(dict->bytes + start, key.data, key.size);
    }
    dict->offsets[dict->count + 1] = start + (int32_t)key.size;
    dict->slots[place.slot] = dict->count + 1;
    dict->hashes[place.slot] = (uint32_t)(hash >> 32);
    *ret_index = dict->count++;
    return TAPEOUT_OK;
}

int64_t tp_dict_find(const tp_dict *dict, tp_str key)
{
    if (dict->slot_count == 0) {
        return -1;
    }
    return (int64_t)look(dict, key, tp_str_hash(key)).entry - 1;
}
