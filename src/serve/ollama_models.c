// SPDX-License-Identifier: Apache-2.0
//
// What Ollama's clients ask besides text: which models there are and what they are, vectors, and
// the changes to a library of models that this server has not: what is served stands in its
// configuration.
#include "serve/ollama.h"
#include "serve/serve_handlers.h"

#include "base/limits.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

#include <math.h>
#include <string.h>
#include <tapeout/context.h>
#include <time.h>

void tp_ollama_time_write(int64_t unix_us, tp_buffer *out)
{
    struct tm parts = {0};
    const time_t seconds = (time_t)(unix_us / 1000000);
    if (gmtime_r(&seconds, &parts) == NULL) {
        tp_buffer_append_text(out, "null");
        return;
    }
    tp_buffer_printf(out, "\"%04d-%02d-%02dT%02d:%02d:%02d.%06dZ\"", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     (int)(unix_us % 1000000));
}

// -- what a model is -----------------------------------------------------------------------------
static const tp_gguf *metadata_of(const tp_served *model)
{
    return tp_llm_metadata(tp_llm_host_model(model->llm));
}

static void write_name(const tp_served *model, tp_buffer *json)
{
    tp_buffer name;
    tp_buffer_init(&name, json->alloc, TP_MAX_SERVED_TEXT_BYTES);
    tp_buffer_append_str(&name, model->name);
    if (model->name.size == 0 || memchr(model->name.data, ':', model->name.size) == NULL) {
        tp_buffer_append_text(&name, ":latest");
    }
    tp_json_append_str(json, tp_buffer_view(&name));
    json->status = name.status != TAPEOUT_OK ? name.status : json->status;
    tp_buffer_deinit(&name);
}

static double parameter_count(const tp_gguf *metadata)
{
    double count = 0;
    for (size_t i = 0; i < tp_gguf_tensor_count(metadata); i++) {
        const tp_gguf_tensor *tensor = tp_gguf_tensor_at(metadata, i);
        double size = 1;
        for (uint32_t k = 0; k < TP_GGUF_DIMS; k++) {
            size *= (double)tensor->dims[k];
        }
        count += size;
    }
    return count;
}

// The type that most weights have.
static const char *quantization(const tp_gguf *metadata)
{
    const tp_gguf_tensor *largest = NULL;
    for (size_t i = 0; i < tp_gguf_tensor_count(metadata); i++) {
        const tp_gguf_tensor *tensor = tp_gguf_tensor_at(metadata, i);
        // The table of tokens is often kept wider than the rest.
        const bool is_table = tp_str_has_prefix(tensor->name, TP_STR("token_embd"));
        if (!is_table && (largest == NULL || tensor->size_bytes > largest->size_bytes)) {
            largest = tensor;
        }
    }
    return largest == NULL ? "unknown" : tp_tensor_layout_of((uint32_t)largest->type)->name;
}

static void write_details(const tp_served *model, tp_buffer *json)
{
    const tp_llm_facts *facts = tp_llm_facts_of(tp_llm_host_model(model->llm));
    const tp_str family = tp_str_from(facts->architecture);
    const double millions = parameter_count(metadata_of(model)) / 1e6;
    tp_buffer_append_text(json, "{\"parent_model\":\"\",\"format\":\"gguf\",\"family\":");
    tp_json_append_str(json, family);
    tp_buffer_append_text(json, ",\"families\":[");
    tp_json_append_str(json, family);
    tp_buffer_printf(json,
                     millions < 1000 ? "],\"parameter_size\":\"%.2fM\""
                                     : "],\"parameter_size\":"
                                       "\"%.1fB\"",
                     millions < 1000 ? millions : millions / 1000);
    tp_buffer_printf(json, ",\"quantization_level\":\"%s\"}", quantization(metadata_of(model)));
}

static void write_entry(const tp_served *model, bool is_running, tp_buffer *json)
{
    tp_buffer_append_text(json, "{\"name\":");
    write_name(model, json);
    tp_buffer_append_text(json, ",\"model\":");
    write_name(model, json);
    tp_buffer_append_text(json, ",\"modified_at\":");
    tp_ollama_time_write((int64_t)(model->identity[3] / 1000), json);
    tp_buffer_printf(json, ",\"size\":%llu,\"digest\":\"%s\",\"details\":",
                     (unsigned long long)model->identity[2], model->sha256);
    write_details(model, json);
    if (is_running) {
        tp_buffer_append_text(json, ",\"expires_at\":");
        tp_ollama_expiry_write(model, json);
        tp_buffer_printf(json, ",\"size_vram\":0,\"context_length\":%u",
                         tp_scheduler_context(tp_llm_host_scheduler(model->llm)));
    }
    tp_buffer_append_char(json, '}');
}

static tapeout_status list(serve_exchange *exchange, bool is_running)
{
    tp_engine *engine = exchange->state->engine;
    tp_served *models[TP_MAX_SERVED_MODELS];
    const size_t count = tp_serve_models_list(exchange, models);
    tp_buffer *json = &exchange->reply.body;
    bool is_first = true;
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(json, "{\"models\":[");
    for (size_t i = 0; i < count; i++) {
        if (models[i]->llm != NULL) {
            tp_buffer_append_text(json, is_first ? "" : ",");
            write_entry(models[i], is_running, json);
            is_first = false;
        }
        tp_engine_unref(engine, models[i]);
    }
    tp_buffer_append_text(json, "]}");
    return TAPEOUT_OK;
}

tapeout_status tp_serve_ollama_tags(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    return list(exchange, false);
}

tapeout_status tp_serve_ollama_ps(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    return list(exchange, true);
}

tapeout_status tp_serve_ollama_version(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(&exchange->reply.body, "{\"version\":");
    tp_json_append_str(&exchange->reply.body, tp_str_from(tapeout_version()));
    tp_buffer_append_char(&exchange->reply.body, '}');
    return TAPEOUT_OK;
}

// Without `default`: a new kind must decide here. Lists are null, as Ollama's are unless asked for.
static void write_value(const tp_gguf_value *value, tp_buffer *json)
{
    switch (value->kind) {
    case TP_GGUF_U8:
    case TP_GGUF_U16:
    case TP_GGUF_U32:
    case TP_GGUF_U64:
        tp_json_append_u64(json, value->u64);
        return;
    case TP_GGUF_I8:
    case TP_GGUF_I16:
    case TP_GGUF_I32:
    case TP_GGUF_I64:
        tp_json_append_i64(json, value->i64);
        return;
    case TP_GGUF_F32:
    case TP_GGUF_F64:
        tp_json_append_f64(json, value->f64);
        return;
    case TP_GGUF_BOOL:
        tp_buffer_append_text(json, value->boolean ? "true" : "false");
        return;
    case TP_GGUF_STRING:
        tp_json_append_str(json, value->string);
        return;
    case TP_GGUF_ARRAY:
        break;
    }
    tp_buffer_append_text(json, "null");
}

static void write_info(const tp_gguf *metadata, tp_buffer *json)
{
    tp_buffer_append_char(json, '{');
    for (size_t i = 0; i < tp_gguf_kv_count(metadata); i++) {
        const tp_gguf_kv *kv = tp_gguf_kv_at(metadata, i);
        if (!tp_str_equal(kv->key, TP_STR("tokenizer.chat_template"))) {
            tp_json_append_key_str(json, kv->key);
            write_value(&kv->value, json);
        }
    }
    tp_json_append_key(json, "general.parameter_count");
    tp_buffer_printf(json, "%.0f}", parameter_count(metadata));
}

static void write_capabilities(const tp_served *model, tp_buffer *json)
{
    const tp_tool_format format = tp_llm_host_tool_format(model->llm);
    if (tp_llm_facts_of(tp_llm_host_model(model->llm))->is_encoder) {
        tp_buffer_append_text(json, "[\"embedding\"]");
        return;
    }
    tp_buffer_append_text(json, "[\"completion\"");
    tp_buffer_append_text(json, format.takes_tools ? ",\"tools\"" : "");
    tp_buffer_append_text(json, format.has_reasoning ? ",\"thinking\"]" : "]");
}

static void write_model(const tp_served *model, tp_buffer *json)
{
    const tp_gguf *metadata = metadata_of(model);
    tp_str licence = {"", 0};
    const tp_str source = tp_llm_host_template_text(model->llm);
    // A model without one says nothing of it.
    (void)tp_gguf_get_str(metadata, "general.license", &licence, NULL);
    tp_buffer_append_text(json, "{\"license\":");
    tp_json_append_str(json, licence);
    tp_buffer_append_text(json, ",\"modelfile\":\"\",\"parameters\":\"\",\"template\":");
    tp_json_append_str(json, source.data == NULL ? (tp_str){"", 0} : source);
    tp_buffer_append_text(json, ",\"details\":");
    write_details(model, json);
    tp_buffer_append_text(json, ",\"model_info\":");
    write_info(metadata, json);
    tp_buffer_append_text(json, ",\"capabilities\":");
    write_capabilities(model, json);
    tp_buffer_append_text(json, ",\"modified_at\":");
    tp_ollama_time_write((int64_t)(model->identity[3] / 1000), json);
    tp_buffer_append_char(json, '}');
}

typedef tapeout_status body_fn(serve_exchange *exchange, yyjson_val *body, tapeout_error *err);

// Parses the body, finds the model, and runs `fn`.
static tapeout_status with_model(serve_exchange *exchange, body_fn *fn, tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    TP_TRY(tp_serve_body_json(exchange, &doc, err));
    tapeout_status status = tp_llm_model_find(exchange, yyjson_doc_get_root(doc), err);
    if (status == TAPEOUT_OK) {
        exchange->reply.content_type = "application/json";
        status = fn(exchange, yyjson_doc_get_root(doc), err);
    }
    yyjson_doc_free(doc);
    return status;
}

static tapeout_status show(serve_exchange *exchange, yyjson_val *body, tapeout_error *err)
{
    (void)body;
    (void)err;
    write_model(exchange->model, &exchange->reply.body);
    return TAPEOUT_OK;
}

tapeout_status tp_serve_ollama_show(serve_exchange *exchange, tapeout_error *err)
{
    return with_model(exchange, show, err);
}

// -- vectors -------------------------------------------------------------------------------------
static void write_vectors(const serve_exchange *exchange, yyjson_val *body,
                          const llm_vectors *vectors, size_t token_count, tp_buffer *json)
{
    tp_buffer_append_text(json, "{\"model\":");
    tp_json_append_str(json, tp_json_get_str(body, "model"));
    tp_buffer_append_text(json, ",\"embeddings\":[");
    for (uint32_t i = 0; i < vectors->count; i++) {
        tp_buffer_append_text(json, i == 0 ? "" : ",");
        tp_llm_vector_write(vectors->values + (size_t)i * vectors->width, vectors->width, json);
    }
    tp_buffer_printf(
        json, "],\"total_duration\":%llu,\"load_duration\":0,\"prompt_eval_count\":%zu}",
        (unsigned long long)(tp_clock_monotonic_ns() - exchange->request->begin_ns), token_count);
}

static tapeout_status embed_with(serve_exchange *exchange, yyjson_val *body, const char *key,
                                 tapeout_error *err)
{
    llm_vectors vectors = {0};
    tp_ids ids;
    tp_buffer *json = &exchange->reply.body;
    tp_ids_init(&ids, exchange->state->env->alloc);
    vectors.truncates = true;
    tapeout_status status = tp_llm_flag(body, "truncate", &vectors.truncates, err);
    if (status == TAPEOUT_OK) {
        status = tp_ollama_keep(exchange, body, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_llm_vectors_make(exchange, yyjson_obj_get(body, key), &ids, &vectors, err);
    }
    if (status == TAPEOUT_OK && strcmp(key, "input") == 0) {
        write_vectors(exchange, body, &vectors, ids.count, json);
    } else if (status == TAPEOUT_OK) {
        tp_buffer_append_text(json, "{\"embedding\":");
        tp_llm_vector_write(vectors.values, vectors.width, json);
        tp_buffer_append_char(json, '}');
    }
    tp_llm_vectors_deinit(&vectors);
    tp_ids_deinit(&ids);
    return status;
}

static tapeout_status embed(serve_exchange *exchange, yyjson_val *body, tapeout_error *err)
{
    return embed_with(exchange, body, "input", err);
}

static tapeout_status embed_one(serve_exchange *exchange, yyjson_val *body, tapeout_error *err)
{
    return embed_with(exchange, body, "prompt", err);
}

tapeout_status tp_serve_ollama_embed(serve_exchange *exchange, tapeout_error *err)
{
    return with_model(exchange, embed, err);
}

tapeout_status tp_serve_ollama_embeddings(serve_exchange *exchange, tapeout_error *err)
{
    return with_model(exchange, embed_one, err);
}

// -- what is not here ----------------------------------------------------------------------------
tapeout_status tp_serve_ollama_refuse(serve_exchange *exchange, tapeout_error *err)
{
    (void)exchange;
    return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                   "models are not pulled, pushed, made, copied or deleted through this server: "
                   "name them in its configuration or on its command line, see docs/llm.md");
}
