// SPDX-License-Identifier: Apache-2.0
//
// What the files about identities share.
#ifndef IDENTITY_STORE_PRIV_H
#define IDENTITY_STORE_PRIV_H

#include "registry/tp_identity_store.h"
#include "registry/tp_store.h"

#define IDENTITY_COLUMNS                                                                           \
    "kind, handle, verifier, name, tenant, grants, rates, created_us, expires_us, revoked_us"

struct tp_identity_store {
    const tapeout_allocator *alloc;
    tp_store *db;
    tp_server_secret secret;
    const char *home; // the context's
    bool keeps_log;
};

// A row as it is, within a transaction.
tapeout_status tp_identity_insert(tp_store *db, const tp_identity_row *row, tapeout_error *err);

#endif
