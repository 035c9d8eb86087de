// SPDX-License-Identifier: Apache-2.0
//
// A model's bytes through the importer into a bundle. Threads are not needed: a version is imported
// once.
#include "registry/mlflow_convert.h"

#include "base/tp_env.h"
#include "base/tp_error.h"
#include "import/tp_import.h"

bool tp_mlflow_is_model(tp_str bytes)
{
    return tp_import_recognise(bytes) != TP_IMPORT_UNKNOWN;
}

tapeout_status tp_mlflow_convert(const tapeout_allocator *alloc, tp_str bytes, tp_str name,
                                 const char *path, tp_sha256 *ret_hash, tapeout_error *err)
{
    const tp_env env = {.alloc = alloc};
    const tp_sha256 source = tp_sha256_of(bytes.data, bytes.size);
    tp_import *import = NULL;
    TP_TRY(tp_import_parse(&env, bytes, &import, err));
    const tapeout_status status = tp_import_write(&env, import, name, &source, path, ret_hash, err);
    tp_import_free(import);
    return status;
}
