// SPDX-License-Identifier: Apache-2.0
//
// From entries to a tree, and the files that somebody kept to compare it with.
#include "trust/audit_check.h"

#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_file.h"

tapeout_status tp_audit_tree_init(audit_tree *tree, tapeout_error *err)
{
    *tree = (audit_tree){.leaf_index = UINT64_MAX};
    return tp_hasher_init(&tree->hasher, err);
}

void tp_audit_tree_deinit(audit_tree *tree)
{
    tp_hasher_deinit(&tree->hasher);
}

static void note_roots(audit_tree *tree)
{
    for (size_t i = 0; i < tree->root_count; i++) {
        if (tree->roots[i].size == tree->whole.count) {
            tp_merkle_root(&tree->whole, &tree->hasher, &tree->roots[i].root);
            tree->roots[i].is_known = true;
        }
    }
}

static tapeout_status on_leaf(void *user, uint64_t sequence, const tp_sha256 *leaf,
                              tapeout_error *err)
{
    audit_tree *tree = user;
    tp_merkle_add(&tree->whole, &tree->hasher, leaf);
    note_roots(tree);
    for (size_t i = 0; i < tree->part_count; i++) {
        audit_part *part = &tree->parts[i];
        if (sequence >= part->range.begin && sequence < part->range.end) {
            tp_merkle_add(&part->tree, &tree->hasher, leaf);
        }
    }
    if (sequence == tree->leaf_index) {
        tree->leaf = *leaf;
    }
    return tp_hasher_check(&tree->hasher, err);
}

tapeout_status tp_audit_tree_read(const tp_env *env, const char *home, audit_tree *tree,
                                  audit_found *ret_found, tapeout_error *err)
{
    char directory[TP_MAX_PATH_BYTES];
    const audit_visitor visitor = {on_leaf, tree};
    TP_TRY(tp_audit_path(home, "audit", directory, err));
    note_roots(tree);
    TP_TRY(tp_audit_walk(env, directory, &visitor, ret_found, err));
    tp_merkle_root(&tree->whole, &tree->hasher, &tree->root);
    for (size_t i = 0; i < tree->part_count; i++) {
        tp_merkle_root(&tree->parts[i].tree, &tree->hasher, &tree->parts[i].root);
    }
    TP_TRY(tp_hasher_check(&tree->hasher, err));
    return ret_found->is_bad
               ? tp_fail_at(err, TAPEOUT_E_CORRUPT, ret_found->bad, "audit: entry %llu %s",
                            (unsigned long long)ret_found->bad, ret_found->reason)
               : TAPEOUT_OK;
}

static tapeout_status read_key(const tapeout_allocator *alloc, const char *file,
                               tp_note_key *ret_key, tapeout_error *err)
{
    tp_str text = {NULL, 0};
    TP_TRY(tp_file_read(alloc, file, TP_MAX_CHECKPOINT_BYTES, &text, err));
    const tapeout_status status = tp_note_key_read(text, ret_key, err);
    tp_audit_text_free(alloc, text);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "%s", file);
    }
    return status;
}

tapeout_status tp_audit_key_find(tapeout_context *context, const char *file, tp_note_key *ret_key,
                                 tapeout_error *err)
{
    const tapeout_allocator *alloc = tp_context_env(context)->alloc;
    return file != NULL ? read_key(alloc, file, ret_key, err)
                        : tp_note_key_open(alloc, tp_context_home(context), ret_key, err);
}

tapeout_status tp_audit_checkpoint_file(const tapeout_allocator *alloc, const char *path,
                                        const tp_note_key *key, tp_checkpoint *ret_checkpoint,
                                        tapeout_error *err)
{
    tp_str text = {NULL, 0};
    TP_TRY(tp_file_read(alloc, path, TP_MAX_CHECKPOINT_BYTES, &text, err));
    const tapeout_status status = tp_checkpoint_read(text, key, ret_checkpoint, err);
    tp_audit_text_free(alloc, text);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "%s", path);
    }
    return status;
}
