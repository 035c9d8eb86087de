// SPDX-License-Identifier: Apache-2.0
//
// The categories of a pandas data frame. LightGBM's Python client trains on their codes and writes
// at the end of the file, in JSON, the list of categories of each column that was of pandas' dtype
// "category", in the order of columns but without saying which; where it chose the categorical
// features itself, as it does unless told otherwise, they are the same columns, and those the
// parameters list. So the n-th list belongs to the n-th of these; where the numbers differ (an
// ordered category is a number to LightGBM), nothing says which column has which list, and the
// model is refused. A value that no list has is missing, as pandas' code -1 becomes.
#include "import/lightgbm_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "import/document_priv.h"

#include <string.h>

typedef struct pandas {
    lightgbm_reader *reader;
    tp_import *import;
    const tp_document_value *lists;
    tp_str features; // "1,3,4": columns by number
} pandas;

static tapeout_status unsupported(const pandas *p, const char *what)
{
    return tp_fail(p->reader->err, TAPEOUT_E_UNSUPPORTED, "lightgbm: \"pandas_categorical\": %s",
                   what);
}

// What stands behind `begin` in the last line that begins so, less what it must end with.
static tp_str last_line(tp_str text, const char *begin, const char *end)
{
    tp_str found = {NULL, 0};
    const size_t size = strlen(begin);
    while (text.size > 0) {
        const tp_str line = tp_lightgbm_line(&text);
        if (line.size >= size + strlen(end) && tp_str_has_prefix(line, tp_str_from(begin)) &&
            tp_str_has_suffix(line, tp_str_from(end))) {
            found = (tp_str){line.data + size, line.size - size - strlen(end)};
        }
    }
    return found;
}

static bool next_feature(tp_str *text, uint64_t *ret_feature)
{
    if (text->size == 0) {
        return false;
    }
    const char *comma = memchr(text->data, ',', text->size);
    const size_t size = comma != NULL ? (size_t)(comma - text->data) : text->size;
    const size_t taken = size + (comma != NULL ? 1 : 0);
    const bool is_number = tp_str_to_uint64((tp_str){text->data, size}, ret_feature);
    *text = (tp_str){text->data + taken, text->size - taken};
    return is_number;
}

// -- one column ----------------------------------------------------------------------------------

static tapeout_status copy_texts(const pandas *p, const tp_document_value *list,
                                 import_levels *levels)
{
    tp_str *texts = tp_arena_array(&p->import->arena, list->count, sizeof(*texts));
    uint32_t i = 0;
    if (texts == NULL) {
        return tp_arena_check(&p->import->arena, "lightgbm: categories", p->reader->err);
    }
    for (const tp_document_value *item = list->first; item != NULL; item = item->next) {
        texts[i] = tp_arena_str(&p->import->arena, item->text);
        if (texts[i++].data == NULL) {
            return tp_arena_check(&p->import->arena, "lightgbm: categories", p->reader->err);
        }
    }
    levels->texts = texts;
    return TAPEOUT_OK;
}

static tapeout_status copy_numbers(const pandas *p, const tp_document_value *list,
                                   import_levels *levels)
{
    double *numbers = tp_arena_array(&p->import->arena, list->count, sizeof(*numbers));
    uint32_t i = 0;
    if (numbers == NULL) {
        return tp_arena_check(&p->import->arena, "lightgbm: categories", p->reader->err);
    }
    for (; list->kind == TP_DOCUMENT_NUMBERS && i < list->count; i++) {
        numbers[i] = tp_document_number(list, i);
    }
    for (const tp_document_value *item = list->first; item != NULL; item = item->next) {
        numbers[i++] = item->number; // truth values
    }
    levels->numbers = numbers;
    return TAPEOUT_OK;
}

static bool are_all(const tp_document_value *list, tp_document_kind kind)
{
    for (const tp_document_value *item = list->first; item != NULL; item = item->next) {
        if (item->kind != kind) {
            return false;
        }
    }
    return list->kind == TP_DOCUMENT_LIST && list->count > 0;
}

static tapeout_status read_levels(const pandas *p, const tp_document_value *list,
                                  import_column *column)
{
    import_levels *levels = tp_arena_alloc(&p->import->arena, sizeof(*levels));
    if (levels == NULL) {
        return tp_arena_check(&p->import->arena, "lightgbm: categories", p->reader->err);
    }
    *levels = (import_levels){.count = list->count};
    if (are_all(list, TP_DOCUMENT_TEXT)) {
        column->type = TAPEOUT_TYPE_STRING;
        TP_TRY(copy_texts(p, list, levels));
    } else if (are_all(list, TP_DOCUMENT_BOOL)) {
        column->type = TAPEOUT_TYPE_BOOL;
        TP_TRY(copy_numbers(p, list, levels));
    } else if (list->kind == TP_DOCUMENT_NUMBERS && list->count > 0) {
        TP_TRY(copy_numbers(p, list, levels));
    } else {
        return unsupported(p, "a list of categories is empty, or not of texts, of numbers or of "
                              "truth values alone");
    }
    column->call = "category";
    column->levels = levels;
    return TAPEOUT_OK;
}

// Whether a node's set stays within the categories.
static bool fits(const tp_tree *tree, uint32_t node, uint32_t count)
{
    const uint32_t begin = tree->category_begin[node];
    for (uint32_t word = begin; word < tree->category_begin[node + 1]; word++) {
        const uint64_t first = (uint64_t)(word - begin) * 32;
        const uint64_t allowed = count <= first ? 0 : count - first;
        const uint32_t mask = allowed >= 32 ? UINT32_MAX : (1u << allowed) - 1;
        if (tree->category_words[word] & ~mask) {
            return false;
        }
    }
    return true;
}

static tapeout_status check_sets(const pandas *p)
{
    const tp_gbt *gbt = p->import->parts.gbt;
    for (uint32_t t = 0; t < gbt->tree_count; t++) {
        const tp_tree *tree = &gbt->trees[t];
        for (uint32_t i = 0; i + 1 < tree->leaf_count; i++) {
            const import_levels *levels = p->import->columns[tree->feature[i]].levels;
            if (levels != NULL && !fits(tree, i, levels->count)) {
                return tp_fail_at(p->reader->err, TAPEOUT_E_CORRUPT, t,
                                  "lightgbm: tree %u, node %u: its set holds a category that "
                                  "\"pandas_categorical\" does not have",
                                  t, i);
            }
        }
    }
    return TAPEOUT_OK;
}

// -- all -----------------------------------------------------------------------------------------

static tapeout_status read_columns(pandas *p)
{
    uint64_t last = 0;
    tp_str features = p->features;
    for (const tp_document_value *list = p->lists->first; list != NULL; list = list->next) {
        uint64_t feature = 0;
        const bool is_first = list == p->lists->first;
        if (!next_feature(&features, &feature) || feature >= p->import->facts.columns ||
            (!is_first && feature <= last)) {
            return unsupported(p, "which columns its lists belong to can't be told: the parameter "
                                  "\"categorical_feature\" does not list as many, as it does where "
                                  "a category is ordered");
        }
        if (p->reader->uses[feature] != LIGHTGBM_UNUSED &&
            p->reader->uses[feature] != LIGHTGBM_CODE) {
            return unsupported(p, "a tree asks one of its columns as a number");
        }
        TP_TRY(read_levels(p, list, &p->import->columns[feature]));
        last = feature;
    }
    return features.size == 0 ? check_sets(p)
                              : unsupported(p, "the parameter \"categorical_feature\" lists more "
                                               "columns than there are lists of categories");
}

tapeout_status tp_lightgbm_pandas(lightgbm_reader *reader, tp_str tail)
{
    const tp_str json = last_line(tail, "pandas_categorical:", "");
    pandas p = {.reader = reader,
                .import = reader->import,
                .features = last_line(tail, "[categorical_feature: ", "]")};
    tp_document document = {.json = NULL};
    if (json.data == NULL) {
        return TAPEOUT_OK;
    }
    tapeout_status status = tp_document_from_json(reader->env, json, &document, reader->err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(reader->err, "lightgbm: \"pandas_categorical\"");
        return status;
    }
    p.lists = document.root;
    if (p.lists->kind == TP_DOCUMENT_LIST && p.lists->count > 0) {
        status = read_columns(&p);
    } else if (p.lists->kind != TP_DOCUMENT_LIST && p.lists->kind != TP_DOCUMENT_NULL) {
        status = unsupported(&p, "it is no list");
    }
    tp_document_deinit(&document);
    return status;
}
