// SPDX-License-Identifier: Apache-2.0
//
// Status codes: names and sentences, the decades that the header promises.
#include <tapeout/status.h>

#include "test.h"

#include <string.h>

static void test_names(void)
{
    ASSERT_EQ_STR(tapeout_status_name(TAPEOUT_OK), "OK");
    ASSERT_EQ_STR(tapeout_status_name(TAPEOUT_E_CORRUPT), "E_CORRUPT");
    ASSERT_EQ_STR(tapeout_status_name((tapeout_status)999), "E_INTERNAL");
    ASSERT_EQ_STR(tapeout_status_text(TAPEOUT_E_FULL), "no space left");
    ASSERT_EQ_STR(tapeout_status_text((tapeout_status)999), "a fault in tapeout");
}

static const struct {
    const char *name;
    int value;
    const char *meaning;
    const char *action;
} codes[] = {
#define ROW(name, value, meaning, action) {#name, value, meaning, action},
    TAPEOUT_STATUS_MAP(ROW)
#undef ROW
};

static void test_every_code(void)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        const tapeout_status status = (tapeout_status)codes[i].value;
        ASSERT_EQ_STR(tapeout_status_name(status), codes[i].name);
        ASSERT_EQ_STR(tapeout_status_text(status), codes[i].meaning);
        ASSERT(strlen(codes[i].action) > 0);
        ASSERT(i == 0 || codes[i].value > codes[i - 1].value);
        ASSERT(i == 0 || (codes[i].value >= 10 && codes[i].value < 70));
    }
}

TEST_MAIN(TEST(test_names), TEST(test_every_code))
