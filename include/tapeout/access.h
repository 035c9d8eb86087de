// SPDX-License-Identifier: Apache-2.0
//
// Who may use the server of a home: API keys for programs, users with passwords for people
// (docs/access.md). A key is told once, when it is made; kept is only what it can be checked by. A
// running server follows a change within a second.
//
// @thread All calls are `synchronized`, over processes too.
#ifndef TAPEOUT_ACCESS_H
#define TAPEOUT_ACCESS_H

#include <tapeout/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tapeout_access_kind { TAPEOUT_ACCESS_KEY, TAPEOUT_ACCESS_USER } tapeout_access_kind;

// What an identity is and may do.
typedef struct tapeout_access_spec {
    uint32_t struct_size;
    tapeout_access_kind kind;
    const char *name;   // letters, digits and ._@-
    const char *tenant; // NULL: "default", the operator's own
    const char *roles;  // "viewer,scorer:flight-delay": for all models, or for one
    const char
        *limits; // "requests=600/60,tokens=100000/86400": so many in so many seconds; NULL: none
    uint64_t valid_s;     // 0: until it is revoked
    const char *password; // of a user: 8 to 1024 bytes
} tapeout_access_spec;

TAPEOUT_API void tapeout_access_spec_init(tapeout_access_spec *spec);

// Makes an identity. `*ret_json`, freed with tapeout_text_free, is what tapeout_access_list says of
// it, and for a key {"key": "tpk_..."} before it: the only time that it is told. E_EXISTS where the
// name is in use, E_INVALID with what is wrong.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_access_new(tapeout_context *context,
                                                                const tapeout_access_spec *spec,
                                                                char **ret_json,
                                                                tapeout_error *err);

// Another key in place of the one of that name or prefix, with all that it may; the old one holds
// for `overlap_s` more seconds. E_NOT_FOUND.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_access_rotate(tapeout_context *context,
                                                                   const char *key,
                                                                   uint64_t overlap_s,
                                                                   char **ret_json,
                                                                   tapeout_error *err);

// Another password for a user; what was open with the old one is refused from then on. E_NOT_FOUND.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_access_password(tapeout_context *context,
                                                                     const char *user,
                                                                     const char *password,
                                                                     char **ret_json,
                                                                     tapeout_error *err);

// Ends what goes by that name (a key's prefix is one too): {"kind", "name", "revoked"}.
// E_NOT_FOUND.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_access_revoke(tapeout_context *context,
                                                                   tapeout_access_kind kind,
                                                                   const char *name,
                                                                   char **ret_json,
                                                                   tapeout_error *err);

// {"identities": [{"kind", "name", "prefix", "tenant", "roles", "limits", "created", "expires",
// "revoked"}]}, the oldest first. "prefix" is a key's; times are null where there is none.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_access_list(tapeout_context *context,
                                                                 tapeout_access_kind kind,
                                                                 char **ret_json,
                                                                 tapeout_error *err);

#ifdef __cplusplus
}
#endif

#endif
