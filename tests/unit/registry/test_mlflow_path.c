// SPDX-License-Identifier: Apache-2.0
//
// Names of artifacts: what is one, and what would lead out of a folder, now or decoded once more.
#include "base/limits.h"
#include "registry/mlflow_path.h"
#include "test.h"

#include <string.h>

static void test_good(void)
{
    static const char *const good[] = {"a",
                                       "0/abc/artifacts/model/MLmodel",
                                       "a b.txt",
                                       "...",
                                       "a/..b/c..",
                                       "100%.txt",
                                       "%zz",
                                       "a/b:c",
                                       "\xc3\xa4/\xe2\x82\xac",
                                       "%41",
                                       "a+b&c=d",
                                       ".hidden",
                                       "~"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ASSERT_OK(tp_mlflow_path_check(tp_str_from(good[i]), &test_err));
    }
    char text[TP_MAX_MLFLOW_PATH_BYTES + 1];
    memset(text, 'a', sizeof(text));
    ASSERT_OK(tp_mlflow_path_check((tp_str){text, TP_MAX_MLFLOW_PATH_BYTES}, &test_err));
    ASSERT_FAILS(tp_mlflow_path_check((tp_str){text, sizeof(text)}, &test_err), TAPEOUT_E_INVALID,
                 "at most 1024");
}

static void test_refused(void)
{
    static const char *const bad[] = {"",
                                      "/",
                                      "/etc/passwd",
                                      "a/",
                                      "a//b",
                                      ".",
                                      "..",
                                      "../a",
                                      "a/..",
                                      "a/../b",
                                      "a/./b",
                                      "..\\a",
                                      "a\\b",
                                      "C:x",
                                      "c:/x",
                                      "file:///etc/passwd",
                                      "file:",
                                      "a#b",
                                      "a?b",
                                      "a\nb",
                                      "a\x7f",
                                      "\xff",
                                      "\xc0\xae\xc0\xae/a",
                                      "%2e%2e/a",
                                      "%2E%2e%2Fa",
                                      "a%2f..%2fb",
                                      "%252e%252e%252fa",
                                      "%25252e%25252e/a",
                                      "%5c",
                                      "%00",
                                      "a%0a",
                                      "%2fetc",
                                      "a%2f",
                                      "a%23b",
                                      "%2525252525",
                                      "%c0",
                                      "..%2f"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ASSERT_FAILS(tp_mlflow_path_check(tp_str_from(bad[i]), &test_err), TAPEOUT_E_INVALID,
                     "artifact path");
    }
    ASSERT_FAILS(tp_mlflow_path_check(TP_STR("a\0b"), &test_err), TAPEOUT_E_INVALID, NULL);
}

static void test_split(void)
{
    static const char *const cases[][3] = {
        {"a", "", "a"}, {"a/b", "a", "b"}, {"a/b/c.txt", "a/b", "c.txt"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tp_str folder;
        tp_str name;
        tp_mlflow_path_split(tp_str_from(cases[i][0]), &folder, &name);
        ASSERT(tp_str_equal(folder, tp_str_from(cases[i][1])));
        ASSERT(tp_str_equal(name, tp_str_from(cases[i][2])));
    }
}

TEST_MAIN(TEST(test_good), TEST(test_refused), TEST(test_split))
