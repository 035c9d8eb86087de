// SPDX-License-Identifier: Apache-2.0
//
// The audit log of a home: what happened, provably in that order (docs/audit.md). Commands and the
// server write it as they do what it tells; here it is read, checked and proved.
//
// @thread All calls are `synchronized`, over processes too.
#ifndef TAPEOUT_AUDIT_H
#define TAPEOUT_AUDIT_H

#include <tapeout/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tapeout_audit_list_options {
    uint32_t struct_size;
    uint64_t since;   // the first sequence number wanted
    uint64_t limit;   // at most so many entries; 0: all
    const char *kind; // only of this kind, or with it and a '.' in front: "model"; NULL: all
} tapeout_audit_list_options;

TAPEOUT_API void tapeout_audit_list_options_init(tapeout_audit_list_options *options);

// Hands the entries on as they are stored, a line of JSON each, in order: {"seq", "batch", "time",
// "prev", "kind", "who", "what": {...}, "leaf"}. E_CORRUPT at the first that is damaged.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status
tapeout_audit_list(tapeout_context *context, const tapeout_audit_list_options *options,
                   tapeout_write_fn write, void *write_user, tapeout_error *err);

typedef struct tapeout_audit_verify_options {
    uint32_t struct_size;
    const char *const *checkpoints; // files with checkpoints that were kept elsewhere
    size_t checkpoint_count;
    const char *key; // file with the log's public key as it was kept; NULL: the log's own
} tapeout_audit_verify_options;

TAPEOUT_API void tapeout_audit_verify_options_init(tapeout_audit_verify_options *options);

// Checks every entry, the order, and that the log still begins with what the checkpoints signed:
// {"ok", "entries", "root", "segments", "bytes", "unfinished_bytes", "first_bad", "reason",
// "checkpoints": [{"file", "size", "ok", "reason"}], "seconds", "records_per_second"}.
// E_CORRUPT where the log is not what was written, and then `*ret_json` is set too.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status
tapeout_audit_verify(tapeout_context *context, const tapeout_audit_verify_options *options,
                     char **ret_json, tapeout_error *err);

// Signs the log as it is now: the text of a C2SP checkpoint. Entries are checked on the way.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_audit_checkpoint(tapeout_context *context,
                                                                      char **ret_text,
                                                                      tapeout_error *err);

typedef struct tapeout_audit_prove_options {
    uint32_t struct_size;
    uint64_t sequence;      // of the entry
    uint64_t size;          // of the tree that it is proved to stand in; 0: the log as it is
    uint64_t from;          // size of a smaller tree that is proved to be its begin; 0: none
    const char *checkpoint; // file that gives the size, and is proved to be the begin of the log
    const char *key;        // as above
} tapeout_audit_prove_options;

TAPEOUT_API void tapeout_audit_prove_options_init(tapeout_audit_prove_options *options);

// {"entry": {...}, "leaf", "index", "size", "root", "inclusion": [hashes], "consistency":
// {"from", "from_root", "size", "root", "hashes": [...]}, "checkpoint": text}; hashes in
// hexadecimal. With a checkpoint, inclusion is in its tree and consistency from there to now;
// without one a new checkpoint of the tree is signed where it is the whole log.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status
tapeout_audit_prove(tapeout_context *context, const tapeout_audit_prove_options *options,
                    char **ret_json, tapeout_error *err);

#ifdef __cplusplus
}
#endif

#endif
