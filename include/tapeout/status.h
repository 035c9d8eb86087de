// SPDX-License-Identifier: Apache-2.0
//
// Status codes and the error buffer that every call of tapeout can fill.
//
// A call returns a status; zero is success. Where it takes a `tapeout_error *`, the buffer is the
// caller's, may be NULL, and on failure holds a sentence for a person: what went wrong, where, what
// was expected. There is no errno and no thread-local state, since work hops threads.
//
// The codes stand in decades: 10 the caller's input, 20 the content of a file, 30 the machine,
// 40 resources and time, 50 decisions, 60 our own fault. The map below is the only list: the enum,
// the names and the sentences come from it and cannot drift.
#ifndef TAPEOUT_STATUS_H
#define TAPEOUT_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TAPEOUT_API __attribute__((visibility("default")))
#define TAPEOUT_NODISCARD __attribute__((warn_unused_result))
#else
#define TAPEOUT_API
#define TAPEOUT_NODISCARD
#endif

// X(name, value, what it means, what the caller does about it)
#define TAPEOUT_STATUS_MAP(X)                                                                      \
    X(OK, 0, "success", "go on")                                                                   \
    X(E_INVALID, 10, "invalid argument, spec or request", "fix the input")                         \
    X(E_NOT_FOUND, 11, "no such thing", "check the name")                                          \
    X(E_EXISTS, 12, "exists already", "choose another name")                                       \
    X(E_UNSUPPORTED, 13, "valid but not supported", "use another form")                            \
    X(E_LIMIT, 14, "a named limit is exceeded", "make the input smaller")                          \
    X(E_CORRUPT, 20, "malformed or damaged file", "get the file again")                            \
    X(E_DATA, 21, "the data cannot be used", "fix the named row or column")                        \
    X(E_UNTRUSTED, 22, "no trusted signature", "sign it or trust the key")                         \
    X(E_DENIED, 23, "not permitted", "ask for the right")                                          \
    X(E_IO, 30, "the operating system reports an error", "see the message")                        \
    X(E_FULL, 31, "no space left", "free space")                                                   \
    X(E_BUSY, 32, "in use or overloaded", "retry later")                                           \
    X(E_UNAVAILABLE, 33, "a library or service is missing", "install what is named")               \
    X(E_NOMEM, 40, "out of memory", "free memory or make the input smaller")                       \
    X(E_CANCELLED, 41, "cancelled", "nothing")                                                     \
    X(E_TIMEOUT, 42, "took too long", "retry or raise the limit")                                  \
    X(E_UNKNOWN, 43, "the answer was lost", "look, or retry with the same key")                    \
    X(E_GATE, 50, "a gate was not passed", "see the named figure")                                 \
    X(E_INTERNAL, 60, "a fault in tapeout", "report it")

typedef enum tapeout_status {
#define TAPEOUT_STATUS_ENUM(name, value, meaning, action) TAPEOUT_##name = (value),
    TAPEOUT_STATUS_MAP(TAPEOUT_STATUS_ENUM)
#undef TAPEOUT_STATUS_ENUM
} tapeout_status;

enum { TAPEOUT_ERROR_MESSAGE_SIZE = 496 };

// Filled on failure, left alone on success. `offset` is the byte, row or position that the message
// speaks of, zero where there is none.
typedef struct tapeout_error {
    tapeout_status status;
    uint64_t offset;
    char message[TAPEOUT_ERROR_MESSAGE_SIZE];
} tapeout_error;

// The code's name without prefix, such as "E_CORRUPT"; "E_INTERNAL" for a value that is none.
TAPEOUT_API const char *tapeout_status_name(tapeout_status status);

// The code's meaning in a few words; never NULL.
TAPEOUT_API const char *tapeout_status_text(tapeout_status status);

#ifdef __cplusplus
}
#endif

#endif
