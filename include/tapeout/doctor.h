// SPDX-License-Identifier: Apache-2.0
//
// What this build is and what the machine offers it: for `tapeout doctor`, `tapeout version` and
// whoever embeds the library and wants to know before a user does.
#ifndef TAPEOUT_DOCTOR_H
#define TAPEOUT_DOCTOR_H

#include <tapeout/context.h>

#ifdef __cplusplus
extern "C" {
#endif

// {"version", "build": {"type", "compiler"}, "cpu": {"in_use", "variants": [...]}}. Freed with
// tapeout_text_free.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_describe_build(tapeout_context *context,
                                                                    char **ret_json,
                                                                    tapeout_error *err);

// Looks at the machine: all of the above and "processors", "threads", "memory": {"total_bytes",
// "available_bytes"}, "home", and "checks": [{"name", "state", "words"}], where state is "ok",
// "missing" (something works without it, and the words say what does not) or "broken" (the words
// say what to do). "ok" is false where any check is broken. Changes nothing.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_doctor(tapeout_context *context,
                                                            char **ret_json, tapeout_error *err);

// How a language model would be run; zeros stand for the defaults of serving.
typedef struct tapeout_plan_options {
    uint32_t struct_size;
    uint32_t context_length; // tokens, prompt and answer
    uint64_t kv_bytes;       // of the key/value cache
    bool kv_is_q8;           // eight bits a value in it instead of sixteen
    uint32_t running;        // sequences computed together
    uint64_t memory_bytes;   // to fit in; 0: what the machine has available now
} tapeout_plan_options;

TAPEOUT_API void tapeout_plan_options_init(tapeout_plan_options *options);

// What a language model (a path or a registered name) takes, before it is loaded, and what would
// fit: {"model", "architecture", "memory": {"total_bytes", "available_bytes", "limit_bytes"},
// "plan": {"weights_bytes", "weights_mapped", "tables_bytes", "workspace_bytes", "cache_bytes",
// "process_bytes", "total_bytes", "context", "running", "threads", "cache_tokens"}, "caches":
// [{"type", "token_bytes", "context_max", "streams"}], "fits", "words"}: the longest context that
// one stream could have, and how many streams of the plan's context fit, for either type of cache.
// "fits" is false where total_bytes exceeds limit_bytes; "words" say so with figures. E_UNSUPPORTED
// for a model of another kind.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status
tapeout_doctor_model(tapeout_context *context, const char *model,
                     const tapeout_plan_options *options, char **ret_json, tapeout_error *err);

// Tries what `serve --airgap` promises: in a child, locked up as the server would be, answering
// must work and each way out must be refused. "checks" as above, "ok" when all hold. E_UNAVAILABLE
// where the kernel offers no such lock.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_doctor_airgap(tapeout_context *context,
                                                                   char **ret_json,
                                                                   tapeout_error *err);

#ifdef __cplusplus
}
#endif

#endif
