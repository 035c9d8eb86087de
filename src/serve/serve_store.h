// SPDX-License-Identifier: Apache-2.0
//
// The registries that the server writes to, as handles that requests borrow: a handle is one
// thread's at a time, and opening one costs more than most requests. A tenant has a registry of its
// own.
//
// @thread synchronized
#ifndef SERVE_STORE_H
#define SERVE_STORE_H

#include "base/limits.h"
#include "registry/tp_mlflow.h"

typedef struct serve_store serve_store;

typedef struct serve_handle {
    tp_registry *registry;
    tp_mlflow mlflow;
    tp_str tenant;                // its own copy
    char home[TP_MAX_PATH_BYTES]; // of the tenant
    struct serve_handle *next;
} serve_handle;

// Where the registries are. All borrowed.
typedef struct serve_store_place {
    const char *home;
    const char *database;    // "postgresql://…"; NULL: SQLite in the homes
    const char *blobs;       // "s3://…"; NULL: in the homes
    atomic_bool *is_stopped; // set once a sync failed: nothing more is written by this process
} serve_store_place;

// Nothing is opened yet.
tapeout_status tp_serve_store_new(const tapeout_allocator *alloc, const serve_store_place *place,
                                  serve_store **ret_store, tapeout_error *err);
void tp_serve_store_free(serve_store *store); // when no handle is out; accepts NULL

tapeout_status tp_serve_store_take(serve_store *store, tp_str tenant, serve_handle **ret_handle,
                                   tapeout_error *err);
void tp_serve_store_give(serve_store *store, serve_handle *handle); // accepts NULL

#endif
