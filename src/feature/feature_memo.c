// SPDX-License-Identifier: Apache-2.0
//
// What text operations remember. A text is a code, so the answer of an operation to a code, or to a
// pair of codes, is worked out once and looked up from then on: once a distinct value and not once
// a row. Entries carry a generation. A memo whose keys come from the bound table's own dictionaries
// starts anew with every bind; one whose keys are codes that the program itself gave out, and the
// texts behind them, live on, so a server that meets the same values again finds them at once.
// What grows too large is forgotten between two blocks, all of it, since codes build on each other.
#include "feature/feature_exec.h"

#include <string.h>

void tp_feature_memo_deinit(const tapeout_allocator *alloc, tp_feature_memo *memo)
{
    tp_free_array(alloc, memo->entries, memo->entry_count, sizeof(tp_feature_memo_entry));
    tp_free_array(alloc, memo->pairs, memo->pair_capacity, sizeof(tp_feature_memo_pair));
    tp_dict_deinit(&memo->dict);
}

tapeout_status tp_feature_memo_reserve(const tapeout_allocator *alloc, tp_feature_memo *memo,
                                       uint32_t count)
{
    if (count <= memo->entry_count) {
        return TAPEOUT_OK;
    }
    const uint32_t twice = memo->entry_count < UINT32_MAX / 2 ? memo->entry_count * 2 : UINT32_MAX;
    const uint32_t wanted = count > twice ? count : twice;
    const uint32_t capacity = wanted < 16 ? 16 : wanted;
    tp_feature_memo_entry *entries =
        tp_resize_array(alloc, memo->entries, memo->entry_count, capacity, sizeof(*entries));
    if (entries == NULL) {
        return TAPEOUT_E_NOMEM;
    }
    memset(entries + memo->entry_count, 0, (capacity - memo->entry_count) * sizeof(*entries));
    memo->entries = entries;
    memo->entry_count = capacity;
    return TAPEOUT_OK;
}

static uint64_t mix(uint64_t key)
{
    key *= UINT64_C(0x9e3779b97f4a7c15);
    return key ^ key >> 29;
}

static tapeout_status grow_pairs(const tapeout_allocator *alloc, tp_feature_memo *memo,
                                 uint32_t generation)
{
    const uint32_t capacity = memo->pair_capacity == 0 ? 64 : memo->pair_capacity * 2;
    tp_feature_memo_pair *pairs = tp_alloc_array_zero(alloc, capacity, sizeof(*pairs));
    if (pairs == NULL) {
        return TAPEOUT_E_NOMEM;
    }
    for (uint32_t i = 0; i < memo->pair_capacity; i++) {
        if (memo->pairs[i].generation != generation) {
            continue;
        }
        uint64_t at = mix(memo->pairs[i].key);
        while (pairs[at & (capacity - 1)].generation == generation) {
            at++;
        }
        pairs[at & (capacity - 1)] = memo->pairs[i];
    }
    tp_free_array(alloc, memo->pairs, memo->pair_capacity, sizeof(*pairs));
    memo->pairs = pairs;
    memo->pair_capacity = capacity;
    return TAPEOUT_OK;
}

tapeout_status tp_feature_memo_pair_find(const tapeout_allocator *alloc, tp_feature_memo *memo,
                                         uint32_t generation, uint64_t key,
                                         tp_feature_memo_pair **ret_pair)
{
    if (memo->pair_generation != generation) {
        memo->pair_generation = generation;
        memo->pair_count = 0;
    }
    if (memo->pair_count * 2 >= memo->pair_capacity) {
        TP_TRY(grow_pairs(alloc, memo, generation));
    }
    const uint32_t mask = memo->pair_capacity - 1;
    uint64_t at = mix(key);
    // A slot of an older generation is free: whoever was put behind it was put there before.
    while (memo->pairs[at & mask].generation == generation && memo->pairs[at & mask].key != key) {
        at++;
    }
    *ret_pair = &memo->pairs[at & mask];
    return TAPEOUT_OK;
}

static void forget(tp_feature_worker *worker)
{
    const uint32_t count = worker->run->program->memo_count;
    worker->bind_generation++;
    for (uint32_t i = 0; i < count; i++) {
        tp_feature_memo *memo = &worker->memos[i];
        tp_dict_clear(&memo->dict);
        memo->generation++;
        // Before a generation comes round again, every mark of the old one goes.
        if (memo->generation == 0 || worker->bind_generation < 2) {
            memo->generation = 1;
            memo->pair_generation = 0;
            if (memo->entry_count > 0) {
                memset(memo->entries, 0, memo->entry_count * sizeof(*memo->entries));
            }
            if (memo->pair_capacity > 0) {
                memset(memo->pairs, 0, memo->pair_capacity * sizeof(*memo->pairs));
            }
        }
    }
    if (worker->bind_generation < 2) {
        worker->bind_generation = 1;
    }
}

void tp_feature_memos_trim(tp_feature_worker *worker)
{
    bool is_full = worker->bind_generation == 0;
    for (uint32_t i = 0; i < worker->run->program->memo_count && !is_full; i++) {
        const tp_feature_memo *memo = &worker->memos[i];
        is_full = memo->dict.count > TP_MAX_FEATURE_MEMO || memo->pair_count > TP_MAX_FEATURE_MEMO;
    }
    if (is_full) {
        forget(worker);
    }
}
