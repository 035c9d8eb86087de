// SPDX-License-Identifier: Apache-2.0
//
// The values of a running template, with Python's meaning: what Jinja's own templates were written
// against. Everything lives in the arena of one render (literals: of the template) and is never
// freed by itself. Text carries for each byte whether it came from a request; a number or a
// container carries one such mark.
#ifndef TP_JINJA_VALUE_PRIV_H
#define TP_JINJA_VALUE_PRIV_H

#include "base/tp_arena.h"

#include <yyjson.h>

typedef enum tp_jinja_kind {
    TP_JINJA_UNDEFINED, // `text` names what is undefined
    TP_JINJA_NONE,
    TP_JINJA_BOOL,
    TP_JINJA_INT,
    TP_JINJA_FLOAT,
    TP_JINJA_TEXT,
    TP_JINJA_LIST, // and tuples, ranges, views, generators: see the flavour
    TP_JINJA_DICT,
    TP_JINJA_NAMESPACE, // a dict whose attributes can be set
    TP_JINJA_FUNCTION,
    TP_JINJA_METHOD,
    TP_JINJA_MACRO,
    TP_JINJA_LOOP,
} tp_jinja_kind;

typedef struct tp_jinja_text {
    const char *data;
    size_t size;
    size_t length;        // characters
    const uint8_t *marks; // one a byte, 1 where it came from a request; NULL: all alike
    bool is_untrusted;    // all of it, or with marks: some of it
} tp_jinja_text;

typedef struct tp_jinja_list tp_jinja_list;
typedef struct tp_jinja_dict tp_jinja_dict;
typedef struct tp_jinja_builtin tp_jinja_builtin;
typedef struct tp_jinja_method tp_jinja_method;
typedef struct tp_jinja_macro tp_jinja_macro;
typedef struct tp_jinja_loop tp_jinja_loop;
typedef struct tp_jinja_run tp_jinja_run;

typedef struct tp_jinja_value {
    uint8_t kind;
    bool is_untrusted; // of numbers; text and containers carry their own
    union {
        bool boolean;
        int64_t integer;
        double number;
        const tp_jinja_text *text;
        tp_jinja_list *list;
        tp_jinja_dict *dict;
        const tp_jinja_builtin *function;
        const tp_jinja_method *method;
        const tp_jinja_macro *macro;
        const tp_jinja_loop *loop;
    };
} tp_jinja_value;

typedef enum tp_jinja_flavour {
    TP_JINJA_PLAIN,
    TP_JINJA_TUPLE,
    TP_JINJA_RANGE,
    TP_JINJA_VIEW,      // dict.items() and the like
    TP_JINJA_GENERATOR, // map, select, ...: always true, of no length, gone after one pass
} tp_jinja_flavour;

struct tp_jinja_list {
    tp_jinja_flavour flavour;
    bool is_untrusted;
    size_t count;
    size_t capacity;
    tp_jinja_value *items;
    int64_t from, to, step; // of a range, for its text
};

typedef struct tp_jinja_entry {
    tp_jinja_value key;
    tp_jinja_value value;
} tp_jinja_entry;

// In order of insertion, looked up one by one: the dicts of a chat are small, and the steps of a
// search are counted.
struct tp_jinja_dict {
    bool is_untrusted;
    size_t count;
    size_t capacity;
    tp_jinja_entry *entries;
};

struct tp_jinja_method {
    tp_jinja_value self;
    const tp_jinja_builtin *builtin;
};

// Text under construction, with its marks. Appending to one that has failed does nothing; the
// arena remembers why.
typedef struct tp_jinja_out {
    tp_arena *arena;
    char *data;
    uint8_t *marks;
    size_t size;
    size_t capacity;
    size_t max_size;
    bool is_full; // beyond max_size
    bool has_failed;
} tp_jinja_out;

void tp_jinja_out_init(tp_jinja_out *out, tp_arena *arena);
void tp_jinja_put(tp_jinja_out *out, tp_str bytes, bool is_untrusted);
void tp_jinja_put_text(tp_jinja_out *out, const tp_jinja_text *text);
// Bytes begin … end of the text, with their marks.
void tp_jinja_put_part(tp_jinja_out *out, const tp_jinja_text *text, size_t begin, size_t end);
// Replaces bytes begin … end by others that take the mark of the first of them.
void tp_jinja_put_like(tp_jinja_out *out, const tp_jinja_text *text, size_t at, tp_str bytes);
// The text that was built.
tapeout_status tp_jinja_take(tp_jinja_run *run, tp_jinja_out *out, tp_jinja_value *ret);

// Text over bytes that live as long as the run.
tapeout_status tp_jinja_text_view(tp_jinja_run *run, tp_str bytes, bool is_untrusted,
                                  tp_jinja_value *ret);
tapeout_status tp_jinja_text_part(tp_jinja_run *run, const tp_jinja_text *text, size_t begin,
                                  size_t end, tp_jinja_value *ret);
bool tp_jinja_text_init(tp_arena *arena, tp_str bytes, bool is_untrusted, tp_jinja_value *ret);
bool tp_jinja_text_marked(const tp_jinja_text *text, size_t at);
tp_str tp_jinja_bytes(const tp_jinja_value *value); // of text

// Characters. `ret_size` is at least 1 also for a byte that begins none.
uint32_t tp_jinja_char(tp_str text, size_t at, size_t *ret_size);
size_t tp_jinja_char_before(tp_str text, size_t end); // where the character before `end` begins
size_t tp_jinja_char_offset(const tp_jinja_text *text, size_t index); // byte of a character
size_t tp_jinja_char_count(tp_str text);
size_t tp_jinja_char_put(char *ret_text, uint32_t code);
bool tp_jinja_is_space(uint32_t code);

static inline tp_jinja_value tp_jinja_bool(bool value)
{
    return (tp_jinja_value){.kind = TP_JINJA_BOOL, .boolean = value};
}
static inline tp_jinja_value tp_jinja_int(int64_t value)
{
    return (tp_jinja_value){.kind = TP_JINJA_INT, .integer = value};
}
static inline tp_jinja_value tp_jinja_float(double value)
{
    return (tp_jinja_value){.kind = TP_JINJA_FLOAT, .number = value};
}
static inline tp_jinja_value tp_jinja_none(void)
{
    return (tp_jinja_value){.kind = TP_JINJA_NONE};
}

tapeout_status tp_jinja_list_new(tp_jinja_run *run, tp_jinja_flavour flavour, size_t capacity,
                                 tp_jinja_value *ret);
tapeout_status tp_jinja_list_add(tp_jinja_run *run, tp_jinja_list *list, tp_jinja_value item);
tapeout_status tp_jinja_dict_new(tp_jinja_run *run, tp_jinja_kind kind, tp_jinja_value *ret);
tapeout_status tp_jinja_dict_set(tp_jinja_run *run, tp_jinja_dict *dict, tp_jinja_value key,
                                 tp_jinja_value value);
// NULL where there is none, or the steps are spent.
// Refuses lists and dicts, and tuples of them, as Python does wherever a key is looked up.
tapeout_status tp_jinja_check_key(tp_jinja_run *run, const tp_jinja_value *key);
const tp_jinja_value *tp_jinja_dict_get(tp_jinja_run *run, const tp_jinja_dict *dict,
                                        tp_jinja_value key);
const tp_jinja_value *tp_jinja_dict_get_str(tp_jinja_run *run, const tp_jinja_dict *dict,
                                            tp_str key);

// From a request: all of it untrusted.
tapeout_status tp_jinja_from_json(tp_jinja_run *run, yyjson_val *json, tp_jinja_value *ret);

const char *tp_jinja_type_name(const tp_jinja_value *value); // as Python says it
bool tp_jinja_is_true(const tp_jinja_value *value);
bool tp_jinja_is_number(const tp_jinja_value *value); // bool, int, float
double tp_jinja_to_double(const tp_jinja_value *value);
bool tp_jinja_is_untrusted(const tp_jinja_value *value);
tapeout_status tp_jinja_equal(tp_jinja_run *run, const tp_jinja_value *a, const tp_jinja_value *b,
                              bool *ret);
// Below zero, zero, above; E_INVALID for what has no order.
tapeout_status tp_jinja_compare(tp_jinja_run *run, const tp_jinja_value *a, const tp_jinja_value *b,
                                int *ret);
tapeout_status tp_jinja_contains(tp_jinja_run *run, const tp_jinja_value *all,
                                 const tp_jinja_value *item, bool *ret);
// What a loop goes over: a list as it is, the keys of a dict, the characters of a text, nothing of
// undefined. A generator is empty afterwards.
tapeout_status tp_jinja_iterate(tp_jinja_run *run, const tp_jinja_value *value,
                                const tp_jinja_list **ret);
tapeout_status tp_jinja_length(tp_jinja_run *run, const tp_jinja_value *value, int64_t *ret);

// Printing.
typedef struct tp_jinja_json_style {
    tp_str item;   // between items
    tp_str colon;  // between key and value
    tp_str indent; // of one level; data NULL for all on one line
    bool only_ascii;
    bool sort_keys;
} tp_jinja_json_style;

tapeout_status tp_jinja_print(tp_jinja_run *run, const tp_jinja_value *value, tp_jinja_out *out);
tapeout_status tp_jinja_repr(tp_jinja_run *run, const tp_jinja_value *value, tp_jinja_out *out);
tapeout_status tp_jinja_json(tp_jinja_run *run, const tp_jinja_value *value,
                             const tp_jinja_json_style *style, tp_jinja_out *out);
// The value as text: itself, or what printing gives.
tapeout_status tp_jinja_to_text(tp_jinja_run *run, const tp_jinja_value *value,
                                const tp_jinja_text **ret);

#endif
