// SPDX-License-Identifier: Apache-2.0
//
// A GGUF file is read in a sandbox before it is read here: what is refused is refused there, with
// the words of the readers, and what the file makes a reader do there does no harm. A reader with a
// fault is played by the allocator, which knows in which process it is asked.
#include "llm/host/tp_gguf_check.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "base/tp_sandbox.h"
#include "llm/gguf/tp_gguf_write.h"
#include "llm/model/tp_llm.h"
#include "test.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATH_SIZE = 2048, NAMES_MAX = 128 };

static void need_seccomp(void)
{
    if (!tp_sandbox_probe().has_seccomp) {
        test_skip("the kernel has no seccomp filters");
    }
}

static const char *path_of(const char *folder, const char *name)
{
    static char path[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/tests/%s/%s", test_source_dir(), folder, name);
    return path;
}

static const char *tiny(const char *name)
{
    return path_of("conformance/llm_tiny", name);
}

// -- an allocator that misbehaves in the child ---------------------------------------------------
typedef enum fault { FAULT_NONE, FAULT_CRASH, FAULT_GREED, FAULT_CALL } fault;

typedef struct witness {
    fault fault;
    pid_t parent;
    size_t in_parent; // blocks asked for
} witness;

static void misbehave(fault kind)
{
    switch (kind) {
    case FAULT_CRASH:
        __builtin_trap();
    case FAULT_CALL:
        (void)socket(AF_INET, SOCK_STREAM, 0);
        break;
    case FAULT_GREED:
    case FAULT_NONE:
        break;
    }
}

static void *witness_alloc(void *user, size_t size)
{
    witness *self = user;
    const bool is_parent = getpid() == self->parent;
    self->in_parent += is_parent;
    // From a text of the file's on; the child's threads are made of smaller blocks, before it is
    // locked up.
    if (!is_parent && size >= 2048) {
        misbehave(self->fault);
        size += self->fault == FAULT_GREED ? (size_t)1 << 42 : 0;
    }
    const tapeout_allocator *plain = tp_allocator_default();
    return plain->alloc(plain->user, size);
}

static void *witness_resize(void *user, void *block, size_t old_size, size_t new_size)
{
    (void)user;
    const tapeout_allocator *plain = tp_allocator_default();
    return plain->resize(plain->user, block, old_size, new_size);
}

static void witness_free(void *user, void *block, size_t size)
{
    (void)user;
    const tapeout_allocator *plain = tp_allocator_default();
    plain->free(plain->user, block, size);
}

static tapeout_status open_with(witness *seen, const char *path, tp_gguf_use use)
{
    const tapeout_allocator alloc = {witness_alloc, witness_resize, witness_free, seen};
    tp_env env = tp_env_plain();
    tp_gguf *gguf = NULL;
    env.alloc = &alloc;
    seen->parent = getpid();
    seen->in_parent = 0;
    test_err = (tapeout_error){0};
    const tapeout_status status = tp_gguf_open_checked(&env, path, use, &gguf, &test_err);
    ASSERT((status == TAPEOUT_OK) == (gguf != NULL));
    tp_gguf_close(&gguf);
    return status;
}

static void test_a_reader_that_is_misled_does_no_harm(void)
{
    const char *path = tiny("llama-q4_1.gguf");
    need_seccomp();
    witness seen = {.fault = FAULT_NONE};
    ASSERT_OK(open_with(&seen, path, TP_GGUF_FOR_ANSWERING));
    const size_t to_read = seen.in_parent;
    seen.fault = FAULT_CRASH;
    ASSERT_FAILS(open_with(&seen, path, TP_GGUF_FOR_ANSWERING), TAPEOUT_E_CORRUPT,
                 "crashed in its sandbox");
    ASSERT(seen.in_parent < to_read); // here nothing of it was read
    seen.fault = FAULT_CALL;
    ASSERT_FAILS(open_with(&seen, path, TP_GGUF_FOR_ANSWERING), TAPEOUT_E_DENIED,
                 "asked the system for what its sandbox does not allow");
    ASSERT(seen.in_parent < to_read);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // they reserve terabytes
    seen.fault = FAULT_GREED;
    ASSERT_FAILS(open_with(&seen, path, TP_GGUF_FOR_ANSWERING), TAPEOUT_E_NOMEM, "memory");
    ASSERT(seen.in_parent < to_read);
#endif
}

// -- what is refused -----------------------------------------------------------------------------
static size_t names_in(const char *folder, char (*ret_names)[256])
{
    size_t count = 0;
    DIR *entries = opendir(path_of(folder, ""));
    ASSERT(entries != NULL);
    for (const struct dirent *next; (next = readdir(entries)) != NULL;) {
        if (next->d_name[0] != '.') {
            ASSERT(count < NAMES_MAX);
            (void)snprintf(ret_names[count++], 256, "%s", next->d_name);
        }
    }
    (void)closedir(entries);
    return count;
}

// As it is refused by whoever reads it in the open.
static tapeout_status read_openly(const char *path, tapeout_error *err)
{
    const tp_env env = tp_env_plain();
    tp_gguf *gguf = NULL;
    tp_llm *outline = NULL;
    TP_TRY(tp_gguf_open(&env, path, &gguf, err));
    TP_TRY(tp_llm_outline(&env, gguf, &outline, err));
    tp_llm_free(outline);
    return TAPEOUT_OK;
}

static void test_hostile_files_are_refused_in_the_same_words(void)
{
    static char names[NAMES_MAX][256];
    need_seccomp();
    const size_t count = names_in("fuzz/corpus/gguf", names);
    size_t refused = 0;
    ASSERT(count > 40);
    for (size_t i = 0; i < count; i++) {
        tapeout_error want = {0};
        witness seen = {.fault = FAULT_NONE};
        const char *path = path_of("fuzz/corpus/gguf", names[i]);
        const tapeout_status status = read_openly(path, &want);
        ASSERT_EQ_INT(open_with(&seen, path, TP_GGUF_FOR_ANSWERING), status);
        ASSERT_EQ_STR(test_err.message, want.message);
        ASSERT_EQ_UINT(test_err.offset, want.offset);
        refused += status != TAPEOUT_OK;
    }
    ASSERT(refused > 40);
}

static void write_with_template(const char *path, tp_str text)
{
    const tp_env env = tp_env_plain();
    tp_gguf *gguf = NULL;
    tp_gguf_builder builder;
    ASSERT_OK(tp_gguf_open(&env, tiny("llama-q4_1.gguf"), &gguf, &test_err));
    tp_gguf_builder_init(&builder, env.alloc);
    for (size_t i = 0; i < tp_gguf_kv_count(gguf); i++) {
        const tp_gguf_kv *kv = tp_gguf_kv_at(gguf, i);
        if (!tp_str_equal(kv->key, TP_STR("tokenizer.chat_template"))) {
            tp_gguf_builder_copy(&builder, kv);
        }
    }
    tp_gguf_builder_str(&builder, "tokenizer.chat_template", text);
    for (size_t i = 0; i < tp_gguf_tensor_count(gguf); i++) {
        tp_gguf_builder_tensor(&builder, tp_gguf_tensor_at(gguf, i));
    }
    ASSERT_OK(tp_gguf_write(&env, path, &builder, NULL, NULL, &test_err));
    tp_gguf_builder_deinit(&builder);
    tp_gguf_close(&gguf);
}

static void test_a_use_says_how_much_is_tried(void)
{
    char path[PATH_SIZE];
    witness seen = {.fault = FAULT_NONE};
    need_seccomp();
    (void)snprintf(path, sizeof(path), "%s/template.gguf", test_temp_dir());
    write_with_template(path, TP_STR("{% for x in"));
    ASSERT_FAILS(open_with(&seen, path, TP_GGUF_FOR_ANSWERING), TAPEOUT_E_CORRUPT,
                 "chat template: ");
    ASSERT_OK(open_with(&seen, path, TP_GGUF_FOR_SHAPES));
    ASSERT_OK(tp_file_remove(path, &test_err));
    // Keys and tensors without a vocabulary.
    const char *bare = path_of("fuzz/corpus/gguf", "sample");
    ASSERT_OK(open_with(&seen, bare, TP_GGUF_FOR_TENSORS));
    ASSERT(open_with(&seen, bare, TP_GGUF_FOR_TOKENS) != TAPEOUT_OK);
    ASSERT_FAILS(open_with(&seen, "/nowhere/m.gguf", TP_GGUF_FOR_TENSORS), TAPEOUT_E_NOT_FOUND,
                 "/nowhere/m.gguf");
}

TEST_MAIN(TEST(test_a_reader_that_is_misled_does_no_harm),
          TEST(test_hostile_files_are_refused_in_the_same_words),
          TEST(test_a_use_says_how_much_is_tried))
