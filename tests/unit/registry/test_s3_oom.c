// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of ours fails in turn while a page of a list is read and a request is put
// together that nobody answers.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "registry/s3_list.h"
#include "test.h"

#include <stdlib.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd"

static tapeout_status read_page(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    static const char document[] =
        "<ListBucketResult><Contents><Key>sha256/ab/" HEX
        "</Key><LastModified>2026-11-25T19:32:02.000Z</LastModified></Contents>"
        "<IsTruncated>true</IsTruncated><NextContinuationToken>next</NextContinuationToken>"
        "</ListBucketResult>";
    s3_page page;
    (void)user;
    tp_buffer_init(&page.objects, alloc, 10000);
    tp_buffer_init(&page.next, alloc, 1000);
    const tapeout_status status = tp_s3_page_read(alloc, TP_STR(document), TP_STR(""), &page, err);
    tp_buffer_deinit(&page.objects);
    tp_buffer_deinit(&page.next);
    return status;
}

static void test_page(void)
{
    test_out_of_memory(read_page, NULL);
}

static tapeout_status ask_nobody(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_s3 *s3 = NULL;
    bool is_there = false;
    uint64_t size = 0;
    (void)user;
    tapeout_status status =
        tp_s3_open(alloc, "s3://models/p?endpoint=http://127.0.0.1:1", "t", &s3, err);
    if (status == TAPEOUT_OK) {
        status = tp_s3_find(s3, TP_STR("ab" HEX), &is_there, &size, err);
        tp_s3_close(&s3);
    }
    return status == TAPEOUT_E_UNAVAILABLE ? TAPEOUT_OK : status;
}

static void test_request(void)
{
    (void)setenv("AWS_ACCESS_KEY_ID", "key", 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    test_out_of_memory(ask_nobody, NULL);
}

TEST_MAIN(TEST(test_page), TEST_SLOW(test_request, 120))
