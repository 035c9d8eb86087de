// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of a scheduler, a request and its answer fails in turn: it is said, and nothing
// is left behind.
#include "llm/schedule/tp_scheduler.h"

#include "base/tp_error.h"
#include "schedule_sample.h"
#include "test.h"

#include <string.h>

static tapeout_status ask(const tp_env *env, tp_scheduler *scheduler, tapeout_error *err)
{
    static told what;
    const uint32_t ids[] = {70, 71, 72, 73, 74};
    const tp_str stop = TP_STR("never to be seen");
    tp_generation_request request = {.prompt = ids,
                                     .prompt_count = 5,
                                     .max_tokens = 40,
                                     .choice_count = 2,
                                     .stops = &stop,
                                     .stop_count = 1};
    tp_sampling_init(&request.sampling);
    memset(&what, 0, sizeof(what));
    TP_TRY(tp_grammar_from_regex(env, TP_STR("[a-c ]{4}"), NULL, &request.grammar, err));
    tapeout_status status = told_submit(scheduler, request, &what, err);
    if (status == TAPEOUT_OK) {
        told_wait(&what);
        status = what.status == TAPEOUT_OK ? TAPEOUT_OK : tp_fail(err, what.status, "told so");
    }
    tp_grammar_unref(request.grammar);
    return status;
}

static tapeout_status begin_and_ask(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_scheduler *scheduler = NULL;
    const tp_scheduler_options options = {.thread_count = 2, .running_max = 2};
    const tapeout_status made = tp_scheduler_new(&env, schedule_model(), &options, &scheduler, err);
    ASSERT((scheduler != NULL) == (made == TAPEOUT_OK));
    const tapeout_status status = made == TAPEOUT_OK ? ask(&env, scheduler, err) : made;
    tp_scheduler_free(scheduler);
    return status;
}

static void test_a_request(void)
{
    tp_scheduler *scheduler =
        schedule_begin("llama-q4_1.gguf", &(tp_scheduler_options){.thread_count = 1});
    test_out_of_memory(begin_and_ask, NULL);
    schedule_end(scheduler);
}

TEST_MAIN(TEST_SLOW(test_a_request, 300))
