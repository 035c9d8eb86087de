// SPDX-License-Identifier: Apache-2.0
//
// What is a name of a model, and what the forms of a MODEL argument mean.
#include "registry/registry_priv.h"
#include "test.h"

#include <string.h>

static void test_valid_names(void)
{
    static const char *const good[] = {"a", "0", "flight-delay", "A.b_c-9", "x..y", "a-"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ASSERT(tp_model_name_is_valid(tp_str_from(good[i])));
    }
    static const char *const bad[] = {"",   ".",   "..",   "-a",    "_a",  ".a",
                                      "a/", "a b", "a:1",  "a@b",   "a\n", "\xc3\xa4",
                                      "/a", "a\\", "a%2f", "a\x7f", "~",   "a;b"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ASSERT(!tp_model_name_is_valid(tp_str_from(bad[i])));
    }
    ASSERT(!tp_model_name_is_valid((tp_str){"a\0b", 3}));
    char text[TP_MAX_MODEL_NAME_BYTES + 1];
    memset(text, 'a', sizeof(text));
    ASSERT(tp_model_name_is_valid((tp_str){text, TP_MAX_MODEL_NAME_BYTES}));
    ASSERT(!tp_model_name_is_valid((tp_str){text, TP_MAX_MODEL_NAME_BYTES + 1}));
}

static void test_forms(void)
{
    static const struct {
        const char *text;
        const char *name;
        int64_t version;
        const char *alias;
    } cases[] = {
        {"m", "m", 0, ""},
        {"m:1", "m", 1, ""},
        {"m.x:9223372036854775807", "m.x", INT64_MAX, ""},
        {"m@prod", "m", 0, "prod"},
        {"m@1.2", "m", 0, "1.2"},
        {"m:007", "m", 7, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        model_name name;
        ASSERT_OK(tp_model_name_parse(tp_str_from(cases[i].text), &name, &test_err));
        ASSERT_EQ_BYTES(name.name.data, name.name.size, cases[i].name, strlen(cases[i].name));
        ASSERT_EQ_INT(name.version, cases[i].version);
        ASSERT_EQ_BYTES(name.alias.data, name.alias.size, cases[i].alias, strlen(cases[i].alias));
    }
}

static void test_refused_forms(void)
{
    static const char *const bad[] = {"",
                                      ":1",
                                      "@a",
                                      "m:",
                                      "m:0",
                                      "m:-1",
                                      "m:+1",
                                      "m:1x",
                                      "m: 1",
                                      "m@",
                                      "m@.a",
                                      "m:1@a",
                                      "m@a:1",
                                      "m@@a",
                                      "m::1",
                                      "m\n:1",
                                      "..:1",
                                      "m:1.0",
                                      "m:9223372036854775808"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        model_name name;
        ASSERT_FAILS(tp_model_name_parse(tp_str_from(bad[i]), &name, &test_err), TAPEOUT_E_INVALID,
                     NULL);
    }
}

TEST_MAIN(TEST(test_valid_names), TEST(test_forms), TEST(test_refused_forms))
