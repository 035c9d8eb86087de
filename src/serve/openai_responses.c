// SPDX-License-Identifier: Apache-2.0
//
// POST /v1/responses, the reply: OpenAI's newer protocol, whole or as numbered events. An answer is
// a list of items (reasoning, message, function call); in a stream one item is open at a time, and
// what has been said of it is said again when it closes. The request is read in
// openai_responses_ask.c.
#include "serve/llm_answer.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

typedef enum item_kind { ITEM_NONE, ITEM_REASONING, ITEM_MESSAGE, ITEM_CALL } item_kind;

// What the choice's `dialect` numbers mean here.
enum {
    OPEN_KIND,  // item_kind of the item that is open
    OPEN_BEGIN, // where its text begins in the choice's content or reasoning; of a call, its number
    ITEM_COUNT, // items that have begun
};

static item_kind open_kind(const llm_choice *choice)
{
    return (item_kind)choice->dialect[OPEN_KIND];
}

static uint64_t open_index(const llm_choice *choice)
{
    return choice->dialect[ITEM_COUNT] - 1;
}

static bool is_cut(const llm_choice *choice)
{
    return choice->is_ended && choice->end.finish == TP_FINISH_LENGTH;
}

// -- items ---------------------------------------------------------------------------------------
static void write_id(const llm_answer *answer, item_kind kind, uint64_t index, tp_buffer *out)
{
    static const char *const prefixes[] = {"", "rs", "msg", "fc"};
    const tp_str id = tp_buffer_view(&answer->id); // "resp_..."
    tp_buffer_printf(out, "\"%s_%.*s_%llu\"", prefixes[kind], (int)(id.size - 5), id.data + 5,
                     (unsigned long long)index);
}

static void write_part(item_kind kind, tp_str text, tp_buffer *out)
{
    const bool is_message = kind == ITEM_MESSAGE;
    tp_buffer_append_text(out, is_message ? "{\"type\":\"output_text\",\"text\":"
                                          : "{\"type\":\"reasoning_text\",\"text\":");
    tp_json_append_str(out, text);
    tp_buffer_append_text(out, is_message ? ",\"annotations\":[],\"logprobs\":[]}" : "}");
}

// An item of text; before it is done it has no part yet.
typedef struct text_item {
    item_kind kind;
    uint64_t index;
    tp_str text; // {NULL, 0}: none yet
    const char *status;
} text_item;

static void write_text_item(const llm_answer *answer, const text_item *item, tp_buffer *out)
{
    tp_buffer_append_text(out, "{\"id\":");
    write_id(answer, item->kind, item->index, out);
    tp_buffer_append_text(out, item->kind == ITEM_MESSAGE
                                   ? ",\"type\":\"message\",\"role\":\"assistant\",\"content\":["
                                   : ",\"type\":\"reasoning\",\"summary\":[],\"content\":[");
    if (item->text.data != NULL) {
        write_part(item->kind, item->text, out);
    }
    tp_buffer_printf(out, "],\"status\":\"%s\"}", item->status);
}

static void write_call_item(const llm_answer *answer, uint64_t index, const llm_call *call,
                            bool is_done, tp_buffer *out)
{
    tp_buffer_append_text(out, "{\"id\":");
    write_id(answer, ITEM_CALL, index, out);
    tp_buffer_append_text(out, ",\"type\":\"function_call\",\"call_id\":");
    tp_json_append_str(out, tp_buffer_view(&call->id));
    tp_buffer_append_text(out, ",\"name\":");
    tp_json_append_str(out, tp_buffer_view(&call->name));
    tp_buffer_append_text(out, ",\"arguments\":");
    tp_json_append_str(out, is_done ? tp_buffer_view(&call->arguments) : (tp_str){"", 0});
    tp_buffer_printf(out, ",\"status\":\"%s\"}", is_done ? "completed" : "in_progress");
}

// The text of the open item so far.
static tp_str open_text(const llm_choice *choice)
{
    const tp_buffer *all =
        open_kind(choice) == ITEM_MESSAGE ? &choice->content : &choice->reasoning;
    const size_t begin = (size_t)choice->dialect[OPEN_BEGIN];
    return all->size == 0 ? (tp_str){"", 0} : (tp_str){all->data + begin, all->size - begin};
}

static const llm_call *open_call(const llm_choice *choice)
{
    return &choice->calls[choice->dialect[OPEN_BEGIN]];
}

static void write_open_item(const llm_choice *choice, bool is_done, tp_buffer *out)
{
    const llm_answer *answer = choice->answer;
    if (open_kind(choice) == ITEM_CALL) {
        write_call_item(answer, open_index(choice), open_call(choice), is_done, out);
        return;
    }
    const char *status = is_cut(choice) ? "incomplete" : "completed";
    const text_item item = {open_kind(choice), open_index(choice),
                            is_done ? open_text(choice) : (tp_str){NULL, 0},
                            is_done ? status : "in_progress"};
    write_text_item(answer, &item, out);
}

// -- events --------------------------------------------------------------------------------------
static void event_begin(llm_answer *answer, const char *type, tp_buffer *out)
{
    tp_buffer_printf(out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%llu", type, type,
                     (unsigned long long)answer->sequence++);
}

static void event_end(tp_buffer *out)
{
    tp_buffer_append_text(out, "}\n\n");
}

// An event about the open item: its place, and for what is inside it also its id.
static void item_event_begin(const llm_choice *choice, const char *type, bool is_inside,
                             tp_buffer *out)
{
    event_begin(choice->answer, type, out);
    tp_buffer_printf(out, ",\"output_index\":%llu", (unsigned long long)open_index(choice));
    if (is_inside) {
        tp_buffer_append_text(out, ",\"item_id\":");
        write_id(choice->answer, open_kind(choice), open_index(choice), out);
        if (open_kind(choice) != ITEM_CALL) {
            tp_buffer_append_text(out, ",\"content_index\":0");
        }
    }
}

static void item_open(llm_choice *choice, item_kind kind, uint64_t begin, tp_buffer *out)
{
    choice->dialect[OPEN_KIND] = kind;
    choice->dialect[OPEN_BEGIN] = begin;
    choice->dialect[ITEM_COUNT]++;
    item_event_begin(choice, "response.output_item.added", false, out);
    tp_buffer_append_text(out, ",\"item\":");
    write_open_item(choice, false, out);
    event_end(out);
    if (kind == ITEM_MESSAGE) {
        item_event_begin(choice, "response.content_part.added", true, out);
        tp_buffer_append_text(out, ",\"part\":");
        write_part(kind, (tp_str){"", 0}, out);
        event_end(out);
    }
}

static void say_text_done(const llm_choice *choice, tp_buffer *out)
{
    const bool is_message = open_kind(choice) == ITEM_MESSAGE;
    item_event_begin(choice,
                     is_message ? "response.output_text.done" : "response.reasoning_text.done",
                     true, out);
    tp_buffer_append_text(out, ",\"text\":");
    tp_json_append_str(out, open_text(choice));
    tp_buffer_append_text(out, is_message ? ",\"logprobs\":[]" : "");
    event_end(out);
    if (is_message) {
        item_event_begin(choice, "response.content_part.done", true, out);
        tp_buffer_append_text(out, ",\"part\":");
        write_part(ITEM_MESSAGE, open_text(choice), out);
        event_end(out);
    }
}

static void say_call_done(const llm_choice *choice, tp_buffer *out)
{
    const llm_call *call = open_call(choice);
    item_event_begin(choice, "response.function_call_arguments.done", true, out);
    tp_buffer_append_text(out, ",\"name\":");
    tp_json_append_str(out, tp_buffer_view(&call->name));
    tp_buffer_append_text(out, ",\"arguments\":");
    tp_json_append_str(out, tp_buffer_view(&call->arguments));
    event_end(out);
}

// Closes what is open and keeps it for the list at the end.
static void item_close(llm_choice *choice, tp_buffer *out)
{
    if (open_kind(choice) == ITEM_NONE) {
        return;
    }
    if (open_kind(choice) == ITEM_CALL) {
        say_call_done(choice, out);
    } else {
        say_text_done(choice, out);
    }
    item_event_begin(choice, "response.output_item.done", false, out);
    tp_buffer_append_text(out, ",\"item\":");
    write_open_item(choice, true, out);
    event_end(out);
    tp_buffer_append_text(&choice->items, choice->items.size == 0 ? "" : ",");
    write_open_item(choice, true, &choice->items);
    choice->dialect[OPEN_KIND] = ITEM_NONE;
}

static item_kind kind_of(const tp_tool_delta *delta)
{
    switch (delta->kind) {
    case TP_DELTA_CONTENT:
        return ITEM_MESSAGE;
    case TP_DELTA_REASONING:
        return ITEM_REASONING;
    case TP_DELTA_CALL:
    case TP_DELTA_ARGUMENTS:
        break;
    }
    return ITEM_CALL;
}

// The delta has been kept already: it stands at the end of the choice's text.
static void on_delta(llm_choice *choice, const tp_tool_delta *delta, tp_buffer *out)
{
    static const char *const types[] = {"", "response.reasoning_text.delta",
                                        "response.output_text.delta",
                                        "response.function_call_arguments.delta"};
    const item_kind kind = kind_of(delta);
    if (delta->kind == TP_DELTA_CALL || open_kind(choice) != kind) {
        const tp_buffer *all = kind == ITEM_MESSAGE ? &choice->content : &choice->reasoning;
        if (open_kind(choice) != ITEM_NONE) {
            item_close(choice, out);
        }
        item_open(choice, kind, kind == ITEM_CALL ? delta->index : all->size - delta->text.size,
                  out);
    }
    if (delta->kind == TP_DELTA_CALL) {
        return;
    }
    item_event_begin(choice, types[kind], true, out);
    tp_buffer_append_text(out, ",\"delta\":");
    tp_json_append_str(out, delta->text);
    tp_buffer_append_text(out, kind == ITEM_MESSAGE ? ",\"logprobs\":[]" : "");
    event_end(out);
}

// -- the response --------------------------------------------------------------------------------
static void write_usage(const llm_answer *answer, tp_buffer *out)
{
    const llm_usage usage = tp_llm_usage(answer);
    tp_buffer_printf(out,
                     ",\"usage\":{\"input_tokens\":%u,\"input_tokens_details\":{\"cached_tokens\":"
                     "%u,\"cache_write_tokens\":0},\"output_tokens\":%u,"
                     "\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":%u}",
                     usage.prompt_count, usage.cached_count, usage.generated_count,
                     usage.prompt_count + usage.generated_count);
}

static void response_begin(const llm_answer *answer, const char *status, tp_buffer *out)
{
    tp_buffer_append_text(out, "{\"id\":");
    tp_json_append_str(out, tp_buffer_view(&answer->id));
    tp_buffer_printf(out,
                     ",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\",\"model\":",
                     (long long)answer->created_s, status);
    tp_json_append_str(out, answer->model->name);
    tp_buffer_append_char(out, ',');
    tp_buffer_append_str(out, tp_buffer_view(&answer->request_echo));
}

static void response_end(const llm_answer *answer, tp_buffer *out)
{
    const llm_choice *choice = &answer->choices[0];
    response_begin(answer, is_cut(choice) ? "incomplete" : "completed", out);
    tp_buffer_append_text(out, is_cut(choice) ? ",\"incomplete_details\":{\"reason\":"
                                                "\"max_output_tokens\"}"
                                              : ",\"incomplete_details\":null");
    tp_buffer_append_text(out, ",\"error\":null,\"output\":[");
    tp_buffer_append_str(out, tp_buffer_view(&choice->items));
    tp_buffer_append_char(out, ']');
    write_usage(answer, out);
    tp_buffer_append_char(out, '}');
}

static void on_begin(llm_answer *answer, tp_buffer *out)
{
    static const char *const types[] = {"response.created", "response.in_progress"};
    for (size_t i = 0; i < 2; i++) {
        event_begin(answer, types[i], out);
        tp_buffer_append_text(out, ",\"response\":");
        response_begin(answer, "in_progress", out);
        tp_buffer_append_text(out, ",\"incomplete_details\":null,\"error\":null,\"output\":[],"
                                   "\"usage\":null}");
        event_end(out);
    }
}

// An answer without a word is an empty message.
static void on_choice_end(llm_choice *choice, tp_buffer *out)
{
    if (choice->dialect[ITEM_COUNT] == 0) {
        item_open(choice, ITEM_MESSAGE, 0, out);
    }
    item_close(choice, out);
    if (choice->items.status != TAPEOUT_OK) {
        out->status = choice->items.status;
    }
}

static void on_end(llm_answer *answer, tp_buffer *out)
{
    event_begin(answer, is_cut(&answer->choices[0]) ? "response.incomplete" : "response.completed",
                out);
    tp_buffer_append_text(out, ",\"response\":");
    response_end(answer, out);
    event_end(out);
}

static void on_failure(llm_answer *answer, const tapeout_error *error, tp_buffer *out)
{
    event_begin(answer, "response.failed", out);
    tp_buffer_append_text(out, ",\"response\":");
    response_begin(answer, "failed", out);
    tp_buffer_append_text(out, ",\"incomplete_details\":null,\"error\":{\"code\":\"server_error\","
                               "\"message\":");
    tp_json_append_str(out, tp_str_from(error->message));
    tp_buffer_append_text(out, "},\"output\":[],\"usage\":null}");
    event_end(out);
}

// Reasoning, then the message, then calls.
static void collect_items(llm_choice *choice)
{
    const llm_answer *answer = choice->answer;
    tp_buffer *out = &choice->items;
    const char *status = is_cut(choice) ? "incomplete" : "completed";
    uint64_t index = 0;
    if (choice->reasoning.size > 0) {
        const text_item item = {ITEM_REASONING, index++, tp_buffer_view(&choice->reasoning),
                                "completed"};
        write_text_item(answer, &item, out);
    }
    if (choice->content.size > 0 || (choice->call_count == 0 && index == 0)) {
        const tp_str content = tp_buffer_view(&choice->content);
        tp_buffer_append_text(out, index == 0 ? "" : ",");
        const text_item item = {ITEM_MESSAGE, index++,
                                content.size == 0 ? (tp_str){"", 0} : content, status};
        write_text_item(answer, &item, out);
    }
    for (uint32_t i = 0; i < choice->call_count; i++) {
        tp_buffer_append_text(out, index == 0 ? "" : ",");
        write_call_item(answer, index++, &choice->calls[i], true, out);
    }
}

static void on_whole(llm_answer *answer, tp_buffer *out)
{
    llm_choice *choice = &answer->choices[0];
    collect_items(choice);
    response_end(answer, out);
    out->status = choice->items.status != TAPEOUT_OK ? choice->items.status : out->status;
}

const llm_dialect tp_openai_responses_dialect = {.stream_type = "text/event-stream",
                                                 .begin = on_begin,
                                                 .delta = on_delta,
                                                 .choice_end = on_choice_end,
                                                 .end = on_end,
                                                 .failure = on_failure,
                                                 .whole = on_whole};
