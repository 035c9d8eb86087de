// SPDX-License-Identifier: Apache-2.0
//
// What is registered: models, their numbered versions, and the bundles' bytes in a store by
// content. An SQLite file and a folder of blobs below the home directory;
// docs/internals/registry.md says what lies where and why an acknowledged version survives a crash.
//
// Numbers of a name are 1, 2, 3 … in the order of registration, without a gap, over threads and
// processes alike; a number that was removed is not given again.
//
// @thread A handle is `confined`; any number of handles, in any number of processes, may be open.
#ifndef TP_REGISTRY_H
#define TP_REGISTRY_H

#include "base/limits.h"
#include "base/tp_buffer.h"

#include <stdatomic.h>
#include <tapeout/registry.h>

typedef struct tp_registry tp_registry;
typedef struct tp_store tp_store;

typedef enum tp_registry_mode {
    TP_REGISTRY_READ, // E_NOT_FOUND where nothing was ever registered
    TP_REGISTRY_WRITE // makes what is missing
} tp_registry_mode;

// E_CORRUPT for a damaged file, E_UNSUPPORTED for one that a later tapeout wrote, E_DENIED, E_FULL
// and E_IO as the system says.
tapeout_status tp_registry_open(const tapeout_allocator *alloc, const char *home,
                                tp_registry_mode mode, tp_registry **ret_registry,
                                tapeout_error *err);
void tp_registry_close(tp_registry **registry); // accepts NULL inside; nulls it

typedef struct tp_registry_options {
    const char *home;  // the blobs or copies of them, and SQLite's file
    const char *store; // "postgresql://…"; NULL: SQLite in the home
    const char *blobs; // "s3://…"; NULL: in the home
    const char *world; // tp_store_options: the tenant's schema; NULL: the common one
    tp_registry_mode mode;
    atomic_bool *is_stopped; // tp_store_options: shared by all that write to this home; may be NULL
} tp_registry_options;

tapeout_status tp_registry_open_with(const tapeout_allocator *alloc,
                                     const tp_registry_options *options, tp_registry **ret_registry,
                                     tapeout_error *err);

// The registry of a context: its home, and its store where it names one.
tapeout_status tp_registry_open_of(const tapeout_context *context, tp_registry_mode mode,
                                   tp_registry **ret_registry, tapeout_error *err);

// The database below, for tables of other parts (tp_store_migrate) in the same transactions.
tp_store *tp_registry_store(tp_registry *registry);

// Copies the bundle in and gives it the next number of its name. When it returns OK, bytes and row
// are on disk. `*ret_ref` says where. After a sync that failed the handle only reads: E_IO.
tapeout_status tp_registry_register(tp_registry *registry, const tapeout_registration *what,
                                    tapeout_model_ref *ret_ref, tapeout_error *err);

// "name" (the newest version that is not refused), "name:version" (also a refused one) or
// "name@alias". E_NOT_FOUND with the nearest name; E_GATE where all versions of a name are refused;
// E_CORRUPT where the blob is gone or damaged; E_UNAVAILABLE where it is in S3 and S3 not there.
tapeout_status tp_registry_resolve(tp_registry *registry, tp_str model, tapeout_model_ref *ret_ref,
                                   tapeout_error *err);

// The version that the registered `model` of the context's home leads to; its bytes are not looked
// at.
tapeout_status tp_registry_leads_to(tapeout_context *context, const char *model,
                                    uint64_t *ret_version, tapeout_error *err);

// Appends the JSON of tapeout_registry_list.
tapeout_status tp_registry_list(tp_registry *registry, tp_buffer *json, tapeout_error *err);

// Takes "name:version" out, and the blob with the last version that has it. E_BUSY while an alias
// points to it.
tapeout_status tp_registry_remove(tp_registry *registry, tp_str model, tapeout_error *err);

// Removes blobs that no row names and that are older than `grace_s`, and answers older than
// TP_ANSWERS_KEPT_S. Appends {"removed", "removed_bytes", "kept", "answers_removed"}.
tapeout_status tp_registry_collect(tp_registry *registry, uint64_t grace_s, tp_buffer *json,
                                   tapeout_error *err);

// Copies rows and blobs into `folder` while others write. Appends what backup.json says:
// {"format", "sha256", "created_us", "blobs", "bytes"}. E_UNSUPPORTED for PostgreSQL, which has
// pg_dump; E_CORRUPT for a blob that is damaged.
tapeout_status tp_registry_backup(tp_registry *registry, const char *folder, tp_buffer *json,
                                  tapeout_error *err);
// Puts a backup into a home without a registry, E_EXISTS; every byte is checked. The blobs go to
// where `options` has them. Appends {"blobs", "bytes"}. E_NOT_FOUND for what is no whole backup,
// E_CORRUPT.
tapeout_status tp_registry_restore(const tapeout_allocator *alloc, const char *folder,
                                   const tp_registry_options *options, tp_buffer *json,
                                   tapeout_error *err);

#endif
