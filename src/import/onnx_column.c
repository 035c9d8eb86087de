// SPDX-License-Identifier: Apache-2.0
//
// Operators that make columns of columns, as expressions of the feature language. A number that is
// float32 in the graph is rounded wherever the graph rounds: the sum, product or quotient of two
// such numbers in float64, rounded once, is that of float32, so the bits are the same.
#include "import/onnx_column_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_value.h"

#include <math.h>

// -- texts ---------------------------------------------------------------------------------------

// `value` as the language reads it back: in parentheses where a sign stands before it.
static tp_str number(onnx_reader *reader, double value)
{
    char text[TP_VALUE_TEXT_SIZE];
    const int size = (int)tp_print_f64(value, text);
    return signbit(value) ? tp_onnx_print(reader, "(%.*s)", size, text)
                          : tp_onnx_print(reader, "%.*s", size, text);
}

static tp_str call(onnx_reader *reader, const char *function, tp_str text)
{
    return text.data == NULL ? text : tp_onnx_print(reader, "%s(%s)", function, text.data);
}

// "a + b", rounded as the graph does.
static tp_str arithmetic(onnx_reader *reader, onnx_type type, tp_str a, char operation, tp_str b)
{
    if (a.data == NULL || b.data == NULL) {
        return (tp_str){NULL, 0};
    }
    return type == ONNX_DOUBLE
               ? tp_onnx_print(reader, "(%s %c %s)", a.data, operation, b.data)
               : tp_onnx_print(reader, "float32(%s %c %s)", a.data, operation, b.data);
}

tapeout_status tp_onnx_column_set(onnx_reader *reader, const onnx_node *node, onnx_value value)
{
    for (uint32_t i = 0; i < value.count; i++) {
        if (value.columns[i].text.data == NULL) {
            return tp_onnx_nomem(reader);
        }
    }
    value.kind = ONNX_COLUMNS;
    return tp_onnx_set(reader, node, 0, value);
}

// -- what operators are given --------------------------------------------------------------------

// Numbers, and no block.
static tapeout_status check_numbers(onnx_reader *reader, const onnx_node *node,
                                    const onnx_value *from)
{
    return from->type != ONNX_STRING && !from->is_block
               ? TAPEOUT_OK
               : tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                              "it is given texts, or a block of columns");
}

// Finite numbers, one for each column or one for all.
static tapeout_status check_spread(onnx_reader *reader, const onnx_node *node, const char *name,
                                   const onnx_list *list, uint32_t count)
{
    bool is_right = list->numbers != NULL && (list->count == count || list->count == 1);
    for (uint32_t i = 0; is_right && i < list->count; i++) {
        is_right = isfinite(list->numbers[i]);
    }
    return is_right ? TAPEOUT_OK
                    : tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                                   "%s: not 1 or %u finite numbers", name, count);
}

static double item(const onnx_list *list, uint32_t index)
{
    return list->numbers[list->count == 1 ? 0 : index];
}

// -- Scaler, Imputer -----------------------------------------------------------------------------

static tapeout_status scaler(onnx_reader *reader, const onnx_node *node, const onnx_value *from)
{
    const onnx_list offset = tp_onnx_list(node, "offset");
    const onnx_list scale = tp_onnx_list(node, "scale");
    onnx_column *columns = NULL;
    TP_TRY(check_numbers(reader, node, from));
    TP_TRY(check_spread(reader, node, "offset", &offset, from->count));
    TP_TRY(check_spread(reader, node, "scale", &scale, from->count));
    TP_TRY(tp_onnx_columns_new(reader, node, from->count, &columns));
    for (uint32_t i = 0; i < from->count; i++) {
        const bool is_real = from->type == ONNX_FLOAT || from->type == ONNX_DOUBLE;
        const onnx_type type = is_real ? from->type : ONNX_FLOAT;
        const tp_str x =
            is_real ? from->columns[i].text : call(reader, "float32", from->columns[i].text);
        const tp_str centred = arithmetic(reader, type, x, '-', number(reader, item(&offset, i)));
        const tp_str scaled =
            arithmetic(reader, type, centred, '*', number(reader, item(&scale, i)));
        columns[i].text = type == ONNX_DOUBLE ? call(reader, "float32", scaled) : scaled;
        columns[i].is_closed = true;
    }
    return tp_onnx_column_set(
        reader, node, (onnx_value){.type = ONNX_FLOAT, .count = from->count, .columns = columns});
}

static tapeout_status imputer(onnx_reader *reader, const onnx_node *node, const onnx_value *from)
{
    const onnx_list replaced = tp_onnx_list(node, "replaced_value_float");
    const onnx_list imputed = tp_onnx_list(node, "imputed_value_floats");
    onnx_column *columns = NULL;
    TP_TRY(check_numbers(reader, node, from));
    if (from->type != ONNX_FLOAT || replaced.numbers == NULL || replaced.count != 1 ||
        isinf(replaced.numbers[0])) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                            "it replaces no number, or in columns that are not float32");
    }
    TP_TRY(check_spread(reader, node, "imputed_value_floats", &imputed, from->count));
    TP_TRY(tp_onnx_columns_new(reader, node, from->count, &columns));
    const bool is_missing = isnan(replaced.numbers[0]);
    const tp_str sought = number(reader, is_missing ? 0 : replaced.numbers[0]);
    for (uint32_t i = 0; i < from->count; i++) {
        const tp_str x = from->columns[i].text;
        const tp_str fill = number(reader, item(&imputed, i));
        if (sought.data == NULL || fill.data == NULL) {
            return tp_onnx_nomem(reader);
        }
        columns[i].text = is_missing ? tp_onnx_print(reader, "coalesce(%s, %s)", x.data, fill.data)
                                     : tp_onnx_print(reader, "if(%s == %s, %s, %s)", x.data,
                                                     sought.data, fill.data, x.data);
    }
    return tp_onnx_column_set(
        reader, node, (onnx_value){.type = ONNX_FLOAT, .count = from->count, .columns = columns});
}

// -- Cast, arithmetic with constants -------------------------------------------------------------

static tapeout_status cast(onnx_reader *reader, const onnx_node *node, const onnx_value *from)
{
    int64_t to = 0;
    onnx_column *columns = NULL;
    TP_TRY(tp_onnx_int(reader, node, "to", &to));
    to = to == ONNX_INT32 ? ONNX_INT64 : to; // both are whole numbers to us
    const char *function = to == ONNX_FLOAT    ? "float32"
                           : to == ONNX_DOUBLE ? "float64"
                           : to == ONNX_INT64  ? "lightgbm_code" // towards 0
                                               : NULL;
    if (to != from->type && (function == NULL || from->type == ONNX_STRING)) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                            "from type %d to type %lld, which is not imported", (int)from->type,
                            (long long)to);
    }
    TP_TRY(tp_onnx_columns_new(reader, node, from->count, &columns));
    for (uint32_t i = 0; i < from->count; i++) {
        columns[i] = from->columns[i];
        if (to != from->type) {
            columns[i].text = call(reader, function, columns[i].text);
            columns[i].is_closed = true;
        }
    }
    return tp_onnx_column_set(reader, node,
                              (onnx_value){.type = (onnx_type)to,
                                           .is_block = from->is_block,
                                           .count = from->count,
                                           .columns = columns});
}

// Add, Sub, Mul and Div of columns and an initializer, in this order.
static tapeout_status constant_arithmetic(onnx_reader *reader, const onnx_node *node,
                                          const onnx_value *from)
{
    const char operation = node->op.data[0] == 'A'   ? '+'
                           : node->op.data[0] == 'S' ? '-'
                           : node->op.data[0] == 'M' ? '*'
                                                     : '/';
    const onnx_value *by = NULL;
    onnx_column *columns = NULL;
    TP_TRY(check_numbers(reader, node, from));
    TP_TRY(tp_onnx_input_of(reader, node, 1, ONNX_CONSTANT, &by));
    const onnx_list *list = &by->tensor->list;
    TP_TRY(check_spread(reader, node, "its constant", list, from->count));
    if (from->type != list->type || by->tensor->rank > 2) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                            "its numbers are not of the type of its columns");
    }
    TP_TRY(tp_onnx_columns_new(reader, node, from->count, &columns));
    for (uint32_t i = 0; i < from->count; i++) {
        if (operation == '/' && item(list, i) == 0) {
            return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED, "it divides by 0");
        }
        columns[i].text = arithmetic(reader, from->type, from->columns[i].text, operation,
                                     number(reader, item(list, i)));
        columns[i].is_closed = from->type == ONNX_FLOAT;
    }
    return tp_onnx_column_set(
        reader, node, (onnx_value){.type = from->type, .count = from->count, .columns = columns});
}

// -- Concat, Gather, Reshape ---------------------------------------------------------------------

static tapeout_status concat(onnx_reader *reader, const onnx_node *node, const onnx_value *first)
{
    onnx_column *columns = NULL;
    int64_t axis = 0;
    uint64_t total = 0;
    TP_TRY(tp_onnx_int(reader, node, "axis", &axis));
    for (uint32_t i = 0; i < node->input_count; i++) {
        const onnx_value *from = NULL;
        TP_TRY(tp_onnx_input_of(reader, node, i, ONNX_COLUMNS, &from));
        total += from->count;
        if (from->type != first->type || from->is_block != first->is_block) {
            return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                                "columns of several types or shapes");
        }
    }
    if (axis != -1 && axis != (first->is_block ? 2 : 1)) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED, "along axis %lld",
                            (long long)axis);
    }
    TP_TRY(tp_onnx_columns_new(reader, node, total, &columns));
    uint32_t used = 0;
    for (uint32_t i = 0; i < node->input_count; i++) {
        const onnx_value *from = NULL;
        TP_TRY(tp_onnx_input_of(reader, node, i, ONNX_COLUMNS, &from));
        for (uint32_t k = 0; k < from->count; k++) {
            columns[used++] = from->columns[k];
        }
    }
    return tp_onnx_column_set(
        reader, node,
        (onnx_value){
            .type = first->type, .is_block = first->is_block, .count = used, .columns = columns});
}

// Gather along the columns, and ArrayFeatureExtractor, which always does so.
static tapeout_status gather(onnx_reader *reader, const onnx_node *node, const onnx_value *from)
{
    const onnx_value *indices = NULL;
    onnx_column *columns = NULL;
    const bool is_gather = tp_str_equal(node->op, TP_STR("Gather"));
    int64_t axis = is_gather ? 0 : -1;
    TP_TRY(tp_onnx_int(reader, node, "axis", &axis));
    TP_TRY(tp_onnx_input_of(reader, node, 1, ONNX_CONSTANT, &indices));
    const onnx_list *list = &indices->tensor->list;
    if ((axis != -1 && axis != (from->is_block ? 2 : 1)) || list->type != ONNX_INT64 ||
        (is_gather && indices->tensor->rank != 1)) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                            "along axis %lld, or by what is no list of whole numbers",
                            (long long)axis);
    }
    TP_TRY(tp_onnx_columns_new(reader, node, list->count, &columns));
    for (uint32_t i = 0; i < list->count; i++) {
        const int64_t index = list->ints[i] < 0 ? list->ints[i] + from->count : list->ints[i];
        if (index < 0 || index >= from->count) {
            return tp_onnx_fail(reader, node, TAPEOUT_E_CORRUPT, "column %lld of %u",
                                (long long)list->ints[i], from->count);
        }
        columns[i] = from->columns[index];
    }
    return tp_onnx_column_set(reader, node,
                              (onnx_value){.type = from->type,
                                           .is_block = from->is_block,
                                           .count = list->count,
                                           .columns = columns});
}

// To rows of the columns that there are.
static tapeout_status reshape(onnx_reader *reader, const onnx_node *node, const onnx_value *from)
{
    const onnx_value *shape = NULL;
    TP_TRY(tp_onnx_input_of(reader, node, 1, ONNX_CONSTANT, &shape));
    const onnx_list *list = &shape->tensor->list;
    if (list->type != ONNX_INT64 || list->count != 2 || list->ints[0] != -1 ||
        list->ints[1] != from->count) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                            "to another shape than rows of %u columns", from->count);
    }
    onnx_value to = *from;
    to.is_block = false;
    return tp_onnx_column_set(reader, node, to);
}

static tapeout_status identity(onnx_reader *reader, const onnx_node *node, const onnx_value *from)
{
    return tp_onnx_column_set(reader, node, *from);
}

// -- by name -------------------------------------------------------------------------------------
const onnx_operator tp_onnx_column_operators[] = {{"ArrayFeatureExtractor", true, gather},
                                                  {"Imputer", true, imputer},
                                                  {"LabelEncoder", true, tp_onnx_label_encoder},
                                                  {"OneHotEncoder", true, tp_onnx_one_hot},
                                                  {"Scaler", true, scaler},
                                                  {"Add", false, constant_arithmetic},
                                                  {"Cast", false, cast},
                                                  {"Concat", false, concat},
                                                  {"Div", false, constant_arithmetic},
                                                  {"Gather", false, gather},
                                                  {"Identity", false, identity},
                                                  {"Mul", false, constant_arithmetic},
                                                  {"Reshape", false, reshape},
                                                  {"Sub", false, constant_arithmetic},
                                                  {NULL, false, NULL}};
