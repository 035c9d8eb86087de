// SPDX-License-Identifier: Apache-2.0
//
// What holds for all of MLflow's things: lengths counted in characters, as its own server counts
// them, keys that are no paths, ids and names made up, and values in protobuf's JSON.
#include "registry/mlflow_priv.h"

#include "base/limits.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "base/tp_hex.h"
#include "table/tp_json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// -- texts ---------------------------------------------------------------------------------------
// The bytes of the first `max` characters.
static size_t size_of_characters(tp_str text, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        if ((text.data[i] & 0xc0) != 0x80 && count++ == max) {
            return i;
        }
    }
    return text.size;
}

size_t tp_mlflow_characters(tp_str text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        count += (text.data[i] & 0xc0) != 0x80;
    }
    return count;
}

tp_str tp_mlflow_cut(tp_str text, size_t max)
{
    return (tp_str){text.data, size_of_characters(text, max)};
}

tapeout_status tp_mlflow_length_check(const char *what, tp_str text, size_t max, tapeout_error *err)
{
    if (size_of_characters(text, max) < text.size) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%s \"%.40s…\" of %zu bytes; at most %zu characters",
                       what, text.data, text.size, max);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_key_check(const char *what, tp_str key, tapeout_error *err)
{
    if (key.size == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID, "the %s has no key", what);
    }
    TP_TRY(tp_mlflow_length_check(what, key, TP_MAX_MLFLOW_KEY_BYTES, err));
    bool is_path = key.data[0] == '/';
    size_t begin = 0;
    for (size_t i = 0; i <= key.size; i++) {
        if (i < key.size && ((unsigned char)key.data[i] < 0x20 || key.data[i] == 0x7f)) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "the key \"%.*s\" of the %s has a control "
                           "character",
                           TP_STR_ARGS(key), what);
        }
        if (i == key.size || key.data[i] == '/') {
            const tp_str part = {key.data + begin, i - begin};
            is_path = is_path || part.size == 0 || tp_str_equal(part, TP_STR(".")) ||
                      tp_str_equal(part, TP_STR(".."));
            begin = i + 1;
        }
    }
    if (is_path) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "the key \"%.*s\" of the %s reads as another path: no '/' in front, at the "
                       "end or twice, no '.' or '..' alone",
                       TP_STR_ARGS(key), what);
    }
    return TAPEOUT_OK;
}

bool tp_mlflow_experiment_number(tp_str id, int64_t *ret_number)
{
    return id.size > 0 && id.data[0] != '-' && id.data[0] != '+' && tp_str_to_int64(id, ret_number);
}

int64_t tp_mlflow_now_ms(void)
{
    return tp_clock_unix_us() / 1000;
}

// -- ids and names -------------------------------------------------------------------------------
tapeout_status tp_mlflow_id_make(char ret_id[MLFLOW_ID_SIZE + 1], tapeout_error *err)
{
    unsigned char bytes[MLFLOW_ID_SIZE / 2];
    if (getentropy(bytes, sizeof(bytes)) != 0) {
        return tp_fail_errno(err, errno, "cannot make an id");
    }
    tp_hex_write(bytes, sizeof(bytes), ret_id);
    return TAPEOUT_OK;
}

tapeout_status tp_mlflow_name_make(char ret_name[MLFLOW_NAME_SIZE], tapeout_error *err)
{
    static const char *const manners[] = {"able",  "bold",  "brave", "brisk", "calm",  "clear",
                                          "eager", "fair",  "fleet", "frank", "grand", "keen",
                                          "kind",  "merry", "proud", "quick"};
    static const char *const birds[] = {"crane", "dove",  "eagle",   "finch", "goose", "gull",
                                        "hawk",  "heron", "kite",    "lark",  "owl",   "raven",
                                        "robin", "snipe", "sparrow", "wren"};
    uint16_t pick[3];
    if (getentropy(pick, sizeof(pick)) != 0) {
        return tp_fail_errno(err, errno, "cannot make a name");
    }
    (void)snprintf(ret_name, MLFLOW_NAME_SIZE, "%s-%s-%u", manners[pick[0] % 16],
                   birds[pick[1] % 16], pick[2] % 1000u);
    return TAPEOUT_OK;
}

// -- JSON ----------------------------------------------------------------------------------------
void tp_mlflow_put_real(tp_buffer *json, const char *key, double value)
{
    tp_json_append_key(json, key);
    if (isfinite(value)) {
        tp_json_append_f64(json, value);
    } else {
        tp_buffer_append_text(json, isnan(value) ? "\"NaN\""
                                    : value > 0  ? "\"Infinity\""
                                                 : "\"-Infinity\"");
    }
}

tapeout_status tp_mlflow_put_pairs(tp_mlflow *mlflow, const char *name, const char *sql,
                                   tp_sql_values values, tp_buffer *json, tapeout_error *err)
{
    tp_rows rows;
    TP_TRY(tp_mlflow_query(mlflow, sql, values, &rows, err));
    bool is_begun = false;
    bool has_row = false;
    tapeout_status status = tp_mlflow_next(&rows, &has_row, err);
    while (status == TAPEOUT_OK && has_row) {
        if (!is_begun) {
            tp_json_append_key(json, name);
        }
        tp_buffer_append_text(json, is_begun ? ",{" : "[{");
        tp_json_put_str(json, "key", tp_rows_text(&rows, 0));
        tp_json_put_str(json, "value", tp_rows_text(&rows, 1));
        tp_buffer_append_char(json, '}');
        is_begun = true;
        status = tp_mlflow_next(&rows, &has_row, err);
    }
    tp_buffer_append_text(json, is_begun ? "]" : "");
    tp_mlflow_end(&rows);
    return status;
}

void tp_mlflow_put_metric(const tp_rows *rows, int column_count, tp_buffer *json)
{
    static const char *const names[] = {"run_id", "model_id", "dataset_name", "dataset_digest"};
    tp_buffer_append_char(json, '{');
    tp_json_put_str(json, "key", tp_rows_text(rows, 4));
    tp_mlflow_put_real(json, "value", tp_rows_int(rows, 1) != 0 ? NAN : tp_rows_double(rows, 0));
    tp_json_put_i64(json, "timestamp", tp_rows_int(rows, 2));
    tp_json_put_i64(json, "step", tp_rows_int(rows, 3));
    for (int i = 5; i < column_count; i++) {
        const tp_str text = tp_rows_text(rows, i);
        if (text.size > 0) {
            tp_json_put_str(json, names[i - 5], text);
        }
    }
    tp_buffer_append_char(json, '}');
}

tapeout_status tp_mlflow_put_metrics(tp_mlflow *mlflow, const char *sql, tp_sql_values values,
                                     tp_buffer *json, tapeout_error *err)
{
    tp_rows rows;
    TP_TRY(tp_mlflow_query(mlflow, sql, values, &rows, err));
    bool is_begun = false;
    bool has_row = false;
    tapeout_status status = tp_mlflow_next(&rows, &has_row, err);
    while (status == TAPEOUT_OK && has_row) {
        if (!is_begun) {
            tp_json_append_key(json, "metrics");
        }
        tp_buffer_append_text(json, is_begun ? "," : "[");
        tp_mlflow_put_metric(&rows, rows.columns, json);
        is_begun = true;
        status = tp_mlflow_next(&rows, &has_row, err);
    }
    tp_buffer_append_text(json, is_begun ? "]" : "");
    tp_mlflow_end(&rows);
    return status;
}
