// SPDX-License-Identifier: Apache-2.0
//
// Answers that are lost on their way (case R5): TAPEOUT_TEST_STORE leads through something that
// swallows answers to COMMIT, or COMMIT itself, and then hangs up.
// tests/e2e/test_registry_postgres.py is that something, and says by TAPEOUT_TEST_LOST which of the
// cases it plays. And two clients that are in each other's way so that PostgreSQL lets one of them
// fail (40001).
#include "base/tp_error.h"
#include "registry_cases.h"
#include "test.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

// -- 40001 ---------------------------------------------------------------------------------------
enum { ADDITIONS = 100 };

typedef struct adder {
    const char *home;
    int attempts;
    tapeout_status status;
    tapeout_error error;
} adder;

// Reads, waits and writes by what it has read: at this level of isolation PostgreSQL refuses
// whoever comes second.
static tapeout_status add_one(tp_store *store, void *user, tapeout_error *err)
{
    adder *self = user;
    tp_rows rows;
    self->attempts++;
    TP_TRY(tp_store_run(store, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", TP_SQL_NONE, NULL,
                        err));
    tp_store_query(store, &rows, "SELECT value FROM counter", TP_SQL_NONE);
    const int64_t value = tp_rows_next(&rows) ? tp_rows_int(&rows, 0) : -1;
    TP_TRY(tp_rows_close(&rows, err));
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return tp_store_run(store, "UPDATE counter SET value = $1", TP_SQL(tp_sql_int(value + 1)), NULL,
                        err);
}

static void *add_all(void *user)
{
    adder *self = user;
    tp_registry *registry = NULL;
    self->status = cases_try_open(self->home, TP_REGISTRY_WRITE, &registry, &self->error);
    for (int i = 0; i < ADDITIONS && self->status == TAPEOUT_OK; i++) {
        // Otherwise the slower one may starve: it has as many tries as a store gives it.
        (void)nanosleep(&(struct timespec){.tv_nsec = 4000000}, NULL);
        self->status = tp_store_transact(tp_registry_store(registry), TP_STORE_ROWS, add_one, self,
                                         &self->error);
    }
    if (registry != NULL) {
        tp_registry_close(&registry);
    }
    return NULL;
}

static void test_serialization_failures(void)
{
    if (!is_played("conflicts")) {
        test_skip("needs a PostgreSQL");
    }
    adder adders[2] = {{.home = test_temp_dir()}};
    pthread_t threads[2];
    adders[1].home = adders[0].home;
    tp_registry *registry = cases_open(adders[0].home);
    cases_run(registry, "CREATE TABLE counter(value BIGINT NOT NULL)");
    cases_run(registry, "INSERT INTO counter VALUES(0)");
    for (int i = 0; i < 2; i++) {
        ASSERT(pthread_create(&threads[i], NULL, add_all, &adders[i]) == 0);
    }
    for (int i = 0; i < 2; i++) {
        ASSERT(pthread_join(threads[i], NULL) == 0);
        ASSERT_OK((test_err = adders[i].error, adders[i].status));
    }
    ASSERT_EQ_INT(cases_number(registry, "SELECT value FROM counter"), 2 * ADDITIONS);
    const int again = adders[0].attempts + adders[1].attempts - 2 * ADDITIONS;
    (void)printf("# %d additions, %d of them done again\n", 2 * ADDITIONS, again);
    ASSERT(again > 0);
    tp_registry_close(&registry);
}

TEST_MAIN(TEST_SLOW(test_serialization_failures, 120), TEST_SLOW(test_some_answers_are_lost, 120),
          TEST_SLOW(test_server_stays_away, 120))
