// SPDX-License-Identifier: Apache-2.0
//
// The question that every load asks: may this open bundle be used? The answer rests on the bytes
// that were hashed through the file that is open, never on a path that is opened once more.
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "trust/key_priv.h"
#include "trust/tp_trust.h"

#include <stdio.h>
#include <string.h>

static void tell_signers(const tp_verdict *verdict, tp_admitted *admitted)
{
    size_t used = 0;
    admitted->is_trusted = verdict->is_trusted;
    if (!verdict->is_trusted) {
        (void)snprintf(admitted->signers, sizeof(admitted->signers), "%s",
                       verdict->count == 0 ? "unsigned" : "untrusted");
        return;
    }
    for (size_t i = 0; i < verdict->count; i++) {
        const tp_signature_check *check = &verdict->checks[i];
        const size_t left = sizeof(admitted->signers) - used;
        if (check->state == TP_SIGNATURE_GOOD && strlen(check->key->name) + 3 < left) {
            used += (size_t)snprintf(admitted->signers + used, left, "%s%s", used > 0 ? ", " : "",
                                     check->key->name);
        }
    }
}

static bool has_broken(const tp_verdict *verdict)
{
    for (size_t i = 0; i < verdict->count; i++) {
        if (verdict->checks[i].state == TP_SIGNATURE_BROKEN) {
            return true;
        }
    }
    return false;
}

static tapeout_status decide(const tp_verdict *verdict, const tp_signed *what,
                             const tp_admission *asked, tp_admitted *ret_admitted,
                             tapeout_error *err)
{
    char name[TP_MAX_MODEL_NAME_BYTES + 40];
    const bool is_registered = asked->sha256.size > 0;
    if (is_registered && !verdict->is_trusted && (!asked->allow_unsigned || has_broken(verdict))) {
        (void)snprintf(name, sizeof(name), "%.*s (sha256 %.12s)", (int)what->name.size,
                       what->name.data, asked->sha256.data);
        return tp_verdict_status(verdict, name, err);
    }
    tell_signers(verdict, ret_admitted);
    return TAPEOUT_OK;
}

// -- looking -------------------------------------------------------------------------------------
typedef struct look {
    tp_arena arena; // of the verdict
    tp_trust_list list;
    tp_verdict verdict;
} look;

static void look_deinit(look *self)
{
    tp_trust_list_free(&self->list);
    tp_arena_deinit(&self->arena);
}

// The lines of the file, where there is one, and of the registry.
static tapeout_status read_lines(const tp_admission *asked, tp_buffer *lines, tp_trust_list *list,
                                 tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    tp_str file = {NULL, 0};
    TP_TRY(asked->sha256.size > 0 ? tp_signature_home_path(asked->home, asked->sha256, path, err)
                                  : tp_signature_path(asked->path, path, err));
    TP_TRY(tp_signature_read(lines->alloc, path, &file, err));
    if (file.data != NULL) {
        tp_buffer_append_str(lines, file);
        tp_free(lines->alloc, (char *)(uintptr_t)file.data, file.size + 1);
    }
    TP_TRY(tp_buffer_check(lines, "signatures", err));
    return asked->sha256.size > 0 && asked->look != NULL
               ? asked->look(asked->look_user, asked->sha256, lines, list, err)
               : TAPEOUT_OK;
}

static tapeout_status check_lines(tp_arena *arena, const tp_signed *what, const tp_admission *asked,
                                  tp_trust_list *list, tp_verdict *ret_verdict, tapeout_error *err)
{
    tp_buffer lines;
    tp_buffer_init(&lines, arena->alloc, TP_MAX_SIGNATURE_FILE_BYTES);
    tapeout_status status = read_lines(asked, &lines, list, err);
    if (status == TAPEOUT_OK) {
        const tp_inquiry inquiry = {list, what, tp_clock_unix_us() / 1000000};
        status = tp_signatures_check(arena, tp_buffer_view(&lines), &inquiry, ret_verdict, err);
    }
    tp_buffer_deinit(&lines);
    return status;
}

tapeout_status tp_trust_check(tp_arena *arena, const tp_signed *bundle, const tp_admission *asked,
                              tp_trust_list *ret_list, tp_verdict *ret_verdict, tapeout_error *err)
{
    tp_signed what = *bundle;
    tp_trust_list list;
    tp_sha256 file;
    if (asked->sha256.size > 0) {
        // The bytes must be those that the registry's row names, too.
        if (!tp_key_id_parse(asked->sha256, &file)) {
            return tp_fail(err, TAPEOUT_E_INVALID, "\"%.*s\" is no SHA-256",
                           TP_STR_ARGS(asked->sha256));
        }
        what.file = &file;
    }
    TP_TRY(tp_trust_list_open(arena->alloc, asked->home, &list, err));
    const tapeout_status status = check_lines(arena, &what, asked, &list, ret_verdict, err);
    if (status != TAPEOUT_OK) {
        tp_trust_list_free(&list);
        return status;
    }
    *ret_list = list;
    return TAPEOUT_OK;
}

// On failure nothing is left to free.
static tapeout_status look_init(look *self, const tapeout_allocator *alloc, const tp_signed *what,
                                const tp_admission *asked, tapeout_error *err)
{
    *self = (look){.list = {.alloc = NULL}};
    tp_arena_init(&self->arena, alloc, 4 * (size_t)TP_MAX_SIGNATURE_FILE_BYTES);
    const tapeout_status status =
        tp_trust_check(&self->arena, what, asked, &self->list, &self->verdict, err);
    if (status != TAPEOUT_OK) {
        look_deinit(self);
    }
    return status;
}

// -- admitting -----------------------------------------------------------------------------------
tapeout_status tp_trust_admit(const tapeout_allocator *alloc, const tp_signed *what,
                              const tp_admission *asked, tp_admitted *ret_admitted,
                              tapeout_error *err)
{
    look self;
    TP_TRY(look_init(&self, alloc, what, asked, err));
    const tapeout_status status = decide(&self.verdict, what, asked, ret_admitted, err);
    look_deinit(&self);
    return status;
}

tapeout_status tp_trust_open(const tp_env *env, const tp_admission *asked, tp_bundle **ret_bundle,
                             tp_admitted *ret_admitted, tapeout_error *err)
{
    tp_bundle *bundle = NULL;
    TP_TRY(tp_bundle_open(env, asked->path, &bundle, err));
    const tp_signed what = tp_signed_of(bundle);
    const tapeout_status status = tp_trust_admit(env->alloc, &what, asked, ret_admitted, err);
    if (status != TAPEOUT_OK) {
        tp_bundle_close(&bundle);
        return status;
    }
    *ret_bundle = bundle;
    return TAPEOUT_OK;
}

tapeout_status tp_trust_append(const tapeout_allocator *alloc, const tp_bundle *bundle,
                               const tp_admission *asked, tp_buffer *json, tapeout_error *err)
{
    look self;
    tp_admitted admitted = {.is_trusted = false};
    const tp_signed what = tp_signed_of(bundle);
    TP_TRY(look_init(&self, alloc, &what, asked, err));
    tell_signers(&self.verdict, &admitted);
    tp_json_append_key(json, "signed");
    tp_json_append_str(json, tp_str_from(admitted.signers));
    tp_json_append_key(json, "signatures");
    tp_verdict_append(json, &self.verdict);
    look_deinit(&self);
    return TAPEOUT_OK;
}
