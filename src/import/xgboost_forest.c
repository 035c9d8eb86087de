// SPDX-License-Identifier: Apache-2.0
//
// XGBoost's forest: which tree belongs to which output, and with DART its weight, which multiplies
// every leaf in float32 before it is added, so it can be done once.
#include "import/xgboost_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <math.h>

typedef struct forest {
    xgboost_reader *reader;
    const tp_document_value *trees;
    const tp_document_value *info;    // of each tree its output
    const tp_document_value *weights; // of DART; else NULL
    uint32_t *counts;                 // [K] trees of each output so far
} forest;

static tapeout_status output_of(const forest *f, uint32_t tree, uint32_t *ret_output)
{
    const double output = tp_document_number(f->info, tree);
    if (!(output >= 0 && output < f->reader->output_count) || output != floor(output)) {
        return tp_fail_at(f->reader->err, TAPEOUT_E_CORRUPT, tree,
                          "xgboost: tree %u belongs to output %g; there are %u", tree, output,
                          f->reader->output_count);
    }
    *ret_output = (uint32_t)output;
    return TAPEOUT_OK;
}

static tapeout_status find_lists(forest *f, const tp_document_value *booster)
{
    const tp_document_value *inner = tp_document_get(booster, "gbtree");
    const tp_document_value *model = tp_document_get(inner != NULL ? inner : booster, "model");
    f->trees = tp_document_get(model, "trees");
    f->info = tp_document_get(model, "tree_info");
    f->weights = tp_document_get(booster, "weight_drop");
    f->weights = f->weights != NULL ? f->weights : tp_document_get(model, "weight_drop");
    if (f->trees == NULL || f->trees->kind != TP_DOCUMENT_LIST ||
        !tp_document_is_numbers(f->info) || f->info->count != f->trees->count) {
        return tp_xgboost_corrupt(f->reader,
                                  "\"trees\" and \"tree_info\" are no lists of one length");
    }
    if (f->weights != NULL && f->weights->count == 0) {
        f->weights = NULL;
    }
    if (f->weights != NULL &&
        (!tp_document_is_numbers(f->weights) || f->weights->count != f->trees->count)) {
        return tp_xgboost_corrupt(f->reader, "\"weight_drop\" is no list of a number a tree");
    }
    if (f->trees->count > TP_MAX_GBT_TREES) {
        return tp_fail(f->reader->err, TAPEOUT_E_LIMIT, "xgboost: %u trees; at most %u are taken",
                       f->trees->count, TP_MAX_GBT_TREES);
    }
    return TAPEOUT_OK;
}

// The most trees that any output has.
static tapeout_status count_trees(forest *f, uint32_t *ret_most)
{
    *ret_most = 0;
    for (uint32_t t = 0; t < f->trees->count; t++) {
        uint32_t output = 0;
        TP_TRY(output_of(f, t, &output));
        f->counts[output]++;
        *ret_most = f->counts[output] > *ret_most ? f->counts[output] : *ret_most;
    }
    for (uint32_t k = 0; k < f->reader->output_count; k++) {
        f->counts[k] = 0;
    }
    return TAPEOUT_OK;
}

static tapeout_status read_trees(forest *f, tp_gbt *gbt)
{
    const tp_document_value *from = f->trees->first;
    const uint32_t outputs = f->reader->output_count;
    for (uint32_t t = 0; t < f->trees->count; t++, from = from->next) {
        uint32_t output = 0;
        TP_TRY(output_of(f, t, &output));
        const xgboost_tree place = {
            .number = t,
            .feature_count = gbt->feature_count,
            .weight = f->weights == NULL ? 1.0f : (float)tp_document_number(f->weights, t)};
        tp_tree *to = &gbt->trees[f->counts[output]++ * outputs + output];
        TP_TRY(tp_xgboost_tree(f->reader, from, &place, to));
    }
    return TAPEOUT_OK;
}

static tapeout_status make_forest(forest *f)
{
    xgboost_reader *reader = f->reader;
    const uint32_t outputs = reader->output_count;
    const tapeout_allocator *alloc = reader->env->alloc;
    uint32_t most = 0;
    TP_TRY(count_trees(f, &most));
    if ((uint64_t)most * outputs > TP_MAX_GBT_TREES) {
        return tp_fail(reader->err, TAPEOUT_E_LIMIT, "xgboost: %u trees for each of %u outputs",
                       most, outputs);
    }
    tp_gbt *gbt = NULL;
    TP_TRY(tp_gbt_new(alloc, reader->import->facts.columns, outputs, most * outputs, &gbt,
                      reader->err));
    reader->import->parts.gbt = gbt; // freed with the import
    reader->import->parts.kind = TP_LEARNER_GBT;
    gbt->flags = TP_GBT_FLOAT32 | TP_GBT_CODES_ARE_NUMBERS;
    for (uint32_t k = 0; k < outputs; k++) {
        gbt->base[k] = (double)reader->base[k];
    }
    TP_TRY(read_trees(f, gbt));
    for (uint32_t t = 0; t < most * outputs; t++) {
        if (gbt->trees[t].leaf_count == 0) {
            TP_TRY(tp_gbt_tree_init(alloc, 1, 0, &gbt->trees[t], reader->err));
        }
    }
    gbt->tree_count = most * outputs;
    reader->import->facts.trees = f->trees->count;
    return tp_gbt_finish(gbt, NULL, reader->err);
}

tapeout_status tp_xgboost_forest(xgboost_reader *reader, const tp_document_value *booster)
{
    const tapeout_allocator *alloc = reader->env->alloc;
    forest f = {.reader = reader};
    TP_TRY(find_lists(&f, booster));
    f.counts = tp_alloc_array_zero(alloc, reader->output_count, sizeof(*f.counts));
    const tapeout_status status = f.counts == NULL ? tp_fail_nomem(reader->err) : make_forest(&f);
    tp_free_array(alloc, f.counts, reader->output_count, sizeof(*f.counts));
    return status;
}
