// SPDX-License-Identifier: Apache-2.0
//
// Listing, and signing the log as it is.
#include <tapeout/audit.h>

#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "trust/audit_check.h"
#include "trust/tp_checkpoint.h"

#include <string.h>

// -- listing -------------------------------------------------------------------------------------
void tapeout_audit_list_options_init(tapeout_audit_list_options *options)
{
    *options = (tapeout_audit_list_options){.struct_size = sizeof(*options)};
}

typedef struct listing {
    const tapeout_audit_list_options *options;
    tapeout_write_fn write;
    void *user;
    uint64_t next;
    uint64_t count; // so far
} listing;

// "model" is for "model.loaded" too.
static bool is_wanted(const listing *self, const audit_record *record)
{
    if (record->sequence < self->options->since) {
        return false;
    }
    if (self->options->kind == NULL) {
        return true;
    }
    const tp_str kind = tp_str_from(self->options->kind);
    return tp_str_has_prefix(record->kind, kind) &&
           (record->kind.size == kind.size || record->kind.data[kind.size] == '.');
}

static bool is_full(const listing *self)
{
    return self->options->limit > 0 && self->count == self->options->limit;
}

static tapeout_status list_text(listing *self, tp_str text, tapeout_error *err)
{
    size_t begin = 0;
    while (begin < text.size && !is_full(self)) {
        const char *data = text.data + begin;
        const char *end = memchr(data, '\n', text.size - begin);
        if (end == NULL) {
            return TAPEOUT_OK; // an append that a crash left unfinished
        }
        const tp_str line = {data, (size_t)(end - data)};
        audit_record record;
        if (tp_audit_line_read(line, &record, NULL) != TAPEOUT_OK ||
            record.sequence != self->next) {
            return tp_fail_at(err, TAPEOUT_E_CORRUPT, self->next,
                              "audit: entry %llu is damaged or missing; tapeout audit verify says "
                              "more",
                              (unsigned long long)self->next);
        }
        if (is_wanted(self, &record)) {
            TP_TRY(self->write(self->user, data, line.size + 1, err));
            self->count++;
        }
        self->next++;
        begin += line.size + 1;
    }
    return TAPEOUT_OK;
}

static tapeout_status list_segments(const tp_env *env, const char *directory,
                                    const audit_snapshot *snapshot, listing *self,
                                    tapeout_error *err)
{
    const audit_segments *segments = &snapshot->segments;
    for (size_t i = 0; i < segments->count && !is_full(self); i++) {
        if (i + 1 < segments->count && segments->firsts[i + 1] <= self->options->since) {
            continue;
        }
        TP_TRY(tp_env_check(env, err));
        tp_str text = {NULL, 0};
        TP_TRY(tp_audit_snapshot_read(env->alloc, directory, snapshot, i, &text, err));
        self->next = segments->firsts[i];
        const tapeout_status status = list_text(self, text, err);
        tp_audit_text_free(env->alloc, text);
        TP_TRY(status);
    }
    return TAPEOUT_OK;
}

tapeout_status tapeout_audit_list(tapeout_context *context,
                                  const tapeout_audit_list_options *options, tapeout_write_fn write,
                                  void *write_user, tapeout_error *err)
{
    if (context == NULL || options == NULL || write == NULL ||
        options->struct_size != sizeof(*options)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_audit_list: needs a context, options made with "
                       "tapeout_audit_list_options_init, and a function to write with");
    }
    const tp_env *env = tp_context_env(context);
    char directory[TP_MAX_PATH_BYTES];
    audit_snapshot snapshot;
    listing self = {.options = options, .write = write, .user = write_user};
    TP_TRY(tp_audit_path(tp_context_home(context), "audit", directory, err));
    TP_TRY(tp_audit_snapshot_take(env->alloc, directory, &snapshot, err));
    const tapeout_status status = list_segments(env, directory, &snapshot, &self, err);
    tp_audit_snapshot_free(env->alloc, &snapshot);
    return status;
}

// -- checkpoints ---------------------------------------------------------------------------------
tapeout_status tp_audit_sign(tapeout_context *context, const tp_checkpoint *checkpoint,
                             tp_buffer *text, tapeout_error *err)
{
    tp_note_signer signer;
    TP_TRY(tp_note_signer_open(tp_context_env(context)->alloc, tp_context_home(context), &signer,
                               err));
    const tapeout_status status = tp_checkpoint_write(&signer, checkpoint, text, err);
    tp_note_signer_deinit(&signer);
    return status;
}

tapeout_status tapeout_audit_checkpoint(tapeout_context *context, char **ret_text,
                                        tapeout_error *err)
{
    if (context == NULL || ret_text == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_audit_checkpoint: needs a context and a place for the text");
    }
    const tp_env *env = tp_context_env(context);
    audit_tree tree;
    audit_found found;
    TP_TRY(tp_audit_tree_init(&tree, err));
    tapeout_status status = tp_audit_tree_read(env, tp_context_home(context), &tree, &found, err);
    const tp_checkpoint checkpoint = {tree.whole.count, tree.root};
    tp_audit_tree_deinit(&tree);
    if (status == TAPEOUT_OK && found.count == 0) {
        status = tp_fail(err, TAPEOUT_E_NOT_FOUND, "audit: nothing is in the log of %s yet",
                         tp_context_home(context));
    }
    TP_TRY(status);
    tp_buffer text;
    tp_buffer_init(&text, env->alloc, TP_MAX_CHECKPOINT_BYTES);
    status = tp_audit_sign(context, &checkpoint, &text, err);
    if (status != TAPEOUT_OK) {
        tp_buffer_deinit(&text);
        return status;
    }
    return tp_text_from_buffer(&text, "audit: the checkpoint", ret_text, err);
}
