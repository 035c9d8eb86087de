// SPDX-License-Identifier: Apache-2.0
//
// The run as a whole: spec, data, fit, evaluation, bundle, gates. What depends on the machine or
// the clock (timings, gate results, paths) goes to the caller and never into the bundle, so that
// the same data, spec and seed give the same file.
#include "pipeline/pipeline_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "pipeline/tp_gate.h"
#include "table/tp_json.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

typedef struct train_job {
    const tp_env *env;
    const tp_train_request *request;
    tp_spec *spec;
    pipeline_dataset dataset;
    pipeline_fitted fitted;
    pipeline_evaluation evaluation;
    tp_buffer report_json;
    tp_buffer sketch_json;
    tp_buffer lineage_json;
    tp_train_result *result;
    double single_row_us;
} train_job;

static double seconds_since(uint64_t start_ns)
{
    return (double)(tp_clock_monotonic_ns() - start_ns) * 1e-9;
}

// -- the JSON sections
// -----------------------------------------------------------------------------

static tapeout_status write_report(train_job *job, tapeout_error *err)
{
    tp_buffer *json = &job->report_json;
    const pipeline_evaluation *evaluation = &job->evaluation;
    const pipeline_dataset *dataset = &job->dataset;
    tp_buffer_append_char(json, '{');
    tp_json_put_json(json, "metrics", tp_buffer_view(&evaluation->metrics_json));
    tp_json_put_json(json, "intervals", tp_buffer_view(&evaluation->intervals_json));
    tp_json_put_json(json, "cohorts", tp_buffer_view(&evaluation->cohorts_json));
    if (evaluation->confusion_json.size > 0) {
        tp_json_put_json(json, "confusion", tp_buffer_view(&evaluation->confusion_json));
    }
    tp_json_put_json(json, "importance", tp_buffer_view(&evaluation->importance_json));
    if (evaluation->cross_json.size > 0) {
        tp_json_put_json(json, "cross_validation", tp_buffer_view(&evaluation->cross_json));
    }
    tp_json_put_u64(json, "rows_train", dataset->train.count);
    tp_json_put_u64(json, "rows_hold_out", dataset->hold_out.count);
    tp_json_put_u64(json, "rows_test", dataset->test.count);
    tp_json_put_u64(json, "rows_without_target", dataset->dropped_count);
    tp_json_put_u64(json, "iterations", job->fitted.iterations);
    tp_json_append_key(json, "threshold");
    tp_json_append_f64(json, tp_model_view(job->fitted.model)->threshold);
    tp_json_put_str(json, "notes", tp_buffer_view(&job->fitted.notes));
    tp_buffer_append_char(json, '}');
    return tp_buffer_check(json, "bundle report", err);
}

static tapeout_status write_sketch(train_job *job, tapeout_error *err)
{
    tp_buffer *json = &job->sketch_json;
    tp_buffer_append_text(json, "{\"columns\":");
    TP_TRY(tp_pipeline_sketch_columns(job->env, tp_feature_schema(job->fitted.program),
                                      &job->dataset.train, json, err));
    tp_json_put_json(json, "prediction", tp_buffer_view(&job->evaluation.prediction_json));
    tp_buffer_append_char(json, '}');
    return tp_buffer_check(json, "bundle sketch", err);
}

static void append_hash(tp_buffer *json, const char *key, const tp_sha256 *hash)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(hash, hex);
    tp_json_put_str(json, key, (tp_str){hex, TP_SHA256_HEX_SIZE});
}

static tapeout_status write_lineage(train_job *job, tapeout_error *err)
{
    tp_buffer *json = &job->lineage_json;
    const tp_sha256 spec_hash = tp_sha256_of(job->spec->text.data, job->spec->text.size);
    tp_sha256 data_hash;
    tp_buffer_append_char(json, '{');
    TP_TRY(tp_pipeline_table_hash(job->env, job->dataset.table, &data_hash, err));
    append_hash(json, "data_sha256", &data_hash);
    if (job->dataset.test_table != NULL) {
        TP_TRY(tp_pipeline_table_hash(job->env, job->dataset.test_table, &data_hash, err));
        append_hash(json, "test_data_sha256", &data_hash);
    }
    append_hash(json, "spec_sha256", &spec_hash);
    tp_json_put_str(json, "code_sha256", tp_str_from(tp_pipeline_source_sha256));
    tp_json_put_u64(json, "seed", job->spec->seed);
    tp_json_put_u64(json, "data_rows", job->dataset.table->row_count);
    if (job->spec->licence.size > 0) {
        tp_json_put_str(json, "licence", job->spec->licence);
    }
    tp_json_put_str(json, "tapeout", tp_str_from(tapeout_version()));
    tp_buffer_append_char(json, '}');
    return tp_buffer_check(json, "bundle lineage", err);
}

static tapeout_status write_bundle(train_job *job, tapeout_error *err)
{
    TP_TRY(write_report(job, err));
    TP_TRY(write_sketch(job, err));
    TP_TRY(write_lineage(job, err));
    const tp_tabular tabular = {.name = job->spec->name,
                                .target = &job->dataset.target,
                                .program = job->fitted.program,
                                .model = job->fitted.model,
                                .report_json = tp_buffer_view(&job->report_json),
                                .sketch_json = tp_buffer_view(&job->sketch_json),
                                .lineage_json = tp_buffer_view(&job->lineage_json),
                                .spec_text = job->spec->text,
                                .missing = job->spec->data.missing.items,
                                .missing_count = job->spec->data.missing.count};
    return tp_tabular_write(job->env, job->result->bundle_path, &tabular, &job->result->hash, err);
}

// -- gates
// -----------------------------------------------------------------------------------------

// Of the finished bundle, over the test rows.
static tapeout_status time_single_row(train_job *job, tapeout_error *err)
{
    const pipeline_rows *test = &job->dataset.test;
    tp_scorer *scorer = NULL;
    TP_TRY(tp_scorer_open(job->env, job->result->bundle_path, &scorer, err));
    const tapeout_status status =
        tp_gate_time_rows(job->env, scorer, test->table, (tp_row_choice){test->index, test->count},
                          &job->single_row_us, err);
    tp_scorer_close(&scorer);
    return status;
}

static tapeout_status check_gates(train_job *job, tapeout_error *err)
{
    tp_buffer *json = &job->result->gates_json;
    const tp_spec_gate *failed = NULL;
    double failed_got = NAN;
    tp_buffer_append_char(json, '[');
    for (size_t i = 0; i < job->spec->gate_count; i++) {
        const tp_spec_gate *gate = &job->spec->gates[i];
        tp_metric metric;
        double got = 0;
        if (tp_metric_from_word(gate->name, &metric)) {
            got = job->evaluation.metrics.value[metric];
        } else {
            TP_TRY(time_single_row(job, err));
            got = job->single_row_us;
        }
        const bool passed = gate->is_minimum ? got >= gate->bound : got <= gate->bound;
        if (!passed && failed == NULL) {
            failed = gate;
            failed_got = got;
        }
        tp_buffer_append_text(json, i > 0 ? ",{" : "{");
        tp_json_put_str(json, "name", gate->name);
        tp_json_put_str(json, "want", gate->text);
        tp_json_append_key(json, "got");
        tp_json_append_f64(json, got);
        tp_json_append_key(json, "passed");
        tp_buffer_append_text(json, passed ? "true}" : "false}");
    }
    tp_buffer_append_char(json, ']');
    job->result->gates_passed = failed == NULL;
    if (failed != NULL) {
        return tp_fail(err, TAPEOUT_E_GATE, "gate %.*s: want %.*s, got %.6g",
                       TP_STR_ARGS(failed->name), TP_STR_ARGS(failed->text), failed_got);
    }
    return tp_buffer_check(json, "gates", err);
}

// -- the run
// ---------------------------------------------------------------------------------------

static tapeout_status choose_out_path(train_job *job, tapeout_error *err)
{
    const tapeout_allocator *alloc = job->env->alloc;
    const char *given = job->request->out_path;
    if (given != NULL) {
        job->result->bundle_path = tp_strndup(alloc, given, strlen(given));
        return job->result->bundle_path == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
    }
    tp_buffer name;
    tp_buffer_init(&name, alloc, TP_MAX_PATH_BYTES);
    // On its way to the registry: two runs at once must not meet in one file.
    tp_buffer_append_str(&name, job->spec->name);
    tp_buffer_printf(&name, ".%llu.%llu.tapeout", (unsigned long long)getpid(),
                     (unsigned long long)tp_clock_monotonic_ns());
    tp_buffer_append_char(&name, '\0');
    if (name.status == TAPEOUT_OK) {
        job->result->bundle_path = tp_path_join(alloc, job->request->out_directory, name.data);
    }
    tp_buffer_deinit(&name);
    return job->result->bundle_path == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
}

// Found out before an hour of training, not after.
static tapeout_status check_out_path(const train_job *job, tapeout_error *err)
{
    tp_writer *writer = NULL;
    const tapeout_status status =
        tp_writer_open(job->env->alloc, job->result->bundle_path, &writer, err);
    tp_writer_abort(&writer);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, job->request->out_path == NULL ? "the home directory" : "--out");
    }
    return status;
}

static void move_buffer(tp_buffer *to, tp_buffer *from)
{
    tp_buffer_deinit(to);
    *to = *from;
    tp_buffer_init(from, to->alloc, to->max_size);
}

static void fill_result(train_job *job)
{
    tp_train_result *result = job->result;
    tp_buffer_append_str(&result->name, job->spec->name);
    move_buffer(&result->metrics_json, &job->evaluation.metrics_json);
    move_buffer(&result->intervals_json, &job->evaluation.intervals_json);
    move_buffer(&result->cohorts_json, &job->evaluation.cohorts_json);
    move_buffer(&result->notes, &job->fitted.notes);
    result->rows_train = job->dataset.train.count + job->dataset.hold_out.count;
    result->rows_test = job->dataset.test.count;
    result->seconds.prepare = job->fitted.seconds_prepare;
    result->seconds.train = job->fitted.seconds_train;
}

static tapeout_status run_steps(train_job *job, tapeout_error *err)
{
    uint64_t start_ns = tp_clock_monotonic_ns();
    tp_env_progress(job->env, "read", -1);
    TP_TRY(tp_pipeline_dataset_read(job->env, job->spec, job->request->duckdb_library,
                                    &job->dataset, err));
    job->result->seconds.read = seconds_since(start_ns);
    TP_TRY(tp_pipeline_fit(job->env, job->spec, &job->dataset, &job->fitted, err));
    start_ns = tp_clock_monotonic_ns();
    const pipeline_subject subject = {job->env, job->spec, &job->dataset, &job->fitted};
    TP_TRY(tp_pipeline_evaluate(&subject, &job->evaluation, err));
    job->result->seconds.evaluate = seconds_since(start_ns);
    start_ns = tp_clock_monotonic_ns();
    TP_TRY(tp_env_check(job->env, err));
    TP_TRY(write_bundle(job, err));
    job->result->seconds.write = seconds_since(start_ns);
    const tapeout_status gates = check_gates(job, err);
    fill_result(job);
    return gates;
}

static tapeout_status run(train_job *job, tapeout_error *err)
{
    TP_TRY(tp_spec_read(job->env->alloc, job->request->spec_path, &job->spec, err));
    if (job->request->seed != NULL) {
        job->spec->seed = *job->request->seed;
    }
    TP_TRY(choose_out_path(job, err));
    TP_TRY(check_out_path(job, err));
    return run_steps(job, err);
}

tapeout_status tp_train(const tp_env *env, const tp_train_request *request,
                        tp_train_result *ret_result, tapeout_error *err)
{
    train_job job = {.env = env, .request = request, .result = ret_result};
    memset(ret_result, 0, sizeof(*ret_result));
    tp_buffer *const buffers[] = {
        &job.report_json,          &job.sketch_json,          &job.lineage_json,
        &ret_result->name,         &ret_result->metrics_json, &ret_result->intervals_json,
        &ret_result->cohorts_json, &ret_result->gates_json,   &ret_result->notes};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        tp_buffer_init(buffers[i], env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    }
    job.dataset.alloc = env->alloc;
    const tapeout_status status = run(&job, err);
    tp_pipeline_evaluation_deinit(&job.evaluation);
    tp_pipeline_fitted_deinit(&job.fitted);
    tp_pipeline_dataset_deinit(&job.dataset);
    tp_buffer_deinit(&job.report_json);
    tp_buffer_deinit(&job.sketch_json);
    tp_buffer_deinit(&job.lineage_json);
    tp_spec_free(job.spec);
    if (status != TAPEOUT_OK && status != TAPEOUT_E_GATE) {
        tp_train_result_deinit(env->alloc, ret_result);
    }
    return status;
}

void tp_train_result_deinit(const tapeout_allocator *alloc, tp_train_result *result)
{
    if (result->bundle_path != NULL) {
        tp_free(alloc, result->bundle_path, strlen(result->bundle_path) + 1);
    }
    tp_buffer_deinit(&result->name);
    tp_buffer_deinit(&result->metrics_json);
    tp_buffer_deinit(&result->intervals_json);
    tp_buffer_deinit(&result->cohorts_json);
    tp_buffer_deinit(&result->gates_json);
    tp_buffer_deinit(&result->notes);
    memset(result, 0, sizeof(*result));
}
