// SPDX-License-Identifier: Apache-2.0
//
// Who is believed, and whether a bundle was signed by them. A signature names a bundle's bytes by
// the hash of its manifest, which the bundle's reader has compared with every byte; so a bundle
// that is open and hashed is checked by its manifest alone, on the file whose bytes are then used.
// docs/internals/trust.md says why that is enough.
#ifndef TP_TRUST_H
#define TP_TRUST_H

#include "base/tp_arena.h"
#include "trust/tp_key.h"

// -- the trust list ------------------------------------------------------------------------------
enum { TP_TRUST_REASON_SIZE = 257 };

typedef struct tp_trusted_key {
    tp_public_key key;
    char name[TP_KEY_NAME_SIZE];
    char person[TP_KEY_PERSON_SIZE];
    int64_t added_s; // since 1970, as the next three
    int64_t from_s;
    int64_t until_s;   // INT64_MAX: without end
    int64_t revoked_s; // 0: not revoked
    char reason[TP_TRUST_REASON_SIZE];
} tp_trusted_key;

typedef struct tp_trust_list {
    const tapeout_allocator *alloc;
    tp_trusted_key *keys; // [count] in the order in which they were added
    size_t count;
    size_t capacity;
} tp_trust_list;

// HOME/trust.json. A home without one trusts nobody; E_DENIED where others may write the file.
tapeout_status tp_trust_list_open(const tapeout_allocator *alloc, const char *home,
                                  tp_trust_list *ret_list, tapeout_error *err);
tapeout_status tp_trust_list_parse(const tapeout_allocator *alloc, tp_str text,
                                   tp_trust_list *ret_list, tapeout_error *err);
tapeout_status tp_trust_list_read(const tapeout_allocator *alloc, const char *path,
                                  tp_trust_list *ret_list, tapeout_error *err);
// A list of this one key, always valid.
tapeout_status tp_trust_list_of(const tapeout_allocator *alloc, const tp_key_info *info,
                                tp_trust_list *ret_list, tapeout_error *err);
// A key as the options of the public call want it trusted.
struct tapeout_trust_options;
tapeout_status tp_trusted_key_fill(const struct tapeout_trust_options *options,
                                   const tp_key_info *info, tp_trusted_key *key,
                                   tapeout_error *err);
// A text that a person gave, of fewer than `size` bytes, without control characters.
tapeout_status tp_trust_text(const char *text, const char *what, char *ret_text, size_t size,
                             tapeout_error *err);
void tp_trust_list_free(tp_trust_list *list); // accepts an empty one
const tp_trusted_key *tp_trust_list_find(const tp_trust_list *list, const tp_sha256 *id);
void tp_trust_list_append(tp_buffer *json, const tp_trust_list *list); // as in the file

// Adds a key or sets its name, person and validity anew. A revoked one stays revoked: E_DENIED.
tapeout_status tp_trust_list_add(const tapeout_allocator *alloc, const char *home,
                                 const tp_trusted_key *key, tapeout_error *err);
// Marks a key of the list as revoked where it is not yet; in memory alone. `key_id` in hexadecimal.
void tp_trust_list_take_back(tp_trust_list *list, tp_str key_id, tp_str reason, int64_t revoked_s);
// Adds a home's own key where the list does not have it.
tapeout_status tp_trust_list_ensure(const tapeout_allocator *alloc, const char *home,
                                    const tp_key_info *info, tapeout_error *err);
// `key` is a name, an id or the beginning of one. E_NOT_FOUND, E_INVALID where it is not one key's.
tapeout_status tp_trust_list_revoke(const tapeout_allocator *alloc, const char *home,
                                    const char *key, const char *reason, tp_trusted_key *ret_key,
                                    tapeout_error *err);

// -- statements ----------------------------------------------------------------------------------
// What a signature is asked to name.
typedef struct tp_signed {
    tp_str name;           // of the bundle
    tp_sha256 manifest;    // of its manifest
    const tp_sha256 *file; // of all its bytes; NULL: the manifest decides
} tp_signed;

// Of an open bundle, whose name is borrowed; without the hash of the file.
tp_signed tp_signed_of(const tp_bundle *bundle);

typedef struct tp_statement {
    char name[TP_MAX_MODEL_NAME_BYTES + 1];
    tp_sha256 file;
    tp_sha256 manifest;
    int64_t signed_s; // since 1970, as the signer says
} tp_statement;

// The in-toto statement over a bundle.
tapeout_status tp_statement_write(const tp_bundle *bundle, int64_t now_s, tp_buffer *text,
                                  tapeout_error *err);
tapeout_status tp_statement_parse(const tapeout_allocator *alloc, tp_str text,
                                  tp_statement *ret_statement, tapeout_error *err);

// -- signatures ----------------------------------------------------------------------------------
typedef enum tp_signature_state {
    TP_SIGNATURE_GOOD,    // a trusted key's, valid when it signed and now
    TP_SIGNATURE_UNKNOWN, // a key that nobody here trusts
    TP_SIGNATURE_REVOKED, // a key that was taken back, whenever it signed
    TP_SIGNATURE_EXPIRED, // a key that is not valid now, or was not when it signed
    TP_SIGNATURE_BROKEN   // malformed, or not the key's, or of another bundle
} tp_signature_state;

typedef struct tp_signature_check {
    tp_signature_state state;
    bool has_key_id;
    tp_sha256 key_id;
    const tp_trusted_key *key; // in the list; NULL: unknown
    int64_t signed_s;          // 0: not known
    const char *why;           // a sentence; NULL where it is good
} tp_signature_check;

typedef struct tp_verdict {
    bool is_trusted; // one or more are good and none is broken
    size_t count;
    size_t good_count;
    const tp_signature_check *checks; // [count] in the arena
} tp_verdict;

typedef struct tp_inquiry {
    const tp_trust_list *list; // outlives the verdict
    const tp_signed *what;
    int64_t now_s; // since 1970
} tp_inquiry;

// The lines of a signature file against a trust list. E_NOMEM, E_LIMIT; all else is a verdict.
tapeout_status tp_signatures_check(tp_arena *arena, tp_str lines, const tp_inquiry *inquiry,
                                   tp_verdict *ret_verdict, tapeout_error *err);
// Sets the state of a signature that is its key's by the key's validity: revoked ones are worth
// nothing whenever they signed, and a key must be valid today and on the date that it wrote
// (check->signed_s; 0: it wrote none).
void tp_trust_judge(tp_signature_check *check, int64_t now_s);
// E_UNTRUSTED with a sentence that begins with `what`; OK for a good verdict.
tapeout_status tp_verdict_status(const tp_verdict *verdict, const char *what, tapeout_error *err);
void tp_verdict_append(tp_buffer *json, const tp_verdict *verdict); // an array, an object each

// Where signatures lie: beside a bundle's path, or in a home under the hash of its bytes.
tapeout_status tp_signature_path(const char *bundle_path, char ret_path[TP_MAX_PATH_BYTES],
                                 tapeout_error *err);
tapeout_status tp_signature_home_path(const char *home, tp_str sha256,
                                      char ret_path[TP_MAX_PATH_BYTES], tapeout_error *err);
// The file's lines, freed with tp_free(alloc, data, size + 1); {NULL, 0} where there is none.
tapeout_status tp_signature_read(const tapeout_allocator *alloc, const char *path, tp_str *ret_text,
                                 tapeout_error *err);
// Adds an envelope to the file, in place of one by the same key.
tapeout_status tp_signature_add(const tapeout_allocator *alloc, const char *path, tp_str envelope,
                                tapeout_error *err);

// Appends the envelope of a signature over an open bundle.
tapeout_status tp_trust_envelope(const tapeout_allocator *alloc, const tp_signer *signer,
                                 const tp_bundle *bundle, tp_buffer *envelope, tapeout_error *err);
// Signs an open bundle into the file of signatures at `path`.
tapeout_status tp_trust_sign(const tapeout_allocator *alloc, const tp_signer *signer,
                             const tp_bundle *bundle, const char *path, tapeout_error *err);

// -- loading -------------------------------------------------------------------------------------
// Appends the lines of the signatures that the registry keeps of a bundle, and marks the keys of
// the list that it knows to be revoked. `lines` NULL: the keys alone.
typedef tapeout_status tp_trust_look(void *user, tp_str sha256, tp_buffer *lines,
                                     tp_trust_list *list, tapeout_error *err);

// What is asked of a bundle before it is used.
typedef struct tp_admission {
    const char *home;
    const char *path; // of the bundle
    tp_str sha256;    // by which the registry knows it; empty: a path, which is its owner's affair
    bool allow_unsigned; // said by the operator
    tp_trust_look *look; // for registered ones, besides the files of the home; NULL: nothing more
    void *look_user;
} tp_admission;

enum { TP_SIGNERS_SIZE = 256 };

typedef struct tp_admitted {
    bool is_trusted;
    char signers[TP_SIGNERS_SIZE]; // "alice, home"; "unsigned" or "untrusted"
} tp_admitted;

// The verdict over an open bundle's signatures, wherever they are kept. `ret_list` outlives the
// verdict, and is freed by the caller; on failure there is none.
tapeout_status tp_trust_check(tp_arena *arena, const tp_signed *what, const tp_admission *asked,
                              tp_trust_list *ret_list, tp_verdict *ret_verdict, tapeout_error *err);

// Whether an open bundle may be used. One from the registry must have a trusted signature, unless
// unsigned ones are allowed, and be the one that the registry means: E_UNTRUSTED. A broken
// signature is never allowed. A path's is told as it is.
tapeout_status tp_trust_admit(const tapeout_allocator *alloc, const tp_signed *what,
                              const tp_admission *asked, tp_admitted *ret_admitted,
                              tapeout_error *err);
// Opens the bundle at asked->path, checks every byte, and admits it, before anything is made of it.
tapeout_status tp_trust_open(const tp_env *env, const tp_admission *asked, tp_bundle **ret_bundle,
                             tp_admitted *ret_admitted, tapeout_error *err);
// Appends `"signed": "WHO"` and `"signatures": [...]` of an open bundle, trusted or not.
tapeout_status tp_trust_append(const tapeout_allocator *alloc, const tp_bundle *bundle,
                               const tp_admission *asked, tp_buffer *json, tapeout_error *err);

#endif
