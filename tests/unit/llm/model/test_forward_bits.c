// SPDX-License-Identifier: Apache-2.0
//
// The same bits, whatever happens around a text: threads, pieces, company, places in the cache, the
// variant of the kernels, text that is cached already. And that a step which breaks the rules is
// refused.
#include "llm/model/tp_forward.h"

#include "base/tp_alloc.h"
#include "model_sample.h"
#include "test.h"

#include <string.h>

enum { LENGTH = 100 };

static const char *const models[] = {"llama-q4_1.gguf", "gemma3-q4_0.gguf", "qwen3moe-q8_0.gguf",
                                     "llama-k_mixed.gguf", "llama-f16.gguf"};
enum { MODELS = sizeof(models) / sizeof(models[0]) };

static void make_text(const sample_model *sample, uint32_t *ret_ids)
{
    for (uint32_t i = 0; i < LENGTH; i++) {
        ret_ids[i] = (i * 7919 + i * i * 31 + 13) % tp_llm_facts_of(sample->llm)->vocab_count;
    }
}

static void check_same(const sample_model *sample, const float *want, const sample_way *way)
{
    uint32_t ids[LENGTH];
    make_text(sample, ids);
    const size_t count = (size_t)LENGTH * tp_llm_facts_of(sample->llm)->vocab_count;
    float *got = sample_logits(sample, ids, LENGTH, way);
    ASSERT_EQ_BYTES(got, count * sizeof(*got), want, count * sizeof(*want));
    tp_free_array(tp_allocator_default(), got, count, sizeof(*got));
}

static void check_ways(const char *name, tp_kv_type kv_type)
{
    sample_model sample;
    sample_open(name, &sample);
    uint32_t ids[LENGTH];
    make_text(&sample, ids);
    const sample_way plain = {.kv_type = kv_type};
    float *want = sample_logits(&sample, ids, LENGTH, &plain);
    const sample_way ways[] = {
        {.threads = 2},
        {.threads = 7},
        {.chunk = 1, .threads = 2},
        {.chunk = 13},
        {.chunk = 32},
        {.chunk = 33, .threads = 7, .page_step = 3},
        {.company = 7},
        {.company = 3, .chunk = 1, .threads = 2},
        {.company = 7, .chunk = 31, .threads = 7},
        {.page_step = 5},
    };
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        sample_way way = ways[i];
        way.kv_type = kv_type;
        check_same(&sample, want, &way);
    }
    tp_free_array(tp_allocator_default(), want,
                  (size_t)LENGTH * tp_llm_facts_of(sample.llm)->vocab_count, sizeof(*want));
    sample_close(&sample);
}

static void test_same_bits(void)
{
    for (size_t i = 0; i < MODELS; i++) {
        check_ways(models[i], TP_KV_F16);
    }
}

static void test_same_bits_of_a_cache_of_8_bits(void)
{
    check_ways("llama-k_mixed.gguf", TP_KV_Q8_0);
}

// The numbers themselves, which are the same on every machine and with every variant of the kernels
// (the suite runs with TAPEOUT_CPU=ref as well). They change with the definition of a kernel alone.
static void test_known_bits(void)
{
    static const struct {
        const char *name;
        uint64_t hash;
    } known[] = {
        {"llama-q4_1.gguf", UINT64_C(0x08d58eefa6aceed2)},
        {"gemma3-q4_0.gguf", UINT64_C(0x502674b660c4b0d1)},
        {"phi3-rope_long.gguf", UINT64_C(0x64768c4481909c35)},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        sample_model sample;
        sample_open(known[i].name, &sample);
        uint32_t ids[LENGTH];
        make_text(&sample, ids);
        const sample_way way = {0};
        const size_t count = (size_t)LENGTH * tp_llm_facts_of(sample.llm)->vocab_count;
        float *logits = sample_logits(&sample, ids, LENGTH, &way);
        const uint64_t hash = tp_str_hash((tp_str){(const char *)logits, count * sizeof(*logits)});
        printf("# %s: 0x%016llx\n", known[i].name, (unsigned long long)hash);
        ASSERT_EQ_UINT(hash, known[i].hash);
        tp_free_array(tp_allocator_default(), logits, count, sizeof(*logits));
        sample_close(&sample);
    }
}

// -- what is refused -----------------------------------------------------------------------------

typedef struct one_run {
    sample_model sample;
    tp_kv *kv;
    tp_llm_run *run;
    uint32_t pages[2];
    tp_llm_sequence sequence;
    float *logits;
} one_run;

static void begin(one_run *one)
{
    sample_open("llama-q8_0.gguf", &one->sample);
    ASSERT_OK(tp_kv_new(&one->sample.env, one->sample.llm, TP_KV_F16, 2, &one->kv, &test_err));
    ASSERT_OK(
        tp_llm_run_new(&one->sample.env, one->sample.llm, one->kv, 2, 8, &one->run, &test_err));
    one->pages[0] = 1;
    one->pages[1] = 0;
    one->sequence.pages = one->pages;
    one->logits = tp_alloc_array(tp_allocator_default(), 1024, sizeof(float));
}

static void end(one_run *one)
{
    tp_free_array(tp_allocator_default(), one->logits, 1024, sizeof(float));
    tp_llm_run_free(one->run);
    tp_kv_free(one->kv);
    sample_close(&one->sample);
}

static void check_refused(one_run *one, const tp_llm_token *tokens, uint32_t count,
                          const char *message)
{
    const tp_llm_step step = {tokens, count, &one->sequence, 1};
    ASSERT_FAILS(tp_llm_forward(one->run, &step, one->logits, &test_err), TAPEOUT_E_INVALID,
                 message);
}

static void test_refuses_what_breaks_the_rules(void)
{
    one_run one;
    begin(&one);
    check_refused(&one, NULL, 0, "a step of 0 tokens");
    const tp_llm_token many[9] = {{0}};
    check_refused(&one, many, 9, "a step of 9 tokens; expected 1 to 8");
    const tp_llm_token no_id = {.id = 1u << 20};
    check_refused(&one, &no_id, 1, "id 1048576");
    const tp_llm_token no_place = {.position = 64};
    check_refused(&one, &no_place, 1, "position 64 of 64");
    const tp_llm_token no_sequence = {.sequence = 1};
    check_refused(&one, &no_sequence, 1, "sequence 1 of 1");
    const tp_llm_token gap[2] = {{.position = 1}, {.position = 3}};
    check_refused(&one, gap, 2, "positions 1 and 3");
    one.pages[0] = 2;
    const tp_llm_token token = {.id = 1, .wants_logits = true};
    check_refused(&one, &token, 1, "page 2; the cache has 2");
    one.pages[0] = 1;
    const tp_llm_step step = {&token, 1, &one.sequence, 1};
    ASSERT_FAILS(tp_llm_forward(one.run, &step, NULL, &test_err), TAPEOUT_E_INVALID,
                 "no room for them");
    ASSERT_OK(tp_llm_forward(one.run, &step, one.logits, &test_err));
    end(&one);
}

// Logits at a position, after a page was taken over from someone else's text of NaN-free rubbish
// and shared in part.
static void test_a_shared_page_computes_the_same(void)
{
    one_run one;
    begin(&one);
    const uint32_t vocab_count = tp_llm_facts_of(one.sample.llm)->vocab_count;
    ASSERT(2 * vocab_count <= 1024);
    tp_llm_token tokens[8];
    for (uint32_t i = 0; i < 8; i++) {
        tokens[i] = (tp_llm_token){.id = i * 11 + 1, .position = i, .wants_logits = i == 7};
    }
    const tp_llm_step step = {tokens, 8, &one.sequence, 1};
    ASSERT_OK(tp_llm_forward(one.run, &step, one.logits, &test_err));
    // Page 1 holds the text; page 0 gets its first five positions, and three are computed again.
    tp_kv_copy(one.kv, 1, 0, 5);
    one.pages[0] = 0;
    const tp_llm_step rest = {tokens + 5, 3, &one.sequence, 1};
    ASSERT_OK(tp_llm_forward(one.run, &rest, one.logits + vocab_count, &test_err));
    ASSERT_EQ_BYTES(one.logits, vocab_count * sizeof(float), one.logits + vocab_count,
                    vocab_count * sizeof(float));
    end(&one);
}

TEST_MAIN(TEST(test_known_bits), TEST_SLOW(test_same_bits, 300),
          TEST_SLOW(test_same_bits_of_a_cache_of_8_bits, 300),
          TEST(test_refuses_what_breaks_the_rules), TEST(test_a_shared_page_computes_the_same))
