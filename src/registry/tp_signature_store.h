// SPDX-License-Identifier: Apache-2.0
//
// Signatures of registered bundles, and signing keys that were taken back, in the registry's
// database: servers that share one need no folder in common. A signature is an envelope by the hash
// of its bundle and the id of its key. Whom a home believes stands in its own trust list and
// nowhere else: who can write to the database can refuse a key, and vouch for nothing.
//
// Signatures of an earlier tapeout lie in files of the home, HOME/signatures; they count as long as
// they are there and are moved into the database by the next who may write.
//
// @thread As the registry: `confined`.
#ifndef TP_SIGNATURE_STORE_H
#define TP_SIGNATURE_STORE_H

#include "registry/tp_registry.h"
#include "trust/tp_trust.h"

// For tp_admission.look. `user` is a tapeout_context, whose registry is opened for the look …
tapeout_status tp_signatures_look(void *user, tp_str sha256, tp_buffer *lines, tp_trust_list *list,
                                  tapeout_error *err);
// … or an open tp_registry.
tapeout_status tp_signatures_look_in(void *user, tp_str sha256, tp_buffer *lines,
                                     tp_trust_list *list, tapeout_error *err);

// Signs an open bundle, in place of a signature by the same key. E_LIMIT beyond TP_MAX_SIGNATURES.
tapeout_status tp_signatures_sign(tp_registry *registry, const tp_signer *signer,
                                  const tp_bundle *bundle, tapeout_error *err);
// The same in the registry of a context, and the log is told of it and of whose key it is: both or
// neither (tp_telling.h).
tapeout_status tp_signatures_sign_told(const tapeout_context *context, const tp_key_info *key,
                                       const tp_signer *signer, const tp_bundle *bundle,
                                       tapeout_error *err);
// Signs with the home's own key the bundle at `path` that is about to be registered there, which is
// what the log is told.
tapeout_status tp_signatures_sign_own(const tp_env *env, tp_registry *registry, const char *path,
                                      tapeout_error *err);
// The same for the registry of a context.
tapeout_status tp_signatures_sign_home(const tapeout_context *context, const char *path,
                                       tapeout_error *err);
// Moves the signatures that lie in files of the home into the database. A file that is damaged
// stays where it is.
tapeout_status tp_signatures_adopt(tp_registry *registry, tapeout_error *err);
// The same for the registry of a context, where there are such files.
tapeout_status tp_signatures_adopt_home(const tapeout_context *context, tapeout_error *err);

// The key is taken back for all who share the database. The first word on it stands.
tapeout_status tp_signatures_revoke(tp_registry *registry, const tp_trusted_key *key,
                                    tapeout_error *err);

#endif
