// SPDX-License-Identifier: Apache-2.0
//
// kill -9 at any moment under several processes that register, promote and go back, in one registry
// and one audit log: what was acknowledged is in both, once and whole, and the two agree. A killed
// process may have told of one thing that it did not do; the next change takes that back, so that
// every version and every move has its entry and every entry its version or move. 100 kills, 1,000
// in the full run, four a round.
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_random.h"
#include "bundle/tp_bundle.h"
#include "registry/tp_registry.h"
#include "registry/tp_store.h"
#include "table/tp_json.h"
#include "test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tapeout/audit.h>
#include <tapeout/gate.h>
#include <tapeout/registry.h>
#include <time.h>
#include <unistd.h>

enum { WRITERS = 4, ROUND_MAX = 4096, ALL_MAX = 1 << 20, WORD_SIZE = 80 };

// One thing that was done: a registration by version and hash, or a move by its reason, which
// nobody else gives.
typedef struct deed {
    uint64_t version; // 0: a move
    char word[WORD_SIZE];
    char name[WORD_SIZE]; // of an entry that the next change may take back
} deed;

typedef struct deeds {
    deed items[ROUND_MAX];
    size_t count;
} deeds;

static char home[4200];

static tapeout_context *open_context(void)
{
    tapeout_context_options options;
    tapeout_context_options_init(&options);
    options.home = home;
    options.thread_count = 1;
    tapeout_context *context = NULL;
    ASSERT_OK(tapeout_context_new(&options, &context, &test_err));
    return context;
}

// -- the writers ---------------------------------------------------------------------------------
static void acknowledge(int out, const deed *what)
{
    if (write(out, what, sizeof(*what)) != (ssize_t)sizeof(*what)) {
        _exit(3);
    }
}

static uint64_t register_one(tapeout_context *context, const char *word, int out, int writer)
{
    char path[4300];
    (void)snprintf(path, sizeof(path), "%s-bundle-%d", home, writer);
    FILE *file = fopen(path, "w");
    if (file == NULL || fputs(word, file) < 0 || fclose(file) != 0) {
        _exit(4);
    }
    tapeout_registration what;
    tapeout_registration_init(&what);
    what.name = "m";
    what.bundle = path;
    tapeout_model_ref ref;
    if (tapeout_registry_register(context, &what, &ref, NULL) != TAPEOUT_OK) {
        _exit(5);
    }
    deed done = {.version = ref.version};
    (void)snprintf(done.word, sizeof(done.word), "%s", ref.sha256);
    acknowledge(out, &done);
    return ref.version;
}

// An alias of one's own always moves; for the one that all want somebody may have been quicker.
static void move(tapeout_context *context, const char *alias, uint64_t version, const char *word,
                 int out)
{
    char model[40];
    char *json = NULL;
    tapeout_decision decision;
    tapeout_decision_init(&decision);
    (void)snprintf(model, sizeof(model), "m:%llu", (unsigned long long)version);
    decision.model = version == 0 ? "m" : model;
    decision.alias = alias;
    decision.by = "tester";
    decision.reason = word;
    const tapeout_status status = version == 0 ? tapeout_rollback(context, &decision, &json, NULL)
                                               : tapeout_promote(context, &decision, &json, NULL);
    tapeout_text_free(context, json);
    const bool is_late = status == TAPEOUT_E_BUSY || status == TAPEOUT_E_DENIED;
    if (status != TAPEOUT_OK && !(is_late && strcmp(alias, "live") == 0)) {
        _exit(6);
    }
    if (status == TAPEOUT_OK) {
        deed done = {.version = 0};
        (void)snprintf(done.word, sizeof(done.word), "%s", word);
        acknowledge(out, &done);
    }
}

_Noreturn static void write_for_ever(int out, int round, int writer)
{
    tapeout_context *context = open_context();
    char alias[16];
    char word[48];
    (void)snprintf(alias, sizeof(alias), "own-%d", writer);
    for (int i = 0;; i++) {
        (void)snprintf(word, sizeof(word), "r%d-w%d-%d", round, writer, i);
        const uint64_t version = register_one(context, word, out, writer);
        move(context, alias, version, word, out);
        (void)snprintf(word, sizeof(word), "r%d-w%d-%d-live", round, writer, i);
        move(context, "live", version, word, out);
        if (i > 0 && i % 3 == 0) {
            (void)snprintf(word, sizeof(word), "r%d-w%d-%d-back", round, writer, i);
            move(context, alias, 0, word, out);
        }
    }
}

// -- what is there -------------------------------------------------------------------------------
static deed *add(deeds *all)
{
    ASSERT(all->count < ROUND_MAX);
    deed *it = &all->items[all->count++];
    memset(it, 0, sizeof(*it));
    return it;
}

static size_t count_of(const deeds *all, const deed *wanted)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        count += all->items[i].version == wanted->version &&
                 strcmp(all->items[i].word, wanted->word) == 0;
    }
    return count;
}

// The rows that have come since, moves in their order; returns the last version.
static uint64_t read_rows(tp_registry *registry, uint64_t last_version, int64_t *last_move,
                          deeds *ret_rows)
{
    tp_store *store = tp_registry_store(registry);
    tp_rows rows;
    ret_rows->count = 0;
    tp_store_query(store, &rows,
                   "SELECT version, sha256 FROM versions WHERE version > $1 ORDER BY version",
                   TP_SQL(tp_sql_int((int64_t)last_version)));
    while (tp_rows_next(&rows)) {
        deed *it = add(ret_rows);
        const tp_str hash = tp_rows_text(&rows, 1);
        it->version = (uint64_t)tp_rows_int(&rows, 0);
        memcpy(it->word, hash.data, hash.size);
        ASSERT_EQ_UINT(it->version, last_version + ret_rows->count); // no gap
    }
    ASSERT_OK(tp_rows_close(&rows, &test_err));
    last_version += ret_rows->count;
    tp_store_query(store, &rows, "SELECT id, evidence FROM alias_moves WHERE id > $1 ORDER BY id",
                   TP_SQL(tp_sql_int(*last_move)));
    while (tp_rows_next(&rows)) {
        yyjson_doc *doc = NULL;
        *last_move = tp_rows_int(&rows, 0);
        ASSERT_OK(tp_json_parse(tp_allocator_default(), tp_rows_text(&rows, 1), "evidence", &doc,
                                &test_err));
        const tp_str reason = tp_json_get_str(yyjson_doc_get_root(doc), "reason");
        memcpy(add(ret_rows)->word, reason.data, reason.size);
        yyjson_doc_free(doc);
    }
    ASSERT_OK(tp_rows_close(&rows, &test_err));
    return last_version;
}

typedef struct log_reading {
    deeds *entries;
    uint64_t next; // sequence of the entry after the last
} log_reading;

static void take_back(deeds *all, tp_str name)
{
    size_t kept = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (!tp_str_equal(tp_str_from(all->items[i].name), name)) {
            all->items[kept++] = all->items[i];
        }
    }
    all->count = kept;
}

static tapeout_status note_entry(void *user, const char *line, size_t size, tapeout_error *err)
{
    log_reading *reading = user;
    yyjson_doc *doc = NULL;
    TP_TRY(tp_json_parse(tp_allocator_default(), (tp_str){line, size}, "entry", &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *what = yyjson_obj_get(root, "what");
    const tp_str kind = tp_json_get_str(root, "kind");
    const bool is_version = tp_str_equal(kind, TP_STR("model.registered"));
    ASSERT_EQ_UINT(yyjson_get_uint(yyjson_obj_get(root, "seq")), reading->next);
    reading->next++;
    if (is_version || tp_str_equal(kind, TP_STR("model.promoted")) ||
        tp_str_equal(kind, TP_STR("model.rolled_back"))) {
        const tp_str word = tp_json_get_str(what, is_version ? "bundle" : "reason");
        deed *it = add(reading->entries);
        memcpy(it->word, word.data, word.size);
        ASSERT(!is_version || tp_str_to_uint64(tp_json_get_str(what, "version"), &it->version));
        const tp_str name = tp_json_get_str(what, "deed");
        ASSERT(name.size > 0 && name.size < sizeof(it->name));
        memcpy(it->name, name.data, name.size);
    } else if (tp_str_equal(kind, TP_STR("change.not_done"))) {
        take_back(reading->entries, tp_json_get_str(what, "deed"));
    }
    yyjson_doc_free(doc);
    return TAPEOUT_OK;
}

static void read_log(uint64_t *next, deeds *ret_entries)
{
    tapeout_context *context = open_context();
    tapeout_audit_list_options list;
    tapeout_audit_list_options_init(&list);
    list.since = *next;
    ret_entries->count = 0;
    log_reading reading = {ret_entries, *next};
    ASSERT_OK(tapeout_audit_list(context, &list, note_entry, &reading, &test_err));
    *next = reading.next;
    tapeout_context_free(context);
}

static void verify_log(void)
{
    tapeout_context *context = open_context();
    tapeout_audit_verify_options options;
    tapeout_audit_verify_options_init(&options);
    char *json = NULL;
    ASSERT_OK(tapeout_audit_verify(context, &options, &json, &test_err));
    tapeout_text_free(context, json);
    tapeout_context_free(context);
}

// -- the two compared ----------------------------------------------------------------------------
static void check_blob(tp_registry *registry, const deed *told)
{
    char model[40];
    char hex[TP_SHA256_HEX_SIZE + 1];
    tapeout_model_ref ref;
    tp_sha256 hash;
    (void)snprintf(model, sizeof(model), "m:%llu", (unsigned long long)told->version);
    ASSERT_OK(tp_registry_resolve(registry, tp_str_from(model), &ref, &test_err));
    ASSERT_EQ_STR(ref.sha256, told->word);
    ASSERT_OK(tp_sha256_file(ref.path, &hash, &test_err));
    tp_sha256_hex(&hash, hex);
    ASSERT_EQ_STR(hex, told->word);
}

// Moves that happened stand in the log, each once and in the same order.
static void check_order(const deeds *rows, const deeds *entries)
{
    size_t at = 0;
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->items[i].version != 0) {
            continue;
        }
        while (at < entries->count && (entries->items[at].version != 0 ||
                                       strcmp(entries->items[at].word, rows->items[i].word) != 0)) {
            at++;
        }
        if (at++ == entries->count) {
            test_fail(__FILE__, __LINE__, "the move %s is not in the log, or out of order",
                      rows->items[i].word);
        }
    }
}

static void compare(tp_registry *registry, const deeds *told, const deeds *rows,
                    const deeds *entries)
{
    for (size_t i = 0; i < told->count; i++) {
        ASSERT_EQ_UINT(count_of(rows, &told->items[i]), 1);
        ASSERT_EQ_UINT(count_of(entries, &told->items[i]), 1);
        if (told->items[i].version != 0) {
            check_blob(registry, &told->items[i]);
        }
    }
    for (size_t i = 0; i < rows->count; i++) {
        ASSERT_EQ_UINT(count_of(entries, &rows->items[i]), 1);
    }
    for (size_t i = 0; i < entries->count; i++) {
        ASSERT_EQ_UINT(count_of(rows, &entries->items[i]), 1);
    }
    ASSERT(rows->count - told->count <= WRITERS);
    check_order(rows, entries);
}

// -- the kills -----------------------------------------------------------------------------------
static void sleep_us(uint64_t us)
{
    (void)nanosleep(&(struct timespec){.tv_sec = (time_t)(us / 1000000),
                                       .tv_nsec = (long)(us % 1000000) * 1000},
                    NULL);
}

// The next change, which is none of versions or moves.
static void change_once(int round)
{
    tapeout_context *context = open_context();
    char value[16];
    (void)snprintf(value, sizeof(value), "%d", round);
    const tapeout_status status = tapeout_registry_tag(context, "m", "round", value, &test_err);
    ASSERT(status == TAPEOUT_OK || (status == TAPEOUT_E_NOT_FOUND && round == 0));
    tapeout_context_free(context);
}

// Starts all writers and kills one after the other, each at a moment of its own.
static void kill_all(int round, uint64_t span_us, deeds *ret_told)
{
    int ends[2];
    pid_t children[WRITERS];
    ASSERT_EQ_INT(pipe(ends), 0);
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        ASSERT(children[i] >= 0);
        if (children[i] == 0) {
            (void)close(ends[0]);
            write_for_ever(ends[1], round, i);
        }
    }
    (void)close(ends[1]);
    sleep_us(2000 + tp_random_below(5, 0, (uint64_t)round, span_us));
    for (int i = 0; i < WRITERS; i++) {
        int how = 0;
        ASSERT_EQ_INT(kill(children[i], SIGKILL), 0);
        ASSERT_EQ_INT(waitpid(children[i], &how, 0), children[i]);
        ASSERT(WIFSIGNALED(how)); // it did not fail by itself
        sleep_us(tp_random_below(5, 1 + (uint64_t)i, (uint64_t)round, span_us / 8));
    }
    ret_told->count = 0;
    deed it;
    while (read(ends[0], &it, sizeof(it)) == (ssize_t)sizeof(it)) {
        *add(ret_told) = it;
    }
    (void)close(ends[0]);
}

static void test_kills(void)
{
    static deeds told;
    static deeds rows;
    static deeds entries;
    static deed all[ALL_MAX];
    size_t all_count = 0;
    uint64_t last_version = 0;
    uint64_t next_entry = 0;
    int64_t last_move = 0;
    uint64_t span_us = 100000; // the time of a few deeds, however slow the machine is
    const int rounds = getenv("TAPEOUT_TEST_FULL") != NULL ? 1000 / WRITERS : 25;
    (void)snprintf(home, sizeof(home), "%s/home", test_temp_dir());
    for (int round = 0; round < rounds; round++) {
        kill_all(round, span_us, &told);
        if (round % 20 == 0) {
            verify_log(); // before anybody heals it
        }
        change_once(round);
        tp_registry *registry = NULL;
        ASSERT_OK(tp_registry_open(tp_allocator_default(), home, TP_REGISTRY_WRITE, &registry,
                                   &test_err));
        last_version = read_rows(registry, last_version, &last_move, &rows);
        read_log(&next_entry, &entries);
        compare(registry, &told, &rows, &entries);
        tp_registry_close(&registry);
        ASSERT(all_count + told.count <= ALL_MAX);
        memcpy(&all[all_count], told.items, told.count * sizeof(deed));
        all_count += told.count;
        span_us = told.count < 4 && span_us < 4000000 ? span_us * 2 : span_us;
        span_us = told.count > 80 ? span_us / 2 : span_us;
    }
    tp_registry *registry = NULL;
    ASSERT_OK(
        tp_registry_open(tp_allocator_default(), home, TP_REGISTRY_READ, &registry, &test_err));
    for (size_t i = 0; i < all_count; i++) { // and the earlier ones still
        if (all[i].version != 0) {
            check_blob(registry, &all[i]);
        }
    }
    tp_registry_close(&registry);
    verify_log();
    (void)printf("# %d kills, %zu acknowledged, %llu versions, %lld moves, %llu entries\n",
                 rounds * WRITERS, all_count, (unsigned long long)last_version,
                 (long long)last_move, (unsigned long long)next_entry);
    ASSERT(all_count > (size_t)rounds);
}

TEST_MAIN(TEST_SLOW(test_kills, 3000))
