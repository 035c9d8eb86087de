// SPDX-License-Identifier: Apache-2.0
//
// The keys of a home directory: where their files lie, who may read them, and the home's own key,
// with which whatever is registered here is signed. The own key is made when it is first needed,
// without passphrase, since it must sign while nobody is there; it proves that bytes were
// registered by whoever can read HOME/keys, and no more than that.
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "base/tp_private_file.h"
#include "trust/key_priv.h"
#include "trust/tp_audit.h"
#include "trust/tp_trust.h"

#include <dirent.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

bool tp_key_name_is_valid(tp_str name)
{
    return name.size < TP_KEY_NAME_SIZE && tp_model_name_is_valid(name);
}

void tp_key_info_append(tp_buffer *json, const tp_key_info *info)
{
    tp_buffer_append_char(json, '{');
    tp_key_public_append(json, &info->key);
    tp_json_append_key(json, "name");
    tp_json_append_str(json, tp_str_from(info->name));
    tp_json_append_key(json, "person");
    tp_json_append_str(json, tp_str_from(info->person));
    tp_json_append_key(json, "created");
    tp_time_append(json, info->created_s);
    tp_json_append_key(json, "sealed");
    tp_buffer_append_text(json, info->is_sealed ? "true" : "false");
    tp_buffer_append_char(json, '}');
}

// -- places --------------------------------------------------------------------------------------
static bool is_path(const char *key)
{
    const tp_str text = tp_str_from(key);
    return strchr(key, '/') != NULL || tp_str_has_suffix(text, TP_STR(".key")) ||
           tp_str_has_suffix(text, TP_STR(".pub")) || tp_str_has_suffix(text, TP_STR(".pem"));
}

static tapeout_status path_of(const char *home, const char *key, const char *end,
                              char ret_path[TP_MAX_PATH_BYTES], tapeout_error *err)
{
    const bool is_file = is_path(key);
    if (!is_file && !tp_key_name_is_valid(tp_str_from(key))) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "\"%s\" is no name of a key: a letter or digit, then letters, digits, '.', "
                       "'_' and '-', at most %d in all; a path has a slash",
                       key, TP_KEY_NAME_SIZE - 1);
    }
    const int size = is_file
                         ? snprintf(ret_path, TP_MAX_PATH_BYTES, "%s", key)
                         : snprintf(ret_path, TP_MAX_PATH_BYTES, "%s/keys/%s%s", home, key, end);
    return size >= 0 && size < (int)TP_MAX_PATH_BYTES
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_LIMIT, "the path of key \"%.40s\" is too long", key);
}

static void free_text(const tapeout_allocator *alloc, tp_str text)
{
    if (text.data != NULL) {
        sodium_memzero((char *)(uintptr_t)text.data, text.size);
        tp_free(alloc, (char *)(uintptr_t)text.data, text.size + 1);
    }
}

static tapeout_status read_key(const tapeout_allocator *alloc, const char *path, tp_str *ret_text,
                               tapeout_error *err)
{
    const tapeout_status status = tp_file_read(alloc, path, TP_MAX_KEY_FILE_BYTES, ret_text, err);
    return status == TAPEOUT_E_NOT_FOUND
               ? tp_fail(err, status, "%s: no such key; tapeout keys list shows what is there",
                         path)
               : status;
}

tapeout_status tp_key_home_info(const tapeout_allocator *alloc, const char *home, const char *key,
                                tp_key_info *ret_info, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    tp_str text = {NULL, 0};
    TP_TRY(path_of(home, key, ".key", path, err));
    if (!is_path(key) && !tp_path_exists(path)) {
        TP_TRY(path_of(home, key, ".pub", path, err)); // a home may know others' keys too
    }
    TP_TRY(read_key(alloc, path, &text, err));
    const tapeout_status status = tp_key_info_parse(alloc, text, ret_info, err);
    free_text(alloc, text);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "%s", path);
    }
    return status;
}

tapeout_status tp_key_home_open(const tapeout_allocator *alloc, const char *home, const char *key,
                                tp_str passphrase, tp_signer **ret_signer, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    tp_key_info info;
    tp_str text = {NULL, 0};
    TP_TRY(path_of(home, key, ".key", path, err));
    TP_TRY(read_key(alloc, path, &text, err));
    tapeout_status status = tp_key_info_parse(alloc, text, &info, err);
    if (status == TAPEOUT_OK && info.is_secret) {
        status = tp_private_file_check(path, false, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_key_open(alloc, text, passphrase, ret_signer, err);
    }
    free_text(alloc, text);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "%s", path);
    }
    return status;
}

// -- making --------------------------------------------------------------------------------------
static tapeout_status write_pair(const tapeout_allocator *alloc, const char *home,
                                 const tp_key_info *info, const uint8_t seed[TP_KEY_SEED_SIZE],
                                 tp_str passphrase, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    tp_buffer text;
    tp_writer *writer = NULL;
    tp_buffer_init(&text, alloc, 2 * TP_MAX_KEY_FILE_BYTES);
    tapeout_status status = tp_key_secret_write(info, seed, passphrase, &text, err);
    if (status == TAPEOUT_OK) {
        status = path_of(home, info->name, ".key", path, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_private_file_make(path, tp_buffer_view(&text), false, err);
    }
    if (text.data != NULL) {
        sodium_memzero(text.data, text.capacity);
    }
    tp_buffer_clear(&text);
    if (status == TAPEOUT_OK) {
        tp_key_public_write(info, &text);
        status = path_of(home, info->name, ".pub", path, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_writer_open(alloc, path, &writer, err);
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

// A key that is there can't be made unmade, so the log hears of it afterwards; whoever asked hears
// where that failed.
static tapeout_status tell(const tapeout_allocator *alloc, const char *home,
                           const tp_key_info *info, tapeout_error *err)
{
    char id[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(&info->key.id, id);
    const tp_audit_field fields[] = {{"name", tp_str_from(info->name)},
                                     {"key_id", tp_str_from(id)},
                                     {"person", tp_str_from(info->person)},
                                     {"sealed", tp_str_from(info->is_sealed ? "yes" : "no")}};
    const tp_audit_note note = {"signing_key.made", {NULL, 0}, fields, 4};
    const tapeout_status status = tp_audit_tell_home(alloc, home, &note, err);
    if (status != TAPEOUT_OK) {
        tp_error_prefix(err, "key \"%s\" is made, but the audit log does not say so", info->name);
    }
    return status;
}

tapeout_status tp_key_home_make(const tapeout_allocator *alloc, const char *home,
                                const tp_key_info *about, tp_str passphrase, tp_key_info *ret_info,
                                tapeout_error *err)
{
    uint8_t seed[TP_KEY_SEED_SIZE];
    tp_key_info info = *about;
    tp_signer *signer = NULL;
    if (!tp_key_name_is_valid(tp_str_from(info.name))) {
        return tp_fail(err, TAPEOUT_E_INVALID, "\"%s\" is no name of a key", info.name);
    }
    if (sodium_init() < 0) {
        return tp_fail(err, TAPEOUT_E_INTERNAL, "libsodium does not start");
    }
    randombytes_buf(seed, sizeof(seed));
    tapeout_status status = tp_signer_new(alloc, info.key.algorithm, seed, &signer, err);
    if (status == TAPEOUT_OK) {
        info.key = signer->key;
        info.created_s = tp_clock_unix_us() / 1000000;
        info.is_secret = true;
        info.is_sealed = passphrase.size > 0;
        status = write_pair(alloc, home, &info, seed, passphrase, err);
    }
    sodium_memzero(seed, sizeof(seed));
    tp_signer_free(&signer);
    if (status == TAPEOUT_E_EXISTS) {
        return tp_fail(err, status, "key \"%s\" is there already; a key is never written over",
                       info.name);
    }
    TP_TRY(status);
    TP_TRY(tell(alloc, home, &info, err));
    *ret_info = info;
    return TAPEOUT_OK;
}

tapeout_status tp_key_home_own(const tapeout_allocator *alloc, const char *home,
                               tp_signer **ret_signer, tapeout_error *err)
{
    const tp_str none = {NULL, 0};
    tp_key_info info = {.key = {.algorithm = TP_KEY_ED25519}};
    (void)snprintf(info.name, sizeof(info.name), "%s", TP_KEY_OWN);
    (void)snprintf(info.person, sizeof(info.person), "%s", TP_KEY_OWN_PERSON);
    tp_signer *signer = NULL;
    tapeout_status status = tp_key_home_open(alloc, home, TP_KEY_OWN, none, &signer, err);
    if (status == TAPEOUT_E_NOT_FOUND) {
        tp_key_info made;
        status = tp_key_home_make(alloc, home, &info, none, &made, err);
        // Another process may have been quicker: then its key is the home's.
        if (status == TAPEOUT_OK || status == TAPEOUT_E_EXISTS) {
            status = tp_key_home_open(alloc, home, TP_KEY_OWN, none, &signer, err);
        }
    }
    if (status == TAPEOUT_OK) {
        status = tp_key_home_info(alloc, home, TP_KEY_OWN, &info, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_trust_list_ensure(alloc, home, &info, err);
    }
    if (status != TAPEOUT_OK) {
        tp_signer_free(&signer);
        return status;
    }
    *ret_signer = signer;
    return TAPEOUT_OK;
}

// -- listing -------------------------------------------------------------------------------------
typedef struct key_names {
    char (*items)[TP_KEY_NAME_SIZE];
    size_t count;
} key_names;

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static tapeout_status collect(DIR *folder, key_names *names, tapeout_error *err)
{
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        tp_str name = tp_str_from(entry->d_name);
        const bool is_key =
            tp_str_has_suffix(name, TP_STR(".pub")) || tp_str_has_suffix(name, TP_STR(".key"));
        name.size -= is_key ? 4 : 0;
        if (!is_key || !tp_key_name_is_valid(name)) {
            continue;
        }
        if (names->count == TP_MAX_KEYS) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "more than %u keys in one home", TP_MAX_KEYS);
        }
        char *to = names->items[names->count++];
        memcpy(to, name.data, name.size);
        to[name.size] = '\0';
    }
    qsort(names->items, names->count, sizeof(names->items[0]), compare_names);
    return TAPEOUT_OK;
}

static tapeout_status append_keys(const tapeout_allocator *alloc, const char *home,
                                  const key_names *names, tp_buffer *json, tapeout_error *err)
{
    for (size_t i = 0; i < names->count; i++) {
        tp_key_info info;
        if (i > 0 && strcmp(names->items[i - 1], names->items[i]) == 0) {
            continue; // the other half of a pair
        }
        TP_TRY(tp_key_home_info(alloc, home, names->items[i], &info, err));
        if (i > 0) {
            tp_buffer_append_char(json, ',');
        }
        tp_key_info_append(json, &info);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_key_home_list(const tapeout_allocator *alloc, const char *home, tp_buffer *json,
                                tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%.*s/keys", (int)sizeof(path) - 8, home);
    DIR *folder = opendir(path);
    if (folder == NULL && errno != ENOENT) {
        return tp_fail_errno(err, errno, "%s: cannot be listed", path);
    }
    tapeout_status status = TAPEOUT_OK;
    tp_buffer_append_char(json, '[');
    if (folder != NULL) {
        key_names names = {tp_alloc_array(alloc, TP_MAX_KEYS, sizeof(names.items[0])), 0};
        status = names.items == NULL ? tp_fail_nomem(err) : collect(folder, &names, err);
        (void)closedir(folder);
        if (status == TAPEOUT_OK) {
            status = append_keys(alloc, home, &names, json, err);
        }
        tp_free_array(alloc, names.items, TP_MAX_KEYS, sizeof(names.items[0]));
    }
    tp_buffer_append_char(json, ']');
    return status;
}
