// SPDX-License-Identifier: Apache-2.0
//
// tapeout_model_*: opening a model by path or registered name, inspecting it, scoring files and
// measuring it on new data.
#include "pipeline/tp_batch.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_arena.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "learn/gbt/tp_gbt.h"
#include "pipeline/tp_llm_open.h"
#include "pipeline/tp_model_file.h"
#include "table/tp_csv_write.h"
#include "table/tp_json.h"

#include <tapeout/model.h>
#include <tapeout/registry.h>

enum { WRITE_CHUNK_BYTES = 1 << 16 };

struct tapeout_model {
    const tp_env *env;
    const char *duckdb_library;
    tp_scorer *scorer;
    tapeout_model_ref ref; // where the argument led
    tp_admission asked;    // of its signature; borrows from `ref` and the context
};

tapeout_status tapeout_model_open(tapeout_context *context, const char *model_text,
                                  tapeout_model **ret_model, tapeout_error *err)
{
    const tp_env *env = tp_context_env(context);
    tapeout_model *model = tp_alloc_zero(env->alloc, sizeof(*model));
    if (model == NULL) {
        return tp_fail_nomem(err);
    }
    tp_bundle *bundle = NULL;
    tp_admitted admitted;
    model->env = env;
    model->duckdb_library = tp_context_duckdb(context);
    tapeout_status status = tapeout_registry_resolve(context, model_text, &model->ref, err);
    if (status == TAPEOUT_OK) {
        model->asked = tp_admission_of(context, &model->ref);
        status = tp_model_file_open(env, &model->asked, &bundle, &admitted, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_scorer_from_bundle(env, &bundle, &model->scorer, err);
        if (status == TAPEOUT_E_UNSUPPORTED) {
            tp_error_prefix(err, "%s", model->ref.path);
        }
    }
    if (status != TAPEOUT_OK) {
        tapeout_model_close(model);
        return status;
    }
    *ret_model = model;
    return TAPEOUT_OK;
}

void tapeout_model_close(tapeout_model *model)
{
    if (model == NULL) {
        return;
    }
    const tapeout_allocator *alloc = model->env->alloc;
    tp_scorer_close(&model->scorer);
    tp_free(alloc, model, sizeof(*model));
}

// -- inspect -------------------------------------------------------------------------------------

static void append_section(tp_buffer *json, const tapeout_model *model, const char *key,
                           const char *section)
{
    tp_json_append_key(json, key);
    tp_buffer_append_str(
        json, tp_bundle_section_find(tp_scorer_bundle(model->scorer), tp_str_from(section)));
}

static void append_learner(tp_buffer *json, const tp_model_parts *parts)
{
    tp_json_append_key(json, "learner");
    tp_buffer_append_char(json, '{');
    tp_json_append_key(json, "kind");
    tp_buffer_append_text(json, parts->kind == TP_LEARNER_GBT ? "\"gbt\"" : "\"linear\"");
    tp_json_append_key(json, "objective");
    tp_json_append_str(json, tp_str_from(tp_objective_name(parts->objective)));
    tp_json_append_key(json, "threshold");
    tp_json_append_f64(json, parts->threshold);
    tp_json_append_key(json, "calibration");
    static const char *const methods[] = {"none", "platt", "isotonic"};
    tp_json_append_str(json, tp_str_from(methods[parts->calibration.method % 3]));
    if (parts->kind == TP_LEARNER_GBT) {
        uint64_t leaves = 0;
        for (uint32_t t = 0; t < parts->gbt->tree_count; t++) {
            leaves += parts->gbt->trees[t].leaf_count;
        }
        tp_json_append_key(json, "trees");
        tp_json_append_u64(json, parts->gbt->tree_count);
        tp_json_append_key(json, "leaves");
        tp_json_append_u64(json, leaves);
    }
    tp_buffer_append_char(json, '}');
}

static void append_features(tp_buffer *json, const tp_feature_program *program)
{
    tp_json_append_key(json, "features");
    for (uint32_t i = 0; i < tp_feature_output_count(program); i++) {
        const tp_feature_output *output = tp_feature_output_at(program, i);
        tp_buffer_append_text(json, i == 0 ? "[{" : ",{");
        tp_json_append_key(json, "name");
        tp_json_append_str(json, output->name);
        tp_json_append_key(json, "kind");
        tp_buffer_append_text(json, output->is_category ? "\"category\"" : "\"number\"");
        if (output->is_category) {
            tp_json_append_key(json, "categories");
            tp_json_append_u64(json, output->category_count);
        }
        tp_buffer_append_char(json, '}');
    }
    tp_buffer_append_text(json, tp_feature_output_count(program) == 0 ? "[]" : "]");
}

tapeout_status tapeout_model_inspect(tapeout_context *context, const tapeout_model *model,
                                     char **ret_json, tapeout_error *err)
{
    const tp_bundle *bundle = tp_scorer_bundle(model->scorer);
    const tp_sha256 hash = tp_bundle_hash(bundle);
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_buffer json;
    (void)context;
    tp_buffer_init(&json, model->env->alloc, TP_MAX_BUNDLE_STATE_BYTES);
    tp_sha256_hex(&hash, hex);
    tp_buffer_append_char(&json, '{');
    tp_json_append_key(&json, "name");
    tp_json_append_str(&json, tp_bundle_name(bundle));
    if (model->ref.is_registered) {
        tp_json_append_key(&json, "version");
        tp_json_append_u64(&json, model->ref.version);
        tp_json_append_key(&json, "refused");
        tp_buffer_append_text(&json, model->ref.is_refused ? "true" : "false");
    }
    tp_json_append_key(&json, "kind");
    tp_json_append_str(&json, tp_bundle_kind(bundle));
    tp_json_append_key(&json, "bundle");
    tp_json_append_str(&json, tp_str_from(model->ref.path));
    tp_json_append_key(&json, "sha256");
    tp_json_append_str(&json, (tp_str){hex, TP_SHA256_HEX_SIZE});
    const tapeout_status status =
        tp_trust_append(model->env->alloc, bundle, &model->asked, &json, err);
    if (status != TAPEOUT_OK) {
        tp_buffer_deinit(&json);
        return status;
    }
    append_section(&json, model, "schema", "schema.json");
    tp_json_append_key(&json, "program");
    tp_json_append_str(&json, tp_feature_text(tp_scorer_program(model->scorer)));
    append_features(&json, tp_scorer_program(model->scorer));
    append_learner(&json, tp_model_view(tp_scorer_model(model->scorer)));
    append_section(&json, model, "report", "report.json");
    append_section(&json, model, "sketch", "sketch.json");
    append_section(&json, model, "lineage", "lineage.json");
    tp_json_append_key(&json, "manifest");
    tp_buffer_append_str(&json, tp_bundle_manifest(bundle));
    tp_buffer_append_char(&json, '}');
    return tp_text_from_buffer(&json, "inspect", ret_json, err);
}

// -- predict -------------------------------------------------------------------------------------

void tapeout_predict_options_init(tapeout_predict_options *options)
{
    *options = (tapeout_predict_options){.struct_size = sizeof(*options)};
}

static tapeout_status write_lines(const tapeout_model *model, const tapeout_table *result,
                                  const tapeout_predict_options *options, tapeout_error *err)
{
    tp_buffer json;
    tp_buffer_init(&json, model->env->alloc, TP_MAX_BUNDLE_STATE_BYTES);
    tapeout_status status = TAPEOUT_OK;
    for (uint64_t row = 0; row < result->row_count && status == TAPEOUT_OK; row++) {
        tp_json_append_row(&json, result, row);
        tp_buffer_append_char(&json, '\n');
        if (json.size >= WRITE_CHUNK_BYTES || row + 1 == result->row_count) {
            status = tp_buffer_check(&json, "predict", err);
            status = status == TAPEOUT_OK
                         ? options->write(options->write_user, json.data, json.size, err)
                         : status;
            tp_buffer_clear(&json);
        }
    }
    tp_buffer_deinit(&json);
    return status;
}

static tapeout_status write_result(const tapeout_model *model, const tapeout_table *result,
                                   const tapeout_predict_options *options, tapeout_error *err)
{
    const char *path = options->out_path;
    if (path != NULL && tp_str_has_suffix(tp_str_from(path), TP_STR(".parquet"))) {
        return tp_parquet_write(model->env, model->duckdb_library, path, result, err);
    }
    if (path != NULL) {
        return tp_csv_write_file(model->env, path, result, err);
    }
    if (options->json) {
        return write_lines(model, result, options, err);
    }
    return tp_csv_write(model->env, result, options->write, options->write_user, err);
}

// The model does without absent columns; whoever scores should know of them.
static tapeout_status tell_absent(const tapeout_model *model, const tapeout_table *table,
                                  const tapeout_predict_options *options, tapeout_error *err)
{
    tp_buffer text;
    uint32_t count = 0;
    tp_buffer_init(&text, model->env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    tp_buffer_append_text(&text, "the data lacks columns of the model, which count as missing: ");
    for (uint32_t c = 0; c < table->column_count; c++) {
        if (table->columns[c].is_absent) {
            tp_buffer_append_text(&text, count++ == 0 ? "" : ", ");
            tp_buffer_append_str(&text, table->columns[c].name);
        }
    }
    tp_buffer_append_char(&text, '\0');
    const tapeout_status status = tp_buffer_check(&text, "predict", err);
    if (status == TAPEOUT_OK && count > 0) {
        options->remark(options->remark_user, text.data);
    }
    tp_buffer_deinit(&text);
    return status;
}

static tapeout_status tell_unseen(const tapeout_model *model, const tp_buffer *unseen,
                                  const tapeout_predict_options *options, tapeout_error *err)
{
    TP_TRY(tp_buffer_check(unseen, "predict", err));
    if (unseen->size == 0 || options->remark == NULL) {
        return TAPEOUT_OK;
    }
    tp_buffer text;
    tp_buffer_init(&text, model->env->alloc, 2 * (size_t)TP_MAX_BUNDLE_SCHEMA_BYTES);
    tp_buffer_append_text(&text, "the data has categories that the model did not learn: ");
    tp_buffer_append_str(&text, tp_buffer_view(unseen));
    tp_buffer_append_char(&text, '\0');
    const tapeout_status status = tp_buffer_check(&text, "predict", err);
    if (status == TAPEOUT_OK) {
        options->remark(options->remark_user, text.data);
    }
    tp_buffer_deinit(&text);
    return status;
}

tapeout_status tapeout_model_predict(tapeout_context *context, const tapeout_model *model,
                                     const char *data_path, const tapeout_predict_options *options,
                                     tapeout_error *err)
{
    (void)context;
    tp_arena arena;
    tapeout_table *table = NULL;
    tapeout_table *result = NULL;
    tp_buffer unseen;
    tp_arena_init(&arena, model->env->alloc, TP_MAX_SPEC_BYTES);
    tp_buffer_init(&unseen, model->env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    tp_str *keep = tp_arena_array(&arena, options->keep_count + 1, sizeof(*keep));
    tapeout_status status = keep == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
    for (size_t i = 0; keep != NULL && i < options->keep_count; i++) {
        keep[i] = tp_str_from(options->keep[i]);
    }
    const tp_batch batch = {.env = model->env,
                            .scorer = model->scorer,
                            .path = data_path,
                            .explain = options->explain,
                            .duckdb_library = model->duckdb_library,
                            .keep = keep,
                            .keep_count = options->keep_count,
                            .unseen = &unseen};
    if (status == TAPEOUT_OK) {
        status = tp_batch_read(&batch, &table, err);
    }
    if (status == TAPEOUT_OK && options->remark != NULL) {
        status = tell_absent(model, table, options, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_batch_predict(&batch, table, &result, err);
    }
    if (status == TAPEOUT_OK) {
        status = tell_unseen(model, &unseen, options, err);
    }
    if (status == TAPEOUT_OK) {
        status = write_result(model, result, options, err);
    }
    tp_table_unref(result);
    tp_table_unref(table);
    tp_buffer_deinit(&unseen);
    tp_arena_deinit(&arena);
    return status;
}

tapeout_status tapeout_model_evaluate(tapeout_context *context, const tapeout_model *model,
                                      const char *data_path, char **ret_json, tapeout_error *err)
{
    (void)context;
    const tp_batch batch = {.env = model->env,
                            .scorer = model->scorer,
                            .path = data_path,
                            .duckdb_library = model->duckdb_library,
                            .with_target = true};
    tapeout_table *table = NULL;
    TP_TRY(tp_batch_read(&batch, &table, err));
    tp_buffer json;
    tp_buffer_init(&json, model->env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    const tapeout_status status = tp_batch_evaluate(&batch, table, &json, err);
    tp_table_unref(table);
    if (status != TAPEOUT_OK) {
        tp_buffer_deinit(&json);
        return status;
    }
    return tp_text_from_buffer(&json, "evaluate", ret_json, err);
}
