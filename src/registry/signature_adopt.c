// SPDX-License-Identifier: Apache-2.0
//
// From files into the database: until tapeout 0.2 a registered bundle's signatures lay in
// HOME/signatures/sha256/ab/cdef…, an envelope a line. Each file's lines become rows in one
// transaction; then the file is renamed to cdef….moved, so that it is not read again. A crash
// between the two does no harm: rows that are there stay as they are.
#include "registry/signature_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/registry_priv.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef struct adoption {
    tp_arena arena;
    tp_str sha256;
    tp_str lines;
} adoption;

static tapeout_status put_lines(tp_store *store, void *user, tapeout_error *err)
{
    adoption *it = user;
    tp_str rest = it->lines;
    while (rest.size > 0) {
        const char *end = memchr(rest.data, '\n', rest.size);
        const size_t size = end == NULL ? rest.size : (size_t)(end - rest.data);
        signature_row row;
        TP_TRY(tp_signature_row_of(&it->arena, it->sha256, (tp_str){rest.data, size}, &row, err));
        TP_TRY(tp_signatures_put(store, &row, false, err));
        rest.data += end == NULL ? size : size + 1;
        rest.size -= end == NULL ? size : size + 1;
    }
    return TAPEOUT_OK;
}

// A damaged file stays and speaks for itself when its bundle is loaded.
static tapeout_status adopt_file(tp_registry *registry, tp_str sha256, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    char moved[TP_MAX_PATH_BYTES];
    adoption it = {.sha256 = sha256};
    TP_TRY(tp_signature_home_path(registry->home, sha256, path, err));
    const int size = snprintf(moved, sizeof(moved), "%s.moved", path);
    if (size < 0 || (size_t)size >= sizeof(moved)) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "the path of the signature is too long");
    }
    TP_TRY(tp_signature_read(registry->alloc, path, &it.lines, err));
    tp_arena_init(&it.arena, registry->alloc, 4 * (size_t)TP_MAX_SIGNATURE_FILE_BYTES);
    tapeout_status status = tp_store_transact(registry->store, TP_STORE_ROWS, put_lines, &it, err);
    tp_arena_deinit(&it.arena);
    if (it.lines.data != NULL) {
        tp_free(registry->alloc, (char *)(uintptr_t)it.lines.data, it.lines.size + 1);
    }
    if (status == TAPEOUT_OK && rename(path, moved) != 0 && errno != ENOENT) {
        status = tp_fail_errno(err, errno, "%s: cannot be renamed", path);
    }
    return status == TAPEOUT_E_CORRUPT ? TAPEOUT_OK : status;
}

static tapeout_status adopt_folder(tp_registry *registry, const char *folder, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    char hex[TP_SHA256_HEX_SIZE + 1];
    const int size =
        snprintf(path, sizeof(path), "%s/signatures/sha256/%s", registry->home, folder);
    DIR *entries = size > 0 && (size_t)size < sizeof(path) ? opendir(path) : NULL;
    if (entries == NULL) {
        return errno == ENOENT ? TAPEOUT_OK
                               : tp_fail_errno(err, errno, "registry: %s: cannot be read", path);
    }
    tapeout_status status = TAPEOUT_OK;
    for (const struct dirent *next = readdir(entries); next != NULL && status == TAPEOUT_OK;
         next = readdir(entries)) {
        const size_t used = strlen(next->d_name);
        if (used == TP_SHA256_HEX_SIZE - 2 && strspn(next->d_name, "0123456789abcdef") == used) {
            (void)snprintf(hex, sizeof(hex), "%s%.62s", folder, next->d_name);
            status = adopt_file(registry, tp_str_from(hex), err);
        }
    }
    (void)closedir(entries);
    return status;
}

bool tp_signatures_are_in(const char *home)
{
    char path[TP_MAX_PATH_BYTES];
    const int size = snprintf(path, sizeof(path), "%s/signatures/sha256", home);
    return size >= 0 && (size_t)size < sizeof(path) && tp_path_exists(path);
}

tapeout_status tp_signatures_adopt(tp_registry *registry, tapeout_error *err)
{
    if (!tp_signatures_are_in(registry->home)) {
        return TAPEOUT_OK;
    }
    TP_TRY(tp_store_migrate(registry->store, &tp_signature_schema, err));
    for (unsigned i = 0; i < 256; i++) {
        char folder[3];
        (void)snprintf(folder, sizeof(folder), "%02x", i);
        TP_TRY(adopt_folder(registry, folder, err));
    }
    return TAPEOUT_OK;
}
