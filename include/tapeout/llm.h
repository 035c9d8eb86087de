// SPDX-License-Identifier: Apache-2.0
//
// Language models: a GGUF file or a bundle of kind "llm", opened to generate, score or embed.
//
// @thread A tapeout_llm is `synchronized`: calls may run side by side and share its passes.
#ifndef TAPEOUT_LLM_H
#define TAPEOUT_LLM_H

#include <tapeout/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tapeout_llm tapeout_llm;

typedef struct tapeout_llm_options {
    uint32_t struct_size;
    uint32_t context_length; // tokens, prompt and answer; 0: the model's, at most 8192
    uint64_t kv_bytes;       // of the key/value cache; 0: two contexts
    bool kv_is_q8;           // eight bits a value in it instead of sixteen
} tapeout_llm_options;

TAPEOUT_API void tapeout_llm_options_init(tapeout_llm_options *options);

// `model` as for tapeout_model_open: a path of a GGUF file or a bundle, or a registered name. A
// bundle is mapped, a GGUF file is packed in memory. E_UNSUPPORTED for an architecture or tensor
// type that is not known, E_CORRUPT naming the key or tensor.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_llm_open(tapeout_context *context,
                                                              const char *model,
                                                              const tapeout_llm_options *options,
                                                              tapeout_llm **ret_llm,
                                                              tapeout_error *err);
TAPEOUT_API void tapeout_llm_close(tapeout_llm *llm); // accepts NULL

// Takes text as it is generated: whole characters. False stops the generation.
typedef bool (*tapeout_text_fn)(void *user, const char *text, size_t size);

typedef struct tapeout_generate_options {
    uint32_t struct_size;
    // What to answer: one of
    const char *prompt; // a text, of prompt_size bytes
    size_t prompt_size;
    const char *messages_json; // a conversation: [{"role": "user", "content": "..."}, ...]
    const char *system;        // in front of `prompt` as the system's message; NULL: none
    bool is_raw;               // `prompt` is the text to go on with: no chat template
    // How.
    uint32_t max_tokens;      // 0: to the end of the context
    double temperature;       // 0: always the likeliest token
    uint32_t top_k;           // 0: all
    double top_p;             // 1: all
    double min_p;             // 0: all
    double typical_p;         // 1: all
    double repeat_penalty;    // 1: none
    double presence_penalty;  // 0: none
    double frequency_penalty; // 0: none
    uint64_t seed;
    const char *const *stops; // [stop_count] texts that end the answer and are no part of it
    size_t stop_count;
    // At most one of these constrains the answer.
    const char *json_schema;
    const char *grammar; // GBNF
    const char *regex;
    bool json;               // any JSON object
    tapeout_text_fn on_text; // may be NULL; called on the caller's thread
    void *user;
} tapeout_generate_options;

// Temperature 0, everything else off.
TAPEOUT_API void tapeout_generate_options_init(tapeout_generate_options *options);

// Waits for the answer. `*ret_json` is {"text", "ids", "finish_reason": "stop" | "length" |
// "cancelled", "usage": {"prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"},
// "timings": {...}}; ids are those generated, the end-of-generation token included. Same model,
// prompt, options and seed: same ids, whatever runs beside it.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status
tapeout_llm_generate(tapeout_context *context, tapeout_llm *llm,
                     const tapeout_generate_options *options, char **ret_json, tapeout_error *err);

// A conversation: what was said and answered, in order. @thread confined
typedef struct tapeout_chat tapeout_chat;

// `system` (may be NULL) is the system's message. The model is borrowed.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_chat_new(tapeout_context *context,
                                                              tapeout_llm *llm, const char *system,
                                                              tapeout_chat **ret_chat,
                                                              tapeout_error *err);
TAPEOUT_API void tapeout_chat_free(tapeout_chat *chat); // accepts NULL
// Forgets all but the system's message, which `system` replaces unless it is NULL.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_chat_reset(tapeout_chat *chat,
                                                                const char *system,
                                                                tapeout_error *err);
// Says `text` as the user and waits for the answer, as tapeout_llm_generate does; prompt and
// messages in `options` are not looked at. Both become part of the conversation, an answer that
// was stopped as far as it came; after a failure neither does.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status
tapeout_chat_say(tapeout_chat *chat, const char *text, const tapeout_generate_options *options,
                 char **ret_json, tapeout_error *err);

typedef struct tapeout_score_options {
    uint32_t struct_size;
    const uint32_t *ids; // [id_count], at least one, as they are: nothing is added
    size_t id_count;
    uint32_t top_count; // likeliest tokens for each place, at most 1000
    tapeout_write_fn write;
    void *write_user;
} tapeout_score_options;

TAPEOUT_API void tapeout_score_options_init(tapeout_score_options *options);

// Writes a JSON line for each place: {"pos", "id", "logprob", "top": [[id, logprob], ...]} for
// pos = 1 ... n-1, the natural logarithm of the probability of ids[pos] after ids[0 ... pos-1];
// last pos = n with id and logprob null.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_llm_score(tapeout_context *context,
                                                               tapeout_llm *llm,
                                                               const tapeout_score_options *options,
                                                               tapeout_error *err);

// Vectors of length one for `count` texts: {"embeddings": [[...], ...], "width", "tokens"}. Of an
// embedding model (bert), or the pooled last layer of another one.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_llm_embed(tapeout_context *context,
                                                               tapeout_llm *llm,
                                                               const char *const *texts,
                                                               size_t count, char **ret_json,
                                                               tapeout_error *err);

typedef struct tapeout_tokenize_options {
    uint32_t struct_size;
    const char *text; // text_size bytes; NULL: the file at `path` is read
    size_t text_size;
    const char *path; // "-" is standard input
    bool special;     // control tokens that are written in the text are recognised
    bool add;         // what the model wants at start and end is added
} tapeout_tokenize_options;

TAPEOUT_API void tapeout_tokenize_options_init(tapeout_tokenize_options *options);

// {"ids": [...]} of the text's bytes as they are. `model` as for tapeout_llm_open; only its
// metadata is read. E_CORRUPT and E_UNSUPPORTED name the key of a vocabulary that is not taken.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status
tapeout_llm_tokenize(tapeout_context *context, const char *model,
                     const tapeout_tokenize_options *options, char **ret_json, tapeout_error *err);

#ifdef __cplusplus
}
#endif

#endif
