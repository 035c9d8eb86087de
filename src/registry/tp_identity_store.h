// SPDX-License-Identifier: Apache-2.0
//
// Identities as the registry's database keeps them: one table for API keys and users, and a number
// that goes up with every change, by which a running server sees that it must look again.
// Nothing is removed: what was revoked stays, for whoever asks later who could.
//
// @thread A store is `confined`.
#ifndef TP_IDENTITY_STORE_H
#define TP_IDENTITY_STORE_H

#include "trust/tp_roster.h"

typedef struct tp_identity_store tp_identity_store;

// One identity; times are microseconds of the calendar, 0: none.
typedef struct tp_identity_row {
    tp_str kind;     // "key" or "user"
    tp_str handle;   // a key's prefix, or the user's name; unique for its kind
    tp_str verifier; // see tp_roster_row
    tp_str name;
    tp_str tenant;
    tp_str grants;
    tp_str rates;
    int64_t created_us;
    int64_t expires_us;
    int64_t revoked_us;
} tp_identity_row;

// Opens the database of the context's home and makes what is missing. E_CORRUPT where the keys in
// it were made with another secret than the home's.
tapeout_status tp_identity_store_open(const tapeout_context *context, tp_identity_store **ret_store,
                                      tapeout_error *err);
void tp_identity_store_close(tp_identity_store **store); // accepts NULL inside; nulls it
// Keeps changes through this handle out of the audit log: for a server that has none.
void tp_identity_store_unlogged(tp_identity_store *store);
const tapeout_allocator *tp_identity_store_allocator(const tp_identity_store *store);
const tp_server_secret *tp_identity_store_secret(const tp_identity_store *store);

// The number of changes so far.
tapeout_status tp_identity_store_generation(tp_identity_store *store, int64_t *ret_generation,
                                            tapeout_error *err);
// What holds now, and the number of changes that it is the picture of.
tapeout_status tp_identity_store_roster(tp_identity_store *store, tp_roster **ret_roster,
                                        int64_t *ret_generation, tapeout_error *err);

// A new key, and what is kept of it.
typedef struct tp_identity_key {
    char key[TP_API_KEY_SIZE + 1];
    char verifier[2 * TP_CREDENTIAL_HASH_SIZE + 1];
    tp_str prefix; // a view into `key`
} tp_identity_key;
void tp_identity_store_key(const tp_identity_store *store, tp_identity_key *ret_key);

// E_EXISTS where a name of that kind holds already.
tapeout_status tp_identity_store_add(tp_identity_store *store, const tp_identity_row *row,
                                     tapeout_error *err);
// Makes a key "admin" that may do everything, where there never was an identity; else E_EXISTS.
tapeout_status tp_identity_store_first(tp_identity_store *store, char ret_key[TP_API_KEY_SIZE + 1],
                                       tapeout_error *err);
// Calls `tell` for each of the kind, the oldest first.
typedef tapeout_status tp_identity_fn(void *user, const tp_identity_row *row, tapeout_error *err);
tapeout_status tp_identity_store_each(tp_identity_store *store, tp_str kind, tp_identity_fn *tell,
                                      void *user, tapeout_error *err);
// What holds under a name or a handle comes to an end.
typedef struct tp_identity_end {
    tp_str kind;
    tp_str name; // or the handle
    int64_t now_us;
    int64_t when_us; // from when on
} tp_identity_end;
// Revokes it. E_NOT_FOUND.
tapeout_status tp_identity_store_end(tp_identity_store *store, const tp_identity_end *what,
                                     tapeout_error *err);
// Another password's hash for a user. E_NOT_FOUND.
tapeout_status tp_identity_store_verifier(tp_identity_store *store, tp_str user, tp_str verifier,
                                          tapeout_error *err);
// Adds a key with the handle and verifier of `row` and all else of the newest that holds under
// `old`; those of its name that held before expire when `old` says. E_NOT_FOUND.
tapeout_status tp_identity_store_rotate(tp_identity_store *store, const tp_identity_end *old,
                                        const tp_identity_row *row, tapeout_error *err);

#endif
