// SPDX-License-Identifier: Apache-2.0
//
// API keys: their form, what is no key, that two are never alike; passwords; the server's secret
// and its file; and that a key never gets into a log.
#include "base/tp_alloc.h"
#include "test.h"
#include "trust/tp_credential.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_form(void)
{
    char key[TP_API_KEY_SIZE + 1];
    char other[TP_API_KEY_SIZE + 1];
    tp_str prefix;
    ASSERT_OK(tp_credentials_begin(&test_err));
    tp_api_key_make(key);
    tp_api_key_make(other);
    ASSERT_EQ_UINT(strlen(key), TP_API_KEY_SIZE);
    ASSERT(strncmp(key, "tpk_", 4) == 0 && key[14] == '_');
    ASSERT(memcmp(key + 4, other + 4, 10) != 0 && strcmp(key + 15, other + 15) != 0);
    ASSERT(tp_api_key_split(tp_str_from(key), &prefix));
    ASSERT_EQ_BYTES(prefix.data, prefix.size, key + 4, 10);
    // Every other size, and every place with something else in it.
    for (size_t size = 0; size < TP_API_KEY_SIZE; size++) {
        ASSERT(!tp_api_key_split((tp_str){key, size}, &prefix));
    }
    for (size_t i = 0; i < TP_API_KEY_SIZE; i++) {
        static const char marks[] = {'_', 'l', '0', 'A', ' ', '\0', '\x80', '%'};
        for (size_t k = 0; k < sizeof(marks); k++) {
            const char kept = key[i];
            key[i] = marks[k];
            ASSERT(marks[k] == kept || !tp_api_key_split(tp_str_from(key), &prefix));
            key[i] = kept;
        }
    }
}

static void test_every_letter_is_drawn(void)
{
    unsigned seen[256] = {0};
    ASSERT_OK(tp_credentials_begin(&test_err));
    for (int n = 0; n < 1000; n++) {
        char key[TP_API_KEY_SIZE + 1];
        tp_api_key_make(key);
        for (size_t i = 15; i < TP_API_KEY_SIZE; i++) {
            seen[(unsigned char)key[i]]++;
        }
    }
    unsigned letters = 0;
    for (int i = 0; i < 256; i++) {
        letters += seen[i] > 0;
        ASSERT(seen[i] == 0 || (seen[i] > 800 && seen[i] < 1200)); // 1000 expected, sigma 31
    }
    ASSERT_EQ_UINT(letters, 32);
}

static void test_hash(void)
{
    const tp_server_secret secret = {{1, 2, 3}};
    const tp_server_secret other = {{1, 2, 4}};
    uint8_t a[TP_CREDENTIAL_HASH_SIZE];
    uint8_t b[TP_CREDENTIAL_HASH_SIZE];
    char mark[17];
    char other_mark[17];
    tp_api_key_hash(&secret, TP_STR("tpk_x"), a);
    tp_api_key_hash(&secret, TP_STR("tpk_x"), b);
    ASSERT(tp_credential_equal(a, b));
    tp_api_key_hash(&secret, TP_STR("tpk_y"), b);
    ASSERT(!tp_credential_equal(a, b));
    tp_api_key_hash(&other, TP_STR("tpk_x"), b);
    ASSERT(!tp_credential_equal(a, b));
    for (size_t i = 0; i < sizeof(a); i++) {
        memcpy(b, a, sizeof(a));
        b[i] ^= 1;
        ASSERT(!tp_credential_equal(a, b));
    }
    tp_server_secret_mark(&secret, mark);
    tp_server_secret_mark(&other, other_mark);
    ASSERT(strlen(mark) == 16 && strcmp(mark, other_mark) != 0);
}

static void test_passwords(void)
{
    char hash[TP_PASSWORD_HASH_TEXT_SIZE];
    char again[TP_PASSWORD_HASH_TEXT_SIZE];
    char longest[1025];
    ASSERT_OK(tp_credentials_begin(&test_err));
    ASSERT_OK(tp_password_hash(TP_STR("correct horse"), hash, &test_err));
    ASSERT_OK(tp_password_hash(TP_STR("correct horse"), again, &test_err));
    ASSERT(strncmp(hash, "$argon2id$", 10) == 0 && strcmp(hash, again) != 0);
    ASSERT(tp_password_check(hash, TP_STR("correct horse")));
    ASSERT(!tp_password_check(hash, TP_STR("correct horsf")));
    ASSERT(!tp_password_check(hash, (tp_str){NULL, 0}));
    ASSERT(!tp_password_check(NULL, TP_STR("correct horse")));
    ASSERT(!tp_password_check("", TP_STR("correct horse")));
    ASSERT(!tp_password_check("$argon2id$v=19$nonsense", TP_STR("correct horse")));
    memset(longest, 'a', sizeof(longest));
    ASSERT(!tp_password_check(hash, (tp_str){longest, 1025}));
    ASSERT_FAILS(tp_password_hash(TP_STR("7 bytes"), hash, &test_err), TAPEOUT_E_INVALID,
                 "8 to 1024");
    ASSERT_FAILS(tp_password_hash((tp_str){longest, 1025}, hash, &test_err), TAPEOUT_E_INVALID,
                 "1025 bytes");
    ASSERT_OK(tp_password_hash((tp_str){longest, 1024}, hash, &test_err));
    ASSERT(tp_password_check(hash, (tp_str){longest, 1024}));
}

static const char *path_of(const char *name)
{
    static char path[600];
    (void)snprintf(path, sizeof(path), "%s/home/%s", test_temp_dir(), name);
    return path;
}

static const char *home_of_case(void)
{
    static char home[600];
    (void)snprintf(home, sizeof(home), "%s/home", test_temp_dir());
    return home;
}

static void test_secret(void)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    const char *home = home_of_case();
    tp_server_secret secret;
    tp_server_secret again;
    struct stat about;
    ASSERT_OK(tp_server_secret_open(alloc, home, &secret, &test_err));
    ASSERT_OK(tp_server_secret_open(alloc, home, &again, &test_err));
    ASSERT_EQ_BYTES(&secret, sizeof(secret), &again, sizeof(again));
    ASSERT(stat(path_of("access.secret"), &about) == 0);
    ASSERT_EQ_UINT(about.st_mode & 07777u, 0600);
    ASSERT_EQ_UINT(about.st_size, 32);
    ASSERT(chmod(path_of("access.secret"), 0640) == 0);
    ASSERT_FAILS(tp_server_secret_open(alloc, home, &again, &test_err), TAPEOUT_E_DENIED,
                 "others may read");
    ASSERT(chmod(path_of("access.secret"), 0600) == 0);
    ASSERT(truncate(path_of("access.secret"), 31) == 0);
    ASSERT_FAILS(tp_server_secret_open(alloc, home, &again, &test_err), TAPEOUT_E_CORRUPT,
                 "not the 32 bytes");
    ASSERT(truncate(path_of("access.secret"), 33) == 0);
    ASSERT_FAILS(tp_server_secret_open(alloc, home, &again, &test_err), TAPEOUT_E_CORRUPT, NULL);
    // A link could lead to a file that somebody else has put there.
    char target[600];
    (void)snprintf(target, sizeof(target), "%s", path_of("elsewhere"));
    ASSERT(rename(path_of("access.secret"), target) == 0);
    ASSERT(symlink(target, path_of("access.secret")) == 0);
    ASSERT(tp_server_secret_open(alloc, home, &again, NULL) != TAPEOUT_OK);
}

typedef struct opening {
    const char *home;
    tp_server_secret secret;
    tapeout_status status;
} opening;

static void *open_secret(void *user)
{
    opening *self = user;
    self->status = tp_server_secret_open(tp_allocator_default(), self->home, &self->secret, NULL);
    return NULL;
}

// Whoever comes at the same time gets the same.
static void test_secret_race(void)
{
    enum { THREADS = 8 };
    static opening all[THREADS];
    pthread_t threads[THREADS];
    const char *home = home_of_case(); // once: it has one place for its answer
    for (int i = 0; i < THREADS; i++) {
        all[i].home = home;
        ASSERT(pthread_create(&threads[i], NULL, open_secret, &all[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        ASSERT(pthread_join(threads[i], NULL) == 0);
        ASSERT_OK(all[i].status);
        ASSERT_EQ_BYTES(&all[i].secret, sizeof(all[i].secret), &all[0].secret,
                        sizeof(all[0].secret));
    }
}

static void expect_masked(const char *text, const char *want)
{
    char place[256];
    const size_t size = strlen(text);
    memcpy(place, text, size);
    const size_t masked = tp_api_key_mask(place, size);
    ASSERT_EQ_BYTES(place, masked, want, strlen(want));
}

static void test_mask(void)
{
    expect_masked("", "");
    expect_masked("no key here", "no key here");
    expect_masked("tpk_", "tpk_");
    expect_masked("tpk_a", "tpk_.");
    expect_masked("tpk_abcdefghij_abcdefghijabcdefghijabcdefghijab", "tpk_...");
    expect_masked("x=tpk_abcdefghij_abcdefghijabcdefghij; y", "x=tpk_...; y");
    expect_masked("tpk_abcdef tpk_ghijkm,tpk_", "tpk_... tpk_...,tpk_");
    ASSERT(tp_api_key_is_within(TP_STR("/v1/tpk_abc")));
    ASSERT(!tp_api_key_is_within(TP_STR("/v1/tpk")));
    ASSERT(!tp_api_key_is_within((tp_str){NULL, 0}));
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    tp_server_secret secret;
    return tp_server_secret_open(alloc, home_of_case(), &secret, err);
}

static void test_without_memory(void)
{
    test_out_of_memory(scenario, NULL);
}

TEST_MAIN(TEST(test_form), TEST(test_every_letter_is_drawn), TEST(test_hash), TEST(test_passwords),
          TEST(test_secret), TEST(test_secret_race), TEST(test_mask), TEST(test_without_memory))
