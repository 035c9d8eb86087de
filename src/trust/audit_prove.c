// SPDX-License-Identifier: Apache-2.0
//
// tapeout_audit_prove: that an entry stands in the tree that a checkpoint signs, and that one tree
// is the begin of another, as lists of hashes that anybody can check with SHA-256 alone. The proofs
// are checked here too before they go out, by the other half of the RFC.
#include <tapeout/audit.h>

#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "table/tp_json.h"
#include "trust/audit_check.h"

#include <string.h>

enum { ROOT_OF_SIZE, ROOT_OF_FROM, ROOT_COUNT };

typedef struct proving {
    tapeout_context *context;
    const tapeout_audit_prove_options *options;
    tp_checkpoint given; // of the checkpoint's file; size 0: none
    uint64_t size;       // of the tree with the entry
    uint64_t from;       // sizes of the consistency proof; `from` 0: none
    uint64_t to;
    audit_tree tree;
    audit_root roots[ROOT_COUNT];
    audit_part parts[AUDIT_MAX_PARTS];
    size_t inclusion_count; // of the parts, the first; the others are for consistency
    size_t part_count;
    tp_buffer entry; // its line
} proving;

void tapeout_audit_prove_options_init(tapeout_audit_prove_options *options)
{
    *options = (tapeout_audit_prove_options){.struct_size = sizeof(*options)};
}

// -- what is asked for ---------------------------------------------------------------------------
static tapeout_status keep_line(void *user, const char *data, size_t size, tapeout_error *err)
{
    tp_buffer *entry = user;
    tp_buffer_append(entry, data, size - 1);
    return tp_buffer_check(entry, "audit: an entry", err);
}

static tapeout_status find_entry(proving *self, tapeout_error *err)
{
    tapeout_audit_list_options options;
    tapeout_audit_list_options_init(&options);
    options.since = self->options->sequence;
    options.limit = 1;
    TP_TRY(tapeout_audit_list(self->context, &options, keep_line, &self->entry, err));
    return self->entry.size > 0 ? TAPEOUT_OK
                                : tp_fail(err, TAPEOUT_E_NOT_FOUND, "audit: there is no entry %llu",
                                          (unsigned long long)self->options->sequence);
}

// How many entries there are: the log's own last word, checked when it is read as a whole.
static tapeout_status count_entries(tapeout_context *context, uint64_t *ret_count,
                                    tapeout_error *err)
{
    audit_tree tree;
    audit_found found = {.count = 0};
    TP_TRY(tp_audit_tree_init(&tree, err));
    const tapeout_status status =
        tp_audit_tree_read(tp_context_env(context), tp_context_home(context), &tree, &found, err);
    tp_audit_tree_deinit(&tree);
    if (status == TAPEOUT_OK) {
        *ret_count = found.count;
    }
    return status;
}

static tapeout_status read_checkpoint(proving *self, tapeout_error *err)
{
    tp_note_key key;
    if (self->options->checkpoint == NULL) {
        return TAPEOUT_OK;
    }
    if (self->options->size != 0 || self->options->from != 0) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "audit: a checkpoint gives the sizes; leave them out");
    }
    TP_TRY(tp_audit_key_find(self->context, self->options->key, &key, err));
    return tp_audit_checkpoint_file(tp_context_env(self->context)->alloc, self->options->checkpoint,
                                    &key, &self->given, err);
}

static tapeout_status set_sizes(proving *self, tapeout_error *err)
{
    uint64_t count = 0;
    const tapeout_audit_prove_options *options = self->options;
    TP_TRY(read_checkpoint(self, err));
    TP_TRY(count_entries(self->context, &count, err));
    self->size = self->given.size != 0 ? self->given.size
                 : options->size != 0  ? options->size
                                       : count;
    self->from = self->given.size != 0 ? self->given.size : options->from;
    self->to = self->given.size != 0 ? count : self->size;
    if (self->size > count || options->sequence >= self->size || self->from > self->to) {
        return tp_fail(
            err, TAPEOUT_E_NOT_FOUND,
            "audit: entry %llu in a tree of %llu, which begins with one of %llu: the log "
            "has %llu entries",
            (unsigned long long)options->sequence, (unsigned long long)self->size,
            (unsigned long long)self->from, (unsigned long long)count);
    }
    return TAPEOUT_OK;
}

// -- the parts -----------------------------------------------------------------------------------
static void want_parts(proving *self)
{
    tp_merkle_range ranges[TP_MERKLE_PROOF_MAX];
    size_t count = tp_merkle_inclusion_ranges(self->options->sequence, self->size, ranges);
    for (size_t i = 0; i < count; i++) {
        self->parts[self->part_count++].range = ranges[i];
    }
    self->inclusion_count = count;
    count = self->from == 0 ? 0 : tp_merkle_consistency_ranges(self->from, self->to, ranges);
    for (size_t i = 0; i < count; i++) {
        self->parts[self->part_count++].range = ranges[i];
    }
    self->roots[ROOT_OF_SIZE].size = self->size;
    self->roots[ROOT_OF_FROM].size = self->from;
    self->tree.roots = self->roots;
    self->tree.root_count = ROOT_COUNT;
    self->tree.parts = self->parts;
    self->tree.part_count = self->part_count;
    self->tree.leaf_index = self->options->sequence;
}

static void fill_proof(const proving *self, size_t begin, size_t end, tp_merkle_proof *ret_proof)
{
    ret_proof->count = end - begin;
    for (size_t i = begin; i < end; i++) {
        ret_proof->hashes[i - begin] = self->parts[i].root;
    }
}

// The root of the larger tree of the consistency proof.
static const tp_sha256 *root_of_to(const proving *self)
{
    return self->to == self->size ? &self->roots[ROOT_OF_SIZE].root : &self->tree.root;
}

static tapeout_status check_proofs(proving *self, tapeout_error *err)
{
    tp_merkle_proof proof;
    fill_proof(self, 0, self->inclusion_count, &proof);
    const tp_merkle_range place = {self->options->sequence, self->size};
    bool holds = tp_merkle_inclusion_holds(&self->tree.hasher, &self->tree.leaf, place, &proof,
                                           &self->roots[ROOT_OF_SIZE].root);
    if (self->from != 0) {
        const tp_sha256 roots[2] = {self->roots[ROOT_OF_FROM].root, *root_of_to(self)};
        const tp_merkle_range sizes = {self->from, self->to};
        fill_proof(self, self->inclusion_count, self->part_count, &proof);
        holds = holds && tp_merkle_consistency_holds(&self->tree.hasher, sizes, &proof, roots);
    }
    TP_TRY(tp_hasher_check(&self->tree.hasher, err));
    if (!holds) {
        return tp_fail(err, TAPEOUT_E_INTERNAL, "audit: a proof was made that does not hold");
    }
    if (self->given.size != 0 &&
        memcmp(&self->given.root, &self->roots[ROOT_OF_SIZE].root, sizeof(self->given.root)) != 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "audit: the first %llu entries are not those that %s signed",
                       (unsigned long long)self->size, self->options->checkpoint);
    }
    return TAPEOUT_OK;
}

// -- the answer ----------------------------------------------------------------------------------
static void append_hash(tp_buffer *json, const char *key, const tp_sha256 *hash)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(hash, hex);
    tp_json_append_key(json, key);
    tp_json_append_str(json, tp_str_from(hex));
}

static void append_parts(const proving *self, const char *key, size_t begin, size_t end,
                         tp_buffer *json)
{
    tp_json_append_key(json, key);
    tp_buffer_append_char(json, '[');
    for (size_t i = begin; i < end; i++) {
        char hex[TP_SHA256_HEX_SIZE + 1];
        tp_sha256_hex(&self->parts[i].root, hex);
        tp_buffer_append_text(json, i == begin ? "" : ",");
        tp_json_append_str(json, tp_str_from(hex));
    }
    tp_buffer_append_char(json, ']');
}

static void append_consistency(const proving *self, tp_buffer *json)
{
    tp_json_append_key(json, "consistency");
    tp_buffer_append_char(json, '{');
    tp_json_append_key(json, "from");
    tp_json_append_u64(json, self->from);
    append_hash(json, "from_root", &self->roots[ROOT_OF_FROM].root);
    tp_json_append_key(json, "size");
    tp_json_append_u64(json, self->to);
    append_hash(json, "root", root_of_to(self));
    append_parts(self, "hashes", self->inclusion_count, self->part_count, json);
    tp_buffer_append_char(json, '}');
}

// The checkpoint of the tree that the last hash of the proof leads to, where that is the whole log.
static tapeout_status append_checkpoint(const proving *self, tp_buffer *json, tapeout_error *err)
{
    if (self->tree.whole.count != self->to) {
        return TAPEOUT_OK;
    }
    tp_buffer text;
    const tp_checkpoint checkpoint = {self->to, self->tree.root};
    tp_buffer_init(&text, tp_context_env(self->context)->alloc, TP_MAX_CHECKPOINT_BYTES);
    const tapeout_status status = tp_audit_sign(self->context, &checkpoint, &text, err);
    if (status == TAPEOUT_OK) {
        tp_json_append_key(json, "checkpoint");
        tp_json_append_str(json, tp_buffer_view(&text));
    }
    tp_buffer_deinit(&text);
    return status;
}

static tapeout_status write_answer(const proving *self, tp_buffer *json, tapeout_error *err)
{
    tp_buffer_append_char(json, '{');
    tp_json_append_key(json, "entry");
    tp_buffer_append_str(json, tp_buffer_view(&self->entry));
    append_hash(json, "leaf", &self->tree.leaf);
    tp_json_append_key(json, "index");
    tp_json_append_u64(json, self->options->sequence);
    tp_json_append_key(json, "size");
    tp_json_append_u64(json, self->size);
    append_hash(json, "root", &self->roots[ROOT_OF_SIZE].root);
    append_parts(self, "inclusion", 0, self->inclusion_count, json);
    if (self->from != 0) {
        append_consistency(self, json);
    }
    TP_TRY(append_checkpoint(self, json, err));
    tp_buffer_append_char(json, '}');
    return TAPEOUT_OK;
}

static tapeout_status prove(proving *self, char **ret_json, tapeout_error *err)
{
    audit_found found = {.count = 0};
    TP_TRY(set_sizes(self, err));
    TP_TRY(find_entry(self, err));
    want_parts(self);
    TP_TRY(tp_audit_tree_read(tp_context_env(self->context), tp_context_home(self->context),
                              &self->tree, &found, err));
    // Others may have appended since the sizes were taken.
    if (self->given.size != 0 && self->tree.whole.count != self->to) {
        return tp_fail(err, TAPEOUT_E_BUSY, "audit: the log grew meanwhile; try again");
    }
    TP_TRY(check_proofs(self, err));
    tp_buffer json;
    tp_buffer_init(&json, tp_context_env(self->context)->alloc, TP_MAX_AUDIT_PROOF_BYTES);
    const tapeout_status status = write_answer(self, &json, err);
    if (status != TAPEOUT_OK) {
        tp_buffer_deinit(&json);
        return status;
    }
    return tp_text_from_buffer(&json, "audit: the proof", ret_json, err);
}

tapeout_status tapeout_audit_prove(tapeout_context *context,
                                   const tapeout_audit_prove_options *options, char **ret_json,
                                   tapeout_error *err)
{
    if (context == NULL || options == NULL || ret_json == NULL ||
        options->struct_size != sizeof(*options)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_audit_prove: needs a context, options made with "
                       "tapeout_audit_prove_options_init, and a place for the result");
    }
    const tapeout_allocator *alloc = tp_context_env(context)->alloc;
    proving *self = tp_alloc_zero(alloc, sizeof(*self));
    if (self == NULL) {
        return tp_fail_nomem(err);
    }
    self->context = context;
    self->options = options;
    tp_buffer_init(&self->entry, alloc, TP_MAX_AUDIT_LINE_BYTES);
    tapeout_status status = tp_audit_tree_init(&self->tree, err);
    if (status == TAPEOUT_OK) {
        status = prove(self, ret_json, err);
        tp_audit_tree_deinit(&self->tree);
    }
    tp_buffer_deinit(&self->entry);
    tp_free(alloc, self, sizeof(*self));
    return status;
}
