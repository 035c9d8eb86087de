// SPDX-License-Identifier: Apache-2.0
//
// Keys and checkpoints: those of other implementations are read (Go's checksum database, and notes
// that make_checkpoint_notes.py signed with a plain Ed25519 of its own), what was changed anywhere
// is not believed.
#include "audit_cases.h"
#include "base/tp_alloc.h"
#include "checkpoint_tables.h"
#include "trust/tp_checkpoint.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static tp_note_key key_of(const char *text)
{
    tp_note_key key;
    ASSERT_OK(tp_note_key_read(tp_str_from(text), &key, &test_err));
    return key;
}

static void test_keys(void)
{
    // The hash in each is its own proof; these are public keys of logs that run today.
    const char *const known[] = {
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", note_key};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        const tp_note_key key = key_of(known[i]);
        tp_buffer text;
        tp_buffer_init(&text, tp_allocator_default(), 1024);
        tp_note_key_write(&key, &text);
        ASSERT_EQ_BYTES(text.data, text.size - 1, known[i], strlen(known[i]));
        tp_buffer_deinit(&text);
    }
    const char *const wrong[] = {
        "",
        "name",
        "name+12345678",
        "name+12345678+AAAA",
        "sum.golang.org+033de0af+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "sum.golang.com+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "sum golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "sum.golang.org+033de0ae+As4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"};
    tp_note_key key;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ASSERT_FAILS(tp_note_key_read(tp_str_from(wrong[i]), &key, &test_err), TAPEOUT_E_CORRUPT,
                     "key");
    }
}

static void test_known_note(void)
{
    const tp_note_key key = key_of(note_key);
    tp_checkpoint checkpoint;
    ASSERT_OK(tp_checkpoint_read(tp_str_from(note_good), &key, &checkpoint, &test_err));
    ASSERT_EQ_UINT(checkpoint.size, 510100);
    ASSERT_EQ_UINT(checkpoint.root.bytes[0], 0);
    ASSERT_EQ_UINT(checkpoint.root.bytes[31], 31);
    ASSERT_OK(tp_checkpoint_read(tp_str_from(note_with_witness), &key, &checkpoint, &test_err));
    ASSERT_FAILS(tp_checkpoint_read(tp_str_from(note_other_origin), &key, &checkpoint, &test_err),
                 TAPEOUT_E_UNTRUSTED, "of log");
    const tp_note_key other =
        key_of("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8");
    ASSERT_FAILS(tp_checkpoint_read(tp_str_from(note_good), &other, &checkpoint, &test_err),
                 TAPEOUT_E_UNTRUSTED, "not signed by");
}

// Every byte changed in turn, every shorter text, every byte doubled.
static void test_changed_notes(void)
{
    const tp_note_key key = key_of(note_key);
    const size_t size = strlen(note_good);
    tp_checkpoint checkpoint;
    char text[1024];
    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            memcpy(text, note_good, size);
            text[i] = (char)(text[i] ^ (1 << bit));
            ASSERT(tp_checkpoint_read((tp_str){text, size}, &key, &checkpoint, NULL) != TAPEOUT_OK);
        }
        ASSERT(tp_checkpoint_read((tp_str){note_good, i}, &key, &checkpoint, NULL) != TAPEOUT_OK);
        memcpy(text, note_good, i + 1);
        memcpy(text + i + 1, note_good + i, size - i);
        ASSERT(tp_checkpoint_read((tp_str){text, size + 1}, &key, &checkpoint, NULL) != TAPEOUT_OK);
    }
}

static void test_own_key(void)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    char home[AUDIT_CASES_PATH];
    (void)snprintf(home, sizeof(home), "%s", audit_case_home());
    tp_note_signer signer;
    tp_note_signer again;
    tp_note_key key;
    ASSERT_FAILS(tp_note_key_open(alloc, home, &key, &test_err), TAPEOUT_E_NOT_FOUND, "key.pub");
    ASSERT_OK(tp_note_signer_open(alloc, home, &signer, &test_err));
    ASSERT_OK(tp_note_signer_open(alloc, home, &again, &test_err));
    ASSERT_EQ_BYTES(&signer, sizeof(signer), &again, sizeof(again));
    ASSERT_OK(tp_note_key_open(alloc, home, &key, &test_err));
    const tp_checkpoint checkpoint = {.size = 77, .root = {{1, 2, 3}}};
    tp_checkpoint got;
    tp_buffer text;
    tp_buffer_init(&text, alloc, TP_MAX_CHECKPOINT_BYTES);
    ASSERT_OK(tp_checkpoint_write(&signer, &checkpoint, &text, &test_err));
    ASSERT_OK(tp_checkpoint_read(tp_buffer_view(&text), &key, &got, &test_err));
    ASSERT_EQ_BYTES(&got, sizeof(got), &checkpoint, sizeof(checkpoint));
    tp_buffer_deinit(&text);
    struct stat about;
    ASSERT_EQ_INT(stat(audit_case_path(home, "key"), &about), 0);
    ASSERT_EQ_UINT(about.st_mode & 0777, 0600);
    ASSERT_EQ_INT(chmod(audit_case_path(home, "key"), 0644), 0);
    ASSERT_FAILS(tp_note_signer_open(alloc, home, &again, &test_err), TAPEOUT_E_DENIED, "chmod");
    ASSERT_EQ_INT(chmod(audit_case_path(home, "key"), 0600), 0);
    audit_case_write(audit_case_path(home, "key"), TP_STR("PRIVATE+KEY+a+b+AAAA\n"));
    ASSERT_FAILS(tp_note_signer_open(alloc, home, &again, &test_err), TAPEOUT_E_CORRUPT, "damaged");
}

TEST_MAIN(TEST(test_keys), TEST(test_known_note), TEST(test_changed_notes), TEST(test_own_key))
