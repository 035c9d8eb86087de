// SPDX-License-Identifier: Apache-2.0
//
// What ONNX's learners share: the feature program of the columns that they ask, and what they
// answer.
#include "import/onnx_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <inttypes.h>
#include <stdio.h>

// -- the feature program -------------------------------------------------------------------------

// A feature that is a raw column is called so; any other, and one whose name would make it a step,
// gets a name that no column has.
static void append_feature_name(const onnx_reader *reader, const onnx_column *column,
                                uint32_t index, uint8_t *raw_used)
{
    const tp_import *import = reader->import;
    tp_buffer *text = &reader->import->program_text;
    if (column->raw != UINT32_MAX && !raw_used[column->raw]) {
        const tp_str name = import->columns[column->raw].name;
        raw_used[column->raw] = 1;
        if (name.size > 0 && name.data[0] != '_') {
            tp_feature_append_name(text, name);
            return;
        }
    }
    char own[64];
    uint64_t attempt = index;
    bool is_free = false;
    while (!is_free) {
        (void)snprintf(own, sizeof(own), "feature%" PRIu64, attempt);
        attempt += TP_MAX_FEATURE_OUTPUTS;
        is_free = true;
        for (uint32_t i = 0; is_free && i < import->facts.columns; i++) {
            is_free = !tp_str_equal(import->columns[i].name, tp_str_from(own));
        }
    }
    tp_buffer_append_text(text, own);
}

tapeout_status tp_onnx_features(onnx_reader *reader, const onnx_node *node, onnx_type wanted,
                                const onnx_value **ret_value)
{
    const onnx_value *value = NULL;
    tp_buffer *text = &reader->import->program_text;
    TP_TRY(tp_onnx_input_of(reader, node, 0, ONNX_COLUMNS, &value));
    if (value->type == ONNX_STRING || value->is_block) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                            "it is asked with texts, or with a block of columns");
    }
    uint8_t *raw_used = tp_arena_array(&reader->arena, reader->import->facts.columns, 1);
    if (raw_used == NULL) {
        return tp_onnx_nomem(reader);
    }
    for (uint32_t i = 0; i < value->count; i++) {
        const onnx_column *column = &value->columns[i];
        const bool is_right = column->is_closed && value->type == wanted;
        append_feature_name(reader, column, i, raw_used);
        tp_buffer_append_text(text, is_right                ? " = "
                                    : wanted == ONNX_DOUBLE ? " = float64("
                                                            : " = float32(");
        tp_buffer_append_str(text, column->text);
        tp_buffer_append_text(text, is_right ? "\n" : ")\n");
    }
    *ret_value = value;
    return tp_buffer_check(text, "onnx: feature program", reader->err);
}

tapeout_status tp_onnx_feature_add(onnx_reader *reader, uint32_t number, tp_str text)
{
    const onnx_column computed = {.raw = UINT32_MAX};
    tp_buffer *program = &reader->import->program_text;
    append_feature_name(reader, &computed, number, NULL);
    tp_buffer_append_text(program, " = ");
    tp_buffer_append_str(program, text);
    tp_buffer_append_text(program, "\n");
    return tp_buffer_check(program, "onnx: feature program", reader->err);
}

// -- answers -------------------------------------------------------------------------------------

tapeout_status tp_onnx_classes(onnx_reader *reader, const onnx_node *node, const char *ints,
                               const char *texts, onnx_list *ret_labels)
{
    const onnx_list numbers = tp_onnx_list(node, ints);
    const onnx_list names = tp_onnx_list(node, texts);
    const onnx_list labels = names.count > 0 ? names : numbers;
    const onnx_type wanted = names.count > 0 ? ONNX_STRING : ONNX_INT64;
    if (labels.type != wanted || (names.count > 0 && numbers.count > 0)) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_CORRUPT,
                            "it names no classes, or names them "
                            "twice");
    }
    if (labels.count < 2 || labels.count > TP_MAX_CLASSES) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED, "%u classes; 2 to %u are imported",
                            labels.count, TP_MAX_CLASSES);
    }
    *ret_labels = labels;
    return TAPEOUT_OK;
}

static tapeout_status check_class(onnx_reader *reader, const onnx_node *node, tp_str name)
{
    bool is_plain = name.size > 0 && name.size <= TP_MAX_IMPORT_NAME_BYTES;
    for (size_t i = 0; is_plain && i < name.size; i++) {
        is_plain = (unsigned char)name.data[i] >= 0x20;
    }
    return is_plain ? TAPEOUT_OK
                    : tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                                   "a class whose name is empty, longer than %u bytes or has "
                                   "control characters",
                                   TP_MAX_IMPORT_NAME_BYTES);
}

static tapeout_status name_classes(onnx_reader *reader, const onnx_node *node,
                                   const onnx_list *labels)
{
    tp_import *import = reader->import;
    tp_dict unique;
    tapeout_status status = TAPEOUT_OK;
    tp_str *names = tp_arena_array(&import->arena, labels->count, sizeof(*names));
    if (names == NULL) {
        return tp_fail_nomem(reader->err);
    }
    tp_dict_init(&unique, reader->env->alloc);
    for (uint32_t k = 0; status == TAPEOUT_OK && k < labels->count; k++) {
        uint32_t index = 0;
        names[k] = labels->type == ONNX_STRING
                       ? tp_arena_str(&import->arena, labels->texts[k])
                       : tp_import_print(import, "%" PRId64, labels->ints[k]);
        if (names[k].data == NULL || tp_dict_add(&unique, names[k], &index) != TAPEOUT_OK) {
            status = tp_fail_nomem(reader->err);
        } else if (index != k) {
            status = tp_onnx_fail(reader, node, TAPEOUT_E_CORRUPT, "two classes have one name");
        } else {
            status = check_class(reader, node, names[k]);
        }
    }
    tp_dict_deinit(&unique);
    import->target.class_names = names;
    import->target.classes_are_int = labels->type == ONNX_INT64;
    import->target.type = labels->type == ONNX_INT64 ? TAPEOUT_TYPE_INT64 : TAPEOUT_TYPE_STRING;
    return status;
}

tapeout_status tp_onnx_target(onnx_reader *reader, const onnx_node *node, tp_task task,
                              const onnx_list *labels)
{
    tp_import *import = reader->import;
    import->parts.objective = task == TP_TASK_BINARY       ? TP_OBJECTIVE_BINARY
                              : task == TP_TASK_MULTICLASS ? TP_OBJECTIVE_MULTICLASS
                                                           : TP_OBJECTIVE_SQUARED;
    TP_TRY(tp_import_target_set(import, task, labels->count, reader->err));
    if (task == TP_TASK_REGRESSION) {
        return tp_onnx_set(reader, node, 0, (onnx_value){.kind = ONNX_VALUE, .type = ONNX_FLOAT});
    }
    TP_TRY(name_classes(reader, node, labels));
    TP_TRY(tp_onnx_set(reader, node, 0, (onnx_value){.kind = ONNX_LABEL, .type = labels->type}));
    return tp_onnx_set(
        reader, node, 1,
        (onnx_value){.kind = ONNX_SCORES, .type = ONNX_FLOAT, .count = labels->count});
}
