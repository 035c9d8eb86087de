// SPDX-License-Identifier: Apache-2.0
//
// TreeEnsembleClassifier and TreeEnsembleRegressor of ai.onnx.ml (versions 1 to 3), answering as
// onnxruntime does: what it makes of two classes follows from how the weights are, and is written
// down here case by case. What it answers in a way that no specification supports is refused.
#include "import/onnx_tree_priv.h"

#include "base/tp_error.h"

#include <math.h>

// The smallest number that a margin must have to be above 0, and above one half.
static const double above_zero = 0x1p-1074;
static const double above_half = 0x1.0000000000001p-1;

typedef enum post_transform { POST_NONE, POST_LOGISTIC, POST_SOFTMAX, POST_SOFTMAX_ZERO } post;

static tapeout_status refuse(const onnx_ensemble *e, const char *what)
{
    return tp_onnx_fail(e->reader, e->node, TAPEOUT_E_UNSUPPORTED, "%s", what);
}

static tapeout_status read_post(const onnx_ensemble *e, post *ret_post)
{
    static const char *const names[] = {"NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"};
    tp_str text = TP_STR("NONE");
    TP_TRY(tp_onnx_text(e->reader, e->node, "post_transform", &text));
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (tp_str_equal(text, tp_str_from(names[i]))) {
            *ret_post = (post)i;
            return TAPEOUT_OK;
        }
    }
    return refuse(e, "a post_transform that is not imported");
}

static tapeout_status read_ensemble(onnx_ensemble *e)
{
    TP_TRY(tp_onnx_input_of(e->reader, e->node, 0, ONNX_COLUMNS, &e->input));
    e->is_double = e->input->type == ONNX_DOUBLE;
    TP_TRY(
        tp_onnx_features(e->reader, e->node, e->is_double ? ONNX_DOUBLE : ONNX_FLOAT, &e->input));
    TP_TRY(tp_onnx_ensemble_read(e));
    TP_TRY(tp_onnx_ensemble_index(e));
    return tp_onnx_equals(e);
}

// -- regression ----------------------------------------------------------------------------------

static tapeout_status read_regressor(onnx_ensemble *e)
{
    tp_model_parts *parts = &e->reader->import->parts;
    const onnx_list none = {.type = ONNX_UNDEFINED};
    int64_t targets = 0;
    post transform = POST_NONE;
    tp_str function = TP_STR("SUM");
    TP_TRY(tp_onnx_int(e->reader, e->node, "n_targets", &targets));
    TP_TRY(tp_onnx_text(e->reader, e->node, "aggregate_function", &function));
    TP_TRY(read_post(e, &transform));
    const bool is_average = tp_str_equal(function, TP_STR("AVERAGE"));
    if (targets != 1 || transform != POST_NONE) {
        return refuse(e, "more than one target, or a post_transform, which are not imported");
    }
    if (!is_average && !tp_str_equal(function, TP_STR("SUM"))) {
        return refuse(e, "an aggregate_function other than SUM and AVERAGE");
    }
    TP_TRY(read_ensemble(e));
    if (e->base_count > 1 || (is_average && e->base_count == 1 && e->base[0] != 0)) {
        return refuse(e, "several base_values, or one that is added to an average");
    }
    const onnx_forest what = {.output_count = 1, .base = e->base_count == 1 ? e->base : NULL};
    TP_TRY(tp_onnx_forest(e, &what));
    parts->foreign.link = TP_LINK_ONNX_FLOAT32;
    parts->foreign.divisor = is_average ? (double)(float)e->tree_count : 1.0;
    return tp_onnx_target(e->reader, e->node, TP_TASK_REGRESSION, &none);
}

// -- two classes ---------------------------------------------------------------------------------

typedef struct weight_facts {
    bool has_class[2];
    bool are_positive; // none below 0
} weight_facts;

static weight_facts look_at_weights(const onnx_ensemble *e)
{
    weight_facts facts = {.are_positive = true};
    for (uint32_t i = 0; i < e->weight_count; i++) {
        facts.has_class[e->weight_classes[i]] = true;
        facts.are_positive = facts.are_positive && !(e->weights[i] < 0);
    }
    return facts;
}

// The labels of a model with weights of both classes are 1 and 0, whatever the classes are called.
static bool are_zero_and_one(const onnx_list *labels)
{
    return labels->type == ONNX_STRING || (labels->ints[0] == 0 && labels->ints[1] == 1);
}

static tapeout_status read_binary(onnx_ensemble *e, const onnx_list *labels, post transform)
{
    tp_model_parts *parts = &e->reader->import->parts;
    const weight_facts facts = look_at_weights(e);
    const bool is_first_alone = facts.has_class[0] && !facts.has_class[1];
    const bool are_both = facts.has_class[0] && facts.has_class[1];
    const bool is_logistic = transform == POST_LOGISTIC;
    if (e->base_count > (is_first_alone ? 1 : 0)) {
        return refuse(e, "base_values of two classes, for which there is no agreed meaning");
    }
    if (!is_first_alone && transform != POST_NONE && !is_logistic) {
        return refuse(e, "a softmax of two classes");
    }
    if (are_both && !are_zero_and_one(labels)) {
        return refuse(e, "two classes that are not called 0 and 1");
    }
    const onnx_forest what = {.first_class = is_first_alone ? 0 : 1,
                              .output_count = 1,
                              .base = e->base_count == 1 ? e->base : NULL};
    TP_TRY(tp_onnx_forest(e, &what));
    // Weights of the first class alone that are none below 0 are probabilities already.
    const bool is_probability = is_first_alone && facts.are_positive;
    parts->foreign.link =
        is_logistic && !is_probability ? TP_LINK_ONNX_LOGISTIC : TP_LINK_ONNX_FLOAT32;
    parts->foreign.flags = TP_FOREIGN_BY_MARGIN;
    parts->threshold = !are_both && facts.are_positive ? above_half : above_zero;
    return tp_onnx_target(e->reader, e->node, TP_TASK_BINARY, labels);
}

// -- more ----------------------------------------------------------------------------------------

static tapeout_status read_multiclass(onnx_ensemble *e, const onnx_list *labels, post transform)
{
    static const tp_link links[] = {TP_LINK_ONNX_FLOAT32, TP_LINK_ONNX_LOGISTIC,
                                    TP_LINK_ONNX_SOFTMAX, TP_LINK_ONNX_SOFTMAX_ZERO};
    tp_model_parts *parts = &e->reader->import->parts;
    uint8_t *is_scored = tp_arena_array(&e->reader->arena, labels->count, 1);
    if (is_scored == NULL) {
        return tp_onnx_nomem(e->reader);
    }
    for (uint32_t i = 0; i < e->weight_count; i++) {
        is_scored[e->weight_classes[i]] = 1;
    }
    if (e->base_count != 0 && e->base_count != labels->count) {
        return refuse(e, "base_values that are not one a class");
    }
    for (uint32_t k = 0; k < labels->count && e->base_count == 0; k++) {
        if (is_scored[k] == 0) {
            return refuse(e, "a class that no tree scores");
        }
    }
    const onnx_forest what = {.output_count = labels->count,
                              .base = e->base_count > 0 ? e->base : NULL};
    TP_TRY(tp_onnx_forest(e, &what));
    parts->foreign.link = links[transform];
    parts->foreign.flags = TP_FOREIGN_BY_MARGIN;
    return tp_onnx_target(e->reader, e->node, TP_TASK_MULTICLASS, labels);
}

static tapeout_status read_classifier(onnx_ensemble *e)
{
    onnx_list labels;
    post transform = POST_NONE;
    TP_TRY(read_post(e, &transform));
    TP_TRY(
        tp_onnx_classes(e->reader, e->node, "classlabels_int64s", "classlabels_strings", &labels));
    e->class_count = labels.count;
    TP_TRY(read_ensemble(e));
    return labels.count == 2 ? read_binary(e, &labels, transform)
                             : read_multiclass(e, &labels, transform);
}

tapeout_status tp_onnx_tree_node(onnx_reader *reader, const onnx_node *node, bool is_classifier)
{
    onnx_ensemble e = {
        .reader = reader, .node = node, .is_classifier = is_classifier, .class_count = 1};
    return is_classifier ? read_classifier(&e) : read_regressor(&e);
}
