// SPDX-License-Identifier: Apache-2.0
//
// tapeout_train: the run, what is registered of it, and its result as JSON.
#include "pipeline/tp_pipeline.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_cpu.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

#include <string.h>
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
    tp_json_append_key(json, "seconds");
    tp_buffer_append_char(json, '{');
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        tp_json_append_key(json, parts[i].name);
        tp_json_append_f64(json, parts[i].value);
    }
    tp_buffer_append_char(json, '}');
}

static void append_result(tp_buffer *json, const tp_train_result *result)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(&result->hash, hex);
    tp_buffer_append_char(json, '{');
    tp_json_append_key(json, "name");
    tp_json_append_str(json, tp_buffer_view(&result->name));
    tp_json_append_key(json, "bundle");
    tp_json_append_str(json, tp_str_from(result->bundle_path));
    tp_json_append_key(json, "sha256");
    tp_json_append_str(json, (tp_str){hex, TP_SHA256_HEX_SIZE});
    append_raw(json, "metrics", &result->metrics_json);
    append_raw(json, "intervals", &result->intervals_json);
    append_raw(json, "cohorts", &result->cohorts_json);
    append_raw(json, "gates", &result->gates_json);
    tp_json_append_key(json, "rows_train");
    tp_json_append_u64(json, result->rows_train);
    tp_json_append_key(json, "rows_test");
    tp_json_append_u64(json, result->rows_test);
    append_seconds(json, result);
    tp_json_append_key(json, "notes");
    tp_json_append_str(json, tp_buffer_view(&result->notes));
    tp_buffer_append_char(json, '}');
}

tapeout_status tapeout_train(tapeout_context *context, const char *spec_path,
                             const tapeout_train_options *options, char **ret_json,
                             tapeout_error *err)
{
    const tp_env *env = tp_context_env(context);
    const tp_train_request request = {.spec_path = spec_path,
                                      .out_path = options->out_path,
                                      .out_directory = ".",
                                      .duckdb_library = tp_context_duckdb(context),
                                      .seed = options->seed};
    tp_train_result result;
    const tapeout_status status = tp_train(env, &request, &result, err);
    if (status != TAPEOUT_OK && status != TAPEOUT_E_GATE) {
        return status;
    }
    tp_buffer json;
    tp_buffer_init(&json, env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    append_result(&json, &result);
    const tapeout_status json_status = tp_text_from_buffer(&json, "train", ret_json, err);
    tp_train_result_deinit(env->alloc, &result);
    return json_status == TAPEOUT_OK ? status : json_status;
}
