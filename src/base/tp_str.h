// SPDX-License-Identifier: Apache-2.0
//
// A string view: pointer and size, no terminator promised. Text is UTF-8; bytes of value zero are
// bytes like any other. A view borrows; whoever hands it out says until when.
#ifndef TP_STR_H
#define TP_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tp_str {
    const char *data;
    size_t size;
} tp_str;

// A literal: TP_STR("text").
#define TP_STR(literal) ((tp_str){(literal), sizeof(literal) - 1})

// For printf: printf("%.*s", TP_STR_ARGS(view)).
#define TP_STR_ARGS(view) (int)((view).size > 400 ? 400 : (view).size), (view).data

tp_str tp_str_from(const char *terminated);
bool tp_str_equal(tp_str a, tp_str b);
bool tp_str_equal_ignore_case(tp_str a, tp_str b); // ASCII case only
int tp_str_compare(tp_str a, tp_str b);            // by bytes, shorter first
bool tp_str_has_prefix(tp_str text, tp_str prefix);
bool tp_str_has_suffix(tp_str text, tp_str suffix);
bool tp_str_contains(tp_str text, tp_str part);
tp_str tp_str_trim(tp_str text); // ASCII space, tab, CR, LF at both ends

// Whole text as a decimal integer, sign allowed; false when it is none or does not fit.
bool tp_str_to_int64(tp_str text, int64_t *ret_value);
bool tp_str_to_uint64(tp_str text, uint64_t *ret_value);

// True when `text` is well-formed UTF-8 (no surrogates, no overlong forms); else `ret_offset` (may
// be NULL) is the first byte that is not.
bool tp_utf8_check(tp_str text, size_t *ret_offset);

// 64-bit hash of the bytes, the same on every machine (wyhash-like mixing; not keyed: where an
// attacker chooses the keys, tables bound their chains).
uint64_t tp_str_hash(tp_str text);

// Index of the candidate nearest to `name` by edit distance, or -1 where none is near (more than
// max(2, size / 3) edits, or all its bytes). For "unknown key; did you mean ...?".
int tp_str_nearest(tp_str name, const tp_str *candidates, size_t count);

#endif
