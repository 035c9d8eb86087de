// SPDX-License-Identifier: Apache-2.0
//
// Who asks, and what they may do. A principal has grants, each a role for all models of its tenant
// or for one by name, and lives in one tenant; a decision is a pure function of principal, right,
// tenant and model. Where a principal came from (an API key, a password, a token, a certificate) no
// longer matters here.
//
// Tenants are separate worlds: nothing that is granted in one reaches another, whatever the role.
// The operator's own world is TP_TENANT_OPERATOR; what shows the server as a whole belongs to it.
//
// @thread A principal is `immutable`; its references are counted atomically.
#ifndef TP_IDENTITY_H
#define TP_IDENTITY_H

#include "base/limits.h"
#include "base/tp_buffer.h"

#include <stdatomic.h>
#include <tapeout/context.h>

#define TP_TENANT_OPERATOR "default"

// Begins at one: what has no right can't be written.
typedef enum tp_right {
    TP_RIGHT_PROBE = 1, // nothing: the machinery around asks, and has no key
    TP_RIGHT_READ,      // what there is
    TP_RIGHT_SCORE,     // ask a model
    TP_RIGHT_PUBLISH,   // runs, models, versions, artifacts; aliases that no policy gates
    TP_RIGHT_APPROVE,   // move a gated alias
    TP_RIGHT_ROLLBACK,  // move it back
    TP_RIGHT_ADMIN,     // load and unload, delete, change identities
    TP_RIGHT_WATCH,     // the server as a whole: metrics, over all tenants
    TP_RIGHT_COUNT      // one more than the last
} tp_right;

typedef enum tp_role {
    TP_ROLE_VIEWER,
    TP_ROLE_SCORER,
    TP_ROLE_PUBLISHER,
    TP_ROLE_APPROVER,
    TP_ROLE_ADMIN,
    TP_ROLE_COUNT
} tp_role;

const char *tp_role_name(tp_role role);    // "viewer", ...
const char *tp_right_name(tp_right right); // "read", ...
bool tp_role_from_name(tp_str name, tp_role *ret_role);
bool tp_role_has(tp_role role, tp_right right);

typedef struct tp_grant {
    tp_role role;
    tp_str model; // empty: all models of the tenant
} tp_grant;

// What is counted, and how much of it in how long. Several of one kind hold together: a rate a
// minute and a quota a day.
typedef enum tp_countable {
    TP_COUNT_REQUESTS,
    TP_COUNT_ROWS,
    TP_COUNT_TOKENS,
    TP_COUNTABLE_COUNT
} tp_countable;

const char *tp_countable_name(tp_countable countable); // "requests", ...

typedef struct tp_rate {
    tp_countable countable;
    uint64_t count;
    uint32_t seconds;
} tp_rate;

typedef struct tp_principal {
    atomic_uint ref_count;
    const tapeout_allocator *alloc;
    size_t size_bytes;
    tp_str id;   // "key:9f2k...", "user:ann", "jwt:<issuer>#<subject>", "cert:<name>"; for logs
    tp_str name; // for people
    tp_str tenant;
    uint64_t number;        // of the account: whose limits and whose share of the machine
    uint64_t tenant_number; // of the tenant, 0 for the operator's: who may share cached prompts
    int64_t expires_us;     // of the calendar; 0: never
    uint32_t grant_count;
    uint32_t rate_count;
    tp_grant grants[TP_MAX_GRANTS];
    tp_rate rates[TP_MAX_RATES];
} tp_principal;

// What a principal is made from; the texts are copied.
typedef struct tp_principal_spec {
    tp_str id;
    tp_str account; // whose limits it has a part in; empty: its own
    tp_str name;
    tp_str tenant; // empty: the operator's
    tp_str grants; // "viewer,scorer:flight-delay"
    tp_str rates; // "requests=600/60,tokens=100000/86400": so many in so many seconds; may be empty
    int64_t expires_us;
} tp_principal_spec;

// E_INVALID names what is wrong with grants, rates or tenant; E_LIMIT, E_NOMEM.
tapeout_status tp_principal_new(const tapeout_allocator *alloc, const tp_principal_spec *spec,
                                tp_principal **ret_principal, tapeout_error *err);
tp_principal *tp_principal_ref(tp_principal *principal);
void tp_principal_unref(tp_principal *principal); // accepts NULL

// The decision. `tenant` and `model` are those of what is asked for; an empty model means all
// there are or will be, for which a grant by name is not enough. A NULL principal, nobody, may
// probe and nothing else.
bool tp_principal_may(const tp_principal *principal, tp_right right, tp_str tenant, tp_str model);
// Whether there is a model of its tenant for which it may: what a route asks before it knows which.
bool tp_principal_may_some(const tp_principal *principal, tp_right right);

// [A-Za-z0-9][A-Za-z0-9._@-]*, at most TP_MAX_IDENTITY_NAME_BYTES: names of keys, users and
// tenants.
bool tp_identity_name_is_valid(tp_str name);

// A number for a text that nobody finds a second text for: SipHash with a key of this process.
uint64_t tp_identity_number(tp_str text);

#endif
