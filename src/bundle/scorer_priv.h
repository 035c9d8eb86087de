// SPDX-License-Identifier: Apache-2.0
//
// A scorer's insides, shared by the files that open one and that score with it.
#ifndef SCORER_PRIV_H
#define SCORER_PRIV_H

#include "bundle/tp_scorer.h"

#include "base/tp_arena.h"

struct tp_scorer {
    const tapeout_allocator *alloc;
    tp_bundle *bundle;
    tp_arena arena; // schema, target, features
    tp_schema schema;
    tp_target target;
    tp_feature_program *program;
    tp_model *model;
    tp_learn_feature *features; // [feature_count] as the learner knows them
    uint32_t feature_count;
    tp_str *missing; // [missing_count]
    size_t missing_count;
};

#endif
