// SPDX-License-Identifier: Apache-2.0
//
// A disk that is full, read-only or failing at any call: no entry is acknowledged that isn't there,
// the reason is said, and once the cause is gone the same handle goes on, unless a sync failed:
// then it refuses for good, and a new one goes on.
#include "audit_cases.h"
#include "base/tp_alloc.h"
#include "disk_shim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tapeout/audit.h>

static uint64_t count_entries(const char *home)
{
    return audit_case_check(audit_case_segment(home, 0), 0);
}

static tapeout_status try_append(tp_audit *audit, uint64_t *ret_sequence, tapeout_error *err)
{
    const tp_audit_event event = {.kind = "k", .who = TP_STR("w"), .what = TP_STR("{\"a\":1}")};
    return tp_audit_append(audit, &event, ret_sequence, err);
}

static void heal(void)
{
    for (int call = 0; call < DISK_CALL_COUNT; call++) {
        disk_fail((disk_call)call, 0, 0, false);
    }
}

// A new log and two appends, the n-th call of one kind failing.
static void try_fault(disk_call call, uint64_t n, int error_number)
{
    const char *home = audit_case_home();
    test_remove_tree(home);
    tp_audit *audit = audit_case_open(home);
    uint64_t acknowledged = 0;
    bool has_failed_sync = false;
    heal();
    disk_fail(call, n, error_number, false);
    for (int i = 0; i < 3; i++) {
        uint64_t sequence = UINT64_MAX;
        tapeout_error err = {0};
        const tapeout_status status = try_append(audit, &sequence, &err);
        if (status == TAPEOUT_OK) {
            ASSERT_EQ_UINT(sequence, acknowledged);
            acknowledged++;
        } else {
            ASSERT(err.message[0] != '\0' && sequence == UINT64_MAX);
            has_failed_sync = has_failed_sync || (call == DISK_SYNC && disk_calls(call) >= n);
            ASSERT(call != DISK_WRITE || error_number != ENOSPC || status == TAPEOUT_E_FULL);
            ASSERT(call != DISK_OPEN || error_number != EROFS || status == TAPEOUT_E_FULL);
        }
    }
    heal();
    if (tp_audit_count(audit).is_stopped) {
        ASSERT(has_failed_sync);
        ASSERT_FAILS(try_append(audit, NULL, &test_err), TAPEOUT_E_IO, "a sync failed before");
    } else {
        ASSERT_OK(try_append(audit, NULL, &test_err)); // without a restart
        acknowledged++;
    }
    tp_audit_close(&audit);
    audit = audit_case_open(home);
    uint64_t sequence = 0;
    ASSERT_OK(try_append(audit, &sequence, &test_err));
    ASSERT(sequence >= acknowledged);
    tp_audit_close(&audit);
    ASSERT_EQ_UINT(count_entries(home), sequence + 1);
}

static void test_each_call(void)
{
    static const int errors[] = {ENOSPC, EROFS, EIO};
    for (int call = 0; call < DISK_CALL_COUNT; call++) {
        for (uint64_t n = 1; n <= 12; n++) {
            for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
                try_fault((disk_call)call, n, errors[i]);
            }
        }
    }
}

// The write fails and so does taking it back: the next append finds out.
static void test_write_and_truncate(void)
{
    const char *home = audit_case_home();
    tp_audit *audit = audit_case_open(home);
    ASSERT_OK(try_append(audit, NULL, &test_err));
    disk_fail(DISK_WRITE, 1, ENOSPC, true);
    disk_fail(DISK_TRUNCATE, 1, EIO, true);
    ASSERT_FAILS(try_append(audit, NULL, &test_err), TAPEOUT_E_FULL, "No space");
    ASSERT(try_append(audit, NULL, &test_err) != TAPEOUT_OK);
    heal();
    uint64_t sequence = 0;
    ASSERT_OK(try_append(audit, &sequence, &test_err));
    ASSERT_EQ_UINT(sequence, 2); // behind the entry that tells what was cut
    tp_audit_close(&audit);
    ASSERT_EQ_UINT(count_entries(home), 3);
}

// After a failed sync nothing of the batch is left for another process to build on.
static void test_failed_sync(void)
{
    const char *home = audit_case_home();
    tp_audit *audit = audit_case_open(home);
    ASSERT_OK(try_append(audit, NULL, &test_err));
    disk_fail(DISK_SYNC, 1, EIO, false);
    ASSERT_FAILS(try_append(audit, NULL, &test_err), TAPEOUT_E_IO, "nothing more is written");
    ASSERT_EQ_UINT(count_entries(home), 1);
    ASSERT_FAILS(try_append(audit, NULL, &test_err), TAPEOUT_E_IO, "a sync failed before");
    ASSERT(tp_audit_count(audit).is_stopped);
    tp_audit *other = audit_case_open(home);
    ASSERT_OK(try_append(other, NULL, &test_err));
    tp_audit_close(&other);
    ASSERT(try_append(audit, NULL, &test_err) != TAPEOUT_OK);
    tp_audit_close(&audit);
}

// What all that a process writes to a home share: a sync that failed in one is the end of all.
static void test_shared_stop(void)
{
    atomic_bool is_stopped = false;
    const char *home = audit_case_home();
    tp_audit *audit = audit_case_open(home);
    tp_audit *other = audit_case_open(home);
    tp_audit_stop_share(audit, &is_stopped);
    tp_audit_stop_share(other, &is_stopped);
    ASSERT_OK(try_append(audit, NULL, &test_err));
    ASSERT_OK(try_append(other, NULL, &test_err));
    disk_fail(DISK_SYNC, 1, ENOSPC, false);
    ASSERT_FAILS(try_append(other, NULL, &test_err), TAPEOUT_E_IO, "nothing more is written");
    ASSERT(atomic_load(&is_stopped) && tp_audit_count(audit).is_stopped);
    ASSERT_FAILS(try_append(audit, NULL, &test_err), TAPEOUT_E_IO, "a sync failed before");
    tp_audit_close(&audit);
    tp_audit_close(&other);
    ASSERT_EQ_UINT(count_entries(home), 2);
}

// -- the lane ------------------------------------------------------------------------------------
static tapeout_status post(tp_audit *audit, tapeout_error *err)
{
    static char text[60000];
    memset(text, ' ', sizeof(text));
    text[0] = '{';
    text[sizeof(text) - 1] = '}';
    const tp_audit_event event = {
        .kind = "posted", .who = TP_STR("w"), .what = {text, sizeof(text)}};
    return tp_audit_post(audit, &event, err);
}

// While the disk is full the lane fills up, what finds no room is counted, and afterwards the log
// tells how much that was.
static void test_lane_without_disk(void)
{
    const char *home = audit_case_home();
    tp_audit *audit = audit_case_open(home);
    ASSERT_OK(tp_audit_lane_start(audit, &test_err));
    ASSERT_OK(post(audit, &test_err));
    ASSERT_OK(tp_audit_lane_sync(audit, &test_err));
    disk_fail(DISK_WRITE, 1, ENOSPC, true);
    ASSERT_OK(post(audit, &test_err));
    ASSERT_FAILS(tp_audit_lane_sync(audit, &test_err), TAPEOUT_E_FULL, "No space");
    uint64_t kept = 2;
    uint64_t lost = 0;
    for (int i = 0; i < 400; i++) {
        const tapeout_status status = post(audit, &test_err);
        ASSERT(status == TAPEOUT_OK || status == TAPEOUT_E_BUSY);
        kept += status == TAPEOUT_OK ? 1 : 0;
        lost += status == TAPEOUT_OK ? 0 : 1;
    }
    ASSERT(lost > 0 && kept > 100);
    ASSERT_EQ_UINT(tp_audit_count(audit).lost, lost);
    ASSERT(tp_audit_count(audit).is_failing);
    heal();
    ASSERT_OK(tp_audit_lane_sync(audit, &test_err));
    tp_audit_close(&audit);
    const tp_str data = audit_case_read(audit_case_segment(home, 0));
    char want[128];
    (void)snprintf(want, sizeof(want),
                   "\"kind\":\"audit.lost\",\"who\":\"server\",\"what\":{\"count\":%llu}",
                   (unsigned long long)lost);
    ASSERT(strstr(data.data, want) != NULL);
    audit_case_free(data);
}

static void write_number(tp_str data, tp_buffer *what)
{
    if (data.size > 0) {
        tp_buffer_append_text(what, "{\"n\":");
        tp_buffer_append_str(what, data);
        tp_buffer_append_text(what, "}");
    } else {
        tp_buffer_append_text(what, "no object");
    }
}

// Drafts become entries when the lane is written, in their order and with others between; those of
// which none can be made are counted.
static void test_drafts(void)
{
    const char *home = audit_case_home();
    tp_audit *audit = audit_case_open(home);
    char digits[16];
    uint64_t posted = 0;
    ASSERT_OK(tp_audit_lane_start(audit, &test_err));
    for (int i = 0; i < 12000; i++) {
        const int size = snprintf(digits, sizeof(digits), "%d", i);
        const tp_audit_draft draft = {.kind = "drafted",
                                      .who = TP_STR("w"),
                                      .data = {digits, i % 4000 == 7 ? 0 : (size_t)size},
                                      .write = write_number};
        ASSERT_OK(tp_audit_post_draft(audit, &draft, &test_err));
        posted += i % 4000 == 7 ? 0 : 1;
        if (i % 100 == 0) {
            const tp_audit_event event = {.kind = "posted", .who = TP_STR("w")};
            ASSERT_OK(tp_audit_post(audit, &event, &test_err));
            posted++;
        }
    }
    ASSERT_OK(tp_audit_lane_sync(audit, &test_err));
    ASSERT_EQ_UINT(tp_audit_count(audit).lost, 3);
    tp_audit_close(&audit);
    audit = audit_case_open(home); // without a lane
    const tp_audit_draft last = {"drafted", TP_STR("w"), TP_STR("4711"), write_number};
    ASSERT_OK(tp_audit_post_draft(audit, &last, &test_err));
    tp_audit_close(&audit);
    const tp_str data = audit_case_read(audit_case_segment(home, 0));
    const char *at = data.data;
    for (int i = 0; i < 12000; i++) {
        (void)snprintf(digits, sizeof(digits), "{\"n\":%d}", i);
        at = i % 4000 == 7 ? at : strstr(at, digits);
        ASSERT(at != NULL);
    }
    ASSERT(strstr(at, "{\"n\":4711}") != NULL);
    ASSERT(strstr(data.data, "\"kind\":\"audit.lost\"") != NULL);
    audit_case_free(data);
    ASSERT(count_entries(home) >= posted + 2); // how often what is lost was told differs
}

// Refused logins: the first of each kind, then counts; more kinds than places are a number.
static void test_refused(void)
{
    const char *home = audit_case_home();
    tp_audit *audit = audit_case_open(home);
    ASSERT_OK(tp_audit_lane_start(audit, &test_err));
    for (int i = 0; i < 1000; i++) {
        tp_audit_refused(audit, TP_STR("nobody"), TP_STR("10.0.0.1"), TP_STR("unknown \"key\"\n"));
    }
    for (int i = 0; i < 200; i++) {
        char peer[32];
        const int size = snprintf(peer, sizeof(peer), "10.0.1.%d", i);
        tp_audit_refused(audit, TP_STR("nobody"), (tp_str){peer, (size_t)size}, TP_STR("\xff"));
    }
    tp_audit_close(&audit);
    const tp_str data = audit_case_read(audit_case_segment(home, 0));
    ASSERT_EQ_UINT(count_entries(home), 1 + 63 + 1 + 1); // each first, then the two counts
    ASSERT(strstr(data.data, "\"count\":999}") != NULL);
    ASSERT(strstr(data.data, "\"what\":{\"count\":137}") != NULL);
    audit_case_free(data);
}

// Whoever has ever another reason gets 8 entries, one for the rest, and the count of that.
static void test_refused_of_one_peer(void)
{
    const char *home = audit_case_home();
    tp_audit *audit = audit_case_open(home);
    ASSERT_OK(tp_audit_lane_start(audit, &test_err));
    for (int i = 0; i < 200; i++) {
        char why[32];
        const int size = snprintf(why, sizeof(why), "reason %d", i);
        tp_audit_refused(audit, TP_STR("nobody"), TP_STR("10.0.0.1"), (tp_str){why, (size_t)size});
    }
    tp_audit_refused(audit, TP_STR("nobody"), TP_STR("10.0.0.2"), TP_STR("reason 0"));
    tp_audit_close(&audit);
    const tp_str data = audit_case_read(audit_case_segment(home, 0));
    ASSERT_EQ_UINT(count_entries(home), 8 + 1 + 1 + 1);
    ASSERT(strstr(data.data, "\"why\":\"other reasons\",\"count\":191}") != NULL);
    ASSERT(strstr(data.data, "\"peer\":\"10.0.0.2\",\"why\":\"reason 0\"") != NULL);
    audit_case_free(data);
}

TEST_MAIN(TEST_SLOW(test_each_call, 600), TEST(test_write_and_truncate), TEST(test_failed_sync),
          TEST(test_shared_stop), TEST(test_lane_without_disk), TEST(test_drafts),
          TEST(test_refused), TEST(test_refused_of_one_peer))
