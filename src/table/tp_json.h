// SPDX-License-Identifier: Apache-2.0
//
// JSON in and out. Parsing is yyjson's, strict RFC 8259, through our allocator; what yyjson leaves
// to its user is added here: duplicate keys are refused, numbers beyond float64 are errors, and the
// document's size is bounded by the caller. Writing is appending to a buffer: strings escaped,
// doubles in the shortest form that reads back to the same bits, NaN and infinities as null.
#ifndef TP_JSON_H
#define TP_JSON_H

#include "base/tp_buffer.h"

#include <tapeout/status.h>
#include <yyjson.h>

// An allocator for yyjson over `alloc`, which must outlive the document.
yyjson_alc tp_json_allocator(const tapeout_allocator *alloc);

// Parses `text`; `what` opens the message ("spec", "request body"). E_CORRUPT with the byte offset
// for malformed text and for duplicate keys, at most TP_MAX_JSON_DEPTH levels. Freed with
// yyjson_doc_free.
tapeout_status tp_json_parse(const tapeout_allocator *alloc, tp_str text, const char *what,
                             yyjson_doc **ret_doc, tapeout_error *err);

// The same for text that we wrote: duplicate keys are let be, so that what is written may be read.
tapeout_status tp_json_parse_own(const tapeout_allocator *alloc, tp_str text, yyjson_doc **ret_doc);

// The string value of `key` in `object`, or {NULL, 0}.
tp_str tp_json_get_str(yyjson_val *object, const char *key);
tp_str tp_json_str(yyjson_val *value);

void tp_json_append_str(tp_buffer *buffer, tp_str text); // with quotes
void tp_json_append_f64(tp_buffer *buffer, double value);
void tp_json_append_i64(tp_buffer *buffer, int64_t value);
void tp_json_append_u64(tp_buffer *buffer, uint64_t value);
void tp_json_append_value(tp_buffer *buffer, yyjson_val *value); // a parsed value, compact
// `"key":` with a comma before it unless the buffer ends in '{'.
void tp_json_append_key(tp_buffer *buffer, const char *key);
void tp_json_append_key_str(tp_buffer *buffer, tp_str key);
// A key and its value.
void tp_json_put_str(tp_buffer *buffer, const char *key, tp_str text);
void tp_json_put_i64(tp_buffer *buffer, const char *key, int64_t value);
void tp_json_put_u64(tp_buffer *buffer, const char *key, uint64_t value);
void tp_json_put_json(tp_buffer *buffer, const char *key, tp_str json); // as it is

#endif
