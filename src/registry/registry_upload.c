// SPDX-License-Identifier: Apache-2.0
//
// A blob on its way in: bytes go into a temporary file in HOME/blobs/incoming as they come, hashed
// meanwhile, and the file gets the name of its hash at the end. So a blob may be larger than the
// memory, and nothing is written twice. Every TP_UPLOAD_STEP_BYTES what came is synced and read
// back, so that a client is no faster than the disk, no sync has much to do, and the end comes soon
// after the last byte.
//
// The temporary files have numbers, and the lowest that is free is taken: what a crash left under a
// number is removed by the next upload that gets it, and by a collection. More uploads at once than
// there are numbers are refused.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/registry_priv.h"
#include "registry/store_priv.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum { READ_STEP_BYTES = 1 << 20 };

struct tp_upload {
    const tapeout_allocator *alloc;
    tp_writer *writer;   // NULL: the file has its name, or is gone
    EVP_MD_CTX *hasher;  // of what came
    EVP_MD_CTX *checker; // of what was read back
    uint64_t size;
    uint64_t checked; // bytes that were synced and read back
};

static tapeout_status path_of(const tp_registry *registry, unsigned number,
                              char ret_path[TP_MAX_PATH_BYTES], tapeout_error *err)
{
    const int size =
        snprintf(ret_path, TP_MAX_PATH_BYTES, "%s/blobs/incoming/%u", registry->home, number);
    return size > 0 && (size_t)size < TP_MAX_PATH_BYTES
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_LIMIT,
                         "registry: the path of the home directory is too long");
}

static tapeout_status folder_of(const tp_registry *registry, char ret_path[TP_MAX_PATH_BYTES],
                                tapeout_error *err)
{
    TP_TRY(path_of(registry, 0, ret_path, err));
    *strrchr(ret_path, '/') = '\0';
    return TAPEOUT_OK;
}

// The folder need not outlive a power cut, nor need what is in it.
static tapeout_status make_folder(const tp_registry *registry, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    TP_TRY(folder_of(registry, path, err));
    return tp_path_is_directory(path) ? TAPEOUT_OK : tp_directory_make(path, err);
}

static tapeout_status open_file(const tp_registry *registry, tp_upload *upload, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    tapeout_status status = TAPEOUT_E_BUSY;
    TP_TRY(make_folder(registry, err));
    for (unsigned i = 0; i < TP_MAX_UPLOADS && status == TAPEOUT_E_BUSY; i++) {
        TP_TRY(path_of(registry, i, path, err));
        status = tp_writer_open(registry->alloc, path, &upload->writer, err);
    }
    return status == TAPEOUT_E_BUSY
               ? tp_fail(err, status,
                         "registry: %u uploads are under way, which is the most; try again",
                         TP_MAX_UPLOADS)
               : status;
}

static EVP_MD_CTX *hasher_new(void)
{
    EVP_MD_CTX *hasher = EVP_MD_CTX_new();
    if (hasher != NULL && EVP_DigestInit_ex(hasher, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(hasher);
        hasher = NULL;
    }
    return hasher;
}

tapeout_status tp_upload_open(tp_registry *registry, tp_upload **ret_upload, tapeout_error *err)
{
    TP_TRY(tp_store_check_stopped(registry->store, err));
    tp_upload *upload = tp_alloc_zero(registry->alloc, sizeof(*upload));
    if (upload == NULL) {
        return tp_fail_nomem(err);
    }
    upload->alloc = registry->alloc;
    upload->hasher = hasher_new();
    upload->checker = hasher_new();
    const bool is_good = upload->hasher != NULL && upload->checker != NULL;
    const tapeout_status status = is_good ? open_file(registry, upload, err) : tp_fail_nomem(err);
    if (status == TAPEOUT_E_IO) {
        tp_store_stop(registry->store); // a failed sync, as in putting a blob
    }
    if (status != TAPEOUT_OK) {
        tp_upload_free(&upload);
        return status;
    }
    *ret_upload = upload;
    return TAPEOUT_OK;
}

// In steps, so that little of the file is mapped at once.
static bool read_back(tp_upload *upload, const tp_map *map)
{
    bool is_good = true;
    while (upload->checked < upload->size && is_good) {
        const uint64_t left = upload->size - upload->checked;
        const size_t step = left < READ_STEP_BYTES ? (size_t)left : READ_STEP_BYTES;
        const size_t at = (size_t)upload->checked;
        is_good = EVP_DigestUpdate(upload->checker, map->data + at, step) == 1;
        tp_map_release(map, at, step);
        upload->checked += step;
    }
    return is_good;
}

// Syncs what came since the last time, and reads it back.
static tapeout_status check_written(tp_upload *upload, tapeout_error *err)
{
    tp_map map;
    const char *path = tp_writer_temporary(upload->writer);
    TP_TRY(tp_writer_sync(upload->writer, err));
    TP_TRY(tp_map_open(path, &map, err));
    tapeout_status status = TAPEOUT_OK;
    if (map.size != upload->size) {
        status =
            tp_fail(err, TAPEOUT_E_IO, "registry: %s is not as long as what was written", path);
    } else if (!read_back(upload, &map)) {
        status = tp_fail_nomem(err);
    }
    tp_map_close(&map);
    return status;
}

tapeout_status tp_upload_write(tp_upload *upload, tp_str piece, tapeout_error *err)
{
    if (EVP_DigestUpdate(upload->hasher, piece.data, piece.size) != 1) {
        return tp_fail_nomem(err);
    }
    TP_TRY(tp_writer_write(upload->writer, piece.data, piece.size, err));
    upload->size += piece.size;
    return upload->size - upload->checked < TP_UPLOAD_STEP_BYTES ? TAPEOUT_OK
                                                                 : check_written(upload, err);
}

uint64_t tp_upload_size(const tp_upload *upload)
{
    return upload->size;
}

tapeout_status tp_upload_finish(tp_upload *upload, tp_sha256 *ret_hash, tapeout_error *err)
{
    tp_sha256 hash;
    tp_sha256 found;
    TP_TRY(check_written(upload, err));
    if (EVP_DigestFinal_ex(upload->hasher, hash.bytes, NULL) != 1 ||
        EVP_DigestFinal_ex(upload->checker, found.bytes, NULL) != 1) {
        return tp_fail_nomem(err);
    }
    if (memcmp(found.bytes, hash.bytes, sizeof(hash.bytes)) != 0) {
        return tp_fail(err, TAPEOUT_E_IO, "registry: %s does not read back as it was written",
                       tp_writer_temporary(upload->writer));
    }
    *ret_hash = hash;
    return TAPEOUT_OK;
}

tapeout_status tp_upload_map(const tp_upload *upload, tp_map *ret_map, tapeout_error *err)
{
    return tp_map_open(tp_writer_temporary(upload->writer), ret_map, err);
}

bool tp_upload_has_file(const tp_upload *upload)
{
    return upload->writer != NULL;
}

tapeout_status tp_upload_place(tp_upload *upload, const char *path, tapeout_error *err)
{
    return tp_writer_commit_as(&upload->writer, path, err);
}

void tp_upload_free(tp_upload **upload)
{
    tp_upload *self = *upload;
    *upload = NULL;
    if (self != NULL) {
        tp_writer_abort(&self->writer);
        EVP_MD_CTX_free(self->hasher);
        EVP_MD_CTX_free(self->checker);
        tp_free(self->alloc, self, sizeof(*self));
    }
}

tapeout_status tp_upload_sweep(const tp_registry *registry, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    TP_TRY(folder_of(registry, path, err));
    const bool is_there = tp_path_is_directory(path);
    for (unsigned i = 0; i < TP_MAX_UPLOADS && is_there; i++) {
        tp_writer *writer = NULL;
        TP_TRY(path_of(registry, i, path, err));
        // To open a file is to remove a dead writer's; a live one is busy.
        const tapeout_status status = tp_writer_open(registry->alloc, path, &writer, err);
        if (status != TAPEOUT_OK && status != TAPEOUT_E_BUSY) {
            return status;
        }
        tp_writer_abort(&writer);
    }
    return TAPEOUT_OK;
}
