// SPDX-License-Identifier: Apache-2.0
//
// What stands behind a model in a graph: operators that rename, regroup or cast its answers and
// change no number, and the Normalizer, which makes scores add up to 1.
#include "import/onnx_priv.h"

#include "base/tp_error.h"

static tapeout_status pass_on(onnx_reader *reader, const onnx_node *node, const onnx_value *from)
{
    return tp_onnx_set(reader, node, 0, *from);
}

// A dictionary a row, of the classes in their order.
static tapeout_status zip_map(onnx_reader *reader, const onnx_node *node, const onnx_value *from)
{
    onnx_list labels;
    TP_TRY(tp_onnx_classes(reader, node, "classlabels_int64s", "classlabels_strings", &labels));
    return from->kind == ONNX_SCORES && from->count == labels.count
               ? pass_on(reader, node, from)
               : tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                              "it maps what are no scores of %u classes", labels.count);
}

// A label stays one of its type; scores and values become no narrower.
static tapeout_status cast(onnx_reader *reader, const onnx_node *node, const onnx_value *from)
{
    int64_t to = 0;
    onnx_value value = *from;
    TP_TRY(tp_onnx_int(reader, node, "to", &to));
    const bool is_real = to == ONNX_FLOAT || to == ONNX_DOUBLE;
    if (from->kind == ONNX_LABEL ? to != from->type : !is_real) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                            "an answer to type %lld, which is not imported", (long long)to);
    }
    value.type = (onnx_type)to;
    return tp_onnx_set(reader, node, 0, value);
}

// A row each, or rows of one column: of labels and values alone.
static tapeout_status reshape(onnx_reader *reader, const onnx_node *node, const onnx_value *from)
{
    const onnx_value *shape = NULL;
    TP_TRY(tp_onnx_input_of(reader, node, 1, ONNX_CONSTANT, &shape));
    const onnx_list *list = &shape->tensor->list;
    const bool is_rows =
        list->type == ONNX_INT64 && list->count >= 1 && list->count <= 2 && list->ints[0] == -1;
    const int64_t columns = list->count == 2 && is_rows ? list->ints[1] : 1;
    const int64_t own = from->kind == ONNX_SCORES ? from->count : 1;
    return is_rows && columns == own
               ? pass_on(reader, node, from)
               : tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED, "answers to another shape");
}

// By ones, with which LightGBM's converter names its output.
static tapeout_status multiply(onnx_reader *reader, const onnx_node *node, const onnx_value *from)
{
    const onnx_value *by = NULL;
    TP_TRY(tp_onnx_input_of(reader, node, 1, ONNX_CONSTANT, &by));
    const onnx_list *list = &by->tensor->list;
    bool is_one = list->numbers != NULL && by->tensor->rank <= 2 &&
                  (list->count == 1 || (from->kind == ONNX_SCORES && list->count == from->count));
    for (uint32_t i = 0; is_one && i < list->count; i++) {
        is_one = list->numbers[i] == 1;
    }
    return is_one && from->kind != ONNX_LABEL
               ? pass_on(reader, node, from)
               : tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                              "a model's answers by other numbers than 1");
}

// The second of two scores, which is what we answer of two classes.
static tapeout_status pick(onnx_reader *reader, const onnx_node *node, const onnx_value *from)
{
    const onnx_value *index = NULL;
    onnx_value value = *from;
    TP_TRY(tp_onnx_input_of(reader, node, 1, ONNX_CONSTANT, &index));
    const onnx_list *list = &index->tensor->list;
    if (from->kind != ONNX_SCORES || from->count != 2 || list->type != ONNX_INT64 ||
        list->count != 1 || list->ints[0] != 1) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                            "another score than the second of two");
    }
    value.count = 1;
    return tp_onnx_set(reader, node, 0, value);
}

static tapeout_status normalizer(onnx_reader *reader, const onnx_node *node, const onnx_value *from)
{
    tp_str norm = TP_STR("MAX");
    onnx_value value = *from;
    TP_TRY(tp_onnx_text(reader, node, "norm", &norm));
    if (from->kind != ONNX_SCORES || from->step != 0 ||
        from->count != reader->import->target.class_count || !tp_str_equal(norm, TP_STR("L1"))) {
        return tp_onnx_fail(reader, node, TAPEOUT_E_UNSUPPORTED,
                            "another norm than L1, or of what are no scores of a model");
    }
    reader->import->parts.foreign.flags |= TP_FOREIGN_L1;
    reader->step = 1;
    value.step = 1;
    return tp_onnx_set(reader, node, 0, value);
}

const onnx_operator tp_onnx_score_operators[] = {{"ArrayFeatureExtractor", true, pick},
                                                 {"Normalizer", true, normalizer},
                                                 {"ZipMap", true, zip_map},
                                                 {"Cast", false, cast},
                                                 {"Identity", false, pass_on},
                                                 {"Mul", false, multiply},
                                                 {"Reshape", false, reshape},
                                                 {NULL, false, NULL}};
