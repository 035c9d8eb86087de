// SPDX-License-Identifier: Apache-2.0
//
// The public calls about whom to trust. The list is the home's own file: who may write to a
// database that servers share can't make them believe anybody. What the database does tell all of
// them is which keys were taken back, and such a key is not added to a list again.
#include <tapeout/trust.h>

#include "base/tp_context.h"
#include "base/tp_error.h"
#include "registry/registry_priv.h"
#include "registry/tp_signature_store.h"

static tapeout_status bad_options(const char *call, tapeout_error *err)
{
    return tp_fail(err, TAPEOUT_E_INVALID,
                   "%s: needs a context, options made with their init function, and a place for "
                   "the result",
                   call);
}

static tapeout_status trusted_json(const tp_env *env, const tp_trusted_key *key, char **ret_json,
                                   tapeout_error *err)
{
    const tp_trust_list one = {.keys = (tp_trusted_key *)(uintptr_t)key, .count = 1};
    tp_buffer json;
    tp_buffer_init(&json, env->alloc, TP_MAX_KEY_FILE_BYTES);
    tp_trust_list_append(&json, &one);
    return tp_text_from_buffer(&json, "trust", ret_json, err);
}

// What others who share the database have taken back. Without one the home's list says all.
static tapeout_status look_back(tapeout_context *context, tp_trust_list *list, tapeout_error *err)
{
    return tp_context_store(context) == NULL
               ? TAPEOUT_OK
               : tp_signatures_look(context, TP_STR(""), NULL, list, err);
}

static tapeout_status check_not_revoked(tapeout_context *context, const tp_trusted_key *key,
                                        tapeout_error *err)
{
    tp_trusted_key copy = *key;
    tp_trust_list one = {.keys = &copy, .count = 1};
    TP_TRY(look_back(context, &one, err));
    return copy.revoked_s == 0
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_DENIED,
                         "key \"%s\" was revoked (%s) and is not trusted again; make a new one",
                         copy.name, copy.reason);
}

tapeout_status tapeout_trust_add(tapeout_context *context, const tapeout_trust_options *options,
                                 char **ret_json, tapeout_error *err)
{
    if (context == NULL || options == NULL || ret_json == NULL || options->key == NULL ||
        options->struct_size != sizeof(*options)) {
        return bad_options("tapeout_trust_add", err);
    }
    const tp_env *env = tp_context_env(context);
    const char *home = tp_context_home(context);
    tp_key_info info;
    tp_trusted_key key;
    TP_TRY(tp_key_home_info(env->alloc, home, options->key, &info, err));
    TP_TRY(tp_trusted_key_fill(options, &info, &key, err));
    TP_TRY(check_not_revoked(context, &key, err));
    TP_TRY(tp_trust_list_add(env->alloc, home, &key, err));
    return trusted_json(env, &key, ret_json, err);
}

tapeout_status tapeout_trust_show(tapeout_context *context, char **ret_json, tapeout_error *err)
{
    if (context == NULL || ret_json == NULL) {
        return bad_options("tapeout_trust_show", err);
    }
    const tp_env *env = tp_context_env(context);
    tp_trust_list list;
    tp_buffer json;
    TP_TRY(tp_trust_list_open(env->alloc, tp_context_home(context), &list, err));
    const tapeout_status status = look_back(context, &list, err);
    tp_buffer_init(&json, env->alloc, TP_MAX_TRUST_LIST_BYTES);
    tp_trust_list_append(&json, &list);
    tp_trust_list_free(&list);
    if (status != TAPEOUT_OK) {
        tp_buffer_deinit(&json);
        return status;
    }
    return tp_text_from_buffer(&json, "trust", ret_json, err);
}

// In this home first: it is sure of that whatever becomes of the database.
static tapeout_status tell_others(tapeout_context *context, const tp_trusted_key *key,
                                  tapeout_error *err)
{
    tp_registry *registry = NULL;
    if (tp_context_store(context) == NULL) {
        return TAPEOUT_OK;
    }
    tapeout_status status = tp_registry_open_of(context, TP_REGISTRY_WRITE, &registry, err);
    if (status == TAPEOUT_OK) {
        status = tp_signatures_revoke(registry, key, err);
        tp_registry_close(&registry);
    }
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "revoked in this home, but not yet for others; say it again");
    }
    return status;
}

tapeout_status tapeout_trust_revoke(tapeout_context *context, const char *key, const char *reason,
                                    char **ret_json, tapeout_error *err)
{
    char text[TP_TRUST_REASON_SIZE];
    tp_trusted_key found;
    if (context == NULL || key == NULL || reason == NULL || ret_json == NULL) {
        return bad_options("tapeout_trust_revoke", err);
    }
    const tp_env *env = tp_context_env(context);
    TP_TRY(tp_trust_text(reason, "the reason", text, sizeof(text), err));
    TP_TRY(tp_trust_list_revoke(env->alloc, tp_context_home(context), key, text, &found, err));
    TP_TRY(tell_others(context, &found, err));
    return trusted_json(env, &found, ret_json, err);
}
