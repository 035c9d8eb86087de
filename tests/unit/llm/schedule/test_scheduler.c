// SPDX-License-Identifier: Apache-2.0
//
// The scheduler over a tiny model: the same bits in any company and with any cache, and every way
// in which a request can end.
#include "llm/schedule/tp_scheduler.h"

#include "base/limits.h"
#include "llm/model/tp_kv.h"
#include "schedule_sample.h"
#include "test.h"

#include <math.h>
#include <string.h>

#define LLAMA "llama-q4_1.gguf" // a context of 256
enum { PROMPT = 70, ANSWER = 60, COMPANY = 7 };

static tp_generation_request request_of(const uint32_t *ids, uint32_t count, uint32_t max_tokens)
{
    tp_generation_request request = {.prompt = ids,
                                     .prompt_count = count,
                                     .max_tokens = max_tokens,
                                     .ignores_eog = true,
                                     .wants_logprobs = true};
    tp_sampling_init(&request.sampling);
    request.sampling.temperature = 0.8;
    request.sampling.seed = 11;
    return request;
}

static void ask(tp_scheduler *scheduler, tp_generation_request request, told *what)
{
    ASSERT_OK(told_submit(scheduler, request, what, &test_err));
    told_wait(what);
}

static void check_same(const told_choice *got, const told_choice *want)
{
    ASSERT_EQ_INT(got->finish, want->finish);
    ASSERT_EQ_BYTES(got->ids, got->count * sizeof(*got->ids), want->ids,
                    want->count * sizeof(*want->ids));
    ASSERT_EQ_BYTES(got->logprobs, got->count * sizeof(*got->logprobs), want->logprobs,
                    want->count * sizeof(*want->logprobs));
    ASSERT_EQ_BYTES(got->prompt_logprobs, got->prompt_count * sizeof(double), want->prompt_logprobs,
                    want->prompt_count * sizeof(double));
    ASSERT_EQ_BYTES(got->text, got->text_size, want->text, want->text_size);
}

// What a request is told that is alone on a scheduler of one thread.
static void alone(const char *model, uint64_t seed, bool wants_prompt, told *what)
{
    uint32_t ids[PROMPT];
    tp_scheduler *scheduler = schedule_begin(model, &(tp_scheduler_options){.thread_count = 1});
    schedule_ids(ids, PROMPT, seed);
    tp_generation_request request = request_of(ids, PROMPT, ANSWER);
    request.wants_prompt = wants_prompt;
    ask(scheduler, request, what);
    ASSERT_EQ_UINT(what->choices[0].count, ANSWER);
    ASSERT_EQ_INT(what->choices[0].finish, TP_FINISH_LENGTH);
    schedule_end(scheduler);
}

// Eight requests at once under the given options, each as it is alone.
static uint64_t check_company(const char *model, const tp_scheduler_options *options)
{
    static told want[COMPANY + 1];
    static told got[COMPANY + 1];
    uint32_t ids[COMPANY + 1][PROMPT];
    memset(want, 0, sizeof(want));
    memset(got, 0, sizeof(got));
    for (uint32_t i = 0; i <= COMPANY; i++) {
        alone(model, i, i % 2 == 0, &want[i]);
    }
    tp_scheduler *scheduler = schedule_begin(model, options);
    for (uint32_t i = 0; i <= COMPANY; i++) {
        schedule_ids(ids[i], PROMPT, i);
        tp_generation_request request = request_of(ids[i], PROMPT, ANSWER);
        request.wants_prompt = i % 2 == 0;
        request.key = i % 3;
        ASSERT_OK(told_submit(scheduler, request, &got[i], &test_err));
    }
    for (uint32_t i = 0; i <= COMPANY; i++) {
        told_wait(&got[i]);
        check_same(&got[i].choices[0], &want[i].choices[0]);
        ASSERT(got[i].choices[0].cached_count <= PROMPT);
    }
    const uint64_t preempted_count = tp_scheduler_stats_read(scheduler).preempted_count;
    schedule_end(scheduler);
    return preempted_count;
}

static void test_the_same_in_company(void)
{
    (void)check_company(LLAMA, &(tp_scheduler_options){.thread_count = 2});
    (void)check_company("gemma3-q4_0.gguf", &(tp_scheduler_options){.thread_count = 3});
}

static void test_the_same_in_small_steps(void)
{
    (void)check_company(
        LLAMA, &(tp_scheduler_options){.thread_count = 1, .running_max = 8, .step_tokens = 11});
}

// A cache of nine pages where all of them want forty: pages are taken away and computed again.
static void test_the_same_when_preempted(void)
{
    tp_scheduler *scheduler = schedule_begin(LLAMA, &(tp_scheduler_options){.thread_count = 1});
    const uint64_t page_bytes = tp_kv_page_bytes(schedule_model(), TP_KV_F16);
    schedule_end(scheduler);
    ASSERT(check_company(
               LLAMA, &(tp_scheduler_options){.thread_count = 1, .kv_bytes = 9 * page_bytes}) > 0);
}

static void test_the_same_from_the_cache(void)
{
    static told first;
    static told second;
    static told stranger;
    uint32_t ids[PROMPT];
    schedule_ids(ids, PROMPT, 5);
    tp_scheduler *scheduler = schedule_begin(LLAMA, &(tp_scheduler_options){.thread_count = 1});
    tp_generation_request request = request_of(ids, PROMPT, ANSWER);
    ask(scheduler, request, &first);
    ask(scheduler, request, &second);
    ASSERT_EQ_UINT(first.choices[0].cached_count, 0);
    ASSERT_EQ_UINT(second.choices[0].cached_count, 64);
    check_same(&second.choices[0], &first.choices[0]);
    request.tenant = 1; // whose prompts are nobody's business
    ask(scheduler, request, &stranger);
    ASSERT_EQ_UINT(stranger.choices[0].cached_count, 0);
    check_same(&stranger.choices[0], &first.choices[0]);
    schedule_end(scheduler);
}

static void test_choices(void)
{
    static told one;
    static told three;
    uint32_t ids[PROMPT];
    schedule_ids(ids, PROMPT, 6);
    tp_scheduler *scheduler = schedule_begin(LLAMA, &(tp_scheduler_options){.thread_count = 2});
    tp_generation_request request = request_of(ids, PROMPT, ANSWER);
    request.wants_prompt = true;
    ask(scheduler, request, &one);
    request.choice_count = 3;
    ask(scheduler, request, &three);
    check_same(&three.choices[0], &one.choices[0]);
    ASSERT_EQ_UINT(three.choices[0].prompt_count, PROMPT - 1);
    for (uint32_t i = 1; i < 3; i++) {
        ASSERT_EQ_UINT(three.choices[i].count, ANSWER);
        ASSERT_EQ_UINT(three.choices[i].prompt_count, 0);
        ASSERT_EQ_UINT(three.choices[i].cached_count, 64);
        ASSERT(memcmp(three.choices[i].ids, three.choices[i - 1].ids, sizeof(one.choices[0].ids)) !=
               0);
    }
    schedule_end(scheduler);
}

static void test_a_stop_string(void)
{
    static told free_text;
    static told stopped;
    uint32_t ids[PROMPT];
    schedule_ids(ids, PROMPT, 7);
    tp_scheduler *scheduler = schedule_begin(LLAMA, &(tp_scheduler_options){.thread_count = 1});
    tp_generation_request request = request_of(ids, PROMPT, ANSWER);
    ask(scheduler, request, &free_text);
    const told_choice *whole = &free_text.choices[0];
    ASSERT(whole->text_size > 20);
    const tp_str stop = {whole->text + whole->text_size / 2, 4};
    request.stops = &stop;
    request.stop_count = 1;
    ask(scheduler, request, &stopped);
    const told_choice *got = &stopped.choices[0];
    ASSERT_EQ_INT(got->finish, TP_FINISH_STOP);
    ASSERT(got->count < whole->count);
    ASSERT(memcmp(got->text, whole->text, got->text_size) == 0);
    ASSERT(memcmp(whole->text + got->text_size, stop.data, stop.size) == 0);
    schedule_end(scheduler);
}

static void test_a_grammar(void)
{
    static told what;
    const tp_env env = tp_env_plain();
    tp_grammar *grammar = NULL;
    uint32_t ids[PROMPT];
    schedule_ids(ids, PROMPT, 8);
    tp_scheduler *scheduler = schedule_begin(LLAMA, &(tp_scheduler_options){.thread_count = 1});
    ASSERT_OK(tp_grammar_from_regex(&env, TP_STR("[abc]{5}"), NULL, &grammar, &test_err));
    tp_generation_request request = request_of(ids, PROMPT, ANSWER);
    request.grammar = grammar;
    request.ignores_eog = false;
    ask(scheduler, request, &what);
    tp_grammar_unref(grammar);
    ASSERT_EQ_INT(what.choices[0].finish, TP_FINISH_STOP);
    ASSERT_EQ_UINT(what.choices[0].text_size, 5);
    ASSERT_EQ_UINT(strspn(what.choices[0].text, "abc"), 5);
    schedule_end(scheduler);
}

// -- ends ----------------------------------------------------------------------------------------
static void test_cancel(void)
{
    static told cancelled = {.holds = true};
    static told after;
    uint32_t ids[PROMPT];
    schedule_ids(ids, PROMPT, 9);
    tp_scheduler *scheduler = schedule_begin(LLAMA, &(tp_scheduler_options){.thread_count = 1});
    tp_generation_request request = request_of(ids, PROMPT, 0);
    request.choice_count = 2;
    told_hold();
    ASSERT_OK(told_submit(scheduler, request, &cancelled, &test_err));
    told_held();
    tp_generation_cancel(cancelled.generation);
    told_go_on();
    told_wait(&cancelled);
    for (uint32_t i = 0; i < 2; i++) {
        ASSERT_EQ_INT(cancelled.choices[i].finish, TP_FINISH_CANCELLED);
        ASSERT_EQ_UINT(cancelled.choices[i].finish_count, 1);
    }
    ASSERT_EQ_UINT(cancelled.choices[0].count, 1); // within the step
    ask(scheduler, request_of(ids, PROMPT, 3), &after);
    ASSERT_EQ_UINT(after.choices[0].count, 3);
    schedule_end(scheduler);
}

static void test_a_deadline(void)
{
    static told late;
    uint32_t ids[PROMPT];
    schedule_ids(ids, PROMPT, 10);
    tp_scheduler *scheduler = schedule_begin(LLAMA, &(tp_scheduler_options){.thread_count = 1});
    tp_generation_request request = request_of(ids, PROMPT, 0);
    request.deadline_ns = 1; // long ago
    ask(scheduler, request, &late);
    ASSERT_EQ_INT(late.choices[0].finish, TP_FINISH_TIMEOUT);
    ASSERT_EQ_UINT(late.choices[0].count, 0);
    schedule_end(scheduler);
}

static void test_a_full_queue(void)
{
    static told first = {.holds = true};
    static told second;
    static told third;
    uint32_t ids[PROMPT];
    schedule_ids(ids, PROMPT, 11);
    tp_scheduler *scheduler = schedule_begin(
        LLAMA, &(tp_scheduler_options){.thread_count = 1, .running_max = 1, .queue_max = 1});
    told_hold();
    ASSERT_OK(told_submit(scheduler, request_of(ids, PROMPT, 4), &first, &test_err));
    told_held();
    ASSERT_OK(told_submit(scheduler, request_of(ids, PROMPT, 4), &second, &test_err));
    ASSERT_FAILS(told_submit(scheduler, request_of(ids, PROMPT, 4), &third, &test_err),
                 TAPEOUT_E_BUSY, "2 requests are waiting or running");
    ASSERT(third.generation == NULL);
    told_go_on();
    told_wait(&first);
    told_wait(&second);
    check_same(&second.choices[0], &first.choices[0]);
    ask(scheduler, request_of(ids, PROMPT, 4), &third);
    schedule_end(scheduler);
}

// One client with twelve requests, another with one that came last: it is not the last to be done.
static void test_fairness(void)
{
    enum { MANY = 12 };
    static told holder = {.holds = true};
    static told greedy[MANY];
    static told modest;
    uint32_t ids[PROMPT];
    schedule_ids(ids, PROMPT, 12);
    tp_scheduler *scheduler =
        schedule_begin(LLAMA, &(tp_scheduler_options){.thread_count = 1, .running_max = 4});
    told_hold();
    ASSERT_OK(told_submit(scheduler, request_of(ids, PROMPT, 1), &holder, &test_err));
    told_held();
    for (uint32_t i = 0; i < MANY; i++) {
        tp_generation_request request = request_of(ids, PROMPT, ANSWER);
        request.key = 1;
        ASSERT_OK(told_submit(scheduler, request, &greedy[i], &test_err));
    }
    tp_generation_request request = request_of(ids, PROMPT, ANSWER);
    request.key = 2;
    ASSERT_OK(told_submit(scheduler, request, &modest, &test_err));
    told_go_on();
    told_wait(&holder);
    told_wait(&modest);
    for (uint32_t i = 0; i < MANY; i++) {
        told_wait(&greedy[i]);
    }
    ASSERT(modest.done_rank <= 5); // behind the holder and three that were let in before
    schedule_end(scheduler);
}

static void test_free_while_running(void)
{
    static told running[5] = {{.holds = true}};
    uint32_t ids[PROMPT];
    schedule_ids(ids, PROMPT, 13);
    tp_scheduler *scheduler =
        schedule_begin(LLAMA, &(tp_scheduler_options){.thread_count = 2, .running_max = 2});
    told_hold();
    for (uint32_t i = 0; i < 5; i++) {
        ASSERT_OK(told_submit(scheduler, request_of(ids, PROMPT, 0), &running[i], &test_err));
    }
    told_held();
    told_go_on();
    tp_scheduler_free(scheduler);
    for (uint32_t i = 0; i < 5; i++) {
        ASSERT(running[i].is_done);
        ASSERT_EQ_UINT(running[i].choices[0].finish_count, 1);
        tp_generation_unref(running[i].generation); // later than the scheduler
    }
    ASSERT_EQ_INT(running[4].choices[0].finish, TP_FINISH_CANCELLED);
    tp_llm_free((tp_llm *)(uintptr_t)schedule_model());
}

// -- refusals ------------------------------------------------------------------------------------
static void test_refusals(void)
{
    static told what;
    uint32_t ids[300];
    schedule_ids(ids, 300, 14);
    tp_scheduler *scheduler = schedule_begin(LLAMA, &(tp_scheduler_options){.thread_count = 1});
    ASSERT_EQ_UINT(tp_scheduler_context(scheduler), 256);
    ASSERT_FAILS(told_submit(scheduler, request_of(ids, 0, 1), &what, &test_err), TAPEOUT_E_INVALID,
                 "the prompt has no token");
    ASSERT_FAILS(told_submit(scheduler, request_of(ids, 256, 1), &what, &test_err), TAPEOUT_E_LIMIT,
                 "the prompt has 256 tokens; the context holds 256");
    ids[3] = 288;
    ASSERT_FAILS(told_submit(scheduler, request_of(ids, 5, 1), &what, &test_err), TAPEOUT_E_INVALID,
                 "token 3 is 288; the vocabulary has 288");
    tp_generation_request request = request_of(ids, 3, 1);
    request.choice_count = 129;
    ASSERT_FAILS(told_submit(scheduler, request, &what, &test_err), TAPEOUT_E_INVALID,
                 "129 choices; at most 128");
    const tp_str nothing = {"", 0};
    request = request_of(ids, 3, 1);
    request.stops = &nothing;
    request.stop_count = 1;
    ASSERT_FAILS(told_submit(scheduler, request, &what, &test_err), TAPEOUT_E_INVALID,
                 "stop string 0 has 0 bytes");
    request = request_of(ids, 3, 1);
    request.sampling.temperature = NAN;
    ASSERT_FAILS(told_submit(scheduler, request, &what, &test_err), TAPEOUT_E_INVALID,
                 "temperature");
    request = request_of(ids, 3, 1);
    request.top_logprobs = 289;
    ASSERT_FAILS(told_submit(scheduler, request, &what, &test_err), TAPEOUT_E_INVALID,
                 "top_logprobs is 289; at most 288");
    schedule_end(scheduler);
}

// The longest prompt and answer fill the context to the last place.
static void test_a_full_context(void)
{
    static told what;
    uint32_t ids[255];
    schedule_ids(ids, 255, 15);
    tp_scheduler *scheduler = schedule_begin(LLAMA, &(tp_scheduler_options){.thread_count = 1});
    ask(scheduler, request_of(ids, 255, 0), &what);
    ASSERT_EQ_UINT(what.choices[0].count, 1);
    ASSERT_EQ_INT(what.choices[0].finish, TP_FINISH_LENGTH);
    schedule_end(scheduler);
}

static void test_embeddings(void)
{
    static told what;
    float vectors[2][64];
    const uint32_t ids[] = {5, 9, 11, 30, 5, 9};
    const uint32_t counts[] = {4, 2};
    const tp_embedding_request both = {ids, counts, 2};
    const tp_embedding_request second = {ids + 4, counts + 1, 1};
    tp_scheduler *scheduler =
        schedule_begin("bert-q8_0.gguf", &(tp_scheduler_options){.thread_count = 1});
    ASSERT_EQ_UINT(tp_llm_facts_of(schedule_model())->width, 64);
    ASSERT_OK(tp_scheduler_embed(scheduler, &both, vectors[0], &test_err));
    float again[64];
    ASSERT_OK(tp_scheduler_embed(scheduler, &second, again, &test_err));
    ASSERT_EQ_BYTES(again, sizeof(again), vectors[1], sizeof(vectors[1]));
    ASSERT_FAILS(told_submit(scheduler, request_of(ids, 3, 1), &what, &test_err),
                 TAPEOUT_E_UNSUPPORTED, "bert makes embeddings and no text");
    schedule_end(scheduler);
}

// -- a grammar that waits ------------------------------------------------------------------------
// Behind each trigger of `text` three digits and a semicolon, as far as the text goes; how many.
static uint32_t count_held(const char *text, size_t size, const char *trigger)
{
    const size_t trigger_size = strlen(trigger);
    uint32_t count = 0;
    for (size_t i = 0; i + trigger_size <= size; i++) {
        if (memcmp(text + i, trigger, trigger_size) != 0) {
            continue;
        }
        count++;
        i += trigger_size;
        for (size_t k = 0; k < 4 && i < size; k++, i++) {
            ASSERT(k < 3 ? text[i] >= '0' && text[i] <= '9' : text[i] == ';');
        }
        i--;
    }
    return count;
}

static void check_trigger(const char *trigger, bool once)
{
    static told what;
    tp_env env = tp_env_plain();
    uint32_t found = 0;
    tp_scheduler *scheduler = schedule_begin(LLAMA, &(tp_scheduler_options){.thread_count = 1});
    for (uint64_t seed = 0; seed < 12; seed++) {
        uint32_t ids[4];
        schedule_ids(ids, 4, seed);
        memset(&what, 0, sizeof(what));
        tp_generation_request request = request_of(ids, 4, ANSWER);
        request.sampling.temperature = 1.5;
        request.sampling.seed = seed;
        request.trigger = tp_str_from(trigger);
        request.triggers_once = once;
        ASSERT_OK(
            tp_grammar_from_regex(&env, TP_STR("[0-9]{3};"), NULL, &request.grammar, &test_err));
        ask(scheduler, request, &what);
        tp_grammar_unref(request.grammar);
        const told_choice *choice = &what.choices[0];
        const uint32_t count = count_held(choice->text, choice->text_size, trigger);
        found += count;
        if (once && choice->finish == TP_FINISH_STOP) {
            ASSERT_EQ_UINT(count, 1);
            ASSERT_EQ_INT(choice->text[choice->text_size - 1], ';');
        } else {
            ASSERT_EQ_INT(choice->finish, TP_FINISH_LENGTH);
        }
    }
    ASSERT(found >= 3);
    schedule_end(scheduler);
}

static void test_a_grammar_waits_for_its_trigger(void)
{
    check_trigger("a", false);
    check_trigger("e", false);
    check_trigger("t", true);
}

static void test_a_trigger_that_is_too_long(void)
{
    const uint32_t id = 5;
    char text[TP_MAX_LLM_TRIGGER_BYTES + 1];
    told what;
    tp_scheduler *scheduler = schedule_begin(LLAMA, &(tp_scheduler_options){.thread_count = 1});
    memset(text, 'x', sizeof(text));
    tp_generation_request request = request_of(&id, 1, 5);
    request.trigger = (tp_str){text, sizeof(text)};
    memset(&what, 0, sizeof(what));
    ASSERT_FAILS(told_submit(scheduler, request, &what, &test_err), TAPEOUT_E_INVALID, "trigger");
    schedule_end(scheduler);
}

TEST_MAIN(TEST(test_a_grammar_waits_for_its_trigger), TEST(test_a_trigger_that_is_too_long),
          TEST_SLOW(test_the_same_in_company, 300), TEST_SLOW(test_the_same_in_small_steps, 300),
          TEST_SLOW(test_the_same_when_preempted, 300), TEST(test_the_same_from_the_cache),
          TEST(test_choices), TEST(test_a_stop_string), TEST(test_a_grammar), TEST(test_cancel),
          TEST(test_a_deadline), TEST(test_a_full_queue), TEST(test_fairness),
          TEST(test_free_while_running), TEST(test_refusals), TEST(test_a_full_context),
          TEST(test_embeddings))
