// SPDX-License-Identifier: Apache-2.0
//
// Entries in order of arrival, and a dictionary of handles for each kind. Keys and users do not
// meet: a user named like a key's prefix is another.
#include "trust/tp_roster.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_dict.h"
#include "base/tp_error.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

typedef struct roster_part {
    tp_dict handles;
    tp_roster_entry **entries; // [capacity], by the handle's number
    size_t capacity;
} roster_part;

struct tp_roster {
    atomic_uint ref_count;
    const tapeout_allocator *alloc;
    roster_part keys;
    roster_part users;
};

tapeout_status tp_roster_new(const tapeout_allocator *alloc, tp_roster **ret_roster,
                             tapeout_error *err)
{
    tp_roster *roster = tp_alloc_zero(alloc, sizeof(*roster));
    if (roster == NULL) {
        return tp_fail_nomem(err);
    }
    atomic_init(&roster->ref_count, 1);
    roster->alloc = alloc;
    tp_dict_init(&roster->keys.handles, alloc);
    tp_dict_init(&roster->users.handles, alloc);
    *ret_roster = roster;
    return TAPEOUT_OK;
}

static tapeout_status read_verifier(const tp_roster_row *row, tp_roster_entry *entry,
                                    tapeout_error *err)
{
    size_t size = 0;
    if (row->is_user && row->verifier.size < sizeof(entry->password)) {
        memcpy(entry->password, row->verifier.data, row->verifier.size);
        return TAPEOUT_OK;
    }
    if (!row->is_user &&
        sodium_hex2bin(entry->hash, sizeof(entry->hash), row->verifier.data, row->verifier.size,
                       NULL, &size, NULL) == 0 &&
        size == sizeof(entry->hash)) {
        return TAPEOUT_OK;
    }
    return tp_fail(err, TAPEOUT_E_CORRUPT, "identity \"%.*s\": what it is checked by is damaged",
                   TP_STR_ARGS(row->handle));
}

static tapeout_status make_principal(const tp_roster *roster, const tp_roster_row *row,
                                     tp_principal **ret_principal, tapeout_error *err)
{
    char id[TP_MAX_PRINCIPAL_ID_BYTES];
    char account[TP_MAX_PRINCIPAL_ID_BYTES];
    const char *kind = row->is_user ? "user" : "key";
    const int id_size = snprintf(id, sizeof(id), "%s:%.*s", kind, TP_STR_ARGS(row->handle));
    // A key that was rotated has another prefix and the same name: its limits go on.
    const int account_size = snprintf(account, sizeof(account), "%s:%.*s/%.*s", kind,
                                      TP_STR_ARGS(row->spec.tenant), TP_STR_ARGS(row->spec.name));
    if (id_size >= (int)sizeof(id) || account_size >= (int)sizeof(account)) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "identity \"%.*s\": its names are too long",
                       TP_STR_ARGS(row->handle));
    }
    tp_principal_spec spec = row->spec;
    spec.id = (tp_str){id, (size_t)id_size};
    spec.account = (tp_str){account, (size_t)account_size};
    const tapeout_status status = tp_principal_new(roster->alloc, &spec, ret_principal, err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "identity \"%.*s\"", TP_STR_ARGS(row->handle));
    }
    return status;
}

static void entry_free(const tapeout_allocator *alloc, tp_roster_entry *entry)
{
    if (entry != NULL) {
        tp_principal_unref(entry->principal);
        sodium_memzero(entry, sizeof(*entry));
        tp_free(alloc, entry, sizeof(*entry));
    }
}

static tapeout_status part_add(const tp_roster *roster, roster_part *part, tp_str handle,
                               tp_roster_entry *entry, tapeout_error *err)
{
    uint32_t index = 0;
    if (tp_dict_find(&part->handles, handle) >= 0) {
        return tp_fail(err, TAPEOUT_E_EXISTS, "identity \"%.*s\" is there twice",
                       TP_STR_ARGS(handle));
    }
    if (part->handles.count == part->capacity) {
        const size_t capacity = part->capacity == 0 ? 16 : part->capacity * 2;
        tp_roster_entry **entries = tp_resize_array(roster->alloc, part->entries, part->capacity,
                                                    capacity, sizeof(tp_roster_entry *));
        if (entries == NULL) {
            return tp_fail_nomem(err);
        }
        part->entries = entries;
        part->capacity = capacity;
    }
    const tapeout_status status = tp_dict_add(&part->handles, handle, &index);
    if (status != TAPEOUT_OK) {
        return tp_fail(err, status, "no room for identity \"%.*s\"", TP_STR_ARGS(handle));
    }
    part->entries[index] = entry;
    return TAPEOUT_OK;
}

tapeout_status tp_roster_add(tp_roster *roster, const tp_roster_row *row, tapeout_error *err)
{
    if (tp_roster_count(roster) >= TP_MAX_IDENTITIES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "more than %u identities", TP_MAX_IDENTITIES);
    }
    tp_roster_entry *entry = tp_alloc_zero(roster->alloc, sizeof(*entry));
    if (entry == NULL) {
        return tp_fail_nomem(err);
    }
    tapeout_status status = read_verifier(row, entry, err);
    if (status == TAPEOUT_OK) {
        status = make_principal(roster, row, &entry->principal, err);
    }
    if (status == TAPEOUT_OK) {
        status = part_add(roster, row->is_user ? &roster->users : &roster->keys, row->handle, entry,
                          err);
    }
    if (status != TAPEOUT_OK) {
        entry_free(roster->alloc, entry);
    }
    return status;
}

size_t tp_roster_count(const tp_roster *roster)
{
    return (size_t)roster->keys.handles.count + roster->users.handles.count;
}

static const tp_roster_entry *part_find(const roster_part *part, tp_str handle)
{
    const int64_t index = tp_dict_find(&part->handles, handle);
    return index < 0 ? NULL : part->entries[index];
}

const tp_roster_entry *tp_roster_key(const tp_roster *roster, tp_str prefix)
{
    return part_find(&roster->keys, prefix);
}

const tp_roster_entry *tp_roster_user(const tp_roster *roster, tp_str name)
{
    return part_find(&roster->users, name);
}

tp_roster *tp_roster_ref(tp_roster *roster)
{
    atomic_fetch_add_explicit(&roster->ref_count, 1, memory_order_relaxed);
    return roster;
}

static void part_deinit(const tp_roster *roster, roster_part *part)
{
    for (uint32_t i = 0; i < part->handles.count; i++) {
        entry_free(roster->alloc, part->entries[i]);
    }
    tp_free_array(roster->alloc, part->entries, part->capacity, sizeof(*part->entries));
    tp_dict_deinit(&part->handles);
}

void tp_roster_unref(tp_roster *roster)
{
    // Release and acquire: whoever frees it has seen the others' last use.
    if (roster != NULL &&
        atomic_fetch_sub_explicit(&roster->ref_count, 1, memory_order_acq_rel) == 1) {
        part_deinit(roster, &roster->keys);
        part_deinit(roster, &roster->users);
        tp_free(roster->alloc, roster, sizeof(*roster));
    }
}
