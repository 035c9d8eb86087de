// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of MLflow's tables fails in turn while a run is made, logged to, read and found,
// and a model beside it. The registry below has memory: its own failures are test_registry_oom's.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "registry/tp_mlflow.h"
#include "registry_cases.h"
#include "table/tp_json.h"
#include "test.h"

typedef struct tables {
    tp_registry *registry;
    int round; // names that nobody had before
} tables;

// A run of experiment 0. Its id.
static tapeout_status make_run(tp_mlflow *mlflow, char ret_id[64], tapeout_error *err)
{
    const tp_mlflow_pair tag = {TP_STR("team"), TP_STR("red")};
    const tp_mlflow_run_spec spec = {.experiment_id = TP_STR("0"), .tags = {&tag, 1}};
    yyjson_doc *doc = NULL;
    tp_buffer json;
    tp_buffer_init(&json, mlflow->alloc, 1u << 16);
    tapeout_status status = tp_mlflow_run_create(mlflow, &spec, &json, err);
    status = status == TAPEOUT_OK ? tp_buffer_check(&json, "run", err) : status;
    if (status == TAPEOUT_OK) {
        ASSERT_OK(tp_json_parse(tp_allocator_default(), tp_buffer_view(&json), "run", &doc, err));
        yyjson_val *info = yyjson_obj_get(yyjson_doc_get_root(doc), "info");
        (void)snprintf(ret_id, 64, "%.*s", TP_STR_ARGS(tp_json_get_str(info, "run_id")));
        yyjson_doc_free(doc);
    }
    tp_buffer_deinit(&json);
    return status;
}

static tapeout_status log_run(tp_mlflow *mlflow, tp_str run_id, tapeout_error *err)
{
    const tp_mlflow_metric metrics[] = {{.key = TP_STR("auc"), .value = 0.5, .step = 1},
                                        {.key = TP_STR("auc"), .value = 0.75, .step = 2}};
    const tp_mlflow_pair param = {TP_STR("trees"), TP_STR("100")};
    const tp_mlflow_batch batch = {.metrics = metrics, .metric_count = 2, .params = {&param, 1}};
    const tp_mlflow_dataset dataset = {.name = TP_STR("d"),
                                       .digest = TP_STR("1"),
                                       .source_type = TP_STR("local"),
                                       .source = TP_STR("s"),
                                       .tags = {&param, 1}};
    TP_TRY(tp_mlflow_run_log(mlflow, run_id, &batch, err));
    TP_TRY(tp_mlflow_run_dataset(mlflow, run_id, &dataset, err));
    return tp_mlflow_run_history_add(mlflow, run_id, TP_STR("{\"artifact_path\":\"m\"}"), err);
}

static tapeout_status read_run(tp_mlflow *mlflow, tp_str run_id, tapeout_error *err)
{
    const tp_str order = TP_STR("metrics.auc DESC");
    const tp_mlflow_search search = {.filter = TP_STR("params.trees = '100' AND metrics.auc > 0.1"),
                                     .order = {&order, 1},
                                     .max_results = 2};
    const tp_mlflow_history history = {
        .run_ids = {&run_id, 1}, .key = TP_STR("auc"), .last_step = 10};
    tp_buffer json;
    tp_buffer_init(&json, mlflow->alloc, 1u << 16);
    tp_buffer_append_char(&json, '{');
    tapeout_status status = tp_mlflow_run_search(mlflow, &search, &json, err);
    status = status == TAPEOUT_OK ? tp_mlflow_metric_history(mlflow, &history, true, &json, err)
                                  : status;
    tp_buffer_append_text(&json, ",\"run\":");
    status = status == TAPEOUT_OK ? tp_mlflow_run_get(mlflow, run_id, &json, err) : status;
    status = status == TAPEOUT_OK ? tp_buffer_check(&json, "runs", err) : status;
    tp_buffer_deinit(&json);
    return status;
}

static tapeout_status make_model(tp_mlflow *mlflow, tp_str run_id, tapeout_error *err)
{
    const tp_mlflow_pair param = {TP_STR("depth"), TP_STR("6")};
    const tp_mlflow_model_spec spec = {.experiment_id = TP_STR("0"),
                                       .model_type = TP_STR("trees"),
                                       .source_run_id = run_id,
                                       .params = {&param, 1}};
    const tp_str experiment = TP_STR("0");
    const tp_mlflow_search search = {
        .filter = TP_STR("params.depth = '6'"), .experiments = {&experiment, 1}, .max_results = 2};
    tp_buffer json;
    tp_buffer_init(&json, mlflow->alloc, 1u << 16);
    tp_buffer_append_text(&json, "{\"made\":");
    tapeout_status status = tp_mlflow_model_create(mlflow, &spec, &json, err);
    status = status == TAPEOUT_OK ? tp_mlflow_model_search(mlflow, &search, &json, err) : status;
    status = status == TAPEOUT_OK ? tp_buffer_check(&json, "models", err) : status;
    tp_buffer_deinit(&json);
    return status;
}

static tapeout_status make_experiment(tp_mlflow *mlflow, int round, tapeout_error *err)
{
    char name[32];
    int64_t id = 0;
    tp_buffer json;
    const int size = snprintf(name, sizeof(name), "e%d", round);
    const tp_mlflow_pair tag = {TP_STR("a"), TP_STR("b")};
    const tp_str text = {name, (size_t)size};
    TP_TRY(tp_mlflow_experiment_create(mlflow, text, TP_STR(""), (tp_mlflow_pairs){&tag, 1}, &id,
                                       err));
    tp_buffer_init(&json, mlflow->alloc, 1u << 16);
    tapeout_status status = tp_mlflow_experiment_find(mlflow, text, &json, err);
    status = status == TAPEOUT_OK ? tp_buffer_check(&json, "experiment", err) : status;
    tp_buffer_deinit(&json);
    return status;
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tables *all = user;
    tp_mlflow mlflow;
    char id[64];
    TP_TRY(tp_mlflow_open(all->registry, alloc, &mlflow, err));
    TP_TRY(make_experiment(&mlflow, all->round++, err));
    TP_TRY(make_run(&mlflow, id, err));
    TP_TRY(log_run(&mlflow, tp_str_from(id), err));
    TP_TRY(read_run(&mlflow, tp_str_from(id), err));
    return make_model(&mlflow, tp_str_from(id), err);
}

static void test_tables(void)
{
    tables all = {.registry = cases_open(test_temp_dir())};
    test_out_of_memory(scenario, &all);
    tp_registry_close(&all.registry);
}

TEST_MAIN(TEST_SLOW(test_tables, 300))
