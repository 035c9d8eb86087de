// SPDX-License-Identifier: Apache-2.0
//
// All identities that are kept, as one picture in memory: what a request is checked against. It is
// built whole from the registry and never changed; when something has changed there, another is
// built and takes its place, and who still has the old one goes on with it to the end of a request.
//
// @thread A roster is `confined` while it is filled, then `immutable`.
#ifndef TP_ROSTER_H
#define TP_ROSTER_H

#include "trust/tp_credential.h"
#include "trust/tp_identity.h"

typedef struct tp_roster tp_roster;

// One identity as the registry keeps it.
typedef struct tp_roster_row {
    bool is_user;           // a person with a password; else an API key
    tp_str handle;          // the key's prefix, or the user's name
    tp_str verifier;        // hexadecimal of the key's hash, or the password's Argon2id
    tp_principal_spec spec; // its id and account are made here
} tp_roster_row;

typedef struct tp_roster_entry {
    tp_principal *principal;
    uint8_t hash[TP_CREDENTIAL_HASH_SIZE];     // of a key
    char password[TP_PASSWORD_HASH_TEXT_SIZE]; // of a user
} tp_roster_entry;

tapeout_status tp_roster_new(const tapeout_allocator *alloc, tp_roster **ret_roster,
                             tapeout_error *err);
// E_CORRUPT for a row that is none, E_EXISTS for a handle that is there, E_LIMIT, E_NOMEM.
tapeout_status tp_roster_add(tp_roster *roster, const tp_roster_row *row, tapeout_error *err);
size_t tp_roster_count(const tp_roster *roster);

// NULL where there is none. What has expired is found like the rest.
const tp_roster_entry *tp_roster_key(const tp_roster *roster, tp_str prefix);
const tp_roster_entry *tp_roster_user(const tp_roster *roster, tp_str name);

tp_roster *tp_roster_ref(tp_roster *roster);
void tp_roster_unref(tp_roster *roster); // accepts NULL

#endif
