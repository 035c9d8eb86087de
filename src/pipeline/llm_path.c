// SPDX-License-Identifier: Apache-2.0
//
// What kind of file holds a language model, and opening it.
#include "pipeline/tp_llm_open.h"

#include "base/tp_context.h"
#include "base/tp_error.h"
#include "bundle/tp_llm_bundle.h"
#include "llm/host/tp_gguf_check.h"
#include "registry/tp_signature_store.h"

#include <stdio.h>
#include <string.h>
#include <tapeout/registry.h>

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

tapeout_status tp_llm_open_path(const tp_env *env, const tp_admission *asked, tp_llm **ret_llm,
                                tp_admitted *ret_admitted, tapeout_error *err)
{
    tp_gguf *gguf = NULL;
    tp_bundle *bundle = NULL;
    if (asked->sha256.size > 0 || tp_bundle_probe(asked->path)) {
        TP_TRY(tp_trust_open(env, asked, &bundle, ret_admitted, err));
        return tp_llm_from_bundle(env, &bundle, ret_llm, err);
    }
    TP_TRY(tp_gguf_open_checked(env, asked->path, TP_GGUF_FOR_ANSWERING, &gguf, err));
    *ret_admitted = (tp_admitted){.signers = "unsigned"};
    return tp_llm_from_gguf(env, gguf, ret_llm, err);
}

tp_admission tp_admission_of(const tapeout_context *context, const tapeout_model_ref *ref)
{
    return (tp_admission){.home = tp_context_home(context),
                          .path = ref->path,
                          .sha256 =
                              ref->is_registered ? tp_str_from(ref->sha256) : (tp_str){NULL, 0},
                          .allow_unsigned = tp_context_allows_unsigned(context),
                          .look = tp_signatures_look,
                          .look_user = (void *)(uintptr_t)context};
}
