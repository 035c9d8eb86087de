// SPDX-License-Identifier: Apache-2.0
//
// What kind of file holds a language model, and opening it.
#include "pipeline/tp_llm_open.h"

#include "base/tp_error.h"
#include "bundle/tp_llm_bundle.h"
#include "llm/gguf/tp_gguf.h"

#include <stdio.h>
#include <string.h>

bool tp_llm_path_is_model(const char *path)
{
    char magic[4] = "";
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    const size_t size = fread(magic, 1, sizeof(magic), file);
    (void)fclose(file); // it was only read
    return (size == sizeof(magic) && memcmp(magic, "GGUF", sizeof(magic)) == 0) ||
           tp_bundle_is_kind(path, TP_STR("llm"));
}

tapeout_status tp_llm_open_path(const tp_env *env, const char *path, tp_llm **ret_llm,
                                tapeout_error *err)
{
    tp_gguf *gguf = NULL;
    if (tp_bundle_probe(path)) {
        return tp_llm_bundle_open(env, path, ret_llm, err);
    }
    TP_TRY(tp_gguf_open(env, path, &gguf, err));
    return tp_llm_from_gguf(env, gguf, ret_llm, err);
}
