// SPDX-License-Identifier: Apache-2.0
//
// The target column: which task it is, which classes it has and in which order, and its values as
// numbers. Classes of numbers are ordered by value, classes of text by their bytes; for a binary
// task class 1 is the positive one: the spec's `positive`, else the greater of the two.
#include "pipeline/pipeline_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_value.h"

#include <math.h>
#include <stdlib.h>

// More distinct integers than this are values, not classes; between 3 and this the spec must say.
enum { MAX_INFERRED_CLASSES = 20 };

typedef struct target_class {
    double order; // value of a number
    tp_str text;
    uint64_t count;
} target_class;

typedef struct class_list {
    target_class *items;
    uint32_t count;
    bool too_many;
} class_list;

static double number_at(const tp_column *column, uint64_t row)
{
    switch (column->type) {
    case TAPEOUT_TYPE_BOOL:
        return column->values.bits[row >> 3] >> (row & 7) & 1;
    case TAPEOUT_TYPE_INT64:
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        return (double)column->values.i64[row];
    case TAPEOUT_TYPE_FLOAT64:
        return column->values.f64[row];
    case TAPEOUT_TYPE_DATE:
        return column->values.days[row];
    case TAPEOUT_TYPE_STRING:
        return column->values.codes[row];
    }
    return NAN;
}

static int compare_numbers(const void *a, const void *b)
{
    const double left = ((const target_class *)a)->order;
    const double right = ((const target_class *)b)->order;
    return (left > right) - (left < right);
}

static int compare_texts(const void *a, const void *b)
{
    return tp_str_compare(((const target_class *)a)->text, ((const target_class *)b)->text);
}

static tp_str class_text(const tp_column *column, double value, tp_arena *arena)
{
    char text[TP_VALUE_TEXT_SIZE];
    if (column->type == TAPEOUT_TYPE_STRING) {
        return tp_arena_str(arena, tp_dict_get(column->dict, (uint32_t)value));
    }
    if (column->type == TAPEOUT_TYPE_BOOL) {
        return value != 0 ? TP_STR("true") : TP_STR("false");
    }
    const size_t size = column->type == TAPEOUT_TYPE_INT64 ? tp_print_i64((int64_t)value, text)
                                                           : tp_print_f64(value, text);
    return tp_arena_str(arena, (tp_str){text, size});
}

// Distinct values over `rows`, up to TP_MAX_CLASSES of them, ordered.
static tapeout_status list_classes(const tp_column *column, tp_row_choice rows, tp_arena *arena,
                                   class_list *ret_list)
{
    target_class *items = tp_arena_array(arena, TP_MAX_CLASSES, sizeof(*items));
    if (items == NULL) {
        return TAPEOUT_E_NOMEM;
    }
    *ret_list = (class_list){items, 0, false};
    uint32_t last = 0; // runs of one value are common
    for (uint64_t i = 0; i < rows.count; i++) {
        const double value = number_at(column, rows.index[i]);
        uint32_t k = last < ret_list->count && items[last].order == value ? last : 0;
        while (k < ret_list->count && items[k].order != value) {
            k++;
        }
        if (k == TP_MAX_CLASSES) {
            ret_list->too_many = true;
            return TAPEOUT_OK;
        }
        if (k == ret_list->count) {
            items[k].order = value;
            ret_list->count++;
        }
        items[k].count++;
        last = k;
    }
    for (uint32_t k = 0; k < ret_list->count; k++) {
        items[k].text = class_text(column, items[k].order, arena);
        if (items[k].text.data == NULL) {
            return TAPEOUT_E_NOMEM;
        }
    }
    qsort(items, ret_list->count, sizeof(*items),
          column->type == TAPEOUT_TYPE_STRING ? compare_texts : compare_numbers);
    return TAPEOUT_OK;
}

static tapeout_status infer_task(const tp_spec *spec, const tp_column *column,
                                 const class_list *classes, tp_task *ret_task, tapeout_error *err)
{
    const bool is_text = column->type == TAPEOUT_TYPE_STRING;
    if (spec->task.data != NULL) {
        return tp_task_from_name(spec->task, ret_task)
                   ? TAPEOUT_OK
                   : tp_fail(err, TAPEOUT_E_INVALID,
                             "%s: task \"%.*s\" is not known; use binary, multiclass, regression, "
                             "quantile or count",
                             spec->path, TP_STR_ARGS(spec->task));
    }
    if (column->type == TAPEOUT_TYPE_BOOL || spec->target.positive.data != NULL ||
        (classes->count == 2 && column->type != TAPEOUT_TYPE_FLOAT64)) {
        *ret_task = TP_TASK_BINARY;
    } else if (is_text) {
        *ret_task = TP_TASK_MULTICLASS;
    } else if (column->type == TAPEOUT_TYPE_INT64 && !classes->too_many &&
               classes->count <= MAX_INFERRED_CLASSES && classes->count > 2) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: target \"%.*s\" has %u different whole numbers: say task: multiclass, "
                       "regression or count",
                       spec->path, TP_STR_ARGS(column->name), classes->count);
    } else {
        *ret_task = TP_TASK_REGRESSION;
    }
    return TAPEOUT_OK;
}

static tapeout_status check_classes(const tp_spec *spec, const tp_column *column, tp_task task,
                                    const class_list *classes, tapeout_error *err)
{
    if (classes->count < 2 && !classes->too_many) {
        return tp_fail(
            err, TAPEOUT_E_DATA,
            "%s: target \"%.*s\" has one class alone (%.*s) in the %s: there is nothing to "
            "tell apart; check the query or the split",
            spec->path, TP_STR_ARGS(column->name), TP_STR_ARGS(classes->items[0].text), "data");
    }
    if (classes->too_many) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%s: target \"%.*s\" has more than %u classes",
                       spec->path, TP_STR_ARGS(column->name), TP_MAX_CLASSES);
    }
    if (task == TP_TASK_BINARY && classes->count != 2) {
        return tp_fail(err, TAPEOUT_E_DATA,
                       "%s: target \"%.*s\" has %u different values; a binary task needs two",
                       spec->path, TP_STR_ARGS(column->name), classes->count);
    }
    return TAPEOUT_OK;
}

// Puts the positive class second.
static tapeout_status order_binary(const tp_spec *spec, class_list *classes, tapeout_error *err)
{
    const tp_str positive = spec->target.positive;
    if (positive.data == NULL || tp_str_equal(classes->items[1].text, positive)) {
        return TAPEOUT_OK;
    }
    if (!tp_str_equal(classes->items[0].text, positive)) {
        return tp_fail(
            err, TAPEOUT_E_INVALID,
            "%s: positive \"%.*s\" does not occur in the target; its values are \"%.*s\" "
            "and \"%.*s\"",
            spec->path, TP_STR_ARGS(positive), TP_STR_ARGS(classes->items[0].text),
            TP_STR_ARGS(classes->items[1].text));
    }
    const target_class swap = classes->items[0];
    classes->items[0] = classes->items[1];
    classes->items[1] = swap;
    return TAPEOUT_OK;
}

static tapeout_status keep_classes(const tp_column *column, const class_list *classes,
                                   pipeline_dataset *dataset, tapeout_error *err)
{
    tp_str *names = tp_arena_array(&dataset->arena, classes->count, sizeof(*names));
    if (names == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t k = 0; k < classes->count; k++) {
        names[k] = classes->items[k].text;
    }
    dataset->target.class_names = names;
    dataset->target.class_count = classes->count;
    dataset->target.classes_are_int = column->type == TAPEOUT_TYPE_INT64;
    return TAPEOUT_OK;
}

// Row weights by class: given, or n / (K · n_k) when balanced (scikit-learn's rule).
static tapeout_status weigh_classes(const tp_spec *spec, const class_list *classes,
                                    uint64_t row_count, pipeline_dataset *dataset,
                                    tapeout_error *err)
{
    const tp_spec_model *model = &spec->model;
    if (!model->balanced && model->class_weights.count == 0) {
        return TAPEOUT_OK;
    }
    dataset->class_weight =
        tp_arena_array(&dataset->arena, classes->count, sizeof(*dataset->class_weight));
    if (dataset->class_weight == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t k = 0; k < classes->count; k++) {
        dataset->class_weight[k] =
            model->balanced
                ? (double)row_count / ((double)classes->count * (double)classes->items[k].count)
                : 1.0;
    }
    for (size_t i = 0; i < model->class_weights.count; i++) {
        const tp_spec_pair *pair = &model->class_weights.items[i];
        uint32_t k = 0;
        while (k < classes->count && !tp_str_equal(classes->items[k].text, pair->name)) {
            k++;
        }
        if (k == classes->count || !(pair->value >= 0) || isinf(pair->value)) {
            return tp_yaml_fail(
                spec->yaml, pair->node, err,
                "class_weights: \"%.*s\" is no class of the target, or its weight is "
                "negative",
                TP_STR_ARGS(pair->name));
        }
        dataset->class_weight[k] = pair->value;
    }
    return TAPEOUT_OK;
}

tapeout_status tp_pipeline_target_infer(const tp_spec *spec, pipeline_dataset *dataset,
                                        tp_row_choice rows, tapeout_error *err)
{
    const tp_column *column = tp_table_find(dataset->table, spec->target.column);
    tp_target *target = &dataset->target;
    class_list classes;
    target->name = tp_arena_str(&dataset->arena, column->name);
    target->type = column->type;
    if (target->name.data == NULL ||
        list_classes(column, rows, &dataset->arena, &classes) != TAPEOUT_OK) {
        return tp_fail_nomem(err);
    }
    TP_TRY(infer_task(spec, column, &classes, &target->task, err));
    if (target->task == TP_TASK_BINARY || target->task == TP_TASK_MULTICLASS) {
        TP_TRY(check_classes(spec, column, target->task, &classes, err));
        if (target->task == TP_TASK_BINARY) {
            TP_TRY(order_binary(spec, &classes, err));
        }
        TP_TRY(keep_classes(column, &classes, dataset, err));
        return weigh_classes(spec, &classes, rows.count, dataset, err);
    }
    if (column->type == TAPEOUT_TYPE_STRING || column->type == TAPEOUT_TYPE_BOOL) {
        return tp_fail(err, TAPEOUT_E_DATA, "%s: target \"%.*s\" is of type %s; a %s needs numbers",
                       spec->path, TP_STR_ARGS(column->name), tapeout_type_name(column->type),
                       tp_task_name(target->task));
    }
    return TAPEOUT_OK;
}

// The class that a value of the target column is, by its text.
static tapeout_status class_of_value(const pipeline_dataset *dataset, const tp_column *column,
                                     double value, double *ret_class, tapeout_error *err)
{
    char text[TP_VALUE_TEXT_SIZE];
    tp_str name = {text, 0};
    if (column->type == TAPEOUT_TYPE_STRING) {
        name = tp_dict_get(column->dict, (uint32_t)value);
    } else if (column->type == TAPEOUT_TYPE_BOOL) {
        name = value != 0 ? TP_STR("true") : TP_STR("false");
    } else {
        name.size = column->type == TAPEOUT_TYPE_INT64 ? tp_print_i64((int64_t)value, text)
                                                       : tp_print_f64(value, text);
    }
    for (uint32_t k = 0; k < dataset->target.class_count; k++) {
        if (tp_str_equal(dataset->target.class_names[k], name)) {
            *ret_class = k;
            return TAPEOUT_OK;
        }
    }
    return tp_fail(err, TAPEOUT_E_DATA,
                   "target \"%.*s\": class \"%.*s\" does not occur in the training data",
                   TP_STR_ARGS(column->name), TP_STR_ARGS(name));
}

static tapeout_status fill_classes(const pipeline_dataset *dataset, const tp_column *column,
                                   pipeline_rows *rows, tapeout_error *err)
{
    double last_value = NAN;
    double last_class = 0;
    for (uint64_t i = 0; i < rows->count; i++) {
        const double value = number_at(column, rows->index[i]);
        if (value != last_value) {
            TP_TRY(class_of_value(dataset, column, value, &last_class, err));
            last_value = value;
        }
        rows->target[i] = last_class;
    }
    return TAPEOUT_OK;
}

static tapeout_status fill_numbers(const pipeline_dataset *dataset, const tp_column *column,
                                   pipeline_rows *rows, tapeout_error *err)
{
    const bool is_count = dataset->target.task == TP_TASK_COUNT;
    for (uint64_t i = 0; i < rows->count; i++) {
        rows->target[i] = number_at(column, rows->index[i]);
        if (!isfinite(rows->target[i]) || (is_count && rows->target[i] < 0)) {
            return tp_fail_at(err, TAPEOUT_E_DATA, rows->index[i],
                              "target \"%.*s\": %g in row %u cannot be learned by a %s",
                              TP_STR_ARGS(column->name), rows->target[i], rows->index[i] + 1,
                              tp_task_name(dataset->target.task));
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status fill_weights(const pipeline_dataset *dataset, const tp_spec *spec,
                                   pipeline_rows *rows, tapeout_error *err)
{
    const tp_str name = spec->model.weight;
    const tp_column *column = name.data == NULL ? NULL : tp_table_find(rows->table, name);
    if (name.data != NULL && (column == NULL || column->type == TAPEOUT_TYPE_STRING)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%s: weight: there is no column of numbers \"%.*s\"",
                       spec->path, TP_STR_ARGS(name));
    }
    if (column == NULL && dataset->class_weight == NULL) {
        return TAPEOUT_OK;
    }
    rows->weight = tp_alloc_array(dataset->alloc, rows->count, sizeof(*rows->weight));
    if (rows->weight == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint64_t i = 0; i < rows->count; i++) {
        const bool known = column == NULL || tp_column_is_valid(column, rows->index[i]);
        double weight = column == NULL ? 1.0 : number_at(column, rows->index[i]);
        if (!known || !(weight >= 0) || isinf(weight)) {
            return tp_fail(err, TAPEOUT_E_DATA,
                           "weight \"%.*s\" is missing, negative or not finite in row %u",
                           TP_STR_ARGS(name), rows->index[i] + 1);
        }
        if (dataset->class_weight != NULL) {
            weight *= dataset->class_weight[(uint32_t)rows->target[i]];
        }
        rows->weight[i] = weight;
    }
    return TAPEOUT_OK;
}

tapeout_status tp_pipeline_target_values(const pipeline_dataset *dataset, const tp_spec *spec,
                                         pipeline_rows *rows, tapeout_error *err)
{
    if (rows->table == NULL) {
        return TAPEOUT_OK; // nothing is held out
    }
    const tp_column *column = tp_table_find(rows->table, dataset->target.name);
    rows->target = tp_alloc_array(dataset->alloc, rows->count, sizeof(*rows->target));
    if (rows->target == NULL && rows->count > 0) {
        return tp_fail_nomem(err);
    }
    TP_TRY(dataset->target.class_count > 0 ? fill_classes(dataset, column, rows, err)
                                           : fill_numbers(dataset, column, rows, err));
    return spec == NULL ? TAPEOUT_OK : fill_weights(dataset, spec, rows, err);
}
