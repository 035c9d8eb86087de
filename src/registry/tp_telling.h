// SPDX-License-Identifier: Apache-2.0
//
// A change and its entry in the audit log, both or neither, also over a crash. The log is told
// inside the change's transaction, before its commit, so that nothing is changed of which the log
// does not tell; what was told and then not done gets another entry, `change.not_done`: at once
// where the commit failed, and from the next change in this home where nobody knows at once,
// because the process died between the two, the answer of the database was lost or its sync failed.
//
// How that is known: changes of a home come one after the other, under a lock on HOME/changes. The
// file says which change (`deed`, a number behind the file's own id) was begun, synced before
// anything is told; the transaction writes the same number into the table `told`. A number that the
// file has as begun and the table does not have was not done.
#ifndef TP_TELLING_H
#define TP_TELLING_H

#include "registry/tp_registry.h"
#include "registry/tp_store.h"
#include "trust/tp_audit.h"

// Who is told of what is changed through a handle of the registry, and of whom. All borrowed.
typedef struct tp_teller {
    tp_audit *audit; // NULL: nobody is told
    tp_str who;      // as in tp_audit_event
    tp_str tenant;   // {NULL, 0}: entries do not name one
} tp_teller;

// From now on; NULL: nobody.
void tp_registry_teller_set(tp_registry *registry, const tp_teller *teller);

enum { TP_TELLING_FIELDS = 6 }; // that a body may add

// What the log says of a change. Its transaction's body adds the fields, or gives the whole as an
// object that is not empty; texts live as long as the call. Where it does neither, nothing was
// changed and nothing is said.
typedef struct tp_telling {
    const char *kind;
    tp_audit_field fields[TP_TELLING_FIELDS];
    size_t field_count;
    tp_str what; // JSON; {NULL, 0}: the fields
} tp_telling;

void tp_telling_add(tp_telling *telling, const char *key, tp_str text);

// Where something is changed. All borrowed.
typedef struct tp_told_place {
    const tapeout_allocator *alloc;
    const char *home;
    tp_store *store; // of the registry's database, with its tables
    tp_teller teller;
} tp_told_place;

// tp_store_transact, with the log told behind `body`. Where that fails nothing is changed.
tapeout_status tp_told_transact(const tp_told_place *place, tp_store_kind kind, tp_store_body body,
                                void *user, tp_telling *telling, tapeout_error *err);
// The same through a registry, of which its teller is told.
tapeout_status tp_registry_transact(tp_registry *registry, tp_store_kind kind, tp_store_body body,
                                    void *user, tp_telling *telling, tapeout_error *err);

// Whether a change in that home stands as begun: under way, or left by a process that died.
bool tp_registry_has_open_change(const char *home);

// Takes back at once, rather than with the next change, what a process told that died. Nothing to
// do is no failure; after one the next change does it.
tapeout_status tp_registry_settle(tp_registry *registry, const tp_teller *teller,
                                  tapeout_error *err);

#endif
