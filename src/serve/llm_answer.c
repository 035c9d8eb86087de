// SPDX-License-Identifier: Apache-2.0
//
// From what a scheduler tells to what a client is sent. Everything below on_event runs on the
// scheduler's thread, one call at a time; `gone` and `done` come on the loop's.
#include "serve/llm_answer.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"

#include <string.h>

// -- life ----------------------------------------------------------------------------------------
static void choice_init(llm_choice *choice, llm_answer *answer, uint32_t index)
{
    const tapeout_allocator *alloc = answer->env->alloc;
    choice->answer = answer;
    choice->index = index;
    tp_buffer_init(&choice->content, alloc, TP_MAX_HTTP_REPLY_BYTES);
    tp_buffer_init(&choice->reasoning, alloc, TP_MAX_HTTP_REPLY_BYTES);
    tp_buffer_init(&choice->logprobs, alloc, TP_MAX_HTTP_REPLY_BYTES);
    tp_buffer_init(&choice->items, alloc, TP_MAX_HTTP_REPLY_BYTES);
    tp_ids_init(&choice->ids, alloc);
}

static void choice_deinit(llm_choice *choice)
{
    tp_tool_parser_free(choice->parser);
    tp_buffer_deinit(&choice->content);
    tp_buffer_deinit(&choice->reasoning);
    tp_buffer_deinit(&choice->logprobs);
    tp_buffer_deinit(&choice->items);
    tp_ids_deinit(&choice->ids);
    for (uint32_t i = 0; i < choice->call_count; i++) {
        tp_buffer_deinit(&choice->calls[i].id);
        tp_buffer_deinit(&choice->calls[i].name);
        tp_buffer_deinit(&choice->calls[i].arguments);
    }
}

static void answer_free(llm_answer *answer)
{
    const tapeout_allocator *alloc = answer->env->alloc;
    for (uint32_t i = 0; answer->choices != NULL && i < answer->choice_count; i++) {
        choice_deinit(&answer->choices[i]);
    }
    tp_free_array(alloc, answer->choices, answer->choice_count, sizeof(*answer->choices));
    for (uint32_t i = 0; answer->parts != NULL && i < answer->part_count; i++) {
        tp_generation_unref(atomic_load(&answer->parts[i].generation));
        tp_buffer_deinit(&answer->parts[i].echo);
        tp_buffer_deinit(&answer->parts[i].generation_text);
    }
    tp_free_array(alloc, answer->parts, answer->part_count, sizeof(*answer->parts));
    tp_buffer_deinit(&answer->id);
    tp_buffer_deinit(&answer->piece);
    tp_buffer_deinit(&answer->request_echo);
    tp_free(alloc, answer, sizeof(*answer));
}

static void answer_release(llm_answer *answer)
{
    // Acquire and release: whoever frees sees what the other has written.
    if (atomic_fetch_sub_explicit(&answer->owner_count, 1, memory_order_acq_rel) == 1) {
        answer_free(answer);
    }
}

static void cancel(llm_answer *answer)
{
    for (uint32_t i = 0; i < answer->part_count; i++) {
        tp_generation *generation = atomic_load(&answer->parts[i].generation);
        if (generation != NULL) {
            tp_generation_cancel(generation);
        }
    }
}

// Either this sees the generation, or who submits it sees that the client has gone.
static void on_gone(void *user)
{
    llm_answer *answer = user;
    atomic_store(&answer->is_gone, true);
    cancel(answer);
}

// The producer has said its end, which the loop has seen under its lock: nobody writes any more.
static void on_stream_done(void *user)
{
    llm_answer *answer = user;
    const llm_usage usage = tp_llm_usage(answer);
    answer->exchange->tokens =
        (serve_tokens){.prompt_count = usage.prompt_count,
                       .cached_count = usage.cached_count,
                       .generated_count = answer->first_ns == 0 ? 0 : usage.generated_count,
                       .first_ns = answer->first_ns - answer->begin_ns,
                       .whole_ns = answer->last_ns - answer->begin_ns};
    // What it was priced at and did not use. Of a request that failed before its prompt was read
    // nothing was used.
    const uint64_t used = (uint64_t)usage.prompt_count + usage.generated_count;
    serve_exchange *exchange = answer->exchange;
    if (exchange->charged_tokens > used) {
        tp_serve_give_back(exchange, TP_COUNT_TOKENS, exchange->charged_tokens - used);
    }
    tp_served_touch(exchange->model);
    tp_llm_receipt_end(answer);
    answer_release(answer);
}

// -- ends ----------------------------------------------------------------------------------------
static void reply_init(const llm_answer *answer, tp_http_reply *reply, const char *content_type)
{
    tp_http_reply_init(reply, answer->env->alloc);
    reply->content_type = content_type;
    tp_buffer_append_str(&reply->headers, TP_STR("x-tapeout-model: "));
    tp_buffer_append_str(&reply->headers, answer->model->header);
    tp_buffer_append_str(&reply->headers, TP_STR("\r\n"));
    tp_serve_limits_write(answer->exchange, &reply->headers);
}

static void send_piece(llm_answer *answer)
{
    if (answer->piece.size > 0) {
        tp_stream_write(answer->stream, tp_buffer_view(&answer->piece));
        tp_buffer_clear(&answer->piece);
    }
}

static int status_of_failure(tapeout_status status, const char **ret_code)
{
    // A prompt that is too long is a mistake of the client, and clients know it by this name.
    *ret_code = status == TAPEOUT_E_LIMIT ? "context_length_exceeded" : NULL;
    return status == TAPEOUT_E_LIMIT ? 400 : tp_serve_http_status(status);
}

static void fail(llm_answer *answer, const tapeout_error *error)
{
    answer->has_ended = true;
    atomic_store(&answer->is_gone, true); // who submits it may not have the generation yet
    cancel(answer);
    if (answer->has_begun) {
        tp_buffer_clear(&answer->piece);
        answer->dialect->failure(answer, error, &answer->piece);
        send_piece(answer);
        tp_stream_end(answer->stream);
        return;
    }
    tp_http_reply reply;
    const char *code = NULL;
    const int http_status = status_of_failure(error->status, &code);
    reply_init(answer, &reply, NULL);
    const serve_failure failure = {http_status, tp_str_from(error->message), code, 0};
    tp_serve_failure_write(&reply, answer->family, &failure);
    tp_stream_answer(answer->stream, &reply);
    tp_http_reply_deinit(&reply);
}

static void begin_stream(llm_answer *answer)
{
    tp_http_reply head;
    answer->has_begun = true;
    reply_init(answer, &head, answer->dialect->stream_type);
    tp_buffer_append_text(&head.headers, "cache-control: no-cache\r\n");
    tp_stream_begin(answer->stream, &head);
    tp_http_reply_deinit(&head);
    if (answer->dialect->begin != NULL) {
        answer->dialect->begin(answer, &answer->piece);
    }
}

static void finish(llm_answer *answer)
{
    answer->has_ended = true;
    if (answer->streams) {
        answer->dialect->end(answer, &answer->piece);
        send_piece(answer);
        tp_stream_end(answer->stream);
        return;
    }
    tp_http_reply reply;
    reply_init(answer, &reply, "application/json");
    answer->dialect->whole(answer, &reply.body);
    if (reply.body.status == TAPEOUT_OK) {
        tp_stream_answer(answer->stream, &reply);
    } else {
        const serve_failure failure = {503, TP_STR("out of memory"), NULL, 0};
        tp_serve_failure_write(&reply, answer->family, &failure);
        tp_stream_answer(answer->stream, &reply);
    }
    tp_http_reply_deinit(&reply);
}

// -- deltas --------------------------------------------------------------------------------------
static tapeout_status keep_call(llm_choice *choice, const tp_tool_delta *delta, tapeout_error *err)
{
    const tapeout_allocator *alloc = choice->answer->env->alloc;
    if (delta->kind == TP_DELTA_CALL) {
        if (choice->call_count == TP_MAX_LLM_TOOL_CALLS) {
            return tp_fail(err, TAPEOUT_E_DATA, "the answer calls more than %u tools",
                           TP_MAX_LLM_TOOL_CALLS);
        }
        llm_call *call = &choice->calls[choice->call_count++];
        tp_buffer_init(&call->id, alloc, TP_MAX_HTTP_REPLY_BYTES);
        tp_buffer_init(&call->name, alloc, TP_MAX_HTTP_REPLY_BYTES);
        tp_buffer_init(&call->arguments, alloc, TP_MAX_HTTP_REPLY_BYTES);
        tp_buffer_append_str(&call->id, delta->id);
        tp_buffer_append_str(&call->name, delta->name);
        return tp_buffer_check(&call->name, "tool call", err);
    }
    llm_call *call = &choice->calls[delta->index];
    tp_buffer_append_str(&call->arguments, delta->text);
    return tp_buffer_check(&call->arguments, "tool call", err);
}

// Everything is kept, of a stream too: some protocols say it all again at the end.
static tapeout_status on_delta(void *user, const tp_tool_delta *delta, tapeout_error *err)
{
    llm_choice *choice = user;
    llm_answer *answer = choice->answer;
    switch (delta->kind) {
    case TP_DELTA_CONTENT:
        tp_buffer_append_str(&choice->content, delta->text);
        TP_TRY(tp_buffer_check(&choice->content, "answer", err));
        break;
    case TP_DELTA_REASONING:
        tp_buffer_append_str(&choice->reasoning, delta->text);
        TP_TRY(tp_buffer_check(&choice->reasoning, "answer", err));
        break;
    case TP_DELTA_CALL:
    case TP_DELTA_ARGUMENTS:
        TP_TRY(keep_call(choice, delta, err));
        break;
    }
    if (answer->streams) {
        answer->dialect->delta(choice, delta, &answer->piece);
    }
    return TAPEOUT_OK;
}

static tapeout_status take_text(llm_choice *choice, tp_str text, tapeout_error *err)
{
    if (text.size == 0) {
        return TAPEOUT_OK;
    }
    if (choice->parser != NULL) {
        return tp_tool_parser_push(choice->parser, text, err);
    }
    const tp_tool_delta delta = {.kind = TP_DELTA_CONTENT, .text = text};
    return on_delta(choice, &delta, err);
}

static tapeout_status take_end(llm_choice *choice, tapeout_error *err)
{
    llm_answer *answer = choice->answer;
    if (choice->parser != NULL) {
        TP_TRY(tp_tool_parser_finish(choice->parser, err));
    }
    choice->is_ended = true;
    answer->open_count--;
    if (answer->streams) {
        answer->dialect->choice_end(choice, &answer->piece);
    }
    return TAPEOUT_OK;
}

static tapeout_status take_event(llm_choice *choice, const tp_generation_event *event,
                                 tapeout_error *err)
{
    llm_answer *answer = choice->answer;
    if (event->has_token && !event->is_prompt) {
        answer->last_ns = tp_clock_monotonic_ns();
        answer->first_ns = answer->first_ns == 0 ? answer->last_ns : answer->first_ns;
    }
    if (event->finish != TP_FINISH_NONE) {
        choice->end = *event;
    }
    switch (event->finish) {
    case TP_FINISH_FAILED:
        *err = *event->error;
        return event->error->status;
    case TP_FINISH_TIMEOUT:
        return tp_fail(err, TAPEOUT_E_TIMEOUT, "the answer took longer than the server allows");
    case TP_FINISH_CANCELLED:
        return tp_fail(err, TAPEOUT_E_CANCELLED, "the model is being unloaded");
    case TP_FINISH_NONE:
    case TP_FINISH_STOP:
    case TP_FINISH_LENGTH:
        break;
    }
    if (answer->streams && !answer->has_begun) {
        begin_stream(answer);
    }
    if (event->has_token && answer->wants_logprobs && answer->dialect->logprob != NULL) {
        answer->dialect->logprob(choice, event);
        TP_TRY(tp_buffer_check(&choice->logprobs, "log-probabilities", err));
    }
    TP_TRY(take_text(choice, event->text, err));
    if (event->finish != TP_FINISH_NONE) {
        TP_TRY(take_end(choice, err));
    }
    return tp_buffer_check(&answer->piece, "stream", err);
}

// Whether a prompt was not taken; what the others say is of no use then.
static bool is_refused(llm_answer *answer)
{
    return atomic_load(&answer->is_refused);
}

static void on_event(void *user, const tp_generation_event *event)
{
    const llm_part *part = user;
    llm_answer *answer = part->answer;
    tapeout_error error = {0};
    if (answer->has_ended || is_refused(answer)) {
        // Something failed, and what still comes is of no use but for what it has cost.
        if (event->finish != TP_FINISH_NONE) {
            answer->choices[part->first_choice + event->choice].end = *event;
        }
        return;
    }
    llm_choice *choice = &answer->choices[part->first_choice + event->choice];
    if (event->has_token && !event->is_prompt) {
        tp_llm_receipt_token(choice, event->id);
    }
    const tapeout_status status = take_event(choice, event, &error);
    if (status != TAPEOUT_OK) {
        error.status = status;
        fail(answer, &error);
    } else if (answer->open_count == 0) {
        finish(answer);
    } else {
        send_piece(answer);
    }
}

// One of those that may tell the answer something has done so for the last time. The last of them
// is alone, and so may say that a prompt was not taken.
static void end_activity(llm_answer *answer)
{
    // Acquire and release: the last one sees what the others have written.
    const bool is_last =
        atomic_fetch_sub_explicit(&answer->active_count, 1, memory_order_acq_rel) == 1;
    if (is_last && is_refused(answer) && !answer->has_ended) {
        fail(answer, &answer->refusal);
    }
    answer_release(answer);
}

static void on_generation_done(void *user)
{
    const llm_part *part = user;
    end_activity(part->answer);
}

// -- the beginning -------------------------------------------------------------------------------
static tapeout_status make_parsers(llm_answer *answer, const llm_ask *ask, tapeout_error *err)
{
    const tp_tool_format format = tp_llm_host_tool_format(answer->model->llm);
    for (uint32_t i = 0; ask->parts_text && i < answer->choice_count; i++) {
        const tp_tool_parser_options options = {.parse_calls = ask->parses_calls,
                                                .calls_are_held = ask->holds_calls,
                                                .held_once = ask->generation.trigger.size == 0 ||
                                                             ask->generation.triggers_once,
                                                .starts_reasoning = ask->starts_thinking,
                                                .id_seed = ask->generation.sampling.seed + i,
                                                .sink = on_delta,
                                                .sink_user = &answer->choices[i]};
        TP_TRY(tp_tool_parser_new(answer->env, format, &options, &answer->choices[i].parser, err));
    }
    return TAPEOUT_OK;
}

// What the ask says of its prompts, or the one that it is without saying.
static llm_prompt prompt_at(const llm_ask *ask, uint32_t index)
{
    return ask->prompt_count > 0 ? ask->prompts[index]
                                 : (llm_prompt){0, ask->prompt.count, {NULL, 0}};
}

static tapeout_status parts_fill(llm_answer *answer, const llm_ask *ask, uint32_t each,
                                 tapeout_error *err)
{
    const uint32_t count = ask->prompt_count > 0 ? ask->prompt_count : 1;
    answer->parts = tp_alloc_array_zero(answer->env->alloc, count, sizeof(*answer->parts));
    if (answer->parts == NULL) {
        return tp_fail_nomem(err);
    }
    answer->part_count = count;
    for (uint32_t i = 0; i < count; i++) {
        const llm_prompt prompt = prompt_at(ask, i);
        llm_part *part = &answer->parts[i];
        part->answer = answer;
        part->first_choice = i * each;
        part->first_id = prompt.begin < prompt.end ? ask->prompt.data[prompt.begin] : 0;
        tp_buffer_init(&part->echo, answer->env->alloc, TP_MAX_HTTP_REPLY_BYTES);
        tp_buffer_init(&part->generation_text, answer->env->alloc, TP_MAX_HTTP_REPLY_BYTES);
        tp_buffer_append_str(&part->echo, prompt.echo);
        TP_TRY(tp_buffer_check(&part->echo, "reply", err));
    }
    // Of the generations, and of who starts them; the stream is an owner as well.
    atomic_init(&answer->active_count, count + 1);
    atomic_init(&answer->owner_count, count + 2);
    return TAPEOUT_OK;
}

static tapeout_status answer_fill(llm_answer *answer, const serve_exchange *exchange,
                                  const char *id_prefix, const llm_ask *ask, tapeout_error *err)
{
    const tapeout_allocator *alloc = answer->env->alloc;
    const uint32_t each = ask->generation.choice_count == 0 ? 1 : ask->generation.choice_count;
    TP_TRY(parts_fill(answer, ask, each, err));
    answer->choice_count = each * answer->part_count;
    answer->open_count = answer->choice_count;
    answer->choices = tp_alloc_array_zero(alloc, answer->choice_count, sizeof(*answer->choices));
    if (answer->choices == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        choice_init(&answer->choices[i], answer, i);
        answer->choices[i].part = &answer->parts[i / each];
    }
    tp_buffer_append_text(&answer->id, id_prefix);
    tp_buffer_append_text(&answer->id, exchange->request->id);
    TP_TRY(tp_buffer_check(&answer->id, "reply", err));
    return make_parsers(answer, ask, err);
}

static tapeout_status answer_new(serve_exchange *exchange, const llm_dialect *dialect,
                                 const char *id_prefix, const llm_ask *ask, llm_answer **ret_answer,
                                 tapeout_error *err)
{
    const tp_env *env = exchange->state->env;
    llm_answer *answer = tp_alloc_zero(env->alloc, sizeof(*answer));
    if (answer == NULL) {
        return tp_fail_nomem(err);
    }
    answer->dialect = dialect;
    answer->family = exchange->route->family;
    answer->model = exchange->model;
    answer->env = env;
    answer->streams = ask->streams;
    answer->wants_usage = ask->wants_usage;
    answer->wants_logprobs = ask->generation.wants_logprobs;
    answer->wants_prompt = ask->generation.wants_prompt;
    answer->exchange = exchange;
    answer->created_s = tp_clock_unix_us() / 1000000;
    answer->begin_ns = exchange->request->begin_ns;
    tp_buffer_init(&answer->id, env->alloc, TP_MAX_HTTP_REPLY_BYTES);
    tp_buffer_init(&answer->piece, env->alloc, TP_MAX_HTTP_REPLY_BYTES);
    tp_buffer_init(&answer->request_echo, env->alloc, TP_MAX_HTTP_REPLY_BYTES);
    const tapeout_status status = answer_fill(answer, exchange, id_prefix, ask, err);
    if (status != TAPEOUT_OK) {
        answer_free(answer);
        return status;
    }
    *ret_answer = answer;
    return TAPEOUT_OK;
}

// Once one is refused the others are not wanted; those that are on their way are ended.
static void submit_all(llm_answer *answer, const serve_exchange *exchange, const llm_ask *ask)
{
    tp_scheduler *scheduler = tp_llm_host_scheduler(exchange->model->llm);
    tp_generation_request request = ask->generation;
    request.on_event = on_event;
    request.on_done = on_generation_done;
    request.tenant = exchange->principal == NULL ? 0 : exchange->principal->tenant_number;
    request.key = exchange->principal == NULL ? 0 : exchange->principal->number;
    if (exchange->state->llm_deadline_ms > 0) {
        request.deadline_ns =
            answer->begin_ns + (uint64_t)exchange->state->llm_deadline_ms * 1000000u;
    }
    tapeout_status status = TAPEOUT_OK;
    for (uint32_t i = 0; i < answer->part_count; i++) {
        llm_part *part = &answer->parts[i];
        const llm_prompt prompt = prompt_at(ask, i);
        tp_generation *generation = NULL;
        request.prompt = ask->prompt.data + prompt.begin;
        request.prompt_count = (uint32_t)(prompt.end - prompt.begin);
        request.user = part;
        tp_llm_receipt_begin(answer, &request, i);
        if (status == TAPEOUT_OK) {
            status = tp_scheduler_submit(scheduler, &request, &generation, &answer->refusal);
            answer->refusal.status = status;
            atomic_store(&answer->is_refused, status != TAPEOUT_OK);
        }
        if (status != TAPEOUT_OK) {
            end_activity(answer); // of a generation that there is none of
            continue;
        }
        atomic_store(&part->generation, generation);
    }
    if (status != TAPEOUT_OK || atomic_load(&answer->is_gone)) {
        cancel(answer);
    }
    end_activity(answer);
}

// The price is known before anything is queued: each prompt, and all that may be generated. A
// request that names no end may go on to the end of the context.
static tapeout_status charge_tokens(serve_exchange *exchange, const llm_ask *ask,
                                    tapeout_error *err)
{
    const tp_generation_request *request = &ask->generation;
    const uint64_t context = tp_scheduler_context(tp_llm_host_scheduler(exchange->model->llm));
    const uint64_t choices = request->choice_count == 0 ? 1 : request->choice_count;
    const uint32_t count = ask->prompt_count > 0 ? ask->prompt_count : 1;
    uint64_t price = 0;
    for (uint32_t i = 0; i < count; i++) {
        const llm_prompt prompt = prompt_at(ask, i);
        const uint64_t size = prompt.end - prompt.begin;
        const uint64_t room = context > size ? context - size : 0;
        const bool has_end = request->max_tokens > 0 && request->max_tokens < room;
        price += size + choices * (has_end ? request->max_tokens : room);
    }
    TP_TRY(tp_serve_charge(exchange, TP_COUNT_TOKENS, price, err));
    exchange->charged_tokens = price;
    return TAPEOUT_OK;
}

tapeout_status tp_llm_answer_start(serve_exchange *exchange, const llm_dialect *dialect,
                                   const char *id_prefix, const llm_ask *ask, tp_str request_echo,
                                   tapeout_error *err)
{
    llm_answer *answer = NULL;
    TP_TRY(charge_tokens(exchange, ask, err));
    const tapeout_status made = answer_new(exchange, dialect, id_prefix, ask, &answer, err);
    if (made != TAPEOUT_OK) {
        tp_serve_give_back(exchange, TP_COUNT_TOKENS, exchange->charged_tokens);
        return made;
    }
    tp_buffer_append_str(&answer->request_echo, request_echo);
    const serve_later_events events = {on_gone, on_stream_done, answer};
    tapeout_status status = tp_buffer_check(&answer->request_echo, "reply", err);
    if (status == TAPEOUT_OK) {
        status = tp_serve_later_take(exchange, &events, &answer->stream, err);
    }
    if (status != TAPEOUT_OK) {
        tp_serve_give_back(exchange, TP_COUNT_TOKENS, exchange->charged_tokens);
        answer_free(answer);
        return status;
    }
    submit_all(answer, exchange, ask);
    return TAPEOUT_OK;
}

tapeout_status tp_llm_ask_with(serve_exchange *exchange, llm_ask_fn *ask_fn, tapeout_error *err)
{
    const tapeout_allocator *alloc = exchange->state->env->alloc;
    yyjson_doc *doc = NULL;
    TP_TRY(tp_serve_body_json(exchange, &doc, err));
    llm_params *params = tp_alloc_zero(alloc, sizeof(*params));
    llm_ask ask = {0};
    tp_ids_init(&ask.prompt, alloc);
    tapeout_status status = params == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
    if (status == TAPEOUT_OK) {
        status = tp_llm_model_find(exchange, yyjson_doc_get_root(doc), err);
    }
    if (status == TAPEOUT_OK) {
        status = ask_fn(exchange, yyjson_doc_get_root(doc), params, &ask, err);
    }
    if (status == TAPEOUT_E_LIMIT && !exchange->is_taken) {
        exchange->fail_status = status_of_failure(status, &exchange->fail_code);
    }
    tp_grammar_unref(ask.generation.grammar);
    tp_ids_deinit(&ask.prompt);
    tp_free(alloc, params, sizeof(*params));
    yyjson_doc_free(doc);
    return status;
}
