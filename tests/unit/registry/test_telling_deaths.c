// SPDX-License-Identifier: Apache-2.0
//
// A change and its entry in the audit log, with a process that ends at each of its syncs, or has
// one that fails, or ends after that: once the next change was made, every version that was ever
// numbered has exactly one entry that holds, and every entry that holds has its version; of keys
// and policies too.
#include "registry/tp_identity_store.h"
#include "telling_cases.h"
#include "test.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <tapeout/gate.h>
#include <unistd.h>

enum { DIED = 9 };

typedef enum accident { NONE, DEATH, FAILURE, FAILURE_AND_DEATH } accident;

static accident what_happens;
static int happens_at;
static int sync_count;

// -- our own syncs -------------------------------------------------------------------------------
// Visible to SQLite too, which is a library of its own. Nothing here needs a disk that syncs.
__attribute__((visibility("default"))) int fdatasync(int fd)
{
    (void)fd;
    if (what_happens == NONE || ++sync_count != happens_at) {
        return 0;
    }
    if (what_happens == DEATH) {
        _exit(DIED);
    }
    errno = EIO;
    return -1;
}

__attribute__((visibility("default"))) int fsync(int fd)
{
    return fdatasync(fd);
}

// -- versions ------------------------------------------------------------------------------------
// Its failures are the test's accidents.
static void change_versions(void)
{
    telling_place it = {.registry = NULL};
    if (telling_try_open(&it, NULL) == TAPEOUT_OK) {
        (void)telling_register(&it, "one", NULL);
        (void)telling_register(&it, "two", NULL);
        (void)tp_registry_remove(it.registry, TP_STR("m:1"), NULL);
        (void)telling_register(&it, "two", NULL);
    }
    if (what_happens != FAILURE_AND_DEATH) {
        telling_close(&it);
    }
}

static size_t entries_of(const telling_entries *all, uint64_t version)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        count += all->items[i].version == version;
    }
    return count;
}

static void check_rows(const telling_place *it, accident what, const telling_entries *all)
{
    tp_rows rows;
    uint64_t there = 0;
    tp_store_query(tp_registry_store(it->registry), &rows, "SELECT version, sha256 FROM versions",
                   TP_SQL_NONE);
    while (tp_rows_next(&rows)) {
        const uint64_t version = (uint64_t)tp_rows_int(&rows, 0);
        there++;
        for (size_t i = 0; i < all->count; i++) {
            ASSERT(all->items[i].version != version ||
                   tp_str_equal(tp_str_from(all->items[i].bundle), tp_rows_text(&rows, 1)));
        }
    }
    ASSERT_OK(tp_rows_close(&rows, &test_err));
    const uint64_t given = (uint64_t)cases_number(
        it->registry, "SELECT coalesce(max(last_version), 0) FROM models WHERE name = 'm'");
    for (uint64_t version = 1; version <= given; version++) {
        if (entries_of(all, version) != 1) {
            test_fail(__FILE__, __LINE__, "%s at sync %d: %zu entries hold of version %llu",
                      what == DEATH ? "a death" : "a failure", happens_at, entries_of(all, version),
                      (unsigned long long)version);
        }
    }
    ASSERT_EQ_UINT(all->count, given + entries_of(all, 0)); // of no version that there never was
    ASSERT_EQ_UINT(entries_of(all, 0), given - there);
}

// -- who may come in, and what the gate asks ------------------------------------------------------
static void prepare_access(void)
{
    tapeout_context *context = telling_context();
    tp_identity_store *store = NULL;
    ASSERT_OK(tp_identity_store_open(context, &store, &test_err));
    tp_identity_store_close(&store);
    tapeout_context_free(context);
}

static void add_key(tp_identity_store *store, const char *name)
{
    const tp_identity_row row = {.kind = TP_STR("key"),
                                 .handle = tp_str_from(name),
                                 .verifier = tp_str_from(name),
                                 .name = tp_str_from(name),
                                 .tenant = TP_STR("default"),
                                 .grants = TP_STR("viewer"),
                                 .rates = TP_STR(""),
                                 .created_us = 1};
    (void)tp_identity_store_add(store, &row, NULL);
}

static void change_access(void)
{
    tapeout_context *context = telling_context();
    tp_identity_store *store = NULL;
    char *json = NULL;
    const char *policy = cases_file(test_temp_dir(), "policy.yaml", "gated: [prod]\n");
    const tp_identity_end ended = {TP_STR("key"), TP_STR("one"), 2, 2};
    if (tp_identity_store_open(context, &store, NULL) == TAPEOUT_OK) {
        add_key(store, "one");
        add_key(store, "two");
        (void)tp_identity_store_end(store, &ended, NULL);
    }
    if (tapeout_policy_set(context, policy, "tester", &json, NULL) == TAPEOUT_OK) {
        tapeout_text_free(context, json);
    }
    if (what_happens != FAILURE_AND_DEATH) {
        tp_identity_store_close(&store);
        tapeout_context_free(context);
    }
}

static int64_t holding(const telling_entries *all, const char *kind)
{
    int64_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        count += strcmp(all->items[i].kind, kind) == 0;
    }
    return count;
}

static void check_access(const telling_place *it, accident what, const telling_entries *all)
{
    (void)what;
    ASSERT_EQ_INT(cases_number(it->registry, "SELECT count(*) FROM identities"),
                  holding(all, "key.made"));
    ASSERT_EQ_INT(
        cases_number(it->registry, "SELECT count(*) FROM identities WHERE revoked_us <> 0"),
        holding(all, "key.revoked"));
    ASSERT_EQ_INT(cases_number(it->registry, "SELECT count(*) FROM policies"),
                  holding(all, "policy.changed"));
}

// -- accidents -----------------------------------------------------------------------------------
typedef struct deeds {
    const char *name;
    void (*prepare)(void); // makes the tables, which is not what is looked at
    void (*work)(void);
    void (*check)(const telling_place *it, accident what, const telling_entries *all);
} deeds;

static void prepare_versions(void)
{
    telling_place it = telling_open();
    telling_close(&it);
}

static const deeds versions = {"versions", prepare_versions, change_versions, check_rows};
static const deeds access_rights = {"access", prepare_access, change_access, check_access};

// Whether it happened, which it does not where there are fewer syncs.
static bool let_happen(const deeds *them, accident what)
{
    int how = 0;
    const pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0) {
        them->prepare();
        what_happens = what;
        them->work();
        _exit(sync_count < happens_at ? 0 : DIED);
    }
    ASSERT_EQ_INT(waitpid(child, &how, 0), child);
    ASSERT(WIFEXITED(how) && (WEXITSTATUS(how) == 0 || WEXITSTATUS(how) == DIED));
    return WEXITSTATUS(how) == DIED;
}

static void happen_at_every_sync(const deeds *them, accident what)
{
    static telling_entries all;
    size_t taken_back = 0;
    bool has_happened = true;
    for (happens_at = 1; has_happened; happens_at++) {
        (void)snprintf(telling_home, sizeof(telling_home), "%.4000s/%s-%d-%d", test_temp_dir(),
                       them->name, (int)what, happens_at);
        has_happened = let_happen(them, what);
        telling_place it = telling_open();
        // What a server does when it starts, and then the next change.
        const tp_teller server = {.audit = it.audit, .who = TP_STR("server")};
        ASSERT_OK(tp_registry_settle(it.registry, &server, &test_err));
        ASSERT(!tp_registry_has_open_change(telling_home));
        telling_read(&all);
        them->check(&it, what, &all);
        ASSERT_OK(telling_register(&it, "last", &test_err));
        telling_read(&all);
        them->check(&it, what, &all);
        taken_back += all.taken_back;
        telling_close(&it);
    }
    ASSERT(happens_at > 8);
    // Else the moment between entry and commit was never met. PostgreSQL's syncs are its own.
    ASSERT(taken_back > 0 || (what != DEATH && cases_is_postgres()));
    (void)printf("# %d syncs, %zu entries taken back\n", happens_at - 2, taken_back);
}

static void test_deaths(void)
{
    happen_at_every_sync(&versions, DEATH);
}

static void test_failures(void)
{
    happen_at_every_sync(&versions, FAILURE);
    happen_at_every_sync(&versions, FAILURE_AND_DEATH);
}

static void test_access_too(void)
{
    if (cases_is_postgres()) {
        test_skip("a context of its own, in SQLite");
    }
    happen_at_every_sync(&access_rights, DEATH);
    happen_at_every_sync(&access_rights, FAILURE);
    happen_at_every_sync(&access_rights, FAILURE_AND_DEATH);
}

TEST_MAIN(TEST_SLOW(test_deaths, 300), TEST_SLOW(test_failures, 300),
          TEST_SLOW(test_access_too, 300))
