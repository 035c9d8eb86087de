// SPDX-License-Identifier: Apache-2.0
//
// The trust list: what its file may say, what changes it, and that no change is lost.
#include "base/tp_alloc.h"
#include "trust_cases.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

static tp_trusted_key key_of(uint8_t number)
{
    tp_trust_list list = trust_list(&number, 1);
    const tp_trusted_key key = list.keys[0];
    tp_trust_list_free(&list);
    return key;
}

static void test_round_trip(void)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    tp_trust_list list = trust_list((uint8_t[]){1, 2, 3}, 3);
    tp_trust_list again;
    tp_buffer text;
    tp_buffer_init(&text, alloc, 1 << 20);
    list.keys[0].until_s = TRUST_NOW;
    list.keys[1].revoked_s = 17;
    (void)snprintf(list.keys[1].reason, sizeof(list.keys[1].reason), "lost \"it\"");
    tp_trust_list_append(&text, &list);
    ASSERT_OK(tp_trust_list_parse(alloc, tp_buffer_view(&text), &again, &test_err));
    ASSERT_EQ_UINT(again.count, 3);
    for (size_t i = 0; i < 3; i++) {
        ASSERT_EQ_BYTES(&again.keys[i], sizeof(again.keys[i]), &list.keys[i], sizeof(list.keys[i]));
    }
    tp_trust_list_free(&again);
    tp_trust_list_free(&list);
    tp_buffer_deinit(&text);
}

static void refuse_instead(const char *text, const char *part, const char *instead,
                           const char *message)
{
    char copy[4096];
    tp_trust_list list;
    const char *at = strstr(text, part);
    ASSERT(at != NULL);
    (void)snprintf(copy, sizeof(copy), "%.*s%s%s", (int)(at - text), text, instead,
                   at + strlen(part));
    ASSERT_FAILS(tp_trust_list_parse(tp_allocator_default(), tp_str_from(copy), &list, &test_err),
                 TAPEOUT_E_CORRUPT, message);
}

static void test_refused(void)
{
    tp_trust_list list = trust_list((uint8_t[]){1, 2}, 2);
    tp_buffer text;
    tp_buffer_init(&text, tp_allocator_default(), 1 << 20);
    tp_trust_list_append(&text, &list);
    tp_buffer_append_char(&text, '\0');
    refuse_instead(text.data, "tapeout-trust", "tapeout-thrust", "not a trust list");
    // A condition that this version does not know could narrow the trust.
    refuse_instead(text.data, "\"name\":\"key1\"", "\"name\":\"key1\",\"only_for\":\"x\"",
                   "unknown");
    refuse_instead(text.data, "\"name\":\"key1\"", "\"name\":\"key1\",\"name\":\"key1\"",
                   "stands twice");
    refuse_instead(text.data, "1970-01-01T00:00:00Z", "1970-01-01 00:00:00Z", "a time");
    refuse_instead(text.data, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00", "a time");
    refuse_instead(text.data, "\"key_id\":\"", "\"key_id\":\"f", "key_id");
    refuse_instead(text.data, "ed25519", "ecdsa-p256", "public");
    refuse_instead(text.data, "ed25519", "none", "algorithm");
    tp_buffer_clear(&text);
    list.keys[1] = list.keys[0];
    tp_trust_list_append(&text, &list);
    tp_buffer_append_char(&text, '\0');
    refuse_instead(text.data, "key1", "key2", "stands twice");
    tp_buffer_deinit(&text);
    tp_trust_list_free(&list);
}

static void test_changes(void)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    const char *home = test_temp_dir();
    tp_trusted_key one = key_of(1);
    const tp_trusted_key two = key_of(2);
    tp_trusted_key revoked;
    tp_trust_list list;
    ASSERT_OK(tp_trust_list_open(alloc, home, &list, &test_err)); // trusts nobody
    ASSERT_EQ_UINT(list.count, 0);
    ASSERT_OK(tp_trust_list_add(alloc, home, &one, &test_err));
    ASSERT_OK(tp_trust_list_add(alloc, home, &two, &test_err));
    one.until_s = TRUST_NOW;
    ASSERT_OK(tp_trust_list_add(alloc, home, &one, &test_err));
    tp_trusted_key imposter = key_of(3);
    (void)snprintf(imposter.name, sizeof(imposter.name), "key1");
    ASSERT_FAILS(tp_trust_list_add(alloc, home, &imposter, &test_err), TAPEOUT_E_EXISTS,
                 "another key is trusted under the name");
    ASSERT_FAILS(tp_trust_list_revoke(alloc, home, "key9", "x", &revoked, &test_err),
                 TAPEOUT_E_NOT_FOUND, "trust list");
    ASSERT_OK(tp_trust_list_revoke(alloc, home, "key1", "stolen", &revoked, &test_err));
    ASSERT_EQ_STR(revoked.reason, "stolen");
    ASSERT_FAILS(tp_trust_list_add(alloc, home, &one, &test_err), TAPEOUT_E_DENIED, "stolen");
    // The name is free for the successor, and the first word on the old one stands.
    ASSERT_OK(tp_trust_list_add(alloc, home, &imposter, &test_err));
    char id[TP_SHA256_HEX_SIZE + 1];
    tp_sha256_hex(&one.key.id, id);
    id[12] = '\0';
    ASSERT_OK(tp_trust_list_revoke(alloc, home, id, "again", &revoked, &test_err));
    ASSERT_EQ_STR(revoked.reason, "stolen");
    ASSERT_OK(tp_trust_list_open(alloc, home, &list, &test_err));
    ASSERT_EQ_UINT(list.count, 3);
    ASSERT_EQ_INT(list.keys[0].until_s, TRUST_NOW);
    tp_trust_list_free(&list);
}

static void test_writable_by_others(void)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    const char *home = test_temp_dir();
    char path[600];
    const tp_trusted_key one = key_of(1);
    tp_trust_list list;
    ASSERT_OK(tp_trust_list_add(alloc, home, &one, &test_err));
    (void)snprintf(path, sizeof(path), "%s/trust.json", home);
    ASSERT_EQ_INT(chmod(path, 0664), 0);
    ASSERT_FAILS(tp_trust_list_open(alloc, home, &list, &test_err), TAPEOUT_E_DENIED,
                 "others than its owner may write");
}

// -- at once -------------------------------------------------------------------------------------
enum { WRITERS = 16 };

typedef struct adder {
    const char *home;
    uint8_t number;
    tapeout_status status;
} adder;

static void *add_one(void *user)
{
    adder *self = user;
    const tp_trusted_key key = key_of(self->number);
    self->status = tp_trust_list_add(tp_allocator_default(), self->home, &key, NULL);
    return NULL;
}

static void test_no_change_is_lost(void)
{
    adder adders[WRITERS];
    pthread_t threads[WRITERS];
    tp_trust_list list;
    const char *home = test_temp_dir();
    for (uint8_t i = 0; i < WRITERS; i++) {
        adders[i] = (adder){home, (uint8_t)(i + 1), TAPEOUT_E_INTERNAL};
        ASSERT_EQ_INT(pthread_create(&threads[i], NULL, add_one, &adders[i]), 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        ASSERT_EQ_INT(pthread_join(threads[i], NULL), 0);
        ASSERT_EQ_INT(adders[i].status, TAPEOUT_OK);
    }
    ASSERT_OK(tp_trust_list_open(tp_allocator_default(), home, &list, &test_err));
    ASSERT_EQ_UINT(list.count, WRITERS);
    tp_trust_list_free(&list);
}

TEST_MAIN(TEST(test_round_trip), TEST(test_refused), TEST(test_changes),
          TEST(test_writable_by_others), TEST(test_no_change_is_lost))
