// SPDX-License-Identifier: Apache-2.0
//
// A GGUF file is a program's worth of counts, lengths, tables and a template, from whoever made it.
// So all of that is read by a child first that can open nothing, call nobody and start nothing
// (docs/internals/sandbox.md): a fault in a reader ends the child and not a server with keys in its
// memory. The child has no descriptor of the file and needs none: what it reads are the parent's
// mappings, made before the fork and read by the parent after it, so both see the same open files.
//
// Weights are not touched there. Nothing in them is a length or a place: they are numbers, whose
// count the tables have given, and whatever they are, they come out as some other numbers.
#include "llm/host/tp_gguf_check.h"

#include "base/tp_error.h"
#include "base/tp_sandbox.h"
#include "llm/host/tp_llm_host.h"
#include "llm/tokenizer/tp_tokenizer.h"

// The tables of a vocabulary of a quarter of a million take 0.1 GB and half a second.
enum { WALL_S = 120, CPU_S = 240 };
#define MEMORY_BYTES (UINT64_C(4) << 30)

typedef struct check {
    tp_gguf_files files;
    tp_gguf_use use;
} check;

static tapeout_status try_template(const tp_env *env, const tp_gguf *gguf, tapeout_error *err)
{
    tp_template *made = NULL;
    TP_TRY(tp_llm_template_of(env, gguf, &made, err));
    tp_template_free(made);
    return TAPEOUT_OK;
}

// In the child, with which all that is made goes.
static tapeout_status read_all(const tp_env *env, void *user, tp_buffer *reply, tapeout_error *err)
{
    check *self = user;
    tp_gguf *gguf = NULL;
    tp_tokenizer *tokenizer = NULL;
    tp_llm *outline = NULL;
    (void)reply; // that it ended well says all
    for (size_t i = 0; i < self->files.count; i++) {
        self->files.maps[i].fd = -1; // closed by the sandbox, and the number may be its own by now
    }
    TP_TRY(tp_gguf_from_files(env, &self->files, &gguf, err));
    switch (self->use) {
    case TP_GGUF_FOR_TENSORS:
        return TAPEOUT_OK;
    case TP_GGUF_FOR_TOKENS:
        return tp_tokenizer_new(env, gguf, &tokenizer, err);
    case TP_GGUF_FOR_SHAPES:
        return tp_llm_outline(env, gguf, &outline, err);
    case TP_GGUF_FOR_ANSWERING:
        TP_TRY(tp_llm_outline(env, gguf, &outline, err));
        return try_template(env, tp_llm_metadata(outline), err);
    }
    return tp_fail(err, TAPEOUT_E_INTERNAL, "gguf: opened for nothing that is known");
}

tapeout_status tp_gguf_open_checked(const tp_env *env, const char *path, tp_gguf_use use,
                                    tp_gguf **ret_gguf, tapeout_error *err)
{
    static const tp_sandbox_rules rules = {
        .memory_bytes = MEMORY_BYTES, .cpu_s = CPU_S, .wall_s = WALL_S};
    check what = {.use = use};
    tp_buffer reply;
    TP_TRY(tp_gguf_files_open(env->alloc, path, &what.files, err));
    tp_buffer_init(&reply, env->alloc, 0);
    const tapeout_status status = tp_sandbox_run(env, &rules, read_all, &what, &reply, err);
    tp_buffer_deinit(&reply);
    if (status != TAPEOUT_OK) {
        tp_gguf_files_close(&what.files);
        return status;
    }
    return tp_gguf_from_files(env, &what.files, ret_gguf, err);
}
