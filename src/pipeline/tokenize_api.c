// SPDX-License-Identifier: Apache-2.0
//
// tapeout_llm_tokenize: the ids of a text by a model's tokenizer, without the model. Only the
// metadata is read, of a GGUF file or of a bundle; no weight is touched or packed.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "bundle/tp_bundle.h"
#include "llm/gguf/tp_gguf.h"
#include "llm/host/tp_gguf_check.h"
#include "llm/tokenizer/tp_tokenizer.h"
#include "pipeline/tp_llm_open.h"

#include <string.h>
#include <tapeout/llm.h>
#include <tapeout/registry.h>

void tapeout_tokenize_options_init(tapeout_tokenize_options *options)
{
    *options = (tapeout_tokenize_options){.struct_size = sizeof(*options)};
}

static tapeout_status read_bundle(const tp_env *env, const tp_admission *asked,
                                  tp_tokenizer **ret_tokenizer, tapeout_error *err)
{
    tp_bundle *bundle = NULL;
    tp_gguf *gguf = NULL;
    tp_admitted admitted;
    TP_TRY(tp_trust_open(env, asked, &bundle, &admitted, err));
    tapeout_status status = TAPEOUT_OK;
    if (tp_str_equal(tp_bundle_kind(bundle), TP_STR("llm"))) {
        const tp_str metadata = tp_bundle_section_find(bundle, TP_STR("metadata"));
        status = tp_gguf_parse_metadata(env, metadata, &gguf, err);
    } else {
        status = tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                         "%s: a bundle of kind '%.*s'; only language models have tokens",
                         asked->path, TP_STR_ARGS(tp_bundle_kind(bundle)));
    }
    if (status == TAPEOUT_OK) {
        status = tp_tokenizer_new(env, gguf, ret_tokenizer, err);
    }
    tp_gguf_close(&gguf);
    tp_bundle_close(&bundle);
    return status;
}

static tapeout_status read_tokenizer(const tp_env *env, const tp_admission *asked,
                                     tp_tokenizer **ret_tokenizer, tapeout_error *err)
{
    tp_gguf *gguf = NULL;
    if (asked->sha256.size > 0 || tp_bundle_probe(asked->path)) {
        return read_bundle(env, asked, ret_tokenizer, err);
    }
    TP_TRY(tp_gguf_open_checked(env, asked->path, TP_GGUF_FOR_TOKENS, &gguf, err));
    const tapeout_status status = tp_tokenizer_new(env, gguf, ret_tokenizer, err);
    tp_gguf_close(&gguf);
    return status;
}

static tapeout_status write_ids(const tp_env *env, const tp_ids *ids, char **ret_json,
                                tapeout_error *err)
{
    tp_buffer json;
    tp_buffer_init(&json, env->alloc, TP_MAX_TOKENIZE_JSON_BYTES);
    tp_buffer_append_text(&json, "{\"ids\":[");
    for (size_t i = 0; i < ids->count; i++) {
        tp_buffer_printf(&json, i > 0 ? ",%u" : "%u", ids->data[i]);
    }
    tp_buffer_append_text(&json, "]}");
    return tp_text_from_buffer(&json, "tokenize: ids", ret_json, err);
}

static tapeout_status encode(const tp_env *env, const tp_tokenizer *tokenizer, tp_str text,
                             const tapeout_tokenize_options *options, char **ret_json,
                             tapeout_error *err)
{
    tp_ids ids;
    const uint32_t flags = (options->special ? (uint32_t)TP_TOKENIZE_SPECIAL : 0) |
                           (options->add ? (uint32_t)TP_TOKENIZE_ADD : 0);
    tp_ids_init(&ids, env->alloc);
    tapeout_status status = tp_tokenizer_encode(tokenizer, text, flags, &ids, err);
    if (status == TAPEOUT_OK) {
        status = write_ids(env, &ids, ret_json, err);
    }
    tp_ids_deinit(&ids);
    return status;
}

tapeout_status tapeout_llm_tokenize(tapeout_context *context, const char *model,
                                    const tapeout_tokenize_options *options, char **ret_json,
                                    tapeout_error *err)
{
    const tp_env *env = tp_context_env(context);
    tapeout_model_ref ref;
    tp_tokenizer *tokenizer = NULL;
    tp_str read = {NULL, 0};
    if (options == NULL || (options->text == NULL) == (options->path == NULL)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "tokenize: either a text or a path is needed");
    }
    TP_TRY(tapeout_registry_resolve(context, model, &ref, err));
    const tp_admission asked = tp_admission_of(context, &ref);
    TP_TRY(read_tokenizer(env, &asked, &tokenizer, err));
    tapeout_status status = TAPEOUT_OK;
    if (options->path != NULL) {
        status = tp_file_read(env->alloc, options->path, TP_MAX_TOKENIZE_BYTES, &read, err);
    }
    const tp_str given = {options->text, options->text_size};
    if (status == TAPEOUT_OK) {
        status =
            encode(env, tokenizer, options->path != NULL ? read : given, options, ret_json, err);
    }
    if (read.data != NULL) {
        tp_free(env->alloc, (char *)read.data, read.size + 1);
    }
    tp_tokenizer_free(tokenizer);
    return status;
}
