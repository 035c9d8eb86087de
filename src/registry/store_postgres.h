// SPDX-License-Identifier: Apache-2.0
//
// The driver for PostgreSQL.
#ifndef STORE_POSTGRES_H
#define STORE_POSTGRES_H

#include "registry/store_priv.h"

// True for "postgresql://…" and "postgres://…".
bool tp_store_is_postgres(const char *where);

tapeout_status tp_store_postgres_open(const tapeout_allocator *alloc,
                                      const tp_store_options *options, tp_store **ret_store,
                                      tapeout_error *err);

#endif
