// SPDX-License-Identifier: Apache-2.0
//
// Models, versions, tags, aliases, origins and answers, one by one and by many at once.
#include "registry/tp_entry.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_random.h"
#include "registry_cases.h"
#include "test.h"

#include <pthread.h>
#include <string.h>

static tp_store *begin(tp_registry *registry)
{
    tp_store *store = tp_registry_store(registry);
    ASSERT_OK(tp_store_begin(store, TP_STORE_ALONE, &test_err));
    return store;
}

static void commit(tp_store *store)
{
    ASSERT_OK(tp_store_commit(store, &test_err));
}

static tp_version_facts version_facts(const char *model)
{
    return (tp_version_facts){.model = tp_str_from(model), .now_us = 5};
}

static void make_versions(tp_registry *registry, const char *model, int count)
{
    tp_store *store = begin(registry);
    for (int i = 0; i < count; i++) {
        const tp_version_facts facts = version_facts(model);
        tp_entry entry;
        ASSERT_OK(tp_version_create(store, &facts, &entry, &test_err));
    }
    commit(store);
}

static tp_model_facts model_facts(const char *name)
{
    return (tp_model_facts){.name = tp_str_from(name), .owner = TP_STR("ann"), .now_us = 7};
}

// -- models --------------------------------------------------------------------------------------
static void test_models(void)
{
    tp_registry *registry = cases_open(test_temp_dir());
    tp_store *store = begin(registry);
    tp_model_facts facts = model_facts("m");
    tp_entry entry = {0};
    ASSERT_FAILS(tp_entry_find(store, TP_STR("m"), 0, &entry, &test_err), TAPEOUT_E_NOT_FOUND,
                 "no model named \"m\"");
    ASSERT_OK(tp_model_create(store, &facts, &test_err));
    ASSERT_FAILS(tp_model_create(store, &facts, &test_err), TAPEOUT_E_EXISTS, "\"m\" already");
    facts.name = TP_STR("a b");
    ASSERT_FAILS(tp_model_create(store, &facts, &test_err), TAPEOUT_E_INVALID, "no name");
    commit(store);
    // It is there without a version, and found by it.
    ASSERT(strstr(cases_list(registry), "\"name\":\"m\"") != NULL);
    ASSERT(strstr(cases_list(registry), "\"owner\":\"ann\"") != NULL);
    make_versions(registry, "m", 2);
    store = begin(registry);
    ASSERT_OK(tp_entry_find(store, TP_STR("m"), 2, &entry, &test_err));
    ASSERT_EQ_INT(entry.version, 2);
    ASSERT_FAILS(tp_entry_find(store, TP_STR("m"), 3, &entry, &test_err), TAPEOUT_E_NOT_FOUND,
                 "no version 3");
    facts = model_facts("n");
    ASSERT_OK(tp_model_create(store, &facts, &test_err));
    ASSERT_FAILS(tp_model_rename(store, TP_STR("m"), TP_STR("n"), &test_err), TAPEOUT_E_EXISTS,
                 "\"n\"");
    ASSERT_OK(tp_model_rename(store, TP_STR("m"), TP_STR("o"), &test_err));
    ASSERT_OK(tp_entry_find(store, TP_STR("o"), 2, &entry, &test_err));
    ASSERT_OK(tp_tag_set(store, &entry, TP_STR("k"), TP_STR("v"), &test_err));
    ASSERT_OK(tp_model_remove(store, TP_STR("o"), &test_err));
    ASSERT_FAILS(tp_entry_find(store, TP_STR("o"), 0, &entry, &test_err), TAPEOUT_E_NOT_FOUND, "o");
    commit(store);
    make_versions(registry, "o", 1); // its numbers go on
    ASSERT_EQ_INT(cases_number(registry, "SELECT max(version) FROM versions"), 3);
    ASSERT_EQ_INT(cases_number(registry, "SELECT count(*) FROM version_tags"), 0);
    tp_registry_close(&registry);
}

static void test_version_without_bundle(void)
{
    tp_registry *registry = cases_open(test_temp_dir());
    tp_store *store = begin(registry);
    tp_version_facts facts = version_facts("m");
    facts.run_id = TP_STR("run1");
    facts.source = TP_STR("mlflow-artifacts:/0/run1/artifacts/model");
    tp_entry entry;
    ASSERT_OK(tp_version_create(store, &facts, &entry, &test_err));
    ASSERT_EQ_INT(entry.version, 1);
    commit(store);
    tapeout_model_ref ref;
    ASSERT_FAILS(tp_registry_resolve(registry, TP_STR("m:1"), &ref, &test_err),
                 TAPEOUT_E_UNSUPPORTED, "has no bundle");
    ASSERT(strstr(cases_list(registry), "\"origins\":{\"run\":[\"run1\"]}") != NULL);
    ASSERT_OK(tp_registry_remove(registry, TP_STR("m:1"), &test_err));
    tp_registry_close(&registry);
}

// -- what people say -----------------------------------------------------------------------------
static void test_texts_and_tags(void)
{
    tp_registry *registry = cases_open(test_temp_dir());
    make_versions(registry, "m", 1);
    tp_store *store = begin(registry);
    tp_entry model;
    tp_entry version;
    ASSERT_OK(tp_entry_find(store, TP_STR("m"), 0, &model, &test_err));
    ASSERT_OK(tp_entry_find(store, TP_STR("m"), 1, &version, &test_err));
    ASSERT_OK(tp_entry_set_text(store, &model, TP_ENTRY_DESCRIPTION, TP_STR("of m"), &test_err));
    ASSERT_OK(tp_entry_set_text(store, &version, TP_ENTRY_DESCRIPTION, TP_STR("of 1"), &test_err));
    ASSERT_OK(tp_entry_set_text(store, &version, TP_ENTRY_OWNER, TP_STR("bob"), &test_err));
    ASSERT_OK(tp_entry_set_text(store, &version, TP_ENTRY_STAGE, TP_STR("Staging"), &test_err));
    ASSERT_OK(tp_tag_set(store, &model, TP_STR("k"), TP_STR("v"), &test_err));
    ASSERT_OK(tp_tag_set(store, &version, TP_STR("b"), TP_STR("2"), &test_err));
    ASSERT_OK(tp_tag_set(store, &version, TP_STR("a"), TP_STR("\"1\""), &test_err));
    ASSERT_OK(tp_tag_set(store, &version, TP_STR("b"), TP_STR("3"), &test_err));
    ASSERT_OK(tp_origin_add(store, &version, "data", TP_STR("d1"), &test_err));
    ASSERT_OK(tp_origin_add(store, &version, "data", TP_STR("d1"), &test_err));
    ASSERT_OK(tp_origin_add(store, &version, "endpoint", TP_STR("here"), &test_err));
    commit(store);
    const char *json = cases_list(registry);
    ASSERT(strstr(json, "\"description\":\"of m\",\"tags\":{\"k\":\"v\"}") != NULL);
    ASSERT(strstr(json, "\"stage\":\"Staging\",\"owner\":\"bob\",\"description\":\"of 1\","
                        "\"tags\":{\"a\":\"\\\"1\\\"\",\"b\":\"3\"},"
                        "\"origins\":{\"data\":[\"d1\"],\"endpoint\":[\"here\"]}") != NULL);
    store = begin(registry);
    ASSERT_OK(tp_tag_remove(store, &version, TP_STR("b"), &test_err));
    ASSERT_FAILS(tp_tag_remove(store, &version, TP_STR("b"), &test_err), TAPEOUT_E_NOT_FOUND,
                 "\"b\"");
    ASSERT_OK(tp_tag_remove(store, &model, TP_STR("k"), &test_err));
    ASSERT_FAILS(tp_tag_set(store, &model, TP_STR(""), TP_STR("x"), &test_err), TAPEOUT_E_INVALID,
                 "key");
    static char large[TP_MAX_TAG_VALUE_BYTES + 1];
    memset(large, 'x', sizeof(large));
    const tp_str value = {large, sizeof(large)};
    ASSERT_FAILS(tp_tag_set(store, &model, TP_STR("k"), value, &test_err), TAPEOUT_E_LIMIT,
                 "value");
    ASSERT_FAILS(tp_tag_set(store, &model, value, TP_STR("x"), &test_err), TAPEOUT_E_LIMIT, "key");
    const tp_entry none = {.model_id = model.model_id, .version = 99};
    ASSERT_FAILS(tp_entry_set_text(store, &none, TP_ENTRY_OWNER, TP_STR("x"), &test_err),
                 TAPEOUT_E_NOT_FOUND, "no such version");
    ASSERT_FAILS(tp_entry_set_text(store, &model, TP_ENTRY_STAGE, TP_STR("x"), &test_err),
                 TAPEOUT_E_NOT_FOUND, "no such version");
    tp_store_rollback(store);
    tp_registry_close(&registry);
}

// -- aliases -------------------------------------------------------------------------------------
static tp_alias_move move_to(int64_t to, int64_t from, tp_alias_kind kind)
{
    return (tp_alias_move){.model = TP_STR("m"),
                           .alias = TP_STR("staging"),
                           .kind = kind,
                           .to_version = to,
                           .from_version = from,
                           .who = TP_STR("ann"),
                           .now_us = 9};
}

static void test_alias_moves(void)
{
    tp_registry *registry = cases_open(test_temp_dir());
    make_versions(registry, "m", 3);
    tp_store *store = begin(registry);
    tp_alias_move move = move_to(1, 0, TP_ALIAS_SET);
    int64_t from = -7;
    ASSERT_OK(tp_alias_apply(store, &move, &from, &test_err));
    ASSERT_EQ_INT(from, 0);
    move = move_to(2, 1, TP_ALIAS_PROMOTE);
    move.evidence = TP_STR("[{\"got\":0.70}]");
    ASSERT_OK(tp_alias_apply(store, &move, &from, &test_err));
    ASSERT_EQ_INT(from, 1);
    ASSERT_OK(tp_alias_apply(store,
                             &(tp_alias_move){.model = TP_STR("m"),
                                              .alias = TP_STR("staging"),
                                              .to_version = 2,
                                              .from_version = TP_ALIAS_ANYWHERE},
                             NULL, &test_err)); // there already: nothing to tell
    move = move_to(3, 1, TP_ALIAS_PROMOTE);
    ASSERT_FAILS(tp_alias_apply(store, &move, NULL, &test_err), TAPEOUT_E_BUSY,
                 "points to version 2, not 1");
    move = move_to(9, 2, TP_ALIAS_PROMOTE);
    ASSERT_FAILS(tp_alias_apply(store, &move, NULL, &test_err), TAPEOUT_E_NOT_FOUND, "version 9");
    move = move_to(1, 2, TP_ALIAS_ROLLBACK);
    ASSERT_OK(tp_alias_apply(store, &move, NULL, &test_err));
    ASSERT_FAILS(tp_version_remove(store, TP_STR("m"), 1, &test_err), TAPEOUT_E_BUSY,
                 "\"staging\"");
    ASSERT_FAILS(tp_model_remove(store, TP_STR("m"), &test_err), TAPEOUT_E_BUSY, "\"staging\"");
    ASSERT_OK(tp_version_remove(store, TP_STR("m"), 2, &test_err));
    move = move_to(0, 1, TP_ALIAS_REMOVE);
    ASSERT_OK(tp_alias_apply(store, &move, NULL, &test_err));
    ASSERT_FAILS(tp_alias_apply(store, &move, NULL, &test_err), TAPEOUT_E_BUSY, "version 0");
    move.from_version = TP_ALIAS_ANYWHERE;
    ASSERT_FAILS(tp_alias_apply(store, &move, NULL, &test_err), TAPEOUT_E_NOT_FOUND, "no alias");
    move.alias = TP_STR("../x");
    ASSERT_FAILS(tp_alias_apply(store, &move, NULL, &test_err), TAPEOUT_E_INVALID, "no alias");
    tp_buffer json;
    tp_buffer_init(&json, tp_allocator_default(), 65536);
    ASSERT_OK(tp_alias_history(store, TP_STR("m"), TP_STR("staging"), &json, &test_err));
    tp_buffer_append_char(&json, '\0');
    ASSERT_EQ_STR(json.data,
                  "[{\"id\":1,\"alias\":\"staging\",\"kind\":\"set\",\"from\":0,\"to\":1,"
                  "\"who\":\"ann\",\"time_us\":9,\"evidence\":{}},"
                  "{\"id\":2,\"alias\":\"staging\",\"kind\":\"promote\",\"from\":1,\"to\":2,"
                  "\"who\":\"ann\",\"time_us\":9,\"evidence\":[{\"got\":0.70}]},"
                  "{\"id\":3,\"alias\":\"staging\",\"kind\":\"rollback\",\"from\":2,\"to\":1,"
                  "\"who\":\"ann\",\"time_us\":9,\"evidence\":{}},"
                  "{\"id\":4,\"alias\":\"staging\",\"kind\":\"remove\",\"from\":1,\"to\":0,"
                  "\"who\":\"ann\",\"time_us\":9,\"evidence\":{}}]");
    tp_buffer_deinit(&json);
    commit(store);
    tp_registry_close(&registry);
}

// A gated alias goes back only to what came through the gate, and a promotion is worth what the
// policy of now says.
static void test_gated_alias_moves(void)
{
    tp_registry *registry = cases_open(test_temp_dir());
    make_versions(registry, "m", 3);
    tp_store *store = begin(registry);
    const tp_str staging = TP_STR("staging");
    const tp_policy_record open = {.text = TP_STR("gated: []"), .sha256 = TP_STR("aa")};
    const tp_policy_record gated = {.text = TP_STR("gated: [staging]"),
                                    .sha256 = TP_STR("bb"),
                                    .gated = &staging,
                                    .gated_count = 1};
    ASSERT_OK(tp_policy_keep(store, &open, &test_err));
    tp_alias_move move = move_to(1, 0, TP_ALIAS_PROMOTE);
    ASSERT_FAILS(tp_alias_apply(store, &move, NULL, &test_err), TAPEOUT_E_BUSY, "policy");
    move.policy_sha256 = TP_STR("aa");
    ASSERT_OK(tp_alias_apply(store, &move, NULL, &test_err)); // nothing was asked of it

    ASSERT_OK(tp_policy_keep(store, &gated, &test_err));
    move = move_to(2, 1, TP_ALIAS_PROMOTE);
    move.policy_sha256 = TP_STR("aa");
    ASSERT_FAILS(tp_alias_apply(store, &move, NULL, &test_err), TAPEOUT_E_BUSY, "policy");
    move.policy_sha256 = TP_STR("bb");
    ASSERT_OK(tp_alias_apply(store, &move, NULL, &test_err));
    const tp_alias_move set = move_to(3, 2, TP_ALIAS_SET);
    ASSERT_FAILS(tp_alias_apply(store, &set, NULL, &test_err), TAPEOUT_E_DENIED, "gated");
    const tp_alias_move back = move_to(1, 2, TP_ALIAS_ROLLBACK);
    ASSERT_FAILS(tp_alias_apply(store, &back, NULL, &test_err), TAPEOUT_E_GATE, "through the gate");

    move = move_to(3, 2, TP_ALIAS_PROMOTE);
    move.policy_sha256 = TP_STR("bb");
    ASSERT_OK(tp_alias_apply(store, &move, NULL, &test_err));
    move = move_to(2, 3, TP_ALIAS_ROLLBACK);
    ASSERT_OK(tp_alias_apply(store, &move, NULL, &test_err));
    const int64_t moves = cases_number(registry, "SELECT count(*) FROM alias_moves");
    move = move_to(2, 2, TP_ALIAS_PROMOTE); // there already, and approved once more
    move.policy_sha256 = TP_STR("bb");
    ASSERT_OK(tp_alias_apply(store, &move, NULL, &test_err));
    ASSERT_EQ_INT(cases_number(registry, "SELECT count(*) FROM alias_moves"), moves + 1);
    commit(store);
    tp_registry_close(&registry);
}

static void test_refused_is_not_pointed_to(void)
{
    tp_registry *registry = cases_open(test_temp_dir());
    tp_store *store = begin(registry);
    tp_version_facts facts = version_facts("m");
    facts.is_refused = true;
    tp_entry entry;
    ASSERT_OK(tp_version_create(store, &facts, &entry, &test_err));
    const tp_alias_move move = move_to(1, TP_ALIAS_ANYWHERE, TP_ALIAS_SET);
    ASSERT_FAILS(tp_alias_apply(store, &move, NULL, &test_err), TAPEOUT_E_GATE, "refused");
    commit(store);
    tp_registry_close(&registry);
}

// -- answers -------------------------------------------------------------------------------------
static void test_answers(void)
{
    tp_registry *registry = cases_open(test_temp_dir());
    tp_store *store = begin(registry);
    tp_buffer answer;
    tp_buffer_init(&answer, tp_allocator_default(), 4096);
    bool is_found = true;
    tp_request request = {.scope = "s", .key = TP_STR("k"), .content = TP_STR("q")};
    ASSERT_OK(tp_answer_find(store, &request, &answer, &is_found, &test_err));
    ASSERT(!is_found);
    ASSERT_OK(tp_answer_keep(store, &request, TP_STR("yes"), &test_err));
    commit(store);
    store = begin(registry);
    ASSERT_OK(tp_answer_find(store, &request, &answer, &is_found, &test_err));
    ASSERT(is_found);
    ASSERT_EQ_BYTES(answer.data, answer.size, "yes", 3);
    request.scope = "t";
    ASSERT_OK(tp_answer_find(store, &request, &answer, &is_found, &test_err));
    ASSERT(!is_found);
    request = (tp_request){.scope = "s", .key = TP_STR("k"), .content = TP_STR("r")};
    ASSERT_FAILS(tp_answer_find(store, &request, &answer, &is_found, &test_err), TAPEOUT_E_INVALID,
                 "another request");
    request.key = TP_STR("");
    ASSERT_FAILS(tp_answer_find(store, &request, &answer, &is_found, &test_err), TAPEOUT_E_INVALID,
                 "1 to");
    tp_store_rollback(store);
    tp_buffer_deinit(&answer);
    tp_registry_close(&registry);
}

// The same key registers once, however often it is sent.
static void test_registration_key(void)
{
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home);
    tapeout_registration what = cases_registration("m", cases_file(home, "b", "x"));
    what.key = "once";
    tapeout_model_ref first;
    tapeout_model_ref second;
    ASSERT_OK(tp_registry_register(registry, &what, &first, &test_err));
    ASSERT_OK(tp_registry_register(registry, &what, &second, &test_err));
    ASSERT_EQ_UINT(first.version, 1);
    ASSERT_EQ_UINT(second.version, 1);
    ASSERT_EQ_STR(first.sha256, second.sha256);
    ASSERT_EQ_STR(first.path, second.path);
    ASSERT_EQ_INT(cases_number(registry, "SELECT count(*) FROM versions"), 1);
    what.bundle = cases_file(home, "c", "y");
    ASSERT_FAILS(tp_registry_register(registry, &what, &second, &test_err), TAPEOUT_E_INVALID,
                 "another request");
    what.key = "twice";
    ASSERT_OK(tp_registry_register(registry, &what, &second, &test_err));
    ASSERT_EQ_UINT(second.version, 2);
    tp_registry_close(&registry);
}

// -- many at once --------------------------------------------------------------------------------
enum { CLIENTS = 64 };

typedef struct client {
    const char *home;
    int number;
    tapeout_status status;
    int64_t version;
    int moves;
} client;

static void run_clients(client *clients, int count, const char *home, void *(*run)(void *))
{
    pthread_t threads[CLIENTS];
    for (int i = 0; i < count; i++) {
        clients[i] = (client){.home = home, .number = i};
        ASSERT_EQ_INT(pthread_create(&threads[i], NULL, run, &clients[i]), 0);
    }
    for (int i = 0; i < count; i++) {
        ASSERT_EQ_INT(pthread_join(threads[i], NULL), 0);
    }
}

static tapeout_status create_body(tp_store *store, void *user, tapeout_error *err)
{
    (void)user;
    const tp_model_facts facts = model_facts("same");
    return tp_model_create(store, &facts, err);
}

static tapeout_status number_body(tp_store *store, void *user, tapeout_error *err)
{
    client *it = user;
    const tp_version_facts facts = version_facts("numbered");
    tp_entry entry = {0};
    TP_TRY(tp_version_create(store, &facts, &entry, err));
    it->version = entry.version;
    return TAPEOUT_OK;
}

static void *create_same(void *argument)
{
    client *it = argument;
    tp_registry *registry = cases_open(it->home);
    tp_store *store = tp_registry_store(registry);
    it->status = tp_store_transact(store, TP_STORE_ALONE, create_body, it, NULL);
    ASSERT_OK(tp_store_transact(store, TP_STORE_ALONE, number_body, it, &test_err));
    tp_registry_close(&registry);
    return NULL;
}

// R1: one creates the name and 63 hear that it exists; 64 numbers without a gap.
static void test_same_name(void)
{
    static client clients[CLIENTS];
    run_clients(clients, CLIENTS, test_temp_dir(), create_same);
    int made = 0;
    bool seen[CLIENTS + 1] = {false};
    for (int i = 0; i < CLIENTS; i++) {
        made += clients[i].status == TAPEOUT_OK;
        ASSERT(clients[i].status == TAPEOUT_OK || clients[i].status == TAPEOUT_E_EXISTS);
        ASSERT(clients[i].version >= 1 && clients[i].version <= CLIENTS);
        ASSERT(!seen[clients[i].version]);
        seen[clients[i].version] = true;
    }
    ASSERT_EQ_INT(made, 1);
}

// Promote, rollback and delete in parallel: each client looks where the alias points and moves it
// from there, or removes a version.
enum { VERSIONS = 40, MOVERS = 8, TRIES = 60 };

static tapeout_status move_body(tp_store *store, void *user, tapeout_error *err)
{
    client *it = user;
    const uint64_t draw = tp_random_u64(11, (uint64_t)it->number, (uint64_t)it->moves);
    const int64_t to = (int64_t)(draw % VERSIONS) + 1;
    if (draw >> 32 & 1) {
        return tp_version_remove(store, TP_STR("m"), to, err);
    }
    const tp_alias_move move =
        move_to(to, it->version, draw >> 33 & 1 ? TP_ALIAS_PROMOTE : TP_ALIAS_ROLLBACK);
    return tp_alias_apply(store, &move, NULL, err);
}

static void *move_about(void *argument)
{
    client *it = argument;
    tp_registry *registry = cases_open(it->home);
    tp_store *store = tp_registry_store(registry);
    for (; it->moves < TRIES; it->moves++) {
        ASSERT_OK(tp_alias_version(store, TP_STR("m"), TP_STR("staging"), &it->version, &test_err));
        const tapeout_status status = tp_store_transact(store, TP_STORE_ALONE, move_body, it, NULL);
        ASSERT(status == TAPEOUT_OK || status == TAPEOUT_E_BUSY || status == TAPEOUT_E_NOT_FOUND);
    }
    tp_registry_close(&registry);
    return NULL;
}

// R2: the history is one line, each move from where the one before led, and what prod points to was
// never removed.
static void test_history_is_one_line(void)
{
    static client clients[CLIENTS];
    const char *home = test_temp_dir();
    tp_registry *registry = cases_open(home);
    make_versions(registry, "m", VERSIONS);
    run_clients(clients, MOVERS, home, move_about);
    tp_store *store = tp_registry_store(registry);
    tp_rows rows;
    tp_store_query(store, &rows, "SELECT from_version, to_version FROM alias_moves ORDER BY id",
                   TP_SQL_NONE);
    int64_t at = 0;
    int count = 0;
    for (; tp_rows_next(&rows); count++) {
        ASSERT_EQ_INT(tp_rows_int(&rows, 0), at);
        at = tp_rows_int(&rows, 1);
    }
    ASSERT_OK(tp_rows_close(&rows, &test_err));
    int64_t now = 0;
    ASSERT_OK(tp_alias_version(store, TP_STR("m"), TP_STR("staging"), &now, &test_err));
    ASSERT_EQ_INT(now, at);
    tp_entry entry;
    ASSERT_OK(tp_entry_find(store, TP_STR("m"), now, &entry, &test_err));
    ASSERT(count > MOVERS);
    tp_registry_close(&registry);
}

TEST_MAIN(TEST(test_models), TEST(test_version_without_bundle), TEST(test_texts_and_tags),
          TEST(test_alias_moves), TEST(test_gated_alias_moves),
          TEST(test_refused_is_not_pointed_to), TEST(test_answers), TEST(test_registration_key),
          TEST_SLOW(test_same_name, 120), TEST_SLOW(test_history_is_one_line, 120))
