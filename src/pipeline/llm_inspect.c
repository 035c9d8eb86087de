// SPDX-License-Identifier: Apache-2.0
//
// tapeout_llm_inspect: what a language model is, read from its metadata alone; of a bundle, all
// chunks are checked.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "bundle/tp_llm_bundle.h"
#include "llm/host/tp_gguf_check.h"
#include "pipeline/tp_llm_open.h"
#include "table/tp_json.h"

#include <string.h>
#include <tapeout/import.h>
#include <tapeout/registry.h>

static bool is_gguf_file(const char *path)
{
    tp_map map;
    if (tp_map_open(path, &map, NULL) != TAPEOUT_OK) {
        return false;
    }
    const bool is_gguf = map.size >= 4 && memcmp(map.data, "GGUF", 4) == 0;
    tp_map_close(&map);
    return is_gguf;
}

bool tapeout_is_llm(tapeout_context *context, const char *model)
{
    tapeout_model_ref ref;
    return tapeout_registry_resolve(context, model, &ref, NULL) == TAPEOUT_OK &&
           (is_gguf_file(ref.path) || tp_bundle_is_kind(ref.path, TP_STR("llm")));
}

static void append_text(tp_buffer *json, const char *key, const tp_gguf *gguf, const char *fact)
{
    tp_str value;
    if (tp_gguf_get_str(gguf, fact, &value, NULL) == TAPEOUT_OK) {
        tp_json_put_str(json, key, value);
    }
}

// How many weights there are, and of which types.
static void append_tensors(tp_buffer *json, const tp_gguf *gguf)
{
    uint64_t counts[TP_TENSOR_TYPE_END] = {0};
    uint64_t weights = 0;
    for (size_t i = 0; i < tp_gguf_tensor_count(gguf); i++) {
        const tp_gguf_tensor *tensor = tp_gguf_tensor_at(gguf, i);
        counts[tensor->type]++;
        weights += tensor->dims[0] * tensor->dims[1] * tensor->dims[2] * tensor->dims[3];
    }
    tp_json_put_u64(json, "parameters", weights);
    tp_json_put_u64(json, "tensors", tp_gguf_tensor_count(gguf));
    tp_json_append_key(json, "tensor_types");
    tp_buffer_append_char(json, '{');
    for (uint32_t type = 0; type < TP_TENSOR_TYPE_END; type++) {
        if (counts[type] > 0) {
            tp_json_put_u64(json, tp_tensor_layout_of(type)->name, counts[type]);
        }
    }
    tp_buffer_append_char(json, '}');
}

static void append_facts(tp_buffer *json, const tp_llm *llm)
{
    const tp_llm_facts *facts = tp_llm_facts_of(llm);
    const tp_gguf *gguf = tp_llm_metadata(llm);
    tp_json_put_str(json, "architecture", tp_str_from(facts->architecture));
    tp_json_append_key(json, "tested");
    tp_buffer_append_text(json, facts->is_tested ? "true" : "false");
    tp_json_put_str(json, "remark",
                    facts->is_tested ? TP_STR("") : TP_STR("untested on a real model"));
    append_text(json, "model_name", gguf, "general.name");
    append_text(json, "license", gguf, "general.license");
    append_tensors(json, gguf);
    tp_json_put_u64(json, "context_length", facts->context_length);
    tp_json_put_u64(json, "layers", facts->layer_count);
    tp_json_put_u64(json, "width", facts->width);
    tp_json_put_u64(json, "heads", facts->head_count);
    tp_json_put_u64(json, "kv_heads", facts->kv_head_count);
    tp_json_put_u64(json, "weight_bytes", facts->weight_bytes);
    tp_json_append_key(json, "tokenizer");
    tp_buffer_append_char(json, '{');
    append_text(json, "model", gguf, "tokenizer.ggml.model");
    append_text(json, "pre", gguf, "tokenizer.ggml.pre");
    tp_json_put_u64(json, "tokens", facts->vocab_count);
    tp_buffer_append_char(json, '}');
    tp_json_append_key(json, "chat_template");
    tp_buffer_append_text(json, tp_gguf_has(gguf, "tokenizer.chat_template") ? "true" : "false");
}

static void append_section(tp_buffer *json, const tp_bundle *bundle, const char *key,
                           const char *section, bool is_text)
{
    const tp_str data = tp_bundle_section_find(bundle, tp_str_from(section));
    tp_json_append_key(json, key);
    if (is_text) {
        tp_json_append_str(json, data);
    } else {
        tp_buffer_append_str(json, data);
    }
}

// What stands in the bundle beside the model, whose bundle becomes the model's.
static tapeout_status append_bundle(tp_buffer *json, const tp_env *env, const tp_admission *asked,
                                    tp_llm **ret_llm, tapeout_error *err)
{
    tp_bundle *bundle = NULL;
    tp_admitted admitted;
    TP_TRY(tp_trust_open(env, asked, &bundle, &admitted, err));
    tp_json_put_str(json, "name", tp_bundle_name(bundle));
    append_section(json, bundle, "licence_text", "licence.txt", true);
    append_section(json, bundle, "lineage", "lineage.json", false);
    const tapeout_status status = tp_trust_append(env->alloc, bundle, asked, json, err);
    if (status != TAPEOUT_OK) {
        tp_bundle_close(&bundle);
        return status;
    }
    return tp_llm_from_bundle(env, &bundle, ret_llm, err);
}

static tapeout_status append_all(tp_buffer *json, const tp_env *env, const tapeout_model_ref *ref,
                                 const tp_admission *asked, tapeout_error *err)
{
    const bool is_gguf = is_gguf_file(ref->path);
    tp_llm *llm = NULL;
    tp_sha256 hash;
    char hex[TP_SHA256_HEX_SIZE + 1];
    TP_TRY(tp_sha256_file(ref->path, &hash, err));
    tp_sha256_hex(&hash, hex);
    tp_buffer_append_char(json, '{');
    tp_json_put_str(json, "kind", is_gguf ? TP_STR("gguf") : TP_STR("llm"));
    tp_json_append_key(json, is_gguf ? "file" : "bundle");
    tp_json_append_str(json, tp_str_from(ref->path));
    tp_json_put_str(json, "sha256", tp_str_from(hex));
    if (ref->is_registered) {
        tp_json_put_u64(json, "version", ref->version);
    }
    if (is_gguf) {
        tp_gguf *gguf = NULL;
        TP_TRY(tp_gguf_open_checked(env, ref->path, TP_GGUF_FOR_SHAPES, &gguf, err));
        TP_TRY(tp_llm_from_gguf(env, gguf, &llm, err));
    } else {
        TP_TRY(append_bundle(json, env, asked, &llm, err));
    }
    append_facts(json, llm);
    tp_llm_free(llm);
    tp_buffer_append_char(json, '}');
    return TAPEOUT_OK;
}

tapeout_status tapeout_llm_inspect(tapeout_context *context, const char *model, char **ret_json,
                                   tapeout_error *err)
{
    tapeout_model_ref ref;
    TP_TRY(tapeout_registry_resolve(context, model, &ref, err));
    const tp_env *env = tp_context_env(context);
    tp_buffer json;
    tp_buffer_init(&json, env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    const tp_admission asked = tp_admission_of(context, &ref);
    const tapeout_status status = append_all(&json, env, &ref, &asked, err);
    if (status != TAPEOUT_OK) {
        tp_buffer_deinit(&json);
        return status;
    }
    return tp_text_from_buffer(&json, "inspect", ret_json, err);
}
