// SPDX-License-Identifier: Apache-2.0
//
// The graph of an ONNX file, walked once in the order of its nodes. Nothing is computed: a value in
// front of the model is a list of columns, each an expression of the feature language, which the
// operators wrap; the model asks these; what is behind it may rename and regroup its answers. So a
// bundle computes a graph in one pass, with the program that every bundle has. What is not known is
// refused by the operator's name.
#include "import/onnx_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_value.h"

#include <stdarg.h>
#include <stdio.h>

// -- failing and printing ------------------------------------------------------------------------

tapeout_status tp_onnx_fail(onnx_reader *reader, const onnx_node *node, tapeout_status status,
                            const char *format, ...)
{
    char what[496];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    return tp_fail_at(reader->err, status, node->index, "onnx: node %u (%.*s): %s", node->index,
                      TP_STR_ARGS(node->op), what);
}

tapeout_status tp_onnx_nomem(onnx_reader *reader)
{
    const tapeout_status status = tp_arena_check(&reader->arena, "onnx", reader->err);
    return status != TAPEOUT_OK
               ? status
               : tp_fail(reader->err, TAPEOUT_E_LIMIT, "onnx: an expression of more than %u bytes",
                         TP_MAX_FEATURE_TEXT_BYTES);
}

tp_str tp_onnx_print(onnx_reader *reader, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    const bool is_short = size >= 0 && (unsigned)size <= TP_MAX_FEATURE_TEXT_BYTES;
    char *text = is_short ? tp_arena_alloc(&reader->arena, (size_t)size + 1) : NULL;
    if (text == NULL) {
        return (tp_str){NULL, 0};
    }
    va_start(arguments, format);
    (void)vsnprintf(text, (size_t)size + 1, format, arguments);
    va_end(arguments);
    return (tp_str){text, (size_t)size};
}

// -- attributes ----------------------------------------------------------------------------------

onnx_list tp_onnx_list(const onnx_node *node, const char *name)
{
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        if (tp_str_equal(node->attributes[i].name, tp_str_from(name))) {
            return node->attributes[i].list;
        }
    }
    return (onnx_list){.type = ONNX_UNDEFINED};
}

tapeout_status tp_onnx_int(onnx_reader *reader, const onnx_node *node, const char *name,
                           int64_t *ret_value)
{
    const onnx_list list = tp_onnx_list(node, name);
    if (list.type == ONNX_UNDEFINED) {
        return TAPEOUT_OK;
    }
    if (list.type != ONNX_INT64 || list.count != 1) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_CORRUPT, "\"%s\" is no whole number", name);
    }
    *ret_value = list.ints[0];
    return TAPEOUT_OK;
}

tapeout_status tp_onnx_text(onnx_reader *reader, const onnx_node *node, const char *name,
                            tp_str *ret_text)
{
    const onnx_list list = tp_onnx_list(node, name);
    if (list.type == ONNX_UNDEFINED) {
        return TAPEOUT_OK;
    }
    if (list.type != ONNX_STRING || list.count != 1) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_CORRUPT, "\"%s\" is no text", name);
    }
    *ret_text = list.texts[0];
    return TAPEOUT_OK;
}

tapeout_status tp_onnx_reals(onnx_reader *reader, const onnx_node *node, const char *name,
                             onnx_list *ret_list)
{
    const tp_str tensor = tp_onnx_print(reader, "%s_as_tensor", name);
    if (tensor.data == NULL) {
        return tp_onnx_nomem(reader);
    }
    *ret_list = tp_onnx_list(node, name);
    const onnx_list other = tp_onnx_list(node, tensor.data);
    if (ret_list->count > 0 && other.count > 0) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_CORRUPT, "both \"%s\" and its tensor", name);
    }
    if (other.count > 0) {
        *ret_list = other;
    }
    return ret_list->count == 0 || ret_list->numbers != NULL
               ? TAPEOUT_OK
               : tp_onnx_fail(reader, node, TAPEOUT_E_CORRUPT, "\"%s\" is no list of numbers",
                              name);
}

// -- values --------------------------------------------------------------------------------------

static tapeout_status add_value(onnx_reader *reader, onnx_value value)
{
    uint32_t index = 0;
    const tapeout_status status = tp_dict_add(&reader->names, value.name, &index);
    if (status != TAPEOUT_OK) {
        return tp_fail_nomem(reader->err);
    }
    if (index != reader->value_count || reader->value_count == reader->value_capacity) {
        return tp_fail(reader->err, TAPEOUT_E_CORRUPT, "onnx: two values are called \"%.*s\"",
                       TP_STR_ARGS(value.name));
    }
    reader->values[reader->value_count++] = value;
    return TAPEOUT_OK;
}

tapeout_status tp_onnx_input(onnx_reader *reader, const onnx_node *node, uint32_t index,
                             const onnx_value **ret_value)
{
    if (index >= node->input_count) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_CORRUPT, "it lacks input %u", index);
    }
    const int64_t found = tp_dict_find(&reader->names, node->inputs[index]);
    if (found < 0) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_CORRUPT,
                            "its input \"%.*s\" is made by no node before it",
                            TP_STR_ARGS(node->inputs[index]));
    }
    *ret_value = &reader->values[found];
    return TAPEOUT_OK;
}

tapeout_status tp_onnx_input_of(onnx_reader *reader, const onnx_node *node, uint32_t index,
                                onnx_kind kind, const onnx_value **ret_value)
{
    TP_TRY(tp_onnx_input(reader, node, index, ret_value));
    return (*ret_value)->kind == kind
               ? TAPEOUT_OK
               : tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                              "input %u is nothing that is imported at this place", index);
}

tapeout_status tp_onnx_set(onnx_reader *reader, const onnx_node *node, uint32_t index,
                           onnx_value value)
{
    if (index >= node->output_count || node->outputs[index].size == 0) {
        return TAPEOUT_OK; // nobody asks for it
    }
    value.name = node->outputs[index];
    return add_value(reader, value);
}

tapeout_status tp_onnx_columns_new(onnx_reader *reader, const onnx_node *node, uint64_t count,
                                   onnx_column **ret_columns)
{
    if (count < 1 || count > TP_MAX_FEATURE_OUTPUTS) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_LIMIT, "%llu columns; 1 to %u are taken",
                            (unsigned long long)count, TP_MAX_FEATURE_OUTPUTS);
    }
    onnx_column *columns = tp_arena_array(&reader->arena, (size_t)count, sizeof(*columns));
    if (columns == NULL) {
        return tp_onnx_nomem(reader);
    }
    for (uint64_t i = 0; i < count; i++) {
        columns[i].raw = UINT32_MAX;
    }
    *ret_columns = columns;
    return TAPEOUT_OK;
}

// -- inputs --------------------------------------------------------------------------------------

static tapeout_type column_type(onnx_type type)
{
    switch (type) {
    case ONNX_STRING:
        return TAPEOUT_TYPE_STRING;
    case ONNX_BOOL:
        return TAPEOUT_TYPE_BOOL;
    case ONNX_INT32:
    case ONNX_INT64:
        return TAPEOUT_TYPE_INT64;
    default:
        return TAPEOUT_TYPE_FLOAT64;
    }
}

// A raw column as the graph sees it.
static tapeout_status raw_text(onnx_reader *reader, tp_str name, onnx_type type, onnx_column *to)
{
    tp_buffer quoted;
    tp_buffer_init(&quoted, reader->env->alloc, TP_MAX_FEATURE_TEXT_BYTES);
    tp_feature_append_name(&quoted, name);
    const tp_str text = tp_buffer_view(&quoted);
    const tapeout_status status = tp_buffer_check(&quoted, "onnx: a column's name", reader->err);
    if (status == TAPEOUT_OK) {
        const int size = (int)text.size;
        to->is_closed = type == ONNX_FLOAT || type == ONNX_DOUBLE;
        to->text = type == ONNX_FLOAT    ? tp_onnx_print(reader, "float32(%.*s)", size, text.data)
                   : type == ONNX_DOUBLE ? tp_onnx_print(reader, "float64(%.*s)", size, text.data)
                   : type == ONNX_STRING
                       ? tp_onnx_print(reader, "coalesce(%.*s, \"\")", size, text.data)
                       : tp_onnx_print(reader, "%.*s", size, text.data);
    }
    tp_buffer_deinit(&quoted);
    TP_TRY(status);
    return to->text.data != NULL ? TAPEOUT_OK : tp_onnx_nomem(reader);
}

static tapeout_status take_columns(onnx_reader *reader, const onnx_port *port, uint32_t first)
{
    tp_import *import = reader->import;
    const uint32_t count = (uint32_t)port->columns;
    onnx_column *columns = tp_arena_array(&reader->arena, count, sizeof(*columns));
    if (columns == NULL) {
        return tp_onnx_nomem(reader);
    }
    for (uint32_t i = 0; i < count; i++) {
        import_column *raw = &import->columns[first + i];
        const tp_str name =
            count == 1 ? port->name
                       : tp_onnx_print(reader, "%.*s_%u", (int)port->name.size, port->name.data, i);
        raw->type = column_type(port->type);
        raw->name = name.data == NULL ? name : tp_arena_str(&import->arena, name);
        if (raw->name.data == NULL) {
            return tp_fail_nomem(reader->err);
        }
        columns[i].raw = first + i;
        TP_TRY(raw_text(reader, raw->name, port->type, &columns[i]));
    }
    return add_value(reader,
                     (onnx_value){.name = port->name,
                                  .kind = ONNX_COLUMNS,
                                  .type = port->type == ONNX_INT32 ? ONNX_INT64 : port->type,
                                  .count = count,
                                  .columns = columns});
}

static bool is_tensor(const onnx_model *model, tp_str name)
{
    for (uint32_t i = 0; i < model->tensor_count; i++) {
        if (tp_str_equal(model->tensors[i].name, name)) {
            return true;
        }
    }
    return false;
}

static tapeout_status check_port(onnx_reader *reader, const onnx_port *port)
{
    const bool is_known = port->type == ONNX_FLOAT || port->type == ONNX_DOUBLE ||
                          port->type == ONNX_INT32 || port->type == ONNX_INT64 ||
                          port->type == ONNX_BOOL || port->type == ONNX_STRING;
    if (!is_known || port->rank != 2 || port->columns < 1 ||
        port->columns > TP_MAX_FEATURE_OUTPUTS || port->name.size > TP_MAX_IMPORT_NAME_BYTES) {
        return tp_fail(reader->err, TAPEOUT_E_UNSUPPORTED,
                       "onnx: input \"%.*s\" is no tensor of rows and 1 to %u columns of numbers "
                       "or texts",
                       TP_STR_ARGS(port->name), TP_MAX_FEATURE_OUTPUTS);
    }
    return TAPEOUT_OK;
}

// Initializers first: old files list them among the inputs as well.
static tapeout_status take_inputs(onnx_reader *reader)
{
    const onnx_model *model = &reader->model;
    uint64_t total = 0;
    for (uint32_t i = 0; i < model->tensor_count; i++) {
        const onnx_tensor *tensor = &model->tensors[i];
        TP_TRY(add_value(reader, (onnx_value){.name = tensor->name,
                                              .kind = ONNX_CONSTANT,
                                              .type = tensor->list.type,
                                              .count = tensor->list.count,
                                              .tensor = tensor}));
    }
    for (uint32_t i = 0; i < model->input_count; i++) {
        if (!is_tensor(model, model->inputs[i].name)) {
            TP_TRY(check_port(reader, &model->inputs[i]));
            total += (uint64_t)model->inputs[i].columns;
        }
    }
    TP_TRY(tp_import_columns_new(reader->import, total, "float32", reader->err));
    uint32_t first = 0;
    for (uint32_t i = 0; i < model->input_count; i++) {
        if (!is_tensor(model, model->inputs[i].name)) {
            TP_TRY(take_columns(reader, &model->inputs[i], first));
            first += (uint32_t)model->inputs[i].columns;
        }
    }
    return TAPEOUT_OK;
}

// -- nodes ---------------------------------------------------------------------------------------

static tapeout_status unknown_node(onnx_reader *reader, const onnx_node *node)
{
    return tp_fail_at(reader->err, TAPEOUT_E_UNSUPPORTED, node->index,
                      "onnx: node %u is a %.*s of \"%.*s\", which is not imported%s", node->index,
                      TP_STR_ARGS(node->op), TP_STR_ARGS(node->domain),
                      reader->has_model ? " behind a model" : "");
}

// By what its first input stands for: columns, or what a model says.
static tapeout_status apply_operator(onnx_reader *reader, const onnx_node *node, bool is_ml)
{
    const onnx_value *from = NULL;
    if (node->input_count == 0) {
        return unknown_node(reader, node);
    }
    TP_TRY(tp_onnx_input(reader, node, 0, &from));
    if (from->kind == ONNX_CONSTANT) {
        return unknown_node(reader, node);
    }
    const onnx_operator *known =
        from->kind == ONNX_COLUMNS ? tp_onnx_column_operators : tp_onnx_score_operators;
    while (known->op != NULL &&
           (known->is_ml != is_ml || !tp_str_equal(node->op, tp_str_from(known->op)))) {
        known++;
    }
    return known->op == NULL ? unknown_node(reader, node) : known->apply(reader, node, from);
}

static tapeout_status walk_node(onnx_reader *reader, const onnx_node *node)
{
    static const struct {
        const char *op;
        bool is_tree;
        bool is_classifier;
    } learners[] = {{"TreeEnsembleClassifier", true, true},
                    {"TreeEnsembleRegressor", true, false},
                    {"LinearClassifier", false, true},
                    {"LinearRegressor", false, false}};
    const bool is_ml = tp_str_equal(node->domain, TP_STR("ai.onnx.ml"));
    if (!is_ml && node->domain.size > 0 && !tp_str_equal(node->domain, TP_STR("ai.onnx"))) {
        return unknown_node(reader, node);
    }
    for (size_t i = 0; is_ml && i < sizeof(learners) / sizeof(learners[0]); i++) {
        if (!tp_str_equal(node->op, tp_str_from(learners[i].op))) {
            continue;
        }
        if (reader->has_model) {
            return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                                "a second model in one graph, which is not imported");
        }
        reader->has_model = true;
        reader->import->facts.objective = tp_str_from(learners[i].op);
        return learners[i].is_tree ? tp_onnx_tree_node(reader, node, learners[i].is_classifier)
                                   : tp_onnx_linear_node(reader, node, learners[i].is_classifier);
    }
    return apply_operator(reader, node, is_ml);
}

// What the graph answers must be the model's answers, each as it is after everything.
static tapeout_status check_outputs(onnx_reader *reader)
{
    for (uint32_t i = 0; i < reader->model.output_count; i++) {
        const tp_str name = reader->model.outputs[i].name;
        const int64_t found = tp_dict_find(&reader->names, name);
        const onnx_value *value = found < 0 ? NULL : &reader->values[found];
        if (value == NULL) {
            return tp_fail(reader->err, TAPEOUT_E_CORRUPT,
                           "onnx: no node makes the output \"%.*s\"", TP_STR_ARGS(name));
        }
        if (value->kind < ONNX_LABEL ||
            (value->kind != ONNX_LABEL && value->step != reader->step)) {
            return tp_fail(reader->err, TAPEOUT_E_UNSUPPORTED,
                           "onnx: the output \"%.*s\" is not what a model answers last",
                           TP_STR_ARGS(name));
        }
    }
    return TAPEOUT_OK;
}

// -- the model -----------------------------------------------------------------------------------

static tapeout_status read_graph(onnx_reader *reader)
{
    const onnx_model *model = &reader->model;
    uint64_t capacity = (uint64_t)model->tensor_count + model->input_count;
    for (uint32_t i = 0; i < model->node_count; i++) {
        capacity += model->nodes[i].output_count;
    }
    reader->value_capacity = (uint32_t)capacity;
    reader->values = tp_arena_array(&reader->arena, (size_t)capacity + 1, sizeof(onnx_value));
    if (reader->values == NULL) {
        return tp_onnx_nomem(reader);
    }
    TP_TRY(take_inputs(reader));
    for (uint32_t i = 0; i < model->node_count; i++) {
        TP_TRY(walk_node(reader, &model->nodes[i]));
    }
    if (!reader->has_model || model->output_count == 0) {
        return tp_fail(reader->err, TAPEOUT_E_UNSUPPORTED,
                       "onnx: a graph without TreeEnsembleClassifier, TreeEnsembleRegressor, "
                       "LinearClassifier or LinearRegressor, or without outputs");
    }
    return check_outputs(reader);
}

static tapeout_status read_model(onnx_reader *reader, tp_str bytes)
{
    TP_TRY(tp_onnx_parse(bytes, &reader->arena, &reader->model, reader->err));
    TP_TRY(read_graph(reader));
    const tp_str parts[2] = {reader->model.producer, reader->model.producer_version};
    reader->import->facts.version = tp_import_print(
        reader->import, "%.*s %.*s", (int)(parts[0].size > 100 ? 0 : parts[0].size), parts[0].data,
        (int)(parts[1].size > 100 ? 0 : parts[1].size), parts[1].data);
    return reader->import->facts.version.data != NULL ? TAPEOUT_OK : tp_fail_nomem(reader->err);
}

tapeout_status tp_onnx_read(const tp_env *env, tp_str bytes, tp_import *import, tapeout_error *err)
{
    onnx_reader reader = {.env = env, .import = import, .err = err};
    tp_arena_init(&reader.arena, env->alloc, TP_ONNX_ARENA_BYTES(bytes.size));
    tp_dict_init(&reader.names, env->alloc);
    const tapeout_status status = read_model(&reader, bytes);
    tp_dict_deinit(&reader.names);
    tp_arena_deinit(&reader.arena);
    return status;
}
