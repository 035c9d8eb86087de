// SPDX-License-Identifier: Apache-2.0
//
// Appending piece by piece, since one line is written for every request. Text that came over the
// network is escaped as JSON wants it, and cut: a line can't be forged nor made long. What is no
// UTF-8 shows as '?', so that the log stays readable by machines.
#include "serve/serve_log.h"

#include "base/tp_clock.h"
#include "table/tp_json.h"
#include "trust/tp_credential.h"

#include <string.h>

enum { LOG_MAX_TEXT = 256 };

void tp_serve_log_begin(tp_buffer *log, const char *event)
{
    const int64_t now_us = tp_clock_unix_us();
    tp_buffer_append_str(log, TP_STR("{\"event\":\""));
    tp_buffer_append_text(log, event);
    tp_buffer_append_str(log, TP_STR("\",\"ts\":"));
    tp_json_append_i64(log, now_us / 1000000);
    const int32_t ms = (int32_t)(now_us / 1000 % 1000);
    const char digits[4] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10),
                            (char)('0' + ms % 10)};
    tp_buffer_append(log, digits, sizeof(digits));
}

static void append_key(tp_buffer *log, const char *key)
{
    tp_buffer_append_str(log, TP_STR(",\""));
    tp_buffer_append_text(log, key);
    tp_buffer_append_str(log, TP_STR("\":"));
}

void tp_serve_log_str(tp_buffer *log, const char *key, tp_str value)
{
    append_key(log, key);
    char masked[LOG_MAX_TEXT];
    value.size = value.size < LOG_MAX_TEXT ? value.size : LOG_MAX_TEXT;
    if (tp_api_key_is_within(value)) {
        memcpy(masked, value.data, value.size);
        value = (tp_str){masked, tp_api_key_mask(masked, value.size)};
    }
    if (tp_utf8_check(value, NULL)) {
        tp_json_append_str(log, value);
        return;
    }
    char ascii[LOG_MAX_TEXT];
    for (size_t i = 0; i < value.size; i++) {
        ascii[i] = (unsigned char)value.data[i] < 0x80 ? value.data[i] : '?';
    }
    tp_json_append_str(log, (tp_str){ascii, value.size});
}

void tp_serve_log_u64(tp_buffer *log, const char *key, uint64_t value)
{
    append_key(log, key);
    tp_json_append_i64(log, value <= INT64_MAX ? (int64_t)value : INT64_MAX);
}

void tp_serve_log_ms(tp_buffer *log, const char *key, uint64_t ns)
{
    append_key(log, key);
    const uint64_t us = ns / 1000;
    tp_json_append_i64(log, (int64_t)(us / 1000));
    const uint32_t rest = (uint32_t)(us % 1000);
    const char digits[4] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
                            (char)('0' + rest % 10)};
    tp_buffer_append(log, digits, sizeof(digits));
}

void tp_serve_log_end(tp_buffer *log)
{
    tp_buffer_append_str(log, TP_STR("}\n"));
}
