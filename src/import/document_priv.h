// SPDX-License-Identifier: Apache-2.0
//
// A document of nested lists and objects, as JSON and UBJSON both write one. A run of numbers stays
// where it lies in the file and is read by index.
#ifndef DOCUMENT_PRIV_H
#define DOCUMENT_PRIV_H

#include "base/tp_arena.h"
#include "base/tp_env.h"
#include "table/tp_json.h"

typedef enum tp_document_kind {
    TP_DOCUMENT_NULL,
    TP_DOCUMENT_BOOL,
    TP_DOCUMENT_NUMBER,
    TP_DOCUMENT_TEXT,
    TP_DOCUMENT_NUMBERS, // a list that holds numbers alone
    TP_DOCUMENT_LIST,
    TP_DOCUMENT_OBJECT
} tp_document_kind;

typedef struct tp_document_value {
    tp_document_kind kind;
    char type;       // of NUMBERS: UBJSON's letter of an item, 'h' for doubles, 'j' for yyjson's
    uint32_t count;  // items of NUMBERS and LIST, members of OBJECT
    double number;   // of NUMBER; of BOOL 0 or 1
    tp_str key;      // of a member
    tp_str text;     // of TEXT
    const void *run; // of NUMBERS
    struct tp_document_value *first;
    struct tp_document_value *next; // in the list or object that it belongs to
} tp_document_value;

typedef struct tp_document {
    tp_arena arena;
    yyjson_doc *json; // of which texts are views
    tp_document_value *root;
} tp_document;

// `bytes` must outlive the document. E_CORRUPT with the byte for what is malformed; at most
// TP_MAX_DOCUMENT_DEPTH levels. Memory is at most 16 MiB beyond a few times the bytes.
tapeout_status tp_document_from_ubjson(const tp_env *env, tp_str bytes, tp_document *ret_document,
                                       tapeout_error *err);
tapeout_status tp_document_from_json(const tp_env *env, tp_str bytes, tp_document *ret_document,
                                     tapeout_error *err);
void tp_document_deinit(tp_document *document);

// The member `key` of an object; NULL where there is none or `value` is no object.
const tp_document_value *tp_document_get(const tp_document_value *value, const char *key);
// Its text; {NULL, 0} where it has none.
tp_str tp_document_get_text(const tp_document_value *value, const char *key);
// True for a list that holds numbers alone, an empty one too.
bool tp_document_is_numbers(const tp_document_value *value);
// Item `index` of such a list.
double tp_document_number(const tp_document_value *value, uint32_t index);

#endif
