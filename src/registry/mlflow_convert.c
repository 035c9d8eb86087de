// SPDX-License-Identifier: Apache-2.0
//
// A model's bytes through the importer into a bundle. Threads are not needed: a version is imported
// once.
#include "registry/mlflow_convert.h"

#include "base/tp_env.h"
#include "base/tp_error.h"
#include "base/tp_sandbox.h"
#include "import/tp_import.h"
#include "registry/tp_signature_store.h"

// A model is read as a whole: JSON takes many times its size.
enum { TIMES_SOURCE = 32, TIMES_FILE = 8, CPU_S = 300, WALL_S = 300, REPLY_BYTES = 64 << 10 };
#define LEAST_MEMORY_BYTES ((uint64_t)256 << 20)
#define LEAST_FILE_BYTES ((uint64_t)64 << 20)

bool tp_mlflow_is_model(tp_str bytes)
{
    return tp_import_recognise(bytes) != TP_IMPORT_UNKNOWN;
}

// In the sandbox.
static tapeout_status convert(const tp_env *env, void *user, tp_buffer *reply, tapeout_error *err)
{
    const mlflow_conversion *what = user;
    const tp_sha256 source = tp_sha256_of(what->bytes.data, what->bytes.size);
    tp_import *import = NULL;
    tp_sha256 hash; // may be a lie; the parent looks for itself
    (void)reply;
    TP_TRY(tp_import_parse(env, what->bytes, &import, err));
    const tapeout_status status =
        tp_import_write(env, import, what->name, &source, what->path, &hash, err);
    tp_import_free(import);
    return status;
}

tapeout_status tp_mlflow_convert(const tapeout_allocator *alloc, const mlflow_conversion *what,
                                 tp_sha256 *ret_hash, tapeout_error *err)
{
    const tp_env env = {.alloc = alloc};
    const tp_sandbox_rules rules = {.writable = what->folder,
                                    .memory_bytes =
                                        LEAST_MEMORY_BYTES + what->bytes.size * TIMES_SOURCE,
                                    .file_bytes = LEAST_FILE_BYTES + what->bytes.size * TIMES_FILE,
                                    .cpu_s = CPU_S,
                                    .wall_s = WALL_S};
    mlflow_conversion job = *what;
    tp_buffer reply;
    tp_buffer_init(&reply, alloc, REPLY_BYTES);
    // OpenSSL finds its algorithms at the first use, for which there are no files in the sandbox.
    (void)tp_sha256_of("", 0);
    const tapeout_status status = tp_sandbox_run(&env, &rules, convert, &job, &reply, err);
    tp_buffer_deinit(&reply);
    TP_TRY(status);
    TP_TRY(tp_sha256_file(what->path, ret_hash, err));
    return tp_signatures_sign_own(&env, what->registry, what->path, err);
}
