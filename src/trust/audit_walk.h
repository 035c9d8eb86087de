// SPDX-License-Identifier: Apache-2.0
//
// Reading the whole log: every entry is checked by itself and against its neighbour, in parallel,
// and its leaf hash handed on in order.
#ifndef AUDIT_WALK_H
#define AUDIT_WALK_H

#include "base/tp_env.h"
#include "trust/audit_priv.h"

typedef struct audit_visitor {
    // Entry after entry, each checked but for what a later one may tell about it.
    tapeout_status (*on_leaf)(void *user, uint64_t sequence, const tp_sha256 *leaf,
                              tapeout_error *err);
    void *user;
} audit_visitor;

typedef struct audit_found {
    uint64_t count; // entries that were handed on
    uint64_t size_bytes;
    size_t segment_count;
    uint64_t tail_bytes; // of an entry that a crash left unfinished at the end, no fault
    bool is_bad;
    uint64_t bad; // the first entry that can't be what was written there
    char reason[256];
} audit_found;

// Looks at the log as it stands at this moment, while others may append. What is wrong with the log
// is no failure of the call but `ret_found`.
tapeout_status tp_audit_walk(const tp_env *env, const char *directory, const audit_visitor *visitor,
                             audit_found *ret_found, tapeout_error *err);

// The segments and how far the last one is written; freed with tp_audit_snapshot_free.
typedef struct audit_snapshot {
    audit_segments segments;
    uint64_t *sizes; // [segments.count] in bytes
} audit_snapshot;
tapeout_status tp_audit_snapshot_take(const tapeout_allocator *alloc, const char *directory,
                                      audit_snapshot *ret_snapshot, tapeout_error *err);
void tp_audit_snapshot_free(const tapeout_allocator *alloc, audit_snapshot *snapshot);

// The bytes of one of its segments, in memory of `ret_text->size` + 1 bytes.
tapeout_status tp_audit_snapshot_read(const tapeout_allocator *alloc, const char *directory,
                                      const audit_snapshot *snapshot, size_t index,
                                      tp_str *ret_text, tapeout_error *err);
void tp_audit_text_free(const tapeout_allocator *alloc, tp_str text);

#endif
