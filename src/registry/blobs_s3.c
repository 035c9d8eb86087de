// SPDX-License-Identifier: Apache-2.0
//
// Blobs in S3, with a copy of each in the home: objects are where everybody finds them, copies are
// what is mapped, since only what is read-only and our own can't be changed under a server.
//
// A blob goes up before the transaction that names it, outside the lock, since that can take
// minutes. Under the lock S3 is asked once more whether it has the blob in its full length, and
// only then the row is written: a collection that took it in between did so under the same lock,
// and the blob goes up again. The copy is written with the same syncs as a home's own blobs.
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/registry_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static tapeout_status send_s3(tp_registry *registry, const blob_source *source, tapeout_error *err)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(&source->hash, hex);
    TP_TRY(tp_blob_claim(registry, err));
    // Also where it is there: its age begins anew, so that no collection takes it now, and what was
    // damaged is whole again.
    TP_TRY(tp_s3_put(registry->s3, tp_str_from(hex), source->data, err));
    tp_copies_make_room(registry, tp_str_from(hex), source->data.size);
    return TAPEOUT_OK;
}

static tapeout_status has_object(tp_registry *registry, tp_str hex, uint64_t size, bool *ret_has,
                                 tapeout_error *err)
{
    uint64_t found = 0;
    bool is_there = false;
    TP_TRY(tp_s3_find(registry->s3, hex, &is_there, &found, err));
    *ret_has = is_there && found == size;
    return TAPEOUT_OK;
}

static tapeout_status put_s3(tp_registry *registry, const blob_source *source, bool *ret_is_new,
                             tapeout_error *err)
{
    char hex[TP_SHA256_HEX_SIZE + 1];
    char path[TP_MAX_PATH_BYTES];
    bool is_new_copy = false;
    bool has = false;
    const tp_str name = {hex, TP_SHA256_HEX_SIZE};
    tp_sha256_hex(&source->hash, hex);
    TP_TRY(tp_blob_path(registry->home, name, path, err));
    (void)tp_copy_use(path); // one that is there stays while it is compared
    *ret_is_new = false;     // another server may have named it: what nobody names is collected
    TP_TRY(tp_blobs_local.put(registry, source, &is_new_copy, err));
    TP_TRY(has_object(registry, name, source->data.size, &has, err));
    if (!has) {
        TP_TRY(tp_s3_put(registry->s3, name, source->data, err));
        TP_TRY(has_object(registry, name, source->data.size, &has, err));
    }
    return has ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_UNAVAILABLE,
                         "blobs: %s has answered that %s is stored, and has not got it",
                         tp_s3_place(registry->s3), hex);
}

// -- fetching ------------------------------------------------------------------------------------
static tapeout_status fetch_file(tp_registry *registry, tp_str hex, const char *path,
                                 tapeout_error *err)
{
    TP_TRY(tp_blob_folder_make(registry->home, path, err));
    TP_TRY(tp_s3_fetch(registry->s3, hex, path, err));
    struct stat about;
    if (chmod(path, 0444) != 0 || stat(path, &about) != 0) {
        return tp_fail_errno(err, errno, "registry: %s: cannot be made read-only", path);
    }
    tp_copies_make_room(registry, hex, (uint64_t)about.st_size);
    return TAPEOUT_OK;
}

// Whoever comes second waits for the first; where that one fails, it tries by itself.
static tapeout_status fetch_s3(tp_registry *registry, tp_str hex, tapeout_error *err)
{
    char path[TP_MAX_PATH_BYTES];
    const uint64_t begin_ns = tp_clock_monotonic_ns();
    tapeout_status status = TAPEOUT_E_BUSY;
    TP_TRY(tp_blob_path(registry->home, hex, path, err));
    while (status == TAPEOUT_E_BUSY) {
        if (tp_copy_use(path)) {
            return TAPEOUT_OK;
        }
        status = fetch_file(registry, hex, path, err);
        if (status == TAPEOUT_E_BUSY) {
            if (tp_clock_monotonic_ns() - begin_ns > TP_S3_FETCH_WAIT_MS * UINT64_C(1000000)) {
                return status;
            }
            (void)nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        }
    }
    return status;
}

// -- removing and listing ------------------------------------------------------------------------
static tapeout_status remove_s3(tp_registry *registry, tp_str hex, tapeout_error *err)
{
    TP_TRY(tp_s3_remove(registry->s3, hex, err));
    return tp_blobs_local.remove(registry, hex, err);
}

typedef struct showing {
    blob_visit *visit;
    void *user;
} showing;

static tapeout_status show_object(void *user, const s3_object *object, tapeout_error *err)
{
    const showing *it = user;
    blob_about about = {.size = object->size, .modified_s = object->modified_s};
    memcpy(about.hex, object->hex, sizeof(about.hex));
    return it->visit(it->user, &about, err);
}

// Copies too, since one may have lost its object.
static tapeout_status list_s3(tp_registry *registry, blob_visit *visit, void *user,
                              tapeout_error *err)
{
    showing it = {visit, user};
    TP_TRY(tp_s3_list(registry->s3, show_object, &it, err));
    return tp_blobs_local.list(registry, visit, user, err);
}

const tp_blobs tp_blobs_s3 = {send_s3, put_s3, fetch_s3, remove_s3, list_s3};
