// SPDX-License-Identifier: Apache-2.0
//
// A round: several leaves are expanded at once. A small leaf is one task from beginning to end: its
// rows are parted, the smaller child is counted, the larger one is the difference, both are
// searched. A large leaf goes through three phases that all workers share: parting chunks of rows;
// putting them together while counting the smaller side; searching blocks of features. Tasks are
// cut by the size of the data, and whoever is free takes the next one.
#include "learn/gbt/gbt_grow_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <pthread.h>
#include <string.h>

enum { SEARCH_FEATURES = 8 };

// A leaf that is being expanded.
typedef struct pair {
    tp_gbt_node *node;
    tp_gbt_node *left;
    tp_gbt_node *right;
    bool is_large;
    bool has_hist; // the leaf's own, which becomes that of the larger child
    uint64_t left_count;
    uint8_t left_of[TP_GBT_BIN_SLOTS];
    pthread_mutex_t lock; // adding to the histograms of its children
} pair;

typedef enum task_kind { TASK_WHOLE, TASK_PART, TASK_JOIN, TASK_SEARCH, TASK_COUNT } task_kind;

typedef struct task {
    task_kind kind;
    pair *pair;
    uint64_t begin; // rows
    uint64_t count;
    uint64_t left_count; // part: result
    uint64_t left_begin; // join: where the chunk's left and right rows go
    uint64_t right_begin;
    uint32_t feature_begin;
    uint32_t feature_end;
    tp_gbt_split splits[2]; // search: results for left and right child
} task;

struct tp_gbt_round {
    pair pairs[TP_GBT_BATCH_MAX];
    uint32_t pair_count;
    task *tasks; // [task_capacity]
    size_t task_count;
    size_t task_capacity;
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

tapeout_status tp_gbt_round_init(tp_gbt_grower *grower, tapeout_error *err)
{
    const tapeout_allocator *alloc = grower->env->alloc;
    const size_t features = grower->bins->feature_count;
    const size_t spans = features / TP_GBT_SPAN_FEATURES + 1;
    const size_t blocks = features / SEARCH_FEATURES + 1;
    const size_t chunks = (size_t)(grower->matrix->row_count / TP_GBT_CHUNK_ROWS) + 1;
    tp_gbt_round *round = tp_alloc_zero(alloc, sizeof(*round));
    if (round == NULL) {
        return tp_fail_nomem(err);
    }
    grower->round = round;
    for (uint32_t i = 0; i < TP_GBT_BATCH_MAX; i++) {
        pthread_mutex_init(&round->pairs[i].lock, NULL);
    }
    // Each large leaf has a chunk that is not full; their rows are disjoint.
    round->task_capacity =
        (chunks + TP_GBT_BATCH_MAX) * spans + (size_t)TP_GBT_BATCH_MAX * (blocks + 1);
    round->tasks = tp_alloc_array(alloc, round->task_capacity, sizeof(task));
    return round->tasks == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
}

void tp_gbt_round_deinit(tp_gbt_grower *grower)
{
    tp_gbt_round *round = grower->round;
    if (round == NULL) {
        return;
    }
    for (uint32_t i = 0; i < TP_GBT_BATCH_MAX; i++) {
        pthread_mutex_destroy(&round->pairs[i].lock);
    }
    tp_free_array(grower->env->alloc, round->tasks, round->task_capacity, sizeof(task));
    tp_free(grower->env->alloc, round, sizeof(*round));
    grower->round = NULL;
}

static task *task_add(tp_gbt_round *round, task_kind kind, pair *of)
{
    task *added = &round->tasks[round->task_count++];
    *added = (task){.kind = kind, .pair = of};
    return added;
}

// -- searching -----------------------------------------------------------------------------------

static void search_node(const tp_gbt_grower *grower, const tp_gbt_node *node, const task *range,
                        tp_gbt_split *ret_split)
{
    tp_gbt_search search;
    *ret_split = (tp_gbt_split){0};
    tp_gbt_search_init(&search, grower, node, tp_gbt_hist_counts(grower, node->hist));
    if (tp_gbt_search_may_split(&search)) {
        tp_gbt_search_features(&search, range->feature_begin, range->feature_end, ret_split);
    }
}

static tp_gbt_node *smaller_of(const pair *p)
{
    return p->left->count <= p->right->count ? p->left : p->right;
}

static tp_gbt_node *larger_of(const pair *p)
{
    return p->left->count <= p->right->count ? p->right : p->left;
}

static void search_pair(const tp_gbt_grower *grower, const pair *p, task *t)
{
    if (p->has_hist && p->right != NULL) {
        tp_gbt_hist_subtract(grower, larger_of(p), smaller_of(p), t->feature_begin, t->feature_end);
    }
    search_node(grower, p->left, t, &t->splits[0]);
    if (p->right != NULL) {
        search_node(grower, p->right, t, &t->splits[1]);
    }
}

// -- parting -------------------------------------------------------------------------------------

// Sums, bounds and what may still be split by.
static void inherit(const tp_gbt_grower *grower, const tp_gbt_node *node, bool is_left,
                    tp_gbt_node *child)
{
    const tp_gbt_split *split = &node->split;
    child->g = is_left ? split->left_g : node->g - split->left_g;
    child->h = is_left ? split->left_h : node->h - split->left_h;
    child->l2 = split->l2;
    child->depth = node->depth + 1;
    child->lower = node->lower;
    child->upper = node->upper;
    const int monotone = grower->bins->columns[split->feature].monotone;
    if (monotone != 0) {
        const double middle = split->left_value / 2 + split->right_value / 2;
        *((monotone > 0) == is_left ? &child->upper : &child->lower) = middle;
    }
    const uint64_t groups = grower->feature_groups[split->feature];
    child->groups = node->groups & groups;
    child->solo = groups != 0 ? TP_GBT_SOLO_NONE : (int32_t)split->feature;
}

// What the children are once the number of rows on the left is known; false when a side would
// have too few.
static bool part_children(const tp_gbt_grower *grower, pair *p)
{
    tp_gbt_node *node = p->node;
    const uint64_t min_rows = grower->options->min_rows_in_leaf;
    const uint64_t right_count = node->count - p->left_count;
    if (p->left_count < min_rows || right_count < min_rows || p->left_count == 0 ||
        right_count == 0) {
        node->is_short = true;
        return false;
    }
    p->left->begin = node->begin;
    p->left->count = p->left_count;
    p->right->begin = node->begin + p->left_count;
    p->right->count = right_count;
    inherit(grower, node, true, p->left);
    inherit(grower, node, false, p->right);
    // The leaf's histogram stays with the larger child; the spare one came in with the left child.
    if (p->has_hist) {
        smaller_of(p)->hist = p->left->hist;
        larger_of(p)->hist = node->hist;
        node->hist = NULL;
    }
    return true;
}

// Puts a parted run of `spare` to its places among the entries.
static void join_run(const tp_gbt_grower *grower, const task *t)
{
    const uint64_t *from = grower->spare + t->begin;
    memcpy(grower->entries + t->left_begin, from, t->left_count * sizeof(*from));
    uint64_t *to = grower->entries + t->right_begin;
    for (uint64_t i = t->count; i > t->left_count; i--) {
        *to++ = from[i - 1];
    }
}

static void expand_whole(const tp_gbt_grower *grower, tp_gbt_scratch *scratch, task *t)
{
    pair *p = t->pair;
    const tp_gbt_node *node = p->node;
    t->begin = node->begin;
    t->count = node->count;
    p->left_count =
        tp_gbt_partition_run(grower, node->split.feature, p->left_of, node->begin, node->count);
    if (!part_children(grower, p)) {
        return;
    }
    t->left_count = p->left_count;
    t->left_begin = p->left->begin;
    t->right_begin = p->right->begin;
    join_run(grower, t);
    const uint32_t features = grower->bins->feature_count;
    for (int side = 0; side < 2; side++) {
        tp_gbt_node *child = side == 0 ? smaller_of(p) : larger_of(p);
        if (side == 1 && p->has_hist) {
            break;
        }
        tp_gbt_hist_clear(grower, child->hist);
        for (uint32_t f = 0; f < features; f += TP_GBT_SPAN_FEATURES) {
            const tp_gbt_hist_run run = {.entries = grower->entries + child->begin,
                                         .count = child->count,
                                         .feature_begin = f,
                                         .feature_end =
                                             (uint32_t)min_u64(features, f + TP_GBT_SPAN_FEATURES),
                                         .hist = child->hist};
            tp_gbt_hist_add(grower, scratch, &run);
        }
    }
    t->feature_begin = 0;
    t->feature_end = features;
    search_pair(grower, p, t);
    p->left->split = t->splits[0];
    p->right->split = t->splits[1];
}

// A chunk of a large leaf: put together by the first span, counted by each.
static void join_chunk(const tp_gbt_grower *grower, tp_gbt_scratch *scratch, const task *t)
{
    pair *p = t->pair;
    if (t->feature_begin == 0) {
        join_run(grower, t);
    }
    for (int side = 0; side < 2; side++) {
        const tp_gbt_node *child = side == 0 ? p->left : p->right;
        if (p->has_hist && child != smaller_of(p)) {
            continue;
        }
        const uint64_t skip = side == 0 ? 0 : t->left_count;
        const tp_gbt_hist_run run = {.entries = grower->spare + t->begin + skip,
                                     .count = side == 0 ? t->left_count : t->count - t->left_count,
                                     .feature_begin = t->feature_begin,
                                     .feature_end = t->feature_end,
                                     .hist = child->hist,
                                     .lock = &p->lock};
        tp_gbt_hist_add(grower, scratch, &run);
    }
}

static tapeout_status run_task(void *user, size_t index, size_t worker, tapeout_error *err)
{
    const tp_gbt_grower *grower = user;
    task *t = &grower->round->tasks[index];
    tp_gbt_scratch *scratch = &grower->scratch[worker];
    TP_TRY(tp_env_check(grower->env, err));
    switch (t->kind) {
    case TASK_WHOLE:
        expand_whole(grower, scratch, t);
        break;
    case TASK_PART:
        t->left_count = tp_gbt_partition_run(grower, t->pair->node->split.feature, t->pair->left_of,
                                             t->begin, t->count);
        break;
    case TASK_JOIN:
        join_chunk(grower, scratch, t);
        break;
    case TASK_SEARCH:
        search_pair(grower, t->pair, t);
        break;
    case TASK_COUNT: {
        const tp_gbt_hist_run run = {.entries = grower->entries + t->begin,
                                     .count = t->count,
                                     .feature_begin = t->feature_begin,
                                     .feature_end = t->feature_end,
                                     .hist = t->pair->left->hist,
                                     .lock = &t->pair->lock};
        tp_gbt_hist_add(grower, scratch, &run);
        break;
    }
    }
    return TAPEOUT_OK;
}

static tapeout_status run_phase(tp_gbt_grower *grower, tapeout_error *err)
{
    const size_t count = grower->round->task_count;
    return count == 0 ? TAPEOUT_OK : tp_pool_for(grower->env->pool, count, run_task, grower, err);
}

// -- phases --------------------------------------------------------------------------------------

static void add_search_tasks(const tp_gbt_grower *grower, pair *p)
{
    const uint32_t features = grower->bins->feature_count;
    for (uint32_t f = 0; f < features; f += SEARCH_FEATURES) {
        task *t = task_add(grower->round, TASK_SEARCH, p);
        t->feature_begin = f;
        t->feature_end = (uint32_t)min_u64(features, f + SEARCH_FEATURES);
    }
}

// The first best split of each child, by features in order.
static void reduce_search_tasks(const tp_gbt_grower *grower)
{
    const tp_gbt_round *round = grower->round;
    for (size_t i = 0; i < round->task_count; i++) {
        const task *t = &round->tasks[i];
        for (int side = 0; side < 2; side++) {
            tp_gbt_node *child = side == 0 ? t->pair->left : t->pair->right;
            if (child != NULL && t->splits[side].gain > child->split.gain) {
                child->split = t->splits[side];
            }
        }
    }
}

static tapeout_status phase_search(tp_gbt_grower *grower, tapeout_error *err)
{
    tp_gbt_round *round = grower->round;
    round->task_count = 0;
    for (uint32_t i = 0; i < round->pair_count; i++) {
        pair *p = &round->pairs[i];
        if (p->is_large && (p->node == NULL || !p->node->is_short)) {
            add_search_tasks(grower, p);
        }
    }
    TP_TRY(run_phase(grower, err));
    reduce_search_tasks(grower);
    return TAPEOUT_OK;
}

static tapeout_status phase_part(tp_gbt_grower *grower, tapeout_error *err)
{
    tp_gbt_round *round = grower->round;
    round->task_count = 0;
    for (uint32_t i = 0; i < round->pair_count; i++) {
        pair *p = &round->pairs[i];
        if (!p->is_large) {
            continue;
        }
        for (uint64_t at = 0; at < p->node->count; at += TP_GBT_CHUNK_ROWS) {
            task *t = task_add(round, TASK_PART, p);
            t->begin = p->node->begin + at;
            t->count = min_u64(TP_GBT_CHUNK_ROWS, p->node->count - at);
        }
    }
    // Small ones last: they fill the gaps that the chunks leave.
    for (uint32_t i = 0; i < round->pair_count; i++) {
        if (!round->pairs[i].is_large) {
            task_add(round, TASK_WHOLE, &round->pairs[i]);
        }
    }
    return run_phase(grower, err);
}

// The places of each chunk's rows, and the children of the large leaves.
static void place_chunks(const tp_gbt_grower *grower)
{
    tp_gbt_round *round = grower->round;

    for (size_t i = 0; i < round->task_count && round->tasks[i].kind == TASK_PART; i++) {
        round->tasks[i].pair->left_count += round->tasks[i].left_count;
    }
    for (uint32_t i = 0; i < round->pair_count; i++) {
        pair *p = &round->pairs[i];
        if (p->is_large && part_children(grower, p)) {
            tp_gbt_hist_clear(grower, smaller_of(p)->hist);
            if (!p->has_hist) {
                tp_gbt_hist_clear(grower, larger_of(p)->hist);
            }
        }
    }
}

static tapeout_status phase_join(tp_gbt_grower *grower, tapeout_error *err)
{
    tp_gbt_round *round = grower->round;
    const uint32_t features = grower->bins->feature_count;
    size_t kept = 0;
    const pair *current = NULL;
    uint64_t left_at = 0;
    uint64_t right_at = 0;
    for (size_t i = 0; i < round->task_count && round->tasks[i].kind == TASK_PART; i++) {
        task t = round->tasks[i];
        if (t.pair->node->is_short) {
            continue;
        }
        if (t.pair != current) {
            current = t.pair;
            left_at = current->left->begin;
            right_at = current->right->begin;
        }
        t.kind = TASK_JOIN;
        t.left_begin = left_at;
        t.right_begin = right_at;
        t.feature_end = (uint32_t)min_u64(features, TP_GBT_SPAN_FEATURES);
        left_at += t.left_count;
        right_at += t.count - t.left_count;
        round->tasks[kept++] = t;
    }
    round->task_count = kept;
    // The other spans of features repeat the chunks.
    for (uint32_t f = TP_GBT_SPAN_FEATURES; f < features; f += TP_GBT_SPAN_FEATURES) {
        for (size_t i = 0; i < kept; i++) {
            task *t = &round->tasks[round->task_count++];
            *t = round->tasks[i];
            t->feature_begin = f;
            t->feature_end = (uint32_t)min_u64(features, f + TP_GBT_SPAN_FEATURES);
        }
    }
    return run_phase(grower, err);
}

// -- counts --------------------------------------------------------------------------------------

// Chooses the split of a node again with the rows of each bin counted, where the estimate by
// Hessians let a side with too few pass. Rare, and done by the thread that leads.
static tapeout_status search_counted(tp_gbt_grower *grower, tp_gbt_node *node, tapeout_error *err)
{
    const tp_gbt_bins *bins = grower->bins;
    if (grower->counts == NULL) {
        grower->counts = tp_alloc_array(grower->env->alloc, bins->hist_size, sizeof(uint32_t));
        if (grower->counts == NULL) {
            return tp_fail_nomem(err);
        }
    }
    const bool is_given_up = node->hist == NULL;
    if (is_given_up) {
        // The left child, which does not come to be, brought one in.
        tp_gbt_node *child = &grower->nodes[node->child];
        node->hist = child->hist;
        child->hist = NULL;
        tp_gbt_hist_clear(grower, node->hist);
    }
    memset(grower->counts, 0, bins->hist_size * sizeof(uint32_t));
    for (uint64_t at = 0; at < node->count; at += TP_GBT_CHUNK_ROWS) {
        for (uint32_t f = 0; f < bins->feature_count; f += TP_GBT_SPAN_FEATURES) {
            const tp_gbt_hist_run run = {
                .entries = grower->entries + node->begin + at,
                .count = min_u64(TP_GBT_CHUNK_ROWS, node->count - at),
                .feature_begin = f,
                .feature_end = (uint32_t)min_u64(bins->feature_count, f + TP_GBT_SPAN_FEATURES),
                .hist = node->hist};
            tp_gbt_hist_count(grower, &grower->scratch[0], &run, grower->counts);
            if (is_given_up) {
                tp_gbt_hist_add(grower, &grower->scratch[0], &run);
            }
        }
    }
    tp_gbt_search search;
    tp_gbt_search_init(&search, grower, node, grower->counts);
    node->split = (tp_gbt_split){0};
    tp_gbt_search_features(&search, 0, bins->feature_count, &node->split);
    node->is_counted = true;
    node->is_short = false;
    return TAPEOUT_OK;
}

// -- rounds --------------------------------------------------------------------------------------

tapeout_status tp_gbt_round_root(tp_gbt_grower *grower, uint32_t root, tapeout_error *err)
{
    tp_gbt_round *round = grower->round;
    tp_gbt_node *node = &grower->nodes[root];
    const uint32_t features = grower->bins->feature_count;
    pair *p = &round->pairs[0];
    round->pair_count = 1;
    p->node = NULL;
    p->left = node;
    p->right = NULL;
    p->is_large = true;
    p->has_hist = false;
    tp_gbt_hist_clear(grower, node->hist);
    round->task_count = 0;
    for (uint64_t at = 0; at < node->count; at += TP_GBT_CHUNK_ROWS) {
        for (uint32_t f = 0; f < features; f += TP_GBT_SPAN_FEATURES) {
            task *t = task_add(round, TASK_COUNT, p);
            t->begin = node->begin + at;
            t->count = min_u64(TP_GBT_CHUNK_ROWS, node->count - at);
            t->feature_begin = f;
            t->feature_end = (uint32_t)min_u64(features, f + TP_GBT_SPAN_FEATURES);
        }
    }
    TP_TRY(run_phase(grower, err));
    const tp_gbt_column *first = &grower->bins->columns[0];
    node->g = 0;
    node->h = 0;
    for (uint32_t i = 0; i < first->hist_count; i++) {
        node->g += node->hist[i].g;
        node->h += node->hist[i].h;
    }
    return phase_search(grower, err);
}

static void pair_init(tp_gbt_grower *grower, uint32_t index, pair *p)
{
    tp_gbt_node *node = &grower->nodes[index];
    p->node = node;
    p->left = &grower->nodes[node->child];
    p->right = &grower->nodes[node->child + 1];
    p->is_large = node->count > TP_GBT_CHUNK_ROWS;
    p->has_hist = node->hist != NULL;
    p->left_count = 0;
    tp_gbt_split_table(grower->bins, &node->split, p->left_of);
}

tapeout_status tp_gbt_round_expand(tp_gbt_grower *grower, const uint32_t *batch, uint32_t count,
                                   tapeout_error *err)
{
    tp_gbt_round *round = grower->round;
    round->pair_count = count;
    for (uint32_t i = 0; i < count; i++) {
        pair_init(grower, batch[i], &round->pairs[i]);
    }
    TP_TRY(phase_part(grower, err));
    place_chunks(grower);
    TP_TRY(phase_join(grower, err));
    TP_TRY(phase_search(grower, err));
    for (uint32_t i = 0; i < count; i++) {
        pair *p = &round->pairs[i];
        if (p->node->is_short) {
            TP_TRY(search_counted(grower, p->node, err));
        } else {
            p->node->is_expanded = true;
        }
    }
    return TAPEOUT_OK;
}
