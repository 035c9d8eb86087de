// SPDX-License-Identifier: Apache-2.0
//
// What the files of the registry share: the open registry, its tables, the blobs, and the parts of
// a model's name.
#ifndef REGISTRY_PRIV_H
#define REGISTRY_PRIV_H

#include "registry/s3_client.h"
#include "registry/tp_registry.h"
#include "registry/tp_store.h"
#include "registry/tp_telling.h"
#include "registry/tp_upload.h"

typedef struct tp_blobs tp_blobs;

struct tp_registry {
    const tapeout_allocator *alloc;
    char *home; // [strlen + 1]
    tp_store *store;
    const tp_blobs *blobs; // where the bytes are
    tp_s3 *s3;             // NULL: in the home
    bool owns_blobs;       // the place in S3 was found to be this registry's
    tp_teller teller;      // of changes
    uint64_t copies_room;  // bytes of copies that may come before the others are looked at
};

extern const tp_store_schema tp_registry_schema;

// -- blobs ---------------------------------------------------------------------------------------
// HOME/blobs/sha256/ab/cdef…; E_INVALID unless `hex` is 64 lower-case digits, E_LIMIT for a path
// that is too long.
tapeout_status tp_blob_path(const char *home, tp_str hex, char ret_path[TP_MAX_PATH_BYTES],
                            tapeout_error *err);

typedef struct blob_about {
    char hex[TP_SHA256_HEX_SIZE + 1];
    uint64_t size;
    int64_t modified_s; // when it was put last, since 1970
    int64_t used_ns;    // of a file
    bool is_copy;       // of one that lies elsewhere
} blob_about;

typedef tapeout_status blob_visit(void *user, const blob_about *about, tapeout_error *err);

// What a blob is made of.
typedef struct blob_source {
    tp_str data;
    tp_sha256 hash;
    tp_upload *upload; // the file that `data` is mapped from and that becomes the blob, or NULL
} blob_source;

// What can be done with blobs, once for a home and once for S3. The functions below say what each
// does.
struct tp_blobs {
    tapeout_status (*send)(tp_registry *registry, const blob_source *source, tapeout_error *err);
    tapeout_status (*put)(tp_registry *registry, const blob_source *source, bool *ret_is_new,
                          tapeout_error *err);
    tapeout_status (*fetch)(tp_registry *registry, tp_str hex, tapeout_error *err);
    tapeout_status (*remove)(tp_registry *registry, tp_str hex, tapeout_error *err);
    tapeout_status (*list)(tp_registry *registry, blob_visit *visit, void *user,
                           tapeout_error *err);
};

extern const tp_blobs tp_blobs_local;
extern const tp_blobs tp_blobs_s3; // every blob has a copy in the home, from which it is read

// Before anything is written or removed, and in no transaction: E_DENIED where the place in S3 is
// another registry's.
tapeout_status tp_blob_claim(tp_registry *registry, tapeout_error *err);
// What takes long of putting a blob and needs no lock; before the transaction that puts it.
tapeout_status tp_blob_send(tp_registry *registry, const blob_source *source, tapeout_error *err);
// Puts the source in the store, synced, read-only. Where it is there already it is compared, and
// written anew when it is damaged. Called under the writers' lock. `*ret_is_new` tells whether to
// remove it when the transaction fails.
tapeout_status tp_blob_put(tp_registry *registry, const blob_source *source, bool *ret_is_new,
                           tapeout_error *err);
// Makes sure that the blob can be read at tp_blob_path. E_NOT_FOUND; E_CORRUPT where the bytes that
// are kept elsewhere are not those of its hash.
tapeout_status tp_blob_fetch(tp_registry *registry, tp_str hex, tapeout_error *err);
tapeout_status tp_blob_remove(tp_registry *registry, tp_str hex, tapeout_error *err);
// Every blob that is there; the visitor may remove what it is shown.
tapeout_status tp_blob_list(tp_registry *registry, blob_visit *visit, void *user,
                            tapeout_error *err);
// The folder that the blob `path` lies in, made durable with those that lead to it below `home`.
tapeout_status tp_blob_folder_make(const char *home, const char *path, tapeout_error *err);
// Makes the names of all blobs in the home durable, whoever put them there.
tapeout_status tp_blob_names_sync(const char *home, tapeout_error *err);

// The copies in the home of what lies in S3 (blobs_s3_copies.c). Whether there is one at `path`,
// which is used now; and room for one more, by the end of those that were used longest ago. That is
// an attempt: what does not go now goes with the next one. In no transaction, since S3 is asked.
bool tp_copy_use(const char *path);
void tp_copies_make_room(tp_registry *registry, tp_str hex, uint64_t size);

// For whoever puts an upload. What was written is synced, read back and hashed; that takes long and
// needs no lock. E_IO also where it does not read back.
tapeout_status tp_upload_finish(tp_upload *upload, tp_sha256 *ret_hash, tapeout_error *err);
tapeout_status tp_upload_map(const tp_upload *upload, tp_map *ret_map, tapeout_error *err);
bool tp_upload_has_file(const tp_upload *upload); // until it is placed
tapeout_status tp_upload_place(tp_upload *upload, const char *path, tapeout_error *err);
// Removes what uploads have left whose process was killed.
tapeout_status tp_upload_sweep(const tp_registry *registry, tapeout_error *err);

// Removes the blob unless a row names it; in a transaction of its own. An empty `hex` is none.
tapeout_status tp_registry_sweep(tp_registry *registry, tp_str hex, tapeout_error *err);

// -- names ---------------------------------------------------------------------------------------
typedef struct model_name {
    tp_str name;
    tp_str alias;    // empty: none
    int64_t version; // 0: none
} model_name;

// "name", "name:version" or "name@alias"; views into `text`.
tapeout_status tp_model_name_parse(tp_str text, model_name *ret_name, tapeout_error *err);

// The version that a name leads to, its blob not looked at. E_NOT_FOUND, E_GATE.
tapeout_status tp_registry_find(tp_registry *registry, const model_name *name,
                                tapeout_model_ref *ret_ref, tapeout_error *err);

// -- the audit log -------------------------------------------------------------------------------
// The context's registry, open to write, and its home's log, which hears of each change.
typedef struct told_registry {
    tp_registry *registry;
    tp_audit *audit;
} told_registry;
tapeout_status tp_told_registry_open(const tapeout_context *context, told_registry *ret_told,
                                     tapeout_error *err);
// The same where there is a registry already; E_NOT_FOUND, and none is made, where there is not.
tapeout_status tp_told_registry_open_existing(const tapeout_context *context,
                                              told_registry *ret_told, tapeout_error *err);
void tp_told_registry_close(told_registry *told); // also after a failure

// Tells the home's log of what was done to all of it, which is no change of rows; the caller hears
// where that fails.
tapeout_status tp_registry_tell(const tapeout_context *context, const tp_audit_note *note,
                                tapeout_error *err);

#endif
