// SPDX-License-Identifier: Apache-2.0
//
// OneHotEncoder and LabelEncoder of ai.onnx.ml as expressions: a column for each category, or a
// search among the keys. A text that is missing is the empty text, for ONNX has no other.
#include "import/onnx_column_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_value.h"

#include <math.h>
#include <stdlib.h>

// -- constants as text ---------------------------------------------------------------------------

static void append_text(tp_buffer *to, tp_str text)
{
    static const char plain[] = "\"\\\n\t\r";
    static const char code[] = "\"\\ntr";
    tp_buffer_append_char(to, '"');
    for (size_t i = 0; i < text.size; i++) {
        const char c = text.data[i];
        size_t at = 0;
        while (plain[at] != '\0' && plain[at] != c) {
            at++;
        }
        if (plain[at] != '\0') {
            tp_buffer_append_char(to, '\\');
            tp_buffer_append_char(to, code[at]);
        } else if ((unsigned char)c < 0x20) {
            tp_buffer_printf(to, "\\u%04x", (unsigned)(unsigned char)c);
        } else {
            tp_buffer_append_char(to, c);
        }
    }
    tp_buffer_append_char(to, '"');
}

// Item `index` of a list, as the language reads it back.
static void append_item(tp_buffer *to, const onnx_list *list, uint32_t index)
{
    char text[TP_VALUE_TEXT_SIZE];
    if (list->type == ONNX_STRING) {
        append_text(to, list->texts[index]);
        return;
    }
    const double value =
        list->type == ONNX_INT64 ? (double)list->ints[index] : list->numbers[index];
    const size_t size = tp_print_f64(value, text);
    tp_buffer_append_char(to, '(');
    tp_buffer_append(to, text, size);
    tp_buffer_append_char(to, ')');
}

// Whether whole numbers are exact as float64.
static bool are_exact(const onnx_list *list)
{
    for (uint32_t i = 0; list->type == ONNX_INT64 && i < list->count; i++) {
        if (list->ints[i] > (INT64_C(1) << 53) || list->ints[i] < -(INT64_C(1) << 53)) {
            return false;
        }
    }
    for (uint32_t i = 0; list->numbers != NULL && i < list->count; i++) {
        if (!isfinite(list->numbers[i])) {
            return false;
        }
    }
    return true;
}

static int compare_items(const onnx_list *list, uint32_t a, uint32_t b)
{
    if (list->type == ONNX_STRING) {
        return tp_str_compare(list->texts[a], list->texts[b]);
    }
    if (list->type == ONNX_INT64) {
        return (list->ints[a] > list->ints[b]) - (list->ints[a] < list->ints[b]);
    }
    return (list->numbers[a] > list->numbers[b]) - (list->numbers[a] < list->numbers[b]);
}

// A key and its number in the list; the list is there for qsort.
typedef struct sorted_key {
    const onnx_list *list;
    uint32_t index;
} sorted_key;

static int compare_keys(const void *a, const void *b)
{
    const sorted_key *left = a;
    const sorted_key *right = b;
    return compare_items(left->list, left->index, right->index);
}

// The keys in order; two that are equal are refused.
static tapeout_status sort_keys(onnx_reader *reader, const onnx_node *node, const onnx_list *keys,
                                const sorted_key **ret_keys)
{
    sorted_key *sorted = tp_arena_array(&reader->arena, (size_t)keys->count + 1, sizeof(*sorted));
    if (sorted == NULL) {
        return tp_onnx_nomem(reader);
    }
    if (keys->count == 0 || keys->count > TP_MAX_FEATURE_OUTPUTS || !are_exact(keys)) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                            "%u keys, or one that is no number to us; 1 to %u are taken",
                            keys->count, TP_MAX_FEATURE_OUTPUTS);
    }
    for (uint32_t i = 0; i < keys->count; i++) {
        sorted[i] = (sorted_key){keys, i};
    }
    qsort(sorted, keys->count, sizeof(*sorted), compare_keys);
    for (uint32_t i = 1; i < keys->count; i++) {
        if (compare_keys(&sorted[i - 1], &sorted[i]) == 0) {
            return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED, "two keys are equal");
        }
    }
    *ret_keys = sorted;
    return TAPEOUT_OK;
}

static tapeout_status keep(onnx_reader *reader, const tp_buffer *buffer, tp_str *ret_text)
{
    TP_TRY(tp_buffer_check(buffer, "onnx: an expression", reader->err));
    *ret_text = tp_arena_str(&reader->arena, tp_buffer_view(buffer));
    return ret_text->data != NULL ? TAPEOUT_OK : tp_onnx_nomem(reader);
}

// -- OneHotEncoder -------------------------------------------------------------------------------

tapeout_status tp_onnx_one_hot(onnx_reader *reader, const onnx_node *node, const onnx_value *from)
{
    const bool is_text = from->type == ONNX_STRING;
    const bool is_real = from->type == ONNX_FLOAT || from->type == ONNX_DOUBLE;
    const onnx_list list = tp_onnx_list(node, is_text ? "cats_strings" : "cats_int64s");
    const sorted_key *keys = NULL;
    onnx_column *columns = NULL;
    if (from->count != 1 || from->is_block || list.type != (is_text ? ONNX_STRING : ONNX_INT64)) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                            "more than one column, or no categories of its type");
    }
    TP_TRY(sort_keys(reader, node, &list, &keys));
    TP_TRY(tp_onnx_columns_new(reader, node, list.count, &columns));
    tapeout_status status = TAPEOUT_OK;
    tp_buffer text;
    tp_buffer_init(&text, reader->env->alloc, TP_MAX_FEATURE_TEXT_BYTES);
    for (uint32_t i = 0; status == TAPEOUT_OK && i < list.count; i++) {
        tp_buffer_clear(&text);
        tp_buffer_append_text(&text, is_real ? "coalesce(lightgbm_code(" : "coalesce(");
        tp_buffer_append_str(&text, from->columns[0].text);
        tp_buffer_append_text(&text, is_real ? ") == " : " == ");
        append_item(&text, &list, i);
        tp_buffer_append_text(&text, ", false)");
        status = keep(reader, &text, &columns[i].text);
    }
    tp_buffer_deinit(&text);
    TP_TRY(status);
    return tp_onnx_column_set(
        reader, node,
        (onnx_value){
            .type = ONNX_FLOAT, .is_block = true, .count = list.count, .columns = columns});
}

// -- LabelEncoder --------------------------------------------------------------------------------

typedef struct label_map {
    tp_str text; // what is looked up
    const onnx_list *keys;
    const onnx_list *values;
    const onnx_list *fallback; // of one item
    const sorted_key *sorted;
} label_map;

// A search by halves among sorted[begin, end): an expression as deep as the logarithm of the keys.
static void append_search(tp_buffer *to, const label_map *map, uint32_t begin, uint32_t end)
{
    const uint32_t middle = begin + (end - begin) / 2;
    const bool is_leaf = end - begin == 1;
    tp_buffer_append_text(to, "if(");
    tp_buffer_append_str(to, map->text);
    tp_buffer_append_text(to, is_leaf ? " == " : " < ");
    append_item(to, map->keys, map->sorted[middle].index);
    tp_buffer_append_text(to, ", ");
    if (is_leaf) {
        append_item(to, map->values, map->sorted[begin].index);
    } else {
        append_search(to, map, begin, middle);
    }
    tp_buffer_append_text(to, ", ");
    if (is_leaf) {
        append_item(to, map->fallback, 0);
    } else {
        append_search(to, map, middle, end);
    }
    tp_buffer_append_char(to, ')');
}

// What is missing goes to the fallback, as every number does that is no key.
static void append_map(tp_buffer *to, const label_map *map)
{
    tp_buffer_append_text(to, "coalesce(");
    append_search(to, map, 0, map->keys->count);
    tp_buffer_append_text(to, ", ");
    append_item(to, map->fallback, 0);
    tp_buffer_append_char(to, ')');
}

// The values of a map from text or number to number, and what stands for an unknown key.
static tapeout_status read_values(onnx_reader *reader, const onnx_node *node, onnx_list *ret_values,
                                  onnx_list *ret_fallback)
{
    static const int64_t no_int[] = {-1};
    static const double no_number[] = {-0.0};
    const bool is_int = tp_onnx_list(node, "values_int64s").count > 0;
    const onnx_type type = is_int ? ONNX_INT64 : ONNX_FLOAT;
    *ret_values = tp_onnx_list(node, is_int ? "values_int64s" : "values_floats");
    *ret_fallback = tp_onnx_list(node, is_int ? "default_int64" : "default_float");
    if (ret_fallback->count == 0) {
        *ret_fallback =
            (onnx_list){type, 1, is_int ? NULL : no_number, is_int ? no_int : NULL, NULL};
    }
    if (ret_values->type != type || ret_fallback->type != type || ret_fallback->count != 1 ||
        !are_exact(ret_values) || !are_exact(ret_fallback)) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                            "it maps to what is no finite number");
    }
    return TAPEOUT_OK;
}

tapeout_status tp_onnx_label_encoder(onnx_reader *reader, const onnx_node *node,
                                     const onnx_value *from)
{
    const onnx_list keys = tp_onnx_list(node, from->type == ONNX_STRING  ? "keys_strings"
                                              : from->type == ONNX_INT64 ? "keys_int64s"
                                                                         : "keys_floats");
    const bool is_type =
        from->type == ONNX_STRING || from->type == ONNX_INT64 || from->type == ONNX_FLOAT;
    onnx_list values;
    onnx_list fallback;
    label_map map = {.keys = &keys, .values = &values, .fallback = &fallback};
    onnx_column *columns = NULL;
    TP_TRY(read_values(reader, node, &values, &fallback));
    if (!is_type || keys.type != from->type || keys.count != values.count || from->is_block) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                            "its keys are not of the type of its column, or not as many as its "
                            "values");
    }
    TP_TRY(sort_keys(reader, node, &keys, &map.sorted));
    TP_TRY(tp_onnx_columns_new(reader, node, from->count, &columns));
    tapeout_status status = TAPEOUT_OK;
    tp_buffer text;
    tp_buffer_init(&text, reader->env->alloc, TP_MAX_FEATURE_TEXT_BYTES);
    for (uint32_t i = 0; status == TAPEOUT_OK && i < from->count; i++) {
        tp_buffer_clear(&text);
        map.text = from->columns[i].text;
        append_map(&text, &map);
        status = keep(reader, &text, &columns[i].text);
    }
    tp_buffer_deinit(&text);
    TP_TRY(status);
    return tp_onnx_column_set(
        reader, node, (onnx_value){.type = values.type, .count = from->count, .columns = columns});
}
