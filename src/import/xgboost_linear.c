// SPDX-License-Identifier: Apache-2.0
//
// XGBoost's linear booster. Its weights lie feature by feature, those of the outputs together, and
// the biases last. A margin is bias and base score added, then each number times its weight in the
// order of features, every step rounded to float32; what is missing is left out. Of base scores
// that differ by output, as multi:softprob has them since 3.1, XGBoost's gblinear takes the first
// for all, so that is what its model answers.
#include "import/xgboost_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "learn/linear/tp_linear.h"

#include <math.h>

typedef struct weights {
    xgboost_reader *reader;
    const tp_document_value *list;
    uint32_t feature_count;
    double *numbers; // [K][F] coefficients, then [K] intercepts
} weights;

static bool read_weight(const weights *w, uint32_t feature, uint32_t output, float *ret_weight)
{
    *ret_weight = (float)tp_document_number(w->list, feature * w->reader->output_count + output);
    return isfinite(*ret_weight);
}

static tapeout_status read_output(const weights *w, uint32_t output)
{
    float weight = 0;
    double *coefficients = w->numbers + (size_t)output * w->feature_count;
    double *intercepts = w->numbers + (size_t)w->reader->output_count * w->feature_count;
    for (uint32_t f = 0; f < w->feature_count; f++) {
        if (!read_weight(w, f, output, &weight)) {
            return tp_fail(w->reader->err, TAPEOUT_E_CORRUPT,
                           "xgboost: the weight of feature %u for output %u is not a finite number",
                           f, output);
        }
        coefficients[f] = (double)weight;
    }
    const bool has_bias = read_weight(w, w->feature_count, output, &weight);
    weight += w->reader->base[0];
    intercepts[output] = (double)weight;
    return has_bias && isfinite(weight)
               ? TAPEOUT_OK
               : tp_fail(w->reader->err, TAPEOUT_E_CORRUPT,
                         "xgboost: the bias of output %u is not a finite number", output);
}

static tapeout_status make_linear(const weights *w)
{
    tp_linear *linear = NULL;
    tp_model_parts *parts = &w->reader->import->parts;
    const uint32_t outputs = w->reader->output_count;
    for (uint32_t k = 0; k < outputs; k++) {
        TP_TRY(read_output(w, k));
    }
    const tp_linear_foreign from = {.output_count = outputs,
                                    .feature_count = w->feature_count,
                                    .coefficients = w->numbers,
                                    .intercepts = w->numbers + (size_t)outputs * w->feature_count};
    const tapeout_status status =
        tp_linear_from(w->reader->env->alloc, &from, &linear, w->reader->err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(w->reader->err, "xgboost");
        return status;
    }
    parts->linear = linear; // freed with the import
    parts->kind = TP_LEARNER_LINEAR;
    return TAPEOUT_OK;
}

tapeout_status tp_xgboost_linear(xgboost_reader *reader, const tp_document_value *booster)
{
    weights w = {.reader = reader,
                 .list = tp_document_get(tp_document_get(booster, "model"), "weights"),
                 .feature_count = reader->import->facts.columns};
    const uint64_t count = ((uint64_t)w.feature_count + 1) * reader->output_count;
    if (!tp_document_is_numbers(w.list) || w.list->count != count) {
        return tp_fail(reader->err, TAPEOUT_E_CORRUPT,
                       "xgboost: \"weights\" is no list of %llu numbers, one of each feature and "
                       "one bias for each of %u outputs",
                       (unsigned long long)count, reader->output_count);
    }
    w.numbers = tp_alloc_array(reader->env->alloc, (size_t)count, sizeof(*w.numbers));
    const tapeout_status status = w.numbers == NULL ? tp_fail_nomem(reader->err) : make_linear(&w);
    tp_free_array(reader->env->alloc, w.numbers, (size_t)count, sizeof(*w.numbers));
    return status;
}
