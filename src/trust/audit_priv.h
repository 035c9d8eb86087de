// SPDX-License-Identifier: Apache-2.0
//
// What the files of the audit log share: the line that an entry is, the files below HOME/audit and
// the end of the last of them, where entries are added.
#ifndef AUDIT_PRIV_H
#define AUDIT_PRIV_H

#include "trust/tp_audit.h"
#include "trust/tp_merkle.h"

enum {
    AUDIT_LEAF_BYTES = 8, // of the leaf's hash, as digits at the end of a line
    AUDIT_NAME_SIZE = 32, // of a segment's file
    AUDIT_TIME_SIZE = 27  // "2026-11-25T16:40:00.123456Z"
};

// -- a line --------------------------------------------------------------------------------------
typedef struct audit_record {
    uint64_t sequence;
    uint64_t batch; // the sequence of the first entry that was written with it
    tp_str time;
    tp_sha256 prev; // the leaf hash of the entry before; zeros for the first
    tp_str kind;
    tp_str who;                     // as in JSON, escapes and all
    tp_str what;                    // an object
    tp_str data;                    // what the leaf's hash is of: the line up to `,"leaf":`
    uint8_t leaf[AUDIT_LEAF_BYTES]; // the first bytes of that hash, as the line has them
} audit_record;

// A line without its line feed. E_CORRUPT with the byte at which it is no entry. That it is JSON
// within `who` and `what` is not looked at.
tapeout_status tp_audit_line_read(tp_str line, audit_record *ret_record, tapeout_error *err);
// Whether the digits at the line's end are those of `hash`.
bool tp_audit_line_has_hash(const audit_record *record, const tp_sha256 *hash);

// An event on its way: what the log adds is sequence, batch and prev.
typedef struct audit_item {
    int64_t time_us;
    tp_str body; // `"kind":"…","who":"…","what":{…}`
} audit_item;

// Appends a body. E_INVALID, E_LIMIT; the buffer then has more than before and is to be cut back.
tapeout_status tp_audit_body_write(const tp_audit_event *event, tp_buffer *body,
                                   tapeout_error *err);
// Appends a line; `place` has sequence, batch and prev. `ret_leaf` is its leaf hash.
void tp_audit_line_write(tp_hasher *hasher, const audit_record *place, const audit_item *item,
                         tp_buffer *lines, tp_sha256 *ret_leaf);

// -- files ---------------------------------------------------------------------------------------
// The numbers of the segments' first entries, ascending; freed with tp_free_array. A folder that is
// not there has none.
typedef struct audit_segments {
    uint64_t *firsts; // [count]
    size_t count;
    size_t capacity;
} audit_segments;

tapeout_status tp_audit_segments_list(const tapeout_allocator *alloc, const char *directory,
                                      audit_segments *ret_segments, tapeout_error *err);
void tp_audit_segments_free(const tapeout_allocator *alloc, audit_segments *segments);
// E_LIMIT for a path that is too long.
tapeout_status tp_audit_path(const char *directory, const char *name,
                             char ret_path[TP_MAX_PATH_BYTES], tapeout_error *err);
tapeout_status tp_audit_segment_path(const char *directory, uint64_t first,
                                     char ret_path[TP_MAX_PATH_BYTES], tapeout_error *err);

// The end of the log, as far as this process knows it. All calls under the lock of all writers.
typedef struct audit_tail {
    const tapeout_allocator *alloc;
    char directory[TP_MAX_PATH_BYTES];
    int lock_fd;            // -1 until the folder is there
    int fd;                 // of the last segment, -1: not known
    uint64_t segment_bytes; // after which the next file begins
    uint64_t size_bytes;    // of that file, all of it read or written by us, and synced
    uint64_t next;          // sequence of the next entry
    tp_sha256 leaf;         // of the entry before it
    tp_hasher *hasher;
    // What the last load cut off and has not yet told the log.
    uint64_t cut_bytes;
    char cut_name[64];
    atomic_bool own_stop;
    atomic_bool *is_stopped; // a sync failed; `own_stop` unless it is shared
} audit_tail;

tapeout_status tp_audit_tail_lock(audit_tail *tail, tapeout_error *err);
void tp_audit_tail_unlock(audit_tail *tail);
// Finds the end, cuts what a crash left, and makes a new segment where the last is full.
tapeout_status tp_audit_tail_ready(audit_tail *tail, tapeout_error *err);
// Writes and syncs; `next` and `leaf` are the caller's to move on, once it is OK. On failure the
// file is as before, or will be found out by the next tp_audit_tail_ready.
tapeout_status tp_audit_tail_write(audit_tail *tail, tp_str lines, tapeout_error *err);
void tp_audit_tail_close(audit_tail *tail);

// What one reading of a file finds, from its begin to the first line that is no entry.
typedef struct audit_scan {
    uint64_t next;  // sequence of the entry after the last good one
    tp_sha256 leaf; // of the last good one; known where `has_leaf`
    bool has_leaf;
    size_t good_bytes;  // up to here
    bool is_damaged;    // what follows was not left by a crash: later entries stand behind it
    const char *reason; // why the line there is no entry; "" where the file ends
} audit_scan;

// `scan` has next, leaf and has_leaf of what comes before the file.
void tp_audit_scan_text(tp_hasher *hasher, tp_str text, audit_scan *scan);
// Whether text without a line feed may be the begin of the entry `sequence` that a crash cut short.
bool tp_audit_is_unfinished(tp_str text, uint64_t sequence);

// -- appending through the shared queue (audit_log.c) ---------------------------------------------
tapeout_status tp_audit_append_items(tp_audit *audit, const audit_item *items, size_t count,
                                     uint64_t *ret_first, tapeout_error *err);
// For tests, before the first append: all handles of a log must have the same.
void tp_audit_segment_limit(tp_audit *audit, uint64_t bytes);
struct audit_lane;
struct audit_lane *tp_audit_lane(tp_audit *audit); // NULL: not started
void tp_audit_lane_set(tp_audit *audit, struct audit_lane *lane);
const tapeout_allocator *tp_audit_allocator(const tp_audit *audit);
void tp_audit_lane_stop(tp_audit *audit);
void tp_audit_lane_count(struct audit_lane *lane, tp_audit_counts *counts); // adds to them

#endif
