// SPDX-License-Identifier: Apache-2.0
//
// tapeout_train: the run, what is registered of it, and its result as JSON.
#include "pipeline/tp_pipeline.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_cpu.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/tp_signature_store.h"
#include "table/tp_json.h"

#include <string.h>
#include <tapeout/registry.h>
#include <tapeout/train.h>

void tapeout_train_options_init(tapeout_train_options *options)
{
    *options = (tapeout_train_options){.struct_size = sizeof(*options)};
}

static void append_raw(tp_buffer *json, const char *key, const tp_buffer *value)
{
    tp_json_append_key(json, key);
    tp_buffer_append_str(json, tp_buffer_view(value));
}

static void append_seconds(tp_buffer *json, const tp_train_result *result)
{
    const struct {
        const char *name;
        double value;
    } parts[] = {{"read", result->seconds.read},
                 {"prepare", result->seconds.prepare},
                 {"train", result->seconds.train},
                 {"evaluate", result->seconds.evaluate},
                 {"write", result->seconds.write}};
    tp_buffer_append_char(json, '{');
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        tp_json_append_key(json, parts[i].name);
        tp_json_append_f64(json, parts[i].value);
    }
    tp_buffer_append_char(json, '}');
}

static void append_hash(tp_buffer *json, const tp_sha256 *hash)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(hash, hex);
    tp_json_append_key(json, "sha256");
    tp_json_append_str(json, (tp_str){hex, TP_SHA256_HEX_SIZE});
}

static void append_result(tp_buffer *json, const tp_train_result *result,
                          const tapeout_model_ref *ref)
{
    tp_buffer_append_char(json, '{');
    tp_json_append_key(json, "name");
    tp_json_append_str(json, tp_buffer_view(&result->name));
    tp_json_append_key(json, "version");
    tp_json_append_u64(json, ref->version);
    tp_json_append_key(json, "bundle");
    tp_json_append_str(json, tp_str_from(result->bundle_path));
    append_hash(json, &result->hash);
    append_raw(json, "metrics", &result->metrics_json);
    append_raw(json, "intervals", &result->intervals_json);
    append_raw(json, "cohorts", &result->cohorts_json);
    append_raw(json, "gates", &result->gates_json);
    tp_json_append_key(json, "rows_train");
    tp_json_append_u64(json, result->rows_train);
    tp_json_append_key(json, "rows_test");
    tp_json_append_u64(json, result->rows_test);
    tp_json_append_key(json, "seconds");
    append_seconds(json, result);
    tp_json_append_key(json, "notes");
    tp_json_append_str(json, tp_buffer_view(&result->notes));
    tp_buffer_append_char(json, '}');
}

// -- registering
// -----------------------------------------------------------------------------------

// What the bundle must not know: who made it on what, and when that took how long.
static tapeout_status register_bundle(tapeout_context *context, const char *spec_path,
                                      const tp_train_result *result, const tapeout_error *refusal,
                                      tapeout_model_ref *ret_ref, tapeout_error *err)
{
    const tp_env *env = tp_context_env(context);
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_buffer texts[4]; // name, gates, timings, facts
    for (size_t i = 0; i < 4; i++) {
        tp_buffer_init(&texts[i], env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    }
    tp_buffer_append_str(&texts[0], tp_buffer_view(&result->name));
    tp_buffer_append_str(&texts[1], tp_buffer_view(&result->gates_json));
    append_seconds(&texts[2], result);
    tp_buffer_append_char(&texts[3], '{');
    tp_json_append_key(&texts[3], "spec");
    tp_json_append_str(&texts[3], tp_str_from(spec_path));
    tp_json_append_key(&texts[3], "threads");
    tp_json_append_u64(&texts[3], tp_pool_worker_count(env->pool));
    tp_json_append_key(&texts[3], "cpu"); // the kernels that ran: there are none beyond AVX2
    tp_json_append_str(&texts[3], tp_str_from(tp_cpu_name(tp_cpu_flags() & TP_CPU_AVX2)));
    tp_json_append_key(&texts[3], "tapeout");
    tp_json_append_str(&texts[3], tp_str_from(tapeout_version()));
    tp_buffer_append_char(&texts[3], '}');
    tapeout_status status = TAPEOUT_OK;
    for (size_t i = 0; i < 4 && status == TAPEOUT_OK; i++) {
        tp_buffer_append_char(&texts[i], '\0');
        status = tp_buffer_check(&texts[i], "train", err);
    }
    if (status == TAPEOUT_OK) {
        // Before the row: whoever finds the version finds its signature.
        status = tp_signatures_sign_home(context, result->bundle_path, err);
    }
    if (status == TAPEOUT_OK) {
        tapeout_registration registration;
        tapeout_registration_init(&registration);
        tp_sha256_hex(&result->hash, hex);
        registration.name = texts[0].data;
        registration.bundle = result->bundle_path;
        registration.sha256 = hex;
        registration.is_refused = refusal != NULL;
        registration.reason = refusal == NULL ? NULL : refusal->message;
        registration.gates = texts[1].data;
        registration.timings = texts[2].data;
        registration.facts = texts[3].data;
        status = tapeout_registry_register(context, &registration, ret_ref, err);
    }
    for (size_t i = 0; i < 4; i++) {
        tp_buffer_deinit(&texts[i]);
    }
    return status;
}

// Without --out the bundle lives in the registry alone: the file made on the way goes, and the
// result names the registry's own.
static tapeout_status keep_registered(const tp_env *env, const tapeout_model_ref *ref,
                                      tp_train_result *result, tapeout_error *err)
{
    TP_TRY(tp_file_remove(result->bundle_path, err));
    tp_free(env->alloc, result->bundle_path, strlen(result->bundle_path) + 1);
    result->bundle_path = tp_strndup(env->alloc, ref->path, strlen(ref->path));
    return result->bundle_path == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
}

static tapeout_status finish(tapeout_context *context, const tapeout_train_options *options,
                             tp_train_result *result, const tapeout_model_ref *ref, char **ret_json,
                             tapeout_error *err)
{
    const tp_env *env = tp_context_env(context);
    if (options->out_path == NULL) {
        TP_TRY(keep_registered(env, ref, result, err));
    }
    tp_buffer json;
    tp_buffer_init(&json, env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    append_result(&json, result, ref);
    return tp_text_from_buffer(&json, "train", ret_json, err);
}

tapeout_status tapeout_train(tapeout_context *context, const char *spec_path,
                             const tapeout_train_options *options, char **ret_json,
                             tapeout_error *err)
{
    const tp_env *env = tp_context_env(context);
    const tp_train_request request = {.spec_path = spec_path,
                                      .out_path = options->out_path,
                                      .out_directory = tp_context_home(context),
                                      .duckdb_library = tp_context_duckdb(context),
                                      .seed = options->seed};
    tp_train_result result;
    tapeout_error refusal = {0};
    tapeout_model_ref ref;
    if (options->out_path == NULL) {
        TP_TRY(tp_directory_make(request.out_directory, err));
    }
    const tapeout_status trained = tp_train(env, &request, &result, &refusal);
    if (trained != TAPEOUT_OK && trained != TAPEOUT_E_GATE) {
        return tp_fail_at(err, refusal.status, refusal.offset, "%s", refusal.message);
    }
    tapeout_status status = register_bundle(context, spec_path, &result,
                                            trained == TAPEOUT_E_GATE ? &refusal : NULL, &ref, err);
    if (status == TAPEOUT_OK) {
        status = finish(context, options, &result, &ref, ret_json, err);
    } else if (options->out_path == NULL) {
        (void)tp_file_remove(result.bundle_path, NULL); // the first failure is the one to tell
    }
    tp_train_result_deinit(env->alloc, &result);
    if (status == TAPEOUT_OK && trained == TAPEOUT_E_GATE) {
        return tp_fail(err, trained, "%s", refusal.message);
    }
    return status;
}
