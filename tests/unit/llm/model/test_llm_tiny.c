// SPDX-License-Identifier: Apache-2.0
//
// Every architecture, scaling of positions and type of weights against llama.cpp: tiny random
// models, whose expected values stand in a manifest (tests/conformance/llm_tiny/README.md).
#include "llm/model/tp_llm.h"

#include "base/tp_alloc.h"
#include "kernels/tp_math.h"
#include "model_sample.h"
#include "test.h"

#include <math.h>

enum { NAMES_MAX = 64 };

static double log_sum(const float *logits, uint32_t count)
{
    double most = -INFINITY;
    for (uint32_t i = 0; i < count; i++) {
        most = fmax(most, (double)logits[i]);
    }
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += tp_exp((double)logits[i] - most);
    }
    return most + tp_log(sum);
}

// One number beside llama.cpp's.
typedef struct number_pair {
    const char *model;
    const char *what;
    uint32_t index;
    double got;
    double want;
} number_pair;

static void check_near(const number_pair *pair, double tolerance)
{
    if (!(fabs(pair->got - pair->want) <= tolerance)) {
        test_fail(__FILE__, __LINE__, "%s: %s %u is %.6f, llama.cpp has %.6f; tolerance %g",
                  pair->model, pair->what, pair->index, pair->got, pair->want, tolerance);
    }
}

static void check_text(const char *name, const sample_model *sample, double tolerance)
{
    const uint32_t vocab_count = tp_llm_facts_of(sample->llm)->vocab_count;
    const uint32_t count = sample->id_count;
    const sample_way way = {0};
    float *logits = sample_logits(sample, sample->ids, count, &way);
    yyjson_val *logprobs = yyjson_obj_get(sample->facts, "logprobs");
    ASSERT_EQ_UINT(yyjson_arr_size(logprobs), count - 1);
    double worst = 0;
    for (uint32_t i = 0; i + 1 < count; i++) {
        const float *row = logits + (size_t)i * vocab_count;
        const double got = (double)row[sample->ids[i + 1]] - log_sum(row, vocab_count);
        const double want = yyjson_get_num(yyjson_arr_get(logprobs, i));
        const number_pair both = {name, "log-probability", i, got, want};
        check_near(&both, tolerance);
        worst = fmax(worst, fabs(got - want));
    }
    const float *last = logits + (size_t)(count - 1) * vocab_count;
    yyjson_val *top = yyjson_obj_get(sample->facts, "top");
    for (uint32_t i = 0; i < yyjson_arr_size(top); i++) {
        yyjson_val *pair = yyjson_arr_get(top, i);
        const uint64_t id = yyjson_get_uint(yyjson_arr_get(pair, 0));
        const double got = (double)last[id] - log_sum(last, vocab_count);
        const number_pair both = {name, "top", i, got, yyjson_get_num(yyjson_arr_get(pair, 1))};
        check_near(&both, tolerance);
    }
    printf("# %-24s largest difference %.2g of %.2g\n", name, worst, tolerance);
    tp_free_array(tp_allocator_default(), logits, (size_t)count * vocab_count, sizeof(*logits));
}

static void check_embedding(const char *name, const sample_model *sample, double tolerance)
{
    yyjson_val *want = yyjson_obj_get(sample->facts, "embedding");
    const uint32_t width = tp_llm_facts_of(sample->llm)->width;
    float vector[1024];
    ASSERT(width <= 1024);
    ASSERT_EQ_UINT(yyjson_arr_size(want), width);
    tp_llm_run *run = NULL;
    ASSERT_OK(tp_llm_run_new(&sample->env, sample->llm, NULL, 2, 64, &run, &test_err));
    ASSERT_OK(tp_llm_embed(run, sample->ids, sample->id_count, vector, &test_err));
    for (uint32_t i = 0; i < width; i++) {
        const number_pair both = {name, "component", i, (double)vector[i],
                                  yyjson_get_num(yyjson_arr_get(want, i))};
        check_near(&both, tolerance);
    }
    tp_llm_run_free(run);
}

static void test_as_llama_cpp(void)
{
    static char names[NAMES_MAX][64];
    const uint32_t count = sample_names(names, NAMES_MAX);
    ASSERT(count > 15);
    for (uint32_t i = 0; i < count; i++) {
        sample_model sample;
        sample_open(names[i], &sample);
        const double tolerance = yyjson_get_num(yyjson_obj_get(sample.facts, "tolerance"));
        ASSERT(tolerance > 0 && tolerance < 0.02);
        ASSERT_EQ_STR(tp_llm_facts_of(sample.llm)->architecture,
                      yyjson_get_str(yyjson_obj_get(sample.facts, "architecture")));
        if (tp_llm_facts_of(sample.llm)->is_encoder) {
            check_embedding(names[i], &sample, tolerance);
        } else {
            check_text(names[i], &sample, tolerance);
        }
        sample_close(&sample);
    }
}

TEST_MAIN(TEST_SLOW(test_as_llama_cpp, 300))
