// SPDX-License-Identifier: Apache-2.0
//
// The log read as a tree: its root, the roots it had at smaller sizes, and the subtrees that proofs
// are made of, all in one pass.
#ifndef AUDIT_CHECK_H
#define AUDIT_CHECK_H

#include "trust/audit_walk.h"
#include "trust/tp_checkpoint.h"

enum { AUDIT_MAX_PARTS = 2 * TP_MERKLE_PROOF_MAX + 4 };

// A subtree that is wanted.
typedef struct audit_part {
    tp_merkle_range range;
    tp_merkle tree;
    tp_sha256 root; // once all its leaves were read
} audit_part;

// The root of the first `size` entries.
typedef struct audit_root {
    uint64_t size;
    tp_sha256 root;
    bool is_known; // the log has as many
} audit_root;

typedef struct audit_tree {
    tp_hasher hasher;
    tp_merkle whole;
    tp_sha256 root;    // of all that was read
    audit_root *roots; // [root_count] wanted; the caller's memory
    size_t root_count;
    audit_part *parts; // [part_count] wanted; the caller's memory
    size_t part_count;
    uint64_t leaf_index; // whose leaf hash is wanted
    tp_sha256 leaf;
} audit_tree;

tapeout_status tp_audit_tree_init(audit_tree *tree, tapeout_error *err);
void tp_audit_tree_deinit(audit_tree *tree);
// Reads the log of `home` into the tree. With `ret_found` told apart what is wrong with the log is
// there; E_CORRUPT all the same.
tapeout_status tp_audit_tree_read(const tp_env *env, const char *home, audit_tree *tree,
                                  audit_found *ret_found, tapeout_error *err);

// The key to check checkpoints with: of the file, or the log's own where it is NULL.
tapeout_status tp_audit_key_find(tapeout_context *context, const char *file, tp_note_key *ret_key,
                                 tapeout_error *err);
// A checkpoint from a file, checked by the key.
tapeout_status tp_audit_checkpoint_file(const tapeout_allocator *alloc, const char *path,
                                        const tp_note_key *key, tp_checkpoint *ret_checkpoint,
                                        tapeout_error *err);
// Appends the text of the checkpoint, signed with the log's own key.
tapeout_status tp_audit_sign(tapeout_context *context, const tp_checkpoint *checkpoint,
                             tp_buffer *text, tapeout_error *err);

#endif
