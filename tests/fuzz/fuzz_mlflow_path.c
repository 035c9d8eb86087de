// SPDX-License-Identifier: Apache-2.0
//
// Names of artifacts: what is accepted has no part that a file system reads as more than a name.
#include "base/limits.h"
#include "registry/mlflow_path.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tp_str rest = {(const char *)data, size};
    tapeout_error err = {0};
    if (tp_mlflow_path_check(rest, &err) != TAPEOUT_OK) {
        check(err.status == TAPEOUT_E_INVALID && err.message[0] != '\0');
        return 0;
    }
    check(size > 0 && size <= TP_MAX_MLFLOW_PATH_BYTES && tp_utf8_check(rest, NULL));
    check(memchr(data, '\0', size) == NULL && memchr(data, '\\', size) == NULL);
    size_t folders = 0;
    while (rest.size > 0) {
        tp_str folder;
        tp_str name;
        tp_mlflow_path_split(rest, &folder, &name);
        check(name.size > 0 && !tp_str_equal(name, TP_STR("..")) &&
              !tp_str_equal(name, TP_STR(".")));
        check(folder.size < rest.size && folders++ < TP_MAX_MLFLOW_PATH_BYTES);
        rest = folder;
    }
    return 0;
}
