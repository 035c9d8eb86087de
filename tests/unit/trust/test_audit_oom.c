// SPDX-License-Identifier: Apache-2.0
//
// The audit log with every allocation failing in turn: appending, verifying, signing, proving.
#include "audit_cases.h"
#include "base/tp_error.h"
#include "trust/audit_check.h"

static tapeout_status append(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    const char *home = user;
    tp_audit *audit = NULL;
    const tp_audit_field fields[] = {{"a", TP_STR("1")}, {"b", TP_STR("2")}};
    const tp_audit_note note = {"test", TP_STR("w"), fields, 2};
    const tp_audit_event events[2] = {{.kind = "x", .what = TP_STR("{\"a\":[1,2]}")},
                                      {.kind = "y"}};
    TP_TRY(tp_audit_open(alloc, home, &audit, err));
    tapeout_status status = tp_audit_tell(audit, &note, err);
    if (status == TAPEOUT_OK) {
        status = tp_audit_append_many(audit, events, 2, NULL, err);
    }
    tp_audit_close(&audit);
    return status;
}

static tapeout_status read_all(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    audit_tree tree;
    audit_found found = {.count = 0};
    TP_TRY(tp_audit_tree_init(&tree, err));
    const tapeout_status status = tp_audit_tree_read(&env, user, &tree, &found, err);
    tp_audit_tree_deinit(&tree);
    return status;
}

static tapeout_status sign(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_note_signer signer;
    tp_note_key key;
    tp_buffer text;
    tp_checkpoint checkpoint = {.size = 3};
    TP_TRY(tp_note_signer_open(alloc, user, &signer, err));
    tp_buffer_init(&text, alloc, TP_MAX_CHECKPOINT_BYTES);
    tapeout_status status = tp_checkpoint_write(&signer, &checkpoint, &text, err);
    tp_note_signer_deinit(&signer);
    if (status == TAPEOUT_OK) {
        status = tp_note_key_open(alloc, user, &key, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_checkpoint_read(tp_buffer_view(&text), &key, &checkpoint, err);
    }
    tp_buffer_deinit(&text);
    return status;
}

static char home[AUDIT_CASES_PATH];

static void start(void)
{
    (void)snprintf(home, sizeof(home), "%s", audit_case_home());
    audit_case_fill(home, 3);
}

static void test_append(void)
{
    start();
    test_out_of_memory(append, home);
    (void)audit_case_check(audit_case_segment(home, 0), 0);
}

static void test_read(void)
{
    start();
    test_out_of_memory(read_all, home);
}

static void test_sign(void)
{
    start();
    test_out_of_memory(sign, home);
}

TEST_MAIN(TEST_SLOW(test_append, 300), TEST(test_read), TEST(test_sign))
