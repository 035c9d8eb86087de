// SPDX-License-Identifier: Apache-2.0
//
// What the registry's tests share: bundles that are any bytes, and short ways to register and to
// look at the outcome.
#ifndef REGISTRY_CASES_H
#define REGISTRY_CASES_H

#include "registry/registry_priv.h"

// A file `name` in `directory` with `text`; returns its path in one of a few static buffers.
const char *cases_file(const char *directory, const char *name, const char *text);

// In the store that TAPEOUT_TEST_STORE names ("postgresql://…"), each home in a schema of its own;
// else in SQLite. Blobs are in TAPEOUT_TEST_BLOBS ("s3://…"), else in the home.
tp_registry *cases_open(const char *home);
tp_registry *cases_open_as(const char *home, tp_registry_mode mode);
tapeout_status cases_try_open(const char *home, tp_registry_mode mode, tp_registry **ret_registry,
                              tapeout_error *err);
bool cases_is_postgres(void);
// A registration of `bundle` as `name`, the rest empty.
tapeout_registration cases_registration(const char *name, const char *bundle);
uint64_t cases_register(tp_registry *registry, const char *name, const char *bundle);

// The file has exactly these bytes.
void cases_assert_content(const char *path, const char *text);
// The list as JSON, in a static buffer.
const char *cases_list(tp_registry *registry);
// The number in the first column of the first row.
int64_t cases_number(tp_registry *registry, const char *sql);
void cases_run(tp_registry *registry, const char *sql); // one statement

#endif
