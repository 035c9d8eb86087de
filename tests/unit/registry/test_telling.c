// SPDX-License-Identifier: Apache-2.0
//
// A change and its entry in the audit log where the transaction says nothing, is refused, is done
// again, or has an answer that is lost, and what is told of a damaged note.
#include "base/tp_error.h"
#include "registry/store_priv.h"
#include "registry/tp_entry.h"
#include "table/tp_json.h"
#include "telling_cases.h"
#include "test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// -- our own waits -------------------------------------------------------------------------------
static bool has_no_patience; // time flies, and is counted

static uint64_t slept_ms;

__attribute__((visibility("default"))) int nanosleep(const struct timespec *time,
                                                     struct timespec *ret_left)
{
    if (!has_no_patience) {
        return (int)syscall(SYS_nanosleep, time, ret_left);
    }
    slept_ms += (uint64_t)time->tv_nsec / 1000000;
    return 0;
}

// -- what is said --------------------------------------------------------------------------------
static tapeout_status change_nothing(tp_store *store, void *user, tapeout_error *err)
{
    (void)store;
    (void)user;
    (void)err;
    return TAPEOUT_OK;
}

static tapeout_status refuse(tp_store *store, void *user, tapeout_error *err)
{
    (void)store;
    tp_telling_add(user, "model", TP_STR("m"));
    return tp_fail(err, TAPEOUT_E_GATE, "no");
}

static void test_nothing_to_say(void)
{
    static telling_entries all;
    (void)snprintf(telling_home, sizeof(telling_home), "%.4000s/quiet", test_temp_dir());
    telling_place it = telling_open();
    tp_telling telling = {.kind = "model.tagged"};
    ASSERT_OK(telling_register(&it, "one", &test_err));
    ASSERT_OK(tp_registry_transact(it.registry, TP_STORE_ROWS, change_nothing, NULL, &telling,
                                   &test_err));
    ASSERT_FAILS(
        tp_registry_transact(it.registry, TP_STORE_ROWS, refuse, &telling, &telling, &test_err),
        TAPEOUT_E_GATE, "no");
    telling_read(&all);
    ASSERT_EQ_UINT(all.count, 1);
    ASSERT_EQ_UINT(all.taken_back, 0);
    telling_close(&it);
}

static tapeout_status give_object(tp_store *store, void *user, tapeout_error *err)
{
    tp_telling *telling = user;
    (void)store;
    (void)err;
    telling->what = TP_STR("{\"model\":\"m\",\"version\":7,\"bundle\":\"b\"}");
    return TAPEOUT_OK;
}

static tapeout_status look_at_object(void *user, const char *line, size_t size, tapeout_error *err)
{
    (void)err;
    const tp_str want =
        TP_STR("\"what\":{\"model\":\"m\",\"version\":7,\"bundle\":\"b\",\"deed\":\"");
    ASSERT(tp_str_contains((tp_str){line, size}, want));
    ASSERT(tp_str_contains((tp_str){line, size}, TP_STR("\"who\":\"tester\"")));
    ++*(int *)user;
    return TAPEOUT_OK;
}

static void test_whole_object(void)
{
    int count = 0;
    (void)snprintf(telling_home, sizeof(telling_home), "%.4000s/whole", test_temp_dir());
    telling_place it = telling_open();
    tp_telling telling = {.kind = "model.promoted"};
    ASSERT_OK(tp_registry_transact(it.registry, TP_STORE_ALONE, give_object, &telling, &telling,
                                   &test_err));
    telling_list(look_at_object, &count);
    ASSERT_EQ_INT(count, 1);
    telling_close(&it);
}

static tapeout_status end_transaction(tp_store *store, void *user, tapeout_error *err)
{
    (void)err;
    tp_store_rollback(store); // so that there is nothing to commit
    tp_telling_add(user, "model", TP_STR("m"));
    return TAPEOUT_OK;
}

static void test_commit_fails(void)
{
    static telling_entries all;
    (void)snprintf(telling_home, sizeof(telling_home), "%.4000s/uncommitted", test_temp_dir());
    telling_place it = telling_open();
    tp_telling telling = {.kind = "model.tagged"};
    ASSERT_FAILS(tp_registry_transact(it.registry, TP_STORE_ROWS, end_transaction, &telling,
                                      &telling, &test_err),
                 TAPEOUT_E_INTERNAL, "nothing that could be committed");
    telling_read(&all);
    ASSERT_EQ_UINT(all.count, 0);
    ASSERT_EQ_UINT(all.taken_back, 1); // at once
    telling_close(&it);
}

static const tp_store_driver *true_driver;

static tapeout_status commit_without_answer(tp_store *store, tapeout_error *err)
{
    ASSERT_OK(true_driver->commit(store, &test_err));
    return tp_fail(err, TAPEOUT_E_UNKNOWN, "no answer");
}

static tapeout_status neither_commit_nor_answer(tp_store *store, tapeout_error *err)
{
    true_driver->rollback(store);
    return tp_fail(err, TAPEOUT_E_UNKNOWN, "no answer");
}

static tapeout_status say_model(tp_store *store, void *user, tapeout_error *err)
{
    (void)store, (void)err;
    tp_telling_add(user, "model", TP_STR("m"));
    return TAPEOUT_OK;
}

// While nobody knows, the entry stands; who asks later keeps it or takes it back.
static void lose_answer(const char *name, bool has_committed)
{
    static telling_entries all;
    (void)snprintf(telling_home, sizeof(telling_home), "%.4000s/%s", test_temp_dir(), name);
    telling_place it = telling_open();
    tp_store *store = tp_registry_store(it.registry);
    true_driver = store->driver;
    tp_store_driver losing = *true_driver;
    losing.commit = has_committed ? commit_without_answer : neither_commit_nor_answer;
    store->driver = &losing;
    tp_telling telling = {.kind = "model.tagged"};
    ASSERT_EQ_INT(
        tp_registry_transact(it.registry, TP_STORE_ROWS, say_model, &telling, &telling, &test_err),
        TAPEOUT_E_UNKNOWN);
    store->driver = true_driver;
    telling_read(&all);
    ASSERT_EQ_UINT(all.count, 1);
    const tp_teller server = {.audit = it.audit, .who = TP_STR("server")};
    ASSERT_OK(tp_registry_settle(it.registry, &server, &test_err));
    telling_read(&all);
    ASSERT_EQ_UINT(all.count, has_committed);
    ASSERT_EQ_UINT(all.taken_back, !has_committed);
    telling_close(&it);
}

static void test_answer_is_lost(void)
{
    lose_answer("lost-before", false);
    lose_answer("lost-after", true);
}

static tapeout_status refuse_commit(tp_store *store, tapeout_error *err)
{
    store->driver->rollback(store);
    store->wants_retry = true;
    return tp_fail(err, TAPEOUT_E_BUSY, "once more");
}

typedef struct second_thought {
    tp_telling telling;
    const tp_store_driver *driver;
    tp_store_driver refusing; // the commit of the first attempt
    int attempts;
} second_thought;

static tapeout_status think_twice(tp_store *store, void *user, tapeout_error *err)
{
    second_thought *it = user;
    (void)err;
    if (it->attempts++ > 0) {
        store->driver = it->driver;
        return TAPEOUT_OK;
    }
    it->driver = store->driver;
    it->refusing = *store->driver;
    it->refusing.commit = refuse_commit;
    store->driver = &it->refusing;
    tp_telling_add(&it->telling, "model", TP_STR("m"));
    return TAPEOUT_OK;
}

// What the first attempt told is taken back where the second finds that there is nothing to do.
static void test_nothing_to_do_any_more(void)
{
    static telling_entries all;
    second_thought it = {.telling = {.kind = "model.tagged"}};
    (void)snprintf(telling_home, sizeof(telling_home), "%.4000s/twice", test_temp_dir());
    telling_place where = telling_open();
    ASSERT_OK(tp_registry_transact(where.registry, TP_STORE_ROWS, think_twice, &it, &it.telling,
                                   &test_err));
    ASSERT_EQ_INT(it.attempts, 2);
    telling_read(&all);
    ASSERT_EQ_UINT(all.count, 0);
    ASSERT_EQ_UINT(all.taken_back, 1);
    telling_close(&where);
}

// Who is stopped in the middle of a change keeps nobody waiting for ever.
static void test_somebody_else_changes(void)
{
    char path[4300];
    (void)snprintf(telling_home, sizeof(telling_home), "%.4000s/held", test_temp_dir());
    telling_place it = telling_open();
    ASSERT_OK(telling_register(&it, "one", &test_err));
    (void)snprintf(path, sizeof(path), "%s/changes", telling_home);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    ASSERT(fd >= 0 && flock(fd, LOCK_EX) == 0);
    has_no_patience = true;
    ASSERT_FAILS(telling_register(&it, "two", &test_err), TAPEOUT_E_BUSY, "another process");
    has_no_patience = false;
    ASSERT_EQ_UINT(slept_ms, TP_REGISTRY_BUSY_MS);
    ASSERT_EQ_INT(close(fd), 0);
    ASSERT_OK(telling_register(&it, "two", &test_err));
    telling_close(&it);
}

static void write_changes(const char *text)
{
    char path[4300];
    (void)snprintf(path, sizeof(path), "%s/changes", telling_home);
    FILE *file = fopen(path, "r+");
    ASSERT(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void test_damaged(void)
{
    (void)snprintf(telling_home, sizeof(telling_home), "%.4000s/damaged", test_temp_dir());
    telling_place it = telling_open();
    ASSERT_OK(telling_register(&it, "one", &test_err));
    write_changes("0123456789abcdef0123456789abcdef 0000000000000000000x done ");
    ASSERT_FAILS(telling_register(&it, "two", &test_err), TAPEOUT_E_CORRUPT, "damaged");
    write_changes("0123456789abcdef0123456789abcdef 00000000000000000001 shut ");
    ASSERT_FAILS(telling_register(&it, "two", &test_err), TAPEOUT_E_CORRUPT, "damaged");
    ASSERT_EQ_INT(cases_number(it.registry, "SELECT count(*) FROM versions"), 1);
    telling_close(&it);
}

TEST_MAIN(TEST(test_nothing_to_say), TEST(test_whole_object), TEST(test_commit_fails),
          TEST(test_answer_is_lost), TEST(test_nothing_to_do_any_more),
          TEST(test_somebody_else_changes), TEST(test_damaged))
