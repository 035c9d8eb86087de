// SPDX-License-Identifier: Apache-2.0
//
// What OpenAI's and llama.cpp's clients ask besides text: models, embeddings, tokens.
#include "serve/llm_answer.h"
#include "serve/serve_handlers.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

#include <string.h>

static const tp_tokenizer *tokenizer_of(const serve_exchange *exchange)
{
    return tp_llm_tokenizer(tp_llm_host_model(exchange->model->llm));
}

// -- models --------------------------------------------------------------------------------------
void tp_openai_model_write(const tp_served *model, tp_buffer *json)
{
    tp_buffer_append_text(json, "\"id\":");
    tp_json_append_str(json, model->name);
    tp_buffer_printf(json, ",\"object\":\"model\",\"created\":%llu,\"owned_by\":\"tapeout\"",
                     (unsigned long long)(model->identity[3] / 1000000000u));
    if (model->llm != NULL) {
        const tp_llm_facts *facts = tp_llm_facts_of(tp_llm_host_model(model->llm));
        tp_buffer_append_text(json, ",\"meta\":{\"architecture\":");
        tp_json_append_str(json, tp_str_from(facts->architecture));
        tp_buffer_printf(json, ",\"n_vocab\":%u,\"n_ctx_train\":%u,\"n_ctx\":%u,\"n_embd\":%u}",
                         facts->vocab_count, facts->context_length,
                         tp_scheduler_context(tp_llm_host_scheduler(model->llm)), facts->width);
    }
}

// -- tokens --------------------------------------------------------------------------------------
static tapeout_status read_ids(yyjson_val *list, const char *key, uint32_t vocab_count, tp_ids *ids,
                               tapeout_error *err)
{
    yyjson_val *item = NULL;
    size_t index = 0;
    size_t count = 0;
    yyjson_arr_foreach(list, index, count, item)
    {
        if (!yyjson_is_uint(item) || yyjson_get_uint(item) >= vocab_count) {
            return tp_fail(err, TAPEOUT_E_INVALID, "%s[%zu]: a token id from 0 to %u is expected",
                           key, index, vocab_count - 1);
        }
        TP_TRY(tp_ids_append(ids, (uint32_t)yyjson_get_uint(item), err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_llm_tokens_read(const serve_exchange *exchange, yyjson_val *value,
                                  const char *key, tp_ids *ids, tapeout_error *err)
{
    const tp_tokenizer *tokenizer = tokenizer_of(exchange);
    if (yyjson_is_arr(value)) {
        return read_ids(value, key, tp_tokenizer_vocab_count(tokenizer), ids, err);
    }
    if (!yyjson_is_str(value)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%s: a text or a list of token ids is expected",
                       key);
    }
    const tp_str text = tp_json_str(value);
    if (text.size > 0 && memchr(text.data, '\0', text.size) != NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%s: the text holds a NUL character", key);
    }
    return tp_tokenizer_encode(tokenizer, text, TP_TOKENIZE_ADD | TP_TOKENIZE_SPECIAL, ids, err);
}

// {"content", "add_special", "parse_special"} in, {"tokens"} out: llama.cpp's.
static tapeout_status tokenize(serve_exchange *exchange, yyjson_val *body, tp_ids *ids,
                               tapeout_error *err)
{
    bool adds = false;
    bool is_special = true;
    yyjson_val *content = yyjson_obj_get(body, "content");
    content = content == NULL ? yyjson_obj_get(body, "prompt") : content;
    TP_TRY(tp_llm_flag(body, "add_special", &adds, err));
    TP_TRY(tp_llm_flag(body, "parse_special", &is_special, err));
    if (!yyjson_is_str(content)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "content: a text is expected");
    }
    const uint32_t flags =
        (adds ? (uint32_t)TP_TOKENIZE_ADD : 0) | (is_special ? (uint32_t)TP_TOKENIZE_SPECIAL : 0);
    TP_TRY(tp_tokenizer_encode(tokenizer_of(exchange), tp_json_str(content), flags, ids, err));
    tp_buffer *json = &exchange->reply.body;
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(json, "{\"tokens\":[");
    for (size_t i = 0; i < ids->count; i++) {
        tp_buffer_printf(json, i == 0 ? "%u" : ",%u", ids->data[i]);
    }
    tp_buffer_append_text(json, "]}");
    return TAPEOUT_OK;
}

static tapeout_status detokenize(serve_exchange *exchange, yyjson_val *body, tp_ids *ids,
                                 tapeout_error *err)
{
    yyjson_val *tokens = yyjson_obj_get(body, "tokens");
    const tp_tokenizer *tokenizer = tokenizer_of(exchange);
    if (!yyjson_is_arr(tokens)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "tokens: a list of token ids is expected");
    }
    TP_TRY(read_ids(tokens, "tokens", tp_tokenizer_vocab_count(tokenizer), ids, err));
    tp_detokenizer detokenizer;
    tp_buffer *text = &exchange->scratch;
    tp_buffer_clear(text);
    tp_detokenizer_init(&detokenizer, tokenizer, true);
    for (size_t i = 0; i < ids->count; i++) {
        TP_TRY(tp_detokenizer_push(&detokenizer, ids->data[i], text, err));
    }
    tp_detokenizer_flush(&detokenizer, text);
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(&exchange->reply.body, "{\"content\":");
    tp_json_append_str(&exchange->reply.body, tp_buffer_view(text));
    tp_buffer_append_char(&exchange->reply.body, '}');
    return tp_buffer_check(text, "text", err);
}

typedef tapeout_status tokens_fn(serve_exchange *exchange, yyjson_val *body, tp_ids *ids,
                                 tapeout_error *err);

// Parses the body, finds the model and runs `fn` with a list of ids to use.
static tapeout_status with_ids(serve_exchange *exchange, tokens_fn *fn, tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    tp_ids ids;
    TP_TRY(tp_serve_body_json(exchange, &doc, err));
    tp_ids_init(&ids, exchange->state->env->alloc);
    tapeout_status status = tp_llm_model_find(exchange, yyjson_doc_get_root(doc), err);
    if (status == TAPEOUT_OK) {
        status = fn(exchange, yyjson_doc_get_root(doc), &ids, err);
    }
    tp_ids_deinit(&ids);
    yyjson_doc_free(doc);
    return status;
}

tapeout_status tp_serve_tokenize(serve_exchange *exchange, tapeout_error *err)
{
    return with_ids(exchange, tokenize, err);
}

tapeout_status tp_serve_detokenize(serve_exchange *exchange, tapeout_error *err)
{
    return with_ids(exchange, detokenize, err);
}

// -- embeddings ----------------------------------------------------------------------------------
// Cuts a text's ids, those from `begin` on, to what the model reads; what ends every text stays.
static void truncate_ids(const serve_exchange *exchange, size_t begin, tp_ids *ids)
{
    const uint32_t most = tp_scheduler_embed_max(tp_llm_host_scheduler(exchange->model->llm));
    if (ids->count - begin > most) {
        const uint32_t last = ids->data[ids->count - 1];
        ids->count = begin + most;
        if (tp_tokenizer_piece(tokenizer_of(exchange), last).size == 0) { // a control token
            ids->data[ids->count - 1] = last;
        }
    }
}

static tapeout_status read_text(const serve_exchange *exchange, yyjson_val *text, uint32_t index,
                                tp_ids *ids, llm_vectors *vectors, tapeout_error *err)
{
    const size_t begin = ids->count;
    const uint32_t most = tp_scheduler_embed_max(tp_llm_host_scheduler(exchange->model->llm));
    TP_TRY(tp_llm_tokens_read(exchange, text, "input", ids, err));
    if (vectors->truncates) {
        truncate_ids(exchange, begin, ids);
    }
    vectors->counts[index] = (uint32_t)(ids->count - begin);
    if (vectors->counts[index] == 0 || vectors->counts[index] > most) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "input[%u] has %u tokens; a vector is made of 1 to %u", index,
                       vectors->counts[index], most);
    }
    return TAPEOUT_OK;
}

// Texts one after another: a text, a list of ids, or a list of either.
static tapeout_status read_inputs(const serve_exchange *exchange, yyjson_val *input, tp_ids *ids,
                                  llm_vectors *vectors, tapeout_error *err)
{
    yyjson_val *item = NULL;
    size_t index = 0;
    size_t count = 0;
    const bool is_list = yyjson_is_arr(input) && !yyjson_is_int(yyjson_arr_get_first(input));
    vectors->count = is_list ? (uint32_t)yyjson_arr_size(input) : 1;
    if (vectors->count == 0 || vectors->count > TP_MAX_LLM_EMBED_TEXTS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "input: 1 to %u texts are expected",
                       TP_MAX_LLM_EMBED_TEXTS);
    }
    vectors->counts = tp_alloc_array_zero(vectors->alloc, vectors->count, sizeof(*vectors->counts));
    vectors->values = tp_alloc_array(vectors->alloc, (size_t)vectors->count * vectors->width,
                                     sizeof(*vectors->values));
    if (vectors->counts == NULL || vectors->values == NULL) {
        return tp_fail_nomem(err);
    }
    if (!is_list) {
        return read_text(exchange, input, 0, ids, vectors, err);
    }
    yyjson_arr_foreach(input, index, count, item)
    {
        TP_TRY(read_text(exchange, item, (uint32_t)index, ids, vectors, err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_llm_vectors_make(serve_exchange *exchange, yyjson_val *input, tp_ids *ids,
                                   llm_vectors *vectors, tapeout_error *err)
{
    vectors->alloc = exchange->state->env->alloc;
    vectors->width = tp_llm_facts_of(tp_llm_host_model(exchange->model->llm))->width;
    TP_TRY(read_inputs(exchange, input, ids, vectors, err));
    TP_TRY(tp_serve_charge(exchange, TP_COUNT_TOKENS, ids->count, err));
    const tp_embedding_request request = {ids->data, vectors->counts, vectors->count};
    return tp_scheduler_embed(tp_llm_host_scheduler(exchange->model->llm), &request,
                              vectors->values, err);
}

void tp_llm_vectors_deinit(llm_vectors *vectors)
{
    tp_free_array(vectors->alloc, vectors->counts, vectors->count, sizeof(*vectors->counts));
    tp_free_array(vectors->alloc, vectors->values, (size_t)vectors->count * vectors->width,
                  sizeof(*vectors->values));
}

static void append_base64(tp_buffer *out, const uint8_t *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        const uint32_t group = (uint32_t)data[i] << 16 |
                               (i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0) |
                               (i + 2 < size ? (uint32_t)data[i + 2] : 0);
        tp_buffer_append_char(out, digits[group >> 18]);
        tp_buffer_append_char(out, digits[group >> 12 & 63]);
        tp_buffer_append_char(out, i + 1 < size ? digits[group >> 6 & 63] : '=');
        tp_buffer_append_char(out, i + 2 < size ? digits[group & 63] : '=');
    }
}

// Little-endian floats, whatever the machine is.
static void append_vector_base64(tp_buffer *out, const float *vector, uint32_t width)
{
    tp_buffer bytes;
    tp_buffer_init(&bytes, out->alloc, TP_MAX_HTTP_REPLY_BYTES);
    for (uint32_t k = 0; k < width; k++) {
        uint32_t bits = 0;
        memcpy(&bits, &vector[k], sizeof(bits));
        tp_buffer_append_u32le(&bytes, bits);
    }
    tp_buffer_append_char(out, '"');
    append_base64(out, (const uint8_t *)bytes.data, bytes.size);
    tp_buffer_append_char(out, '"');
    out->status = bytes.status != TAPEOUT_OK ? bytes.status : out->status;
    tp_buffer_deinit(&bytes);
}

void tp_llm_vector_write(const float *vector, uint32_t width, tp_buffer *out)
{
    tp_buffer_append_char(out, '[');
    for (uint32_t k = 0; k < width; k++) {
        tp_buffer_append_text(out, k == 0 ? "" : ",");
        tp_json_append_f64(out, (double)vector[k]);
    }
    tp_buffer_append_char(out, ']');
}

// The first `width` numbers of each, brought to length one again.
static void shorten(llm_vectors *vectors, uint32_t width)
{
    for (uint32_t i = 0; i < vectors->count; i++) {
        float *vector = vectors->values + (size_t)i * vectors->width;
        double squares = 0;
        for (uint32_t k = 0; k < width; k++) {
            squares += (double)vector[k] * (double)vector[k];
        }
        const double length = squares > 0 ? __builtin_sqrt(squares) : 1;
        for (uint32_t k = 0; k < width; k++) {
            vector[k] = (float)((double)vector[k] / length);
        }
    }
}

static tapeout_status write_embeddings(serve_exchange *exchange, yyjson_val *body,
                                       llm_vectors *vectors, size_t token_count, tapeout_error *err)
{
    uint32_t width = vectors->width;
    const tp_str format = tp_json_get_str(body, "encoding_format");
    const bool is_base64 = tp_str_equal(format, TP_STR("base64"));
    if (format.size > 0 && !is_base64 && !tp_str_equal(format, TP_STR("float"))) {
        return tp_fail(err, TAPEOUT_E_INVALID, "encoding_format: float or base64 is expected");
    }
    TP_TRY(tp_llm_count(body, "dimensions", (llm_range){1, width}, &width, err));
    if (width < vectors->width) {
        shorten(vectors, width);
    }
    tp_buffer *json = &exchange->reply.body;
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(json, "{\"object\":\"list\",\"model\":");
    tp_json_append_str(json, exchange->model->name);
    tp_buffer_append_text(json, ",\"data\":[");
    for (uint32_t i = 0; i < vectors->count; i++) {
        const float *vector = vectors->values + (size_t)i * vectors->width;
        tp_buffer_printf(
            json, "%s{\"object\":\"embedding\",\"index\":%u,\"embedding\":", i == 0 ? "" : ",", i);
        if (is_base64) {
            append_vector_base64(json, vector, width);
        } else {
            tp_llm_vector_write(vector, width, json);
        }
        tp_buffer_append_char(json, '}');
    }
    tp_buffer_printf(json, "],\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}}", token_count,
                     token_count);
    return TAPEOUT_OK;
}

static tapeout_status embed(serve_exchange *exchange, yyjson_val *body, tp_ids *ids,
                            tapeout_error *err)
{
    llm_vectors vectors = {0};
    tapeout_status status =
        tp_llm_vectors_make(exchange, yyjson_obj_get(body, "input"), ids, &vectors, err);
    if (status == TAPEOUT_OK) {
        status = write_embeddings(exchange, body, &vectors, ids->count, err);
    }
    tp_llm_vectors_deinit(&vectors);
    return status;
}

tapeout_status tp_serve_embeddings(serve_exchange *exchange, tapeout_error *err)
{
    return with_ids(exchange, embed, err);
}
