// SPDX-License-Identifier: Apache-2.0
//
// Log lines: one JSON object an event, with the time as seconds since 1970. A line is written into
// a buffer and closed; whoever owns the buffer hands whole lines on.
#ifndef SERVE_LOG_H
#define SERVE_LOG_H

#include "base/tp_buffer.h"

// `{"event":"...","ts":1700000000.123` without the closing brace; further members follow.
void tp_serve_log_begin(tp_buffer *log, const char *event);
void tp_serve_log_str(tp_buffer *log, const char *key, tp_str value); // cut at 256 bytes
void tp_serve_log_u64(tp_buffer *log, const char *key, uint64_t value);
void tp_serve_log_ms(tp_buffer *log, const char *key, uint64_t ns); // as milliseconds
void tp_serve_log_end(tp_buffer *log);

#endif
