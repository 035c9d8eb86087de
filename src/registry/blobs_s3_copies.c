// SPDX-License-Identifier: Apache-2.0
//
// How many copies of S3's blobs stay in the home: as many bytes as the address allows (copies_mib).
// Where a new one would go beyond, those go that were used longest ago, until an eighth of the room
// is free, so that not every new copy has to look at all the others.
//
// When a copy was used stands in its time of access. It is set here: whether reading sets it hangs
// on how the disk is mounted, but nothing sets it back. The time of writing stays what it is, since
// collections take it for the blob's age and the server for a sign that the file has changed.
//
// A copy may go at any moment, since whoever has it open or mapped keeps its bytes, and whoever
// comes later fetches it again. Between finding a copy and opening it lies a moment in which it
// must not go: one that was used within TP_S3_COPY_REST_S stays, also if that was while S3 was
// asked. S3 is asked for each that is to go: a copy whose object is not there in its full length,
// because it is still on its way up, or lost, stays. Other processes may do the same in the same
// home at the same time: a copy that is gone already is gone.
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "registry/registry_priv.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { FREE_PARTS = 8 };
static const int64_t NS_PER_S = 1000000000;

static int64_t now_s(void)
{
    return tp_clock_unix_us() / 1000000;
}

bool tp_copy_use(const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0) {
        return false;
    }
    if (now_s() - about.st_atim.tv_sec >= TP_S3_COPY_REST_S / 2) {
        const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
        (void)utimensat(AT_FDCWD, path, times, 0); // a medium that is only read evicts nothing
    }
    return true;
}

// -- which go ------------------------------------------------------------------------------------
typedef struct candidate {
    char hex[TP_SHA256_HEX_SIZE + 1];
    uint64_t size;
    int64_t used_ns;
} candidate;

typedef struct survey {
    tp_str spared;     // the copy that needs the room
    int64_t before_ns; // used later: stays
    uint64_t total;
    candidate oldest[TP_MAX_S3_EVICTIONS];
    size_t count;
} survey;

static int by_use(const void *left, const void *right)
{
    const candidate *a = left;
    const candidate *b = right;
    return a->used_ns != b->used_ns ? (a->used_ns < b->used_ns ? -1 : 1) : strcmp(a->hex, b->hex);
}

// Keeps the oldest in order. A folder gives its names in no order, so few are moved for long.
static void offer(survey *it, const candidate *next)
{
    if (it->count == TP_MAX_S3_EVICTIONS && by_use(next, &it->oldest[it->count - 1]) > 0) {
        return;
    }
    size_t at = it->count < TP_MAX_S3_EVICTIONS ? it->count++ : it->count - 1;
    while (at > 0 && by_use(next, &it->oldest[at - 1]) < 0) {
        it->oldest[at] = it->oldest[at - 1];
        at--;
    }
    it->oldest[at] = *next;
}

static tapeout_status look_at(void *user, const blob_about *about, tapeout_error *err)
{
    survey *it = user;
    candidate next = {.size = about->size, .used_ns = about->used_ns};
    (void)err;
    if (tp_str_equal(tp_str_from(about->hex), it->spared)) {
        return TAPEOUT_OK;
    }
    it->total += about->size;
    if (about->used_ns < it->before_ns) {
        memcpy(next.hex, about->hex, sizeof(next.hex));
        offer(it, &next);
    }
    return TAPEOUT_OK;
}

// Nobody has used it since it was looked at.
static bool is_unused(const tp_registry *registry, const candidate *copy)
{
    char path[TP_MAX_PATH_BYTES];
    struct stat about;
    return tp_blob_path(registry->home, tp_str_from(copy->hex), path, NULL) == TAPEOUT_OK &&
           stat(path, &about) == 0 &&
           about.st_atim.tv_sec * NS_PER_S + about.st_atim.tv_nsec == copy->used_ns;
}

static tapeout_status evict(tp_registry *registry, const candidate *copy, uint64_t *total,
                            tapeout_error *err)
{
    const tp_str hex = tp_str_from(copy->hex);
    uint64_t size = 0;
    bool is_there = false;
    TP_TRY(tp_s3_find(registry->s3, hex, &is_there, &size, err));
    if (is_there && size == copy->size && is_unused(registry, copy)) {
        TP_TRY(tp_blobs_local.remove(registry, hex, err));
        *total -= copy->size;
    }
    return TAPEOUT_OK;
}

static tapeout_status make_room(tp_registry *registry, survey *it, uint64_t size,
                                tapeout_error *err)
{
    const uint64_t bound = tp_s3_copies_bytes(registry->s3);
    registry->copies_room = 0; // also where it is not known any more
    TP_TRY(tp_blobs_local.list(registry, look_at, it, err));
    it->total += size;
    if (it->total > bound) {
        for (size_t i = 0; i < it->count && it->total > bound - bound / FREE_PARTS; i++) {
            TP_TRY(evict(registry, &it->oldest[i], &it->total, err));
        }
    }
    if (it->total < bound) {
        const uint64_t left = bound - it->total;
        registry->copies_room = left < bound / FREE_PARTS ? left : bound / FREE_PARTS;
    }
    return TAPEOUT_OK;
}

void tp_copies_make_room(tp_registry *registry, tp_str hex, uint64_t size)
{
    if (size <= registry->copies_room) {
        registry->copies_room -= size;
        return;
    }
    survey *it = tp_alloc_zero(registry->alloc, sizeof(*it));
    if (it == NULL) {
        return;
    }
    it->spared = hex;
    it->before_ns = (now_s() - TP_S3_COPY_REST_S) * NS_PER_S;
    // What S3 or the disk does not allow now is tried again with the next copy.
    (void)make_room(registry, it, size, NULL);
    tp_free(registry->alloc, it, sizeof(*it));
}
