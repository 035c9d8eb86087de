// SPDX-License-Identifier: Apache-2.0
//
// What the files of MLflow's tables share: statements on the registry's store, checks of keys and
// texts, and JSON in MLflow's words.
#ifndef MLFLOW_PRIV_H
#define MLFLOW_PRIV_H

#include "base/tp_file.h"
#include "registry/mlflow_entity.h"
#include "registry/mlflow_sql.h"
#include "registry/registry_priv.h"
#include "registry/tp_mlflow.h"

// -- statements (mlflow_store.c) -----------------------------------------------------------------
// As tp_store_query and its kin, for callers who may fail on the way as well.
tapeout_status tp_mlflow_query(tp_mlflow *mlflow, const char *sql, tp_sql_values values,
                               tp_rows *ret_rows, tapeout_error *err);
tapeout_status tp_mlflow_next(tp_rows *rows, bool *ret_has_row, tapeout_error *err);
void tp_mlflow_end(tp_rows *rows);

// A statement without rows, and how many it changed (may be NULL).
tapeout_status tp_mlflow_exec(tp_mlflow *mlflow, const char *sql, tp_sql_values values,
                              int64_t *ret_changed, tapeout_error *err);
// Whether there is a row.
tapeout_status tp_mlflow_exists(tp_mlflow *mlflow, const char *sql, tp_sql_values values,
                                bool *ret_exists, tapeout_error *err);

// A transaction: `write` between begin and commit, rolled back where it fails.
typedef tapeout_status mlflow_write(tp_mlflow *mlflow, void *user, tapeout_error *err);
tapeout_status tp_mlflow_transact(tp_mlflow *mlflow, mlflow_write *write, void *user,
                                  tapeout_error *err);

// -- checks (mlflow_check.c) ---------------------------------------------------------------------
// Keys of params, metrics and tags: 1 to 250 characters, none of control, nothing that reads as
// another path (a leading or doubled "/", "." and ".." between them). `what` is "metric" and so on.
tapeout_status tp_mlflow_key_check(const char *what, tp_str key, tapeout_error *err);
tapeout_status tp_mlflow_length_check(const char *what, tp_str text, size_t max,
                                      tapeout_error *err);
size_t tp_mlflow_characters(tp_str text); // how many
// The first `max` characters.
tp_str tp_mlflow_cut(tp_str text, size_t max);
// The id of an experiment; false for what can be none.
bool tp_mlflow_experiment_number(tp_str id, int64_t *ret_number);
int64_t tp_mlflow_now_ms(void);
// 32 random hexadecimal digits and a NUL.
enum { MLFLOW_ID_SIZE = 32, MLFLOW_NAME_SIZE = 64 };
tapeout_status tp_mlflow_id_make(char ret_id[MLFLOW_ID_SIZE + 1], tapeout_error *err);
// "calm-heron-417".
tapeout_status tp_mlflow_name_make(char ret_name[MLFLOW_NAME_SIZE], tapeout_error *err);

// -- JSON (mlflow_check.c) -----------------------------------------------------------------------
void tp_mlflow_put_real(tp_buffer *json, const char *key, double value); // "NaN" where it is none
// `"name":[{"key":…,"value":…}]` of a statement's two columns; nothing without rows.
tapeout_status tp_mlflow_put_pairs(tp_mlflow *mlflow, const char *name, const char *sql,
                                   tp_sql_values values, tp_buffer *json, tapeout_error *err);
// `"name":[{metric}]` of value, is_nan, timestamp_ms, step, key and what further columns there are:
// run_id, model_id, dataset_name, dataset_digest.
tapeout_status tp_mlflow_put_metrics(tp_mlflow *mlflow, const char *sql, tp_sql_values values,
                                     tp_buffer *json, tapeout_error *err);
void tp_mlflow_put_metric(const tp_rows *rows, int column_count, tp_buffer *json);

// -- searches (mlflow_search.c) ------------------------------------------------------------------
// Adds filter, order, limit and offset to a SELECT that ends in its own WHERE. `last_order` comes
// behind the caller's keys and makes the order one.
tapeout_status tp_mlflow_search_add(mlflow_sql *sql, const mlflow_entity *entity,
                                    const tp_mlflow_search *search, const char *last_order,
                                    tapeout_error *err);
// Runs it: `"list":[…],"next_page_token":"…"`, each row written by `write`.
typedef tapeout_status mlflow_write_row(tp_mlflow *mlflow, const tp_rows *rows, tp_buffer *json,
                                        tapeout_error *err);
tapeout_status tp_mlflow_search_run(tp_mlflow *mlflow, const mlflow_sql *sql, const char *list,
                                    mlflow_write_row *write, tp_buffer *json, tapeout_error *err);
// The lifecycle that a view shows as an SQL condition on `lifecycle`.
const char *tp_mlflow_view_sql(tp_mlflow_view view);

// -- parts of a run (mlflow_inputs.c) ------------------------------------------------------------
// `"dataset_inputs":[…],"model_inputs":[…]` and `"model_outputs":[…]` of the run whose id is the
// one value.
tapeout_status tp_mlflow_put_inputs(tp_mlflow *mlflow, tp_sql_values run_id, tp_buffer *json,
                                    tapeout_error *err);
tapeout_status tp_mlflow_put_models(tp_mlflow *mlflow, tp_sql_values run_id, bool is_output,
                                    tp_buffer *json, tapeout_error *err);
// "mlflow-artifacts:/FOLDER" without its scheme.
tapeout_status tp_mlflow_folder_of(tp_str uri, tp_buffer *ret_folder, tapeout_error *err);

// A stage by its name in MLflow's writing; NULL for a word that is none (mlflow_registered.c).
const char *tp_mlflow_stage_name(tp_str word);

// -- between the tables --------------------------------------------------------------------------
// Fails unless the experiment is there and active; `ret_location` has its artifacts' place.
tapeout_status tp_mlflow_experiment_need(tp_mlflow *mlflow, int64_t id, tp_buffer *ret_location,
                                         tapeout_error *err);
// Fails unless the run is there and active.
tapeout_status tp_mlflow_run_need(tp_mlflow *mlflow, tp_str run_id, tapeout_error *err);
tapeout_status tp_mlflow_model_need(tp_mlflow *mlflow, tp_str model_id, tapeout_error *err);

#endif
