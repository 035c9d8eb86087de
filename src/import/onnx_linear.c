// SPDX-License-Identifier: Apache-2.0
//
// LinearClassifier and LinearRegressor of ai.onnx.ml, which onnxruntime computes as a product of
// matrices in float32: each score is one sum over the features in their order, fused, and the
// intercept is added last. Of two classes converters write one and its mirror image; of these one
// is kept.
#include "import/onnx_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "learn/linear/tp_linear.h"

#include <math.h>

enum { FEW_CLASSES = 4 }; // up to so many onnxruntime's softmax goes class by class

typedef struct linear_node {
    onnx_reader *reader;
    const onnx_node *node;
    uint32_t feature_count;
    uint32_t target_count; // N of the product
    const double *coefficients;
    const double *intercepts; // NULL: none
} linear_node;

static tapeout_status check_numbers(const linear_node *l, const char *name, uint64_t count,
                                    const double **ret_numbers)
{
    const onnx_list list = tp_onnx_list(l->node, name);
    bool is_right = list.type == ONNX_FLOAT && list.count == count;
    for (uint32_t i = 0; is_right && i < list.count; i++) {
        is_right = isfinite(list.numbers[i]);
    }
    *ret_numbers = list.numbers;
    return is_right ? TAPEOUT_OK
                    : tp_onnx_fail(l->reader, l->node, TAPEOUT_E_CORRUPT,
                                   "\"%s\" is no list of %llu finite numbers", name,
                                   (unsigned long long)count);
}

static tapeout_status read_numbers(linear_node *l, bool needs_intercepts)
{
    const onnx_value *input = NULL;
    TP_TRY(tp_onnx_features(l->reader, l->node, ONNX_FLOAT, &input));
    l->feature_count = input->count;
    TP_TRY(check_numbers(l, "coefficients", (uint64_t)l->target_count * input->count,
                         &l->coefficients));
    const bool has_intercepts = tp_onnx_list(l->node, "intercepts").count > 0;
    return has_intercepts || needs_intercepts
               ? check_numbers(l, "intercepts", l->target_count, &l->intercepts)
               : TAPEOUT_OK;
}

// Features whose products onnxruntime adds before it adds to the score: its blocks grow as there
// are fewer targets.
static uint32_t run_of(const linear_node *l)
{
    uint32_t run = 128;
    for (uint32_t width = 128;
         l->target_count < l->feature_count && width > 16 && width / 2 >= l->target_count;
         width /= 2) {
        run *= 2;
    }
    return run;
}

// The targets from `first` on as the learner.
static tapeout_status make_linear(const linear_node *l, uint32_t first)
{
    static const double zero[1] = {0};
    tp_model_parts *parts = &l->reader->import->parts;
    const tp_linear_foreign from = {
        .output_count = l->target_count - first,
        .feature_count = l->feature_count,
        .run = run_of(l),
        .coefficients = l->coefficients + (size_t)first * l->feature_count,
        .intercepts = l->intercepts != NULL ? l->intercepts + first : zero};
    parts->kind = TP_LEARNER_LINEAR;
    const tapeout_status status =
        tp_linear_from(l->reader->env->alloc, &from, &parts->linear, l->reader->err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(l->reader->err, "onnx: node %u", l->node->index);
    }
    return status;
}

static tapeout_status read_link(const linear_node *l, tp_link *ret_link)
{
    tp_str text = TP_STR("NONE");
    TP_TRY(tp_onnx_text(l->reader, l->node, "post_transform", &text));
    if (tp_str_equal(text, TP_STR("SOFTMAX"))) {
        *ret_link =
            l->target_count <= FEW_CLASSES ? TP_LINK_ONNX_SOFTMAX : TP_LINK_ONNX_SOFTMAX_LANES;
    } else if (tp_str_equal(text, TP_STR("LOGISTIC"))) {
        *ret_link = TP_LINK_ONNX_SIGMOID;
    } else if (tp_str_equal(text, TP_STR("NONE"))) {
        *ret_link = TP_LINK_ONNX_FLOAT32;
    } else {
        return tp_onnx_fail(l->reader, l->node, TAPEOUT_E_UNSUPPORTED,
                            "post_transform \"%.*s\" of %u classes, which is not imported",
                            TP_STR_ARGS(text), l->target_count);
    }
    return TAPEOUT_OK;
}

static bool is_mirrored(const linear_node *l)
{
    bool is = l->target_count == 2 && l->intercepts[0] == -l->intercepts[1];
    for (uint32_t i = 0; is && i < l->feature_count; i++) {
        is = l->coefficients[i] == -l->coefficients[l->feature_count + i];
    }
    return is;
}

static tapeout_status read_classifier(linear_node *l)
{
    onnx_list labels;
    tp_link link = TP_LINK_ONNX_FLOAT32;
    tp_foreign *foreign = &l->reader->import->parts.foreign;
    TP_TRY(tp_onnx_classes(l->reader, l->node, "classlabels_ints", "classlabels_strings", &labels));
    l->target_count = labels.count;
    TP_TRY(read_link(l, &link));
    TP_TRY(read_numbers(l, true));
    foreign->link = link;
    foreign->flags = TP_FOREIGN_BY_MARGIN;
    if (!is_mirrored(l)) {
        TP_TRY(make_linear(l, 0));
        return tp_onnx_target(l->reader, l->node, TP_TASK_MULTICLASS, &labels);
    }
    TP_TRY(make_linear(l, 1));
    foreign->flags |= TP_FOREIGN_MIRRORED;
    l->reader->import->parts.threshold = 0x1p-1074; // above 0
    return tp_onnx_target(l->reader, l->node, TP_TASK_BINARY, &labels);
}

static tapeout_status read_regressor(linear_node *l)
{
    const onnx_list none = {.type = ONNX_UNDEFINED};
    int64_t targets = 1;
    tp_link link = TP_LINK_ONNX_FLOAT32;
    TP_TRY(tp_onnx_int(l->reader, l->node, "targets", &targets));
    l->target_count = 1;
    TP_TRY(read_link(l, &link));
    if (targets != 1 || link != TP_LINK_ONNX_FLOAT32) {
        return tp_onnx_fail(l->reader, l->node, TAPEOUT_E_UNSUPPORTED,
                            "more than one target, or a post_transform, which are not imported");
    }
    TP_TRY(read_numbers(l, false));
    TP_TRY(make_linear(l, 0));
    l->reader->import->parts.foreign.link = link;
    return tp_onnx_target(l->reader, l->node, TP_TASK_REGRESSION, &none);
}

tapeout_status tp_onnx_linear_node(onnx_reader *reader, const onnx_node *node, bool is_classifier)
{
    linear_node l = {.reader = reader, .node = node};
    return is_classifier ? read_classifier(&l) : read_regressor(&l);
}
