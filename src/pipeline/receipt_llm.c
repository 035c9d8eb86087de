// SPDX-License-Identifier: Apache-2.0
//
// Generations and their answers as texts, and generations back from theirs.
#include "pipeline/tp_receipt_llm.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

// -- writing -------------------------------------------------------------------------------------
static void append_ids(tp_buffer *json, const char *key, const uint32_t *ids, size_t count)
{
    tp_json_append_key(json, key);
    tp_buffer_append_char(json, '[');
    for (size_t i = 0; i < count && json->status == TAPEOUT_OK; i++) {
        tp_buffer_append_text(json, i == 0 ? "" : ",");
        tp_json_append_u64(json, ids[i]);
    }
    tp_buffer_append_char(json, ']');
}

static void append_flag(tp_buffer *json, const char *key, bool value)
{
    tp_json_append_key(json, key);
    tp_buffer_append_text(json, value ? "true" : "false");
}

// The numbers of a sampling by name.
static const struct {
    const char *key;
    size_t offset;
} numbers[] = {{"temperature", offsetof(tp_sampling, temperature)},
               {"top_p", offsetof(tp_sampling, top_p)},
               {"min_p", offsetof(tp_sampling, min_p)},
               {"typical_p", offsetof(tp_sampling, typical_p)},
               {"repeat_penalty", offsetof(tp_sampling, repeat_penalty)},
               {"presence_penalty", offsetof(tp_sampling, presence_penalty)},
               {"frequency_penalty", offsetof(tp_sampling, frequency_penalty)}};
enum { NUMBER_COUNT = sizeof(numbers) / sizeof(numbers[0]) };

static void append_sampling(tp_buffer *json, const tp_sampling *sampling)
{
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        tp_json_append_key(json, numbers[i].key);
        tp_json_append_f64(json, *(const double *)((const char *)sampling + numbers[i].offset));
    }
    tp_json_put_u64(json, "top_k", sampling->top_k);
    tp_json_put_u64(json, "repeat_window", sampling->repeat_window);
    tp_json_put_u64(json, "seed", sampling->seed);
    tp_json_append_key(json, "biases");
    tp_buffer_append_char(json, '[');
    for (uint32_t i = 0; i < sampling->bias_count; i++) {
        tp_buffer_append_text(json, i == 0 ? "[" : ",[");
        tp_json_append_u64(json, sampling->biases[i].id);
        tp_buffer_append_char(json, ',');
        tp_json_append_f64(json, (double)sampling->biases[i].bias);
        tp_buffer_append_char(json, ']');
    }
    tp_buffer_append_char(json, ']');
}

static const char *const kinds[] = {[TP_GRAMMAR_JSON_SCHEMA] = "json_schema",
                                    [TP_GRAMMAR_JSON_OBJECT] = "json_object",
                                    [TP_GRAMMAR_GBNF] = "gbnf",
                                    [TP_GRAMMAR_REGEX] = "regex"};
enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

// What the answer is held to, and from where on.
static void append_grammar(tp_buffer *json, const tp_grammar_source *grammar,
                           const tp_generation_request *request)
{
    tp_json_append_key(json, "grammar");
    tp_buffer_append_char(json, '{');
    tp_json_put_str(json, "kind", tp_str_from(kinds[grammar->kind]));
    tp_json_put_str(json, "text", grammar->text);
    tp_json_put_str(json, "prefix", grammar->options.prefix);
    tp_json_put_str(json, "suffix", grammar->options.suffix);
    append_flag(json, "compact", grammar->options.is_compact);
    tp_json_put_str(json, "trigger", request->trigger);
    append_flag(json, "triggers_once", request->triggers_once);
    tp_buffer_append_char(json, '}');
}

void tp_receipt_generation_write(const tp_receipt_generation *generation, tp_buffer *json)
{
    const tp_generation_request *request = &generation->request;
    tp_buffer_append_char(json, '{');
    append_ids(json, "prompt", request->prompt, request->prompt_count);
    tp_json_put_u64(json, "context", generation->context_length);
    append_flag(json, "kv_q8", generation->kv_is_q8);
    append_flag(json, "constrained", generation->is_constrained);
    append_flag(json, "ignores_eog", request->ignores_eog);
    append_flag(json, "shows_special", request->shows_special);
    tp_json_put_u64(json, "max_tokens", request->max_tokens);
    tp_json_put_u64(json, "choices", request->choice_count == 0 ? 1 : request->choice_count);
    append_sampling(json, &request->sampling);
    tp_json_append_key(json, "stops");
    tp_buffer_append_char(json, '[');
    for (uint32_t i = 0; i < request->stop_count; i++) {
        tp_buffer_append_text(json, i == 0 ? "" : ",");
        tp_json_append_str(json, request->stops[i]);
    }
    tp_buffer_append_char(json, ']');
    if (generation->grammar != NULL) {
        append_grammar(json, generation->grammar, request);
    }
    tp_buffer_append_char(json, '}');
}

void tp_receipt_answer_write(const tp_receipt_choice *choices, uint32_t count, tp_buffer *json)
{
    tp_buffer_append_text(json, "{\"choices\":[");
    for (uint32_t i = 0; i < count; i++) {
        tp_buffer_append_text(json, i == 0 ? "{" : ",{");
        append_ids(json, "ids", choices[i].ids.data, choices[i].ids.count);
        tp_json_put_str(json, "finish",
                        choices[i].finish == TP_FINISH_LENGTH ? TP_STR("length") : TP_STR("stop"));
        tp_buffer_append_char(json, '}');
    }
    tp_buffer_append_text(json, "]}");
}

// -- reading -------------------------------------------------------------------------------------
static tapeout_status fail_member(const char *key, tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_DATA, "a generation whose \"%s\" is missing or none", key);
}

static tapeout_status read_u32(yyjson_val *root, const char *key, uint32_t *ret_value,
                               tapeout_error *err)
{
    yyjson_val *value = yyjson_obj_get(root, key);
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) > UINT32_MAX) {
        return fail_member(key, err);
    }
    *ret_value = (uint32_t)yyjson_get_uint(value);
    return TAPEOUT_OK;
}

static tapeout_status read_flag(yyjson_val *root, const char *key, bool *ret_value,
                                tapeout_error *err)
{
    yyjson_val *value = yyjson_obj_get(root, key);
    *ret_value = yyjson_get_bool(value);
    return yyjson_is_bool(value) ? TAPEOUT_OK : fail_member(key, err);
}

// What a list holds: read takes one item into its place, and says whether it could.
typedef struct list_kind {
    const char *key;
    size_t max;
    size_t item_bytes;
    bool (*read)(yyjson_val *item, void *ret_item);
} list_kind;

static bool read_id(yyjson_val *item, void *ret_item)
{
    uint32_t *id = ret_item;
    *id = (uint32_t)yyjson_get_uint(item);
    return yyjson_is_uint(item) && yyjson_get_uint(item) <= UINT32_MAX;
}

static bool read_stop(yyjson_val *item, void *ret_item)
{
    tp_str *stop = ret_item;
    *stop = tp_json_str(item);
    return yyjson_is_str(item);
}

static bool read_bias(yyjson_val *item, void *ret_item)
{
    tp_logit_bias *bias = ret_item;
    yyjson_val *number = yyjson_arr_get(item, 1);
    if (!yyjson_is_num(number) || !(fabs(yyjson_get_num(number)) <= (double)FLT_MAX)) {
        return false;
    }
    bias->bias = (float)yyjson_get_num(number);
    return read_id(yyjson_arr_get(item, 0), &bias->id);
}

static const list_kind prompt_list = {"prompt", TP_MAX_RECEIPT_INPUT_FILE_BYTES, sizeof(uint32_t),
                                      read_id};
static const list_kind stop_list = {"stops", TP_MAX_LLM_STOPS, sizeof(tp_str), read_stop};
static const list_kind bias_list = {"biases", TP_MAX_LLM_BIASES, sizeof(tp_logit_bias), read_bias};

static tapeout_status read_list(yyjson_val *root, const list_kind *kind, tp_arena *arena,
                                const void **ret_items, uint32_t *ret_count, tapeout_error *err)
{
    yyjson_val *array = yyjson_obj_get(root, kind->key);
    if (!yyjson_is_arr(array) || yyjson_arr_size(array) > kind->max) {
        return fail_member(kind->key, err);
    }
    char *items = tp_arena_array(arena, yyjson_arr_size(array) + 1, kind->item_bytes);
    TP_TRY(tp_arena_check(arena, "a generation", err));
    size_t index = 0;
    size_t count = 0;
    yyjson_val *item = NULL;
    yyjson_arr_foreach(array, index, count, item)
    {
        if (!kind->read(item, items + index * kind->item_bytes)) {
            return fail_member(kind->key, err);
        }
    }
    *ret_items = items;
    *ret_count = (uint32_t)count;
    return TAPEOUT_OK;
}

static tapeout_status read_sampling(yyjson_val *root, tp_arena *arena, tp_sampling *sampling,
                                    tapeout_error *err)
{
    yyjson_val *seed = yyjson_obj_get(root, "seed");
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        yyjson_val *value = yyjson_obj_get(root, numbers[i].key);
        if (!yyjson_is_num(value)) {
            return fail_member(numbers[i].key, err);
        }
        *(double *)((char *)sampling + numbers[i].offset) = yyjson_get_num(value);
    }
    if (!yyjson_is_uint(seed)) {
        return fail_member("seed", err);
    }
    sampling->seed = yyjson_get_uint(seed);
    TP_TRY(read_u32(root, "top_k", &sampling->top_k, err));
    TP_TRY(read_u32(root, "repeat_window", &sampling->repeat_window, err));
    const void *items = NULL;
    TP_TRY(read_list(root, &bias_list, arena, &items, &sampling->bias_count, err));
    sampling->biases = items;
    return TAPEOUT_OK;
}

static tapeout_status read_kind(yyjson_val *root, tp_grammar_kind *ret_kind, tapeout_error *err)
{
    const tp_str word = tp_json_get_str(root, "kind");
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (tp_str_equal(word, tp_str_from(kinds[i]))) {
            *ret_kind = (tp_grammar_kind)i;
            return TAPEOUT_OK;
        }
    }
    return fail_member("kind", err);
}

static tapeout_status read_text(yyjson_val *root, const char *key, tp_str *ret_text,
                                tapeout_error *err)
{
    yyjson_val *value = yyjson_obj_get(root, key);
    *ret_text = tp_json_str(value);
    return yyjson_is_str(value) && ret_text->size <= TP_MAX_GRAMMAR_TEXT_BYTES
               ? TAPEOUT_OK
               : fail_member(key, err);
}

static tapeout_status read_grammar(yyjson_val *root, tp_arena *arena, tp_receipt_generation *read,
                                   tapeout_error *err)
{
    yyjson_val *value = yyjson_obj_get(root, "grammar");
    tp_generation_request *request = &read->request;
    if (value == NULL) {
        return TAPEOUT_OK;
    }
    if (!yyjson_is_obj(value) || !read->is_constrained) {
        return fail_member("grammar", err);
    }
    tp_grammar_source *grammar = tp_arena_array(arena, 1, sizeof(*grammar));
    TP_TRY(tp_arena_check(arena, "a generation", err));
    TP_TRY(read_kind(value, &grammar->kind, err));
    TP_TRY(read_text(value, "text", &grammar->text, err));
    TP_TRY(read_text(value, "prefix", &grammar->options.prefix, err));
    TP_TRY(read_text(value, "suffix", &grammar->options.suffix, err));
    TP_TRY(read_flag(value, "compact", &grammar->options.is_compact, err));
    TP_TRY(read_text(value, "trigger", &request->trigger, err));
    TP_TRY(read_flag(value, "triggers_once", &request->triggers_once, err));
    read->grammar = grammar;
    return TAPEOUT_OK;
}

tapeout_status tp_receipt_generation_read(yyjson_val *root, tp_arena *arena,
                                          tp_receipt_generation *ret_generation, tapeout_error *err)
{
    tp_receipt_generation read = {.context_length = 0};
    tp_generation_request *request = &read.request;
    const void *items = NULL;
    if (!yyjson_is_obj(root)) {
        return tp_fail(err, TAPEOUT_E_DATA, "a generation was expected, a JSON object");
    }
    TP_TRY(read_list(root, &prompt_list, arena, &items, &request->prompt_count, err));
    request->prompt = items;
    TP_TRY(read_u32(root, "context", &read.context_length, err));
    TP_TRY(read_flag(root, "kv_q8", &read.kv_is_q8, err));
    TP_TRY(read_flag(root, "constrained", &read.is_constrained, err));
    TP_TRY(read_flag(root, "ignores_eog", &request->ignores_eog, err));
    TP_TRY(read_flag(root, "shows_special", &request->shows_special, err));
    TP_TRY(read_u32(root, "max_tokens", &request->max_tokens, err));
    TP_TRY(read_u32(root, "choices", &request->choice_count, err));
    TP_TRY(read_sampling(root, arena, &request->sampling, err));
    TP_TRY(read_list(root, &stop_list, arena, &items, &request->stop_count, err));
    request->stops = items;
    if (request->choice_count == 0 || request->choice_count > TP_MAX_LLM_CHOICES) {
        return fail_member("choices", err);
    }
    TP_TRY(read_grammar(root, arena, &read, err));
    *ret_generation = read;
    return TAPEOUT_OK;
}
