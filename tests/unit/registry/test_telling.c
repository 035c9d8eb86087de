// SPDX-License-Identifier: Apache-2.0
//
// A change and its entry in the audit log, with a process that ends at each of its syncs, or has
// one that fails, or ends after that: once the next change was made, every version that was ever
// numbered has exactly one entry that holds, and every entry that holds has its version. An entry
// holds unless a later one says of its deed that it was not done.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "registry/store_priv.h"
#include "registry/tp_entry.h"
#include "registry/tp_identity_store.h"
#include "registry/tp_telling.h"
#include "registry_cases.h"
#include "table/tp_json.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <tapeout/audit.h>
#include <tapeout/gate.h>
#include <time.h>
#include <unistd.h>

enum { DIED = 9, ENTRIES_MAX = 64, DEED_SIZE = 64 };

typedef enum accident { NONE, DEATH, FAILURE, FAILURE_AND_DEATH } accident;

static accident what_happens;
static int happens_at;
static int sync_count;
static char home[4200];

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

// -- the work ------------------------------------------------------------------------------------
typedef struct place {
    tp_registry *registry;
    tp_audit *audit;
} place;

static tapeout_status try_place(place *it, tapeout_error *err)
{
    TP_TRY(cases_try_open(home, TP_REGISTRY_WRITE, &it->registry, err));
    ASSERT_OK(tp_audit_open(tp_allocator_default(), home, &it->audit, &test_err));
    const tp_teller teller = {.audit = it->audit, .who = TP_STR("tester")};
    tp_registry_teller_set(it->registry, &teller);
    return TAPEOUT_OK;
}

static place open_place(void)
{
    place it = {.registry = NULL};
    ASSERT_OK(try_place(&it, &test_err));
    return it;
}

static void close_place(place *it)
{
    tp_registry_close(&it->registry);
    tp_audit_close(&it->audit);
}

static tapeout_status register_one(const place *it, const char *text, tapeout_error *err)
{
    tapeout_model_ref ref;
    const tapeout_registration what =
        cases_registration("m", cases_file(test_temp_dir(), "bundle", text));
    return tp_registry_register(it->registry, &what, &ref, err);
}

// Its failures are the test's accidents.
static void change_versions(void)
{
    place it = {.registry = NULL};
    if (try_place(&it, NULL) == TAPEOUT_OK) {
        (void)register_one(&it, "one", NULL);
        (void)register_one(&it, "two", NULL);
        (void)tp_registry_remove(it.registry, TP_STR("m:1"), NULL);
        (void)register_one(&it, "two", NULL);
    }
    if (what_happens != FAILURE_AND_DEATH) {
        close_place(&it);
    }
}

// -- what is there -------------------------------------------------------------------------------
typedef struct entry {
    char deed[DEED_SIZE];
    char kind[TP_MAX_AUDIT_KIND_BYTES + 1];
    char bundle[TP_SHA256_HEX_SIZE + 1];
    uint64_t version; // 0: a removal
} entry;

typedef struct entries {
    entry items[ENTRIES_MAX];
    size_t count;
    size_t taken_back;
} entries;

static void take_back(entries *all, tp_str deed)
{
    size_t kept = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (!tp_str_equal(tp_str_from(all->items[i].deed), deed)) {
            all->items[kept++] = all->items[i];
        }
    }
    all->taken_back += all->count - kept;
    all->count = kept;
}

static tapeout_status note_entry(void *user, const char *line, size_t size, tapeout_error *err)
{
    entries *all = user;
    yyjson_doc *doc = NULL;
    TP_TRY(tp_json_parse(tp_allocator_default(), (tp_str){line, size}, "entry", &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *what = yyjson_obj_get(root, "what");
    const tp_str kind = tp_json_get_str(root, "kind");
    const tp_str deed = tp_json_get_str(what, "deed");
    ASSERT(deed.size > 0 && deed.size < DEED_SIZE);
    if (tp_str_equal(kind, TP_STR("change.not_done"))) {
        take_back(all, deed);
    } else {
        ASSERT(all->count < ENTRIES_MAX);
        entry *it = &all->items[all->count++];
        const tp_str bundle = tp_json_get_str(what, "bundle");
        const tp_str version = tp_json_get_str(what, "version");
        *it = (entry){.version = 0};
        memcpy(it->deed, deed.data, deed.size);
        memcpy(it->kind, kind.data, kind.size);
        if (bundle.size > 0) { // a removal has none
            memcpy(it->bundle, bundle.data, bundle.size);
        }
        ASSERT(version.size == 0 || tp_str_to_uint64(version, &it->version));
    }
    yyjson_doc_free(doc);
    return TAPEOUT_OK;
}

static tapeout_context *open_context(void)
{
    tapeout_context_options options;
    tapeout_context *context = NULL;
    tapeout_context_options_init(&options);
    options.home = home;
    options.thread_count = 1;
    ASSERT_OK(tapeout_context_new(&options, &context, &test_err));
    return context;
}

static void list_log(tapeout_write_fn visit, void *user)
{
    tapeout_audit_list_options list;
    tapeout_context *context = open_context();
    tapeout_audit_list_options_init(&list);
    ASSERT_OK(tapeout_audit_list(context, &list, visit, user, &test_err));
    tapeout_context_free(context);
}

static void read_log(entries *ret_all)
{
    ret_all->count = 0;
    ret_all->taken_back = 0;
    list_log(note_entry, ret_all);
}

static size_t entries_of(const entries *all, uint64_t version)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        count += all->items[i].version == version;
    }
    return count;
}

static void check_rows(const place *it, accident what, const entries *all)
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
    tapeout_context *context = open_context();
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
    tapeout_context *context = open_context();
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

static int64_t holding(const entries *all, const char *kind)
{
    int64_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        count += strcmp(all->items[i].kind, kind) == 0;
    }
    return count;
}

static void check_access(const place *it, accident what, const entries *all)
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
    void (*check)(const place *it, accident what, const entries *all);
} deeds;

static void prepare_versions(void)
{
    place it = open_place();
    close_place(&it);
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
    static entries all;
    size_t taken_back = 0;
    bool has_happened = true;
    for (happens_at = 1; has_happened; happens_at++) {
        (void)snprintf(home, sizeof(home), "%.4000s/%s-%d-%d", test_temp_dir(), them->name,
                       (int)what, happens_at);
        has_happened = let_happen(them, what);
        place it = open_place();
        // What a server does when it starts, and then the next change.
        const tp_teller server = {.audit = it.audit, .who = TP_STR("server")};
        ASSERT_OK(tp_registry_settle(it.registry, &server, &test_err));
        ASSERT(!tp_registry_has_open_change(home));
        read_log(&all);
        them->check(&it, what, &all);
        ASSERT_OK(register_one(&it, "last", &test_err));
        read_log(&all);
        them->check(&it, what, &all);
        taken_back += all.taken_back;
        close_place(&it);
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

// -- without accidents ---------------------------------------------------------------------------
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
    static entries all;
    (void)snprintf(home, sizeof(home), "%.4000s/quiet", test_temp_dir());
    place it = open_place();
    tp_telling telling = {.kind = "model.tagged"};
    ASSERT_OK(register_one(&it, "one", &test_err));
    ASSERT_OK(tp_registry_transact(it.registry, TP_STORE_ROWS, change_nothing, NULL, &telling,
                                   &test_err));
    ASSERT_FAILS(
        tp_registry_transact(it.registry, TP_STORE_ROWS, refuse, &telling, &telling, &test_err),
        TAPEOUT_E_GATE, "no");
    read_log(&all);
    ASSERT_EQ_UINT(all.count, 1);
    ASSERT_EQ_UINT(all.taken_back, 0);
    close_place(&it);
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
    (void)snprintf(home, sizeof(home), "%.4000s/whole", test_temp_dir());
    place it = open_place();
    tp_telling telling = {.kind = "model.promoted"};
    ASSERT_OK(tp_registry_transact(it.registry, TP_STORE_ALONE, give_object, &telling, &telling,
                                   &test_err));
    list_log(look_at_object, &count);
    ASSERT_EQ_INT(count, 1);
    close_place(&it);
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
    static entries all;
    (void)snprintf(home, sizeof(home), "%.4000s/uncommitted", test_temp_dir());
    place it = open_place();
    tp_telling telling = {.kind = "model.tagged"};
    ASSERT_FAILS(tp_registry_transact(it.registry, TP_STORE_ROWS, end_transaction, &telling,
                                      &telling, &test_err),
                 TAPEOUT_E_INTERNAL, "nothing that could be committed");
    read_log(&all);
    ASSERT_EQ_UINT(all.count, 0);
    ASSERT_EQ_UINT(all.taken_back, 1); // at once
    close_place(&it);
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
    static entries all;
    (void)snprintf(home, sizeof(home), "%.4000s/%s", test_temp_dir(), name);
    place it = open_place();
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
    read_log(&all);
    ASSERT_EQ_UINT(all.count, 1);
    const tp_teller server = {.audit = it.audit, .who = TP_STR("server")};
    ASSERT_OK(tp_registry_settle(it.registry, &server, &test_err));
    read_log(&all);
    ASSERT_EQ_UINT(all.count, has_committed);
    ASSERT_EQ_UINT(all.taken_back, !has_committed);
    close_place(&it);
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
    static entries all;
    second_thought it = {.telling = {.kind = "model.tagged"}};
    (void)snprintf(home, sizeof(home), "%.4000s/twice", test_temp_dir());
    place where = open_place();
    ASSERT_OK(tp_registry_transact(where.registry, TP_STORE_ROWS, think_twice, &it, &it.telling,
                                   &test_err));
    ASSERT_EQ_INT(it.attempts, 2);
    read_log(&all);
    ASSERT_EQ_UINT(all.count, 0);
    ASSERT_EQ_UINT(all.taken_back, 1);
    close_place(&where);
}

// Who is stopped in the middle of a change keeps nobody waiting for ever.
static void test_somebody_else_changes(void)
{
    char path[4300];
    (void)snprintf(home, sizeof(home), "%.4000s/held", test_temp_dir());
    place it = open_place();
    ASSERT_OK(register_one(&it, "one", &test_err));
    (void)snprintf(path, sizeof(path), "%s/changes", home);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    ASSERT(fd >= 0 && flock(fd, LOCK_EX) == 0);
    has_no_patience = true;
    ASSERT_FAILS(register_one(&it, "two", &test_err), TAPEOUT_E_BUSY, "another process");
    has_no_patience = false;
    ASSERT_EQ_UINT(slept_ms, TP_REGISTRY_BUSY_MS);
    ASSERT_EQ_INT(close(fd), 0);
    ASSERT_OK(register_one(&it, "two", &test_err));
    close_place(&it);
}

static void write_changes(const char *text)
{
    char path[4300];
    (void)snprintf(path, sizeof(path), "%s/changes", home);
    FILE *file = fopen(path, "r+");
    ASSERT(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void test_damaged(void)
{
    (void)snprintf(home, sizeof(home), "%.4000s/damaged", test_temp_dir());
    place it = open_place();
    ASSERT_OK(register_one(&it, "one", &test_err));
    write_changes("0123456789abcdef0123456789abcdef 0000000000000000000x done ");
    ASSERT_FAILS(register_one(&it, "two", &test_err), TAPEOUT_E_CORRUPT, "damaged");
    write_changes("0123456789abcdef0123456789abcdef 00000000000000000001 shut ");
    ASSERT_FAILS(register_one(&it, "two", &test_err), TAPEOUT_E_CORRUPT, "damaged");
    ASSERT_EQ_INT(cases_number(it.registry, "SELECT count(*) FROM versions"), 1);
    close_place(&it);
}

TEST_MAIN(TEST_SLOW(test_deaths, 300), TEST_SLOW(test_failures, 300),
          TEST_SLOW(test_access_too, 300), TEST(test_nothing_to_say), TEST(test_whole_object),
          TEST(test_commit_fails), TEST(test_answer_is_lost), TEST(test_nothing_to_do_any_more),
          TEST(test_somebody_else_changes), TEST(test_damaged))
