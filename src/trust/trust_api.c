// SPDX-License-Identifier: Apache-2.0
//
// The public calls about keys, and what a key that is to be trusted is made of; the calls about
// trust need the registry, and those about signatures a model: they stand in
// src/registry/trust_calls.c and src/pipeline/sign_api.c.
#include <tapeout/trust.h>

#include "base/tp_clock.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "trust/key_priv.h"
#include "trust/tp_trust.h"

#include <string.h>

void tapeout_key_options_init(tapeout_key_options *options)
{
    *options = (tapeout_key_options){.struct_size = sizeof(*options)};
}

void tapeout_trust_options_init(tapeout_trust_options *options)
{
    *options = (tapeout_trust_options){.struct_size = sizeof(*options)};
}

static tapeout_status bad_options(const char *call, tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_INVALID,
                   "%s: needs a context, options made with their init function, and a place for "
                   "the result",
                   call);
}

tapeout_status tp_trust_text(const char *text, const char *what, char *ret_text, size_t size,
                             tapeout_error *err)
{
    const size_t used = strlen(text);
    if (used >= size || !tp_utf8_check(tp_str_from(text), NULL)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%s must be UTF-8 of fewer than %zu bytes", what,
                       size);
    }
    for (size_t i = 0; i < used; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return tp_fail(err, TAPEOUT_E_INVALID, "%s holds a control character", what);
        }
    }
    memcpy(ret_text, text, used + 1);
    return TAPEOUT_OK;
}

// -- keys ----------------------------------------------------------------------------------------
static tapeout_status info_json(const tp_env *env, const tp_key_info *info, char **ret_json,
                                tapeout_error *err)
{
    tp_buffer json;
    tp_buffer_init(&json, env->alloc, TP_MAX_KEY_FILE_BYTES);
    tp_key_info_append(&json, info);
    return tp_text_from_buffer(&json, "key", ret_json, err);
}

tapeout_status tapeout_key_new(tapeout_context *context, const tapeout_key_options *options,
                               char **ret_json, tapeout_error *err)
{
    if (context == NULL || options == NULL || ret_json == NULL || options->name == NULL ||
        options->struct_size != sizeof(*options)) {
        return bad_options("tapeout_key_new", err);
    }
    const tp_env *env = tp_context_env(context);
    tp_key_info about = {.key = {.algorithm = options->is_p256 ? TP_KEY_P256 : TP_KEY_ED25519}};
    tp_key_info info;
    tp_str passphrase = {NULL, 0};
    if (options->passphrase != NULL) {
        passphrase = tp_str_from(options->passphrase);
        if (passphrase.size == 0 || passphrase.size > TP_MAX_PASSPHRASE_BYTES) {
            return tp_fail(err, TAPEOUT_E_INVALID, "a passphrase has 1 to %u bytes",
                           TP_MAX_PASSPHRASE_BYTES);
        }
    }
    if (!tp_key_name_is_valid(tp_str_from(options->name))) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "\"%s\" is no name of a key: a letter or digit, then letters, digits, '.', "
                       "'_' and '-', at most %d in all",
                       options->name, TP_KEY_NAME_SIZE - 1);
    }
    TP_TRY(tp_trust_text(options->name, "the name", about.name, sizeof(about.name), err));
    TP_TRY(tp_trust_text(options->person == NULL ? "" : options->person, "the person", about.person,
                         sizeof(about.person), err));
    TP_TRY(tp_key_home_make(env->alloc, tp_context_home(context), &about, passphrase, &info, err));
    return info_json(env, &info, ret_json, err);
}

tapeout_status tapeout_key_list(tapeout_context *context, char **ret_json, tapeout_error *err)
{
    if (context == NULL || ret_json == NULL) {
        return bad_options("tapeout_key_list", err);
    }
    const tp_env *env = tp_context_env(context);
    tp_buffer json;
    tp_buffer_init(&json, env->alloc, TP_MAX_TRUST_LIST_BYTES);
    tp_buffer_append_text(&json, "{\"keys\":");
    const tapeout_status status =
        tp_key_home_list(env->alloc, tp_context_home(context), &json, err);
    tp_buffer_append_char(&json, '}');
    if (status != TAPEOUT_OK) {
        tp_buffer_deinit(&json);
        return status;
    }
    return tp_text_from_buffer(&json, "keys", ret_json, err);
}

tapeout_status tapeout_key_show(tapeout_context *context, const char *key, char **ret_json,
                                tapeout_error *err)
{
    if (context == NULL || key == NULL || ret_json == NULL) {
        return bad_options("tapeout_key_show", err);
    }
    const tp_env *env = tp_context_env(context);
    tp_key_info info;
    TP_TRY(tp_key_home_info(env->alloc, tp_context_home(context), key, &info, err));
    return info_json(env, &info, ret_json, err);
}

tapeout_status tapeout_key_export(tapeout_context *context, const char *key, bool as_pem,
                                  char **ret_text, tapeout_error *err)
{
    if (context == NULL || key == NULL || ret_text == NULL) {
        return bad_options("tapeout_key_export", err);
    }
    const tp_env *env = tp_context_env(context);
    tp_key_info info;
    tp_buffer text;
    TP_TRY(tp_key_home_info(env->alloc, tp_context_home(context), key, &info, err));
    tp_buffer_init(&text, env->alloc, TP_MAX_KEY_FILE_BYTES);
    tapeout_status status = TAPEOUT_OK;
    if (as_pem) {
        status = tp_public_key_write_pem(&info.key, &text, err);
    } else {
        tp_key_public_write(&info, &text);
    }
    if (status != TAPEOUT_OK) {
        tp_buffer_deinit(&text);
        return status;
    }
    return tp_text_from_buffer(&text, "key", ret_text, err);
}

// -- trust ---------------------------------------------------------------------------------------
static tapeout_status read_time(const char *text, const char *what, int64_t *time_s,
                                tapeout_error *err)
{
    if (text != NULL && !tp_time_parse(tp_str_from(text), true, time_s)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: \"%s\" is no date such as 2026-11-25 and no time such as "
                       "2026-11-25T16:00:00Z",
                       what, text);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_trusted_key_fill(const tapeout_trust_options *options, const tp_key_info *info,
                                   tp_trusted_key *key, tapeout_error *err)
{
    *key = (tp_trusted_key){.revoked_s = 0};
    key->key = info->key;
    key->added_s = tp_clock_unix_us() / 1000000;
    key->from_s = info->created_s;
    key->until_s = INT64_MAX;
    TP_TRY(tp_trust_text(options->name == NULL ? info->name : options->name, "the name", key->name,
                         sizeof(key->name), err));
    TP_TRY(tp_trust_text(options->person == NULL ? info->person : options->person, "the person",
                         key->person, sizeof(key->person), err));
    TP_TRY(read_time(options->from, "valid from", &key->from_s, err));
    TP_TRY(read_time(options->until, "valid until", &key->until_s, err));
    if (!tp_key_name_is_valid(tp_str_from(key->name))) {
        return tp_fail(err, TAPEOUT_E_INVALID, "the key needs a name to be known by: --name");
    }
    return key->from_s <= key->until_s
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_INVALID, "the key would be valid until before it begins");
}
