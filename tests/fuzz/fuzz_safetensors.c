// SPDX-License-Identifier: Apache-2.0
//
// Safetensors files: whatever the bytes, parsing ends with a file or a refusal; the tensors of a
// file tile its buffer and are found by their names.
#include "base/tp_alloc.h"
#include "import/tp_safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile int sink;

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_env env = tp_env_plain();
    const tp_str bytes = {(const char *)data, size};
    tp_safetensors *file = NULL;
    tapeout_error err = {0};
    const tapeout_status status = tp_safetensors_parse(&env, bytes, &file, &err);
    check((status == TAPEOUT_OK) == (file != NULL));
    check(status == TAPEOUT_OK || strlen(err.message) > 10);
    if (file == NULL) {
        return 0;
    }
    size_t total = 0;
    for (size_t i = 0; i < tp_safetensors_count(file); i++) {
        const tp_safetensors_tensor *tensor = tp_safetensors_at(file, i);
        check(tp_safetensors_find(file, tensor->name) == tensor);
        check(i == 0 || tensor->data.data == tp_safetensors_at(file, i - 1)->data.data +
                                                 tp_safetensors_at(file, i - 1)->data.size);
        sink += tensor->data.size > 0 ? tensor->data.data[tensor->data.size - 1] : 0;
        total += tensor->data.size;
    }
    check(total < size);
    tp_safetensors_close(&file);
    return 0;
}
