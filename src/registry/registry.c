// SPDX-License-Identifier: Apache-2.0
//
// The public calls: each opens the context's registry, does one thing and closes it, so that no
// handle is shared between threads and nothing stays locked between commands.
#include <tapeout/registry.h>

#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/registry_priv.h"

#include <stdio.h>
#include <string.h>

_Static_assert(TAPEOUT_MODEL_NAME_SIZE == TP_MAX_MODEL_NAME_BYTES + 1, "a name fits its field");
_Static_assert(TAPEOUT_MODEL_PATH_SIZE == TP_MAX_PATH_BYTES, "a path fits its field");

void tapeout_registration_init(tapeout_registration *registration)
{
    *registration = (tapeout_registration){.struct_size = sizeof(*registration)};
}

tapeout_status tp_registry_tell(const tapeout_context *context, const tp_audit_note *note,
                                tapeout_error *err)
{
    tp_audit *audit = NULL;
    tapeout_status status =
        tp_audit_open(tp_context_env(context)->alloc, tp_context_home(context), &audit, err);
    if (status == TAPEOUT_OK) {
        tp_audit_stop_share(audit, tp_context_stop(context));
        status = tp_audit_tell(audit, note, err);
        tp_audit_close(&audit);
    }
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "%s, but the audit log does not say so", note->kind);
    }
    return status;
}

tapeout_status tp_told_registry_open(const tapeout_context *context, told_registry *ret_told,
                                     tapeout_error *err)
{
    *ret_told = (told_registry){.registry = NULL};
    TP_TRY(tp_registry_open_of(context, TP_REGISTRY_WRITE, &ret_told->registry, err));
    TP_TRY(tp_audit_open(tp_context_env(context)->alloc, tp_context_home(context), &ret_told->audit,
                         err));
    tp_audit_stop_share(ret_told->audit, tp_context_stop(context));
    const tp_teller teller = {.audit = ret_told->audit};
    tp_registry_teller_set(ret_told->registry, &teller);
    return TAPEOUT_OK;
}

tapeout_status tp_told_registry_open_existing(const tapeout_context *context,
                                              told_registry *ret_told, tapeout_error *err)
{
    *ret_told = (told_registry){.registry = NULL};
    // Reading first, so that a home without a registry does not get one.
    TP_TRY(tp_registry_open_of(context, TP_REGISTRY_READ, &ret_told->registry, err));
    tp_registry_close(&ret_told->registry);
    return tp_told_registry_open(context, ret_told, err);
}

void tp_told_registry_close(told_registry *told)
{
    tp_registry_close(&told->registry);
    tp_audit_close(&told->audit);
}

tapeout_status tapeout_registry_register(tapeout_context *context,
                                         const tapeout_registration *registration,
                                         tapeout_model_ref *ret_ref, tapeout_error *err)
{
    if (context == NULL || registration == NULL || ret_ref == NULL ||
        registration->struct_size != sizeof(*registration)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_registry_register: needs a context, a registration made with "
                       "tapeout_registration_init, and a place for the result");
    }
    told_registry told;
    tapeout_status status = tp_told_registry_open(context, &told, err);
    if (status == TAPEOUT_OK) {
        status = tp_registry_register(told.registry, registration, ret_ref, err);
    }
    tp_told_registry_close(&told);
    return status;
}

static tapeout_status use_path(const char *path, tapeout_model_ref *ret_ref, tapeout_error *err)
{
    tapeout_model_ref ref = {.is_registered = false};
    const size_t size = strlen(path);
    if (size >= sizeof(ref.path)) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "a path of %zu bytes, at most %zu", size,
                       sizeof(ref.path) - 1);
    }
    memcpy(ref.path, path, size);
    *ret_ref = ref;
    return TAPEOUT_OK;
}

tapeout_status tapeout_registry_resolve(tapeout_context *context, const char *model,
                                        tapeout_model_ref *ret_ref, tapeout_error *err)
{
    if (context == NULL || model == NULL || ret_ref == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_registry_resolve: needs a context, a model and a place for the "
                       "result");
    }
    if (strchr(model, '/') != NULL || (model[0] != '\0' && tp_path_exists(model))) {
        return use_path(model, ret_ref, err);
    }
    tp_registry *registry = NULL;
    tapeout_status status = tp_registry_open_of(context, TP_REGISTRY_READ, &registry, err);
    if (status == TAPEOUT_E_NOT_FOUND) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND,
                       "no file and no registered model named \"%s\": nothing is registered in %s",
                       model, tp_context_home(context));
    }
    TP_TRY(status);
    status = tp_registry_resolve(registry, tp_str_from(model), ret_ref, err);
    tp_registry_close(&registry);
    return status;
}

tapeout_status tp_registry_leads_to(tapeout_context *context, const char *model,
                                    uint64_t *ret_version, tapeout_error *err)
{
    model_name name;
    tapeout_model_ref ref;
    tp_registry *registry = NULL;
    TP_TRY(tp_model_name_parse(tp_str_from(model), &name, err));
    TP_TRY(tp_registry_open_of(context, TP_REGISTRY_READ, &registry, err));
    const tapeout_status status = tp_registry_find(registry, &name, &ref, err);
    tp_registry_close(&registry);
    TP_TRY(status);
    *ret_version = ref.version;
    return TAPEOUT_OK;
}

static tapeout_status list_home(tapeout_context *context, tp_buffer *json, tapeout_error *err)
{
    tp_registry *registry = NULL;
    tapeout_status status = tp_registry_open_of(context, TP_REGISTRY_READ, &registry, err);
    if (status == TAPEOUT_E_NOT_FOUND) {
        tp_buffer_append_text(json, "{\"models\":[]}");
        return TAPEOUT_OK;
    }
    TP_TRY(status);
    status = tp_registry_list(registry, json, err);
    tp_registry_close(&registry);
    return status;
}

tapeout_status tapeout_registry_list(tapeout_context *context, char **ret_json, tapeout_error *err)
{
    if (context == NULL || ret_json == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_registry_list: needs a context and a place for the result");
    }
    const tapeout_allocator *alloc = tp_context_env(context)->alloc;
    tp_buffer json;
    tp_buffer_init(&json, alloc, TP_MAX_REGISTRY_LIST_BYTES);
    tapeout_status status = list_home(context, &json, err);
    if (status != TAPEOUT_OK) {
        tp_buffer_deinit(&json);
        return status;
    }
    return tp_text_from_buffer(&json, "registry: the list", ret_json, err);
}

tapeout_status tapeout_registry_remove(tapeout_context *context, const char *model,
                                       tapeout_error *err)
{
    if (context == NULL || model == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "tapeout_registry_remove: needs a context and a model");
    }
    told_registry told;
    tapeout_status status = tp_told_registry_open_existing(context, &told, err);
    if (status == TAPEOUT_OK) {
        status = tp_registry_remove(told.registry, tp_str_from(model), err);
    }
    tp_told_registry_close(&told);
    return status;
}
