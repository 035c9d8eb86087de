// SPDX-License-Identifier: Apache-2.0
//
// What the files that read XGBoost's models share.
#ifndef XGBOOST_PRIV_H
#define XGBOOST_PRIV_H

#include "import/document_priv.h"
#include "import/import_priv.h"

typedef struct xgboost_reader {
    const tp_env *env;
    tp_import *import;
    const tp_document_value *learner;
    uint32_t output_count; // K
    float *base;           // [K] margins before any tree
    tapeout_error *err;
} xgboost_reader;

// What an objective means.
typedef struct xgboost_objective {
    const char *name;
    tp_task task;
    tp_objective objective;
    tp_link link;
    enum { XGBOOST_BASE_AS_IT_IS, XGBOOST_BASE_LOGIT, XGBOOST_BASE_LOG } base;
} xgboost_objective;

tapeout_status tp_xgboost_corrupt(xgboost_reader *reader, const char *what);
// A text of digits under `key`, at most `most`; what `*ret_count` is stays where there
// is none.
tapeout_status tp_xgboost_count(xgboost_reader *reader, const tp_document_value *object,
                                const char *key, uint32_t most, uint32_t *ret_count);

// The forest of `booster` (gbtree or dart) into the import's parts.
tapeout_status tp_xgboost_forest(xgboost_reader *reader, const tp_document_value *booster);

// The linear model of `booster` (gblinear) into the import's parts.
tapeout_status tp_xgboost_linear(xgboost_reader *reader, const tp_document_value *booster);

// One tree: `to` is initialised and filled; every leaf is multiplied by `weight` in float32.
typedef struct xgboost_tree {
    uint32_t number;
    uint32_t feature_count;
    float weight;
} xgboost_tree;
tapeout_status tp_xgboost_tree(xgboost_reader *reader, const tp_document_value *from,
                               const xgboost_tree *place, tp_tree *to);

#endif
