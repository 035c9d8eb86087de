// SPDX-License-Identifier: Apache-2.0
//
// The tables of MLflow's tracking, as the registry's migrations make them, in what SQLite and
// PostgreSQL have in common.
#ifndef MLFLOW_TABLES_H
#define MLFLOW_TABLES_H

#define MLFLOW_TABLES_1                                                                            \
    "CREATE TABLE mlflow_experiments("                                                             \
    "  experiment_id {id},"                                                                        \
    "  name {text} NOT NULL UNIQUE,"                                                               \
    "  location {text} NOT NULL,"                                                                  \
    "  lifecycle {text} NOT NULL,"                                                                 \
    "  created_ms {int} NOT NULL,"                                                                 \
    "  updated_ms {int} NOT NULL){table};"                                                         \
    "CREATE TABLE mlflow_experiment_tags("                                                         \
    "  experiment_id {int} NOT NULL,"                                                              \
    "  key {text} NOT NULL,"                                                                       \
    "  value {text} NOT NULL,"                                                                     \
    "  PRIMARY KEY(experiment_id, key)){keyed};"                                                   \
    "CREATE TABLE mlflow_runs("                                                                    \
    "  run_id {text} NOT NULL PRIMARY KEY,"                                                        \
    "  experiment_id {int} NOT NULL,"                                                              \
    "  name {text} NOT NULL,"                                                                      \
    "  user_id {text} NOT NULL,"                                                                   \
    "  status {text} NOT NULL,"                                                                    \
    "  start_ms {int} NOT NULL,"                                                                   \
    "  end_ms {int},"                                                                              \
    "  artifact_uri {text} NOT NULL,"                                                              \
    "  lifecycle {text} NOT NULL){keyed};"                                                         \
    "CREATE INDEX mlflow_runs_by_time ON mlflow_runs(experiment_id, start_ms);"                    \
    "CREATE TABLE mlflow_run_tags("                                                                \
    "  run_id {text} NOT NULL, key {text} NOT NULL, value {text} NOT NULL, PRIMARY KEY(run_id, "   \
    "key)){keyed};"                                                                                \
    "CREATE TABLE mlflow_params("                                                                  \
    "  run_id {text} NOT NULL, key {text} NOT NULL, value {text} NOT NULL, PRIMARY KEY(run_id, "   \
    "key)){keyed};"                                                                                \
    "CREATE TABLE mlflow_metrics("                                                                 \
    "  run_id {text} NOT NULL,"                                                                    \
    "  key {text} NOT NULL,"                                                                       \
    "  timestamp_ms {int} NOT NULL,"                                                               \
    "  step {int} NOT NULL,"                                                                       \
    "  value {real} NOT NULL,"                                                                     \
    "  is_nan {int} NOT NULL,"                                                                     \
    "  PRIMARY KEY(run_id, key, timestamp_ms, step, value, is_nan)){keyed};"                       \
    "CREATE TABLE mlflow_latest_metrics("                                                          \
    "  run_id {text} NOT NULL,"                                                                    \
    "  key {text} NOT NULL,"                                                                       \
    "  timestamp_ms {int} NOT NULL,"                                                               \
    "  step {int} NOT NULL,"                                                                       \
    "  value {real} NOT NULL,"                                                                     \
    "  is_nan {int} NOT NULL,"                                                                     \
    "  PRIMARY KEY(run_id, key)){keyed};"                                                          \
    "CREATE TABLE mlflow_run_datasets("                                                            \
    "  run_id {text} NOT NULL,"                                                                    \
    "  name {text} NOT NULL,"                                                                      \
    "  digest {text} NOT NULL,"                                                                    \
    "  source_type {text} NOT NULL,"                                                               \
    "  source {text} NOT NULL,"                                                                    \
    "  schema_text {text} NOT NULL,"                                                               \
    "  profile {text} NOT NULL,"                                                                   \
    "  context {text} NOT NULL,"                                                                   \
    "  tags {text} NOT NULL,"                                                                      \
    "  PRIMARY KEY(run_id, name, digest)){keyed};"                                                 \
    "CREATE TABLE mlflow_run_models("                                                              \
    "  run_id {text} NOT NULL,"                                                                    \
    "  is_output {int} NOT NULL,"                                                                  \
    "  model_id {text} NOT NULL,"                                                                  \
    "  step {int} NOT NULL,"                                                                       \
    "  PRIMARY KEY(run_id, is_output, model_id)){keyed};"                                          \
    "CREATE TABLE mlflow_logged_models("                                                           \
    "  model_id {text} NOT NULL PRIMARY KEY,"                                                      \
    "  experiment_id {int} NOT NULL,"                                                              \
    "  name {text} NOT NULL,"                                                                      \
    "  artifact_uri {text} NOT NULL,"                                                              \
    "  created_ms {int} NOT NULL,"                                                                 \
    "  updated_ms {int} NOT NULL,"                                                                 \
    "  status {text} NOT NULL,"                                                                    \
    "  model_type {text} NOT NULL,"                                                                \
    "  source_run_id {text} NOT NULL,"                                                             \
    "  lifecycle {text} NOT NULL){keyed};"                                                         \
    "CREATE INDEX mlflow_logged_models_by_time"                                                    \
    "  ON mlflow_logged_models(experiment_id, created_ms);"                                        \
    "CREATE TABLE mlflow_model_params("                                                            \
    "  model_id {text} NOT NULL, key {text} NOT NULL, value {text} NOT NULL,"                      \
    "  PRIMARY KEY(model_id, key)){keyed};"                                                        \
    "CREATE TABLE mlflow_model_tags("                                                              \
    "  model_id {text} NOT NULL, key {text} NOT NULL, value {text} NOT NULL,"                      \
    "  PRIMARY KEY(model_id, key)){keyed};"                                                        \
    "CREATE TABLE mlflow_model_metrics("                                                           \
    "  model_id {text} NOT NULL,"                                                                  \
    "  run_id {text} NOT NULL,"                                                                    \
    "  key {text} NOT NULL,"                                                                       \
    "  timestamp_ms {int} NOT NULL,"                                                               \
    "  step {int} NOT NULL,"                                                                       \
    "  value {real} NOT NULL,"                                                                     \
    "  is_nan {int} NOT NULL,"                                                                     \
    "  dataset_name {text} NOT NULL,"                                                              \
    "  dataset_digest {text} NOT NULL,"                                                            \
    "  PRIMARY KEY(model_id, run_id, key, dataset_name, dataset_digest)){keyed};"                  \
    "CREATE TABLE mlflow_artifacts("                                                               \
    "  folder {text} NOT NULL,"                                                                    \
    "  name {text} NOT NULL,"                                                                      \
    "  sha256 {text} NOT NULL," /* empty: a folder */                                              \
    "  size {int} NOT NULL,"                                                                       \
    "  PRIMARY KEY(folder, name)){keyed};"                                                         \
    "CREATE INDEX mlflow_artifacts_by_hash ON mlflow_artifacts(sha256);"

#endif
