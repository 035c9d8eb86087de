// SPDX-License-Identifier: Apache-2.0
//
// Reading MLflow's requests. A query becomes a JSON object first, so that there is one reader and
// one set of rules; protobuf's leniencies (numbers as texts, null for absent) are here and nowhere
// else.
#include "serve/mlflow_ask.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "base/tp_hex.h"
#include "table/tp_json.h"
#include "table/tp_value.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

// -- failures ------------------------------------------------------------------------------------
void tp_ask_refuse(mlflow_ask *ask, const char *format, ...)
{
    if (ask->error.status != TAPEOUT_OK) {
        return; // the first is told
    }
    char message[TAPEOUT_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments); // a cut message is still one
    va_end(arguments);
    (void)tp_fail(&ask->error, TAPEOUT_E_INVALID, "%s", message);
}

tapeout_status tp_ask_check(const mlflow_ask *ask, tapeout_error *err)
{
    if (ask->error.status != TAPEOUT_OK && err != NULL) {
        *err = ask->error;
    }
    return ask->error.status;
}

static void refuse_memory(mlflow_ask *ask)
{
    if (ask->error.status == TAPEOUT_OK) {
        (void)tp_arena_check(&ask->arena, "request", &ask->error);
    }
}

void tp_ask_put_text(mlflow_ask *ask, const char *key, tp_str value)
{
    tp_json_append_key(ask->json, key);
    tp_json_append_str(ask->json, value);
}

// -- queries -------------------------------------------------------------------------------------
// Appends `text` decoded; false for a percent sign without two digits.
static bool decode(tp_str text, tp_buffer *ret)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i] == '+' ? ' ' : text.data[i];
        if (c == '%') {
            const int byte = text.size - i < 3 ? -1 : tp_hex_byte(text.data + i + 1);
            if (byte < 0) {
                return false;
            }
            c = (char)byte;
            i += 2;
        }
        tp_buffer_append_char(ret, c);
    }
    return true;
}

typedef struct query_part {
    tp_str key;
    tp_str value;
    bool is_done;
} query_part;

static tapeout_status split_query(tp_str query, tp_buffer *decoded, query_part *parts,
                                  uint32_t *ret_count, tapeout_error *err)
{
    // Decoding never makes longer: with room for all, views stay valid.
    if (tp_buffer_reserve(decoded, query.size + 1) == NULL) {
        return tp_buffer_check(decoded, "query", err);
    }
    uint32_t count = 0;
    for (size_t begin = 0; begin < query.size;) {
        const char *mark = memchr(query.data + begin, '&', query.size - begin);
        const size_t end = mark == NULL ? query.size : (size_t)(mark - query.data);
        const tp_str part = {query.data + begin, end - begin};
        begin = end + 1;
        if (part.size == 0) {
            continue;
        }
        if (count == TP_MAX_MLFLOW_QUERY) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "more than %u fields in the query",
                           TP_MAX_MLFLOW_QUERY);
        }
        const char *equals = memchr(part.data, '=', part.size);
        const size_t key_size = equals == NULL ? part.size : (size_t)(equals - part.data);
        const size_t value_at = equals == NULL ? part.size : key_size + 1;
        const size_t at = decoded->size;
        bool is_good = decode((tp_str){part.data, key_size}, decoded);
        parts[count].key = (tp_str){decoded->data + at, decoded->size - at};
        const size_t value_begin = decoded->size;
        is_good = decode((tp_str){part.data + value_at, part.size - value_at}, decoded) && is_good;
        parts[count].value = (tp_str){decoded->data + value_begin, decoded->size - value_begin};
        parts[count].is_done = false;
        if (!is_good || !tp_utf8_check(parts[count].key, NULL) ||
            !tp_utf8_check(parts[count].value, NULL)) {
            return tp_fail(err, TAPEOUT_E_INVALID, "malformed query at \"%.*s\"",
                           TP_STR_ARGS(part));
        }
        count++;
    }
    *ret_count = count;
    return TAPEOUT_OK;
}

// The key, and its value or the list of its values.
static void write_part(query_part *parts, uint32_t count, uint32_t first, tp_buffer *json)
{
    uint32_t value_count = 0;
    for (uint32_t i = first; i < count; i++) {
        value_count += tp_str_equal(parts[i].key, parts[first].key);
    }
    tp_json_append_key_str(json, parts[first].key);
    tp_buffer_append_text(json, value_count > 1 ? "[" : "");
    bool is_begun = false;
    for (uint32_t i = first; i < count; i++) {
        if (tp_str_equal(parts[i].key, parts[first].key)) {
            tp_buffer_append_text(json, is_begun ? "," : "");
            tp_json_append_str(json, parts[i].value);
            parts[i].is_done = true;
            is_begun = true;
        }
    }
    tp_buffer_append_text(json, value_count > 1 ? "]" : "");
}

tapeout_status tp_ask_query_json(tp_str query, tp_buffer *ret_json, tapeout_error *err)
{
    query_part parts[TP_MAX_MLFLOW_QUERY];
    uint32_t count = 0;
    tp_buffer decoded;
    tp_buffer_init(&decoded, ret_json->alloc, TP_MAX_HTTP_TARGET_BYTES + 1);
    const tapeout_status status = split_query(query, &decoded, parts, &count, err);
    if (status == TAPEOUT_OK) {
        tp_buffer_append_char(ret_json, '{');
        for (uint32_t i = 0; i < count; i++) {
            if (!parts[i].is_done) {
                write_part(parts, count, i, ret_json);
            }
        }
        tp_buffer_append_char(ret_json, '}');
    }
    tp_buffer_deinit(&decoded);
    return status;
}

// -- fields --------------------------------------------------------------------------------------
static yyjson_val *field_of(yyjson_val *object, const char *key)
{
    yyjson_val *value = yyjson_obj_get(object, key);
    return yyjson_is_null(value) ? NULL : value;
}

static tp_str checked_text(mlflow_ask *ask, yyjson_val *value, const char *key)
{
    if (value == NULL) {
        return (tp_str){NULL, 0};
    }
    const tp_str text = yyjson_is_str(value) ? tp_json_str(value) : (tp_str){NULL, 0};
    if (text.data == NULL) {
        tp_ask_refuse(ask, "\"%s\" must be a text", key);
    } else if (text.size > 0 && memchr(text.data, '\0', text.size) != NULL) {
        tp_ask_refuse(ask, "\"%s\" holds a character of code zero", key);
    } else {
        return text;
    }
    return (tp_str){"", 0};
}

tp_str tp_ask_text_of(mlflow_ask *ask, yyjson_val *object, const char *key)
{
    return checked_text(ask, field_of(object, key), key);
}

tp_str tp_ask_text(mlflow_ask *ask, const char *key)
{
    return tp_ask_text_of(ask, ask->root, key);
}

tp_str tp_ask_needed_text(mlflow_ask *ask, const char *key)
{
    const tp_str text = tp_ask_text(ask, key);
    if (text.size == 0) {
        tp_ask_refuse(ask, "\"%s\" is missing", key);
    }
    return text;
}

int64_t tp_ask_integer_of(mlflow_ask *ask, yyjson_val *object, const char *key, int64_t otherwise)
{
    yyjson_val *value = field_of(object, key);
    int64_t number = otherwise;
    if (value == NULL) {
        return otherwise;
    }
    if (yyjson_is_sint(value) || (yyjson_is_uint(value) && yyjson_get_uint(value) <= INT64_MAX)) {
        return yyjson_get_sint(value);
    }
    const double real = yyjson_is_real(value) ? yyjson_get_real(value) : NAN;
    if (real == floor(real) && fabs(real) < 9007199254740992.0) {
        return (int64_t)real;
    }
    if (!yyjson_is_str(value) || !tp_str_to_int64(tp_json_str(value), &number)) {
        tp_ask_refuse(ask, "\"%s\" must be a whole number of 64 bits", key);
    }
    return number;
}

int64_t tp_ask_integer(mlflow_ask *ask, const char *key, int64_t otherwise)
{
    return tp_ask_integer_of(ask, ask->root, key, otherwise);
}

double tp_ask_real_of(mlflow_ask *ask, yyjson_val *object, const char *key)
{
    yyjson_val *value = field_of(object, key);
    double number = 0;
    if (value == NULL || yyjson_is_num(value)) {
        return value == NULL ? 0 : yyjson_get_num(value);
    }
    const tp_str text = tp_json_str(value);
    if (tp_str_equal(text, TP_STR("NaN"))) {
        return NAN;
    }
    if (tp_str_equal(text, TP_STR("Infinity")) || tp_str_equal(text, TP_STR("-Infinity"))) {
        return text.data[0] == '-' ? -INFINITY : INFINITY;
    }
    if (!yyjson_is_str(value) || !tp_parse_f64(text, &number) || !isfinite(number)) {
        tp_ask_refuse(ask, "\"%s\" must be a number, or \"NaN\", \"Infinity\" or \"-Infinity\"",
                      key);
    }
    return number;
}

bool tp_ask_flag(mlflow_ask *ask, const char *key)
{
    yyjson_val *value = field_of(ask->root, key);
    const tp_str text = tp_json_str(value);
    if (value == NULL || yyjson_is_bool(value)) {
        return yyjson_get_bool(value);
    }
    if (!tp_str_equal_ignore_case(text, TP_STR("true")) &&
        !tp_str_equal_ignore_case(text, TP_STR("false"))) {
        tp_ask_refuse(ask, "\"%s\" must be true or false", key);
    }
    return tp_str_equal_ignore_case(text, TP_STR("true"));
}

// -- lists ---------------------------------------------------------------------------------------
yyjson_val *tp_ask_list(mlflow_ask *ask, yyjson_val *object, const char *key, uint32_t max)
{
    yyjson_val *list = field_of(object, key);
    if (list == NULL || (yyjson_is_arr(list) && yyjson_arr_size(list) == 0)) {
        return NULL;
    }
    if (!yyjson_is_arr(list)) {
        tp_ask_refuse(ask, "\"%s\" must be a list", key);
        return NULL;
    }
    if (yyjson_arr_size(list) > max) {
        tp_ask_refuse(ask, "\"%s\" has %zu items, at most %u", key, yyjson_arr_size(list), max);
        return NULL;
    }
    return list;
}

yyjson_val *tp_ask_object(mlflow_ask *ask, yyjson_val *object, const char *key)
{
    yyjson_val *value = field_of(object, key);
    if (value != NULL && !yyjson_is_obj(value)) {
        tp_ask_refuse(ask, "\"%s\" must be an object", key);
        return NULL;
    }
    return value;
}

tp_mlflow_texts tp_ask_texts(mlflow_ask *ask, const char *key)
{
    yyjson_val *value = field_of(ask->root, key);
    const bool is_one = yyjson_is_str(value);
    yyjson_val *list = is_one ? NULL : tp_ask_list(ask, ask->root, key, TP_MAX_MLFLOW_LIST);
    const size_t count = is_one ? 1 : yyjson_arr_size(list);
    tp_str *texts = tp_arena_array(&ask->arena, count + 1, sizeof(*texts));
    if (texts == NULL) {
        refuse_memory(ask);
        return (tp_mlflow_texts){NULL, 0};
    }
    if (is_one) {
        texts[0] = checked_text(ask, value, key);
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    for (size_t i = 0; i < count && !is_one; i++) {
        texts[i] = checked_text(ask, yyjson_arr_iter_next(&iter), key);
    }
    return (tp_mlflow_texts){texts, (uint32_t)count};
}

tp_mlflow_pairs tp_ask_pairs_of(mlflow_ask *ask, yyjson_val *object, const char *key, uint32_t max)
{
    yyjson_val *list = tp_ask_list(ask, object, key, max);
    const size_t count = yyjson_arr_size(list);
    tp_mlflow_pair *pairs = tp_arena_array(&ask->arena, count + 1, sizeof(*pairs));
    if (pairs == NULL) {
        refuse_memory(ask);
        return (tp_mlflow_pairs){NULL, 0};
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    for (size_t i = 0; i < count; i++) {
        yyjson_val *item = yyjson_arr_iter_next(&iter);
        if (!yyjson_is_obj(item)) {
            tp_ask_refuse(ask, "\"%s\" must be a list of objects with key and value", key);
            return (tp_mlflow_pairs){NULL, 0};
        }
        pairs[i].key = tp_ask_text_of(ask, item, "key");
        pairs[i].value = tp_ask_text_of(ask, item, "value");
    }
    return (tp_mlflow_pairs){pairs, (uint32_t)count};
}

tp_mlflow_pairs tp_ask_pairs(mlflow_ask *ask, const char *key, uint32_t max)
{
    return tp_ask_pairs_of(ask, ask->root, key, max);
}

tp_mlflow_search tp_ask_search(mlflow_ask *ask, const char *view_key)
{
    tp_mlflow_search search = {
        .filter = tp_ask_text(ask, "filter"),
        .order = tp_ask_texts(ask, "order_by"),
        .experiments = tp_ask_texts(ask, "experiment_ids"),
        .max_results = tp_ask_integer(ask, "max_results", 0),
        .page_token = tp_ask_text(ask, "page_token"),
    };
    const tp_str view = tp_ask_text(ask, view_key);
    if (tp_str_equal(view, TP_STR("DELETED_ONLY"))) {
        search.view = TP_MLFLOW_DELETED;
    } else if (tp_str_equal(view, TP_STR("ALL"))) {
        search.view = TP_MLFLOW_ALL;
    } else if (view.size > 0 && !tp_str_equal(view, TP_STR("ACTIVE_ONLY"))) {
        tp_ask_refuse(ask, "\"%s\" must be ACTIVE_ONLY, DELETED_ONLY or ALL", view_key);
    }
    return search;
}
