// SPDX-License-Identifier: Apache-2.0
//
// Single things of the registry: models, versions, tags, aliases, origins, and answers that are
// given again. Every call here is part of a transaction that the caller has begun, so that several
// of them happen together or not at all; docs/internals/registry.md says of which kind.
//
// @thread As the store: `confined`.
#ifndef TP_ENTRY_H
#define TP_ENTRY_H

#include "base/tp_arena.h"
#include "base/tp_buffer.h"
#include "registry/tp_store.h"

// -- finding -------------------------------------------------------------------------------------
// A model, or one of its versions.
typedef struct tp_entry {
    int64_t model_id;
    int64_t version; // 0: the model itself
} tp_entry;

// E_NOT_FOUND where there is no such model or version. `version` 0: the model itself.
tapeout_status tp_entry_find(tp_store *store, tp_str model, int64_t version, tp_entry *ret_entry,
                             tapeout_error *err);

// -- models (TP_STORE_ALONE) ---------------------------------------------------------------------
typedef struct tp_model_facts {
    tp_str name;
    tp_str description;
    tp_str owner;
    int64_t now_us;
} tp_model_facts;

// E_EXISTS where there is one already; a name that was removed may come again, and its numbers go
// on where they were. E_INVALID for a name that is none.
tapeout_status tp_model_create(tp_store *store, const tp_model_facts *facts, tapeout_error *err);

// Gives it another name. E_EXISTS.
tapeout_status tp_model_rename(tp_store *store, tp_str name, tp_str new_name, tapeout_error *err);

// With all its versions and tags; E_BUSY while one of its aliases is there. The blobs stay until
// tp_registry_sweep.
tapeout_status tp_model_remove(tp_store *store, tp_str name, tapeout_error *err);

// -- versions (TP_STORE_ALONE) -------------------------------------------------------------------
typedef struct tp_version_facts {
    tp_str model;  // made when it is new
    tp_str sha256; // of a blob that is in its place; empty: none, and it cannot be run
    int64_t size_bytes;
    int64_t now_us;
    bool is_refused;
    tp_str reason;
    tp_str gates;   // JSON array
    tp_str timings; // JSON object
    tp_str facts;   // JSON object
    tp_str description;
    tp_str owner;
    tp_str source; // MLflow's: where it was logged
    tp_str run_id;
    tp_str logged_model_id;
} tp_version_facts;

// Gives it the next number of its model, without a gap.
tapeout_status tp_version_create(tp_store *store, const tp_version_facts *facts,
                                 tp_entry *ret_entry, tapeout_error *err);

// E_BUSY while an alias points to it. Its number is not given again; its blob stays until
// tp_registry_sweep.
tapeout_status tp_version_remove(tp_store *store, tp_str model, int64_t version,
                                 tapeout_error *err);

// -- what people say (TP_STORE_ROWS) -------------------------------------------------------------
typedef enum tp_entry_text {
    TP_ENTRY_DESCRIPTION,
    TP_ENTRY_OWNER,
    TP_ENTRY_STAGE // of a version alone
} tp_entry_text;

tapeout_status tp_entry_set_text(tp_store *store, const tp_entry *entry, tp_entry_text which,
                                 tp_str text, tapeout_error *err);

// At most TP_MAX_TAG_KEY_BYTES and TP_MAX_TAG_VALUE_BYTES, E_LIMIT. Setting replaces.
tapeout_status tp_tag_set(tp_store *store, const tp_entry *entry, tp_str key, tp_str value,
                          tapeout_error *err);
tapeout_status tp_tag_remove(tp_store *store, const tp_entry *entry, tp_str key,
                             tapeout_error *err); // E_NOT_FOUND

// One thing that a version comes from or goes to: kind "data", "spec", "code", "source", "run",
// "endpoint". Said twice it stands there once.
tapeout_status tp_origin_add(tp_store *store, const tp_entry *version, const char *kind, tp_str ref,
                             tapeout_error *err);

// -- aliases (TP_STORE_ALONE) --------------------------------------------------------------------
typedef enum tp_alias_kind {
    TP_ALIAS_SET,
    TP_ALIAS_REMOVE,
    TP_ALIAS_PROMOTE,
    TP_ALIAS_ROLLBACK
} tp_alias_kind;

enum { TP_ALIAS_ANYWHERE = -1 };

typedef struct tp_alias_move {
    tp_str model;
    tp_str alias;
    tp_alias_kind kind;
    int64_t to_version; // 0 to remove
    // The alias moves only if it points here now; 0: nowhere yet; TP_ALIAS_ANYWHERE: wherever.
    int64_t from_version;
    tp_str who;
    tp_str evidence;      // JSON, kept as it is; empty: {}
    tp_str policy_sha256; // promote: of the policy that was looked at; empty: none was ever set
    int64_t now_us;
} tp_alias_move;

// Moves the alias and appends the move to its history. An alias that is there already stays, and no
// move is recorded unless it is promoted through the gate. E_BUSY where it does not point to
// `from_version` or the policy is another one by now, E_NOT_FOUND for a version, or an alias to
// remove, that is not there, E_GATE for a version that was refused and for rolling a gated alias
// back to one that was never promoted to it through the gate, E_DENIED for setting or removing an
// alias that the policy gates, E_INVALID for a word that is no alias.
// `*ret_from` (may be NULL): where it pointed.
tapeout_status tp_alias_apply(tp_store *store, const tp_alias_move *move, int64_t *ret_from,
                              tapeout_error *err);

// Where it points; 0: nowhere.
tapeout_status tp_alias_version(tp_store *store, tp_str model, tp_str alias, int64_t *ret_version,
                                tapeout_error *err);

// Appends a JSON array of moves, oldest first: {"id", "alias", "kind", "from", "to", "who",
// "time_us", "evidence"}. An empty `alias`: of all of the model.
tapeout_status tp_alias_history(tp_store *store, tp_str model, tp_str alias, tp_buffer *json,
                                tapeout_error *err);

// -- policy (TP_STORE_ALONE to keep one) ---------------------------------------------------------
typedef struct tp_policy_record {
    tp_str text;
    tp_str directory; // what paths in it are relative to
    tp_str sha256;    // of the text, in hexadecimal
    tp_str who;
    int64_t set_us;
    const tp_str *gated; // [gated_count] aliases; only to keep one
    size_t gated_count;
} tp_policy_record;

// From the commit on it is the one in force. Those before it stay in their table.
tapeout_status tp_policy_keep(tp_store *store, const tp_policy_record *policy, tapeout_error *err);

// The one in force, its texts in `arena`. E_NOT_FOUND where none was ever set.
tapeout_status tp_policy_last(tp_store *store, tp_arena *arena, tp_policy_record *ret_policy,
                              tapeout_error *err);

// Whether an alias moves by the gate alone. Without a policy that is prod.
tapeout_status tp_alias_is_gated(tp_store *store, tp_str alias, bool *ret_is_gated,
                                 tapeout_error *err);

// -- answers -------------------------------------------------------------------------------------
// A request that may be sent twice. All borrowed.
typedef struct tp_request {
    const char *scope; // of the key: what is asked for
    tp_str key;        // 1 to TP_MAX_ANSWER_KEY_BYTES bytes, by whoever asks
    tp_str content;    // what must be the same for the key to stand for it: a hash, for example
} tp_request;

// The answer to an earlier one with this key, appended to `ret_answer`; `*ret_is_found` false where
// there is none. E_INVALID where the key was used for another request.
tapeout_status tp_answer_find(tp_store *store, const tp_request *request, tp_buffer *ret_answer,
                              bool *ret_is_found, tapeout_error *err);
// Keeps it, in the transaction that does what it tells of.
tapeout_status tp_answer_keep(tp_store *store, const tp_request *request, tp_str answer,
                              tapeout_error *err);

#endif
