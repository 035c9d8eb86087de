// SPDX-License-Identifier: Apache-2.0
//
// Does a column give the target away?
//
// Each column alone predicts the target, cross-validated: its values are put into bins (256 by
// rank, one a text, one for missing), the rows into five folds by a hash of their place, and each
// row is predicted by the average target of its bin over the other folds, drawn a little towards
// the overall average. The score is the share of the target's variance that this explains (for
// classes that of the indicators, which is the Brier skill score). A score of 0.90 for two classes,
// 0.95 for more and 0.99 for numbers is a leak; so is an area under the ROC curve of 0.995 where
// both classes have 20 rows, and, for numbers, a straight line that explains 0.99. What predicts
// that well alone is far more often the target in disguise than a discovery.
#include "table/profile_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_random.h"
#include "kernels/tp_math.h"
#include "table/sketch_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FOLDS = 5, BINS_MAX = 255, ROWS_A_BIN = 20, ROWS_MIN = 50, CLASSES_MAX = 50 };
enum { WHOLE_CLASSES_MAX = 10, CLASS_ROWS_MIN = 20 };

static const uint64_t fold_seed = UINT64_C(0x6c65616b);
static const size_t cells_max = (size_t)16 << 20;

// -- the target ----------------------------------------------------------------------------------

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static size_t distinct_keys(uint64_t *keys, size_t count)
{
    size_t distinct = 0;
    for (size_t i = 0; i < count; i++) {
        if (distinct == 0 || keys[distinct - 1] != keys[i]) {
            keys[distinct++] = keys[i];
        }
    }
    return distinct;
}

// How many of the ascending `edges` are at or below `key`.
static size_t rank_of(const uint64_t *edges, size_t count, uint64_t key)
{
    size_t low = 0;
    while (count > 0) {
        const size_t half = count / 2;
        if (edges[low + half] <= key) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

// Texts by code and bools: the distinct keys are the classes; whole numbers when they are few.
static bool is_class_like(const tp_column *column, size_t distinct)
{
    switch (column->type) {
    case TAPEOUT_TYPE_BOOL:
    case TAPEOUT_TYPE_STRING:
        return true;
    case TAPEOUT_TYPE_INT64:
        return distinct <= WHOLE_CLASSES_MAX;
    default:
        return distinct <= 2;
    }
}

static void fill_classes(profile_target *target, const tp_column *column, const uint64_t *distinct)
{
    for (uint64_t i = 0; i < target->rows.count; i++) {
        const uint64_t row = sketch_row(target->rows, i);
        target->classes[i] = -1;
        if (tp_column_is_valid(column, row)) {
            const uint64_t key = tp_sketch_key(column, row);
            target->classes[i] = (int32_t)rank_of(distinct, target->class_count, key) - 1;
        }
    }
}

// Standardised, so that squares neither overflow nor cancel; NaN where missing or infinite.
static void fill_numbers(profile_target *target, const tp_column *column)
{
    double sum = 0.0;
    double count = 0.0;
    for (uint64_t i = 0; i < target->rows.count; i++) {
        const uint64_t row = sketch_row(target->rows, i);
        const double value = tp_column_is_valid(column, row)
                                 ? tp_sketch_key_number(column->type, tp_sketch_key(column, row))
                                 : NAN;
        target->numbers[i] = isfinite(value) ? value : NAN;
        sum += isfinite(value) ? value : 0.0;
        count += isfinite(value);
    }
    const double mean = sum / count;
    double squares = 0.0;
    for (uint64_t i = 0; i < target->rows.count; i++) {
        const double off = target->numbers[i] - mean;
        squares += isnan(off) ? 0.0 : off * off;
    }
    const double deviation = tp_sqrt(squares / count);
    for (uint64_t i = 0; i < target->rows.count; i++) {
        target->numbers[i] = (target->numbers[i] - mean) / deviation;
    }
    target->is_judged &= isfinite(deviation) && deviation > 0.0;
}

static tapeout_status fill_target(profile_target *target, const tp_column *column, uint64_t *keys,
                                  size_t count, tapeout_error *err)
{
    const size_t room = (size_t)target->rows.count;
    const size_t distinct = distinct_keys(keys, count);
    target->is_judged = count >= ROWS_MIN && distinct > 1;
    const bool is_class = is_class_like(column, distinct);
    target->folds = tp_alloc(target->alloc, room);
    if (is_class) {
        target->class_count = (uint32_t)distinct;
        target->classes = tp_alloc_array(target->alloc, room, sizeof *target->classes);
        target->is_judged &= distinct <= CLASSES_MAX;
    } else {
        target->numbers = tp_alloc_array(target->alloc, room, sizeof *target->numbers);
    }
    if (room != 0 && (target->folds == NULL || (is_class && target->classes == NULL) ||
                      (!is_class && target->numbers == NULL))) {
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < room; i++) {
        target->folds[i] = (uint8_t)tp_random_below(fold_seed, 0, i, FOLDS);
    }
    if (is_class) {
        fill_classes(target, column, keys);
    } else {
        fill_numbers(target, column);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_profile_target_init(profile_target *target, const tapeout_allocator *alloc,
                                      const tp_column *column, tp_row_choice rows,
                                      tapeout_error *err)
{
    *target = (profile_target){.alloc = alloc, .rows = rows};
    uint64_t *keys;
    size_t count;
    TP_TRY(tp_sketch_sorted_keys(alloc, column, rows, &keys, &count, err));
    const tapeout_status status = fill_target(target, column, keys, count, err);
    tp_free_array(alloc, keys, (size_t)rows.count, sizeof *keys);
    return status;
}

void tp_profile_target_deinit(profile_target *target)
{
    const size_t room = (size_t)target->rows.count;
    tp_free(target->alloc, target->folds, room);
    tp_free_array(target->alloc, target->classes, room, sizeof *target->classes);
    tp_free_array(target->alloc, target->numbers, room, sizeof *target->numbers);
    *target = (profile_target){.alloc = target->alloc};
}

// -- bins ----------------------------------------------------------------------------------------

// One bin a row: 0 where the column has no value.
typedef struct binning {
    uint32_t *bins; // [rows]
    size_t count;
} binning;

// Every n-th of the sorted keys begins a bin, so bins hold about as many rows.
static size_t rank_edges(const uint64_t *keys, size_t count, uint64_t *edges)
{
    const size_t wanted = count / ROWS_A_BIN < BINS_MAX ? count / ROWS_A_BIN : BINS_MAX;
    size_t edge_count = 0;
    for (size_t i = 1; i < wanted; i++) {
        const uint64_t key = keys[i * count / wanted];
        if (edge_count == 0 || edges[edge_count - 1] != key) {
            edges[edge_count++] = key;
        }
    }
    return edge_count;
}

static tapeout_status make_bins(const profile_target *target, const tp_column *column,
                                binning *binned, tapeout_error *err)
{
    uint64_t edges[BINS_MAX];
    size_t edge_count = 0;
    const bool is_text = column->type == TAPEOUT_TYPE_STRING;
    if (!is_text) {
        uint64_t *keys;
        size_t count;
        TP_TRY(tp_sketch_sorted_keys(target->alloc, column, target->rows, &keys, &count, err));
        edge_count = rank_edges(keys, count, edges);
        tp_free_array(target->alloc, keys, (size_t)target->rows.count, sizeof *keys);
    }
    for (uint64_t i = 0; i < target->rows.count; i++) {
        const uint64_t row = sketch_row(target->rows, i);
        binned->bins[i] = 0;
        if (tp_column_is_valid(column, row)) {
            const uint64_t key = tp_sketch_key(column, row);
            binned->bins[i] = 1 + (uint32_t)(is_text ? key : rank_of(edges, edge_count, key));
        }
    }
    binned->count = 2 + (is_text ? column->dict->count : edge_count);
    return TAPEOUT_OK;
}

// -- classes -------------------------------------------------------------------------------------

// A bin within a fold: what it is given as the chance of the second class, and its rows.
typedef struct scored_cell {
    double chance;
    uint32_t negatives;
    uint32_t positives;
} scored_cell;

static int compare_cells(const void *a, const void *b)
{
    const double x = ((const scored_cell *)a)->chance;
    const double y = ((const scored_cell *)b)->chance;
    return (x > y) - (x < y);
}

static double area_under_curve(scored_cell *cells, size_t count)
{
    qsort(cells, count, sizeof *cells, compare_cells);
    double below = 0.0; // negatives scored lower
    double wins = 0.0;
    double positives = 0.0;
    for (size_t i = 0; i < count;) {
        double tied_negatives = 0.0;
        double tied_positives = 0.0;
        const double chance = cells[i].chance;
        for (; i < count && cells[i].chance == chance; i++) {
            tied_negatives += cells[i].negatives;
            tied_positives += cells[i].positives;
        }
        wins += tied_positives * (below + tied_negatives / 2);
        below += tied_negatives;
        positives += tied_positives;
    }
    return below < CLASS_ROWS_MIN || positives < CLASS_ROWS_MIN ? 0.0 : wins / (below * positives);
}

// Counts [bins, FOLDS + 1, classes]: the last "fold" of a bin holds its totals.
static uint32_t *cell_counts(uint32_t *counts, uint32_t class_count, size_t bin, size_t fold)
{
    return counts + (bin * (FOLDS + 1) + fold) * class_count;
}

// The squared error of one cell, predicted from the bin's other folds; its chance of class 1.
static double cell_error(const uint32_t *here, const uint32_t *all, const double *prior,
                         uint32_t class_count, double *ret_chance)
{
    double total = 1.0;
    for (uint32_t c = 0; c < class_count; c++) {
        total += (double)(all[c] - here[c]);
    }
    double squares = 0.0;
    double rows = 0.0;
    double hits = 0.0;
    for (uint32_t c = 0; c < class_count; c++) {
        const double chance = ((double)(all[c] - here[c]) + prior[c]) / total;
        squares += chance * chance;
        rows += here[c];
        hits += here[c] * chance;
        *ret_chance = c == 1 ? chance : *ret_chance;
    }
    return rows * (1.0 + squares) - 2.0 * hits;
}

static double class_prior(const profile_target *target, double *prior)
{
    double total = 0.0;
    for (uint64_t i = 0; i < target->rows.count; i++) {
        if (target->classes[i] >= 0) {
            prior[target->classes[i]] += 1.0;
            total += 1.0;
        }
    }
    double squares = 0.0;
    for (uint32_t c = 0; c < target->class_count; c++) {
        prior[c] /= total;
        squares += prior[c] * prior[c];
    }
    return total * (1.0 - squares); // the squared error of the prior
}

typedef struct verdict {
    double score;
    bool is_leak;
} verdict;

static verdict judge_classes(const profile_target *target, const binning *binned, uint32_t *counts,
                             scored_cell *cells)
{
    const uint32_t classes = target->class_count;
    for (uint64_t i = 0; i < target->rows.count; i++) {
        if (target->classes[i] >= 0) {
            const size_t c = (size_t)target->classes[i];
            cell_counts(counts, classes, binned->bins[i], target->folds[i])[c]++;
            cell_counts(counts, classes, binned->bins[i], FOLDS)[c]++;
        }
    }
    double prior[CLASSES_MAX] = {0};
    const double baseline = class_prior(target, prior);
    double error = 0.0;
    size_t cell_count = 0;
    for (size_t bin = 0; bin < binned->count; bin++) {
        const uint32_t *all = cell_counts(counts, classes, bin, FOLDS);
        for (size_t fold = 0; fold < FOLDS; fold++) {
            const uint32_t *here = cell_counts(counts, classes, bin, fold);
            double chance = 0.0;
            error += cell_error(here, all, prior, classes, &chance);
            cells[cell_count++] = (scored_cell){chance, here[0], here[1]};
        }
    }
    const bool is_binary = classes == 2;
    const double score = larger(0.0, 1.0 - error / baseline);
    const bool is_leak = score >= (is_binary ? 0.90 : 0.95) ||
                         (is_binary && area_under_curve(cells, cell_count) >= 0.995);
    return (verdict){score, is_leak};
}

static tapeout_status leak_of_classes(const profile_target *target, const binning *binned,
                                      double *ret_score, bool *ret_leak, tapeout_error *err)
{
    const size_t cell_count = binned->count * FOLDS;
    const size_t count_count = binned->count * (FOLDS + 1) * target->class_count;
    if (count_count > cells_max) {
        return TAPEOUT_OK;
    }
    uint32_t *counts = tp_alloc_array_zero(target->alloc, count_count, sizeof *counts);
    scored_cell *cells = tp_alloc_array(target->alloc, cell_count, sizeof *cells);
    tapeout_status status = TAPEOUT_OK;
    if (counts == NULL || cells == NULL) {
        status = tp_fail_nomem(err);
    } else {
        const verdict judged = judge_classes(target, binned, counts, cells);
        *ret_score = judged.score;
        *ret_leak = judged.is_leak;
    }
    tp_free_array(target->alloc, counts, count_count, sizeof *counts);
    tp_free_array(target->alloc, cells, cell_count, sizeof *cells);
    return status;
}

// -- numbers -------------------------------------------------------------------------------------

typedef struct number_cell {
    double rows;
    double sum;
    double squares;
} number_cell;

// The target is standardised, so the prior is zero and the baseline the number of rows.
static double judge_numbers(const profile_target *target, const binning *binned, number_cell *cells)
{
    double baseline = 0.0;
    for (uint64_t i = 0; i < target->rows.count; i++) {
        const double y = target->numbers[i];
        if (!isnan(y)) {
            number_cell *cell = &cells[binned->bins[i] * (size_t)FOLDS + target->folds[i]];
            cell->rows += 1.0;
            cell->sum += y;
            cell->squares += y * y;
            baseline += y * y;
        }
    }
    double error = 0.0;
    for (size_t bin = 0; bin < binned->count; bin++) {
        number_cell all = {0};
        for (size_t fold = 0; fold < FOLDS; fold++) {
            all.rows += cells[bin * FOLDS + fold].rows;
            all.sum += cells[bin * FOLDS + fold].sum;
        }
        for (size_t fold = 0; fold < FOLDS; fold++) {
            const number_cell *here = &cells[bin * FOLDS + fold];
            const double guess = (all.sum - here->sum) / (all.rows - here->rows + 1.0);
            error += here->squares - 2.0 * guess * here->sum + here->rows * guess * guess;
        }
    }
    return larger(0.0, 1.0 - error / baseline);
}

// The squared correlation over rows that have both, for columns that are numbers.
static double line_score(const profile_target *target, const tp_column *column)
{
    double n = 0.0;
    double mean_x = 0.0;
    double mean_y = 0.0;
    double xx = 0.0;
    double yy = 0.0;
    double xy = 0.0;
    for (uint64_t i = 0; i < target->rows.count; i++) {
        const uint64_t row = sketch_row(target->rows, i);
        const double y = target->numbers[i];
        if (isnan(y) || !tp_column_is_valid(column, row)) {
            continue;
        }
        const double x = tp_sketch_key_number(column->type, tp_sketch_key(column, row));
        n += 1.0;
        const double dx = x - mean_x;
        const double dy = y - mean_y;
        mean_x += dx / n;
        mean_y += dy / n;
        xx += dx * (x - mean_x);
        yy += dy * (y - mean_y);
        xy += dx * (y - mean_y);
    }
    const double score = xy / xx * (xy / yy);
    const bool is_enough = n >= ROWS_MIN && 2.0 * n >= (double)target->rows.count;
    return is_enough && isfinite(score) ? score : 0.0;
}

static tapeout_status leak_of_numbers(const profile_target *target, const tp_column *column,
                                      const binning *binned, double *ret_score, tapeout_error *err)
{
    const size_t cell_count = binned->count * FOLDS;
    if (cell_count > cells_max) {
        return TAPEOUT_OK;
    }
    number_cell *cells = tp_alloc_array_zero(target->alloc, cell_count, sizeof *cells);
    if (cells == NULL) {
        return tp_fail_nomem(err);
    }
    *ret_score = judge_numbers(target, binned, cells);
    tp_free_array(target->alloc, cells, cell_count, sizeof *cells);
    if (column->type != TAPEOUT_TYPE_STRING) {
        *ret_score = larger(*ret_score, line_score(target, column));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_profile_leak(const profile_target *target, const tp_column *column,
                               double *ret_score, bool *ret_leak, tapeout_error *err)
{
    *ret_score = NAN;
    *ret_leak = false;
    if (!target->is_judged) {
        return TAPEOUT_OK;
    }
    binning binned = {0};
    const size_t room = (size_t)target->rows.count;
    binned.bins = tp_alloc_array(target->alloc, room, sizeof *binned.bins);
    tapeout_status status =
        binned.bins == NULL ? tp_fail_nomem(err) : make_bins(target, column, &binned, err);
    if (status == TAPEOUT_OK && target->class_count != 0) {
        status = leak_of_classes(target, &binned, ret_score, ret_leak, err);
    } else if (status == TAPEOUT_OK) {
        status = leak_of_numbers(target, column, &binned, ret_score, err);
        *ret_leak = *ret_score >= 0.99;
    }
    tp_free_array(target->alloc, binned.bins, room, sizeof *binned.bins);
    return status;
}
