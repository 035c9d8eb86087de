// SPDX-License-Identifier: Apache-2.0
//
// MLflow's tracking tables: experiments, runs with params, metrics and tags, data sets, logged
// models and artifacts. They stand in the registry's store beside its own tables; a tenant has a
// registry of its own. Answers are JSON in MLflow's words, appended to a buffer;
// docs/internals/registry.md has the tables.
//
// What the calls return: E_NOT_FOUND, E_EXISTS, E_INVALID for what MLflow's API calls
// RESOURCE_DOES_NOT_EXIST, RESOURCE_ALREADY_EXISTS and INVALID_PARAMETER_VALUE, and the registry's
// own for what happens to its store. What returns OK is on disk; what fails has changed nothing.
//
// @thread confined, as the registry below it
#ifndef TP_MLFLOW_H
#define TP_MLFLOW_H

#include "base/tp_file.h"
#include "registry/tp_registry.h"
#include "registry/tp_upload.h"

typedef struct tp_mlflow {
    tp_registry *registry; // whose blobs the artifacts are
    tp_store *store;       // its database
    const tapeout_allocator *alloc;
} tp_mlflow;

typedef struct tp_mlflow_pair {
    tp_str key;
    tp_str value;
} tp_mlflow_pair;

typedef struct tp_mlflow_pairs {
    const tp_mlflow_pair *items;
    uint32_t count;
} tp_mlflow_pairs;

typedef struct tp_mlflow_texts {
    const tp_str *items;
    uint32_t count;
} tp_mlflow_texts;

typedef enum tp_mlflow_view { TP_MLFLOW_ACTIVE, TP_MLFLOW_DELETED, TP_MLFLOW_ALL } tp_mlflow_view;

typedef struct tp_mlflow_search {
    tp_str filter;
    tp_mlflow_texts order;       // "name [ASC|DESC]" each
    tp_mlflow_texts experiments; // by id; empty: all, where that makes sense
    tp_mlflow_view view;
    int64_t max_results; // 0: 1,000
    tp_str page_token;   // of the page before
} tp_mlflow_search;

// Over a registry that is open to write. The first time its store gets the tables and an experiment
// "0" of name "Default".
tapeout_status tp_mlflow_open(tp_registry *registry, const tapeout_allocator *alloc,
                              tp_mlflow *ret_mlflow, tapeout_error *err);

// -- experiments ---------------------------------------------------------------------------------
// `location` is empty or "mlflow-artifacts:/FOLDER".
tapeout_status tp_mlflow_experiment_create(tp_mlflow *mlflow, tp_str name, tp_str location,
                                           tp_mlflow_pairs tags, int64_t *ret_id,
                                           tapeout_error *err);
tapeout_status tp_mlflow_experiment_get(tp_mlflow *mlflow, tp_str id, tp_buffer *json,
                                        tapeout_error *err);
tapeout_status tp_mlflow_experiment_find(tp_mlflow *mlflow, tp_str name, tp_buffer *json,
                                         tapeout_error *err);
// `"experiments":[…],"next_page_token":"…"`, without braces, as the other searches.
tapeout_status tp_mlflow_experiment_search(tp_mlflow *mlflow, const tp_mlflow_search *search,
                                           tp_buffer *json, tapeout_error *err);
tapeout_status tp_mlflow_experiment_rename(tp_mlflow *mlflow, tp_str id, tp_str name,
                                           tapeout_error *err);
// With all of its runs, or back with them.
tapeout_status tp_mlflow_experiment_delete(tp_mlflow *mlflow, tp_str id, bool is_back,
                                           tapeout_error *err);
tapeout_status tp_mlflow_experiment_tag(tp_mlflow *mlflow, tp_str id, const tp_mlflow_pair *tag,
                                        tapeout_error *err);
tapeout_status tp_mlflow_experiment_untag(tp_mlflow *mlflow, tp_str id, tp_str key,
                                          tapeout_error *err);

// -- runs ----------------------------------------------------------------------------------------
typedef struct tp_mlflow_run_spec {
    tp_str experiment_id;
    tp_str user_id;
    tp_str name;      // empty: one is made up
    int64_t start_ms; // 0: now
    tp_mlflow_pairs tags;
} tp_mlflow_run_spec;

typedef struct tp_mlflow_run_change {
    tp_str status;  // empty, or RUNNING, SCHEDULED, FINISHED, FAILED, KILLED
    tp_str name;    // empty: stays
    int64_t end_ms; // 0: stays
} tp_mlflow_run_change;

typedef struct tp_mlflow_metric {
    tp_str key;
    double value;
    int64_t timestamp_ms;
    int64_t step;
    tp_str model_id; // empty, as the two below: none
    tp_str dataset_name;
    tp_str dataset_digest;
} tp_mlflow_metric;

typedef struct tp_mlflow_batch {
    const tp_mlflow_metric *metrics; // [metric_count]
    uint32_t metric_count;
    tp_mlflow_pairs params;
    tp_mlflow_pairs tags;
} tp_mlflow_batch;

// The whole run.
tapeout_status tp_mlflow_run_create(tp_mlflow *mlflow, const tp_mlflow_run_spec *spec,
                                    tp_buffer *json, tapeout_error *err);
tapeout_status tp_mlflow_run_get(tp_mlflow *mlflow, tp_str run_id, tp_buffer *json,
                                 tapeout_error *err);
// Its `info`.
tapeout_status tp_mlflow_run_update(tp_mlflow *mlflow, tp_str run_id,
                                    const tp_mlflow_run_change *change, tp_buffer *json,
                                    tapeout_error *err);
tapeout_status tp_mlflow_run_delete(tp_mlflow *mlflow, tp_str run_id, bool is_back,
                                    tapeout_error *err);
// All or nothing. Long values are cut as MLflow's server cuts them; a param that has another value
// already is E_INVALID.
tapeout_status tp_mlflow_run_log(tp_mlflow *mlflow, tp_str run_id, const tp_mlflow_batch *batch,
                                 tapeout_error *err);
tapeout_status tp_mlflow_run_untag(tp_mlflow *mlflow, tp_str run_id, tp_str key,
                                   tapeout_error *err);
// Adds a model of log_model's to the list in the tag mlflow.log-model.history.
tapeout_status tp_mlflow_run_history_add(tp_mlflow *mlflow, tp_str run_id, tp_str model_json,
                                         tapeout_error *err);
tapeout_status tp_mlflow_run_search(tp_mlflow *mlflow, const tp_mlflow_search *search,
                                    tp_buffer *json, tapeout_error *err);

typedef struct tp_mlflow_history {
    tp_mlflow_texts run_ids;
    tp_str key;
    int64_t first_step; // both ends belong to it
    int64_t last_step;
    int64_t max_results; // 0: 25,000
    tp_str page_token;
} tp_mlflow_history;

// `"metrics":[…],"next_page_token":"…"` in the order of time; `names_runs` adds `run_id`.
tapeout_status tp_mlflow_metric_history(tp_mlflow *mlflow, const tp_mlflow_history *history,
                                        bool names_runs, tp_buffer *json, tapeout_error *err);

typedef struct tp_mlflow_dataset {
    tp_str name;
    tp_str digest;
    tp_str source_type;
    tp_str source;
    tp_str schema;
    tp_str profile;
    tp_mlflow_pairs tags;
} tp_mlflow_dataset;

typedef struct tp_mlflow_model_use {
    tp_str model_id;
    int64_t step;
} tp_mlflow_model_use;

tapeout_status tp_mlflow_run_dataset(tp_mlflow *mlflow, tp_str run_id,
                                     const tp_mlflow_dataset *dataset, tapeout_error *err);
// As an input, or with `is_output` as what came out of the run.
tapeout_status tp_mlflow_run_model(tp_mlflow *mlflow, tp_str run_id, const tp_mlflow_model_use *use,
                                   bool is_output, tapeout_error *err);

// -- logged models -------------------------------------------------------------------------------
typedef struct tp_mlflow_model_spec {
    tp_str experiment_id;
    tp_str name; // empty: one is made up
    tp_str model_type;
    tp_str source_run_id;
    tp_mlflow_pairs params;
    tp_mlflow_pairs tags;
} tp_mlflow_model_spec;

tapeout_status tp_mlflow_model_create(tp_mlflow *mlflow, const tp_mlflow_model_spec *spec,
                                      tp_buffer *json, tapeout_error *err);
tapeout_status tp_mlflow_model_get(tp_mlflow *mlflow, tp_str model_id, tp_buffer *json,
                                   tapeout_error *err);
// LOGGED_MODEL_READY, LOGGED_MODEL_PENDING or LOGGED_MODEL_UPLOAD_FAILED.
tapeout_status tp_mlflow_model_finish(tp_mlflow *mlflow, tp_str model_id, tp_str state,
                                      tp_buffer *json, tapeout_error *err);
tapeout_status tp_mlflow_model_delete(tp_mlflow *mlflow, tp_str model_id, tapeout_error *err);
tapeout_status tp_mlflow_model_params(tp_mlflow *mlflow, tp_str model_id, tp_mlflow_pairs params,
                                      tapeout_error *err);
tapeout_status tp_mlflow_model_tags(tp_mlflow *mlflow, tp_str model_id, tp_mlflow_pairs tags,
                                    tapeout_error *err);
tapeout_status tp_mlflow_model_untag(tp_mlflow *mlflow, tp_str model_id, tp_str key,
                                     tapeout_error *err);
tapeout_status tp_mlflow_model_search(tp_mlflow *mlflow, const tp_mlflow_search *search,
                                      tp_buffer *json, tapeout_error *err);

// -- artifacts -----------------------------------------------------------------------------------
// Paths are below the root, as in "mlflow-artifacts:/PATH".

// Opens an upload for that path; E_INVALID where nothing could be put there.
tapeout_status tp_mlflow_artifact_begin(tp_mlflow *mlflow, tp_str path, tp_upload **ret_upload,
                                        tapeout_error *err);
// Puts what was written to `upload`: blob first, then the row; replaces what was there. E_INVALID
// where a folder has that name, or a file the name of one of its folders.
tapeout_status tp_mlflow_artifact_put(tp_mlflow *mlflow, tp_str path, tp_upload *upload,
                                      tapeout_error *err);
// The file's bytes, mapped; E_NOT_FOUND for a folder as well.
tapeout_status tp_mlflow_artifact_open(tp_mlflow *mlflow, tp_str path, tp_map *ret_map,
                                       tapeout_error *err);
// `"files":[{"path":…,"is_dir":…,"file_size":…}]` of a folder ("": the root), each path behind
// `prefix`. Nothing for what is no folder. An empty file has no size, as in protobuf's JSON.
tapeout_status tp_mlflow_artifact_list(tp_mlflow *mlflow, tp_str folder, tp_str prefix,
                                       tp_buffer *json, tapeout_error *err);
// A file, or a folder with all in it; what is not there is no failure.
tapeout_status tp_mlflow_artifact_remove(tp_mlflow *mlflow, tp_str path, tapeout_error *err);
// "mlflow-artifacts:/FOLDER" of a run or a logged model, without the scheme and the slash.
tapeout_status tp_mlflow_run_folder(tp_mlflow *mlflow, tp_str run_id, tp_buffer *ret_folder,
                                    tapeout_error *err);
// Of a logged model, with the run that it came from (may be NULL; empty where there is none).
tapeout_status tp_mlflow_model_origin(tp_mlflow *mlflow, tp_str model_id, tp_buffer *ret_folder,
                                      tp_buffer *ret_run_id, tapeout_error *err);

#endif
