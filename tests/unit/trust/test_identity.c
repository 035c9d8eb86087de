// SPDX-License-Identifier: Apache-2.0
//
// Roles and the decision: every role × right × model × tenant against a table that is written here
// by hand, from docs/access.md; the texts of grants and limits, and what is no such text.
#include "trust/identity_priv.h"

#include "base/tp_alloc.h"
#include "test.h"

#include <string.h>

// What each role has, in the order of tp_right: probe, read, score, publish, approve, rollback,
// admin, watch.
static const struct {
    const char *role;
    bool has[TP_RIGHT_COUNT - 1];
} declared[] = {
    {"viewer", {1, 1, 0, 0, 0, 0, 0, 1}},    {"scorer", {1, 1, 1, 0, 0, 0, 0, 0}},
    {"publisher", {1, 1, 1, 1, 0, 0, 0, 0}}, {"approver", {1, 1, 0, 0, 1, 1, 0, 0}},
    {"admin", {1, 1, 1, 1, 1, 1, 1, 1}},
};

static tp_principal *make(const char *grants, const char *tenant)
{
    tp_principal *principal = NULL;
    const tp_principal_spec spec = {.id = TP_STR("key:x"),
                                    .name = TP_STR("x"),
                                    .tenant = tp_str_from(tenant),
                                    .grants = tp_str_from(grants)};
    ASSERT_OK(tp_principal_new(tp_allocator_default(), &spec, &principal, &test_err));
    return principal;
}

static void check_role(size_t role, const char *model, const char *tenant)
{
    static const char *const tenants[] = {"default", "acme"};
    static const char *const models[] = {"", "m", "other"};
    char grants[64];
    (void)snprintf(grants, sizeof(grants), model[0] == '\0' ? "%s" : "%s:%s", declared[role].role,
                   model);
    tp_principal *principal = make(grants, tenant);
    for (int right = TP_RIGHT_PROBE; right < TP_RIGHT_COUNT; right++) {
        for (size_t t = 0; t < 2; t++) {
            for (size_t m = 0; m < 3; m++) {
                const bool covers = model[0] == '\0' || strcmp(model, models[m]) == 0;
                const bool want =
                    right == TP_RIGHT_PROBE ||
                    (declared[role].has[right - 1] && covers && strcmp(tenant, tenants[t]) == 0);
                if (tp_principal_may(principal, (tp_right)right, tp_str_from(tenants[t]),
                                     tp_str_from(models[m])) != want) {
                    test_fail(__FILE__, __LINE__, "%s in %s: %s for \"%s\" of %s: want %d", grants,
                              tenant, tp_right_name((tp_right)right), models[m], tenants[t], want);
                }
            }
        }
        // The server as a whole is the operator's, and takes the role for all.
        const bool some = right == TP_RIGHT_WATCH
                              ? declared[role].has[right - 1] && model[0] == '\0' &&
                                    strcmp(tenant, "default") == 0
                              : declared[role].has[right - 1];
        ASSERT_EQ_INT(tp_principal_may_some(principal, (tp_right)right), some);
    }
    tp_principal_unref(principal);
}

static void test_matrix(void)
{
    ASSERT_EQ_UINT(sizeof(declared) / sizeof(declared[0]), TP_ROLE_COUNT);
    for (size_t role = 0; role < TP_ROLE_COUNT; role++) {
        tp_role found = TP_ROLE_COUNT;
        ASSERT(tp_role_from_name(tp_str_from(declared[role].role), &found));
        ASSERT_EQ_STR(tp_role_name(found), declared[role].role);
        check_role(role, "", "default");
        check_role(role, "", "acme");
        check_role(role, "m", "default");
        check_role(role, "m", "acme");
    }
}

static void test_nobody(void)
{
    for (int right = TP_RIGHT_PROBE; right < TP_RIGHT_COUNT; right++) {
        const bool want = right == TP_RIGHT_PROBE;
        ASSERT_EQ_INT(tp_principal_may(NULL, (tp_right)right, TP_STR("default"), TP_STR("m")),
                      want);
        ASSERT_EQ_INT(tp_principal_may_some(NULL, (tp_right)right), want);
    }
}

static void test_several_grants(void)
{
    tp_principal *principal = make("viewer,scorer:a,admin:b", "");
    const tp_str here = TP_STR("default");
    ASSERT(tp_str_equal(principal->tenant, here));
    ASSERT(tp_principal_may(principal, TP_RIGHT_READ, here, TP_STR("c")));
    ASSERT(tp_principal_may(principal, TP_RIGHT_SCORE, here, TP_STR("a")));
    ASSERT(!tp_principal_may(principal, TP_RIGHT_SCORE, here, TP_STR("c")));
    ASSERT(tp_principal_may(principal, TP_RIGHT_ADMIN, here, TP_STR("b")));
    ASSERT(!tp_principal_may(principal, TP_RIGHT_ADMIN, here, TP_STR("a")));
    ASSERT(!tp_principal_may(principal, TP_RIGHT_ADMIN, here, TP_STR("")));
    tp_principal_unref(principal);
}

// The texts that a principal was made from may go; another tenant's caches are another's.
static void test_copies(void)
{
    char grants[] = "scorer:flights";
    char tenant[] = "acme";
    tp_principal *principal = make(grants, tenant);
    memset(grants, 'x', sizeof(grants) - 1);
    memset(tenant, 'x', sizeof(tenant) - 1);
    ASSERT(tp_principal_may(principal, TP_RIGHT_SCORE, TP_STR("acme"), TP_STR("flights")));
    tp_principal *other = make("scorer", "globex");
    tp_principal *operator_s = make("scorer", "default");
    ASSERT(principal->tenant_number != other->tenant_number);
    ASSERT_EQ_UINT(operator_s->tenant_number, 0);
    ASSERT(principal->tenant_number != 0 && other->tenant_number != 0);
    tp_principal_unref(principal);
    tp_principal_unref(other);
    tp_principal_unref(operator_s);
}

static void expect_no_grants(const char *text, const char *part)
{
    tp_grant grants[TP_MAX_GRANTS];
    uint32_t count = 0;
    ASSERT_FAILS(tp_grants_parse(tp_str_from(text), grants, &count, &test_err), TAPEOUT_E_INVALID,
                 part);
}

static void test_grant_texts(void)
{
    expect_no_grants("", "role \"\"");
    expect_no_grants("viewer,", "role \"\"");
    expect_no_grants(",viewer", "role \"\"");
    expect_no_grants("Viewer", "role \"Viewer\"");
    expect_no_grants("viewer ", "role \"viewer \"");
    expect_no_grants("root", "role \"root\"");
    expect_no_grants("scorer:", "no name of a model");
    expect_no_grants("scorer:a:b", "no name of a model");
    expect_no_grants("scorer:../x", "no name of a model");
    char many[1024] = "viewer";
    for (uint32_t i = 0; i < TP_MAX_GRANTS; i++) {
        memcpy(many + 6 + i * 7, ",viewer", 8);
    }
    tp_grant grants[TP_MAX_GRANTS];
    uint32_t count = 0;
    ASSERT_FAILS(tp_grants_parse(tp_str_from(many), grants, &count, &test_err), TAPEOUT_E_LIMIT,
                 "more than 32 roles");
}

static void test_rate_texts(void)
{
    static const char *const wrong[] = {
        "requests",     "requests=",       "requests=5",     "requests=5/",
        "requests=/60", "requests=0/60",   "requests=5/0",   "requests=-5/6",
        "bytes=5/60",   "requests=5/60,",  "requests=5.5/1", "requests=1e3/1",
        " rows=1/1",    "rows=1/31622401", "rows=1/60/60",   "rows=1000000000001/1"};
    tp_rate rates[TP_MAX_RATES];
    uint32_t count = 0;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ASSERT_FAILS(tp_rates_parse(tp_str_from(wrong[i]), rates, &count, &test_err),
                     TAPEOUT_E_INVALID, "limit \"");
    }
    ASSERT_OK(tp_rates_parse(TP_STR("requests=600/60,tokens=100000/86400,rows=1/1"), rates, &count,
                             &test_err));
    ASSERT_EQ_UINT(count, 3);
    ASSERT_EQ_INT(rates[1].countable, TP_COUNT_TOKENS);
    ASSERT_EQ_UINT(rates[1].count, 100000);
    ASSERT_EQ_UINT(rates[1].seconds, 86400);
    ASSERT_OK(tp_rates_parse(TP_STR(""), rates, &count, &test_err));
    ASSERT_EQ_UINT(count, 0);
    ASSERT_FAILS(tp_rates_parse(TP_STR("rows=1/1,rows=1/2,rows=1/3,rows=1/4,rows=1/5,rows=1/6,"
                                       "rows=1/7"),
                                rates, &count, &test_err),
                 TAPEOUT_E_LIMIT, "more than 6 limits");
}

static void test_names(void)
{
    static const char *const wrong[] = {"",    ".a",  "-a",  "_a", "@a",
                                        "a b", "a/b", "a\n", "ä",  "a:b"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ASSERT(!tp_identity_name_is_valid(tp_str_from(wrong[i])));
    }
    ASSERT(tp_identity_name_is_valid(TP_STR("ann@example.com")));
    char longest[TP_MAX_IDENTITY_NAME_BYTES + 2];
    memset(longest, 'a', sizeof(longest));
    ASSERT(tp_identity_name_is_valid((tp_str){longest, TP_MAX_IDENTITY_NAME_BYTES}));
    ASSERT(!tp_identity_name_is_valid((tp_str){longest, TP_MAX_IDENTITY_NAME_BYTES + 1}));
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tp_principal *principal = NULL;
    const tp_principal_spec spec = {.id = TP_STR("key:x"), .grants = TP_STR("viewer")};
    const tapeout_status status = tp_principal_new(alloc, &spec, &principal, err);
    tp_principal_unref(principal);
    return status;
}

static void test_without_memory(void)
{
    test_out_of_memory(scenario, NULL);
}

TEST_MAIN(TEST(test_matrix), TEST(test_nobody), TEST(test_several_grants), TEST(test_copies),
          TEST(test_grant_texts), TEST(test_rate_texts), TEST(test_names),
          TEST(test_without_memory))
