// SPDX-License-Identifier: Apache-2.0
//
// A Hugging Face folder out of arbitrary bytes: a sequence of files, each a byte that chooses the
// name, its length (u16, little-endian) and its content. Whatever they hold, opening ends with a
// model or a refusal that says something, and metadata and tensors of a model render as GGUF that
// parses to the same.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "import/tp_hf_bert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PATH_SIZE = 128, NAME_COUNT = 6 };

static const char *const names[NAME_COUNT] = {
    "config.json",           "tokenizer.json",        "vocab.txt",
    "tokenizer_config.json", "1_Pooling/config.json", "model.safetensors"};
static char folder[64];

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

static const char *path_of(const char *name)
{
    static char path[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void remove_files(void)
{
    for (size_t i = 0; i < NAME_COUNT; i++) {
        (void)unlink(path_of(names[i]));
    }
}

static void remove_folder(void)
{
    remove_files();
    (void)rmdir(path_of("1_Pooling"));
    (void)rmdir(folder);
}

static void make_folder(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/fuzz_hf_bert_XXXXXX");
    check(mkdtemp(folder) != NULL);
    check(mkdir(path_of("1_Pooling"), 0700) == 0);
    check(atexit(remove_folder) == 0);
}

static void write_files(const uint8_t *data, size_t size)
{
    remove_files();
    while (size >= 3) {
        const char *name = names[data[0] % NAME_COUNT];
        size_t length = (size_t)(data[1] | data[2] << 8);
        length = length < size - 3 ? length : size - 3;
        FILE *file = fopen(path_of(name), "wb");
        check(file != NULL && fwrite(data + 3, 1, length, file) == length && fclose(file) == 0);
        data += 3 + length;
        size -= 3 + length;
    }
}

static void check_render(const tp_env *env, const tp_hf_bert *model)
{
    tp_buffer bytes;
    tp_gguf *gguf = NULL;
    tp_buffer_init(&bytes, env->alloc, (size_t)1 << 30);
    check(tp_gguf_builder_render(tp_hf_bert_builder(model), &bytes, NULL) == TAPEOUT_OK);
    check(tp_gguf_parse_metadata(env, tp_buffer_view(&bytes), &gguf, NULL) == TAPEOUT_OK);
    tp_gguf_close(&gguf);
    tp_buffer_deinit(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_env env = tp_env_plain();
    tp_hf_bert *model = NULL;
    tapeout_error err = {0};
    if (folder[0] == '\0') {
        make_folder();
    }
    write_files(data, size);
    const tapeout_status status = tp_hf_bert_open(&env, folder, &model, &err);
    check((status == TAPEOUT_OK) == (model != NULL));
    check(status == TAPEOUT_OK || strlen(err.message) > 10);
    if (model != NULL) {
        check_render(&env, model);
    }
    tp_hf_bert_close(&model);
    return 0;
}
