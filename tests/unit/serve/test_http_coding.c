// SPDX-License-Identifier: Apache-2.0
//
// Content codings: there and back, what is asked for, and bombs that are found early (M3).
#include "base/tp_alloc.h"
#include "serve/tp_http.h"
#include "test.h"

#include <string.h>

static void check_round(tp_http_coding coding, size_t size)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    char *data = tp_alloc(&allocator.base, size + 1);
    for (size_t i = 0; i < size; i++) {
        data[i] = (char)((i * 2654435761u) >> 13);
    }
    tp_buffer packed;
    tp_buffer unpacked;
    tp_buffer_init(&packed, &allocator.base, 8 << 20);
    tp_buffer_init(&unpacked, &allocator.base, 8 << 20);
    ASSERT_OK(tp_http_deflate(coding, (tp_str){data, size}, &packed, &test_err));
    ASSERT_OK(tp_http_inflate(coding, tp_buffer_view(&packed), &unpacked, &test_err));
    ASSERT_EQ_BYTES(unpacked.data, unpacked.size, data, size);
    // Cut, extended, flipped.
    if (packed.size > 20) {
        tp_buffer_clear(&unpacked);
        ASSERT_FAILS(
            tp_http_inflate(coding, (tp_str){packed.data, packed.size - 1}, &unpacked, &test_err),
            TAPEOUT_E_CORRUPT, "compressed");
        packed.data[packed.size - 3] ^= 1;
        tp_buffer_clear(&unpacked);
        ASSERT_FAILS(tp_http_inflate(coding, tp_buffer_view(&packed), &unpacked, &test_err),
                     TAPEOUT_E_CORRUPT, "compressed");
        packed.data[packed.size - 3] ^= 1;
    }
    tp_buffer_append_char(&packed, 'x');
    tp_buffer_clear(&unpacked);
    ASSERT_FAILS(tp_http_inflate(coding, tp_buffer_view(&packed), &unpacked, &test_err),
                 TAPEOUT_E_CORRUPT, "compressed");
    tp_buffer_deinit(&packed);
    tp_buffer_deinit(&unpacked);
    tp_free(&allocator.base, data, size + 1);
    ASSERT_EQ_UINT(allocator.live, 0);
}

static void test_there_and_back(void)
{
    static const size_t sizes[] = {0, 1, 100, 65536, 300000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        check_round(TP_HTTP_GZIP, sizes[i]);
        check_round(TP_HTTP_DEFLATE, sizes[i]);
    }
}

static void test_a_bomb_is_found_early(void)
{
    enum { SIZE = 64 << 20 };
    test_allocator allocator;
    test_allocator_init(&allocator);
    char *zeros = tp_alloc_zero(&allocator.base, SIZE);
    tp_buffer packed;
    tp_buffer_init(&packed, &allocator.base, 2 * SIZE);
    ASSERT_OK(tp_http_deflate(TP_HTTP_GZIP, (tp_str){zeros, SIZE}, &packed, &test_err));
    tp_free(&allocator.base, zeros, SIZE);
    const size_t bytes_before = allocator.live_bytes;
    allocator.peak_bytes = bytes_before;
    tp_buffer unpacked;
    tp_buffer_init(&unpacked, &allocator.base, SIZE);
    ASSERT_FAILS(tp_http_inflate(TP_HTTP_GZIP, tp_buffer_view(&packed), &unpacked, &test_err),
                 TAPEOUT_E_LIMIT, "200 times");
    ASSERT(allocator.peak_bytes < bytes_before + (8 << 20));
    tp_buffer_deinit(&unpacked);
    // What is larger than a body may be stops at the limit.
    tp_buffer_init(&unpacked, &allocator.base, 100000);
    ASSERT_FAILS(tp_http_inflate(TP_HTTP_GZIP, tp_buffer_view(&packed), &unpacked, &test_err),
                 TAPEOUT_E_LIMIT, "100000 bytes");
    tp_buffer_deinit(&unpacked);
    tp_buffer_deinit(&packed);
    ASSERT_EQ_UINT(allocator.live, 0);
}

static void test_what_is_accepted(void)
{
    static const struct {
        const char *header;
        tp_http_coding coding;
    } cases_of_header[] = {
        {"", TP_HTTP_IDENTITY},
        {"gzip", TP_HTTP_GZIP},
        {"GZip", TP_HTTP_GZIP},
        {"deflate", TP_HTTP_DEFLATE},
        {"br, deflate , gzip;q=0.5", TP_HTTP_GZIP},
        {"gzip;q=0, deflate", TP_HTTP_DEFLATE},
        {"gzip;q=0", TP_HTTP_IDENTITY},
        {"gzip;q=0.000", TP_HTTP_IDENTITY},
        {"identity", TP_HTTP_IDENTITY},
        {"br", TP_HTTP_IDENTITY},
        {",,;q=1,", TP_HTTP_IDENTITY},
        {"*", TP_HTTP_IDENTITY},
    };
    for (size_t i = 0; i < sizeof(cases_of_header) / sizeof(cases_of_header[0]); i++) {
        ASSERT_EQ_INT(tp_http_coding_accepted(tp_str_from(cases_of_header[i].header)),
                      cases_of_header[i].coding);
    }
    ASSERT_EQ_INT(tp_http_coding_from_name(TP_STR("x-gzip")), TP_HTTP_GZIP);
    ASSERT_EQ_INT(tp_http_coding_from_name(TP_STR("gzip, gzip")), TP_HTTP_UNKNOWN_CODING);
}

TEST_MAIN(TEST(test_there_and_back), TEST(test_a_bomb_is_found_early), TEST(test_what_is_accepted))
