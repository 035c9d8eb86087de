// SPDX-License-Identifier: Apache-2.0
//
// What the tests of tellings share: a registry with an audit log that is told of its changes, and
// what the log says of them. An entry holds unless a later one says of its deed that it was not
// done.
#ifndef TELLING_CASES_H
#define TELLING_CASES_H

#include "base/limits.h"
#include "bundle/tp_bundle.h"
#include "registry/tp_telling.h"
#include "registry_cases.h"

#include <tapeout/context.h>

enum { ENTRIES_MAX = 64, DEED_SIZE = 64 };

typedef struct telling_place {
    tp_registry *registry;
    tp_audit *audit;
} telling_place;

typedef struct telling_entry {
    char deed[DEED_SIZE];
    char kind[TP_MAX_AUDIT_KIND_BYTES + 1];
    char bundle[TP_SHA256_HEX_SIZE + 1];
    uint64_t version; // 0: a removal
} telling_entry;

// Those that hold.
typedef struct telling_entries {
    telling_entry items[ENTRIES_MAX];
    size_t count;
    size_t taken_back;
} telling_entries;

extern char telling_home[4200]; // of all below

tapeout_status telling_try_open(telling_place *it, tapeout_error *err);
telling_place telling_open(void);
void telling_close(telling_place *it);
// A version of the model "m" whose bundle holds `text`.
tapeout_status telling_register(const telling_place *it, const char *text, tapeout_error *err);

tapeout_context *telling_context(void);
void telling_list(tapeout_write_fn visit, void *user);
void telling_read(telling_entries *ret_all);

#endif
