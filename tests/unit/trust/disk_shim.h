// SPDX-License-Identifier: Apache-2.0
//
// A disk that fails or forgets, under programs that link this file: it stands in front of the
// system's calls on files. A call can be made to fail with an error, and a power cut can be staged:
// what was synced by then is put in another folder, as a machine would find it again; of what was
// not, nothing, all or every other sector. Folders forget names that were not synced likewise.
#ifndef DISK_SHIM_H
#define DISK_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum disk_call {
    DISK_OPEN,
    DISK_WRITE, // pwrite too
    DISK_SYNC,
    DISK_TRUNCATE,
    DISK_RENAME,
    DISK_MKDIR,
    DISK_LOCK,
    DISK_CALL_COUNT
} disk_call;

// The n-th call of that kind from now on, from 1, fails with `error_number`; with `for_ever` those
// after it too. n 0: none.
void disk_fail(disk_call call, uint64_t n, int error_number, bool for_ever);
uint64_t disk_calls(disk_call call); // since disk_fail, or the start

// -- the cut -------------------------------------------------------------------------------------
typedef enum disk_rest {
    DISK_REST_NOTHING,
    DISK_REST_ALL,
    DISK_REST_HALF,  // every other sector of what was not synced, the others zero
    DISK_REST_NAMES, // all names, but of their files' bytes only what was synced
    DISK_REST_COUNT
} disk_rest;

typedef struct disk_plan {
    const char *root;  // only what lies below it is looked at; it is there and empty
    const char *image; // where the disk is to be found again
    uint64_t cut_at;   // the power goes instead of this sync, from 1; 0: never
    disk_rest rest;
    uint64_t leave_at;    // at this sync `leave` is called: a process that dies there; 0: never
    uint64_t leave_again; // and once more, so many syncs later; 0: not
    void (*leave)(void);  // does not return
    uint64_t skipped;     // a sync called from there does nothing; 0: none
} disk_plan;

void disk_begin(const disk_plan *plan);
// The power goes now: writes the image and ends the process with DISK_CUT_STATUS.
enum { DISK_CUT_STATUS = 42, DISK_MAX_SITES = 64 };
_Noreturn void disk_cut(void);
uint64_t disk_syncs(void);
// Closes what is open below the root, as the end of a process does.
void disk_close_all(void);
// The places that syncs were called from, each once; returns how many.
size_t disk_sites(uint64_t ret_sites[DISK_MAX_SITES]);

#endif
