// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of context, pool, reader and writer fails in turn, and nothing is left behind:
// no block, no thread, no file.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "base/tp_pool.h"
#include "test.h"

#include <stdint.h>
#include <unistd.h>

static tapeout_status make_context(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tapeout_context_options options;
    tapeout_context_options_init(&options);
    options.allocator = alloc;
    options.thread_count = 3;
    options.home = "/home";
    options.duckdb_library = "/lib/duckdb.so";
    tapeout_context *context = NULL;
    const tapeout_status status = tapeout_context_new(&options, &context, err);
    ASSERT((context == NULL) == (status != TAPEOUT_OK));
    tapeout_context_free(context);
    return status;
}

static void test_context(void)
{
    test_out_of_memory(make_context, NULL);
}

static tapeout_status write_file(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    const char *path = user;
    (void)unlink(path);
    tp_writer *writer = NULL;
    TP_TRY(tp_writer_open(alloc, path, &writer, err));
    const tapeout_status status = tp_writer_write(writer, "hello", 5, err);
    if (status != TAPEOUT_OK) {
        tp_writer_abort(&writer);
        return status;
    }
    TP_TRY(tp_writer_commit(&writer, err));
    tp_str text = {0};
    TP_TRY(tp_file_read(alloc, path, 100, &text, err));
    ASSERT_EQ_STR(text.data, "hello");
    tp_free(alloc, (void *)(uintptr_t)text.data, text.size + 1);
    return TAPEOUT_OK;
}

static void test_files(void)
{
    static char path[2048];
    static char temporary[2048];
    (void)snprintf(path, sizeof(path), "%s/model", test_temp_dir());
    (void)snprintf(temporary, sizeof(temporary), "%s/.model.partial", test_temp_dir());
    test_out_of_memory(write_file, path);
    ASSERT(!tp_path_exists(temporary));
}

TEST_MAIN(TEST(test_context), TEST(test_files))
