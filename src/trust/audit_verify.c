// SPDX-License-Identifier: Apache-2.0
//
// tapeout_audit_verify: is the log what was written? By itself it shows each entry that was
// changed, left out, put in or moved. That its end was cut off, or rewritten with all hashes made
// anew, only a checkpoint shows that was kept where the writer's machine can't reach it.
#include <tapeout/audit.h>

#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "table/tp_json.h"
#include "trust/audit_check.h"

#include <stdio.h>
#include <string.h>

// A checkpoint that was given, and what came of it.
typedef struct verify_checkpoint {
    const char *file;
    tp_checkpoint signed_as;
    bool is_good;
    char reason[200];
} verify_checkpoint;

typedef struct verification {
    tapeout_context *context;
    const tapeout_audit_verify_options *options;
    verify_checkpoint *checkpoints; // [options->checkpoint_count]
    audit_root *roots;              // [options->checkpoint_count]
    audit_tree tree;
    audit_found found;
    uint64_t took_ns;
} verification;

void tapeout_audit_verify_options_init(tapeout_audit_verify_options *options)
{
    *options = (tapeout_audit_verify_options){.struct_size = sizeof(*options)};
}

// A checkpoint that can't be believed ends it: nothing can be said against it.
static tapeout_status read_checkpoints(verification *self, tapeout_error *err)
{
    tp_note_key key;
    const size_t count = self->options->checkpoint_count;
    if (count == 0) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_audit_key_find(self->context, self->options->key, &key, err));
    for (size_t i = 0; i < count; i++) {
        verify_checkpoint *checkpoint = &self->checkpoints[i];
        checkpoint->file = self->options->checkpoints[i];
        TP_TRY(tp_audit_checkpoint_file(tp_context_env(self->context)->alloc, checkpoint->file,
                                        &key, &checkpoint->signed_as, err));
        self->roots[i].size = checkpoint->signed_as.size;
    }
    return TAPEOUT_OK;
}

// The size up to which some checkpoint vouches for what is there.
static uint64_t vouched_for(const verification *self)
{
    uint64_t size = 0;
    for (size_t i = 0; i < self->options->checkpoint_count; i++) {
        const verify_checkpoint *checkpoint = &self->checkpoints[i];
        if (checkpoint->is_good && checkpoint->signed_as.size > size) {
            size = checkpoint->signed_as.size;
        }
    }
    return size;
}

static void compare_checkpoints(verification *self)
{
    const size_t count = self->options->checkpoint_count;
    for (size_t i = 0; i < count; i++) {
        self->checkpoints[i].is_good =
            self->roots[i].is_known &&
            memcmp(&self->roots[i].root, &self->checkpoints[i].signed_as.root, sizeof(tp_sha256)) ==
                0;
    }
    const unsigned long long good = vouched_for(self);
    for (size_t i = 0; i < count; i++) {
        verify_checkpoint *checkpoint = &self->checkpoints[i];
        const unsigned long long size = checkpoint->signed_as.size;
        if (checkpoint->is_good) {
            continue;
        }
        if (!self->roots[i].is_known) {
            (void)snprintf(checkpoint->reason, sizeof(checkpoint->reason),
                           "%llu entries were signed and %llu good ones are there", size,
                           (unsigned long long)self->found.count);
        } else {
            (void)snprintf(checkpoint->reason, sizeof(checkpoint->reason),
                           "of the first %llu entries, those from %llu on are not all what was "
                           "signed",
                           size, good < size ? good : 0);
        }
    }
}

// The first entry that is wrong as far as can be told, over log and checkpoints.
static void judge(verification *self)
{
    audit_found *found = &self->found;
    for (size_t i = 0; i < self->options->checkpoint_count && !found->is_bad; i++) {
        const verify_checkpoint *checkpoint = &self->checkpoints[i];
        if (checkpoint->is_good) {
            continue;
        }
        found->is_bad = true;
        found->bad = self->roots[i].is_known ? vouched_for(self) : found->count;
        (void)snprintf(found->reason, sizeof(found->reason), "%s: %s",
                       self->roots[i].is_known ? "or a later one was rewritten" : "is missing",
                       checkpoint->reason);
    }
}

static void append_hash(tp_buffer *json, const char *key, const tp_sha256 *hash)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(hash, hex);
    tp_json_put_str(json, key, tp_str_from(hex));
}

static void append_checkpoints(const verification *self, tp_buffer *json)
{
    tp_json_append_key(json, "checkpoints");
    tp_buffer_append_char(json, '[');
    for (size_t i = 0; i < self->options->checkpoint_count; i++) {
        const verify_checkpoint *checkpoint = &self->checkpoints[i];
        tp_buffer_append_text(json, i == 0 ? "{" : ",{");
        tp_json_put_str(json, "file", tp_str_from(checkpoint->file));
        tp_json_put_u64(json, "size", checkpoint->signed_as.size);
        tp_json_append_key(json, "ok");
        tp_buffer_append_text(json, checkpoint->is_good ? "true" : "false");
        tp_json_put_str(json, "reason", tp_str_from(checkpoint->reason));
        tp_buffer_append_char(json, '}');
    }
    tp_buffer_append_char(json, ']');
}

static tapeout_status write_result(const verification *self, char **ret_json, tapeout_error *err)
{
    const audit_found *found = &self->found;
    const double seconds = (double)self->took_ns * 1e-9;
    tp_buffer json;
    tp_buffer_init(&json, tp_context_env(self->context)->alloc, TP_MAX_REGISTRY_FACT_BYTES);
    tp_buffer_append_text(&json, found->is_bad ? "{\"ok\":false" : "{\"ok\":true");
    tp_json_put_u64(&json, "entries", found->count);
    append_hash(&json, "root", &self->tree.root);
    tp_json_put_u64(&json, "segments", found->segment_count);
    tp_json_put_u64(&json, "bytes", found->size_bytes);
    tp_json_put_u64(&json, "unfinished_bytes", found->tail_bytes);
    tp_json_append_key(&json, "first_bad");
    if (found->is_bad) {
        tp_json_append_u64(&json, found->bad);
    } else {
        tp_buffer_append_text(&json, "null");
    }
    tp_json_append_key(&json, "reason");
    tp_json_append_str(&json, tp_str_from(found->reason));
    append_checkpoints(self, &json);
    tp_json_append_key(&json, "seconds");
    tp_json_append_f64(&json, seconds);
    tp_json_append_key(&json, "records_per_second");
    tp_json_append_u64(&json, seconds > 0 ? (uint64_t)((double)found->count / seconds) : 0);
    tp_buffer_append_char(&json, '}');
    return tp_text_from_buffer(&json, "audit: the result", ret_json, err);
}

static tapeout_status verify(verification *self, char **ret_json, tapeout_error *err)
{
    TP_TRY(read_checkpoints(self, err));
    self->tree.roots = self->roots;
    self->tree.root_count = self->options->checkpoint_count;
    const uint64_t begin_ns = tp_clock_monotonic_ns();
    const tapeout_status status =
        tp_audit_tree_read(tp_context_env(self->context), tp_context_home(self->context),
                           &self->tree, &self->found, err);
    self->took_ns = tp_clock_monotonic_ns() - begin_ns;
    if (status != TAPEOUT_OK && !self->found.is_bad) {
        return status;
    }
    compare_checkpoints(self);
    judge(self);
    TP_TRY(write_result(self, ret_json, err));
    return self->found.is_bad
               ? tp_fail_at(err, TAPEOUT_E_CORRUPT, self->found.bad, "audit: entry %llu %s",
                            (unsigned long long)self->found.bad, self->found.reason)
               : TAPEOUT_OK;
}

tapeout_status tapeout_audit_verify(tapeout_context *context,
                                    const tapeout_audit_verify_options *options, char **ret_json,
                                    tapeout_error *err)
{
    if (context == NULL || options == NULL || ret_json == NULL ||
        options->struct_size != sizeof(*options)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_audit_verify: needs a context, options made with "
                       "tapeout_audit_verify_options_init, and a place for the result");
    }
    const tapeout_allocator *alloc = tp_context_env(context)->alloc;
    const size_t count = options->checkpoint_count;
    verification self = {.context = context, .options = options};
    self.checkpoints = tp_alloc_array_zero(alloc, count + 1, sizeof(*self.checkpoints));
    self.roots = tp_alloc_array_zero(alloc, count + 1, sizeof(*self.roots));
    tapeout_status status = self.checkpoints == NULL || self.roots == NULL
                                ? tp_fail_nomem(err)
                                : tp_audit_tree_init(&self.tree, err);
    if (status == TAPEOUT_OK) {
        status = verify(&self, ret_json, err);
        tp_audit_tree_deinit(&self.tree);
    }
    tp_free_array(alloc, self.roots, count + 1, sizeof(*self.roots));
    tp_free_array(alloc, self.checkpoints, count + 1, sizeof(*self.checkpoints));
    return status;
}
