// SPDX-License-Identifier: Apache-2.0
//
// The audit log of a home: what happened, in an order that nobody can change afterwards without
// being found out. Entries are lines of JSON in files below HOME/audit (docs/formats/audit.md),
// leaves of a Merkle tree (tp_merkle.h); the order is that of their sequence numbers, from 0,
// whatever the clock says.
//
// An append that returned OK is on disk. Appenders that come at once share one sync, over threads;
// processes wait for each other by a lock on a file. After a sync that failed a handle refuses to
// append, since what the kernel dropped can't be known: E_IO until the process is started anew. A
// full or read-only disk is no such end: the append fails, and the next one tries again.
//
// Appends that needn't be waited for go into a lane in memory (tp_audit_post), which is written and
// synced every TP_AUDIT_LANE_MS: a crash loses at most what came in since.
//
// @thread A handle is `synchronized`.
#ifndef TP_AUDIT_H
#define TP_AUDIT_H

#include "base/limits.h"
#include "base/tp_buffer.h"
#include "base/tp_env.h"

#include <stdatomic.h>

typedef struct tp_audit tp_audit;

// What happened. The kinds that there are stand in docs/formats/audit.md.
typedef struct tp_audit_event {
    const char *kind; // "model.promoted": [a-z0-9._-]
    tp_str who;       // the principal's id; empty: the user of this process, "uid:<number>"
    tp_str what;      // a JSON object in one line; empty: {}
    int64_t time_us;  // since 1970; 0: now
} tp_audit_event;

// Touches nothing on disk before the first append.
tapeout_status tp_audit_open(const tapeout_allocator *alloc, const char *home, tp_audit **ret_audit,
                             tapeout_error *err);
// From now on a sync that fails is told to all who share `is_stopped`, and theirs to this handle:
// one for all that a process writes to a home. Borrowed; before the first append.
void tp_audit_stop_share(tp_audit *audit, atomic_bool *is_stopped);
// Writes what is in the lane; accepts NULL inside; nulls it.
void tp_audit_close(tp_audit **audit);

// E_INVALID and E_LIMIT for an event that is none, E_FULL, E_DENIED and E_IO as the disk says,
// E_CORRUPT where the end of the log was changed by other hands; nothing of the event is kept then.
// `ret_sequence` may be NULL.
tapeout_status tp_audit_append(tp_audit *audit, const tp_audit_event *event, uint64_t *ret_sequence,
                               tapeout_error *err);
// One after another, without others between, with one sync: all or none.
tapeout_status tp_audit_append_many(tp_audit *audit, const tp_audit_event *events, size_t count,
                                    uint64_t *ret_first, tapeout_error *err);

// -- short ways ----------------------------------------------------------------------------------
typedef struct tp_audit_field {
    const char *key;
    tp_str text;
} tp_audit_field;

// An event whose `what` is an object of texts, of each at most its first 4 KiB.
typedef struct tp_audit_note {
    const char *kind;
    tp_str who; // as above
    const tp_audit_field *fields;
    size_t field_count;
} tp_audit_note;

tapeout_status tp_audit_tell(tp_audit *audit, const tp_audit_note *note, tapeout_error *err);
// The same for a command that does one thing: opens the home's log, appends, closes.
tapeout_status tp_audit_tell_home(const tapeout_allocator *alloc, const char *home,
                                  const tp_audit_note *note, tapeout_error *err);

// -- the lane ------------------------------------------------------------------------------------
// Starts the thread that writes the lane. Without it a post is an append.
tapeout_status tp_audit_lane_start(tp_audit *audit, tapeout_error *err);
// Takes the event in. Where the lane is full the caller waits for room, at most
// TP_AUDIT_POST_WAIT_MS and not at all while the disk fails; then the event is lost, E_BUSY, and
// counted: the log itself gets an entry `audit.lost` with the number as soon as it can be written.
tapeout_status tp_audit_post(tp_audit *audit, const tp_audit_event *event, tapeout_error *err);
// What is only made an entry of when the lane is written, on its thread: what takes long then costs
// who posts it nothing.
typedef struct tp_audit_draft {
    const char *kind; // of static lifetime
    tp_str who;
    tp_str data; // copied
    // Appends the entry's `what`, a JSON object; where it can't, the entry is lost and counted.
    void (*write)(tp_str data, tp_buffer *what);
} tp_audit_draft;
tapeout_status tp_audit_post_draft(tp_audit *audit, const tp_audit_draft *draft,
                                   tapeout_error *err);
// Returns when all that was posted before is on disk, or why it isn't.
tapeout_status tp_audit_lane_sync(tp_audit *audit, tapeout_error *err);

// Counts an event that could not even be made, as one that found no room.
void tp_audit_lost(tp_audit *audit);

// A login that was refused, from `peer` for the reason `why`. The first of its kind in a minute is
// posted; what follows within TP_AUDIT_REFUSED_MS is counted and posted as one entry, and beyond
// TP_MAX_AUDIT_REFUSALS different ones only as a number: an attacker can't fill the disk.
void tp_audit_refused(tp_audit *audit, tp_str who, tp_str peer, tp_str why);

typedef struct tp_audit_counts {
    uint64_t appended; // entries on disk through this handle
    uint64_t lost;     // of the lane, since the handle was opened
    uint64_t waiting;  // bytes in the lane
    bool is_stopped;   // a sync failed, here or of those who share the word: nothing is appended
    bool is_failing;   // the lane's last write failed
} tp_audit_counts;
tp_audit_counts tp_audit_count(tp_audit *audit);

#endif
