// SPDX-License-Identifier: Apache-2.0
//
// MLflow's lines in the table of routes (routes.c). They stand below /api/2.0 and answer below
// /ajax-api/2.0 as well, which MLflow's own pages ask.
#ifndef MLFLOW_ROUTES_H
#define MLFLOW_ROUTES_H

// X(method, pattern behind /api/2.0, right, handler, call, summary)
#define SERVE_MLFLOW_TRACKING_MAP(X)                                                               \
    X(POST, "/mlflow/experiments/create", PUBLISH, tp_mlflow_experiments_create)                   \
    X(GET, "/mlflow/experiments/get", READ, tp_mlflow_experiments_get)                             \
    X(GET, "/mlflow/experiments/get-by-name", READ, tp_mlflow_experiments_by_name)                 \
    X(POST, "/mlflow/experiments/search", READ, tp_mlflow_experiments_search)                      \
    X(GET, "/mlflow/experiments/search", READ, tp_mlflow_experiments_search)                       \
    X(POST, "/mlflow/experiments/update", PUBLISH, tp_mlflow_experiments_update)                   \
    X(POST, "/mlflow/experiments/delete", PUBLISH, tp_mlflow_experiments_delete)                   \
    X(POST, "/mlflow/experiments/restore", PUBLISH, tp_mlflow_experiments_restore)                 \
    X(POST, "/mlflow/experiments/set-experiment-tag", PUBLISH, tp_mlflow_experiments_tag)          \
    X(POST, "/mlflow/experiments/delete-experiment-tag", PUBLISH, tp_mlflow_experiments_untag)     \
    X(POST, "/mlflow/runs/create", PUBLISH, tp_mlflow_runs_create)                                 \
    X(GET, "/mlflow/runs/get", READ, tp_mlflow_runs_get)                                           \
    X(POST, "/mlflow/runs/update", PUBLISH, tp_mlflow_runs_update)                                 \
    X(POST, "/mlflow/runs/delete", PUBLISH, tp_mlflow_runs_delete)                                 \
    X(POST, "/mlflow/runs/restore", PUBLISH, tp_mlflow_runs_restore)                               \
    X(POST, "/mlflow/runs/log-metric", PUBLISH, tp_mlflow_runs_log_metric)                         \
    X(POST, "/mlflow/runs/log-parameter", PUBLISH, tp_mlflow_runs_log_param)                       \
    X(POST, "/mlflow/runs/log-batch", PUBLISH, tp_mlflow_runs_log_batch)                           \
    X(POST, "/mlflow/runs/log-model", PUBLISH, tp_mlflow_runs_log_model)                           \
    X(POST, "/mlflow/runs/log-inputs", PUBLISH, tp_mlflow_runs_log_inputs)                         \
    X(POST, "/mlflow/runs/outputs", PUBLISH, tp_mlflow_runs_log_outputs)                           \
    X(POST, "/mlflow/runs/set-tag", PUBLISH, tp_mlflow_runs_set_tag)                               \
    X(POST, "/mlflow/runs/delete-tag", PUBLISH, tp_mlflow_runs_delete_tag)                         \
    X(POST, "/mlflow/runs/search", READ, tp_mlflow_runs_search)                                    \
    X(GET, "/mlflow/metrics/get-history", READ, tp_mlflow_metrics_history)                         \
    X(GET, "/mlflow/metrics/get-history-bulk-interval", READ, tp_mlflow_metrics_interval)          \
    X(GET, "/mlflow/artifacts/list", READ, tp_mlflow_artifacts_of_run)                             \
    X(POST, "/mlflow/logged-models", PUBLISH, tp_mlflow_models_create)                             \
    X(POST, "/mlflow/logged-models/search", READ, tp_mlflow_models_search)                         \
    X(GET, "/mlflow/logged-models/{model_id}", READ, tp_mlflow_models_get)                         \
    X(PATCH, "/mlflow/logged-models/{model_id}", PUBLISH, tp_mlflow_models_finish)                 \
    X(DELETE, "/mlflow/logged-models/{model_id}", PUBLISH, tp_mlflow_models_delete)                \
    X(PATCH, "/mlflow/logged-models/{model_id}/tags", PUBLISH, tp_mlflow_models_set_tags)          \
    X(DELETE, "/mlflow/logged-models/{model_id}/tags/{key}", PUBLISH, tp_mlflow_models_delete_tag) \
    X(POST, "/mlflow/logged-models/{model_id}/params", PUBLISH, tp_mlflow_models_set_params)       \
    X(GET, "/mlflow/logged-models/{model_id}/artifacts/directories", READ,                         \
      tp_mlflow_models_artifacts)                                                                  \
    X(GET, "/mlflow-artifacts/artifacts", READ, tp_mlflow_artifacts_list)                          \
    X(GET, "/mlflow-artifacts/artifacts/{path...}", READ, tp_mlflow_artifacts_get)                 \
    X(DELETE, "/mlflow-artifacts/artifacts/{path...}", PUBLISH, tp_mlflow_artifacts_delete)        \
    X(POST, "/mlflow-artifacts/mpu/{path...}", PUBLISH, tp_mlflow_refuse)                          \
    X(GET, "/mlflow-artifacts/presigned/{path...}", READ, tp_mlflow_refuse)

// The same of its registry, model by model.
#define SERVE_MLFLOW_REGISTRY_MAP(X)                                                               \
    X(POST, "/mlflow/registered-models/create", PUBLISH, tp_mlflow_registry_create)                \
    X(GET, "/mlflow/registered-models/get", READ, tp_mlflow_registry_get)                          \
    X(PATCH, "/mlflow/registered-models/update", PUBLISH, tp_mlflow_registry_update)               \
    X(POST, "/mlflow/registered-models/rename", PUBLISH, tp_mlflow_registry_rename)                \
    X(DELETE, "/mlflow/registered-models/delete", PUBLISH, tp_mlflow_registry_delete)              \
    X(GET, "/mlflow/registered-models/search", READ, tp_mlflow_registry_search)                    \
    X(POST, "/mlflow/registered-models/get-latest-versions", READ, tp_mlflow_registry_latest)      \
    X(GET, "/mlflow/registered-models/get-latest-versions", READ, tp_mlflow_registry_latest)       \
    X(POST, "/mlflow/registered-models/set-tag", PUBLISH, tp_mlflow_registry_tag)                  \
    X(DELETE, "/mlflow/registered-models/delete-tag", PUBLISH, tp_mlflow_registry_untag)           \
    X(POST, "/mlflow/registered-models/alias", PUBLISH, tp_mlflow_registry_alias)                  \
    X(GET, "/mlflow/registered-models/alias", READ, tp_mlflow_registry_by_alias)                   \
    X(DELETE, "/mlflow/registered-models/alias", PUBLISH, tp_mlflow_registry_unalias)              \
    X(POST, "/mlflow/model-versions/create", PUBLISH, tp_mlflow_versions_create)                   \
    X(GET, "/mlflow/model-versions/get", READ, tp_mlflow_versions_get)                             \
    X(PATCH, "/mlflow/model-versions/update", PUBLISH, tp_mlflow_versions_update)                  \
    X(DELETE, "/mlflow/model-versions/delete", PUBLISH, tp_mlflow_versions_delete)                 \
    X(POST, "/mlflow/model-versions/transition-stage", PUBLISH, tp_mlflow_versions_stage)          \
    X(GET, "/mlflow/model-versions/search", READ, tp_mlflow_versions_search)                       \
    X(GET, "/mlflow/model-versions/get-download-uri", READ, tp_mlflow_versions_uri)                \
    X(POST, "/mlflow/model-versions/set-tag", PUBLISH, tp_mlflow_versions_tag)                     \
    X(DELETE, "/mlflow/model-versions/delete-tag", PUBLISH, tp_mlflow_versions_untag)

// Not below /api/2.0. X(method, pattern, right, handler, call, summary)
// Of files on their way in.
#define SERVE_MLFLOW_UPLOAD_MAP(X)                                                                 \
    X("/mlflow-artifacts/artifacts/{path...}", PUBLISH, tp_mlflow_artifacts_put)

#define SERVE_MLFLOW_FILE_MAP(X)                                                                   \
    X(GET, "/get-artifact", READ, tp_serve_mlflow, tp_mlflow_artifacts_get_of_run,                 \
      "A file of a run")                                                                           \
    X(GET, "/model-versions/get-artifact", READ, tp_serve_mlflow_model, tp_mlflow_versions_file,   \
      "A file of a version")

#endif
