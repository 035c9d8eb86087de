// SPDX-License-Identifier: Apache-2.0
//
// Parameters of generation as OpenAI's clients send them, and llama.cpp's names for those that
// OpenAI has not. Every value is checked for type and range before anything is queued.
#include "serve/llm_answer.h"

#include "base/limits.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "base/tp_random.h"
#include "table/tp_json.h"

#include <math.h>

static bool is_llm(const tp_served *model)
{
    return model->llm != NULL;
}

// Ollama's clients expect that a model which was unloaded is loaded when it is asked; their routes
// do not run on a loop's thread.
static tapeout_status find_or_load(serve_exchange *exchange, tapeout_error *err)
{
    tp_engine *engine = exchange->state->engine;
    const tp_str tenant = tp_serve_tenant(exchange);
    tapeout_status status = tp_serve_model_find(exchange, err);
    if (status != TAPEOUT_OK && exchange->route->when == SERVE_SLOW &&
        tp_principal_may(exchange->principal, TP_RIGHT_SCORE, tenant, exchange->params[0])) {
        const tapeout_status loaded = tp_engine_load(engine, tenant, exchange->params[0], err);
        if (loaded != TAPEOUT_OK && loaded != TAPEOUT_E_NOT_FOUND) {
            return loaded;
        }
        status = tp_serve_model_find(exchange, err);
    }
    return status;
}

tapeout_status tp_llm_model_find(serve_exchange *exchange, yyjson_val *body, tapeout_error *err)
{
    const tp_str latest = TP_STR(":latest");
    yyjson_val *model = yyjson_obj_get(body, "model");
    if (!yyjson_is_obj(body)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "the body is no JSON object");
    }
    if (model == NULL || yyjson_is_null(model)) {
        exchange->model = tp_serve_model_first(exchange, is_llm);
        if (exchange->model != NULL) {
            tp_served_touch(exchange->model);
            return TAPEOUT_OK;
        }
        TP_TRY(tp_serve_check_some(exchange, err));
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "no language model is served");
    }
    if (!yyjson_is_str(model)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "model: a name is expected");
    }
    exchange->params[0] = tp_json_str(model);
    exchange->params[1] = (tp_str){NULL, 0};
    tapeout_status status = find_or_load(exchange, err);
    if (status != TAPEOUT_OK && tp_str_has_suffix(exchange->params[0], latest)) {
        exchange->params[0].size -= latest.size; // Ollama's clients name what has no tag so
        status = find_or_load(exchange, err);
    }
    if (status != TAPEOUT_OK) {
        exchange->fail_code = status == TAPEOUT_E_NOT_FOUND ? "model_not_found" : NULL;
        return status;
    }
    if (exchange->model->llm == NULL) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED, "\"%.*s\" is no language model",
                       TP_STR_ARGS(exchange->params[0]));
    }
    tp_served_touch(exchange->model);
    return TAPEOUT_OK;
}

static yyjson_val *present(yyjson_val *body, const char *key)
{
    yyjson_val *value = yyjson_obj_get(body, key);
    return yyjson_is_null(value) ? NULL : value;
}

tapeout_status tp_llm_number(yyjson_val *body, const char *key, llm_range range, double *value,
                             tapeout_error *err)
{
    yyjson_val *found = present(body, key);
    if (found == NULL) {
        return TAPEOUT_OK;
    }
    const double number = yyjson_get_num(found);
    if (!yyjson_is_num(found) || !(number >= range.min && number <= range.max)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%s: a number from %g to %g is expected", key,
                       range.min, range.max);
    }
    *value = number;
    return TAPEOUT_OK;
}

tapeout_status tp_llm_count(yyjson_val *body, const char *key, llm_range range, uint32_t *value,
                            tapeout_error *err)
{
    yyjson_val *found = present(body, key);
    double number = 0;
    if (found == NULL) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_llm_number(body, key, range, &number, err));
    if (number != floor(number)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%s: a whole number from %.0f to %.0f is expected",
                       key, range.min, range.max);
    }
    *value = (uint32_t)number;
    return TAPEOUT_OK;
}

tapeout_status tp_llm_flag(yyjson_val *body, const char *key, bool *value, tapeout_error *err)
{
    yyjson_val *found = present(body, key);
    if (found != NULL && !yyjson_is_bool(found)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%s: true or false is expected", key);
    }
    *value = found == NULL ? *value : yyjson_get_bool(found);
    return TAPEOUT_OK;
}

static tapeout_status read_stops(yyjson_val *body, llm_params *params, llm_ask *ask,
                                 tapeout_error *err)
{
    yyjson_val *stop = present(body, "stop");
    yyjson_val *item = NULL;
    size_t index = 0;
    size_t count = 0;
    if (stop == NULL) {
        return TAPEOUT_OK;
    }
    if (yyjson_is_str(stop)) {
        params->stops[ask->generation.stop_count++] = tp_json_str(stop);
        return TAPEOUT_OK;
    }
    if (!yyjson_is_arr(stop) || yyjson_arr_size(stop) > TP_MAX_LLM_STOPS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "stop: a text or at most %u texts are expected",
                       TP_MAX_LLM_STOPS);
    }
    yyjson_arr_foreach(stop, index, count, item)
    {
        if (!yyjson_is_str(item)) {
            return tp_fail(err, TAPEOUT_E_INVALID, "stop: item %zu is no text", index);
        }
        params->stops[ask->generation.stop_count++] = tp_json_str(item);
    }
    return TAPEOUT_OK;
}

static tapeout_status read_biases(yyjson_val *body, llm_params *params, tp_sampling *sampling,
                                  tapeout_error *err)
{
    yyjson_val *map = present(body, "logit_bias");
    yyjson_val *key = NULL;
    yyjson_val *value = NULL;
    size_t index = 0;
    size_t count = 0;
    if (map == NULL) {
        return TAPEOUT_OK;
    }
    if (!yyjson_is_obj(map) || yyjson_obj_size(map) > TP_MAX_LLM_BIASES) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "logit_bias: an object of at most %u token ids is expected",
                       TP_MAX_LLM_BIASES);
    }
    yyjson_obj_foreach(map, index, count, key, value)
    {
        uint64_t id = 0;
        const tp_str text = tp_json_str(key);
        if (!tp_str_to_uint64(text, &id) || id > UINT32_MAX || !yyjson_is_num(value)) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "logit_bias: \"%.*s\" must be a token id with a number from -100 to 100",
                           TP_STR_ARGS(text));
        }
        params->biases[index] = (tp_logit_bias){(uint32_t)id, (float)yyjson_get_num(value)};
    }
    sampling->biases = params->biases;
    sampling->bias_count = (uint32_t)count;
    return TAPEOUT_OK;
}

static tapeout_status read_seed(serve_exchange *exchange, yyjson_val *body, tp_sampling *sampling,
                                tapeout_error *err)
{
    yyjson_val *seed = present(body, "seed");
    if (seed != NULL && !yyjson_is_int(seed)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "seed: a whole number is expected");
    }
    // Two requests that name none get different answers.
    sampling->seed = seed != NULL
                         ? (uint64_t)yyjson_get_sint(seed)
                         : tp_random_u64(tp_clock_monotonic_ns(),
                                         tp_str_hash(tp_str_from(exchange->request->id)), 0);
    return TAPEOUT_OK;
}

tapeout_status tp_llm_params_read(serve_exchange *exchange, yyjson_val *body, llm_params *params,
                                  llm_ask *ask, tapeout_error *err)
{
    tp_generation_request *request = &ask->generation;
    tp_sampling *sampling = &request->sampling;
    const llm_range tokens = {1, 4294967295.0};
    tp_sampling_init(sampling);
    TP_TRY(tp_llm_number(body, "temperature", (llm_range){0, 100}, &sampling->temperature, err));
    TP_TRY(tp_llm_number(body, "top_p", (llm_range){0, 1}, &sampling->top_p, err));
    TP_TRY(tp_llm_count(body, "top_k", (llm_range){0, 4294967295.0}, &sampling->top_k, err));
    TP_TRY(tp_llm_number(body, "min_p", (llm_range){0, 1}, &sampling->min_p, err));
    TP_TRY(tp_llm_number(body, "typical_p", (llm_range){0, 1}, &sampling->typical_p, err));
    TP_TRY(tp_llm_number(body, "repeat_penalty", (llm_range){0.01, 100}, &sampling->repeat_penalty,
                         err));
    TP_TRY(tp_llm_number(body, "presence_penalty", (llm_range){-2, 2}, &sampling->presence_penalty,
                         err));
    TP_TRY(tp_llm_number(body, "frequency_penalty", (llm_range){-2, 2},
                         &sampling->frequency_penalty, err));
    if (sampling->top_p == 0) { // OpenAI takes it for "the likeliest alone"
        sampling->top_p = 1;
        sampling->top_k = 1;
    }
    TP_TRY(read_seed(exchange, body, sampling, err));
    TP_TRY(read_biases(body, params, sampling, err));
    TP_TRY(tp_llm_count(body, "max_tokens", tokens, &request->max_tokens, err));
    TP_TRY(tp_llm_count(body, "max_completion_tokens", tokens, &request->max_tokens, err));
    TP_TRY(
        tp_llm_count(body, "n", (llm_range){1, TP_MAX_LLM_CHOICES}, &request->choice_count, err));
    TP_TRY(read_stops(body, params, ask, err));
    request->stops = params->stops;
    TP_TRY(tp_llm_flag(body, "stream", &ask->streams, err));
    yyjson_val *options = present(body, "stream_options");
    return tp_llm_flag(options, "include_usage", &ask->wants_usage, err);
}
