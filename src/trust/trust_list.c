// SPDX-License-Identifier: Apache-2.0
//
// The trust list: which keys are believed, from when until when, and which were taken back. One
// file a home, replaced whole. Whoever changes it holds the writer of the new file from before the
// old one is read, so that no change is lost; another process that wants to waits a moment.
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "base/tp_private_file.h"
#include "trust/key_priv.h"
#include "trust/tp_audit.h"
#include "trust/tp_trust.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LIST_VERSION = 1, LOCK_TRIES = 500, LOCK_WAIT_NS = 10000000 };

static const char empty_list[] = "{\"format\":\"tapeout-trust\",\"keys\":[],\"version\":1}\n";

// -- in memory -----------------------------------------------------------------------------------
void tp_trust_list_free(tp_trust_list *list)
{
    if (list->keys != NULL) {
        tp_free_array(list->alloc, list->keys, list->capacity, sizeof(*list->keys));
    }
    *list = (tp_trust_list){.alloc = NULL};
}

static tapeout_status push(tp_trust_list *list, const tp_trusted_key *key, tapeout_error *err)
{
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity == 0 ? 8 : list->capacity * 2;
        tp_trusted_key *keys =
            list->count >= TP_MAX_KEYS
                ? NULL
                : tp_resize_array(list->alloc, list->keys, list->capacity, capacity, sizeof(*keys));
        if (keys == NULL) {
            return list->count >= TP_MAX_KEYS
                       ? tp_fail(err, TAPEOUT_E_LIMIT, "trust list: more than %u keys", TP_MAX_KEYS)
                       : tp_fail_nomem(err);
        }
        list->keys = keys;
        list->capacity = capacity;
    }
    list->keys[list->count++] = *key;
    return TAPEOUT_OK;
}

const tp_trusted_key *tp_trust_list_find(const tp_trust_list *list, const tp_sha256 *id)
{
    for (size_t i = 0; i < list->count; i++) {
        if (tp_key_id_equal(&list->keys[i].key.id, id)) {
            return &list->keys[i];
        }
    }
    return NULL;
}

tapeout_status tp_trust_list_of(const tapeout_allocator *alloc, const tp_key_info *info,
                                tp_trust_list *ret_list, tapeout_error *err)
{
    tp_trust_list list = {.alloc = alloc};
    tp_trusted_key key = {.key = info->key, .until_s = INT64_MAX};
    memcpy(key.name, info->name, sizeof(key.name));
    memcpy(key.person, info->person, sizeof(key.person));
    TP_TRY(push(&list, &key, err));
    *ret_list = list;
    return TAPEOUT_OK;
}

// -- as text -------------------------------------------------------------------------------------
static void append_key(tp_buffer *json, const tp_trusted_key *key)
{
    tp_buffer_append_char(json, '{');
    tp_json_append_key(json, "added");
    tp_time_append(json, key->added_s);
    tp_key_public_append(json, &key->key);
    tp_json_append_key(json, "name");
    tp_json_append_str(json, tp_str_from(key->name));
    tp_json_append_key(json, "person");
    tp_json_append_str(json, tp_str_from(key->person));
    if (key->revoked_s != 0) {
        tp_json_append_key(json, "reason");
        tp_json_append_str(json, tp_str_from(key->reason));
        tp_json_append_key(json, "revoked");
        tp_time_append(json, key->revoked_s);
    }
    tp_json_append_key(json, "valid_from");
    tp_time_append(json, key->from_s);
    if (key->until_s != INT64_MAX) {
        tp_json_append_key(json, "valid_until");
        tp_time_append(json, key->until_s);
    }
    tp_buffer_append_char(json, '}');
}

void tp_trust_list_append(tp_buffer *json, const tp_trust_list *list)
{
    tp_buffer_append_text(json, "{\"format\":\"tapeout-trust\",\"keys\":[");
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0) {
            tp_buffer_append_char(json, ',');
        }
        append_key(json, &list->keys[i]);
    }
    tp_buffer_append_text(json, "],\"version\":1}");
}

static bool parse_time(yyjson_val *object, const char *key, int64_t *ret_time_s)
{
    return tp_time_parse(tp_json_get_str(object, key), false, ret_time_s);
}

static tapeout_status parse_key(yyjson_val *value, tp_trusted_key *ret_key, tapeout_error *err)
{
    tp_trusted_key key = {.until_s = INT64_MAX};
    const bool ends = yyjson_obj_get(value, "valid_until") != NULL;
    const bool is_revoked = yyjson_obj_get(value, "revoked") != NULL;
    // An unknown key could be a condition that this version would pass over.
    if (yyjson_obj_size(value) != 7u + (ends ? 1u : 0u) + (is_revoked ? 2u : 0u)) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "a key lacks something or has something unknown");
    }
    TP_TRY(tp_key_public_parse(value, &key.key, err));
    TP_TRY(tp_key_text(value, "name", key.name, sizeof(key.name), err));
    TP_TRY(tp_key_text(value, "person", key.person, sizeof(key.person), err));
    if (is_revoked) {
        TP_TRY(tp_key_text(value, "reason", key.reason, sizeof(key.reason), err));
    }
    if (!parse_time(value, "added", &key.added_s) ||
        !parse_time(value, "valid_from", &key.from_s) ||
        (ends && !parse_time(value, "valid_until", &key.until_s)) ||
        (is_revoked && (!parse_time(value, "revoked", &key.revoked_s) || key.revoked_s == 0))) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "a time is not written as 2026-11-25T16:00:00Z");
    }
    *ret_key = key;
    return TAPEOUT_OK;
}

static tapeout_status parse_list(yyjson_val *root, tp_trust_list *list, tapeout_error *err)
{
    yyjson_val *keys = yyjson_obj_get(root, "keys");
    if (!tp_str_equal(tp_json_get_str(root, "format"), TP_STR("tapeout-trust")) ||
        !yyjson_is_arr(keys) || yyjson_obj_size(root) != 3) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "not a trust list");
    }
    if (yyjson_get_uint(yyjson_obj_get(root, "version")) != LIST_VERSION) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED, "this tapeout reads trust lists of version %d",
                       LIST_VERSION);
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(keys);
    for (yyjson_val *value = yyjson_arr_iter_next(&iter); value != NULL;
         value = yyjson_arr_iter_next(&iter)) {
        tp_trusted_key key;
        TP_TRY(parse_key(value, &key, err));
        if (tp_trust_list_find(list, &key.key.id) != NULL) {
            return tp_fail(err, TAPEOUT_E_CORRUPT, "key \"%s\" stands twice", key.name);
        }
        TP_TRY(push(list, &key, err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_trust_list_parse(const tapeout_allocator *alloc, tp_str text,
                                   tp_trust_list *ret_list, tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    tp_trust_list list = {.alloc = alloc};
    TP_TRY(tp_json_parse(alloc, text, "trust list", &doc, err));
    const tapeout_status status = parse_list(yyjson_doc_get_root(doc), &list, err);
    yyjson_doc_free(doc);
    if (status != TAPEOUT_OK) {
        tp_trust_list_free(&list);
        return status;
    }
    *ret_list = list;
    return TAPEOUT_OK;
}

// -- as a file -----------------------------------------------------------------------------------
tapeout_status tp_trust_list_read(const tapeout_allocator *alloc, const char *path,
                                  tp_trust_list *ret_list, tapeout_error *err)
{
    tp_str text = {NULL, 0};
    TP_TRY(tp_private_file_check(path, true, err));
    TP_TRY(tp_file_read(alloc, path, TP_MAX_TRUST_LIST_BYTES, &text, err));
    const tapeout_status status = tp_trust_list_parse(alloc, text, ret_list, err);
    tp_free(alloc, (char *)(uintptr_t)text.data, text.size + 1);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "%s", path);
    }
    return status;
}

static tapeout_status list_path(const char *home, char ret_path[TP_MAX_PATH_BYTES],
                                tapeout_error *err)
{
    const int size = snprintf(ret_path, TP_MAX_PATH_BYTES, "%s/trust.json", home);
    return size >= 0 && size < (int)TP_MAX_PATH_BYTES
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_LIMIT, "the path of the home directory is too long");
}

tapeout_status tp_trust_list_open(const tapeout_allocator *alloc, const char *home,
                                  tp_trust_list *ret_list, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    TP_TRY(list_path(home, path, err));
    if (!tp_path_exists(path)) {
        *ret_list = (tp_trust_list){.alloc = alloc};
        return TAPEOUT_OK;
    }
    return tp_trust_list_read(alloc, path, ret_list, err);
}

// Waits while another process writes the same file.
static tapeout_status open_writer(const tapeout_allocator *alloc, const char *path,
                                  tp_writer **ret_writer, tapeout_error *err)
{
    tapeout_status status = TAPEOUT_E_BUSY;
    for (int i = 0; i < LOCK_TRIES && status == TAPEOUT_E_BUSY; i++) {
        status = tp_writer_open(alloc, path, ret_writer, err);
        if (status == TAPEOUT_E_BUSY) {
            (void)nanosleep(&(struct timespec){.tv_nsec = LOCK_WAIT_NS}, NULL);
        }
    }
    return status;
}

typedef tapeout_status (*change_fn)(tp_trust_list *list, void *user, tapeout_error *err);

static tapeout_status change_and_write(tp_writer *writer, const char *path, change_fn change,
                                       void *user, const tapeout_allocator *alloc,
                                       tapeout_error *err)
{
    tp_trust_list list;
    tp_buffer text;
    TP_TRY(tp_trust_list_read(alloc, path, &list, err));
    tp_buffer_init(&text, alloc, TP_MAX_TRUST_LIST_BYTES);
    tapeout_status status = change(&list, user, err);
    if (status == TAPEOUT_OK) {
        tp_trust_list_append(&text, &list);
        tp_buffer_append_char(&text, '\n');
        status = tp_buffer_check(&text, "trust list", err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_writer_write(writer, text.data, text.size, err);
    }
    tp_buffer_deinit(&text);
    tp_trust_list_free(&list);
    return status;
}

static tapeout_status change_list(const tapeout_allocator *alloc, const char *home,
                                  change_fn change, void *user, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    tp_writer *writer = NULL;
    TP_TRY(list_path(home, path, err));
    if (!tp_path_exists(path)) {
        const tapeout_status made =
            tp_private_file_make(path, (tp_str){empty_list, sizeof(empty_list) - 1}, true, err);
        if (made != TAPEOUT_OK && made != TAPEOUT_E_EXISTS) {
            return made;
        }
    }
    TP_TRY(open_writer(alloc, path, &writer, err));
    const tapeout_status status = change_and_write(writer, path, change, user, alloc, err);
    if (status != TAPEOUT_OK) {
        tp_writer_abort(&writer);
        return status;
    }
    return tp_writer_commit(&writer, err);
}

// -- changes -------------------------------------------------------------------------------------
// The log hears of it before the list is written: what the log can't take is not done.
static tapeout_status tell(const tp_trust_list *list, const char *home, const char *kind,
                           const tp_trusted_key *key, tapeout_error *err)
{
    char id[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(&key->key.id, id);
    const tp_audit_field fields[] = {{"name", tp_str_from(key->name)},
                                     {"key_id", tp_str_from(id)},
                                     {"person", tp_str_from(key->person)},
                                     {"reason", tp_str_from(key->reason)}};
    const size_t count = key->revoked_s != 0 ? 4 : 3;
    const tp_audit_note note = {kind, {NULL, 0}, fields, count};
    return tp_audit_tell_home(list->alloc, home, &note, err);
}

typedef struct addition {
    const char *home;
    const tp_trusted_key *key;
} addition;

static tapeout_status put_key(tp_trust_list *list, const tp_trusted_key *key, tapeout_error *err)
{
    tp_trusted_key *old = (tp_trusted_key *)(uintptr_t)tp_trust_list_find(list, &key->key.id);
    if (old != NULL && old->revoked_s != 0) {
        return tp_fail(err, TAPEOUT_E_DENIED,
                       "key \"%s\" was revoked (%s) and is not trusted again; make a new one",
                       old->name, old->reason);
    }
    for (size_t i = 0; i < list->count; i++) {
        if (&list->keys[i] != old && strcmp(list->keys[i].name, key->name) == 0 &&
            list->keys[i].revoked_s == 0) {
            return tp_fail(err, TAPEOUT_E_EXISTS,
                           "another key is trusted under the name \"%s\"; give this one another "
                           "with --name, or revoke the other",
                           key->name);
        }
    }
    if (old == NULL) {
        return push(list, key, err);
    }
    const int64_t added_s = old->added_s;
    *old = *key;
    old->added_s = added_s;
    return TAPEOUT_OK;
}

static tapeout_status add(tp_trust_list *list, void *user, tapeout_error *err)
{
    const addition *wanted = user;
    TP_TRY(put_key(list, wanted->key, err));
    return tell(list, wanted->home, "trust.added", wanted->key, err);
}

tapeout_status tp_trust_list_add(const tapeout_allocator *alloc, const char *home,
                                 const tp_trusted_key *key, tapeout_error *err)
{
    addition wanted = {home, key};
    return change_list(alloc, home, add, &wanted, err);
}

tapeout_status tp_trust_list_ensure(const tapeout_allocator *alloc, const char *home,
                                    const tp_key_info *info, tapeout_error *err)
{
    tp_trust_list list;
    TP_TRY(tp_trust_list_open(alloc, home, &list, err));
    const tp_trusted_key *found = tp_trust_list_find(&list, &info->key.id);
    const bool is_there = found != NULL;
    const bool is_revoked = is_there && found->revoked_s != 0;
    tp_trust_list_free(&list);
    if (is_revoked) {
        return tp_fail(err, TAPEOUT_E_UNTRUSTED,
                       "the home's own key was revoked; move %s/keys/home.key away, and a new one "
                       "is made",
                       home);
    }
    if (is_there) {
        return TAPEOUT_OK;
    }
    tp_trusted_key key = {.key = info->key,
                          .added_s = tp_clock_unix_us() / 1000000,
                          .from_s = info->created_s,
                          .until_s = INT64_MAX};
    memcpy(key.name, info->name, sizeof(key.name));
    memcpy(key.person, info->person, sizeof(key.person));
    return tp_trust_list_add(alloc, home, &key, err);
}

void tp_trust_list_take_back(tp_trust_list *list, tp_str key_id, tp_str reason, int64_t revoked_s)
{
    tp_sha256 id;
    if (!tp_key_id_parse(key_id, &id)) {
        return; // of no key
    }
    tp_trusted_key *key = (tp_trusted_key *)(uintptr_t)tp_trust_list_find(list, &id);
    if (key != NULL && key->revoked_s == 0) {
        key->revoked_s = revoked_s;
        (void)snprintf(key->reason, sizeof(key->reason), "%.*s", TP_STR_ARGS(reason));
    }
}

typedef struct revocation {
    const char *home;
    const char *key;
    const char *reason;
    tp_trusted_key *ret_key;
} revocation;

static bool is_meant(const tp_trusted_key *key, const char *text)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(&key->key.id, hex);
    return (strcmp(key->name, text) == 0 && key->revoked_s == 0) ||
           (strlen(text) >= 8 && tp_str_has_prefix(tp_str_from(hex), tp_str_from(text)));
}

static tapeout_status revoke(tp_trust_list *list, void *user, tapeout_error *err)
{
    const revocation *wanted = user;
    tp_trusted_key *found = NULL;
    for (size_t i = 0; i < list->count; i++) {
        if (is_meant(&list->keys[i], wanted->key)) {
            if (found != NULL) {
                return tp_fail(err, TAPEOUT_E_INVALID,
                               "\"%s\" may be more than one key; give more of its id", wanted->key);
            }
            found = &list->keys[i];
        }
    }
    if (found == NULL) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND,
                       "no trusted key \"%s\"; tapeout trust list shows names and ids",
                       wanted->key);
    }
    if (found->revoked_s == 0) { // the first word on it stands
        found->revoked_s = tp_clock_unix_us() / 1000000;
        (void)snprintf(found->reason, sizeof(found->reason), "%s", wanted->reason);
    }
    *wanted->ret_key = *found;
    return tell(list, wanted->home, "trust.revoked", found, err);
}

tapeout_status tp_trust_list_revoke(const tapeout_allocator *alloc, const char *home,
                                    const char *key, const char *reason, tp_trusted_key *ret_key,
                                    tapeout_error *err)
{
    tp_trusted_key found;
    revocation wanted = {.home = home, .key = key, .reason = reason, .ret_key = &found};
    if (strlen(reason) >= sizeof(found.reason)) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "a reason of %zu bytes, at most %zu", strlen(reason),
                       sizeof(found.reason) - 1);
    }
    TP_TRY(change_list(alloc, home, revoke, &wanted, err));
    *ret_key = found;
    return TAPEOUT_OK;
}
