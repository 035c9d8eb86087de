// SPDX-License-Identifier: Apache-2.0
//
// Filling the caller's error buffer, and passing a failure on.
//
// A failing function says `return tp_fail(err, TAPEOUT_E_DATA, "csv: %s:%llu: ...", ...)`: the
// status and the sentence are written in one place. A caller passes it on with TP_TRY, the only
// macro of the project that hides a return.
#ifndef TP_ERROR_H
#define TP_ERROR_H

#include <tapeout/status.h>

// Writes status and message to `err` (may be NULL) and returns `status`. A message that is too long
// is cut at a whole UTF-8 character. Control characters that came in by an argument become '?', so
// that a message is one line and cannot drive a terminal.
tapeout_status tp_fail(tapeout_error *err, tapeout_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// The same, with the byte, row or position that the message speaks of.
tapeout_status tp_fail_at(tapeout_error *err, tapeout_status status, uint64_t offset,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));

// E_FULL, E_NOT_FOUND, E_DENIED, E_EXISTS, E_BUSY, E_NOMEM, E_INVALID (a directory, a name too
// long) or else E_IO by `error_number`, with "what: the system's own words".
tapeout_status tp_fail_errno(tapeout_error *err, int error_number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// E_NOMEM with the standard sentence.
tapeout_status tp_fail_nomem(tapeout_error *err);

// Puts "prefix: " in front of the message, for a caller that knows what the callee could not.
void tp_error_prefix(tapeout_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define TP_TRY(expr)                                                                               \
    do {                                                                                           \
        const tapeout_status tp_try_status = (expr);                                               \
        if (tp_try_status != TAPEOUT_OK) {                                                         \
            return tp_try_status;                                                                  \
        }                                                                                          \
    } while (0)

#endif
