// SPDX-License-Identifier: Apache-2.0
//
// Error messages: what is written, what is cut, and what is made harmless.
#include "base/tp_error.h"

#include "test.h"

#include <errno.h>
#include <string.h>

static void test_fail_fills_the_buffer(void)
{
    tapeout_error err = {0};
    ASSERT(tp_fail_at(&err, TAPEOUT_E_DATA, 17, "csv: row %d", 4) == TAPEOUT_E_DATA);
    ASSERT_EQ_INT(err.status, TAPEOUT_E_DATA);
    ASSERT_EQ_UINT(err.offset, 17);
    ASSERT_EQ_STR(err.message, "csv: row 4");
    ASSERT(tp_fail(&err, TAPEOUT_E_LIMIT, "%s", "more") == TAPEOUT_E_LIMIT);
    ASSERT_EQ_UINT(err.offset, 0);
    ASSERT(tp_fail(NULL, TAPEOUT_E_LIMIT, "nobody listens") == TAPEOUT_E_LIMIT);
}

static void test_control_characters_become_marks(void)
{
    tapeout_error err = {0};
    (void)tp_fail(&err, TAPEOUT_E_DATA, "<%s>", "a\nb\x1b[2J\x7f");
    ASSERT_EQ_STR(err.message, "<a?b?[2J?>");
    (void)tp_fail(&err, TAPEOUT_E_DATA, "%s", "csi \xc2\x9b end \xc3\xa9");
    ASSERT_EQ_STR(err.message, "csi ?? end \xc3\xa9");
    (void)tp_fail(&err, TAPEOUT_E_DATA, "%s", "bad \xff \xc0\xaf \xed\xa0\x80 \xe2\x82");
    ASSERT_EQ_STR(err.message, "bad ? ?? ??? ??");
}

static void test_long_message_is_cut_at_a_character(void)
{
    char text[TAPEOUT_ERROR_MESSAGE_SIZE * 2];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof(text); i += 3) {
            memcpy(text + i, "\xe2\x82\xac", 4); // the euro sign
        }
        tapeout_error err = {0};
        (void)tp_fail(&err, TAPEOUT_E_DATA, "%s", text);
        const size_t size = strlen(err.message);
        ASSERT(size > TAPEOUT_ERROR_MESSAGE_SIZE - 4);
        ASSERT_EQ_UINT((size - shift) % 3, 0);
        ASSERT(strchr(err.message, '?') == NULL);
    }
}

static void test_errno_becomes_a_status(void)
{
    tapeout_error err = {0};
    ASSERT(tp_fail_errno(&err, ENOSPC, "%s: cannot write", "a.tpb") == TAPEOUT_E_FULL);
    ASSERT_EQ_STR(err.message, "a.tpb: cannot write: No space left on device");
    ASSERT(tp_fail_errno(&err, ENOENT, "x") == TAPEOUT_E_NOT_FOUND);
    ASSERT(tp_fail_errno(&err, EACCES, "x") == TAPEOUT_E_DENIED);
    ASSERT(tp_fail_errno(&err, EIO, "x") == TAPEOUT_E_IO);
    ASSERT(tp_fail_errno(NULL, ENOMEM, "x") == TAPEOUT_E_NOMEM);
}

static void test_prefix_keeps_status_and_offset(void)
{
    tapeout_error err = {0};
    (void)tp_fail_at(&err, TAPEOUT_E_CORRUPT, 9, "cut short");
    tp_error_prefix(&err, "%s", "model.tpb");
    ASSERT_EQ_STR(err.message, "model.tpb: cut short");
    ASSERT_EQ_INT(err.status, TAPEOUT_E_CORRUPT);
    ASSERT_EQ_UINT(err.offset, 9);
    tp_error_prefix(NULL, "nobody");
}

// An argument may be the buffer's own message.
static void test_message_may_quote_itself(void)
{
    tapeout_error err = {0};
    (void)tp_fail(&err, TAPEOUT_E_IO, "inner");
    (void)tp_fail(&err, TAPEOUT_E_IO, "outer: %s", err.message);
    ASSERT_EQ_STR(err.message, "outer: inner");
}

TEST_MAIN(TEST(test_fail_fills_the_buffer), TEST(test_control_characters_become_marks),
          TEST(test_long_message_is_cut_at_a_character), TEST(test_errno_becomes_a_status),
          TEST(test_prefix_keeps_status_and_offset), TEST(test_message_may_quote_itself))
