// SPDX-License-Identifier: Apache-2.0
//
// The serialised forest (docs/formats/gbt.md): a header, then each array of the format over all
// trees together, aligned to 8 bytes. Reading trusts nothing: every count is checked before memory
// is asked for, every tree is walked once, and what a walk of a prediction could trip over is
// refused.
#include "learn/gbt/gbt_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_cursor.h"
#include "base/tp_error.h"

#include <math.h>
#include <string.h>

static const char MAGIC[8] = {'T', 'P', 'G', 'B', 'T', '\0', '\0', '\1'};

enum { ALL_FLAGS = TP_GBT_FLOAT32 | TP_GBT_CODES_ARE_NUMBERS | TP_GBT_LINEAR };

typedef struct totals {
    uint64_t inner;
    uint64_t leaves;
    uint64_t words;
    uint64_t terms;
} totals;

static totals totals_of(const tp_gbt *gbt)
{
    totals sum = {0};
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        sum.inner += gbt->trees[t].leaf_count - 1;
        sum.leaves += gbt->trees[t].leaf_count;
        sum.words += gbt->trees[t].word_count;
        sum.terms += gbt->trees[t].term_count;
    }
    return sum;
}

// -- writing -------------------------------------------------------------------------------------

static void append_f64s(tp_buffer *bytes, const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tp_buffer_append_f64le(bytes, values[i]);
    }
}

static void append_u32s(tp_buffer *bytes, const uint32_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tp_buffer_append_u32le(bytes, values[i]);
    }
}

static void align(tp_buffer *bytes, size_t start)
{
    tp_buffer_append_zeros(bytes, (8 - (bytes->size - start) % 8) % 8);
}

// The f64 arrays first, then those of 32 bits, then the flags: all aligned without gaps.
static void append_trees(tp_buffer *bytes, const tp_gbt *gbt)
{
    const uint32_t trees = gbt->tree_count;
    const bool is_linear = gbt->flags & TP_GBT_LINEAR;
    for (uint32_t t = 0; t < trees; t++) {
        append_f64s(bytes, gbt->trees[t].threshold, gbt->trees[t].leaf_count - 1);
    }
    for (uint32_t t = 0; t < trees; t++) {
        append_f64s(bytes, gbt->trees[t].gain, gbt->trees[t].leaf_count - 1);
    }
    for (uint32_t t = 0; t < trees; t++) {
        append_f64s(bytes, gbt->trees[t].inner_cover, gbt->trees[t].leaf_count - 1);
    }
    for (uint32_t t = 0; t < trees; t++) {
        append_f64s(bytes, gbt->trees[t].leaf_cover, gbt->trees[t].leaf_count);
    }
    for (uint32_t t = 0; t < trees; t++) {
        append_f64s(bytes, gbt->trees[t].leaf_value, gbt->trees[t].leaf_count);
    }
    for (uint32_t t = 0; is_linear && t < trees; t++) {
        append_f64s(bytes, gbt->trees[t].leaf_constant, gbt->trees[t].leaf_count);
    }
    for (uint32_t t = 0; is_linear && t < trees; t++) {
        append_f64s(bytes, gbt->trees[t].term_coefficient, gbt->trees[t].term_count);
    }
    for (uint32_t t = 0; t < trees; t++) {
        append_u32s(bytes, gbt->trees[t].feature, gbt->trees[t].leaf_count - 1);
    }
    for (uint32_t t = 0; t < trees; t++) {
        for (uint32_t i = 0; i + 1 < gbt->trees[t].leaf_count; i++) {
            tp_buffer_append_u32le(bytes, (uint32_t)gbt->trees[t].left[i]);
            tp_buffer_append_u32le(bytes, (uint32_t)gbt->trees[t].right[i]);
        }
    }
    for (uint32_t t = 0; t < trees; t++) {
        append_u32s(bytes, gbt->trees[t].category_begin, gbt->trees[t].leaf_count);
    }
    for (uint32_t t = 0; t < trees; t++) {
        append_u32s(bytes, gbt->trees[t].category_words, gbt->trees[t].word_count);
    }
    for (uint32_t t = 0; is_linear && t < trees; t++) {
        append_u32s(bytes, gbt->trees[t].term_begin + 1, gbt->trees[t].leaf_count);
    }
    for (uint32_t t = 0; is_linear && t < trees; t++) {
        append_u32s(bytes, gbt->trees[t].term_feature, gbt->trees[t].term_count);
    }
    for (uint32_t t = 0; t < trees; t++) {
        tp_buffer_append(bytes, gbt->trees[t].flags, gbt->trees[t].leaf_count - 1);
    }
}

void tp_gbt_write(const tp_gbt *gbt, tp_buffer *ret_bytes)
{
    const size_t start = ret_bytes->size;
    const totals sum = totals_of(gbt);
    tp_buffer_append(ret_bytes, MAGIC, sizeof(MAGIC));
    tp_buffer_append_u32le(ret_bytes, gbt->feature_count);
    tp_buffer_append_u32le(ret_bytes, gbt->trees_per_iteration);
    tp_buffer_append_u32le(ret_bytes, gbt->tree_count);
    tp_buffer_append_u32le(ret_bytes, gbt->flags);
    tp_buffer_append_u64le(ret_bytes, sum.inner);
    tp_buffer_append_u64le(ret_bytes, sum.leaves);
    tp_buffer_append_u64le(ret_bytes, sum.words);
    if (gbt->flags & TP_GBT_LINEAR) {
        tp_buffer_append_u64le(ret_bytes, sum.terms);
    }
    append_f64s(ret_bytes, gbt->base, gbt->trees_per_iteration);
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        tp_buffer_append_u32le(ret_bytes, gbt->trees[t].leaf_count);
        tp_buffer_append_u32le(ret_bytes, gbt->trees[t].word_count);
    }
    for (uint32_t t = 0; (gbt->flags & TP_GBT_LINEAR) && t < gbt->tree_count; t++) {
        tp_buffer_append_u64le(ret_bytes, gbt->trees[t].term_count);
    }
    append_trees(ret_bytes, gbt);
    align(ret_bytes, start);
}

// -- reading -------------------------------------------------------------------------------------

typedef struct reader {
    tp_cursor cursor;
    tp_gbt *gbt;
    const tp_learn_feature *features;
    totals sum;
    bool is_linear;
} reader;

static tapeout_status corrupt(uint32_t tree, const char *what, tapeout_error *err)
{
    return tp_fail_at(err, TAPEOUT_E_CORRUPT, tree, "gbt: tree %u: %s", tree, what);
}

static tapeout_status check_count(const char *what, uint64_t count, uint64_t least, uint64_t most,
                                  tapeout_error *err)
{
    if (count >= least && count <= most) {
        return TAPEOUT_OK;
    }
    return tp_fail(err, TAPEOUT_E_CORRUPT, "gbt: %llu %s: must be %llu to %llu",
                   (unsigned long long)count, what, (unsigned long long)least,
                   (unsigned long long)most);
}

// Bytes that the arrays of all trees take, without overflow since counts are below 2^52.
static uint64_t arrays_size(const totals *sum, bool is_linear)
{
    const uint64_t linear = is_linear ? sum->leaves * (8 + 4) + sum->terms * (8 + 4) : 0;
    return linear + sum->inner * (3 * 8 + 3 * 4 + 1) + sum->leaves * (2 * 8 + 4) + sum->words * 4;
}

static tapeout_status read_header(const tp_env *env, reader *r, uint32_t feature_count,
                                  tapeout_error *err)
{
    const tp_str magic = tp_cursor_bytes(&r->cursor, sizeof(MAGIC));
    if (magic.data == NULL || memcmp(magic.data, MAGIC, sizeof(MAGIC)) != 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "gbt: not a forest of version 1");
    }
    const uint32_t features = tp_cursor_u32(&r->cursor);
    const uint32_t outputs = tp_cursor_u32(&r->cursor);
    const uint32_t trees = tp_cursor_u32(&r->cursor);
    const uint32_t flags = tp_cursor_u32(&r->cursor);
    r->sum.inner = tp_cursor_u64(&r->cursor);
    r->sum.leaves = tp_cursor_u64(&r->cursor);
    r->sum.words = tp_cursor_u64(&r->cursor);
    r->is_linear = flags & TP_GBT_LINEAR;
    r->sum.terms = r->is_linear ? tp_cursor_u64(&r->cursor) : 0;
    TP_TRY(tp_cursor_check(&r->cursor, "gbt", err));
    TP_TRY(check_count("features", features, feature_count, feature_count, err));
    TP_TRY(check_count("outputs", outputs, 1, TP_MAX_GBT_CLASSES, err));
    TP_TRY(check_count("trees", trees, 0, TP_MAX_GBT_TREES, err));
    TP_TRY(check_count("flags", flags, 0, ALL_FLAGS, err));
    TP_TRY(check_count("trees beyond whole iterations", trees % outputs, 0, 0, err));
    const uint64_t most = tp_cursor_left(&r->cursor);
    TP_TRY(check_count("inner nodes", r->sum.inner, 0, most, err));
    TP_TRY(check_count("leaves", r->sum.leaves, trees, most, err));
    TP_TRY(check_count("category words", r->sum.words, 0, most, err));
    TP_TRY(check_count("terms of linear functions", r->sum.terms, 0, most, err));
    const uint64_t sizes = 8 * ((uint64_t)trees + (r->is_linear ? trees : 0));
    const uint64_t size = 8 * (uint64_t)outputs + sizes + arrays_size(&r->sum, r->is_linear);
    TP_TRY(
        check_count("bytes after the header", most, (size + 7) / 8 * 8, (size + 7) / 8 * 8, err));
    TP_TRY(tp_gbt_new(env->alloc, features, outputs, trees, &r->gbt, err));
    r->gbt->flags = flags;
    return TAPEOUT_OK;
}

static tapeout_status read_sizes(const tp_env *env, reader *r, tapeout_error *err)
{
    tp_gbt *gbt = r->gbt;
    for (uint32_t k = 0; k < gbt->trees_per_iteration; k++) {
        gbt->base[k] = tp_cursor_f64(&r->cursor);
        if (!isfinite(gbt->base[k])) {
            return tp_fail(err, TAPEOUT_E_CORRUPT, "gbt: base %u is not a finite number", k);
        }
    }
    totals left = r->sum;
    for (uint32_t t = 0; t < gbt->tree_capacity; t++) {
        const uint32_t leaves = tp_cursor_u32(&r->cursor);
        const uint32_t words = tp_cursor_u32(&r->cursor);
        if (leaves < 1 || leaves > TP_MAX_GBT_LEAVES || leaves > left.leaves ||
            leaves - 1 > left.inner || words > left.words) {
            return corrupt(t, "more leaves or category words than the header says", err);
        }
        left.leaves -= leaves;
        left.inner -= leaves - 1;
        left.words -= words;
        TP_TRY(tp_gbt_tree_init(env->alloc, leaves, words, &gbt->trees[t], err));
        gbt->tree_count++;
    }
    if (left.leaves != 0 || left.inner != 0 || left.words != 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "gbt: fewer nodes than the header says");
    }
    return TAPEOUT_OK;
}

// The counts of terms, which stand behind all other sizes.
static tapeout_status read_term_counts(const tp_env *env, reader *r, tapeout_error *err)
{
    uint64_t left = r->sum.terms;
    for (uint32_t t = 0; r->is_linear && t < r->gbt->tree_count; t++) {
        const uint64_t terms = tp_cursor_u64(&r->cursor);
        if (terms > left || terms > UINT32_MAX) {
            return corrupt(t, "more terms of linear functions than the header says", err);
        }
        left -= terms;
        TP_TRY(tp_gbt_tree_linear_init(env->alloc, (uint32_t)terms, &r->gbt->trees[t], err));
    }
    return left == 0 ? TAPEOUT_OK
                     : tp_fail(err, TAPEOUT_E_CORRUPT,
                               "gbt: fewer terms of linear functions than the header says");
}

static void read_f64s(tp_cursor *cursor, double *ret_values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ret_values[i] = tp_cursor_f64(cursor);
    }
}

static void read_u32s(tp_cursor *cursor, uint32_t *ret_values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ret_values[i] = tp_cursor_u32(cursor);
    }
}

static void read_trees(reader *r)
{
    tp_cursor *cursor = &r->cursor;
    const uint32_t trees = r->gbt->tree_count;
    tp_tree *all = r->gbt->trees;
    for (uint32_t t = 0; t < trees; t++) {
        read_f64s(cursor, all[t].threshold, all[t].leaf_count - 1);
    }
    for (uint32_t t = 0; t < trees; t++) {
        read_f64s(cursor, all[t].gain, all[t].leaf_count - 1);
    }
    for (uint32_t t = 0; t < trees; t++) {
        read_f64s(cursor, all[t].inner_cover, all[t].leaf_count - 1);
    }
    for (uint32_t t = 0; t < trees; t++) {
        read_f64s(cursor, all[t].leaf_cover, all[t].leaf_count);
    }
    for (uint32_t t = 0; t < trees; t++) {
        read_f64s(cursor, all[t].leaf_value, all[t].leaf_count);
    }
    for (uint32_t t = 0; r->is_linear && t < trees; t++) {
        read_f64s(cursor, all[t].leaf_constant, all[t].leaf_count);
    }
    for (uint32_t t = 0; r->is_linear && t < trees; t++) {
        read_f64s(cursor, all[t].term_coefficient, all[t].term_count);
    }
    for (uint32_t t = 0; t < trees; t++) {
        read_u32s(cursor, all[t].feature, all[t].leaf_count - 1);
    }
    for (uint32_t t = 0; t < trees; t++) {
        for (uint32_t i = 0; i + 1 < all[t].leaf_count; i++) {
            all[t].left[i] = tp_cursor_i32(cursor);
            all[t].right[i] = tp_cursor_i32(cursor);
        }
    }
    for (uint32_t t = 0; t < trees; t++) {
        read_u32s(cursor, all[t].category_begin, all[t].leaf_count);
    }
    for (uint32_t t = 0; t < trees; t++) {
        read_u32s(cursor, all[t].category_words, all[t].word_count);
    }
    for (uint32_t t = 0; r->is_linear && t < trees; t++) {
        read_u32s(cursor, all[t].term_begin + 1, all[t].leaf_count);
    }
    for (uint32_t t = 0; r->is_linear && t < trees; t++) {
        read_u32s(cursor, all[t].term_feature, all[t].term_count);
    }
    for (uint32_t t = 0; t < trees; t++) {
        for (uint32_t i = 0; i + 1 < all[t].leaf_count; i++) {
            all[t].flags[i] = tp_cursor_u8(cursor);
        }
    }
}

tapeout_status tp_gbt_read(const tp_env *env, tp_str bytes, const tp_learn_feature *features,
                           uint32_t feature_count, tp_gbt **ret_gbt, tapeout_error *err)
{
    reader r = {.features = features};
    tp_cursor_init(&r.cursor, bytes.data, bytes.size);
    tapeout_status status = read_header(env, &r, feature_count, err);
    if (status == TAPEOUT_OK) {
        status = read_sizes(env, &r, err);
    }
    if (status == TAPEOUT_OK) {
        status = read_term_counts(env, &r, err);
    }
    if (status == TAPEOUT_OK) {
        read_trees(&r);
        while (tp_cursor_left(&r.cursor) > 0 && status == TAPEOUT_OK) {
            status = check_count("as padding", tp_cursor_u8(&r.cursor), 0, 0, err);
        }
    }
    if (status == TAPEOUT_OK) {
        status = tp_cursor_check(&r.cursor, "gbt", err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_gbt_finish(r.gbt, features, err);
    }
    if (status != TAPEOUT_OK) {
        tp_gbt_free(r.gbt);
        return status;
    }
    *ret_gbt = r.gbt;
    return TAPEOUT_OK;
}
