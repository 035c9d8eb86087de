// SPDX-License-Identifier: Apache-2.0
//
// Making the tree: the pieces are sorted, and each adds the nodes that it does not share with the
// one before it. Tokens of the same bytes hang on one node.
#include "llm/grammar/vocab_index.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <stdlib.h>
#include <string.h>

typedef struct sorted_piece {
    tp_str piece;
    uint32_t id;
} sorted_piece;

tp_str tp_vocab_index_piece(const tp_vocab_index *index, uint32_t id)
{
    return (tp_str){index->bytes + index->offsets[id], index->offsets[id + 1] - index->offsets[id]};
}

bool tp_vocab_index_is_eog(const tp_vocab_index *index, uint32_t id)
{
    return (index->eog[id / 32] >> (id % 32) & 1) != 0;
}

uint32_t tp_vocab_index_count(const tp_vocab_index *index)
{
    return index->count;
}

static size_t word_count(const tp_vocab_index *index)
{
    return ((size_t)index->count + 31) / 32;
}

void tp_vocab_index_free(tp_vocab_index *index)
{
    if (index == NULL) {
        return;
    }
    const tapeout_allocator *alloc = index->alloc;
    const size_t size = index->offsets == NULL ? 0 : index->offsets[index->count];
    tp_free(alloc, index->bytes, size);
    tp_free_array(alloc, index->offsets, (size_t)index->count + 1, sizeof(*index->offsets));
    tp_free_array(alloc, index->same, index->count, sizeof(*index->same));
    tp_free_array(alloc, index->nodes, index->node_count, sizeof(*index->nodes));
    tp_free_array(alloc, index->eog, word_count(index), sizeof(*index->eog));
    tp_free(alloc, index, sizeof(*index));
}

static int compare_pieces(const void *a, const void *b)
{
    const sorted_piece *left = a;
    const sorted_piece *right = b;
    const size_t size = left->piece.size < right->piece.size ? left->piece.size : right->piece.size;
    const int order = size == 0 ? 0 : memcmp(left->piece.data, right->piece.data, size);
    if (order != 0) {
        return order;
    }
    if (left->piece.size != right->piece.size) {
        return left->piece.size < right->piece.size ? -1 : 1; // a prefix comes first
    }
    return left->id < right->id ? -1 : left->id > right->id;
}

static size_t common_prefix(tp_str a, tp_str b)
{
    size_t size = 0;
    while (size < a.size && size < b.size && a.data[size] == b.data[size]) {
        size++;
    }
    return size;
}

// How many nodes the sorted pieces make.
static uint32_t count_nodes(const sorted_piece *pieces, uint32_t count)
{
    size_t nodes = 0;
    tp_str before = {NULL, 0};
    for (uint32_t i = 0; i < count; i++) {
        nodes += pieces[i].piece.size - common_prefix(before, pieces[i].piece);
        before = pieces[i].piece;
    }
    return (uint32_t)nodes; // fewer than the bytes, which TP_MAX_VOCAB_INDEX_BYTES bounds
}

// A node's `end` holds its parent until the subtree is whole.
static uint32_t close_nodes(tp_vocab_index *index, uint32_t node, size_t depth, uint32_t end)
{
    while (node != VOCAB_NONE && index->nodes[node].depth >= depth) {
        const uint32_t parent = index->nodes[node].end;
        index->nodes[node].end = end;
        node = parent;
    }
    return node;
}

static void put_nodes(tp_vocab_index *index, const sorted_piece *pieces, uint32_t count)
{
    tp_str before = {NULL, 0};
    uint32_t node = VOCAB_NONE; // of the last byte of the piece before
    uint32_t filled = 0;
    for (uint32_t i = 0; i < count; i++) {
        const tp_str piece = pieces[i].piece;
        const size_t common = common_prefix(before, piece);
        if (piece.size == 0) {
            continue;
        }
        node = close_nodes(index, node, common, filled);
        for (size_t depth = common; depth < piece.size; depth++) {
            index->nodes[filled] = (vocab_node){.end = node,
                                                .token = VOCAB_NONE,
                                                .depth = (uint16_t)depth,
                                                .byte = (uint8_t)piece.data[depth]};
            node = filled++;
        }
        index->same[pieces[i].id] = index->nodes[node].token;
        index->nodes[node].has_twins = index->nodes[node].token != VOCAB_NONE;
        index->nodes[node].token = pieces[i].id;
        before = piece;
    }
    (void)close_nodes(index, node, 0, filled); // to the root: VOCAB_NONE
}

static tapeout_status copy_pieces(tp_vocab_index *index, const tp_str *pieces, tapeout_error *err)
{
    size_t size = 0;
    for (uint32_t i = 0; i < index->count; i++) {
        if (pieces[i].size > TP_MAX_VOCAB_INDEX_PIECE_BYTES) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "vocabulary: token %u has %zu bytes, at most %u",
                           i, pieces[i].size, TP_MAX_VOCAB_INDEX_PIECE_BYTES);
        }
        size += pieces[i].size;
        index->longest =
            pieces[i].size > index->longest ? (uint32_t)pieces[i].size : index->longest;
    }
    if (size > TP_MAX_VOCAB_INDEX_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "vocabulary: pieces of %zu bytes, at most %u", size,
                       TP_MAX_VOCAB_INDEX_BYTES);
    }
    index->offsets =
        tp_alloc_array_zero(index->alloc, (size_t)index->count + 1, sizeof(*index->offsets));
    char *bytes = tp_alloc(index->alloc, size);
    if (index->offsets == NULL || bytes == NULL) {
        tp_free(index->alloc, bytes, size);
        return tp_fail_nomem(err);
    }
    index->bytes = bytes;
    uint32_t offset = 0;
    for (uint32_t i = 0; i < index->count; i++) {
        if (pieces[i].size > 0) {
            memcpy(bytes + offset, pieces[i].data, pieces[i].size);
        }
        index->hash = (index->hash ^ tp_str_hash(pieces[i])) * UINT64_C(0x9e3779b97f4a7c15);
        index->hash ^= index->hash >> 32;
        offset += (uint32_t)pieces[i].size;
        index->offsets[i + 1] = offset;
    }
    return TAPEOUT_OK;
}

static tapeout_status put_eog(tp_vocab_index *index, const uint32_t *ids, uint32_t count,
                              tapeout_error *err)
{
    index->eog = tp_alloc_array_zero(index->alloc, word_count(index), sizeof(*index->eog));
    if (index->eog == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] >= index->count) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "vocabulary: token %u ends a generation, but there are %u tokens",
                           ids[i], index->count);
        }
        index->eog[ids[i] / 32] |= 1u << (ids[i] % 32);
        index->hash = (index->hash ^ ids[i]) * UINT64_C(0x9e3779b97f4a7c15);
    }
    return TAPEOUT_OK;
}

static tapeout_status build(tp_vocab_index *index, tapeout_error *err)
{
    sorted_piece *sorted = tp_alloc_array(index->alloc, index->count, sizeof(*sorted));
    index->same = tp_alloc_array(index->alloc, index->count, sizeof(*index->same));
    tapeout_status status = TAPEOUT_OK;
    if (sorted == NULL || index->same == NULL) {
        status = tp_fail_nomem(err);
    } else {
        uint32_t count = 0;
        for (uint32_t i = 0; i < index->count; i++) {
            index->same[i] = VOCAB_NONE;
            // What ends a generation is not text, whatever bytes it has.
            if (!tp_vocab_index_is_eog(index, i)) {
                sorted[count++] = (sorted_piece){tp_vocab_index_piece(index, i), i};
            }
        }
        if (count > 0) {
            qsort(sorted, count, sizeof(*sorted), compare_pieces);
        }
        const uint32_t node_count = count_nodes(sorted, count);
        index->nodes = tp_alloc_array(index->alloc, node_count, sizeof(*index->nodes));
        if (index->nodes == NULL) {
            status = tp_fail_nomem(err);
        } else {
            index->node_count = node_count;
            put_nodes(index, sorted, count);
        }
    }
    tp_free_array(index->alloc, sorted, index->count, sizeof(*sorted));
    return status;
}

tapeout_status tp_vocab_index_new(const tp_env *env, const tp_str *pieces, uint32_t count,
                                  const uint32_t *eog_ids, uint32_t eog_count, tp_vocab_index **ret,
                                  tapeout_error *err)
{
    if (count > TP_MAX_VOCAB_INDEX_TOKENS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "vocabulary: %u tokens, at most %u", count,
                       TP_MAX_VOCAB_INDEX_TOKENS);
    }
    tp_vocab_index *index = tp_alloc_zero(env->alloc, sizeof(*index));
    if (index == NULL) {
        return tp_fail_nomem(err);
    }
    index->alloc = env->alloc;
    index->count = count;
    tapeout_status status = copy_pieces(index, pieces, err);
    if (status == TAPEOUT_OK) {
        status = put_eog(index, eog_ids, eog_count, err);
    }
    if (status == TAPEOUT_OK) {
        status = build(index, err);
    }
    if (status != TAPEOUT_OK) {
        tp_vocab_index_free(index);
        return status;
    }
    *ret = index;
    return TAPEOUT_OK;
}
