// SPDX-License-Identifier: Apache-2.0
//
// Bundles by the hash of their bytes: HOME/blobs/sha256/ab/cdef…, read-only. The same bytes stand
// there once, however many versions have them. A blob is written beside its place, synced, renamed
// and its directory synced before a row may speak of it; a blob without a row is harmless, a row
// without a blob would be a lie. Where the blobs are in S3 (blobs_s3.c), these are the copies that
// are mapped and served.
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/registry_priv.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_hex(tp_str text)
{
    for (size_t i = 0; i < text.size; i++) {
        const char c = text.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return text.size == TP_SHA256_HEX_SIZE;
}

tapeout_status tp_blob_path(const char *home, tp_str hex, char ret_path[TP_MAX_PATH_BYTES],
                            tapeout_error *err)
{
    if (!is_hex(hex)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "registry: \"%.*s\" is no SHA-256: 64 digits of 0-9 and a-f",
                       TP_STR_ARGS(hex));
    }
    const int size = snprintf(ret_path, TP_MAX_PATH_BYTES, "%s/blobs/sha256/%.2s/%.62s", home,
                              hex.data, hex.data + 2);
    if (size < 0 || (size_t)size >= TP_MAX_PATH_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "registry: the path of the home directory is too long");
    }
    return TAPEOUT_OK;
}

// Also where it was there already, since whoever made it may have been killed before he synced it.
tapeout_status tp_blob_folder_make(const char *home, const char *path, tapeout_error *err)
{
    char folder[TP_MAX_PATH_BYTES];
    (void)snprintf(folder, sizeof(folder), "%s", path);
    *strrchr(folder, '/') = '\0';
    if (!tp_path_exists(folder)) {
        TP_TRY(tp_directory_make(folder, err));
    }
    while (strlen(folder) > strlen(home)) {
        TP_TRY(tp_directory_sync(folder, err)); // the entry of `folder` in the one above
        *strrchr(folder, '/') = '\0';
    }
    return TAPEOUT_OK;
}

tapeout_status tp_blob_names_sync(const char *home, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    for (unsigned i = 0; i < 256; i++) {
        const int size = snprintf(path, sizeof(path), "%s/blobs/sha256/%02x", home, i);
        if (size < 0 || (size_t)size + sizeof("/any") > sizeof(path)) {
            return tp_fail(err, TAPEOUT_E_LIMIT, "registry: the path of %s is too long", home);
        }
        if (tp_path_is_directory(path)) {
            memcpy(path + size, "/any", sizeof("/any"));
            TP_TRY(tp_directory_sync(path, err)); // the names in the folder
            TP_TRY(tp_blob_folder_make(home, path, err));
        }
    }
    return TAPEOUT_OK;
}

static bool has_hash(const char *path, const tp_sha256 *hash)
{
    tp_sha256 found;
    return tp_sha256_file(path, &found, NULL) == TAPEOUT_OK &&
           memcmp(found.bytes, hash->bytes, sizeof(found.bytes)) == 0;
}

static tapeout_status write_blob(tp_registry *registry, const char *path, tp_str data,
                                 tapeout_error *err)
{
    tp_writer *writer = NULL;
    TP_TRY(tp_writer_open(registry->alloc, path, &writer, err));
    const tapeout_status status = tp_writer_write(writer, data.data, data.size, err);
    if (status != TAPEOUT_OK) {
        tp_writer_abort(&writer);
        return status;
    }
    return tp_writer_commit(&writer, err);
}

static tapeout_status put_local(tp_registry *registry, const blob_source *source, bool *ret_is_new,
                                tapeout_error *err)
{
    const tp_sha256 *hash = &source->hash;
    char hex[TP_SHA256_HEX_SIZE + 1];
    char path[TP_MAX_PATH_BYTES];
    tp_sha256_hex(hash, hex);
    TP_TRY(tp_blob_path(registry->home, tp_str_from(hex), path, err));
    // An upload is a file that was synced and read back before the lock was taken: quicker put in
    // place of the same bytes than compared with them. Where it got its name in an attempt that was
    // undone, its bytes are still mapped.
    const bool is_file = source->upload != NULL && tp_upload_has_file(source->upload);
    *ret_is_new = !tp_path_exists(path);
    const bool is_there = !is_file && !*ret_is_new && has_hash(path, hash);
    tapeout_status status = tp_blob_folder_make(registry->home, path, err);
    if (status == TAPEOUT_OK && is_there) {
        // One that is there was put in place by somebody who may have been killed before its name
        // was on disk, and before the mode was set.
        status = tp_directory_sync(path, err);
    } else if (status == TAPEOUT_OK) {
        status = is_file ? tp_upload_place(source->upload, path, err)
                         : write_blob(registry, path, source->data, err);
    }
    if (status == TAPEOUT_E_IO) {
        // A failed sync may have dropped pages that a second one would call safe.
        tp_store_stop(registry->store);
    }
    TP_TRY(status);
    if (chmod(path, 0444) != 0 && !is_there) {
        return tp_fail_errno(err, errno, "registry: %s: cannot be made read-only", path);
    }
    if (!is_there && !is_file && !has_hash(path, hash)) {
        return tp_fail(err, TAPEOUT_E_IO,
                       "registry: %s does not read back as it was written, or the bundle changed "
                       "meanwhile; register it again",
                       path);
    }
    return TAPEOUT_OK;
}

static tapeout_status send_local(tp_registry *registry, const blob_source *source,
                                 tapeout_error *err)
{
    (void)registry;
    (void)source;
    (void)err;
    return TAPEOUT_OK; // writing it under the lock is quick enough
}

static tapeout_status fetch_local(tp_registry *registry, tp_str hex, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    TP_TRY(tp_blob_path(registry->home, hex, path, err));
    return tp_path_exists(path) ? TAPEOUT_OK
                                : tp_fail(err, TAPEOUT_E_NOT_FOUND, "registry: %s is gone", path);
}

static tapeout_status remove_local(tp_registry *registry, tp_str hex, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    TP_TRY(tp_blob_path(registry->home, hex, path, err));
    if (unlink(path) != 0 && errno != ENOENT) {
        return tp_fail_errno(err, errno, "registry: %s: cannot be removed", path);
    }
    return TAPEOUT_OK;
}

// -- listing -------------------------------------------------------------------------------------
static tapeout_status visit_file(const tp_registry *registry, const char *folder, const char *name,
                                 blob_about *ret_about)
{
    char path[TP_MAX_PATH_BYTES];
    struct stat info;
    blob_about about = {.is_copy = registry->s3 != NULL};
    const int size = snprintf(about.hex, sizeof(about.hex), "%s%s", folder, name);
    if (size != TP_SHA256_HEX_SIZE ||
        tp_blob_path(registry->home, tp_str_from(about.hex), path, NULL) != TAPEOUT_OK ||
        stat(path, &info) != 0) {
        return TAPEOUT_E_NOT_FOUND; // something else, or gone meanwhile
    }
    about.size = (uint64_t)info.st_size;
    about.modified_s = (int64_t)info.st_mtime;
    about.used_ns = (int64_t)info.st_atim.tv_sec * 1000000000 + info.st_atim.tv_nsec;
    *ret_about = about;
    return TAPEOUT_OK;
}

static tapeout_status list_folder(tp_registry *registry, const char *folder, blob_visit *visit,
                                  void *user, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    const int size = snprintf(path, sizeof(path), "%s/blobs/sha256/%s", registry->home, folder);
    DIR *entries = size > 0 && (size_t)size < sizeof(path) ? opendir(path) : NULL;
    if (entries == NULL) {
        return errno == ENOENT ? TAPEOUT_OK
                               : tp_fail_errno(err, errno, "registry: %s: cannot be read", path);
    }
    tapeout_status status = TAPEOUT_OK;
    for (const struct dirent *next = readdir(entries); next != NULL && status == TAPEOUT_OK;
         next = readdir(entries)) {
        blob_about about;
        if (visit_file(registry, folder, next->d_name, &about) == TAPEOUT_OK) {
            status = visit(user, &about, err);
        }
    }
    (void)closedir(entries);
    return status;
}

static tapeout_status list_local(tp_registry *registry, blob_visit *visit, void *user,
                                 tapeout_error *err)
{
    for (unsigned i = 0; i < 256; i++) {
        char folder[3];
        (void)snprintf(folder, sizeof(folder), "%02x", i);
        TP_TRY(list_folder(registry, folder, visit, user, err));
    }
    return TAPEOUT_OK;
}

// -- the table -----------------------------------------------------------------------------------
const tp_blobs tp_blobs_local = {send_local, put_local, fetch_local, remove_local, list_local};

tapeout_status tp_blob_send(tp_registry *registry, const blob_source *source, tapeout_error *err)
{
    return registry->blobs->send(registry, source, err);
}

tapeout_status tp_blob_put(tp_registry *registry, const blob_source *source, bool *ret_is_new,
                           tapeout_error *err)
{
    return registry->blobs->put(registry, source, ret_is_new, err);
}

tapeout_status tp_blob_fetch(tp_registry *registry, tp_str hex, tapeout_error *err)
{
    return registry->blobs->fetch(registry, hex, err);
}

tapeout_status tp_blob_remove(tp_registry *registry, tp_str hex, tapeout_error *err)
{
    return registry->blobs->remove(registry, hex, err);
}

tapeout_status tp_blob_list(tp_registry *registry, blob_visit *visit, void *user,
                            tapeout_error *err)
{
    return registry->blobs->list(registry, visit, user, err);
}
