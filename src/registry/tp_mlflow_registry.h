// SPDX-License-Identifier: Apache-2.0
//
// The registry in MLflow's words: its registered models, versions, aliases, tags and stages are the
// rows of tp_entry.h, whoever made them. What moves an alias goes through tp_alias_apply, which may
// say no (E_GATE, E_DENIED), the stage Production included: it is the alias "prod".
//
// Names of models are the registry's: a letter or digit, then letters, digits, '.', '_', '-'.
//
// @thread confined
#ifndef TP_MLFLOW_REGISTRY_H
#define TP_MLFLOW_REGISTRY_H

#include "registry/tp_mlflow.h"

// -- reading -------------------------------------------------------------------------------------
// A registered model with its tags, aliases and the latest version of each stage.
tapeout_status tp_mlflow_registered_get(tp_mlflow *mlflow, tp_str name, tp_buffer *json,
                                        tapeout_error *err);
// `"registered_models":[…]`, as the searches of tp_mlflow.h.
tapeout_status tp_mlflow_registered_search(tp_mlflow *mlflow, const tp_mlflow_search *search,
                                           tp_buffer *json, tapeout_error *err);
tapeout_status tp_mlflow_version_get(tp_mlflow *mlflow, tp_str name, int64_t version,
                                     tp_buffer *json, tapeout_error *err);
// The version that an alias points to; E_INVALID for one that is not there, as MLflow has it.
tapeout_status tp_mlflow_version_by_alias(tp_mlflow *mlflow, tp_str name, tp_str alias,
                                          tp_buffer *json, tapeout_error *err);
tapeout_status tp_mlflow_version_search(tp_mlflow *mlflow, const tp_mlflow_search *search,
                                        tp_buffer *json, tapeout_error *err);
// `"model_versions":[…]`: the newest of each stage, of those named or of all.
tapeout_status tp_mlflow_version_latest(tp_mlflow *mlflow, tp_str name, tp_mlflow_texts stages,
                                        tp_buffer *json, tapeout_error *err);
// The folder in the store that a version's files lie in.
tapeout_status tp_mlflow_version_folder(tp_mlflow *mlflow, tp_str name, int64_t version,
                                        tp_buffer *ret_folder, tapeout_error *err);

// -- writing -------------------------------------------------------------------------------------
typedef struct tp_mlflow_registered_spec {
    tp_str name;
    tp_str description;
    tp_str owner;
    tp_mlflow_pairs tags;
} tp_mlflow_registered_spec;

tapeout_status tp_mlflow_registered_create(tp_mlflow *mlflow, const tp_mlflow_registered_spec *spec,
                                           tapeout_error *err);

typedef struct tp_mlflow_version_spec {
    tp_str name;
    tp_str source; // "models:/m-…", "models:/NAME/3", "runs:/RUN/path" or "mlflow-artifacts:/…"
    tp_str run_id;
    tp_str model_id;
    tp_str description;
    tp_str owner;
    tp_mlflow_pairs tags;
} tp_mlflow_version_spec;

// Numbers a version of a registered model. E_INVALID for a source outside of this store.
tapeout_status tp_mlflow_version_create(tp_mlflow *mlflow, const tp_mlflow_version_spec *spec,
                                        int64_t *ret_version, tapeout_error *err);

// What changes one model (version 0) or version.
typedef struct tp_mlflow_change {
    tp_str name;
    int64_t version;
    tp_str key;   // of the tag, or the alias
    tp_str value; // of the tag; the description; the new name; the stage
    tp_str who;
    bool archives; // the others of the stage
} tp_mlflow_change;

tapeout_status tp_mlflow_describe(tp_mlflow *mlflow, const tp_mlflow_change *change,
                                  tapeout_error *err);
tapeout_status tp_mlflow_registered_rename(tp_mlflow *mlflow, const tp_mlflow_change *change,
                                           tapeout_error *err);
// The model or the version. E_BUSY while an alias points to it.
tapeout_status tp_mlflow_unregister(tp_mlflow *mlflow, const tp_mlflow_change *change,
                                    tapeout_error *err);
tapeout_status tp_mlflow_tag(tp_mlflow *mlflow, const tp_mlflow_change *change, tapeout_error *err);
tapeout_status tp_mlflow_untag(tp_mlflow *mlflow, const tp_mlflow_change *change,
                               tapeout_error *err);
// Version 0 takes the alias away.
tapeout_status tp_mlflow_alias(tp_mlflow *mlflow, const tp_mlflow_change *change,
                               tapeout_error *err);
tapeout_status tp_mlflow_stage(tp_mlflow *mlflow, const tp_mlflow_change *change,
                               tapeout_error *err);

#endif
