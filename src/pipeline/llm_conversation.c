// SPDX-License-Identifier: Apache-2.0
//
// tapeout_chat_*: a conversation as the JSON of its messages. Every turn renders all of it; what it
// has in common with the turn before is found in the cache.
#include "pipeline/llm_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

#include <string.h>

struct tapeout_chat {
    tapeout_context *context;
    tapeout_llm *llm;
    tp_buffer messages; // "[{...},{...}" without the closing bracket
    size_t system_size; // of it, up to the end of the system's message
};

static void append_message(tp_buffer *messages, const char *role, tp_str content)
{
    tp_buffer_append_text(messages, messages->size > 1 ? ",{\"role\":\"" : "{\"role\":\"");
    tp_buffer_append_text(messages, role);
    tp_buffer_append_text(messages, "\",\"content\":");
    tp_json_append_str(messages, content);
    tp_buffer_append_char(messages, '}');
}

tapeout_status tapeout_chat_new(tapeout_context *context, tapeout_llm *llm, const char *system,
                                tapeout_chat **ret_chat, tapeout_error *err)
{
    const tapeout_allocator *alloc = tp_context_env(context)->alloc;
    if (!tp_llm_host_has_template(llm->host)) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "this model has no chat template, so nobody can talk to it; generate --raw "
                       "goes on with a text");
    }
    tapeout_chat *chat = tp_alloc_zero(alloc, sizeof(*chat));
    if (chat == NULL) {
        return tp_fail_nomem(err);
    }
    chat->context = context;
    chat->llm = llm;
    tp_buffer_init(&chat->messages, alloc, TP_MAX_LLM_REQUEST_BYTES);
    tp_buffer_append_char(&chat->messages, '[');
    chat->system_size = chat->messages.size;
    const tapeout_status status = tapeout_chat_reset(chat, system, err);
    if (status != TAPEOUT_OK) {
        tapeout_chat_free(chat);
        return status;
    }
    *ret_chat = chat;
    return TAPEOUT_OK;
}

void tapeout_chat_free(tapeout_chat *chat)
{
    if (chat != NULL) {
        tp_buffer_deinit(&chat->messages);
        tp_free(tp_context_env(chat->context)->alloc, chat, sizeof(*chat));
    }
}

tapeout_status tapeout_chat_reset(tapeout_chat *chat, const char *system, tapeout_error *err)
{
    chat->messages.size = chat->system_size;
    if (system != NULL) {
        chat->messages.size = 1;
        append_message(&chat->messages, "system", tp_str_from(system));
        chat->system_size = chat->messages.size;
    }
    return tp_buffer_check(&chat->messages, "conversation", err);
}

// The answer's text is in the JSON that the caller gets; it is read from there.
static tapeout_status keep_answer(tapeout_chat *chat, const char *json, tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    TP_TRY(tp_json_parse(tp_context_env(chat->context)->alloc, tp_str_from(json), "answer", &doc,
                         err));
    yyjson_val *text = yyjson_obj_get(yyjson_doc_get_root(doc), "text");
    append_message(&chat->messages, "assistant",
                   (tp_str){yyjson_get_str(text), yyjson_get_len(text)});
    yyjson_doc_free(doc);
    return tp_buffer_check(&chat->messages, "conversation", err);
}

tapeout_status tapeout_chat_say(tapeout_chat *chat, const char *text,
                                const tapeout_generate_options *options, char **ret_json,
                                tapeout_error *err)
{
    const size_t size_before = chat->messages.size;
    tapeout_generate_options asked = *options;
    char *json = NULL;
    append_message(&chat->messages, "user", tp_str_from(text));
    tp_buffer_append(&chat->messages, "]", 2); // with the terminator
    tapeout_status status = tp_buffer_check(&chat->messages, "conversation", err);
    if (status == TAPEOUT_OK) {
        asked.prompt = NULL;
        asked.messages_json = chat->messages.data;
        status = tapeout_llm_generate(chat->context, chat->llm, &asked, &json, err);
    }
    if (status == TAPEOUT_OK) {
        chat->messages.size -= 2;
        status = keep_answer(chat, json, err);
    }
    if (status != TAPEOUT_OK) {
        tapeout_text_free(chat->context, json);
        chat->messages.size = size_before;
        chat->messages.status = TAPEOUT_OK;
        return status;
    }
    *ret_json = json;
    return TAPEOUT_OK;
}
