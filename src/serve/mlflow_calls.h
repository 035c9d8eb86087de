// SPDX-License-Identifier: Apache-2.0
//
// The calls of MLflow's routes, by file. The reply's body is begun with '{' and ended with '}'
// around what a call writes.
#ifndef MLFLOW_CALLS_H
#define MLFLOW_CALLS_H

#include "serve/serve_priv.h"

mlflow_call tp_mlflow_refuse; // route_mlflow.c

mlflow_call tp_mlflow_experiments_create, tp_mlflow_experiments_get, tp_mlflow_experiments_by_name,
    tp_mlflow_experiments_search, tp_mlflow_experiments_update, tp_mlflow_experiments_delete,
    tp_mlflow_experiments_restore, tp_mlflow_experiments_tag,
    tp_mlflow_experiments_untag; // route_mlflow_experiments.c

mlflow_call tp_mlflow_runs_create, tp_mlflow_runs_get, tp_mlflow_runs_update, tp_mlflow_runs_delete,
    tp_mlflow_runs_restore, tp_mlflow_runs_log_metric, tp_mlflow_runs_log_param,
    tp_mlflow_runs_log_batch, tp_mlflow_runs_log_model, tp_mlflow_runs_log_inputs,
    tp_mlflow_runs_log_outputs, tp_mlflow_runs_set_tag, tp_mlflow_runs_delete_tag,
    tp_mlflow_runs_search, tp_mlflow_metrics_history,
    tp_mlflow_metrics_interval; // route_mlflow_runs.c

mlflow_call tp_mlflow_models_create, tp_mlflow_models_search, tp_mlflow_models_get,
    tp_mlflow_models_finish, tp_mlflow_models_delete, tp_mlflow_models_set_tags,
    tp_mlflow_models_delete_tag, tp_mlflow_models_set_params; // route_mlflow_models.c

mlflow_call tp_mlflow_artifacts_of_run, tp_mlflow_models_artifacts, tp_mlflow_artifacts_list,
    tp_mlflow_artifacts_get, tp_mlflow_artifacts_get_of_run, tp_mlflow_artifacts_put,
    tp_mlflow_artifacts_delete; // route_mlflow_artifacts.c

mlflow_call tp_mlflow_registry_create, tp_mlflow_registry_get, tp_mlflow_registry_update,
    tp_mlflow_registry_rename, tp_mlflow_registry_delete, tp_mlflow_registry_search,
    tp_mlflow_registry_latest, tp_mlflow_registry_tag, tp_mlflow_registry_untag,
    tp_mlflow_registry_alias, tp_mlflow_registry_unalias, tp_mlflow_registry_by_alias,
    tp_mlflow_versions_create, tp_mlflow_versions_get, tp_mlflow_versions_update,
    tp_mlflow_versions_delete, tp_mlflow_versions_stage, tp_mlflow_versions_search,
    tp_mlflow_versions_uri, tp_mlflow_versions_file, tp_mlflow_versions_tag,
    tp_mlflow_versions_untag; // route_mlflow_registry.c

// Answers with the file `path` in the folder `root`, which becomes its whole path
// (route_mlflow_artifacts.c).
tapeout_status tp_mlflow_send_below(struct mlflow_ask *ask, tp_buffer *root, tp_str path,
                                    tapeout_error *err);

#endif
