// SPDX-License-Identifier: Apache-2.0
//
// Work that touches foreign bytes, done in a child that can do little else, and a server that can
// call nobody. Both stand on what the kernel offers (seccomp filters, Landlock), which is probed
// and never assumed; docs/internals/sandbox.md says what holds where something is missing.
//
// @thread The calls may be made from any thread of a process with many.
#ifndef TP_SANDBOX_H
#define TP_SANDBOX_H

#include "base/tp_buffer.h"
#include "base/tp_env.h"

typedef struct tp_sandbox_offer {
    bool has_seccomp;
    uint32_t landlock_abi; // 0: none; network rules from 4 on
} tp_sandbox_offer;

tp_sandbox_offer tp_sandbox_probe(void);

// -- a child for one piece of work ---------------------------------------------------------------
enum { TP_SANDBOX_PATHS = 4 };

typedef struct tp_sandbox_rules {
    // Files and folders that may be read (NULL: fewer). Without any, and without `writable`, the
    // child can open nothing at all and is ended if it tries.
    const char *readable[TP_SANDBOX_PATHS];
    const char *writable;  // a folder in which files may be made, replaced and removed; or NULL
    uint64_t memory_bytes; // address space beyond what the process has; 0: no limit
    uint64_t file_bytes;   // the largest file that may be written
    uint32_t cpu_s;        // processor time of all its threads together
    uint32_t wall_s;       // after that it is ended
} tp_sandbox_rules;

// Runs in the child; `env` has threads and progress of the child's own. What it appends to `reply`
// comes back. It must not rely on locks, threads or descriptors of the parent.
typedef tapeout_status (*tp_sandbox_fn)(const tp_env *env, void *user, tp_buffer *reply,
                                        tapeout_error *err);

// Forks, locks the child up, runs `fn` and hands back its status, its error and its reply, which
// is bounded by the buffer's own maximum and is as little to be trusted as the bytes that the child
// worked on. A child that tried what it may not: E_DENIED; that crashed: E_CORRUPT; that ran out of
// time: E_TIMEOUT. E_UNAVAILABLE where the kernel has no seccomp.
tapeout_status tp_sandbox_run(const tp_env *env, const tp_sandbox_rules *rules, tp_sandbox_fn fn,
                              void *user, tp_buffer *ret_reply, tapeout_error *err);

// A new empty folder in `place` that is this process's alone, for `writable`; and its end, with all
// that is in it. `remove` frees the path and accepts NULL.
tapeout_status tp_sandbox_folder_make(const tapeout_allocator *alloc, const char *place,
                                      char **ret_folder, tapeout_error *err);
void tp_sandbox_folder_remove(const tapeout_allocator *alloc, char *folder);
// Bytes of a file, or of a folder with what lies up to one level below it; 0 where there is none.
uint64_t tp_sandbox_size_of(const char *path);
// The folder in which a file really lies, behind symbolic links; NULL where there is none. Freed
// with tp_free(alloc, text, strlen + 1).
char *tp_sandbox_home_of(const tapeout_allocator *alloc, const char *path);

// -- a server that calls nobody ------------------------------------------------------------------
// From now on the process makes no socket but Unix ones, connects none that it has, and sends to
// nobody by address; sockets that listen go on to accept, and those accepted to talk. With
// `connects_unix` connect itself stays allowed, for which only Unix sockets are left: of an
// Internet socket that the process already had it could be misused, unless Landlock (from 4 on)
// forbids that too. For all threads and for good. E_UNAVAILABLE where the kernel has no seccomp.
tapeout_status tp_sandbox_airgap(bool connects_unix, tapeout_error *err);

// Tries in a child whether that holds: what a server needs works, what leads out is refused.
enum { TP_SANDBOX_TRIES = 12 };

typedef struct tp_sandbox_tried {
    const char *name;
    bool must_work; // or must be refused
    bool is_good;
    int code; // the system's number for the refusal; 0: it was let through
} tp_sandbox_tried;

// `ret_tried` [TP_SANDBOX_TRIES].
tapeout_status tp_sandbox_airgap_try(bool connects_unix, tp_sandbox_tried *ret_tried,
                                     tapeout_error *err);

// Becomes the user `name` with its groups, for good; nothing that is executed gains rights again.
// E_DENIED unless the process is root's, E_NOT_FOUND for a name that the system does not know.
tapeout_status tp_sandbox_become(const char *name, tapeout_error *err);

#endif
