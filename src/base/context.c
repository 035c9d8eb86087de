// SPDX-License-Identifier: Apache-2.0
//
// The context: memory, threads, the cancel flag and the two places that a program can name. Reads
// the environment once, when it is made.
#include "base/tp_context.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_cpu.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

#include <stdlib.h>
#include <string.h>

struct tapeout_context {
    tapeout_allocator alloc;
    tp_env env;
    atomic_bool cancelled;
    char *home;   // [strlen + 1]
    char *duckdb; // [strlen + 1], or NULL
    char *store;  // [strlen + 1], or NULL
    char *blobs;  // [strlen + 1], or NULL
    atomic_bool is_stopped;
    bool allows_unsigned;
};

void tapeout_context_options_init(tapeout_context_options *options)
{
    *options = (tapeout_context_options){.struct_size = sizeof(*options)};
}

// Copies what the caller's version of the struct has; what it lacks keeps its default.
static tapeout_status read_options(const tapeout_context_options *given,
                                   tapeout_context_options *ret_options, tapeout_error *err)
{
    tapeout_context_options options = {0};
    tapeout_context_options_init(&options);
    if (given != NULL) {
        if (given->struct_size < sizeof(given->struct_size) || given->struct_size > 4096) {
            return tp_fail(err, TAPEOUT_E_INVALID,
                           "context options: struct_size is %u; fill the options with "
                           "tapeout_context_options_init first",
                           given->struct_size);
        }
        const size_t size =
            given->struct_size < sizeof(options) ? given->struct_size : sizeof(options);
        memcpy(&options, given, size);
    }
    if (options.thread_count > TP_MAX_THREADS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "threads: %u asked for, at most %u are possible",
                       options.thread_count, TP_MAX_THREADS);
    }
    *ret_options = options;
    return TAPEOUT_OK;
}

// The value of an environment variable, or NULL where it is absent or empty.
static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == 0 ? NULL : value;
}

static char *find_home(const tapeout_allocator *alloc, const char *option)
{
    const char *named = option != NULL ? option : environment("TAPEOUT_HOME");
    if (named != NULL) {
        return tp_strndup(alloc, named, strlen(named));
    }
    const char *data = environment("XDG_DATA_HOME");
    if (data != NULL && data[0] == '/') { // the XDG specification has relative paths ignored
        return tp_path_join(alloc, data, "tapeout");
    }
    const char *user = environment("HOME");
    return user != NULL ? tp_path_join(alloc, user, ".local/share/tapeout")
                        : tp_strndup(alloc, ".tapeout", strlen(".tapeout"));
}

// Where there is none yet.
static tapeout_status set_text(tapeout_context *context, char **place, const char *text,
                               tapeout_error *err)
{
    if (text == NULL || *place != NULL) {
        return TAPEOUT_OK;
    }
    *place = tp_strndup(&context->alloc, text, strlen(text));
    return *place != NULL ? TAPEOUT_OK : tp_fail_nomem(err);
}

tapeout_status tp_context_store_set(tapeout_context *context, const char *store, tapeout_error *err)
{
    return set_text(context, &context->store, store, err);
}

tapeout_status tp_context_blobs_set(tapeout_context *context, const char *blobs, tapeout_error *err)
{
    return set_text(context, &context->blobs, blobs, err);
}

static tapeout_status fill(tapeout_context *context, const tapeout_context_options *options,
                           tapeout_error *err)
{
    const tapeout_allocator *alloc = &context->alloc;
    context->allows_unsigned = options->allow_unsigned;
    context->home = find_home(alloc, options->home);
    if (context->home == NULL) {
        return tp_fail_nomem(err);
    }
    const char *duckdb =
        options->duckdb_library != NULL ? options->duckdb_library : environment("TAPEOUT_DUCKDB");
    if (duckdb != NULL) {
        context->duckdb = tp_strndup(alloc, duckdb, strlen(duckdb));
        if (context->duckdb == NULL) {
            return tp_fail_nomem(err);
        }
    }
    TP_TRY(tp_context_store_set(
        context, options->store != NULL ? options->store : environment("TAPEOUT_STORE"), err));
    TP_TRY(tp_context_blobs_set(
        context, options->blobs != NULL ? options->blobs : environment("TAPEOUT_BLOBS"), err));
    context->env = (tp_env){.alloc = alloc,
                            .cancelled = &context->cancelled,
                            .progress = options->progress,
                            .progress_user = options->progress_user};
    return tp_pool_new(alloc, options->thread_count, &context->env.pool, err);
}

tapeout_status tapeout_context_new(const tapeout_context_options *given,
                                   tapeout_context **ret_context, tapeout_error *err)
{
    if (ret_context == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID, "tapeout_context_new: ret_context is NULL");
    }
    tapeout_context_options options = {0};
    TP_TRY(read_options(given, &options, err));
    TP_TRY(tp_cpu_check(err));
    const tapeout_allocator *alloc =
        options.allocator != NULL ? options.allocator : tp_allocator_default();
    tapeout_context *context = tp_alloc_zero(alloc, sizeof(*context));
    if (context == NULL) {
        return tp_fail_nomem(err);
    }
    context->alloc = *alloc;
    const tapeout_status status = fill(context, &options, err);
    if (status != TAPEOUT_OK) {
        tapeout_context_free(context);
        return status;
    }
    *ret_context = context;
    return TAPEOUT_OK;
}

static void free_text(const tapeout_allocator *alloc, char *text)
{
    if (text != NULL) {
        tp_free(alloc, text, strlen(text) + 1);
    }
}

void tapeout_context_free(tapeout_context *context)
{
    if (context == NULL) {
        return;
    }
    const tapeout_allocator alloc = context->alloc;
    tp_pool_free(context->env.pool);
    free_text(&alloc, context->home);
    free_text(&alloc, context->duckdb);
    free_text(&alloc, context->store);
    free_text(&alloc, context->blobs);
    tp_free(&alloc, context, sizeof(*context));
}

void tapeout_context_cancel(tapeout_context *context)
{
    atomic_store_explicit(&context->cancelled, true, memory_order_relaxed);
}

const char *tapeout_version(void)
{
    return TAPEOUT_VERSION;
}

const tp_env *tp_context_env(const tapeout_context *context)
{
    return &context->env;
}

const char *tp_context_home(const tapeout_context *context)
{
    return context->home;
}

bool tp_context_allows_unsigned(const tapeout_context *context)
{
    return context->allows_unsigned;
}

const char *tp_context_duckdb(const tapeout_context *context)
{
    return context->duckdb;
}

const char *tp_context_store(const tapeout_context *context)
{
    return context->store;
}

const char *tp_context_blobs(const tapeout_context *context)
{
    return context->blobs;
}

atomic_bool *tp_context_stop(const tapeout_context *context)
{
    return (atomic_bool *)(uintptr_t)&context->is_stopped;
}
