// SPDX-License-Identifier: Apache-2.0
//
// POST /v1/completions: text or tokens to go on with, as they are. Several prompts of one request
// are a generation each; their choices are counted through, n for each prompt.
#include "serve/llm_answer.h"
#include "serve/serve_handlers.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

enum { DEFAULT_MAX_TOKENS = 16 };

// The entries of one token, in the four lists of OpenAI's older form: kept as JSON objects and
// parted when they are written.
static void write_first(llm_choice *choice)
{
    const llm_answer *answer = choice->answer;
    tp_buffer *out = &choice->logprobs;
    tp_buffer_append_char(out, '[');
    tp_llm_token_write(answer, choice->part->first_id, out);
    tp_buffer_append_text(out, ",null,null,0]");
    choice->text_size = (uint32_t)tp_llm_token_size(answer, choice->part->first_id);
}

static void on_logprob(llm_choice *choice, const tp_generation_event *event)
{
    const llm_answer *answer = choice->answer;
    tp_buffer *out = &choice->logprobs;
    if (choice->logprob_count++ == 0 && answer->wants_prompt &&
        choice->index == choice->part->first_choice) {
        write_first(choice);
    }
    tp_buffer_append_text(out, out->size == 0 ? "[" : ",[");
    tp_llm_token_write(answer, event->id, out);
    tp_buffer_append_char(out, ',');
    tp_json_append_f64(out, event->logprob);
    tp_buffer_append_text(out, ",{");
    for (uint32_t i = 0; i < event->top_count; i++) {
        tp_buffer_append_text(out, i == 0 ? "" : ",");
        tp_llm_token_write(answer, event->top[i].id, out);
        tp_buffer_append_char(out, ':');
        tp_json_append_f64(out, event->top[i].logprob);
    }
    tp_buffer_printf(out, "},%u]", choice->text_size);
    choice->text_size += (uint32_t)tp_llm_token_size(answer, event->id);
}

// One list out of the kept entries: the n-th item of each.
static void write_list(const char *key, size_t n, yyjson_val *entries, tp_buffer *out)
{
    yyjson_val *entry = NULL;
    size_t index = 0;
    size_t count = 0;
    tp_buffer_printf(out, "\"%s\":[", key);
    yyjson_arr_foreach(entries, index, count, entry)
    {
        tp_buffer_append_text(out, index == 0 ? "" : ",");
        tp_json_append_value(out, yyjson_arr_get(entry, n));
    }
    tp_buffer_append_char(out, ']');
}

static void write_logprobs(llm_choice *choice, tp_buffer *out)
{
    static const char *const keys[] = {"tokens", "token_logprobs", "top_logprobs", "text_offset"};
    yyjson_doc *doc = NULL;
    tp_buffer *kept = &choice->logprobs;
    if (!choice->answer->wants_logprobs) {
        tp_buffer_append_text(out, ",\"logprobs\":null");
        return;
    }
    tp_buffer list;
    tp_buffer_init(&list, out->alloc, TP_MAX_HTTP_REPLY_BYTES);
    tp_buffer_append_char(&list, '[');
    tp_buffer_append_str(&list, tp_buffer_view(kept));
    tp_buffer_append_char(&list, ']');
    tp_buffer_clear(kept);
    // Our own text: only memory can be lacking, which the reply's buffer then learns.
    if (list.status != TAPEOUT_OK ||
        tp_json_parse_own(out->alloc, tp_buffer_view(&list), &doc) != TAPEOUT_OK) {
        out->status = TAPEOUT_E_NOMEM;
    }
    tp_buffer_append_text(out, ",\"logprobs\":{");
    for (size_t n = 0; n < 4; n++) {
        tp_buffer_append_text(out, n == 0 ? "" : ",");
        write_list(keys[n], n, yyjson_doc_get_root(doc), out);
    }
    tp_buffer_append_char(out, '}');
    yyjson_doc_free(doc);
    tp_buffer_deinit(&list);
}

// -- pieces --------------------------------------------------------------------------------------
static void write_piece(llm_choice *choice, tp_str text, const char *finish, tp_buffer *out)
{
    tp_buffer_append_text(out, "data: {");
    tp_llm_head_write(choice->answer, "text_completion", out);
    tp_buffer_printf(out, ",\"choices\":[{\"index\":%u,\"text\":", choice->index);
    tp_json_append_str(out, text);
    write_logprobs(choice, out);
    tp_openai_piece_end(choice->answer, finish, out);
}

static void on_begin(llm_answer *answer, tp_buffer *out)
{
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        const tp_buffer *echo = &answer->choices[i].part->echo;
        if (echo->size > 0) {
            write_piece(&answer->choices[i], tp_buffer_view(echo), NULL, out);
        }
    }
}

static void on_delta(llm_choice *choice, const tp_tool_delta *delta, tp_buffer *out)
{
    write_piece(choice, delta->text, NULL, out);
}

static void on_choice_end(llm_choice *choice, tp_buffer *out)
{
    write_piece(choice, (tp_str){"", 0}, tp_llm_finish_name(choice), out);
}

static void on_end(llm_answer *answer, tp_buffer *out)
{
    tp_openai_stream_end(answer, "text_completion", out);
}

static void write_text(const llm_choice *choice, tp_buffer *out)
{
    tp_buffer text;
    tp_buffer_init(&text, out->alloc, TP_MAX_HTTP_REPLY_BYTES);
    tp_buffer_append_str(&text, tp_buffer_view(&choice->part->echo));
    tp_buffer_append_str(&text, tp_buffer_view(&choice->content));
    tp_json_append_str(out, tp_buffer_view(&text));
    out->status = text.status != TAPEOUT_OK ? text.status : out->status;
    tp_buffer_deinit(&text);
}

static void write_choice(llm_choice *choice, tp_buffer *out)
{
    tp_buffer_append_text(out, ",\"text\":");
    write_text(choice, out);
    write_logprobs(choice, out);
}

static void on_whole(llm_answer *answer, tp_buffer *out)
{
    tp_openai_whole(answer, "text_completion", write_choice, out);
}

static const llm_dialect completion_dialect = {.stream_type = "text/event-stream",
                                               .begin = on_begin,
                                               .delta = on_delta,
                                               .logprob = on_logprob,
                                               .choice_end = on_choice_end,
                                               .end = on_end,
                                               .failure = tp_openai_stream_failure,
                                               .whole = on_whole};

// -- the request ---------------------------------------------------------------------------------
// What a request is to go on with.
typedef struct prompt_list {
    const tapeout_allocator *alloc;
    llm_prompt *prompts; // [capacity]
    size_t capacity;
    tp_buffer text; // of all of them, for echoes
} prompt_list;

static void prompts_deinit(prompt_list *list)
{
    tp_free_array(list->alloc, list->prompts, list->capacity, sizeof(*list->prompts));
    tp_buffer_deinit(&list->text);
}

// Text is tokenised with control tokens recognised, as a raw prompt is: whoever sends it writes the
// template.
static tapeout_status add_prompt(const serve_exchange *exchange, yyjson_val *prompt, llm_ask *ask,
                                 prompt_list *list, tapeout_error *err)
{
    llm_prompt *added = &list->prompts[ask->prompt_count];
    added->begin = ask->prompt.count;
    TP_TRY(tp_llm_tokens_read(exchange, prompt, "prompt", &ask->prompt, err));
    added->end = ask->prompt.count;
    // Said here, where nothing of the others has been sent yet.
    const size_t count = added->end - added->begin;
    const uint32_t most = tp_scheduler_context(tp_llm_host_scheduler(exchange->model->llm));
    if (count >= most) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "prompt %u of %zu tokens; the context has %u",
                       ask->prompt_count, count, most);
    }
    ask->prompt_count++;
    return TAPEOUT_OK;
}

// A text, a list of ids, or a list of either.
static tapeout_status read_prompts(const serve_exchange *exchange, yyjson_val *prompt, llm_ask *ask,
                                   prompt_list *list, tapeout_error *err)
{
    const bool is_list = yyjson_is_arr(prompt) && yyjson_arr_size(prompt) > 0 &&
                         !yyjson_is_int(yyjson_arr_get_first(prompt));
    const size_t count = is_list ? yyjson_arr_size(prompt) : 1;
    const uint32_t each = ask->generation.choice_count == 0 ? 1 : ask->generation.choice_count;
    if (count > TP_MAX_LLM_CHOICES / each) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "prompt: %zu prompts with %u answers each; at most %u answers a request",
                       count, each, TP_MAX_LLM_CHOICES);
    }
    list->prompts = tp_alloc_array_zero(list->alloc, count, sizeof(*list->prompts));
    list->capacity = count;
    if (list->prompts == NULL) {
        return tp_fail_nomem(err);
    }
    ask->prompts = list->prompts;
    if (!is_list) {
        return add_prompt(exchange, prompt, ask, list, err);
    }
    yyjson_val *item = NULL;
    size_t index = 0;
    size_t size = 0;
    yyjson_arr_foreach(prompt, index, size, item)
    {
        TP_TRY(add_prompt(exchange, item, ask, list, err));
    }
    return TAPEOUT_OK;
}

// As text: ids may be given that break a character off, which JSON cannot hold.
static tapeout_status write_prompt(const serve_exchange *exchange, const llm_ask *ask,
                                   const llm_prompt *prompt, tp_buffer *text, tapeout_error *err)
{
    tp_detokenizer detokenizer;
    tp_detokenizer_init(&detokenizer, tp_llm_tokenizer(tp_llm_host_model(exchange->model->llm)),
                        false);
    for (size_t i = prompt->begin; i < prompt->end; i++) {
        TP_TRY(tp_detokenizer_push(&detokenizer, ask->prompt.data[i], text, err));
    }
    tp_detokenizer_flush(&detokenizer, text);
    return tp_buffer_check(text, "prompt", err);
}

static tapeout_status read_echo(const serve_exchange *exchange, yyjson_val *body, llm_ask *ask,
                                prompt_list *list, tapeout_error *err)
{
    bool echoes = false;
    TP_TRY(tp_llm_flag(body, "echo", &echoes, err));
    if (!echoes) {
        return TAPEOUT_OK;
    }
    ask->generation.wants_prompt = ask->generation.wants_logprobs;
    for (size_t i = 0; i < list->capacity; i++) {
        const size_t begin = list->text.size;
        TP_TRY(write_prompt(exchange, ask, &list->prompts[i], &list->text, err));
        list->prompts[i].echo.size = list->text.size - begin;
    }
    const char *at = list->text.data; // it has stopped growing
    for (size_t i = 0; i < list->capacity; i++) {
        list->prompts[i].echo.data = at;
        at += list->prompts[i].echo.size;
    }
    return TAPEOUT_OK;
}

static tapeout_status read_logprobs(yyjson_val *body, tp_generation_request *request,
                                    tapeout_error *err)
{
    uint32_t count = UINT32_MAX;
    TP_TRY(tp_llm_count(body, "logprobs", (llm_range){0, 20}, &count, err));
    request->wants_logprobs = count != UINT32_MAX;
    request->top_logprobs = request->wants_logprobs ? count : 0;
    return TAPEOUT_OK;
}

static tapeout_status ask_completion(serve_exchange *exchange, yyjson_val *body, llm_params *params,
                                     llm_ask *ask, tapeout_error *err)
{
    yyjson_val *suffix = yyjson_obj_get(body, "suffix");
    uint32_t best_of = 1;
    ask->generation.max_tokens = DEFAULT_MAX_TOKENS;
    TP_TRY(tp_llm_params_read(exchange, body, params, ask, err));
    TP_TRY(tp_llm_count(body, "best_of", (llm_range){1, 1}, &best_of, err));
    if (suffix != NULL && !yyjson_is_null(suffix)) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED, "suffix is not understood");
    }
    TP_TRY(read_logprobs(body, &ask->generation, err));
    TP_TRY(tp_llm_format_read(exchange, yyjson_obj_get(body, "response_format"),
                              &ask->generation.grammar, err));
    prompt_list list = {.alloc = exchange->state->env->alloc};
    tp_buffer_init(&list.text, list.alloc, TP_MAX_HTTP_REPLY_BYTES);
    tapeout_status status = read_prompts(exchange, yyjson_obj_get(body, "prompt"), ask, &list, err);
    if (status == TAPEOUT_OK) {
        status = read_echo(exchange, body, ask, &list, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_llm_answer_start(exchange, &completion_dialect, "cmpl-", ask, (tp_str){NULL, 0},
                                     err);
    }
    prompts_deinit(&list);
    ask->prompts = NULL;
    return status;
}

tapeout_status tp_serve_completions(serve_exchange *exchange, tapeout_error *err)
{
    return tp_llm_ask_with(exchange, ask_completion, err);
}
