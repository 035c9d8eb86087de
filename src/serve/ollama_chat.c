// SPDX-License-Identifier: Apache-2.0
//
// Ollama's /api/chat and /api/generate, so that its clients work: lines of JSON where OpenAI has
// events, arguments of tools as objects, times in nanoseconds. Both stream unless told not to, and
// differ in where the text stands. Their requests are read in ollama_ask.c, other routes of Ollama
// stand in ollama_models.c.
#include "serve/llm_answer.h"

#include "base/limits.h"
#include "base/tp_clock.h"
#include "serve/ollama.h"
#include "table/tp_json.h"

// -- lines ---------------------------------------------------------------------------------------
static void line_begin(const llm_answer *answer, tp_buffer *out)
{
    tp_buffer_append_text(out, "{\"model\":");
    tp_json_append_str(out, tp_buffer_view(&answer->request_echo));
    tp_buffer_append_text(out, ",\"created_at\":");
    tp_ollama_time_write(tp_clock_unix_us(), out);
}

static void write_logprobs(llm_choice *choice, tp_buffer *out)
{
    if (choice->logprobs.size > 0) {
        tp_buffer_append_text(out, ",\"logprobs\":[");
        tp_buffer_append_str(out, tp_buffer_view(&choice->logprobs));
        tp_buffer_append_char(out, ']');
        tp_buffer_clear(&choice->logprobs);
    }
}

// A call that was cut off is none: its arguments are no JSON.
static bool write_call(const llm_call *call, bool is_first, tp_buffer *out)
{
    yyjson_doc *doc = NULL;
    const tapeout_status status =
        tp_json_parse(out->alloc, tp_buffer_view(&call->arguments), "arguments", &doc, NULL);
    if (status != TAPEOUT_OK) {
        out->status = status == TAPEOUT_E_NOMEM ? status : out->status;
        return false;
    }
    const bool is_object = yyjson_is_obj(yyjson_doc_get_root(doc));
    if (is_object) {
        tp_buffer_append_text(out, is_first ? ",\"tool_calls\":[" : ",");
        tp_buffer_append_text(out, "{\"function\":{\"name\":");
        tp_json_append_str(out, tp_buffer_view(&call->name));
        tp_buffer_append_text(out, ",\"arguments\":");
        tp_json_append_value(out, yyjson_doc_get_root(doc));
        tp_buffer_append_text(out, "}}");
    }
    yyjson_doc_free(doc);
    return is_object;
}

static void write_calls(const llm_choice *choice, tp_buffer *out)
{
    bool is_first = true;
    for (uint32_t i = 0; i < choice->call_count; i++) {
        is_first = !write_call(&choice->calls[i], is_first, out) && is_first;
    }
    tp_buffer_append_text(out, is_first ? "" : "]");
}

// What is said of an answer: a message, or the text alone.
typedef struct said {
    tp_str content;
    tp_str thinking;
    bool has_calls;
} said;

static void write_said(const llm_choice *choice, const said *what, tp_buffer *out)
{
    const bool is_chat = choice->answer->dialect == &tp_ollama_chat_dialect;
    tp_buffer_append_text(out, is_chat ? ",\"message\":{\"role\":\"assistant\",\"content\":"
                                       : ",\"response\":");
    tp_json_append_str(out, what->content.data == NULL ? (tp_str){"", 0} : what->content);
    if (what->thinking.size > 0) {
        tp_buffer_append_text(out, ",\"thinking\":");
        tp_json_append_str(out, what->thinking);
    }
    if (what->has_calls) {
        write_calls(choice, out);
    }
    tp_buffer_append_text(out, is_chat ? "}" : "");
}

static void write_end(const llm_choice *choice, tp_buffer *out)
{
    const tp_generation_event *end = &choice->end;
    tp_buffer_printf(out,
                     ",\"done\":true,\"done_reason\":\"%s\",\"total_duration\":%llu,"
                     "\"load_duration\":0,\"prompt_eval_count\":%u,\"prompt_eval_duration\":%llu,"
                     "\"eval_count\":%u,\"eval_duration\":%llu}",
                     end->finish == TP_FINISH_LENGTH ? "length" : "stop",
                     (unsigned long long)(tp_clock_monotonic_ns() - choice->answer->begin_ns),
                     end->prompt_count, (unsigned long long)end->prefill_ns, end->generated_count,
                     (unsigned long long)end->decode_ns);
}

static void write_line(llm_choice *choice, const said *what, tp_buffer *out)
{
    line_begin(choice->answer, out);
    write_said(choice, what, out);
    write_logprobs(choice, out);
    tp_buffer_append_text(out, ",\"done\":false}\n");
}

// Calls are told at once, when they are whole.
static void on_delta(llm_choice *choice, const tp_tool_delta *delta, tp_buffer *out)
{
    const said what = {.content = delta->kind == TP_DELTA_CONTENT ? delta->text : TP_STR(""),
                       .thinking = delta->kind == TP_DELTA_REASONING ? delta->text : TP_STR("")};
    if (delta->kind == TP_DELTA_CONTENT || delta->kind == TP_DELTA_REASONING) {
        write_line(choice, &what, out);
    }
}

static void on_choice_end(llm_choice *choice, tp_buffer *out)
{
    if (choice->call_count > 0) {
        write_line(choice, &(said){.has_calls = true}, out);
    }
}

static void on_end(llm_answer *answer, tp_buffer *out)
{
    llm_choice *choice = &answer->choices[0];
    line_begin(answer, out);
    write_said(choice, &(said){{NULL, 0}, {NULL, 0}, false}, out);
    write_logprobs(choice, out);
    write_end(choice, out);
    tp_buffer_append_char(out, '\n');
}

static void on_failure(llm_answer *answer, const tapeout_error *error, tp_buffer *out)
{
    (void)answer;
    tp_buffer_append_text(out, "{\"error\":");
    tp_json_append_str(out, tp_str_from(error->message));
    tp_buffer_append_text(out, "}\n");
}

static void on_whole(llm_answer *answer, tp_buffer *out)
{
    llm_choice *choice = &answer->choices[0];
    const said what = {tp_buffer_view(&choice->content), tp_buffer_view(&choice->reasoning),
                       choice->call_count > 0};
    line_begin(answer, out);
    write_said(choice, &what, out);
    write_logprobs(choice, out);
    write_end(choice, out);
}

const llm_dialect tp_ollama_chat_dialect = {.stream_type = "application/x-ndjson",
                                            .delta = on_delta,
                                            .logprob = tp_openai_logprob,
                                            .choice_end = on_choice_end,
                                            .end = on_end,
                                            .failure = on_failure,
                                            .whole = on_whole};
const llm_dialect tp_ollama_generate_dialect = {.stream_type = "application/x-ndjson",
                                                .delta = on_delta,
                                                .logprob = tp_openai_logprob,
                                                .choice_end = on_choice_end,
                                                .end = on_end,
                                                .failure = on_failure,
                                                .whole = on_whole};
