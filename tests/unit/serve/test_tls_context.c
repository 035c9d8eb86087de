// SPDX-License-Identifier: Apache-2.0
//
// Certificates from files: what is refused and with which words, what happens when a file changes,
// and those that a server makes for itself.
#include "serve/tp_tls.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "test.h"
#include "tls_cases.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    ASSERT(file != NULL);
    ASSERT(fputs(text, file) >= 0);
    ASSERT_EQ_INT(fclose(file), 0);
}

static void check_wrong(const tp_tls_options *options, tapeout_status want, const char *part)
{
    tp_tls *tls = NULL;
    ASSERT_FAILS(tp_tls_new(tp_allocator_default(), options, &tls, &test_err), want, part);
    ASSERT(tls == NULL);
}

static void test_mistakes_are_named(void)
{
    tls_case_pair good;
    tls_case_pair other;
    tls_case_pair late;
    char junk[512];
    tls_case_make(&good, "good", NULL, NULL, 5);
    tls_case_make(&other, "other", NULL, NULL, 5);
    tls_case_make(&late, "late", NULL, NULL, -1);
    (void)snprintf(junk, sizeof(junk), "%s/junk", test_temp_dir());
    write_text(junk, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    check_wrong(&(tp_tls_options){.cert = "/does/not/exist", .key = good.key}, TAPEOUT_E_NOT_FOUND,
                "tls: certificate");
    check_wrong(&(tp_tls_options){.cert = good.cert, .key = "/does/not/exist"}, TAPEOUT_E_NOT_FOUND,
                "tls: key");
    check_wrong(&(tp_tls_options){.cert = junk, .key = good.key}, TAPEOUT_E_CORRUPT, "broken");
    check_wrong(&(tp_tls_options){.cert = good.key, .key = good.key}, TAPEOUT_E_CORRUPT,
                "no certificate");
    check_wrong(&(tp_tls_options){.cert = good.cert, .key = junk}, TAPEOUT_E_CORRUPT, "key");
    check_wrong(&(tp_tls_options){.cert = good.cert, .key = other.key}, TAPEOUT_E_INVALID,
                "does not fit");
    check_wrong(&(tp_tls_options){.cert = late.cert, .key = late.key}, TAPEOUT_E_INVALID,
                "not valid now");
    check_wrong(&(tp_tls_options){.cert = good.cert, .key = good.key, .client_ca = junk},
                TAPEOUT_E_CORRUPT, "client_ca");
    write_text(junk, "");
    check_wrong(&(tp_tls_options){.cert = good.cert, .key = good.key, .client_ca = junk},
                TAPEOUT_E_CORRUPT, "client_ca");
    tls_case_free(&good);
    tls_case_free(&other);
    tls_case_free(&late);
}

static void test_a_passphrase_is_refused(void)
{
    tls_case_pair pair;
    char locked[512];
    tls_case_make(&pair, "pair", NULL, NULL, 5);
    (void)snprintf(locked, sizeof(locked), "%s/locked", test_temp_dir());
    FILE *file = fopen(locked, "w");
    ASSERT(file != NULL);
    ASSERT_EQ_INT(PEM_write_PrivateKey(file, pair.pkey, EVP_aes_256_cbc(),
                                       (const unsigned char *)"secret", 6, NULL, NULL),
                  1);
    ASSERT_EQ_INT(fclose(file), 0);
    check_wrong(&(tp_tls_options){.cert = pair.cert, .key = locked}, TAPEOUT_E_UNSUPPORTED,
                "passphrase");
    tls_case_free(&pair);
}

// As a rotation does it: the certificate first, then its key, with a moment in which they differ.
static void test_changes_are_followed(void)
{
    tls_case_pair old;
    tls_case_pair fresh;
    tp_tls *tls = NULL;
    tls_case_make(&old, "old", NULL, NULL, 5);
    tls_case_make(&fresh, "fresh", NULL, NULL, 6);
    const tp_tls_options options = {.cert = old.cert, .key = old.key};
    ASSERT_OK(tp_tls_new(tp_allocator_default(), &options, &tls, &test_err));
    const tp_tls_facts before = tp_tls_facts_read(tls);
    ASSERT_EQ_UINT(strlen(before.sha256), 64);
    ASSERT(!tp_tls_has_changed(tls));
    ASSERT_EQ_INT(rename(fresh.cert, old.cert), 0);
    ASSERT(tp_tls_has_changed(tls));
    ASSERT_FAILS(tp_tls_reload(tls, &test_err), TAPEOUT_E_INVALID, "does not fit");
    ASSERT_EQ_STR(tp_tls_facts_read(tls).sha256, before.sha256);
    ASSERT(!tp_tls_has_changed(tls)); // until the next change
    ASSERT_EQ_INT(rename(fresh.key, old.key), 0);
    ASSERT(tp_tls_has_changed(tls));
    ASSERT_OK(tp_tls_reload(tls, &test_err));
    const tp_tls_facts after = tp_tls_facts_read(tls);
    ASSERT(strcmp(after.sha256, before.sha256) != 0);
    ASSERT(after.expires_unix_s > before.expires_unix_s);
    ASSERT_EQ_INT(unlink(old.cert), 0);
    ASSERT(tp_tls_has_changed(tls));
    ASSERT_FAILS(tp_tls_reload(tls, &test_err), TAPEOUT_E_NOT_FOUND, NULL);
    ASSERT_EQ_STR(tp_tls_facts_read(tls).sha256, after.sha256);
    tp_tls_free(tls);
    tls_case_free(&old);
    tls_case_free(&fresh);
}

// -- of the server's own making ------------------------------------------------------------------
static void facts_of_self(const char *host, tp_tls_facts *ret_facts)
{
    static char cert[TP_MAX_PATH_BYTES];
    static char key[TP_MAX_PATH_BYTES];
    tp_tls *tls = NULL;
    struct stat about;
    ASSERT_OK(
        tp_tls_self_make(tp_allocator_default(), test_temp_dir(), host, cert, key, &test_err));
    ASSERT_EQ_INT(stat(key, &about), 0);
    ASSERT_EQ_INT(about.st_mode & 0777, 0600);
    const tp_tls_options options = {.cert = cert, .key = key};
    ASSERT_OK(tp_tls_new(tp_allocator_default(), &options, &tls, &test_err));
    *ret_facts = tp_tls_facts_read(tls);
    tp_tls_free(tls);
}

static void test_self_is_kept_while_it_serves(void)
{
    tp_tls_facts first;
    tp_tls_facts again;
    facts_of_self(NULL, &first);
    const char *const same[] = {NULL, "127.0.0.1", "::1", "localhost"};
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        facts_of_self(same[i], &again);
        ASSERT_EQ_STR(again.sha256, first.sha256);
    }
    const char *const other[] = {"10.1.2.3", "models.example.org", "fe80::1"};
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        facts_of_self(other[i], &again);
        ASSERT(strcmp(again.sha256, first.sha256) != 0);
        facts_of_self(other[i], &first);
        ASSERT_EQ_STR(again.sha256, first.sha256);
    }
}

static tapeout_status make_self(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    static char cert[TP_MAX_PATH_BYTES];
    static char key[TP_MAX_PATH_BYTES];
    (void)user;
    return tp_tls_self_make(alloc, test_temp_dir(), NULL, cert, key, err);
}

static void test_self_without_memory(void)
{
    test_out_of_memory(make_self, NULL);
}

TEST_MAIN(TEST(test_mistakes_are_named), TEST(test_a_passphrase_is_refused),
          TEST(test_changes_are_followed), TEST(test_self_is_kept_while_it_serves),
          TEST(test_self_without_memory))
