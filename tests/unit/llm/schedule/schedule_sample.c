// SPDX-License-Identifier: Apache-2.0
#include "schedule_sample.h"

#include "base/tp_random.h"
#include "llm/gguf/tp_gguf.h"
#include "test.h"

#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_holding;      // whoever holds is to wait
static uint32_t held_count;  // who does
static uint32_t done_count;  // of all requests
static tp_llm *opened_model; // of schedule_begin

const tp_llm *schedule_model(void)
{
    return opened_model;
}

tp_scheduler *schedule_begin(const char *model, const tp_scheduler_options *options)
{
    const tp_env env = tp_env_plain();
    tp_gguf *gguf = NULL;
    tp_scheduler *scheduler = NULL;
    char path[2048];
    (void)snprintf(path, sizeof(path), "%s/tests/conformance/llm_tiny/%s", test_source_dir(),
                   model);
    ASSERT_OK(tp_gguf_open(&env, path, &gguf, &test_err));
    ASSERT_OK(tp_llm_from_gguf(&env, gguf, &opened_model, &test_err));
    ASSERT_OK(tp_scheduler_new(&env, opened_model, options, &scheduler, &test_err));
    return scheduler;
}

void schedule_end(tp_scheduler *scheduler)
{
    tp_scheduler_free(scheduler);
    tp_llm_free(opened_model);
}

void schedule_ids(uint32_t *ret_ids, uint32_t count, uint64_t seed)
{
    for (uint32_t i = 0; i < count; i++) {
        ret_ids[i] = (uint32_t)tp_random_below(seed, 0, i, 256);
    }
}

static void take_token(told_choice *choice, const tp_generation_event *event)
{
    if (event->is_prompt) {
        ASSERT(choice->prompt_count < TOLD_TOKENS);
        choice->prompt_logprobs[choice->prompt_count++] = event->logprob;
        return;
    }
    ASSERT(choice->count < TOLD_TOKENS);
    choice->ids[choice->count] = event->id;
    choice->logprobs[choice->count++] = event->logprob;
}

static void on_event(void *user, const tp_generation_event *event)
{
    told *what = user;
    (void)pthread_mutex_lock(&lock);
    ASSERT(!what->is_done && event->choice < TOLD_CHOICES);
    told_choice *choice = &what->choices[event->choice];
    ASSERT_EQ_UINT(choice->finish_count, 0); // nothing comes behind the end
    if (event->has_token) {
        take_token(choice, event);
    }
    ASSERT(choice->text_size + event->text.size < sizeof(choice->text));
    if (event->text.size > 0) {
        memcpy(choice->text + choice->text_size, event->text.data, event->text.size);
    }
    choice->text_size += event->text.size;
    if (event->finish != TP_FINISH_NONE) {
        choice->finish = event->finish;
        choice->finish_count++;
        choice->cached_count = event->cached_count;
        what->status = event->finish == TP_FINISH_FAILED ? event->error->status : what->status;
    }
    while (what->holds && is_holding) {
        held_count++;
        (void)pthread_cond_broadcast(&changed);
        (void)pthread_cond_wait(&changed, &lock);
        held_count--;
    }
    (void)pthread_mutex_unlock(&lock);
}

static void on_done(void *user)
{
    told *what = user;
    (void)pthread_mutex_lock(&lock);
    ASSERT(!what->is_done);
    what->is_done = true;
    what->done_rank = ++done_count;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

tapeout_status told_submit(tp_scheduler *scheduler, tp_generation_request request, told *what,
                           tapeout_error *err)
{
    request.on_event = on_event;
    request.on_done = on_done;
    request.user = what;
    const tapeout_status status = tp_scheduler_submit(scheduler, &request, &what->generation, err);
    return status;
}

void told_wait(told *what)
{
    (void)pthread_mutex_lock(&lock);
    while (!what->is_done) {
        (void)pthread_cond_wait(&changed, &lock);
    }
    (void)pthread_mutex_unlock(&lock);
    tp_generation_unref(what->generation);
    what->generation = NULL;
}

void told_hold(void)
{
    (void)pthread_mutex_lock(&lock);
    is_holding = true;
    (void)pthread_mutex_unlock(&lock);
}

void told_held(void)
{
    (void)pthread_mutex_lock(&lock);
    while (held_count == 0) {
        (void)pthread_cond_wait(&changed, &lock);
    }
    (void)pthread_mutex_unlock(&lock);
}

void told_go_on(void)
{
    (void)pthread_mutex_lock(&lock);
    is_holding = false;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}
