// SPDX-License-Identifier: Apache-2.0
//
// Appending: numbers without gaps over handles and threads, batches, segments, what a crash leaves
// and what somebody changed, events that are none.
#include "audit_cases.h"
#include "base/tp_alloc.h"
#include "base/tp_file.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_append(void)
{
    const char *home = audit_case_home();
    tp_audit *audit = audit_case_open(home);
    ASSERT(!tp_path_exists(home)); // opening touches nothing
    ASSERT_EQ_UINT(audit_case_append(audit, 10), 0);
    ASSERT_EQ_UINT(audit_case_append(audit, 11), 1);
    tp_audit *other = audit_case_open(home);
    ASSERT_EQ_UINT(audit_case_append(other, 12), 2);
    ASSERT_EQ_UINT(audit_case_append(audit, 13), 3); // which notices that the other was there
    ASSERT_EQ_UINT(tp_audit_count(audit).appended, 3);
    tp_audit_close(&audit);
    tp_audit_close(&other);
    ASSERT(other == NULL);
    tp_audit_close(&other);
    audit = audit_case_open(home);
    ASSERT_EQ_UINT(audit_case_append(audit, 14), 4);
    tp_audit_close(&audit);
    ASSERT_EQ_UINT(audit_case_check(audit_case_segment(home, 0), 0), 5);
    struct stat about;
    ASSERT_EQ_INT(stat(audit_case_segment(home, 0), &about), 0);
    ASSERT_EQ_UINT(about.st_mode & 0777, 0600);
    ASSERT_EQ_INT(stat(audit_case_path(home, "."), &about), 0);
    ASSERT_EQ_UINT(about.st_mode & 0777, 0700);
}

// A line of the documentation, byte for byte.
static void test_line(void)
{
    const char *home = audit_case_home();
    tp_audit *audit = audit_case_open(home);
    const tp_audit_event events[2] = {
        {"key.made", TP_STR("key:\"ab\""), TP_STR("{\"name\":\"x\"}"), 1764088800123456},
        {"b", TP_STR("w"), {NULL, 0}, -1}};
    uint64_t first = 9;
    ASSERT_OK(tp_audit_append_many(audit, events, 2, &first, &test_err));
    ASSERT_EQ_UINT(first, 0);
    tp_audit_close(&audit);
    const tp_str data = audit_case_read(audit_case_segment(home, 0));
    // The hashes are Python's: hashlib.sha256(b"\0" + line up to ',"leaf"').
    ASSERT_EQ_STR(data.data,
                  "{\"seq\":0,\"batch\":0,\"time\":\"2025-11-25T16:40:00.123456Z\",\"prev\":"
                  "\"0000000000000000000000000000000000000000000000000000000000000000\","
                  "\"kind\":\"key.made\",\"who\":\"key:\\\"ab\\\"\",\"what\":{\"name\":\"x\"},"
                  "\"leaf\":\"e961dd04ff7e87b3\"}\n"
                  "{\"seq\":1,\"batch\":0,\"time\":\"1969-12-31T23:59:59.999999Z\",\"prev\":"
                  "\"e961dd04ff7e87b38ad572e790721dd2f40e434ce7039b493ffc27fd308d9390\","
                  "\"kind\":\"b\",\"who\":\"w\",\"what\":{},\"leaf\":\"e81877974c155c05\"}\n");
    audit_case_free(data);
}

static void test_not_an_event(void)
{
    const char *home = audit_case_home();
    tp_audit *audit = audit_case_open(home);
    static char long_text[TP_MAX_AUDIT_WHAT_BYTES + 16];
    memset(long_text, ' ', sizeof(long_text));
    long_text[0] = '{';
    long_text[sizeof(long_text) - 1] = '}';
    const struct {
        tp_audit_event event;
        tapeout_status status;
    } cases[] = {
        {{.kind = ""}, TAPEOUT_E_INVALID},
        {{.kind = "Upper"}, TAPEOUT_E_INVALID},
        {{.kind = "a b"}, TAPEOUT_E_INVALID},
        {{.kind = "k", .what = TP_STR("[]")}, TAPEOUT_E_INVALID},
        {{.kind = "k", .what = TP_STR("{\"a\":1")}, TAPEOUT_E_CORRUPT},
        {{.kind = "k", .what = TP_STR("{\"a\":1,\"a\":2}")}, TAPEOUT_E_CORRUPT},
        {{.kind = "k", .what = TP_STR("{\n}")}, TAPEOUT_E_INVALID},
        {{.kind = "k", .who = TP_STR("\xff")}, TAPEOUT_E_INVALID},
        {{.kind = "k", .what = {long_text, sizeof(long_text)}}, TAPEOUT_E_LIMIT},
        {{.kind = "k", .who = {long_text, TP_MAX_AUDIT_WHO_BYTES + 1}}, TAPEOUT_E_LIMIT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ASSERT_FAILS(tp_audit_append(audit, &cases[i].event, NULL, &test_err), cases[i].status,
                     "audit");
    }
    ASSERT_FAILS(tp_audit_append_many(audit, NULL, 0, NULL, &test_err), TAPEOUT_E_LIMIT, NULL);
    ASSERT(!tp_path_exists(home));
    // A control character in a name is escaped, whatever it is.
    const tp_audit_event odd = {.kind = "k", .who = TP_STR("a\nb\"\\")};
    ASSERT_OK(tp_audit_append(audit, &odd, NULL, &test_err));
    tp_audit_close(&audit);
    ASSERT_EQ_UINT(audit_case_check(audit_case_segment(home, 0), 0), 1);
}

static void test_tell(void)
{
    const char *home = audit_case_home();
    const tp_audit_field fields[] = {{"model", TP_STR("m")}, {"version", TP_STR("3")}};
    const tp_audit_note note = {.kind = "model.registered", .fields = fields, .field_count = 2};
    ASSERT_OK(tp_audit_tell_home(tp_allocator_default(), home, &note, &test_err));
    ASSERT_OK(tp_audit_tell_home(tp_allocator_default(), home, &note, &test_err));
    const tp_str data = audit_case_read(audit_case_segment(home, 0));
    char who[64];
    (void)snprintf(who, sizeof(who), "\"who\":\"uid:%lu\",\"what\":{\"model\":\"m\"",
                   (unsigned long)getuid());
    ASSERT(strstr(data.data, who) != NULL);
    audit_case_free(data);
    ASSERT_EQ_UINT(audit_case_check(audit_case_segment(home, 0), 0), 2);
}

// -- threads -------------------------------------------------------------------------------------
enum { THREADS = 8, EACH = 50 };

typedef struct appender {
    tp_audit *audit;
    uint64_t sequences[EACH];
} appender;

static void *append_each(void *user)
{
    appender *self = user;
    for (uint64_t i = 0; i < EACH; i++) {
        self->sequences[i] = audit_case_append(self->audit, i);
    }
    return NULL;
}

// Each sequence once, ascending for each thread, over two handles.
static void test_threads(void)
{
    const char *home = audit_case_home();
    tp_audit *audits[2] = {audit_case_open(home), audit_case_open(home)};
    static appender appenders[THREADS];
    static bool is_taken[THREADS * EACH];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        appenders[i].audit = audits[i % 2];
        ASSERT_EQ_INT(pthread_create(&threads[i], NULL, append_each, &appenders[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        ASSERT_EQ_INT(pthread_join(threads[i], NULL), 0);
        for (int k = 0; k < EACH; k++) {
            const uint64_t sequence = appenders[i].sequences[k];
            ASSERT(sequence < THREADS * EACH && !is_taken[sequence]);
            ASSERT(k == 0 || sequence > appenders[i].sequences[k - 1]);
            is_taken[sequence] = true;
        }
    }
    tp_audit_close(&audits[0]);
    tp_audit_close(&audits[1]);
    ASSERT_EQ_UINT(audit_case_check(audit_case_segment(home, 0), 0), THREADS * EACH);
}

// -- segments ------------------------------------------------------------------------------------
static void test_segments(void)
{
    const char *home = audit_case_home();
    static char text[200000];
    memset(text, 'x', sizeof(text));
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + sizeof(text) - 2, "\"}", 2);
    const tp_audit_event large = {
        .kind = "large", .who = TP_STR("w"), .what = {text, sizeof(text)}};
    tp_audit *audits[2] = {audit_case_open(home), audit_case_open(home)};
    for (uint64_t i = 0; i < 200; i++) {
        uint64_t sequence = 0;
        ASSERT_OK(tp_audit_append(audits[i % 2], &large, &sequence, &test_err));
        ASSERT_EQ_UINT(sequence, i);
    }
    tp_audit_close(&audits[0]);
    tp_audit_close(&audits[1]);
    audit_segments segments;
    ASSERT_OK(tp_audit_segments_list(tp_allocator_default(), audit_case_path(home, "."), &segments,
                                     &test_err));
    ASSERT_EQ_UINT(segments.count, 3);
    for (size_t i = 0; i < segments.count; i++) {
        const uint64_t next =
            audit_case_check(audit_case_segment(home, segments.firsts[i]), segments.firsts[i]);
        ASSERT_EQ_UINT(next, i + 1 < segments.count ? segments.firsts[i + 1] : 200);
    }
    // A crash between the making of a segment and its first entry.
    const uint64_t last = segments.firsts[2];
    tp_audit_segments_free(tp_allocator_default(), &segments);
    audit_case_write(audit_case_segment(home, last), TP_STR(""));
    audit_case_fill(home, 1);
    ASSERT_EQ_UINT(audit_case_check(audit_case_segment(home, last), last), last + 1);
    // And one that is gone.
    ASSERT_EQ_INT(unlink(audit_case_segment(home, 0)), 0);
    audit_case_fill(home, 1);
    audit_case_write(audit_case_segment(home, last), TP_STR(""));
    char first[AUDIT_CASES_PATH];
    (void)snprintf(first, sizeof(first), "%s", audit_case_segment(home, last));
    ASSERT_EQ_INT(rename(first, audit_case_segment(home, last + 1)), 0);
    tp_audit *audit = audit_case_open(home);
    const tp_audit_event event = {.kind = "k"};
    ASSERT_FAILS(tp_audit_append(audit, &event, NULL, &test_err), TAPEOUT_E_CORRUPT, "is missing");
    tp_audit_close(&audit);
}

// -- what a crash leaves -------------------------------------------------------------------------
static size_t count_cuts(const char *home)
{
    const tp_str data = audit_case_read(audit_case_segment(home, 0));
    size_t count = 0;
    for (const char *at = strstr(data.data, "audit.cut"); at != NULL;
         at = strstr(at + 1, "audit.cut")) {
        count++;
    }
    audit_case_free(data);
    return count;
}

// The last entry cut at each byte: the next append goes on behind those that are whole.
static void test_cut_short(void)
{
    const char *home = audit_case_home();
    audit_case_fill(home, 3);
    const char *path = audit_case_segment(home, 0);
    const tp_str whole = audit_case_read(path);
    const size_t two = (size_t)(strchr(strchr(whole.data, '\n') + 1, '\n') + 1 - whole.data);
    for (size_t size = two; size < whole.size; size++) {
        audit_case_write(path, (tp_str){whole.data, size});
        audit_case_fill(home, 1);
        const uint64_t next = audit_case_check(path, 0);
        ASSERT_EQ_UINT(next, size == two ? 3 : 4); // with the entry that says so
        ASSERT_EQ_UINT(count_cuts(home), size == two ? 0 : 1);
    }
    audit_case_free(whole);
}

// Pages that never came: zeros, and lines of the same batch behind them.
static void test_torn_batch(void)
{
    const char *home = audit_case_home();
    audit_case_fill(home, 2);
    tp_audit *audit = audit_case_open(home);
    tp_audit_event events[40];
    for (size_t i = 0; i < 40; i++) {
        events[i] = (tp_audit_event){.kind = "k", .who = TP_STR("w")};
    }
    ASSERT_OK(tp_audit_append_many(audit, events, 40, NULL, &test_err));
    tp_audit_close(&audit);
    const char *path = audit_case_segment(home, 0);
    const tp_str whole = audit_case_read(path);
    char *data = (char *)(uintptr_t)whole.data;
    memset(data + 1000, 0, 512);
    audit_case_write(path, whole);
    audit_case_fill(home, 1);
    ASSERT_EQ_UINT(count_cuts(home), 1);
    ASSERT(audit_case_check(path, 0) < 10);
    audit_case_free(whole);
}

// What was changed in an entry that was on disk is never cut, as long as a later one shows it.
static void test_changed(void)
{
    const char *home = audit_case_home();
    audit_case_fill(home, 4);
    const char *path = audit_case_segment(home, 0);
    const tp_str whole = audit_case_read(path);
    char *data = (char *)(uintptr_t)whole.data;
    char *place = strstr(data, "{\"n\":1}");
    place[5] = '7';
    audit_case_write(path, whole);
    tp_audit *audit = audit_case_open(home);
    const tp_audit_event event = {.kind = "k"};
    ASSERT_FAILS(tp_audit_append(audit, &event, NULL, &test_err), TAPEOUT_E_CORRUPT,
                 "entry 1 is damaged");
    place[5] = '1';
    audit_case_write(path, whole);
    ASSERT_EQ_UINT(audit_case_append(audit, 4), 4); // the same handle, once it is right again
    tp_audit_close(&audit);
    audit_case_free(whole);
}

TEST_MAIN(TEST(test_append), TEST(test_line), TEST(test_not_an_event), TEST(test_tell),
          TEST(test_threads), TEST(test_segments), TEST_SLOW(test_cut_short, 300),
          TEST(test_torn_batch), TEST(test_changed))
