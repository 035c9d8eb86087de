// SPDX-License-Identifier: Apache-2.0
//
// MLflow's tables in the registry's store, and its statements on it.
#include "registry/mlflow_priv.h"

#include "base/tp_error.h"
#include "registry/mlflow_tables.h"

// -- statements ----------------------------------------------------------------------------------
tapeout_status tp_mlflow_query(tp_mlflow *mlflow, const char *sql, tp_sql_values values,
                               tp_rows *ret_rows, tapeout_error *err)
{
    tp_store_query(mlflow->store, ret_rows, sql, values);
    return ret_rows->failure.status == TAPEOUT_OK ? TAPEOUT_OK : tp_rows_close(ret_rows, err);
}

tapeout_status tp_mlflow_next(tp_rows *rows, bool *ret_has_row, tapeout_error *err)
{
    *ret_has_row = tp_rows_next(rows);
    if (rows->failure.status != TAPEOUT_OK && err != NULL) {
        *err = rows->failure;
    }
    return rows->failure.status;
}

void tp_mlflow_end(tp_rows *rows)
{
    (void)tp_rows_close(rows, NULL); // says again what `next` said
}

tapeout_status tp_mlflow_exec(tp_mlflow *mlflow, const char *sql, tp_sql_values values,
                              int64_t *ret_changed, tapeout_error *err)
{
    return tp_store_run(mlflow->store, sql, values, ret_changed, err);
}

tapeout_status tp_mlflow_exists(tp_mlflow *mlflow, const char *sql, tp_sql_values values,
                                bool *ret_exists, tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(mlflow->store, &rows, sql, values);
    *ret_exists = tp_rows_next(&rows);
    return tp_rows_close(&rows, err);
}

// -- transactions --------------------------------------------------------------------------------
typedef struct transaction {
    tp_mlflow *mlflow;
    mlflow_write *write;
    void *user;
} transaction;

static tapeout_status write_body(tp_store *store, void *user, tapeout_error *err)
{
    (void)store;
    const transaction *it = user;
    return it->write(it->mlflow, it->user, err);
}

tapeout_status tp_mlflow_transact(tp_mlflow *mlflow, mlflow_write *write, void *user,
                                  tapeout_error *err)
{
    transaction it = {mlflow, write, user};
    return tp_store_transact(mlflow->store, TP_STORE_ROWS, write_body, &it, err);
}

// -- opening -------------------------------------------------------------------------------------
static const char *const steps[] = {MLFLOW_TABLES_1};
static const tp_store_schema schema = {"mlflow", steps, sizeof(steps) / sizeof(steps[0])};

static tapeout_status make_default(tp_mlflow *mlflow, tapeout_error *err)
{
    const int64_t now = tp_mlflow_now_ms();
    bool is_there = false;
    TP_TRY(tp_mlflow_exists(mlflow, "SELECT 1 FROM mlflow_experiments WHERE experiment_id = 0",
                            TP_SQL_NONE, &is_there, err));
    return is_there ? TAPEOUT_OK
                    : tp_mlflow_exec(mlflow,
                                     "INSERT INTO mlflow_experiments(experiment_id, name, "
                                     "location, lifecycle, created_ms, updated_ms) VALUES(0, "
                                     "'Default', 'mlflow-artifacts:/0', 'active', $1, $2) "
                                     "ON CONFLICT DO NOTHING",
                                     TP_SQL(tp_sql_int(now), tp_sql_int(now)), NULL, err);
}

tapeout_status tp_mlflow_open(tp_registry *registry, const tapeout_allocator *alloc,
                              tp_mlflow *ret_mlflow, tapeout_error *err)
{
    tp_mlflow mlflow = {registry, tp_registry_store(registry), alloc};
    TP_TRY(tp_store_migrate(mlflow.store, &schema, err));
    TP_TRY(make_default(&mlflow, err));
    *ret_mlflow = mlflow;
    return TAPEOUT_OK;
}
