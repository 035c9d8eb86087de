// SPDX-License-Identifier: Apache-2.0
//
// A request to a language model on its way, whatever protocol it came by. What the scheduler tells
// on its thread becomes deltas (content, reasoning, tool calls); the protocol, a dialect, writes
// them as pieces of a stream or, at the end, as one body.
//
// An answer belongs to the stream of its reply and to the generation; the last of them frees it.
// The model is the exchange's and stays until the stream has ended.
#ifndef LLM_ANSWER_H
#define LLM_ANSWER_H

#include "serve/serve_priv.h"
#include "serve/tp_loop.h"

typedef struct llm_answer llm_answer;
typedef struct llm_choice llm_choice;

typedef struct llm_call {
    tp_buffer id;
    tp_buffer name;
    tp_buffer arguments; // JSON text
} llm_call;

// One prompt of the request, with the generation that goes on with it.
typedef struct llm_part {
    llm_answer *answer;
    uint32_t first_choice;               // of the answer's
    uint32_t first_id;                   // of the prompt
    tp_buffer echo;                      // text put before its answers
    _Atomic(tp_generation *) generation; // NULL until it is submitted
    tp_buffer generation_text;           // for its receipt
} llm_part;

struct llm_choice {
    llm_answer *answer;
    const llm_part *part;
    uint32_t index;
    tp_tool_parser *parser; // NULL: all text is content
    tp_buffer content;
    tp_buffer reasoning;
    tp_buffer logprobs;     // entries of tokens, by the dialect, not yet sent when streaming
    uint32_t logprob_count; // of all tokens so far
    uint32_t text_size;     // bytes of text that tokens gave so far, for offsets
    llm_call calls[TP_MAX_LLM_TOOL_CALLS];
    uint32_t call_count;
    tp_generation_event end; // once it has ended
    bool is_ended;
    tp_ids ids; // for the receipt
    bool has_lost_ids;
    tp_buffer items;     // the dialect's own, empty at first
    uint64_t dialect[4]; // the same, zero
};

// How a protocol writes. All append to `out` and are called on the scheduler's thread.
typedef struct llm_dialect {
    const char *stream_type; // content type of a reply in pieces
    // A stream begins: what comes before any text. May be NULL.
    void (*begin)(llm_answer *answer, tp_buffer *out);
    // Something of a choice, when streaming.
    void (*delta)(llm_choice *choice, const tp_tool_delta *delta, tp_buffer *out);
    // A token and its log-probability, into choice->logprobs. NULL: it has none.
    void (*logprob)(llm_choice *choice, const tp_generation_event *event);
    // A choice has ended; then, when all have, the whole.
    void (*choice_end)(llm_choice *choice, tp_buffer *out);
    void (*end)(llm_answer *answer, tp_buffer *out);
    // Something failed after the stream had begun.
    void (*failure)(llm_answer *answer, const tapeout_error *error, tp_buffer *out);
    // The whole reply of a request that does not stream.
    void (*whole)(llm_answer *answer, tp_buffer *out);
} llm_dialect;

// Where one of several prompts stands in an ask's ids, and what its answers begin with.
typedef struct llm_prompt {
    size_t begin;
    size_t end;
    tp_str echo; // copied by tp_llm_answer_start
} llm_prompt;

// What a handler fills before it hands the answer over.
typedef struct llm_ask {
    tp_generation_request generation;
    tp_ids prompt;
    const llm_prompt *prompts; // [prompt_count]; 0: one, which is all of `prompt`
    uint32_t prompt_count;
    bool streams;
    bool wants_usage;     // an extra piece with the counts
    bool parts_text;      // into content, reasoning and calls; else all of it is content
    bool parses_calls;    // tool calls are looked for in it
    bool holds_calls;     // and a grammar holds them to their form
    bool starts_thinking; // the prompt ends inside <think>
} llm_ask;

struct llm_answer {
    const llm_dialect *dialect;
    serve_family family;
    const tp_served *model; // borrowed
    const tp_env *env;
    tp_stream *stream;
    serve_exchange *exchange; // until the stream is done; it gets the counts at the end
    llm_part *parts;          // [part_count], one a prompt
    uint32_t part_count;
    atomic_uint owner_count;
    atomic_uint active_count; // generations that go on, and who starts them
    atomic_bool is_gone;      // the client has left
    atomic_bool is_refused;   // a prompt was not taken
    tapeout_error refusal;    // of a prompt that was not taken: the first
    bool streams;
    bool wants_usage;
    bool wants_logprobs;
    bool wants_prompt; // those of the prompts' tokens too
    bool has_begun;    // the head of the stream is out
    bool has_ended;
    tp_buffer id; // of the reply: "chatcmpl-..."
    tp_buffer piece;
    tp_buffer request_echo; // what the dialect says again of the request
    int64_t created_s;
    uint64_t begin_ns;
    uint64_t first_ns; // when the first token came; 0: none has
    uint64_t last_ns;
    uint64_t sequence; // of events, for dialects that number them
    llm_choice *choices;
    uint32_t choice_count;
    uint32_t open_count;
};

// Makes the answer, takes the exchange's stream and submits. Once the stream is taken, failures
// go to it and the call returns OK. The prompt in `ask` stays the caller's; `request_echo` is
// copied for the dialect.
tapeout_status tp_llm_answer_start(serve_exchange *exchange, const llm_dialect *dialect,
                                   const char *id_prefix, const llm_ask *ask, tp_str request_echo,
                                   tapeout_error *err);

// -- receipts (llm_receipt.c), nothing where none are kept ----------------------------------------
// What the part is asked for, as it is submitted.
void tp_llm_receipt_begin(llm_answer *answer, const tp_generation_request *request, uint32_t index);
void tp_llm_receipt_token(llm_choice *choice, uint32_t id);
void tp_llm_receipt_end(const llm_answer *answer);

// -- for dialects (llm_answer_write.c) -----------------------------------------------------------
const char *tp_llm_finish_name(const llm_choice *choice); // "stop", "length", "tool_calls"
// Tokens of the prompts, of all choices, and those that the cache had.
typedef struct llm_usage {
    uint32_t prompt_count;
    uint32_t generated_count;
    uint32_t cached_count;
} llm_usage;
llm_usage tp_llm_usage(const llm_answer *answer);
// {"prompt_tokens":...} in OpenAI's form.
void tp_llm_usage_write(const llm_answer *answer, tp_buffer *out);
// `"id":...,"object":"<object>","created":...,"model":...,"system_fingerprint":...`
void tp_llm_head_write(const llm_answer *answer, const char *object, tp_buffer *out);
// The token's text as it stands alone, and its bytes as a JSON array.
void tp_llm_token_write(const llm_answer *answer, uint32_t id, tp_buffer *out);
void tp_llm_token_bytes_write(const llm_answer *answer, uint32_t id, tp_buffer *out);
size_t tp_llm_token_size(const llm_answer *answer, uint32_t id); // bytes that it adds to the text
bool tp_llm_token_is_end(const llm_answer *answer, uint32_t id); // of generation

// -- OpenAI's forms ------------------------------------------------------------------------------
extern const llm_dialect tp_openai_responses_dialect; // openai_responses.c
// {"token", "logprob", "bytes", "top_logprobs"} of a token, with a comma before it but the first.
void tp_openai_logprob(llm_choice *choice, const tp_generation_event *event);
// The rest is in openai_write.c. Ends the one choice of a piece, and the piece; `finish` may be
// NULL.
void tp_openai_piece_end(const llm_answer *answer, const char *finish, tp_buffer *out);
// The last pieces of a stream, of type `object`.
void tp_openai_stream_end(const llm_answer *answer, const char *object, tp_buffer *out);
// The event for a failure in mid-stream.
void tp_openai_stream_failure(llm_answer *answer, const tapeout_error *error, tp_buffer *out);
// A whole reply; `write_choice` appends what a choice holds besides its index and its end, each
// with a comma before it.
typedef void openai_write_choice(llm_choice *choice, tp_buffer *out);
void tp_openai_whole(const llm_answer *answer, const char *object,
                     openai_write_choice *write_choice, tp_buffer *out);

// -- parameters (llm_params.c) -------------------------------------------------------------------
// The model that the body's "model" names, which must be a language model; sets exchange.model.
// Without the key, the only or first one.
tapeout_status tp_llm_model_find(serve_exchange *exchange, yyjson_val *body, tapeout_error *err);

typedef struct llm_range {
    double min;
    double max;
} llm_range;

// A number of the body. Absent and null leave the value alone; another type or a value out of range
// is E_INVALID, naming the key.
tapeout_status tp_llm_number(yyjson_val *body, const char *key, llm_range range, double *value,
                             tapeout_error *err);
tapeout_status tp_llm_count(yyjson_val *body, const char *key, llm_range range, uint32_t *value,
                            tapeout_error *err);
tapeout_status tp_llm_flag(yyjson_val *body, const char *key, bool *value, tapeout_error *err);

// Room for what a request's parameters point to.
typedef struct llm_params {
    tp_logit_bias biases[TP_MAX_LLM_BIASES];
    tp_str stops[TP_MAX_LLM_STOPS];
} llm_params;

// temperature, top_p, top_k, min_p, typical_p, penalties, seed, stop, logit_bias, n, max_tokens
// and max_completion_tokens into `ask`; a seed that is absent is drawn. `params` outlives `ask`.
tapeout_status tp_llm_params_read(serve_exchange *exchange, yyjson_val *body, llm_params *params,
                                  llm_ask *ask, tapeout_error *err);

// Parses the body, finds the model, lets `ask_fn` fill and start, and frees what was lent for it.
typedef tapeout_status llm_ask_fn(serve_exchange *exchange, yyjson_val *body, llm_params *params,
                                  llm_ask *ask, tapeout_error *err);
tapeout_status tp_llm_ask_with(serve_exchange *exchange, llm_ask_fn *ask_fn, tapeout_error *err);

// -- chats (llm_messages.c, llm_chat.c) ----------------------------------------------------------
typedef enum llm_tool_use { LLM_TOOLS_NONE, LLM_TOOLS_AUTO, LLM_TOOLS_FORCED } llm_tool_use;

typedef struct llm_chat {
    tp_str messages;   // JSON, as tp_llm_messages_write makes it
    yyjson_val *tools; // [{"type": "function", "function": {...}}], or NULL
    yyjson_val *extra; // an object of variables for the template, or NULL
    llm_tool_use choice;
    tp_str tool_name; // of the one that is forced; empty: any
    bool is_parallel; // more than one call at once
} llm_chat;

// Checks messages and writes them in the form that templates expect.
tapeout_status tp_llm_messages_write(yyjson_val *messages, tp_buffer *out, tapeout_error *err);
// `tools` and `tool_choice` of a request.
tapeout_status tp_llm_tools_read(yyjson_val *tools, yyjson_val *choice, llm_chat *chat,
                                 tapeout_error *err);
// A JSON Schema as a grammar.
tapeout_status tp_llm_schema_read(const serve_exchange *exchange, yyjson_val *schema,
                                  tp_grammar **ret_grammar, tapeout_error *err);
// A response_format (or a Responses text.format) as a grammar; NULL stays for free text.
tapeout_status tp_llm_format_read(const serve_exchange *exchange, yyjson_val *format,
                                  tp_grammar **ret_grammar, tapeout_error *err);
// Tokens of the conversation and what the tools ask for, into `ask`.
tapeout_status tp_llm_chat_prepare(const serve_exchange *exchange, const llm_chat *chat,
                                   llm_ask *ask, tapeout_error *err);

// -- tokens, vectors, models (openai_models.c) ---------------------------------------------------
// Appends the tokens of a text, or of a list of ids, at `key` of a request.
tapeout_status tp_llm_tokens_read(const serve_exchange *exchange, yyjson_val *value,
                                  const char *key, tp_ids *ids, tapeout_error *err);

// Vectors of the texts of a request. Begins as zeros.
typedef struct llm_vectors {
    const tapeout_allocator *alloc;
    bool truncates; // texts that are too long, instead of refusing them
    uint32_t count;
    uint32_t width;
    uint32_t *counts; // [count] tokens of each
    float *values;    // [count, width]
} llm_vectors;
tapeout_status tp_llm_vectors_make(serve_exchange *exchange, yyjson_val *input, tp_ids *ids,
                                   llm_vectors *vectors, tapeout_error *err);
void tp_llm_vectors_deinit(llm_vectors *vectors);
void tp_llm_vector_write(const float *vector, uint32_t width, tp_buffer *out);

#endif
