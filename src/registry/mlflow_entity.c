// SPDX-License-Identifier: Apache-2.0
//
// What MLflow's clients can search, by the names that they use and where it stands in the tables:
// runs r, experiments e, logged models l.
#include "registry/mlflow_entity.h"

static const mlflow_attribute run_attributes[] = {
    {"run_id", "r.run_id", MLFLOW_TEXT},
    {"run_name", "r.name", MLFLOW_TEXT},
    {"run name", "r.name", MLFLOW_TEXT},
    {"Run name", "r.name", MLFLOW_TEXT},
    {"Run Name", "r.name", MLFLOW_TEXT},
    {"experiment_id", "r.experiment_id", MLFLOW_INTEGER},
    {"user_id", "r.user_id", MLFLOW_TEXT},
    {"status", "r.status", MLFLOW_TEXT},
    {"artifact_uri", "r.artifact_uri", MLFLOW_TEXT},
    {"start_time", "r.start_ms", MLFLOW_INTEGER},
    {"Created", "r.start_ms", MLFLOW_INTEGER},
    {"created", "r.start_ms", MLFLOW_INTEGER},
    {"end_time", "r.end_ms", MLFLOW_INTEGER},
    {NULL, NULL, MLFLOW_TEXT},
};

const mlflow_entity tp_mlflow_runs = {
    .what = "a run",
    .attributes = run_attributes,
    .related =
        {
            [MLFLOW_METRIC] = "FROM mlflow_latest_metrics x WHERE x.run_id = r.run_id",
            [MLFLOW_PARAM] = "FROM mlflow_params x WHERE x.run_id = r.run_id",
            [MLFLOW_TAG] = "FROM mlflow_run_tags x WHERE x.run_id = r.run_id",
            [MLFLOW_DATASET] = "FROM mlflow_run_datasets x WHERE x.run_id = r.run_id",
        },
};

static const mlflow_attribute experiment_attributes[] = {
    {"name", "e.name", MLFLOW_TEXT},
    {"experiment_id", "e.experiment_id", MLFLOW_INTEGER},
    {"creation_time", "e.created_ms", MLFLOW_INTEGER},
    {"last_update_time", "e.updated_ms", MLFLOW_INTEGER},
    {NULL, NULL, MLFLOW_TEXT},
};

const mlflow_entity tp_mlflow_experiments = {
    .what = "an experiment",
    .attributes = experiment_attributes,
    .related =
        {
            [MLFLOW_TAG] = "FROM mlflow_experiment_tags x WHERE x.experiment_id = e.experiment_id",
        },
};

static const mlflow_attribute logged_model_attributes[] = {
    {"name", "l.name", MLFLOW_TEXT},
    {"model_id", "l.model_id", MLFLOW_TEXT},
    {"model_type", "l.model_type", MLFLOW_TEXT},
    {"status", "l.status", MLFLOW_TEXT},
    {"source_run_id", "l.source_run_id", MLFLOW_TEXT},
    {"artifact_uri", "l.artifact_uri", MLFLOW_TEXT},
    {"experiment_id", "l.experiment_id", MLFLOW_INTEGER},
    {"creation_timestamp", "l.created_ms", MLFLOW_INTEGER},
    {"creation_timestamp_ms", "l.created_ms", MLFLOW_INTEGER},
    {"creation_time", "l.created_ms", MLFLOW_INTEGER},
    {"last_updated_timestamp", "l.updated_ms", MLFLOW_INTEGER},
    {"last_updated_timestamp_ms", "l.updated_ms", MLFLOW_INTEGER},
    {"last_updated_time", "l.updated_ms", MLFLOW_INTEGER},
    {NULL, NULL, MLFLOW_TEXT},
};

const mlflow_entity tp_mlflow_logged_models = {
    .what = "a logged model",
    .attributes = logged_model_attributes,
    .related =
        {
            [MLFLOW_METRIC] = "FROM mlflow_model_metrics x WHERE x.model_id = l.model_id",
            [MLFLOW_PARAM] = "FROM mlflow_model_params x WHERE x.model_id = l.model_id",
            [MLFLOW_TAG] = "FROM mlflow_model_tags x WHERE x.model_id = l.model_id",
        },
};
