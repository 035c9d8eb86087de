// SPDX-License-Identifier: Apache-2.0
//
// Identities through the public calls and as the server reads them: made, listed, rotated, revoked,
// over processes' worth of handles; what is refused; another secret; memory that ends.
#include "registry/tp_identity_store.h"

#include "base/tp_clock.h"
#include "test.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <tapeout/access.h>
#include <unistd.h>

static tapeout_context *open_context(const char *home, const tapeout_allocator *alloc)
{
    tapeout_context *context = NULL;
    tapeout_context_options options;
    tapeout_context_options_init(&options);
    options.home = home;
    options.thread_count = 1;
    options.allocator = alloc;
    ASSERT_OK(tapeout_context_new(&options, &context, &test_err));
    return context;
}

static char *make_key(tapeout_context *context, const char *name, const char *roles)
{
    char *json = NULL;
    tapeout_access_spec spec;
    tapeout_access_spec_init(&spec);
    spec.name = name;
    spec.roles = roles;
    ASSERT_OK(tapeout_access_new(context, &spec, &json, &test_err));
    return json;
}

static tp_roster *read_roster(tapeout_context *context, int64_t *ret_generation)
{
    tp_identity_store *store = NULL;
    tp_roster *roster = NULL;
    ASSERT_OK(tp_identity_store_open(context, &store, &test_err));
    ASSERT_OK(tp_identity_store_roster(store, &roster, ret_generation, &test_err));
    tp_identity_store_close(&store);
    return roster;
}

static void copy_key(const char *json, char ret_key[TP_API_KEY_SIZE + 1])
{
    const char *at = strstr(json, "\"key\":\"tpk_");
    ASSERT(at != NULL);
    memcpy(ret_key, at + 7, TP_API_KEY_SIZE);
    ret_key[TP_API_KEY_SIZE] = '\0';
}

static const tp_principal *principal_of(const tp_roster *roster, const char *key)
{
    tp_str prefix;
    ASSERT(tp_api_key_split(tp_str_from(key), &prefix));
    const tp_roster_entry *entry = tp_roster_key(roster, prefix);
    return entry == NULL ? NULL : entry->principal;
}

static void test_a_key_and_its_end(void)
{
    tapeout_context *context = open_context(test_temp_dir(), NULL);
    char key[TP_API_KEY_SIZE + 1];
    int64_t before = 0;
    int64_t after = 0;
    tp_roster_unref(read_roster(context, &before));
    char *json = make_key(context, "robot", "scorer:flights,viewer");
    ASSERT(strstr(json, "\"roles\":\"scorer:flights,viewer\"") != NULL);
    copy_key(json, key);
    tapeout_text_free(context, json);
    tp_roster *roster = read_roster(context, &after);
    ASSERT_EQ_INT(after, before + 1);
    const tp_principal *principal = principal_of(roster, key);
    ASSERT(principal != NULL && principal->grant_count == 2);
    tp_roster_unref(roster);
    ASSERT_OK(tapeout_access_list(context, TAPEOUT_ACCESS_KEY, &json, &test_err));
    ASSERT(strstr(json, "\"name\":\"robot\"") != NULL && strstr(json, key + 15) == NULL);
    ASSERT(strstr(json, "\"expires\":null,\"revoked\":null") != NULL);
    tapeout_text_free(context, json);
    ASSERT_OK(tapeout_access_revoke(context, TAPEOUT_ACCESS_KEY, "robot", &json, &test_err));
    tapeout_text_free(context, json);
    roster = read_roster(context, &after);
    ASSERT_EQ_INT(after, before + 2);
    ASSERT(principal_of(roster, key) == NULL);
    tp_roster_unref(roster);
    ASSERT_FAILS(tapeout_access_revoke(context, TAPEOUT_ACCESS_KEY, "robot", &json, &test_err),
                 TAPEOUT_E_NOT_FOUND, "no key \"robot\" holds");
    // The name is free again.
    tapeout_text_free(context, make_key(context, "robot", "viewer"));
    tapeout_context_free(context);
}

static void test_rotation(void)
{
    tapeout_context *context = open_context(test_temp_dir(), NULL);
    char old_key[TP_API_KEY_SIZE + 1];
    char new_key[TP_API_KEY_SIZE + 1];
    int64_t generation = 0;
    char *json = make_key(context, "robot", "publisher");
    copy_key(json, old_key);
    tapeout_text_free(context, json);
    const int64_t begin_us = tp_clock_unix_us();
    ASSERT_OK(tapeout_access_rotate(context, "robot", 3600, &json, &test_err));
    copy_key(json, new_key);
    tapeout_text_free(context, json);
    tp_roster *roster = read_roster(context, &generation);
    const tp_principal *old = principal_of(roster, old_key);
    const tp_principal *fresh = principal_of(roster, new_key);
    ASSERT(old != NULL && fresh != NULL && fresh->expires_us == 0);
    ASSERT(old->expires_us >= begin_us + 3600000000 &&
           old->expires_us <= tp_clock_unix_us() + 3600000000);
    ASSERT_EQ_INT(fresh->grants[0].role, TP_ROLE_PUBLISHER);
    ASSERT_EQ_UINT(fresh->number, old->number); // one account, one set of limits
    tp_roster_unref(roster);
    // Revoked by its prefix, the old one alone; by the name, all.
    char prefix[11] = "";
    memcpy(prefix, old_key + 4, 10);
    ASSERT_OK(tapeout_access_revoke(context, TAPEOUT_ACCESS_KEY, prefix, &json, &test_err));
    tapeout_text_free(context, json);
    roster = read_roster(context, &generation);
    ASSERT(principal_of(roster, old_key) == NULL && principal_of(roster, new_key) != NULL);
    tp_roster_unref(roster);
    ASSERT_FAILS(tapeout_access_rotate(context, "nobody", 1, &json, &test_err), TAPEOUT_E_NOT_FOUND,
                 "nobody");
    ASSERT_FAILS(tapeout_access_rotate(context, "robot", UINT64_MAX, &json, &test_err),
                 TAPEOUT_E_INVALID, "seconds");
    tapeout_context_free(context);
}

static void test_what_is_refused(void)
{
    static const struct {
        const char *name;
        const char *roles;
        const char *limits;
        const char *tenant;
        tapeout_status status;
        const char *part;
    } wrong[] = {
        {"", "viewer", NULL, NULL, TAPEOUT_E_INVALID, "name \"\""},
        {"a b", "viewer", NULL, NULL, TAPEOUT_E_INVALID, "name"},
        {"a'; DROP TABLE identities; --", "viewer", NULL, NULL, TAPEOUT_E_INVALID, "name"},
        {"a", "", NULL, NULL, TAPEOUT_E_INVALID, "role"},
        {"a", "root", NULL, NULL, TAPEOUT_E_INVALID, "root"},
        {"a", "viewer", "requests=0/1", NULL, TAPEOUT_E_INVALID, "limit"},
        {"a", "viewer", NULL, "../b", TAPEOUT_E_INVALID, "tenant"},
        {"taken", "viewer", NULL, NULL, TAPEOUT_E_EXISTS, "taken"},
    };
    tapeout_context *context = open_context(test_temp_dir(), NULL);
    tapeout_text_free(context, make_key(context, "taken", "viewer"));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char *json = NULL;
        tapeout_access_spec spec;
        tapeout_access_spec_init(&spec);
        spec.name = wrong[i].name;
        spec.roles = wrong[i].roles;
        spec.limits = wrong[i].limits;
        spec.tenant = wrong[i].tenant;
        ASSERT_FAILS(tapeout_access_new(context, &spec, &json, &test_err), wrong[i].status,
                     wrong[i].part);
        ASSERT(json == NULL);
    }
    tapeout_context_free(context);
}

static void test_users(void)
{
    tapeout_context *context = open_context(test_temp_dir(), NULL);
    int64_t generation = 0;
    char *json = NULL;
    tapeout_access_spec spec;
    tapeout_access_spec_init(&spec);
    spec.kind = TAPEOUT_ACCESS_USER;
    spec.name = "ann";
    spec.roles = "viewer";
    ASSERT_FAILS(tapeout_access_new(context, &spec, &json, &test_err), TAPEOUT_E_INVALID,
                 "password");
    spec.password = "correct horse";
    ASSERT_OK(tapeout_access_new(context, &spec, &json, &test_err));
    ASSERT(strstr(json, "argon") == NULL && strstr(json, "horse") == NULL);
    tapeout_text_free(context, json);
    tp_roster *roster = read_roster(context, &generation);
    char first[TP_PASSWORD_HASH_TEXT_SIZE];
    memcpy(first, tp_roster_user(roster, TP_STR("ann"))->password, sizeof(first));
    ASSERT(tp_password_check(first, TP_STR("correct horse")));
    tp_roster_unref(roster);
    ASSERT_OK(tapeout_access_password(context, "ann", "battery staple", &json, &test_err));
    tapeout_text_free(context, json);
    roster = read_roster(context, &generation);
    ASSERT(tp_password_check(tp_roster_user(roster, TP_STR("ann"))->password,
                             TP_STR("battery staple")));
    tp_roster_unref(roster);
    ASSERT_OK(tapeout_access_revoke(context, TAPEOUT_ACCESS_USER, "ann", &json, &test_err));
    tapeout_text_free(context, json);
    ASSERT_OK(tapeout_access_new(context, &spec, &json, &test_err)); // a person comes back
    tapeout_text_free(context, json);
    tapeout_context_free(context);
}

static void *make_first(void *user)
{
    tapeout_context *context = user;
    tp_identity_store *store = NULL;
    char key[TP_API_KEY_SIZE + 1];
    if (tp_identity_store_open(context, &store, NULL) != TAPEOUT_OK) {
        return NULL;
    }
    const tapeout_status status = tp_identity_store_first(store, key, NULL);
    tp_identity_store_close(&store);
    return status == TAPEOUT_OK ? user : NULL;
}

// Two servers that start at once on one home make one administrator.
static void test_one_first_key(void)
{
    enum { THREADS = 4 };
    tapeout_context *context = open_context(test_temp_dir(), NULL);
    pthread_t threads[THREADS];
    int made = 0;
    for (int i = 0; i < THREADS; i++) {
        ASSERT(pthread_create(&threads[i], NULL, make_first, context) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        ASSERT(pthread_join(threads[i], &result) == 0);
        made += result != NULL;
    }
    ASSERT_EQ_INT(made, 1);
    tapeout_context_free(context);
}

static void test_another_secret(void)
{
    char path[600];
    tapeout_context *context = open_context(test_temp_dir(), NULL);
    tapeout_text_free(context, make_key(context, "robot", "viewer"));
    (void)snprintf(path, sizeof(path), "%s/access.secret", test_temp_dir());
    ASSERT(unlink(path) == 0);
    tp_identity_store *store = NULL;
    ASSERT_FAILS(tp_identity_store_open(context, &store, &test_err), TAPEOUT_E_CORRUPT,
                 "another secret");
    ASSERT(store == NULL);
    tapeout_context_free(context);
}

// The context's own memory ends at every place in turn; nothing is left and the next call works.
static void test_without_memory(void)
{
    test_allocator allocator;
    test_allocator_init(&allocator);
    tapeout_context *context = open_context(test_temp_dir(), &allocator.base);
    tapeout_text_free(context, make_key(context, "robot", "viewer"));
    const size_t live = allocator.live;
    bool is_done = false;
    for (size_t n = 1; !is_done; n++) {
        char *json = NULL;
        allocator.fail_at = allocator.count + n;
        const tapeout_status status =
            tapeout_access_list(context, TAPEOUT_ACCESS_KEY, &json, &test_err);
        is_done = status == TAPEOUT_OK;
        ASSERT(is_done || status == TAPEOUT_E_NOMEM);
        allocator.fail_at = 0;
        tapeout_text_free(context, json);
        ASSERT_EQ_UINT(allocator.live, live);
        ASSERT(n < 1000);
    }
    tapeout_context_free(context);
}

TEST_MAIN(TEST(test_a_key_and_its_end), TEST(test_rotation), TEST(test_what_is_refused),
          TEST(test_users), TEST(test_one_first_key), TEST(test_another_secret),
          TEST(test_without_memory))
