// SPDX-License-Identifier: Apache-2.0
//
// A spec carried through: prepare, train, evaluate, bundle; and the batch jobs on a finished model.
// Registering is the caller's (the public tapeout_train does it).
#ifndef TP_PIPELINE_H
#define TP_PIPELINE_H

#include "base/tp_buffer.h"
#include "base/tp_env.h"
#include "bundle/tp_bundle.h"

typedef struct tp_train_request {
    const char *spec_path;
    const char *out_path; // NULL: <name>.tapeout in `out_directory`
    const char *out_directory;
    const char *duckdb_library; // may be NULL
    const uint64_t *seed;       // NULL: the spec's
} tp_train_request;

typedef struct tp_train_result {
    char *bundle_path; // freed by tp_train_result_deinit, as all of it
    tp_sha256 hash;
    tp_buffer name;
    tp_buffer metrics_json;   // flat object
    tp_buffer intervals_json; // {metric: [low, high]}
    tp_buffer cohorts_json;   // {column: {value: {metrics}}}
    tp_buffer gates_json;     // [{name, want, got, passed}]
    tp_buffer notes;          // lines for people
    bool gates_passed;
    uint64_t rows_train;
    uint64_t rows_test;
    struct {
        double read;
        double prepare;
        double train;
        double evaluate;
        double write;
    } seconds;
} tp_train_result;

// On E_GATE the bundle is written and the result filled; on any other failure neither.
tapeout_status tp_train(const tp_env *env, const tp_train_request *request,
                        tp_train_result *ret_result, tapeout_error *err);
void tp_train_result_deinit(const tapeout_allocator *alloc, tp_train_result *result);

#endif
