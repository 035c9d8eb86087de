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

#ifdef __cplusplus
}
#endif

#endif
