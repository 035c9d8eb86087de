// SPDX-License-Identifier: Apache-2.0
//
// A file in pieces: all of it, no more than there is room for, and never less than was promised.
#include "base/tp_alloc.h"
#include "serve/tp_http.h"
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SIZE = 300001, PIECE = 128 << 10 };

static char content[SIZE];

static tp_http_file open_file(uint64_t size)
{
    char path[4300];
    (void)snprintf(path, sizeof(path), "%s/file", test_temp_dir());
    for (size_t i = 0; i < SIZE; i++) {
        content[i] = (char)(i * 2654435761u >> 11);
    }
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ASSERT(fd >= 0);
    ASSERT_EQ_INT(unlink(path), 0);
    ASSERT_EQ_INT(write(fd, content, SIZE), SIZE);
    return (tp_http_file){.is_open = true, .fd = fd, .size = size};
}

static void test_comes_whole_in_pieces(void)
{
    tp_http_file file = open_file(SIZE);
    const int fd = file.fd;
    tp_buffer out;
    tp_buffer_init(&out, tp_allocator_default(), 1 << 20);
    size_t sent = 0;
    while (file.offset < file.size) {
        tp_http_file_append(&file, &out);
        ASSERT(out.status == TAPEOUT_OK && out.size > 0 && out.size <= PIECE);
        ASSERT_EQ_BYTES(out.data, out.size, content + sent, out.size);
        sent += out.size;
        tp_buffer_clear(&out);
    }
    ASSERT_EQ_UINT(sent, SIZE);
    tp_http_file_append(&file, &out); // and then nothing more
    ASSERT(out.size == 0 && out.status == TAPEOUT_OK);
    tp_http_file_close(&file);
    ASSERT(fcntl(fd, F_GETFD) < 0);
    tp_http_file_close(&file);
    tp_buffer_deinit(&out);
}

static void test_waits_for_room(void)
{
    tp_http_file file = open_file(SIZE);
    tp_buffer out;
    tp_buffer_init(&out, tp_allocator_default(), 1 << 20);
    tp_buffer_append(&out, content, PIECE);
    tp_http_file_append(&file, &out);
    ASSERT_EQ_UINT(out.size, PIECE);
    ASSERT_EQ_UINT(file.offset, 0);
    tp_http_file_close(&file);
    tp_buffer_deinit(&out);
}

// Its length was told: a file that turns out shorter is an error, not a shorter answer.
static void test_shorter_than_told(void)
{
    tp_http_file file = open_file(SIZE + 1);
    tp_buffer out;
    tp_buffer_init(&out, tp_allocator_default(), 1 << 20);
    while (file.offset < SIZE) {
        tp_buffer_clear(&out);
        tp_http_file_append(&file, &out);
        ASSERT(out.status == TAPEOUT_OK);
    }
    tp_buffer_clear(&out);
    tp_http_file_append(&file, &out);
    ASSERT_EQ_INT(out.status, TAPEOUT_E_IO);
    tp_http_file_close(&file);
    tp_buffer_deinit(&out);
}

static void test_no_room_at_all(void)
{
    tp_http_file file = open_file(SIZE);
    tp_buffer out;
    tp_buffer_init(&out, tp_allocator_default(), 10);
    tp_http_file_append(&file, &out);
    ASSERT(out.status != TAPEOUT_OK);
    ASSERT_EQ_UINT(file.offset, 0);
    tp_http_file_close(&file);
    tp_buffer_deinit(&out);
}

TEST_MAIN(TEST(test_comes_whole_in_pieces), TEST(test_waits_for_room), TEST(test_shorter_than_told),
          TEST(test_no_room_at_all))
