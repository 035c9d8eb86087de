// SPDX-License-Identifier: Apache-2.0
//
// What a program sets up once and hands to every other call: memory, threads, the home directory
// and whoever wants to hear of progress.
//
// @thread A context is `synchronized`: many threads may use it at once, but the options are fixed
// when it is made. The library keeps no mutable global besides the CPU flags.
#ifndef TAPEOUT_CONTEXT_H
#define TAPEOUT_CONTEXT_H

#include <tapeout/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tapeout_context tapeout_context;

// Where memory comes from. `alloc` returns NULL when there is none; `resize` may move the block and
// leaves it as it is when it fails; `free` accepts NULL. All three must be callable from any
// thread. Blocks are aligned for every scalar type.
typedef struct tapeout_allocator {
    void *(*alloc)(void *user, size_t size_bytes);
    void *(*resize)(void *user, void *block, size_t old_size_bytes, size_t new_size_bytes);
    void (*free)(void *user, void *block, size_t size_bytes);
    void *user;
} tapeout_allocator;

// Called from the thread that made the call, at most about ten times a second. `phase` is a word
// such as "read" or "train"; `fraction` lies in [0, 1], or is negative where the end is not known.
typedef void (*tapeout_progress_fn)(void *user, const char *phase, double fraction);

// Takes `size` bytes of output; a failure ends the call that writes with that status.
typedef tapeout_status (*tapeout_write_fn)(void *user, const char *data, size_t size,
                                           tapeout_error *err);

typedef struct tapeout_context_options {
    uint32_t struct_size;
    uint32_t thread_count;              // 0: as many as the machine has processors
    const tapeout_allocator *allocator; // NULL: the C library's
    const char *home;                   // NULL: TAPEOUT_HOME, else the XDG data directory
    const char *store;                  // "postgresql://…"; NULL: TAPEOUT_STORE, else in the home
    const char *duckdb_library;         // NULL: TAPEOUT_DUCKDB, else the usual places
    tapeout_progress_fn progress;       // may be NULL
    void *progress_user;
    bool allow_unsigned; // registered models without a trusted signature may be used
    const char *blobs;   // "s3://BUCKET/PREFIX?…"; NULL: TAPEOUT_BLOBS, else in the home
} tapeout_context_options;

TAPEOUT_API void tapeout_context_options_init(tapeout_context_options *options);

// Makes a context and its threads. On failure `*ret_context` is left as it was.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_context_new(
    const tapeout_context_options *options, tapeout_context **ret_context, tapeout_error *err);

// Ends the threads and frees everything; accepts NULL. Nothing made with the context may be used
// after it.
TAPEOUT_API void tapeout_context_free(tapeout_context *context);

// Asks every running call of this context to stop with E_CANCELLED. Safe in a signal handler.
TAPEOUT_API void tapeout_context_cancel(tapeout_context *context);

// A file's text ("-": standard input), for tapeout_text_free. E_LIMIT beyond `max_size` bytes,
// E_DATA where a byte is zero.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_text_read(tapeout_context *context,
                                                               const char *path, size_t max_size,
                                                               char **ret_text, tapeout_error *err);

// Gives back a text that a call of this context handed out; accepts NULL.
TAPEOUT_API void tapeout_text_free(tapeout_context *context, char *text);

// The library's version as "major.minor.patch".
TAPEOUT_API const char *tapeout_version(void);

#ifdef __cplusplus
}
#endif

#endif
