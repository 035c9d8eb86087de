// SPDX-License-Identifier: Apache-2.0
//
// A model split over files: the number of parts in the name (a byte), which of them is opened (a
// byte), then the files, each with its length (u16, little-endian) in front. Opening ends with the
// tensors of all parts, every byte of them readable, or with a refusal that says something.
#include "base/tp_alloc.h"
#include "llm/gguf/tp_gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_PARTS = 4, PATH_SIZE = 128 };

static char folder[64];
static volatile uint64_t sink;

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

// Part `number` (from 1) of `count`; 0 parts: one file whose name says nothing.
static const char *path_of(unsigned number, unsigned count)
{
    static char path[PATH_SIZE];
    if (count == 0) {
        (void)snprintf(path, sizeof(path), "%s/m.gguf", folder);
    } else {
        (void)snprintf(path, sizeof(path), "%s/m-%05u-of-%05u.gguf", folder, number, count);
    }
    return path;
}

static void remove_files(void)
{
    for (unsigned count = 0; count <= MAX_PARTS; count++) {
        for (unsigned number = 1; number <= MAX_PARTS; number++) {
            (void)unlink(path_of(number, count));
        }
    }
}

static void remove_folder(void)
{
    remove_files();
    (void)rmdir(folder);
}

static void make_folder(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/fuzz_gguf_split_XXXXXX");
    check(mkdtemp(folder) != NULL);
    check(atexit(remove_folder) == 0);
}

static void write_files(const uint8_t *data, size_t size, unsigned count)
{
    remove_files();
    for (unsigned number = 1; number <= MAX_PARTS && size >= 2; number++) {
        size_t length = (size_t)(data[0] | data[1] << 8);
        length = length < size - 2 ? length : size - 2;
        FILE *file = fopen(path_of(number, count), "wb");
        check(file != NULL && fwrite(data + 2, 1, length, file) == length && fclose(file) == 0);
        data += 2 + length;
        size -= 2 + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_env env = tp_env_plain();
    tp_gguf *gguf = NULL;
    tapeout_error err = {0};
    if (folder[0] == '\0') {
        make_folder();
    }
    if (size < 2) {
        return 0;
    }
    const unsigned count = data[0] % (MAX_PARTS + 1);
    write_files(data + 2, size - 2, count);
    const tapeout_status status =
        tp_gguf_open(&env, path_of(1 + data[1] % MAX_PARTS, count), &gguf, &err);
    check((status == TAPEOUT_OK) == (gguf != NULL));
    check(status == TAPEOUT_OK || strlen(err.message) > 10);
    for (size_t i = 0; gguf != NULL && i < tp_gguf_tensor_count(gguf); i++) {
        const tp_gguf_tensor *tensor = tp_gguf_tensor_at(gguf, i);
        check(tp_gguf_tensor_find(gguf, tensor->name) == tensor);
        sink += tensor->data.size > 0 ? (uint64_t)tensor->data.data[tensor->data.size - 1] : 0;
    }
    tp_gguf_close(&gguf);
    return 0;
}
