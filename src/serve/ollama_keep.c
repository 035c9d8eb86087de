// SPDX-License-Identifier: Apache-2.0
//
// Ollama's keep_alive: how long a model stays after its last use. Here models stay for ever unless
// a request says otherwise. Durations are those of Go: numbers with units, one behind the other.
#include "serve/ollama.h"

#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

// Longer is for ever: thirty years.
static const double most_seconds = 1e9;

// A unit at the start of `text`, in seconds; 0: none is there.
static double take_unit(tp_str *text)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"\xc2\xb5s", 1e-6}, {"ms", 1e-3},
                 {"s", 1},     {"m", 60},    {"h", 3600}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        const tp_str name = tp_str_from(units[i].name);
        if (tp_str_has_prefix(*text, name)) {
            *text = (tp_str){text->data + name.size, text->size - name.size};
            return units[i].seconds;
        }
    }
    return 0;
}

// Digits with at most one point; false where there is no digit.
static bool take_number(tp_str *text, double *ret_number)
{
    double number = 0;
    double place = 0; // of the next digit behind the point; 0: in front of it
    bool has_digit = false;
    size_t at = 0;
    for (; at < text->size; at++) {
        const char c = text->data[at];
        if (c == '.' && place == 0) {
            place = 0.1;
        } else if (c >= '0' && c <= '9') {
            number = place == 0 ? number * 10 + (c - '0') : number + place * (c - '0');
            place *= 0.1;
            has_digit = true;
        } else {
            break;
        }
    }
    *text = (tp_str){text->data + at, text->size - at};
    *ret_number = number;
    return has_digit;
}

static bool read_duration(tp_str text, double *ret_seconds)
{
    const bool is_negative = text.size > 0 && text.data[0] == '-';
    double seconds = 0;
    if (is_negative) {
        text = (tp_str){text.data + 1, text.size - 1};
    }
    if (text.size == 0) {
        return false;
    }
    while (text.size > 0) {
        double number = 0;
        if (!take_number(&text, &number)) {
            return false;
        }
        const double unit = take_unit(&text);
        if (unit == 0 && (number != 0 || text.size > 0)) { // "0" needs none
            return false;
        }
        seconds += number * unit;
    }
    *ret_seconds = is_negative ? -seconds : seconds;
    return true;
}

static tapeout_status read_seconds(yyjson_val *body, double *ret_seconds, tapeout_error *err)
{
    yyjson_val *value = yyjson_obj_get(body, "keep_alive");
    if (value == NULL || yyjson_is_null(value)) {
        return TAPEOUT_OK;
    }
    if (yyjson_is_num(value)) {
        *ret_seconds = yyjson_get_num(value);
        return TAPEOUT_OK;
    }
    return read_duration(tp_json_str(value), ret_seconds)
               ? TAPEOUT_OK
               : tp_fail(
                     err, TAPEOUT_E_INVALID,
                     "keep_alive: a number of seconds or a duration such as \"5m\" or \"1h30m\" "
                     "is expected; negative is for ever");
}

tapeout_status tp_ollama_keep(serve_exchange *exchange, yyjson_val *body, tapeout_error *err)
{
    tp_served *model = exchange->model;
    double seconds = -1;
    if (yyjson_obj_get(body, "keep_alive") == NULL) {
        return TAPEOUT_OK; // as it was
    }
    TP_TRY(read_seconds(body, &seconds, err));
    const int64_t keep_ns = seconds < 0 || seconds > most_seconds ? -1 : (int64_t)(seconds * 1e9);
    if (atomic_load_explicit(&model->keep_ns, memory_order_relaxed) == keep_ns) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_serve_require(exchange, TP_RIGHT_ADMIN, model->name, err));
    return tp_engine_keep(exchange->state->engine, model, keep_ns, err);
}

bool tp_ollama_is_unloading(const tp_served *model)
{
    return atomic_load_explicit(&model->keep_ns, memory_order_relaxed) == 0;
}

void tp_ollama_expiry_write(const tp_served *model, tp_buffer *out)
{
    const int64_t keep_ns = atomic_load_explicit(&model->keep_ns, memory_order_relaxed);
    const int64_t used_ns = (int64_t)atomic_load_explicit(&model->used_ns, memory_order_relaxed);
    if (keep_ns < 0) {
        tp_buffer_append_text(out, "\"2318-01-01T00:00:00Z\""); // clients want a time
        return;
    }
    const int64_t left_ns = used_ns + keep_ns - (int64_t)tp_clock_monotonic_ns();
    tp_ollama_time_write(tp_clock_unix_us() + left_ns / 1000, out);
}
