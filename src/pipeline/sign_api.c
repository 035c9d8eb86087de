// SPDX-License-Identifier: Apache-2.0
//
// tapeout_sign and tapeout_verify: a MODEL argument, its bundle opened and hashed, and the
// signatures that belong to it: a file beside a path, or rows of the registry. Nothing here asks a
// server but the registry's own.
#include <tapeout/trust.h>

#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/tp_signature_store.h"
#include "table/tp_json.h"
#include "trust/tp_audit.h"
#include "trust/tp_oms.h"
#include "trust/tp_trust.h"

#include <stdio.h>
#include <string.h>
#include <tapeout/registry.h>

void tapeout_sign_options_init(tapeout_sign_options *options)
{
    *options = (tapeout_sign_options){.struct_size = sizeof(*options)};
}

void tapeout_verify_options_init(tapeout_verify_options *options)
{
    *options = (tapeout_verify_options){.struct_size = sizeof(*options)};
}

// The bundle that a MODEL argument leads to, all of it hashed, and where its signatures lie.
typedef struct signed_model {
    const tp_env *env;
    tapeout_model_ref ref;
    tp_bundle *bundle;
    tp_sha256 hash;
    char hex[TP_SHA256_HEX_SIZE + 1];
    char path[TP_MAX_PATH_BYTES]; // of the signatures; where the registry has them, of old ones
    bool is_oms;
    bool is_in_registry; // its signatures, that is
} signed_model;

// The bundle's name without folder, by which Model Signing knows a file.
static tp_str file_name(const signed_model *model)
{
    const char *slash = strrchr(model->ref.path, '/');
    return tp_str_from(slash == NULL ? model->ref.path : slash + 1);
}

static tapeout_status find_signatures(tapeout_context *context, signed_model *model,
                                      const char *given, tapeout_error *err)
{
    model->is_in_registry = given == NULL && model->ref.is_registered && !model->is_oms;
    if (given != NULL) {
        if (strlen(given) >= sizeof(model->path)) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "the path of the signature is too long");
        }
        (void)snprintf(model->path, sizeof(model->path), "%s", given);
        return TAPEOUT_OK;
    }
    TP_TRY(model->ref.is_registered
               ? tp_signature_home_path(tp_context_home(context), tp_str_from(model->hex),
                                        model->path, err)
               : tp_signature_path(model->ref.path, model->path, err));
    const size_t size = strlen(model->path) - (model->ref.is_registered ? 0 : strlen(".sig"));
    if (!model->is_oms) {
        return TAPEOUT_OK;
    }
    const int end = snprintf(model->path + size, sizeof(model->path) - size, ".oms.sig");
    return (size_t)end < sizeof(model->path) - size
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_LIMIT, "the path of the signature is too long");
}

// On failure nothing is open.
static tapeout_status open_model(tapeout_context *context, const char *text, const char *given,
                                 signed_model *model, tapeout_error *err)
{
    model->env = tp_context_env(context);
    model->bundle = NULL;
    TP_TRY(tapeout_registry_resolve(context, text, &model->ref, err));
    TP_TRY(tp_bundle_open(model->env, model->ref.path, &model->bundle, err));
    model->hash = tp_bundle_hash(model->bundle);
    tp_sha256_hex(&model->hash, model->hex);
    tapeout_status status = find_signatures(context, model, given, err);
    if (status == TAPEOUT_OK && model->ref.is_registered &&
        strcmp(model->hex, model->ref.sha256) != 0) {
        status = tp_fail(err, TAPEOUT_E_CORRUPT,
                         "%s is whole, but not the bundle of %s:%llu: the registry names %s",
                         model->ref.path, model->ref.name, (unsigned long long)model->ref.version,
                         model->ref.sha256);
    }
    if (status != TAPEOUT_OK) {
        tp_bundle_close(&model->bundle);
    }
    return status;
}

static void append_text(tp_buffer *json, const char *key, tp_str text)
{
    tp_json_append_key(json, key);
    tp_json_append_str(json, text);
}

static tp_str place_of(const signed_model *model)
{
    return model->is_in_registry ? TP_STR("registry") : tp_str_from(model->path);
}

// -- signing -------------------------------------------------------------------------------------
static tapeout_status sign_oms(const signed_model *model, const tp_signer *signer,
                               tapeout_error *err)
{
    tp_buffer text;
    tp_writer *writer = NULL;
    tp_buffer_init(&text, model->env->alloc, TP_MAX_ENVELOPE_BYTES);
    tapeout_status status = tp_oms_sign(signer, file_name(model), &model->hash, &text, err);
    if (status == TAPEOUT_OK) {
        status = tp_writer_open(model->env->alloc, model->path, &writer, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_writer_write(writer, text.data, text.size, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_writer_commit(&writer, err);
    }
    tp_writer_abort(&writer);
    tp_buffer_deinit(&text);
    return status;
}

static tapeout_status sign_file(const signed_model *model, const tp_signer *signer,
                                tapeout_error *err)
{
    return model->is_oms
               ? sign_oms(model, signer, err)
               : tp_trust_sign(model->env->alloc, signer, model->bundle, model->path, err);
}

static tapeout_status tell(tapeout_context *context, const signed_model *model,
                           const tp_key_info *key, tapeout_error *err)
{
    char id[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(&key->key.id, id);
    const tp_audit_field fields[] = {{"model", tp_bundle_name(model->bundle)},
                                     {"bundle", tp_str_from(model->hex)},
                                     {"key", tp_str_from(key->name)},
                                     {"key_id", tp_str_from(id)},
                                     {"person", tp_str_from(key->person)}};
    const tp_audit_note note = {"model.signed", {NULL, 0}, fields, 5};
    const tapeout_status status =
        tp_audit_tell_home(model->env->alloc, tp_context_home(context), &note, err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "signed, but the audit log does not say so");
    }
    return status;
}

static tapeout_status sign_bundle(tapeout_context *context, const signed_model *model,
                                  const tp_signer *signer, const tp_key_info *key,
                                  tapeout_error *err)
{
    if (model->is_in_registry) {
        return tp_signatures_sign_told(context, key, signer, model->bundle, err);
    }
    TP_TRY(sign_file(model, signer, err));
    return tell(context, model, key, err);
}

static tapeout_status sign_json(const signed_model *model, const tp_key_info *key, char **ret_json,
                                tapeout_error *err)
{
    tp_buffer json;
    char id[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(&key->key.id, id);
    tp_buffer_init(&json, model->env->alloc, TP_MAX_ENVELOPE_BYTES);
    tp_buffer_append_char(&json, '{');
    append_text(&json, "name", tp_bundle_name(model->bundle));
    append_text(&json, "sha256", tp_str_from(model->hex));
    append_text(&json, "key", tp_str_from(key->name));
    append_text(&json, "key_id", tp_str_from(id));
    append_text(&json, "signature", place_of(model));
    tp_buffer_append_char(&json, '}');
    return tp_text_from_buffer(&json, "sign", ret_json, err);
}

tapeout_status tapeout_sign(tapeout_context *context, const char *text,
                            const tapeout_sign_options *options, char **ret_json,
                            tapeout_error *err)
{
    signed_model model;
    tp_signer *signer = NULL;
    tp_key_info key;
    if (context == NULL || text == NULL || options == NULL || ret_json == NULL ||
        options->struct_size != sizeof(*options) || options->key == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_sign: needs a context, a model, a key and a place for the result");
    }
    const tp_str passphrase =
        options->passphrase == NULL ? (tp_str){NULL, 0} : tp_str_from(options->passphrase);
    model.is_oms = options->is_oms;
    TP_TRY(open_model(context, text, options->out_path, &model, err));
    tapeout_status status = tp_key_home_open(model.env->alloc, tp_context_home(context),
                                             options->key, passphrase, &signer, err);
    if (status == TAPEOUT_OK) {
        status =
            tp_key_home_info(model.env->alloc, tp_context_home(context), options->key, &key, err);
    }
    if (status == TAPEOUT_OK) {
        status = sign_bundle(context, &model, signer, &key, err);
    }
    if (status == TAPEOUT_OK) {
        status = sign_json(&model, &key, ret_json, err);
    }
    tp_signer_free(&signer);
    tp_bundle_close(&model.bundle);
    return status;
}

// -- verifying -----------------------------------------------------------------------------------
static tapeout_status open_trust(tapeout_context *context, const tapeout_verify_options *options,
                                 tp_trust_list *ret_list, tapeout_error *err)
{
    const tapeout_allocator *alloc = tp_context_env(context)->alloc;
    const char *home = tp_context_home(context);
    tp_key_info info;
    if (options->key != NULL) {
        TP_TRY(tp_key_home_info(alloc, home, options->key, &info, err));
        return tp_trust_list_of(alloc, &info, ret_list, err);
    }
    return options->trust != NULL ? tp_trust_list_read(alloc, options->trust, ret_list, err)
                                  : tp_trust_list_open(alloc, home, ret_list, err);
}

static tapeout_status verify_json(const signed_model *model, const tp_verdict *verdict,
                                  char **ret_json, tapeout_error *err)
{
    tp_buffer json;
    tp_buffer_init(&json, model->env->alloc, TP_MAX_ENVELOPE_BYTES);
    tp_buffer_append_char(&json, '{');
    tp_json_append_key(&json, "verified");
    tp_buffer_append_text(&json, verdict->is_trusted ? "true" : "false");
    append_text(&json, "name", tp_bundle_name(model->bundle));
    append_text(&json, "bundle", tp_str_from(model->ref.path));
    append_text(&json, "sha256", tp_str_from(model->hex));
    append_text(&json, "signature", place_of(model));
    tp_json_append_key(&json, "signatures");
    tp_verdict_append(&json, verdict);
    tp_buffer_append_char(&json, '}');
    return tp_text_from_buffer(&json, "verify", ret_json, err);
}

// The file's lines, where there is one, and the registry's.
static tapeout_status read_lines(tapeout_context *context, const signed_model *model,
                                 tp_buffer *lines, tp_trust_list *list, tapeout_error *err)
{
    tp_str file = {NULL, 0};
    TP_TRY(tp_signature_read(lines->alloc, model->path, &file, err));
    if (file.data != NULL) {
        tp_buffer_append_str(lines, file);
        tp_free(lines->alloc, (char *)(uintptr_t)file.data, file.size + 1);
    }
    TP_TRY(tp_buffer_check(lines, "signatures", err));
    return model->is_in_registry
               ? tp_signatures_look(context, tp_str_from(model->hex), lines, list, err)
               : TAPEOUT_OK;
}

static tapeout_status check(const signed_model *model, tp_str lines, const tp_trust_list *list,
                            char **ret_json, tapeout_error *err)
{
    tp_verdict verdict;
    tp_arena arena;
    tp_signed what = tp_signed_of(model->bundle);
    what.file = &model->hash;
    tp_arena_init(&arena, model->env->alloc, 4 * (size_t)TP_MAX_SIGNATURE_FILE_BYTES);
    const tp_inquiry inquiry = {list, &what, tp_clock_unix_us() / 1000000};
    tapeout_status status =
        model->is_oms && lines.size > 0
            ? tp_oms_check(&arena, lines, file_name(model), &inquiry, &verdict, err)
            : tp_signatures_check(&arena, lines, &inquiry, &verdict, err);
    if (status == TAPEOUT_OK) {
        status = verify_json(model, &verdict, ret_json, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_verdict_status(&verdict, model->ref.path, err);
    }
    tp_arena_deinit(&arena);
    return status;
}

static tapeout_status verify(tapeout_context *context, const signed_model *model,
                             tp_trust_list *list, char **ret_json, tapeout_error *err)
{
    tp_buffer lines;
    tp_buffer_init(&lines, model->env->alloc, TP_MAX_SIGNATURE_FILE_BYTES);
    tapeout_status status = read_lines(context, model, &lines, list, err);
    if (status == TAPEOUT_OK) {
        status = check(model, tp_buffer_view(&lines), list, ret_json, err);
    }
    tp_buffer_deinit(&lines);
    return status;
}

tapeout_status tapeout_verify(tapeout_context *context, const char *text,
                              const tapeout_verify_options *options, char **ret_json,
                              tapeout_error *err)
{
    signed_model model;
    tp_trust_list list;
    if (context == NULL || text == NULL || options == NULL || ret_json == NULL ||
        options->struct_size != sizeof(*options)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_verify: needs a context, a model, options and a place for the "
                       "result");
    }
    model.is_oms = options->is_oms;
    TP_TRY(open_trust(context, options, &list, err));
    tapeout_status status = open_model(context, text, options->signature, &model, err);
    if (status == TAPEOUT_OK) {
        status = verify(context, &model, &list, ret_json, err);
        tp_bundle_close(&model.bundle);
    }
    tp_trust_list_free(&list);
    return status;
}
