// SPDX-License-Identifier: Apache-2.0
//
// A model's parts put together, and conversations made into tokens.
#include "llm/host/tp_llm_host.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "llm/gguf/tp_gguf.h"

#include <string.h>

enum { TAIL_BYTES = 64 };

struct tp_llm_host {
    tp_env env;
    tp_llm *llm;
    const tp_tokenizer *tokenizer;
    tp_template *chat_template; // NULL: none
    tp_tool_format tool_format;
    tp_scheduler *scheduler;
};

tapeout_status tp_llm_template_of(const tp_env *env, const tp_gguf *metadata,
                                  tp_template **ret_template, tapeout_error *err)
{
    static const char key[] = "tokenizer.chat_template";
    tp_str source = {NULL, 0};
    if (tp_gguf_has(metadata, key)) {
        TP_TRY(tp_gguf_get_str(metadata, key, &source, err));
    }
    if (source.size == 0) {
        *ret_template = NULL;
        return TAPEOUT_OK;
    }
    const tapeout_status status = tp_template_new(env, source, ret_template, err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "chat template");
    }
    return status;
}

static tapeout_status template_open(tp_llm_host *host, tapeout_error *err)
{
    const tp_gguf *metadata = tp_llm_metadata(host->llm);
    TP_TRY(tp_llm_template_of(&host->env, metadata, &host->chat_template, err));
    if (host->chat_template != NULL) {
        host->tool_format = tp_tool_format_of(tp_template_source(host->chat_template));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_llm_host_new(const tp_env *env, tp_llm *llm, const tp_scheduler_options *options,
                               tp_llm_host **ret_host, tapeout_error *err)
{
    tp_llm_host *host = tp_alloc_zero(env->alloc, sizeof(*host));
    if (host == NULL) {
        tp_llm_free(llm);
        return tp_fail_nomem(err);
    }
    host->env = *env;
    host->env.pool = NULL; // a request's own work is small, and others run beside it
    host->llm = llm;
    host->tokenizer = tp_llm_tokenizer(llm);
    tapeout_status status = template_open(host, err);
    if (status == TAPEOUT_OK) {
        status = tp_scheduler_new(&host->env, llm, options, &host->scheduler, err);
    }
    if (status != TAPEOUT_OK) {
        tp_llm_host_free(host);
        return status;
    }
    *ret_host = host;
    return TAPEOUT_OK;
}

void tp_llm_host_free(tp_llm_host *host)
{
    if (host == NULL) {
        return;
    }
    tp_scheduler_free(host->scheduler);
    tp_template_free(host->chat_template);
    tp_llm_free(host->llm);
    tp_free(host->env.alloc, host, sizeof(*host));
}

const tp_llm *tp_llm_host_model(const tp_llm_host *host)
{
    return host->llm;
}

tp_scheduler *tp_llm_host_scheduler(const tp_llm_host *host)
{
    return host->scheduler;
}

bool tp_llm_host_has_template(const tp_llm_host *host)
{
    return host->chat_template != NULL;
}

tp_str tp_llm_host_template_text(const tp_llm_host *host)
{
    return host->chat_template == NULL ? (tp_str){NULL, 0}
                                       : tp_template_source(host->chat_template);
}

tp_tool_format tp_llm_host_tool_format(const tp_llm_host *host)
{
    return host->tool_format;
}

static tp_str special_text(const tp_llm_host *host, int64_t id)
{
    return id < 0 ? (tp_str){"", 0} : tp_tokenizer_special_text(host->tokenizer, (uint32_t)id);
}

// -- from messages to tokens ---------------------------------------------------------------------
// An answer to be gone on with ends where its content ends, not where the template closes the turn.
static size_t continued_end(const tp_rendered *rendered)
{
    size_t end = rendered->text.size;
    for (size_t i = rendered->run_count; i-- > 0;) {
        if (!rendered->runs[i].is_trusted) {
            return rendered->runs[i].end;
        }
        end = rendered->runs[i].begin;
    }
    return end;
}

static void keep_tail(const tp_str text, tp_buffer *ret_tail)
{
    const size_t size = text.size < TAIL_BYTES ? text.size : TAIL_BYTES;
    tp_buffer_append(ret_tail, text.data + (text.size - size), size);
}

// The template writes the begin-of-text token itself, or the tokenizer adds it: never both.
static uint32_t encode_flags(const tp_llm_host *host, tp_str text)
{
    const tp_str bos = special_text(host, tp_tokenizer_bos(host->tokenizer));
    const bool has_bos = bos.size > 0 && tp_str_has_prefix(text, bos);
    return TP_TOKENIZE_SPECIAL | (has_bos ? 0u : (uint32_t)TP_TOKENIZE_ADD);
}

static tapeout_status encode(const tp_llm_host *host, const tp_rendered *rendered, size_t end,
                             tp_ids *ids, tapeout_error *err)
{
    const tapeout_allocator *alloc = host->env.alloc;
    tp_text_run *runs = tp_alloc_array(alloc, rendered->run_count, sizeof(*runs));
    size_t count = 0;
    if (runs == NULL && rendered->run_count > 0) {
        return tp_fail_nomem(err);
    }
    for (; count < rendered->run_count && rendered->runs[count].begin < end; count++) {
        const tp_template_run *run = &rendered->runs[count];
        const size_t run_end = run->end < end ? run->end : end;
        runs[count] = (tp_text_run){{rendered->text.data + run->begin, run_end - run->begin},
                                    run->is_trusted};
    }
    const tp_str text = {rendered->text.data, end};
    const tapeout_status status =
        tp_tokenizer_encode_runs(host->tokenizer, runs, count, encode_flags(host, text), ids, err);
    tp_free_array(alloc, runs, rendered->run_count, sizeof(*runs));
    return status;
}

tapeout_status tp_llm_host_chat_ids(const tp_llm_host *host, const tp_chat_input *input,
                                    tp_ids *ids, tp_buffer *ret_tail, tapeout_error *err)
{
    if (host->chat_template == NULL) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "this model has no chat template; give it a raw prompt (completions, or "
                       "generate --raw)");
    }
    const tp_template_input values = {
        .messages = input->messages,
        .tools = input->tools,
        .extra = input->extra,
        .bos_token = special_text(host, tp_tokenizer_bos(host->tokenizer)),
        .eos_token = special_text(host, tp_tokenizer_eos(host->tokenizer)),
        .add_generation_prompt = !input->continues_last,
        .now_s = tp_clock_unix_us() / 1000000};
    tp_rendered rendered;
    TP_TRY(tp_template_render(host->chat_template, &values, &rendered, err));
    const size_t end = input->continues_last ? continued_end(&rendered) : rendered.text.size;
    const tapeout_status status = encode(host, &rendered, end, ids, err);
    if (status == TAPEOUT_OK && ret_tail != NULL) {
        keep_tail((tp_str){rendered.text.data, end}, ret_tail);
    }
    tp_rendered_deinit(&rendered);
    return status;
}
