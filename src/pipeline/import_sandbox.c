// SPDX-License-Identifier: Apache-2.0
//
// A foreign model is read and its bundle written in a sandbox: a child that reads the source,
// writes in a folder made for it alone, and can do nothing else. The parent takes the bundle from
// there as it would take any that came from elsewhere: it is opened and checked in full before it
// is registered or put where it was asked for.
#include "pipeline/import_sandbox.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "bundle/tp_bundle.h"

#include <string.h>

// Time and room by the size of the source: packing a gigabyte takes seconds, so minutes are ample.
enum { LEAST_S = 600, S_PER_GIB = 120, TIMES_SOURCE = 4, CPU_PER_WALL = 16 };
#define LEAST_MEMORY_BYTES (UINT64_C(4) << 30)

// A model that is split over files lies in the folder of the first.
static bool is_split(const char *path)
{
    return strstr(path, "-00001-of-") != NULL;
}

static void free_path(const tapeout_allocator *alloc, char *path)
{
    if (path != NULL) {
        tp_free(alloc, path, strlen(path) + 1);
    }
}

// Where the files really lie: a cache of models has folders of symbolic links to them.
static char *links_lead_to(const tapeout_allocator *alloc, const char *source)
{
    char *config = tp_path_join(alloc, source, "config.json");
    char *folder = config == NULL ? NULL : tp_sandbox_home_of(alloc, config);
    free_path(alloc, config);
    return folder != NULL ? folder : tp_sandbox_home_of(alloc, source);
}

tapeout_status tp_import_locked_up(const tp_env *env, const tp_import_work *work,
                                   tp_buffer *ret_reply, tapeout_error *err)
{
    char *folder = is_split(work->source) ? tp_path_directory(env->alloc, work->source) : NULL;
    const char *readable = folder == NULL ? work->source : folder;
    const bool is_one_file = folder == NULL && !tp_path_is_directory(work->source);
    char *linked = is_one_file ? NULL : links_lead_to(env->alloc, work->source);
    const uint64_t size = tp_sandbox_size_of(readable);
    const uint32_t wall_s = LEAST_S + (uint32_t)(size >> 30) * S_PER_GIB;
    const tp_sandbox_rules rules = {
        .readable = {readable, linked},
        .writable = work->folder,
        .memory_bytes = LEAST_MEMORY_BYTES + size * TIMES_SOURCE,
        .file_bytes = LEAST_MEMORY_BYTES + size * TIMES_SOURCE,
        .cpu_s = wall_s * CPU_PER_WALL,
        .wall_s = wall_s,
    };
    // OpenSSL finds its algorithms and its settings at the first use, for which there are no files
    // in the sandbox.
    (void)tp_sha256_of("", 0);
    const tapeout_status status =
        tp_sandbox_run(env, &rules, work->run, work->user, ret_reply, err);
    free_path(env->alloc, folder);
    free_path(env->alloc, linked);
    return status;
}
