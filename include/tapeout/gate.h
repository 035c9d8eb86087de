// SPDX-License-Identifier: Apache-2.0
//
// The gate before production: a policy says what a version has to show before an alias that the
// policy names moves to it; promoting holds the policy against the version, keeps what was found
// with the decision, and moves the alias. docs/gate.md explains policies to users.
//
// @thread All calls are `synchronized`, over processes too.
#ifndef TAPEOUT_GATE_H
#define TAPEOUT_GATE_H

#include <tapeout/context.h>

#ifdef __cplusplus
extern "C" {
#endif

// Makes the file the policy of the home from now on: {"sha256", "set", "by", "policy"}. Lists that
// it names are found beside it. E_INVALID with line and column for a policy that is none.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_policy_set(tapeout_context *context,
                                                                const char *path, const char *by,
                                                                char **ret_json,
                                                                tapeout_error *err);

// The policy in force, in the same form; E_NOT_FOUND where none was ever set.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_policy_show(tapeout_context *context,
                                                                 char **ret_json,
                                                                 tapeout_error *err);

// Holds the policy against a registered version and moves nothing: {"model", "version", "sha256",
// "policy_sha256", "checks": [{"name", "want", "got", "passed"}], "passed"}. OK also where it does
// not pass.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_gate_check(tapeout_context *context,
                                                                const char *model, char **ret_json,
                                                                tapeout_error *err);

// What a decision is about, and who takes it.
typedef struct tapeout_decision {
    uint32_t struct_size;
    const char *model;  // promote: "name:version"; rollback: "name"
    const char *alias;  // "prod"
    const char *by;     // the person; NULL: the user that runs the process
    const char *reason; // for people; NULL: none
} tapeout_decision;

TAPEOUT_API void tapeout_decision_init(tapeout_decision *decision);

// Moves the alias to the version where the policy allows it: what tapeout_gate_check gives, and
// "alias", "from" (the version before; null), "by", "reason". E_GATE where a check does not pass;
// the JSON is there then too, and nothing has moved. E_BUSY where somebody else moved the alias
// meanwhile.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_promote(tapeout_context *context,
                                                             const tapeout_decision *decision,
                                                             char **ret_json, tapeout_error *err);

// Moves the alias back to where it pointed before: {"model", "alias", "from", "version", "by",
// "reason"}. E_NOT_FOUND where there is nothing to go back to.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_rollback(tapeout_context *context,
                                                              const tapeout_decision *decision,
                                                              char **ret_json, tapeout_error *err);

#ifdef __cplusplus
}
#endif

#endif
