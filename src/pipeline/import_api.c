// SPDX-License-Identifier: Apache-2.0
//
// tapeout_import: a model file of another program becomes a bundle in the registry. It is read in a
// sandbox (import_sandbox.h), and the bundle is opened once before it is registered, so that a
// model that the engine cannot run is refused now and not by whoever serves it.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "bundle/tp_bundle.h"
#include "bundle/tp_llm_bundle.h"
#include "import/tp_hf_bert.h"
#include "import/tp_import.h"
#include "pipeline/import_sandbox.h"
#include "pipeline/tp_model_file.h"
#include "registry/tp_signature_store.h"
#include "table/tp_json.h"

#include <string.h>
#include <tapeout/import.h>
#include <tapeout/registry.h>
#include <unistd.h>

void tapeout_import_options_init(tapeout_import_options *options)
{
    *options = (tapeout_import_options){.struct_size = sizeof(*options)};
}

typedef struct import_job {
    tapeout_context *context;
    const tp_env *env;  // in the sandbox, the sandbox's
    const char *source; // the path that was given
    const char *out_path;
    tp_gguf *gguf; // one of these two is what is imported
    tp_hf_bert *hf;
    tp_gguf_builder copy; // of `gguf`
    const tp_gguf_builder *model;
    bool is_tabular; // or a model of trees, which becomes a bundle of its own kind
    char name[TP_MAX_MODEL_NAME_BYTES + 1];
    char *folder;      // where the sandbox may write
    char *bundle_path; // in it
    tp_sha256 source_hash;
    tp_sha256 hash;
    tapeout_model_ref ref;
    char architecture[64];
} import_job;

// -- what it is called -------------------------------------------------------------------------

static tapeout_status choose_name(import_job *job, const char *given, tapeout_error *err)
{
    if (given == NULL) {
        tp_model_file_name(job->source, job->name);
    } else if (strlen(given) <= TP_MAX_MODEL_NAME_BYTES) {
        memcpy(job->name, given, strlen(given) + 1);
    }
    if (!tp_model_name_is_valid(tp_str_from(job->name))) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: \"%s\" is no name for a model; --name takes letters, digits, '.', '_' "
                       "and '-'",
                       job->source, given == NULL ? job->name : given);
    }
    return TAPEOUT_OK;
}

// -- what it is ----------------------------------------------------------------------------------

static bool begins_as_gguf(const char *path)
{
    tp_map map;
    if (tp_map_open(path, &map, NULL) != TAPEOUT_OK) {
        return false;
    }
    const bool is_gguf = map.size >= 4 && memcmp(map.data, "GGUF", 4) == 0;
    tp_map_close(&map);
    return is_gguf;
}

static bool has_file(const tp_env *env, const char *folder, const char *name)
{
    char *path = tp_path_join(env->alloc, folder, name);
    const bool exists = path != NULL && tp_path_exists(path);
    if (path != NULL) {
        tp_free(env->alloc, path, strlen(path) + 1);
    }
    return exists;
}

static tapeout_status open_source(import_job *job, tapeout_error *err)
{
    job->is_tabular = tp_import_is_model(job->source);
    if (job->is_tabular) {
        return TAPEOUT_OK; // read when the bundle is written
    }
    if (begins_as_gguf(job->source)) {
        TP_TRY(tp_sha256_file(job->source, &job->source_hash, err));
        TP_TRY(tp_gguf_open(job->env, job->source, &job->gguf, err));
        tp_gguf_builder_copy_all(&job->copy, job->gguf);
        job->model = &job->copy;
        return TAPEOUT_OK;
    }
    if (!has_file(job->env, job->source, "config.json")) {
        tp_map map;
        TP_TRY(tp_map_open(job->source, &map, err)); // says what is wrong with the path itself
        tp_map_close(&map);
        return tp_fail(
            err, TAPEOUT_E_UNSUPPORTED,
            "%s: is no model that can be imported: GGUF, XGBoost (JSON, UBJSON), LightGBM "
            "(text), ONNX, or the folder of a BERT sentence model (config.json, "
            "model.safetensors); pickles are never opened",
            job->source);
    }
    TP_TRY(tp_hf_bert_open(job->env, job->source, &job->hf, err));
    job->model = tp_hf_bert_builder(job->hf);
    char *weights = tp_path_join(job->env->alloc, job->source, "model.safetensors");
    if (weights == NULL) {
        return tp_fail_nomem(err);
    }
    const tapeout_status status = tp_sha256_file(weights, &job->source_hash, err);
    tp_free(job->env->alloc, weights, strlen(weights) + 1);
    return status;
}

static void append_fact(tp_buffer *text, const tp_gguf *gguf, const char *key)
{
    tp_str value;
    if (gguf != NULL && tp_gguf_get_str(gguf, key, &value, NULL) == TAPEOUT_OK) {
        tp_buffer_append_str(text, value);
        tp_buffer_append_char(text, '\n');
    }
}

// -- the bundle ----------------------------------------------------------------------------------

static tapeout_status make_folder(import_job *job, tapeout_error *err)
{
    const tapeout_allocator *alloc = job->env->alloc;
    const char *home = tp_context_home(job->context);
    if (job->out_path == NULL) {
        TP_TRY(tp_directory_make(home, err));
        TP_TRY(tp_sandbox_folder_make(alloc, home, &job->folder, err));
    } else {
        char *beside = tp_path_directory(alloc, job->out_path);
        const tapeout_status status =
            beside == NULL ? tp_fail_nomem(err)
                           : tp_sandbox_folder_make(alloc, beside, &job->folder, err);
        if (beside != NULL) {
            tp_free(alloc, beside, strlen(beside) + 1);
        }
        TP_TRY(status);
    }
    job->bundle_path = tp_path_join(alloc, job->folder, "bundle.tapeout");
    return job->bundle_path == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
}

static tapeout_status write_bundle(import_job *job, tapeout_error *err)
{
    if (job->is_tabular) {
        const tp_import_options options = {.name = tp_str_from(job->name)};
        return tp_import_file(job->env, job->source, &options, job->bundle_path, &job->hash, err);
    }
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_buffer licence;
    tp_buffer lineage;
    tp_buffer_init(&licence, job->env->alloc, TP_MAX_GGUF_METADATA_BYTES);
    tp_buffer_init(&lineage, job->env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    append_fact(&licence, job->gguf, "general.license");
    append_fact(&licence, job->gguf, "general.license.name");
    append_fact(&licence, job->gguf, "general.license.link");
    tp_sha256_hex(&job->source_hash, hex);
    tp_buffer_append_char(&lineage, '{');
    tp_json_append_key(&lineage, "source");
    tp_json_append_str(&lineage, job->gguf != NULL ? TP_STR("gguf") : TP_STR("huggingface"));
    tp_json_append_key(&lineage, "source_sha256");
    tp_json_append_str(&lineage, tp_str_from(hex));
    tp_json_append_key(&lineage, "tapeout");
    tp_json_append_str(&lineage, tp_str_from(tapeout_version()));
    tp_buffer_append_char(&lineage, '}');
    tapeout_status status = tp_buffer_check(&licence, "licence", err);
    if (status == TAPEOUT_OK) {
        status = tp_buffer_check(&lineage, "lineage", err);
    }
    if (status == TAPEOUT_OK) {
        const tp_llm_content content = {.name = tp_str_from(job->name),
                                        .model = job->model,
                                        .licence = tp_buffer_view(&licence),
                                        .lineage_json = tp_buffer_view(&lineage)};
        status = tp_llm_bundle_write(job->env, job->bundle_path, &content, &job->hash, err);
    }
    tp_buffer_deinit(&licence);
    tp_buffer_deinit(&lineage);
    return status;
}

// Opens the bundle as whoever serves it would.
static tapeout_status check_bundle(import_job *job, tapeout_error *err)
{
    tp_scorer *scorer = NULL;
    tp_llm *llm = NULL;
    if (!job->is_tabular) {
        TP_TRY(tp_llm_bundle_open(job->env, job->bundle_path, &llm, err));
        (void)snprintf(job->architecture, sizeof(job->architecture), "%s",
                       tp_llm_facts_of(llm)->architecture);
        tp_llm_free(llm);
        return TAPEOUT_OK;
    }
    TP_TRY(tp_scorer_open(job->env, job->bundle_path, &scorer, err));
    const tp_model_parts *parts = tp_model_view(tp_scorer_model(scorer));
    (void)snprintf(job->architecture, sizeof(job->architecture), "%s",
                   parts->kind == TP_LEARNER_GBT ? "gbt" : "linear");
    tp_scorer_close(&scorer);
    return TAPEOUT_OK;
}

static tapeout_status check_and_register(import_job *job, tapeout_error *err)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    tapeout_registration registration;
    TP_TRY(check_bundle(job, err));
    tapeout_registration_init(&registration);
    tp_sha256_hex(&job->hash, hex);
    registration.name = job->name;
    registration.bundle = job->bundle_path;
    registration.sha256 = hex;
    // Before the row: whoever finds the version finds its signature.
    TP_TRY(tp_signatures_sign_home(job->context, job->bundle_path, err));
    return tapeout_registry_register(job->context, &registration, &job->ref, err);
}

// In the sandbox: everything that looks at the foreign model. What it opens goes with its process.
static tapeout_status convert(const tp_env *env, void *user, tp_buffer *reply, tapeout_error *err)
{
    import_job *job = user;
    (void)reply; // the bundle says all
    job->env = env;
    tp_gguf_builder_init(&job->copy, env->alloc);
    TP_TRY(open_source(job, err));
    return write_bundle(job, err);
}

static tapeout_status convert_locked_up(import_job *job, tapeout_error *err)
{
    const tp_import_work work = {
        .source = job->source, .folder = job->folder, .run = convert, .user = job};
    tp_buffer reply;
    tp_buffer_init(&reply, job->env->alloc, 0);
    const tapeout_status status = tp_import_locked_up(job->env, &work, &reply, err);
    tp_buffer_deinit(&reply);
    TP_TRY(status);
    // What the sandbox has found out it may lie about; the file says it itself.
    job->is_tabular = tp_bundle_is_kind(job->bundle_path, TP_STR("tabular"));
    return tp_sha256_file(job->bundle_path, &job->hash, err);
}

// Where it was asked for, if it was; signatures are written beside it.
static tapeout_status put_in_place(import_job *job, tapeout_error *err)
{
    const tapeout_allocator *alloc = job->env->alloc;
    if (job->out_path == NULL) {
        return TAPEOUT_OK;
    }
    char *place = tp_strndup(alloc, job->out_path, strlen(job->out_path));
    if (place == NULL) {
        return tp_fail_nomem(err);
    }
    const tapeout_status status = tp_file_rename(job->bundle_path, place, err);
    tp_free(alloc, job->bundle_path, strlen(job->bundle_path) + 1);
    job->bundle_path = place;
    return status;
}

static tapeout_status run(import_job *job, const char *name, tapeout_error *err)
{
    TP_TRY(choose_name(job, name, err));
    TP_TRY(make_folder(job, err));
    TP_TRY(convert_locked_up(job, err));
    TP_TRY(put_in_place(job, err));
    const tapeout_status status = check_and_register(job, err);
    if (status != TAPEOUT_OK) {
        (void)tp_file_remove(job->bundle_path, NULL); // the first failure is the one to tell
    }
    return status;
}

static tapeout_status render(const import_job *job, double seconds, char **ret_json,
                             tapeout_error *err)
{
    tp_buffer json;
    tp_buffer_init(&json, job->env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(&job->hash, hex);
    const struct {
        const char *key;
        const char *value;
    } texts[] = {{"name", job->name},
                 {"bundle", job->out_path != NULL ? job->out_path : job->ref.path},
                 {"sha256", hex},
                 {"kind", job->is_tabular ? "tabular" : "llm"},
                 {"architecture", job->architecture}};
    tp_buffer_append_char(&json, '{');
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        tp_json_append_key(&json, texts[i].key);
        tp_json_append_str(&json, tp_str_from(texts[i].value));
    }
    tp_json_append_key(&json, "version");
    tp_json_append_u64(&json, job->ref.version);
    tp_json_append_key(&json, "seconds");
    tp_json_append_f64(&json, seconds);
    tp_buffer_append_char(&json, '}');
    return tp_text_from_buffer(&json, "import", ret_json, err);
}

tapeout_status tapeout_import(tapeout_context *context, const char *path,
                              const tapeout_import_options *options, char **ret_json,
                              tapeout_error *err)
{
    const uint64_t start_ns = tp_clock_monotonic_ns();
    import_job job = {.context = context,
                      .env = tp_context_env(context),
                      .source = path,
                      .out_path = options->out_path};
    tapeout_status status = run(&job, options->name, err);
    if (status == TAPEOUT_OK) {
        status = render(&job, (double)(tp_clock_monotonic_ns() - start_ns) * 1e-9, ret_json, err);
    }
    if (job.bundle_path != NULL) {
        tp_free(job.env->alloc, job.bundle_path, strlen(job.bundle_path) + 1);
    }
    tp_sandbox_folder_remove(job.env->alloc, job.folder);
    return status;
}
