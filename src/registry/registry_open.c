// SPDX-License-Identifier: Apache-2.0
//
// Opening a registry: the store, its tables, and the home that holds the blobs.
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/registry_priv.h"

#include <stdio.h>
#include <string.h>

static tapeout_status open_store(tp_registry *registry, const tp_registry_options *options,
                                 tp_store_mode mode, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    const int size = snprintf(path, sizeof(path), "%s/registry.sqlite", options->home);
    if (size < 0 || (size_t)size >= sizeof(path)) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "registry: the path of the home directory is too long");
    }
    // A home without a file may be that of a process that was killed before its name was on disk.
    if (mode == TP_STORE_WRITE && !tp_path_exists(path)) {
        TP_TRY(tp_directory_make(options->home, err));
    }
    const tp_store_options store = {.where = options->store != NULL ? options->store : path,
                                    .world = options->world,
                                    .mode = mode,
                                    .is_stopped = options->is_stopped};
    return tp_store_open(registry->alloc, &store, &registry->store, err);
}

// Tables of an earlier tapeout are brought up to date even by a command that only reads.
static tapeout_status open_to_read(tp_registry *registry, const tp_registry_options *options,
                                   tapeout_error *err)
{
    const tapeout_status opened = open_store(registry, options, TP_STORE_READ, err);
    if (opened == TAPEOUT_E_NOT_FOUND) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "registry: nothing is registered in %s",
                       options->home);
    }
    TP_TRY(opened);
    int64_t version = 0; // also for tables of tapeout 0.1
    TP_TRY(tp_store_schema_version(registry->store, tp_registry_schema.part, &version, err));
    if (version < (int64_t)tp_registry_schema.step_count) {
        tp_store_close(&registry->store);
        TP_TRY(open_store(registry, options, TP_STORE_WRITE, err));
    }
    return tp_store_migrate(registry->store, &tp_registry_schema, err);
}

// Blobs in S3 are asked for when one is needed; here it is only read where they are.
static tapeout_status open_blobs(tp_registry *registry, const tp_registry_options *options,
                                 tapeout_error *err)
{
    registry->blobs = options->blobs == NULL ? &tp_blobs_local : &tp_blobs_s3;
    return options->blobs == NULL
               ? TAPEOUT_OK
               : tp_s3_open(registry->alloc, options->blobs, options->world, &registry->s3, err);
}

static tapeout_status open_rows(tp_registry *registry, const tp_registry_options *options,
                                tapeout_error *err)
{
    if (options->mode == TP_REGISTRY_READ) {
        return open_to_read(registry, options, err);
    }
    TP_TRY(open_store(registry, options, TP_STORE_WRITE, err));
    return tp_store_migrate(registry->store, &tp_registry_schema, err);
}

tapeout_status tp_registry_open_with(const tapeout_allocator *alloc,
                                     const tp_registry_options *options, tp_registry **ret_registry,
                                     tapeout_error *err)
{
    tp_registry *registry = tp_alloc_zero(alloc, sizeof(*registry));
    if (registry == NULL) {
        return tp_fail_nomem(err);
    }
    registry->alloc = alloc;
    registry->home = tp_strndup(alloc, options->home, strlen(options->home));
    tapeout_status status =
        registry->home == NULL ? tp_fail_nomem(err) : open_blobs(registry, options, err);
    if (status == TAPEOUT_OK) {
        status = open_rows(registry, options, err);
    }
    if (status != TAPEOUT_OK) {
        tp_registry_close(&registry);
        return status;
    }
    *ret_registry = registry;
    return TAPEOUT_OK;
}

tapeout_status tp_registry_open(const tapeout_allocator *alloc, const char *home,
                                tp_registry_mode mode, tp_registry **ret_registry,
                                tapeout_error *err)
{
    const tp_registry_options options = {.home = home, .mode = mode};
    return tp_registry_open_with(alloc, &options, ret_registry, err);
}

tapeout_status tp_registry_open_of(const tapeout_context *context, tp_registry_mode mode,
                                   tp_registry **ret_registry, tapeout_error *err)
{
    const tp_registry_options options = {.home = tp_context_home(context),
                                         .store = tp_context_store(context),
                                         .blobs = tp_context_blobs(context),
                                         .mode = mode,
                                         .is_stopped = tp_context_stop(context)};
    return tp_registry_open_with(tp_context_env(context)->alloc, &options, ret_registry, err);
}

void tp_registry_close(tp_registry **registry)
{
    tp_registry *it = *registry;
    if (it == NULL) {
        return;
    }
    tp_store_close(&it->store);
    tp_s3_close(&it->s3);
    if (it->home != NULL) {
        tp_free(it->alloc, it->home, strlen(it->home) + 1);
    }
    tp_free(it->alloc, it, sizeof(*it));
    *registry = NULL;
}

tp_store *tp_registry_store(tp_registry *registry)
{
    return registry->store;
}
