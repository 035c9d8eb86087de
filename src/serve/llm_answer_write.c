// SPDX-License-Identifier: Apache-2.0
//
// What dialects say alike of an answer: how it ended, what it cost, and its tokens as text and as
// bytes.
#include "serve/llm_answer.h"

#include "base/limits.h"
#include "table/tp_json.h"

const char *tp_llm_finish_name(const llm_choice *choice)
{
    if (choice->end.finish == TP_FINISH_LENGTH) {
        return "length";
    }
    return choice->call_count > 0 ? "tool_calls" : "stop";
}

llm_usage tp_llm_usage(const llm_answer *answer)
{
    llm_usage usage = {0};
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        const tp_generation_event *end = &answer->choices[i].end;
        if (answer->choices[i].part->first_choice == i) {
            usage.prompt_count += end->prompt_count;
            usage.cached_count += end->cached_count;
        }
        usage.generated_count += end->generated_count;
    }
    return usage;
}

void tp_llm_usage_write(const llm_answer *answer, tp_buffer *out)
{
    const llm_usage usage = tp_llm_usage(answer);
    tp_buffer_printf(out,
                     "{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u,"
                     "\"prompt_tokens_details\":{\"cached_tokens\":%u},"
                     "\"completion_tokens_details\":{\"reasoning_tokens\":0}}",
                     usage.prompt_count, usage.generated_count,
                     usage.prompt_count + usage.generated_count, usage.cached_count);
}

void tp_llm_head_write(const llm_answer *answer, const char *object, tp_buffer *out)
{
    tp_buffer_append_text(out, "\"id\":");
    tp_json_append_str(out, tp_buffer_view(&answer->id));
    tp_buffer_printf(out, ",\"object\":\"%s\",\"created\":%lld,\"model\":", object,
                     (long long)answer->created_s);
    tp_json_append_str(out, answer->model->name);
    tp_buffer_printf(out, ",\"system_fingerprint\":\"fp_%.10s\"", answer->model->sha256);
}

static const tp_tokenizer *tokenizer_of(const llm_answer *answer)
{
    return tp_llm_tokenizer(tp_llm_host_model(answer->model->llm));
}

// A piece may be a part of a character: what is broken shows as U+FFFD, the bytes tell the rest.
void tp_llm_token_write(const llm_answer *answer, uint32_t id, tp_buffer *out)
{
    const tp_tokenizer *tokenizer = tokenizer_of(answer);
    tp_detokenizer detokenizer;
    tp_buffer text;
    tp_buffer_init(&text, answer->env->alloc, TP_MAX_TOKEN_BYTES * 4);
    tp_detokenizer_init(&detokenizer, tokenizer, true);
    tp_detokenizer_continue(&detokenizer);
    // The id is the model's own; without memory the text stays empty and the buffer says so.
    (void)tp_detokenizer_push(&detokenizer, id, &text, NULL);
    tp_detokenizer_flush(&detokenizer, &text);
    tp_json_append_str(out, tp_buffer_view(&text));
    tp_buffer_deinit(&text);
}

void tp_llm_token_bytes_write(const llm_answer *answer, uint32_t id, tp_buffer *out)
{
    const tp_str piece = tp_tokenizer_special_text(tokenizer_of(answer), id);
    tp_buffer_append_char(out, '[');
    for (size_t i = 0; i < piece.size; i++) {
        tp_buffer_printf(out, i == 0 ? "%u" : ",%u", (unsigned)(unsigned char)piece.data[i]);
    }
    tp_buffer_append_char(out, ']');
}

size_t tp_llm_token_size(const llm_answer *answer, uint32_t id)
{
    return tp_tokenizer_piece(tokenizer_of(answer), id).size;
}

bool tp_llm_token_is_end(const llm_answer *answer, uint32_t id)
{
    return tp_tokenizer_is_eog(tokenizer_of(answer), id);
}
