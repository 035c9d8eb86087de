// SPDX-License-Identifier: Apache-2.0
//
// MLflow's experiments over HTTP.
#include "serve/mlflow_ask.h"
#include "serve/mlflow_calls.h"

#include "base/limits.h"
#include "base/tp_error.h"

tapeout_status tp_mlflow_experiments_create(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str name = tp_ask_needed_text(ask, "name");
    const tp_str location = tp_ask_text(ask, "artifact_location");
    const tp_mlflow_pairs tags = tp_ask_pairs(ask, "tags", TP_MAX_MLFLOW_PAIRS);
    int64_t id = 0;
    TP_TRY(tp_ask_check(ask, err));
    TP_TRY(tp_mlflow_experiment_create(ask->mlflow, name, location, tags, &id, err));
    tp_buffer_printf(ask->json, "\"experiment_id\":\"%lld\"", (long long)id);
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_experiments_get(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = tp_ask_needed_text(ask, "experiment_id");
    TP_TRY(tp_ask_check(ask, err));
    tp_buffer_append_text(ask->json, "\"experiment\":");
    return tp_mlflow_experiment_get(ask->mlflow, id, ask->json, err);
}

tapeout_status tp_mlflow_experiments_by_name(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str name = tp_ask_needed_text(ask, "experiment_name");
    TP_TRY(tp_ask_check(ask, err));
    tp_buffer_append_text(ask->json, "\"experiment\":");
    return tp_mlflow_experiment_find(ask->mlflow, name, ask->json, err);
}

tapeout_status tp_mlflow_experiments_search(mlflow_ask *ask, tapeout_error *err)
{
    const tp_mlflow_search search = tp_ask_search(ask, "view_type");
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_experiment_search(ask->mlflow, &search, ask->json, err);
}

tapeout_status tp_mlflow_experiments_update(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = tp_ask_needed_text(ask, "experiment_id");
    const tp_str name = tp_ask_text(ask, "new_name");
    TP_TRY(tp_ask_check(ask, err));
    return name.size == 0 ? TAPEOUT_OK : tp_mlflow_experiment_rename(ask->mlflow, id, name, err);
}

tapeout_status tp_mlflow_experiments_delete(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = tp_ask_needed_text(ask, "experiment_id");
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_experiment_delete(ask->mlflow, id, false, err);
}

tapeout_status tp_mlflow_experiments_restore(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = tp_ask_needed_text(ask, "experiment_id");
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_experiment_delete(ask->mlflow, id, true, err);
}

tapeout_status tp_mlflow_experiments_tag(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = tp_ask_needed_text(ask, "experiment_id");
    const tp_mlflow_pair tag = {tp_ask_needed_text(ask, "key"), tp_ask_text(ask, "value")};
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_experiment_tag(ask->mlflow, id, &tag, err);
}

tapeout_status tp_mlflow_experiments_untag(mlflow_ask *ask, tapeout_error *err)
{
    const tp_str id = tp_ask_needed_text(ask, "experiment_id");
    const tp_str key = tp_ask_needed_text(ask, "key");
    TP_TRY(tp_ask_check(ask, err));
    return tp_mlflow_experiment_untag(ask->mlflow, id, key, err);
}
