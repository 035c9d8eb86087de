// SPDX-License-Identifier: Apache-2.0
//
// Fitting functions of one number: mean and deviation, extremes, and exact quantiles. Only finite
// values count. Sums are taken in eight lanes a block and joined in the order of blocks; squares
// are taken from the mean of their block and joined from the block means (Chan, Golub, LeVeque
// 1979), so a large common offset costs no digits. Quantiles are exact: values become keys in the
// order of numbers, a histogram of their upper bits finds the buckets that hold the wanted ranks,
// and those alone are sorted.
#include "feature/feature_fit.h"

#include <string.h>

enum { LANES = 8, BUCKET_BITS = 16, BUCKETS = 1 << BUCKET_BITS };

// -- moments and extremes ------------------------------------------------------------------------
typedef struct moments {
    double count;
    double sum;
    double squares; // of the distances from the block's mean, later from the mean of all
    double minimum;
    double maximum;
} moments;

typedef struct moment_pass {
    uint32_t operand;
    moments *blocks; // [(rows + BLOCK_ROWS - 1) / BLOCK_ROWS]
} moment_pass;

static double sum_lanes(const double *lanes)
{
    double sum = lanes[0];
    for (int i = 1; i < LANES; i++) {
        sum += lanes[i];
    }
    return sum;
}

static bool counts(double value)
{
    return fabs(value) < INFINITY;
}

static moments moments_of_block(const double *values, uint32_t count)
{
    double sums[LANES] = {0};
    double present[LANES] = {0};
    moments m = {.minimum = INFINITY, .maximum = -INFINITY};
    for (uint32_t i = 0; i < count; i++) {
        const double value = counts(values[i]) ? values[i] : 0;
        sums[i % LANES] += value;
        present[i % LANES] += counts(values[i]) ? 1 : 0;
    }
    m.count = sum_lanes(present);
    if (m.count == 0) {
        return m;
    }
    m.sum = sum_lanes(sums);
    const double mean = m.sum / m.count;
    double squares[LANES] = {0};
    for (uint32_t i = 0; i < count; i++) {
        const double away = counts(values[i]) ? values[i] - mean : 0;
        squares[i % LANES] += away * away;
    }
    for (uint32_t i = 0; i < count; i++) {
        m.minimum = counts(values[i]) && values[i] < m.minimum ? values[i] : m.minimum;
        m.maximum = counts(values[i]) && values[i] > m.maximum ? values[i] : m.maximum;
    }
    m.squares = sum_lanes(squares);
    return m;
}

static moments join_blocks(const moments *blocks, size_t count)
{
    moments all = {.minimum = INFINITY, .maximum = -INFINITY};
    for (size_t i = 0; i < count; i++) {
        if (blocks[i].count > 0) {
            all.count += blocks[i].count;
            all.sum += blocks[i].sum;
            all.minimum = blocks[i].minimum < all.minimum ? blocks[i].minimum : all.minimum;
            all.maximum = blocks[i].maximum > all.maximum ? blocks[i].maximum : all.maximum;
        }
    }
    const double mean = all.sum / all.count;
    for (size_t i = 0; i < count; i++) {
        if (blocks[i].count > 0) {
            const double away = blocks[i].sum / blocks[i].count - mean;
            all.squares += blocks[i].squares + blocks[i].count * (away * away);
        }
    }
    return all;
}

static tapeout_status add_moments(void *user, size_t task, tp_feature_worker *worker,
                                  tapeout_error *err)
{
    (void)task;
    (void)err; // nothing here can fail
    const moment_pass *p = user;
    p->blocks[worker->row_begin / TP_FEATURE_BLOCK_ROWS] =
        moments_of_block(tp_feature_register(worker, p->operand), worker->row_count);
    return TAPEOUT_OK;
}

static tapeout_status collect_moments(tp_feature_fitting *fitting, moments *ret_moments)
{
    const tapeout_allocator *alloc = fitting->env->alloc;
    const uint64_t rows = fitting->data->rows.count;
    const size_t count = (size_t)((rows + TP_FEATURE_BLOCK_ROWS - 1) / TP_FEATURE_BLOCK_ROWS);
    moment_pass p = {.operand = fitting->program->instrs[fitting->instr].code.a};
    p.blocks = tp_alloc_array_zero(alloc, count, sizeof(moments));
    if (p.blocks == NULL) {
        return tp_fail_nomem(fitting->err);
    }
    const tapeout_status status = tp_feature_fit_pass(fitting, add_moments, &p);
    *ret_moments = join_blocks(p.blocks, count);
    tp_free_array(alloc, p.blocks, count, sizeof(moments));
    return status;
}

// -- sorting -------------------------------------------------------------------------------------
static void insertion_sort(uint64_t *keys, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const uint64_t key = keys[i];
        size_t at = i;
        for (; at > 0 && keys[at - 1] > key; at--) {
            keys[at] = keys[at - 1];
        }
        keys[at] = key;
    }
}

// By bytes from the lowest; a byte that is the same in all keys is passed over.
void tp_feature_sort_keys(uint64_t *keys, uint64_t *scratch, size_t count)
{
    if (count < 64) {
        insertion_sort(keys, count);
        return;
    }
    size_t histogram[8][256] = {{0}};
    for (size_t i = 0; i < count; i++) {
        for (int byte = 0; byte < 8; byte++) {
            histogram[byte][keys[i] >> (8 * byte) & 255]++;
        }
    }
    uint64_t *from = keys;
    uint64_t *to = scratch;
    for (int byte = 0; byte < 8; byte++) {
        size_t *starts = histogram[byte];
        if (starts[keys[0] >> (8 * byte) & 255] == count) {
            continue;
        }
        size_t next = 0;
        for (int i = 0; i < 256; i++) {
            const size_t size = starts[i];
            starts[i] = next;
            next += size;
        }
        for (size_t i = 0; i < count; i++) {
            to[starts[from[i] >> (8 * byte) & 255]++] = from[i];
        }
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != keys) {
        memcpy(keys, from, count * sizeof(uint64_t));
    }
}

// -- quantiles -----------------------------------------------------------------------------------
typedef struct key_pass {
    uint32_t operand;
    uint64_t *keys; // [rows] UINT64_MAX for what does not count
} key_pass;

static tapeout_status add_keys(void *user, size_t task, tp_feature_worker *worker,
                               tapeout_error *err)
{
    (void)task;
    (void)err; // nothing here can fail
    const key_pass *p = user;
    const double *values = tp_feature_register(worker, p->operand);
    uint64_t *keys = p->keys + worker->row_begin;
    for (uint32_t i = 0; i < worker->row_count; i++) {
        keys[i] = counts(values[i]) ? tp_feature_key(values[i]) : UINT64_MAX;
    }
    return TAPEOUT_OK;
}

// The keys at hand and what selecting among them takes.
typedef struct selection {
    const tapeout_allocator *alloc;
    uint64_t *keys;
    size_t row_count;
    size_t count;      // keys that count
    uint32_t *buckets; // [BUCKETS] how many keys, then where the bucket's first rank lies
    uint64_t *chosen;  // [2][chosen_count] the keys of the wanted buckets, sorted, and scratch
    size_t chosen_count;
} selection;

static void selection_deinit(selection *s)
{
    tp_free_array(s->alloc, s->keys, s->row_count, sizeof(uint64_t));
    tp_free_array(s->alloc, s->buckets, BUCKETS, sizeof(uint32_t));
    tp_free_array(s->alloc, s->chosen, 2 * s->chosen_count, sizeof(uint64_t));
}

static tapeout_status selection_init(tp_feature_fitting *fitting, selection *s)
{
    *s = (selection){.alloc = fitting->env->alloc, .row_count = fitting->data->rows.count};
    s->keys = tp_alloc_array(s->alloc, s->row_count, sizeof(uint64_t));
    s->buckets = tp_alloc_array_zero(s->alloc, BUCKETS, sizeof(uint32_t));
    if (s->keys == NULL || s->buckets == NULL) {
        return tp_fail_nomem(fitting->err);
    }
    key_pass p = {fitting->program->instrs[fitting->instr].code.a, s->keys};
    TP_TRY(tp_feature_fit_pass(fitting, add_keys, &p));
    for (size_t i = 0; i < s->row_count; i++) {
        s->buckets[s->keys[i] >> (64 - BUCKET_BITS)]++;
    }
    // No finite number has the highest bucket: it would be a NaN.
    s->count = s->row_count - s->buckets[BUCKETS - 1];
    return TAPEOUT_OK;
}

// Sorts the buckets that hold the ranks (ascending); then key_at answers for these ranks.
static tapeout_status selection_sort(selection *s, const size_t *ranks, size_t rank_count,
                                     tapeout_error *err)
{
    size_t first = 0;
    size_t next_rank = 0;
    size_t total = 0;
    for (uint32_t i = 0; i < BUCKETS - 1; i++) { // buckets become offsets into `chosen`, or none
        const size_t size = s->buckets[i];
        const bool wanted = next_rank < rank_count && ranks[next_rank] < first + size;
        while (next_rank < rank_count && ranks[next_rank] < first + size) {
            next_rank++;
        }
        first += size;
        s->buckets[i] = wanted ? 1 : 0;
        total += wanted ? size : 0;
    }
    s->buckets[BUCKETS - 1] = 0;
    s->chosen = tp_alloc_array(s->alloc, 2 * total, sizeof(uint64_t));
    if (s->chosen == NULL) {
        return tp_fail_nomem(err);
    }
    s->chosen_count = total;
    size_t count = 0;
    for (size_t i = 0; i < s->row_count; i++) {
        if (s->buckets[s->keys[i] >> (64 - BUCKET_BITS)] != 0) {
            s->chosen[count++] = s->keys[i];
        }
    }
    tp_feature_sort_keys(s->chosen, s->chosen + total, total);
    return TAPEOUT_OK;
}

// How many keys lie in buckets below that of the chosen key at `index` and were not chosen: walks
// once, so the ranks are asked in ascending order by the caller through `select_ranks`.
static void select_ranks(const selection *s, const uint32_t *sizes, const size_t *ranks,
                         size_t rank_count, double *ret_values)
{
    size_t first = 0;  // rank of the bucket's first key
    size_t chosen = 0; // its place among the chosen
    size_t next = 0;
    for (uint32_t i = 0; i < BUCKETS - 1 && next < rank_count; i++) {
        while (next < rank_count && ranks[next] < first + sizes[i]) {
            ret_values[next] = tp_feature_unkey(s->chosen[chosen + ranks[next] - first]);
            next++;
        }
        first += sizes[i];
        chosen += s->buckets[i] != 0 ? sizes[i] : 0;
    }
}

// The values at `ranks`, ascending and below s->count.
static tapeout_status select_values(selection *s, const size_t *ranks, size_t rank_count,
                                    double *ret_values, tapeout_error *err)
{
    uint32_t *sizes = tp_alloc_array(s->alloc, BUCKETS, sizeof(uint32_t));
    if (sizes == NULL) {
        return tp_fail_nomem(err);
    }
    memcpy(sizes, s->buckets, BUCKETS * sizeof(uint32_t));
    const tapeout_status status = selection_sort(s, ranks, rank_count, err);
    if (status == TAPEOUT_OK) {
        select_ranks(s, sizes, ranks, rank_count, ret_values);
    }
    tp_free_array(s->alloc, sizes, BUCKETS, sizeof(uint32_t));
    return status;
}

// The quantiles at `parts` (ascending, in [0, 1]), interpolated between neighbours as NumPy does.
static tapeout_status select_quantiles(selection *s, const double *parts, size_t part_count,
                                       double *ret_values, tapeout_error *err)
{
    size_t ranks[2 * 3];
    double values[2 * 3];
    for (size_t i = 0; i < part_count; i++) {
        const size_t low = (size_t)floor(parts[i] * (double)(s->count - 1));
        ranks[2 * i] = low;
        ranks[2 * i + 1] = low + 1 < s->count ? low + 1 : low;
        if (i > 0 && ranks[2 * i] < ranks[2 * i - 1]) {
            ranks[2 * i] = ranks[2 * i - 1]; // few values: neighbours overlap
        }
    }
    TP_TRY(select_values(s, ranks, 2 * part_count, values, err));
    for (size_t i = 0; i < part_count; i++) {
        const double at = parts[i] * (double)(s->count - 1);
        const double within = at - floor(at);
        ret_values[i] = values[2 * i] * (1 - within) + values[2 * i + 1] * within;
    }
    return TAPEOUT_OK;
}

// -- what each function takes of it --------------------------------------------------------------
static tapeout_status most_frequent(selection *s, double *ret_value, tapeout_error *err)
{
    uint64_t *scratch = tp_alloc_array(s->alloc, s->row_count, sizeof(uint64_t));
    if (scratch == NULL) {
        return tp_fail_nomem(err);
    }
    tp_feature_sort_keys(s->keys, scratch, s->row_count);
    tp_free_array(s->alloc, scratch, s->row_count, sizeof(uint64_t));
    size_t best = 0;
    for (size_t i = 0, run = 0; i < s->count; i++) {
        run = i > 0 && s->keys[i] == s->keys[i - 1] ? run + 1 : 1;
        if (run > best) { // of two as frequent the smaller
            best = run;
            *ret_value = tp_feature_unkey(s->keys[i]);
        }
    }
    return TAPEOUT_OK;
}

// Cuts at the ranks that part the rows into equal shares; equal cuts become one, and a cut at the
// smallest value would leave its first bin empty.
static tapeout_status bin_cuts(selection *s, uint32_t bins, tp_feature_fitted *fitted,
                               tapeout_error *err)
{
    const uint32_t count = bins - 1;
    size_t *ranks = tp_alloc_array(s->alloc, bins, sizeof(size_t));
    double *cuts = tp_alloc_array(s->alloc, bins, sizeof(double));
    tapeout_status status = TAPEOUT_OK;
    if (ranks == NULL || cuts == NULL) {
        status = tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < bins && status == TAPEOUT_OK; i++) {
        ranks[i] = (size_t)((uint64_t)i * s->count / bins);
    }
    if (status == TAPEOUT_OK) {
        status = select_values(s, ranks, bins, cuts, err);
    }
    uint32_t kept = 0;
    double last = status == TAPEOUT_OK ? cuts[0] : 0;
    for (uint32_t i = 1; i <= count && status == TAPEOUT_OK; i++) {
        if (cuts[i] > last) {
            last = cuts[i];
            cuts[kept++] = last;
        }
    }
    if (status == TAPEOUT_OK) {
        fitted->numbers = tp_alloc_array(s->alloc, kept, sizeof(double));
        fitted->number_count = kept;
        if (fitted->numbers == NULL && kept > 0) {
            fitted->number_count = 0;
            status = tp_fail_nomem(err);
        } else if (kept > 0) {
            memcpy(fitted->numbers, cuts, kept * sizeof(double));
        }
    }
    tp_free_array(s->alloc, ranks, bins, sizeof(size_t));
    tp_free_array(s->alloc, cuts, bins, sizeof(double));
    return status;
}

static tapeout_status fit_selected(tp_feature_fitting *fitting, selection *s,
                                   tp_feature_fitted *fitted)
{
    static const double quartiles[3] = {0.25, 0.5, 0.75};
    const tp_feature_code *code = &fitting->program->instrs[fitting->instr].code;
    double values[3] = {0, 0, 1};
    TP_TRY(selection_init(fitting, s));
    if (s->count == 0) {
        return TAPEOUT_OK;
    }
    fitted->kept = 1; // some value was there
    if (code->op == TP_OP_BIN) {
        return bin_cuts(s, code->index, fitted, fitting->err);
    }
    if (code->op == TP_OP_SCALE) {
        TP_TRY(select_quantiles(s, quartiles, 3, values, fitting->err));
        fitted->shift = values[1];
        fitted->scale = values[2] > values[0] ? values[2] - values[0] : 1;
        return TAPEOUT_OK;
    }
    if (code->index == TP_STRATEGY_MOST_FREQUENT) {
        return most_frequent(s, &fitted->shift, fitting->err);
    }
    return select_quantiles(s, quartiles + 1, 1, &fitted->shift, fitting->err);
}

static tapeout_status fit_moments(tp_feature_fitting *fitting, tp_feature_fitted *fitted)
{
    const tp_feature_code *code = &fitting->program->instrs[fitting->instr].code;
    moments m = {.count = 0};
    TP_TRY(collect_moments(fitting, &m));
    if (m.count == 0) {
        return TAPEOUT_OK;
    }
    fitted->kept = 1; // some value was there
    const bool is_constant = m.minimum == m.maximum;
    fitted->shift = is_constant ? m.minimum : m.sum / m.count;
    if (code->op == TP_OP_IMPUTE || is_constant) {
        return TAPEOUT_OK;
    }
    if (code->index == TP_SCALE_MINMAX) {
        fitted->shift = m.minimum;
        fitted->scale = m.maximum - m.minimum;
    } else {
        fitted->scale = sqrt(m.squares / m.count); // correctly rounded everywhere
    }
    return TAPEOUT_OK;
}

tapeout_status tp_feature_fit_numbers(tp_feature_fitting *fitting, tp_feature_fitted *fitted)
{
    const tp_feature_instr *instr = &fitting->program->instrs[fitting->instr];
    const bool is_impute = instr->code.op == TP_OP_IMPUTE;
    if (is_impute && instr->code.index == TP_STRATEGY_CONSTANT) {
        fitted->shift = instr->code.number;
        return TAPEOUT_OK;
    }
    const bool by_moments =
        is_impute ? instr->code.index == TP_STRATEGY_MEAN
                  : instr->code.op == TP_OP_SCALE && instr->code.index != TP_SCALE_ROBUST;
    if (by_moments) {
        TP_TRY(fit_moments(fitting, fitted));
    } else {
        selection s;
        const tapeout_status status = fit_selected(fitting, &s, fitted);
        selection_deinit(&s);
        TP_TRY(status);
    }
    if (is_impute && fitted->kept == 0) {
        return tp_feature_fail_data(fitting->err, instr->place,
                                    "impute finds no value in any of the %llu training rows; use "
                                    "impute(x, constant, value) or leave the column out",
                                    (unsigned long long)fitting->data->rows.count);
    }
    fitted->kept = 0;
    if (!isfinite(fitted->shift) || !isfinite(fitted->scale) || fitted->scale <= 0) {
        return tp_feature_fail_data(
            fitting->err, instr->place,
            "the values are too large or too small to scale; take log(x) or clip(x, "
            "low, high) first");
    }
    return TAPEOUT_OK;
}
