// SPDX-License-Identifier: Apache-2.0
//
// What OpenAI's chats and completions say alike: how a piece, a stream and a whole reply end.
#include "serve/llm_answer.h"

#include "table/tp_json.h"

// -- a stream ------------------------------------------------------------------------------------
void tp_openai_piece_end(const llm_answer *answer, const char *finish, tp_buffer *out)
{
    if (finish == NULL) {
        tp_buffer_append_text(out, ",\"finish_reason\":null}]");
    } else {
        tp_buffer_printf(out, ",\"finish_reason\":\"%s\"}]", finish);
    }
    tp_buffer_append_text(out, answer->wants_usage ? ",\"usage\":null}\n\n" : "}\n\n");
}

void tp_openai_stream_end(const llm_answer *answer, const char *object, tp_buffer *out)
{
    if (answer->wants_usage) {
        tp_buffer_append_text(out, "data: {");
        tp_llm_head_write(answer, object, out);
        tp_buffer_append_text(out, ",\"choices\":[],\"usage\":");
        tp_llm_usage_write(answer, out);
        tp_buffer_append_text(out, "}\n\n");
    }
    tp_buffer_append_text(out, "data: [DONE]\n\n");
}

void tp_openai_stream_failure(llm_answer *answer, const tapeout_error *error, tp_buffer *out)
{
    (void)answer;
    tp_buffer_append_text(out, "data: {\"error\":{\"message\":");
    tp_json_append_str(out, tp_str_from(error->message));
    tp_buffer_append_text(out, ",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n");
}

// -- the whole -----------------------------------------------------------------------------------
void tp_openai_whole(const llm_answer *answer, const char *object,
                     openai_write_choice *write_choice, tp_buffer *out)
{
    tp_buffer_append_char(out, '{');
    tp_llm_head_write(answer, object, out);
    tp_buffer_append_text(out, ",\"choices\":[");
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        llm_choice *choice = &answer->choices[i];
        tp_buffer_printf(out, i == 0 ? "{\"index\":%u" : ",{\"index\":%u", i);
        write_choice(choice, out);
        tp_buffer_printf(out, ",\"finish_reason\":\"%s\"}", tp_llm_finish_name(choice));
    }
    tp_buffer_append_text(out, "],\"usage\":");
    tp_llm_usage_write(answer, out);
    tp_buffer_append_char(out, '}');
}
