// SPDX-License-Identifier: Apache-2.0
//
// Byte pair encoding of one word: the adjacent pair of lowest rank merges, the leftmost first,
// until none is left. Byte-level vocabularies list their pairs; SentencePiece ones merge any two
// symbols that are a token together, the token of best score first.
//
// Short words, nearly all there are, live in an array that is searched for the lowest rank each
// time. Long ones (a megabyte of one letter is a word) live in a linked list beside a heap of
// pairs, O(n log n); a pair that has changed since it was put there is known by its size and
// dropped.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "llm/tokenizer/tokenizer_priv.h"
#include "llm/tokenizer/unicode_class.h"

enum { SHORT_SYMBOLS = 48 };

typedef struct pair {
    uint32_t rank; // UINT32_MAX: does not merge
    uint32_t id;
} pair;

static pair find_listed(const tp_tokenizer *t, uint32_t left, uint32_t right)
{
    const uint32_t mask = t->merge_slots - 1;
    for (uint32_t at = tp_pair_hash(left, right) & mask;; at = (at + 1) & mask) {
        const tp_merge_slot *slot = &t->merges[at];
        if (slot->left == left && slot->right == right) {
            return (pair){slot->rank, slot->id};
        }
        if (slot->id == TP_NO_TOKEN) {
            return (pair){UINT32_MAX, TP_NO_TOKEN};
        }
    }
}

// What two neighbours would become; `bytes` are those of both.
static inline pair find_pair(const tp_tokenizer *t, const tp_symbol *left, const tp_symbol *right,
                             const uint8_t *word)
{
    if (t->kind == TP_TOKENIZER_BPE) {
        return find_listed(t, left->id, right->id);
    }
    const size_t size = (size_t)left->size + right->size;
    if (size > t->longest) {
        return (pair){UINT32_MAX, TP_NO_TOKEN};
    }
    const uint32_t id = tp_vocab_find(t, word + left->begin, size);
    return (pair){id == TP_NO_TOKEN ? UINT32_MAX : t->ranks[id], id};
}

// The symbol that merging starts from: a byte of a byte-level vocabulary, a character of another.
static inline tp_symbol first_symbol(const tp_tokenizer *t, const uint8_t *word, size_t size,
                                     size_t at)
{
    tp_symbol symbol = {.begin = (uint32_t)at, .size = 1};
    if (t->kind == TP_TOKENIZER_BPE) {
        symbol.id = t->byte_ids[word[at]];
        return symbol;
    }
    uint32_t code = 0;
    symbol.size = (uint32_t)tp_unicode_decode(word + at, size - at, &code);
    symbol.id = tp_vocab_find(t, word + at, symbol.size);
    return symbol;
}

// Bytes that are no token by themselves are spelled out; those without a byte token become the
// unknown token of a SentencePiece vocabulary, and nothing in a byte-level one.
static tapeout_status put_bytes(tp_merge_work *work, const uint8_t *bytes, size_t size)
{
    static const uint8_t escaped_space[] = {0xe2, 0x96, 0x81};
    const tp_tokenizer *t = work->tokenizer;
    if (t->kind == TP_TOKENIZER_BPE) {
        return TAPEOUT_OK; // first_symbol has looked
    }
    if (size == 1 && bytes[0] == ' ') { // the vocabulary's space is this character
        bytes = escaped_space;
        size = sizeof(escaped_space);
    }
    for (size_t i = 0; i < size; i++) {
        const uint32_t id = t->byte_ids[bytes[i]];
        const int64_t unknown = t->roles[TP_TOKEN_UNKNOWN];
        if (id != TP_NO_TOKEN || unknown >= 0) {
            TP_TRY(tp_ids_append(work->ids, id != TP_NO_TOKEN ? id : (uint32_t)unknown, work->err));
        }
    }
    return TAPEOUT_OK;
}

static inline tapeout_status put_symbol(tp_merge_work *work, const uint8_t *word,
                                        const tp_symbol *symbol)
{
    if (symbol->id == TP_NO_TOKEN) {
        return put_bytes(work, word + symbol->begin, symbol->size);
    }
    return tp_ids_append(work->ids, symbol->id, work->err);
}

static tapeout_status merge_short(tp_merge_work *work, const uint8_t *word, tp_symbol *symbols,
                                  size_t count)
{
    const tp_tokenizer *t = work->tokenizer;
    pair pairs[SHORT_SYMBOLS + 1]; // pairs[i] is of symbols i and i + 1
    for (size_t i = 0; i + 1 < count; i++) {
        pairs[i] = find_pair(t, &symbols[i], &symbols[i + 1], word);
    }
    for (;;) {
        size_t best = 0;
        uint32_t rank = UINT32_MAX;
        for (size_t i = 0; i + 1 < count; i++) {
            if (pairs[i].rank < rank) {
                rank = pairs[i].rank;
                best = i;
            }
        }
        if (rank == UINT32_MAX) {
            break;
        }
        symbols[best].size += symbols[best + 1].size;
        symbols[best].id = pairs[best].id;
        count--;
        for (size_t i = best + 1; i < count; i++) {
            symbols[i] = symbols[i + 1];
            pairs[i - 1] = pairs[i];
        }
        if (best + 1 < count) {
            pairs[best] = find_pair(t, &symbols[best], &symbols[best + 1], word);
        }
        if (best > 0) {
            pairs[best - 1] = find_pair(t, &symbols[best - 1], &symbols[best], word);
        }
    }
    for (size_t i = 0; i < count; i++) {
        TP_TRY(put_symbol(work, word, &symbols[i]));
    }
    return TAPEOUT_OK;
}

// Doubles an array of the work; what it held stays.
static tapeout_status grow(tp_merge_work *work, void **array, size_t *capacity, size_t item_size)
{
    const size_t wanted = *capacity == 0 ? 256 : *capacity * 2;
    const tapeout_allocator *alloc = work->ids->alloc;
    void *grown = tp_resize_array(alloc, *array, *capacity, wanted, item_size);
    if (grown == NULL) {
        return tp_fail_nomem(work->err);
    }
    *array = grown;
    *capacity = wanted;
    return TAPEOUT_OK;
}

static tapeout_status heap_push(tp_merge_work *work, tp_merge_entry entry)
{
    if (work->heap_count == work->heap_capacity) {
        TP_TRY(grow(work, (void **)&work->heap, &work->heap_capacity, sizeof(work->heap[0])));
    }
    tp_merge_entry *heap = work->heap;
    size_t at = work->heap_count++;
    while (at > 0 && heap[(at - 1) / 2].order > entry.order) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = entry;
    return TAPEOUT_OK;
}

static tp_merge_entry heap_pop(tp_merge_work *work)
{
    tp_merge_entry *heap = work->heap;
    const tp_merge_entry top = heap[0];
    const tp_merge_entry last = heap[--work->heap_count];
    const size_t count = work->heap_count;
    size_t at = 0;
    for (size_t child = 1; child < count; child = 2 * at + 1) {
        child += child + 1 < count && heap[child + 1].order < heap[child].order;
        if (heap[child].order >= last.order) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

static tapeout_status push_pair(tp_merge_work *work, const uint8_t *word, uint32_t left,
                                uint32_t right)
{
    if (left == UINT32_MAX || right == UINT32_MAX) {
        return TAPEOUT_OK;
    }
    const tp_symbol *a = &work->symbols[left];
    const tp_symbol *b = &work->symbols[right];
    const pair found = find_pair(work->tokenizer, a, b, word);
    if (found.rank == UINT32_MAX) {
        return TAPEOUT_OK;
    }
    return heap_push(work, (tp_merge_entry){.order = (uint64_t)found.rank << 32 | left,
                                            .right = right,
                                            .size = a->size + b->size,
                                            .id = found.id});
}

static tapeout_status merge_long(tp_merge_work *work, const uint8_t *word, size_t count)
{
    work->heap_count = 0;
    for (size_t i = 0; i < count; i++) {
        work->symbols[i].prev = i > 0 ? (uint32_t)(i - 1) : UINT32_MAX;
        work->symbols[i].next = i + 1 < count ? (uint32_t)(i + 1) : UINT32_MAX;
    }
    for (uint32_t i = 0; i + 1 < count; i++) {
        TP_TRY(push_pair(work, word, i, i + 1));
    }
    while (work->heap_count > 0) {
        const tp_merge_entry entry = heap_pop(work);
        const uint32_t left = (uint32_t)entry.order;
        tp_symbol *a = &work->symbols[left];
        tp_symbol *b = &work->symbols[entry.right];
        if (a->size == 0 || b->size == 0 || a->size + b->size != entry.size) {
            continue; // one of the two has merged since
        }
        a->size += b->size;
        a->id = entry.id;
        a->next = b->next;
        b->size = 0;
        if (b->next != UINT32_MAX) {
            work->symbols[b->next].prev = left;
        }
        TP_TRY(push_pair(work, word, a->prev, left));
        TP_TRY(push_pair(work, word, left, a->next));
    }
    for (uint32_t i = 0; i != UINT32_MAX; i = work->symbols[i].next) {
        TP_TRY(put_symbol(work, word, &work->symbols[i]));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_merge_word(tp_merge_work *work, const uint8_t *word, size_t size)
{
    const tp_tokenizer *t = work->tokenizer;
    if (t->kind == TP_TOKENIZER_BPE && t->pre->ignores_merges) {
        const uint32_t id = tp_vocab_find(t, word, size);
        if (id != TP_NO_TOKEN) {
            return tp_ids_append(work->ids, id, work->err);
        }
    }
    if (size > TP_MAX_TOKENIZE_WORD_BYTES) {
        return tp_fail(work->err, TAPEOUT_E_LIMIT,
                       "tokenizer: %zu bytes without a place to cut them, at most %u are taken; "
                       "break the text into lines",
                       size, TP_MAX_TOKENIZE_WORD_BYTES);
    }
    tp_symbol first[SHORT_SYMBOLS + 1];
    size_t count = 0;
    size_t at = 0;
    for (; at < size && count <= SHORT_SYMBOLS; at += first[count++].size) {
        first[count] = first_symbol(t, word, size, at);
    }
    if (count <= SHORT_SYMBOLS) {
        return merge_short(work, word, first, count);
    }
    while (work->symbol_capacity < size) {
        TP_TRY(grow(work, (void **)&work->symbols, &work->symbol_capacity, sizeof(tp_symbol)));
    }
    memcpy(work->symbols, first, sizeof(first));
    for (; at < size; at += work->symbols[count++].size) {
        work->symbols[count] = first_symbol(t, word, size, at);
    }
    return merge_long(work, word, count);
}

void tp_merge_work_deinit(tp_merge_work *work)
{
    const tapeout_allocator *alloc = work->ids->alloc;
    tp_free_array(alloc, work->symbols, work->symbol_capacity, sizeof(work->symbols[0]));
    tp_free_array(alloc, work->heap, work->heap_capacity, sizeof(work->heap[0]));
}
