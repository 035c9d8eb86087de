// SPDX-License-Identifier: Apache-2.0
//
// Answers that are lost on their way (case R5): TAPEOUT_TEST_STORE leads through something that
// swallows answers to COMMIT and then hangs up. tests/e2e/test_registry_postgres.py is that
// something, and says by TAPEOUT_TEST_LOST which of the two cases it plays.
#include "registry_cases.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

static bool is_played(const char *name)
{
    const char *played = getenv("TAPEOUT_TEST_LOST");
    return played != NULL && strcmp(played, name) == 0;
}

// Some answers are lost and the server is there again at once: every registration is carried out
// exactly once and says so.
static void test_some_answers_are_lost(void)
{
    if (!is_played("some")) {
        test_skip("needs a PostgreSQL that loses answers");
    }
    const char *home = test_temp_dir();
    const char *bundle = cases_file(home, "b", "x");
    tp_registry *registry = cases_open(home);
    for (uint64_t i = 1; i <= 30; i++) {
        ASSERT_EQ_UINT(cases_register(registry, "m", bundle), i);
    }
    ASSERT_EQ_INT(cases_number(registry, "SELECT count(*) FROM versions"), 30);
    ASSERT_EQ_INT(cases_number(registry, "SELECT last_version FROM models"), 30);
    tp_registry_close(&registry);
}

// The answer is lost and the server stays away: nobody knows, and that is what is said.
static void test_server_stays_away(void)
{
    if (!is_played("all")) {
        test_skip("needs a PostgreSQL that goes away");
    }
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home); // whose commits are answered
    const tapeout_registration what = cases_registration("m", cases_file(home, "b", "x"));
    tapeout_model_ref ref = {.version = 77};
    ASSERT_FAILS(tp_registry_register(registry, &what, &ref, &test_err), TAPEOUT_E_UNKNOWN,
                 "may have happened or not");
    ASSERT_EQ_UINT(ref.version, 77);
    ASSERT_FAILS(tp_registry_resolve(registry, TP_STR("m"), &ref, &test_err), TAPEOUT_E_UNAVAILABLE,
                 "cannot connect");
    tp_registry_close(&registry);
}

TEST_MAIN(TEST_SLOW(test_some_answers_are_lost, 120), TEST_SLOW(test_server_stays_away, 120))
