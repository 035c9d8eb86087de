// SPDX-License-Identifier: Apache-2.0
//
// From claims to a principal. Roles are gathered as the text that every other identity has, so that
// one parser decides what they mean.
#include "trust/tp_issuer.h"

#include "base/tp_error.h"
#include "table/tp_json.h"

#include <string.h>

// A claim by its name, or inside others by "outer.inner". The whole name first: some are URLs.
static yyjson_val *find_claim(yyjson_val *claims, tp_str path)
{
    yyjson_val *found = path.size == 0 ? NULL : yyjson_obj_getn(claims, path.data, path.size);
    const char *dot = found != NULL || path.size == 0 ? NULL : memchr(path.data, '.', path.size);
    if (dot == NULL) {
        return found;
    }
    const size_t size = (size_t)(dot - path.data);
    return find_claim(yyjson_obj_getn(claims, path.data, size),
                      (tp_str){dot + 1, path.size - size - 1});
}

static void add_role(const tp_issuer *issuer, tp_str value, tp_buffer *grants)
{
    for (uint32_t i = 0; i < issuer->role_count; i++) {
        if (value.size > 0 && tp_str_equal(issuer->roles[i].value, value)) {
            tp_buffer_append_text(grants, grants->size > 0 ? "," : "");
            tp_buffer_append_str(grants, issuer->roles[i].grants);
        }
    }
}

static tapeout_status gather_roles(const tp_issuer *issuer, yyjson_val *claims, tp_buffer *grants,
                                   tapeout_error *err)
{
    yyjson_val *roles = find_claim(claims, issuer->roles_claim);
    yyjson_val *item = NULL;
    size_t index = 0;
    size_t count = 0;
    add_role(issuer, tp_json_str(roles), grants);
    yyjson_arr_foreach(roles, index, count, item)
    {
        add_role(issuer, tp_json_str(item), grants);
    }
    TP_TRY(tp_buffer_check(grants, "roles of a token", err));
    return grants->size > 0 ? TAPEOUT_OK
                            : tp_fail(err, TAPEOUT_E_DENIED, "the token gives no role here");
}

// False where the token should name a tenant and does not.
static bool name_subject(const tp_issuer *issuer, yyjson_val *claims, tp_principal_spec *spec,
                         tp_buffer *id)
{
    const tp_str subject = tp_json_get_str(claims, "sub");
    const tp_str name = tp_json_get_str(claims, "preferred_username");
    tp_buffer_append_text(id, "jwt:");
    tp_buffer_append_str(id, issuer->issuer);
    tp_buffer_append_char(id, '#');
    tp_buffer_append_str(id, subject);
    spec->id = tp_buffer_view(id);
    spec->name = name.size > 0 && name.size <= TP_MAX_PRINCIPAL_ID_BYTES ? name : subject;
    spec->rates = issuer->limits;
    spec->tenant = issuer->tenant;
    if (issuer->tenant.size == 0 && issuer->tenant_claim.size > 0) {
        spec->tenant = tp_json_str(find_claim(claims, issuer->tenant_claim));
        return spec->tenant.size > 0;
    }
    return true;
}

tapeout_status tp_issuer_principal(const tp_issuer *issuer, const tapeout_allocator *alloc,
                                   yyjson_val *claims, int64_t expires_s,
                                   tp_principal **ret_principal, tapeout_error *err)
{
    tp_buffer grants;
    tp_buffer id;
    tp_principal_spec spec = {.expires_us = expires_s * 1000000};
    tp_buffer_init(&grants, alloc, TP_MAX_GRANTS_BYTES);
    tp_buffer_init(&id, alloc, TP_MAX_PRINCIPAL_ID_BYTES);
    tapeout_status status = gather_roles(issuer, claims, &grants, err);
    if (status == TAPEOUT_OK && !name_subject(issuer, claims, &spec, &id)) {
        status = tp_fail(err, TAPEOUT_E_DENIED, "the token gives no tenant");
    }
    if (status == TAPEOUT_OK) {
        status = tp_buffer_check(&id, "name of a token's subject", err);
    }
    if (status == TAPEOUT_OK) {
        spec.grants = tp_buffer_view(&grants);
        status = tp_principal_new(alloc, &spec, ret_principal, err);
    }
    tp_buffer_deinit(&grants);
    tp_buffer_deinit(&id);
    return status;
}
