// SPDX-License-Identifier: Apache-2.0
//
// Rosters: what is found and what is not, rows that are damaged, references, no memory.
#include "trust/tp_roster.h"

#include "base/tp_alloc.h"
#include "test.h"

#include <string.h>

static const char hash_text[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

static tp_roster_row key_row(const char *prefix, const char *name)
{
    return (tp_roster_row){.handle = tp_str_from(prefix),
                           .verifier = tp_str_from(hash_text),
                           .spec = {.name = tp_str_from(name),
                                    .tenant = TP_STR("acme"),
                                    .grants = TP_STR("scorer"),
                                    .expires_us = 5}};
}

static void test_found(void)
{
    tp_roster *roster = NULL;
    ASSERT_OK(tp_roster_new(tp_allocator_default(), &roster, &test_err));
    for (int i = 0; i < 100; i++) {
        char prefix[16];
        (void)snprintf(prefix, sizeof(prefix), "prefix%04d", i);
        const tp_roster_row row = key_row(prefix, "robot");
        ASSERT_OK(tp_roster_add(roster, &row, &test_err));
    }
    const tp_roster_row user = {.is_user = true,
                                .handle = TP_STR("ann"),
                                .verifier = TP_STR("$argon2id$x"),
                                .spec = {.name = TP_STR("ann"), .grants = TP_STR("viewer")}};
    ASSERT_OK(tp_roster_add(roster, &user, &test_err));
    ASSERT_EQ_UINT(tp_roster_count(roster), 101);
    const tp_roster_entry *first = tp_roster_key(roster, TP_STR("prefix0000"));
    const tp_roster_entry *last = tp_roster_key(roster, TP_STR("prefix0099"));
    ASSERT(first != NULL && last != NULL && first != last);
    ASSERT_EQ_UINT(first->hash[31], 31);
    ASSERT(tp_str_equal(last->principal->id, TP_STR("key:prefix0099")));
    // One name, one account.
    ASSERT_EQ_UINT(first->principal->number, last->principal->number);
    ASSERT(tp_str_equal(first->principal->tenant, TP_STR("acme")));
    ASSERT_EQ_INT(first->principal->expires_us, 5);
    const tp_roster_entry *ann = tp_roster_user(roster, TP_STR("ann"));
    ASSERT(ann != NULL && strcmp(ann->password, "$argon2id$x") == 0);
    ASSERT(tp_str_equal(ann->principal->tenant, TP_STR("default")));
    // Keys and users do not meet.
    ASSERT(tp_roster_user(roster, TP_STR("prefix0000")) == NULL);
    ASSERT(tp_roster_key(roster, TP_STR("ann")) == NULL);
    ASSERT(tp_roster_key(roster, TP_STR("prefix0100")) == NULL);
    // A reference keeps it.
    tp_roster *second = tp_roster_ref(roster);
    tp_roster_unref(roster);
    ASSERT(tp_roster_user(second, TP_STR("ann")) == ann);
    tp_roster_unref(second);
    tp_roster_unref(NULL);
}

static void test_damaged_rows(void)
{
    tp_roster *roster = NULL;
    ASSERT_OK(tp_roster_new(tp_allocator_default(), &roster, &test_err));
    tp_roster_row row = key_row("a", "robot");
    ASSERT_OK(tp_roster_add(roster, &row, &test_err));
    ASSERT_FAILS(tp_roster_add(roster, &row, &test_err), TAPEOUT_E_EXISTS, "twice");
    static const char *const verifiers[] = {"", "00", "xx", "$argon2id$"};
    for (size_t i = 0; i < sizeof(verifiers) / sizeof(verifiers[0]); i++) {
        row = key_row("b", "robot");
        row.verifier = tp_str_from(verifiers[i]);
        ASSERT_FAILS(tp_roster_add(roster, &row, &test_err), TAPEOUT_E_CORRUPT, "\"b\"");
    }
    row = key_row("b", "robot");
    row.verifier.size--;
    ASSERT_FAILS(tp_roster_add(roster, &row, &test_err), TAPEOUT_E_CORRUPT, "damaged");
    row = key_row("b", "robot");
    row.spec.grants = TP_STR("root");
    ASSERT_FAILS(tp_roster_add(roster, &row, &test_err), TAPEOUT_E_INVALID,
                 "identity \"b\": role \"root\"");
    row = key_row("b", "robot");
    row.is_user = true;
    char longest[TP_PASSWORD_HASH_TEXT_SIZE];
    memset(longest, 'a', sizeof(longest));
    row.verifier = (tp_str){longest, sizeof(longest)};
    ASSERT_FAILS(tp_roster_add(roster, &row, &test_err), TAPEOUT_E_CORRUPT, NULL);
    row = key_row("b", "robot");
    char name[600];
    memset(name, 'a', sizeof(name));
    row.spec.name = (tp_str){name, sizeof(name)};
    ASSERT_FAILS(tp_roster_add(roster, &row, &test_err), TAPEOUT_E_LIMIT, "600 bytes");
    ASSERT_EQ_UINT(tp_roster_count(roster), 1);
    tp_roster_unref(roster);
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tp_roster *roster = NULL;
    tapeout_status status = tp_roster_new(alloc, &roster, err);
    for (int i = 0; i < 40 && status == TAPEOUT_OK; i++) {
        char prefix[16];
        (void)snprintf(prefix, sizeof(prefix), "prefix%04d", i);
        const tp_roster_row row = key_row(prefix, "robot");
        status = tp_roster_add(roster, &row, err);
    }
    tp_roster_unref(roster);
    return status;
}

static void test_without_memory(void)
{
    test_out_of_memory(scenario, NULL);
}

TEST_MAIN(TEST(test_found), TEST(test_damaged_rows), TEST(test_without_memory))
