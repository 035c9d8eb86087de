// SPDX-License-Identifier: Apache-2.0
//
// Whatever is done to the log is found, and the first entry that isn't what was written is named:
// bytes changed, entries changed with their own hash made anew, left out, put in, moved, repeated;
// and, against checkpoints kept elsewhere, ends that were cut off or rewritten with every hash
// right (R3). 300 trials, 10,000 in the full run.
#include "audit_cases.h"
#include "base/tp_alloc.h"
#include "base/tp_random.h"

#include <stdlib.h>
#include <string.h>
#include <tapeout/audit.h>
#include <yyjson.h>

enum { ENTRIES = 60, SEED = 20 };

static tapeout_context *context;
static char home[AUDIT_CASES_PATH];
static char segment[AUDIT_CASES_PATH];

// The lines of the log as it was, and as it is after what is done to it.
static tp_str whole;
static tp_str original[ENTRIES];
static char changed[4 * 65536];
static size_t changed_size;

static void open_context(void)
{
    tapeout_context_options options;
    tapeout_context_options_init(&options);
    options.home = home;
    options.thread_count = 2;
    ASSERT_OK(tapeout_context_new(&options, &context, &test_err));
}

static void start(void)
{
    (void)snprintf(home, sizeof(home), "%s", audit_case_home());
    (void)snprintf(segment, sizeof(segment), "%s", audit_case_segment(home, 0));
    audit_case_fill(home, ENTRIES);
    open_context();
    whole = audit_case_read(segment);
    const char *data = whole.data;
    for (size_t i = 0; i < ENTRIES; i++) {
        const char *end = strchr(data, '\n') + 1;
        original[i] = (tp_str){data, (size_t)(end - data)};
        data = end;
    }
}

static void finish(void)
{
    tapeout_context_free(context);
    audit_case_free(whole);
}

// The verdict over what stands on disk: UINT64_MAX for a log that is right.
static uint64_t first_bad(const char *const *checkpoints, size_t count)
{
    tapeout_audit_verify_options options;
    tapeout_audit_verify_options_init(&options);
    options.checkpoints = checkpoints;
    options.checkpoint_count = count;
    char *json = NULL;
    tapeout_error err = {0};
    const tapeout_status status = tapeout_audit_verify(context, &options, &json, &err);
    ASSERT(json != NULL);
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const bool is_good = yyjson_get_bool(yyjson_obj_get(root, "ok"));
    ASSERT_EQ_INT(status, is_good ? TAPEOUT_OK : TAPEOUT_E_CORRUPT);
    yyjson_val *bad = yyjson_obj_get(root, "first_bad");
    ASSERT(is_good == yyjson_is_null(bad));
    const uint64_t result = is_good ? UINT64_MAX : yyjson_get_uint(bad);
    ASSERT(is_good || err.offset == result);
    ASSERT(is_good || err.message[0] != '\0');
    yyjson_doc_free(doc);
    tapeout_text_free(context, json);
    return result;
}

static void put(tp_str text)
{
    ASSERT(changed_size + text.size <= sizeof(changed));
    memcpy(changed + changed_size, text.data, text.size);
    changed_size += text.size;
}

static void put_lines(size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        put(original[i]);
    }
}

// A line with another `what`, its own hash made anew; `prev` and number as they are, or forged.
static void put_forged(tp_str line, uint64_t sequence, const tp_sha256 *prev)
{
    tp_hasher hasher;
    audit_record record;
    tp_buffer text;
    ASSERT_OK(tp_hasher_init(&hasher, &test_err));
    ASSERT_OK(tp_audit_line_read((tp_str){line.data, line.size - 1}, &record, &test_err));
    record.sequence = sequence;
    record.batch = sequence;
    record.prev = prev == NULL ? record.prev : *prev;
    tp_buffer_init(&text, tp_allocator_default(), 65536);
    tp_sha256 leaf;
    const audit_item item = {77, TP_STR("\"kind\":\"test\",\"who\":\"x\",\"what\":{\"n\":-1}")};
    tp_audit_line_write(&hasher, &record, &item, &text, &leaf);
    put(tp_buffer_view(&text));
    tp_buffer_deinit(&text);
    tp_hasher_deinit(&hasher);
}

static tp_sha256 leaf_of(tp_str line)
{
    tp_hasher hasher;
    audit_record record;
    tp_sha256 leaf;
    ASSERT_OK(tp_hasher_init(&hasher, &test_err));
    ASSERT_OK(tp_audit_line_read((tp_str){line.data, line.size - 1}, &record, &test_err));
    tp_hasher_leaf(&hasher, record.data, &leaf);
    tp_hasher_deinit(&hasher);
    return leaf;
}

typedef enum tampering {
    FLIP,        // a byte becomes another
    EDIT,        // and the entry's own hash is made anew
    EDIT_LINK,   // the same with another `prev`
    DELETE,      // one or more entries
    INSERT,      // a copy of another entry
    INSERT_MADE, // one that follows rightly and has the number of the one it comes before
    SWAP,        // two entries
    REPEAT,      // the entry once more
    TAMPERING_COUNT
} tampering;

// Does it to entry `at`; returns the first that is wrong then.
static uint64_t tamper(tampering how, uint64_t trial, size_t at)
{
    const size_t other = tp_random_below(SEED, 5, trial, ENTRIES);
    changed_size = 0;
    put_lines(0, at);
    switch (how) {
    case FLIP:
        put(original[at]);
        const size_t place = tp_random_below(SEED, 6, trial, original[at].size);
        char *byte = changed + changed_size - original[at].size + place;
        *byte = (char)(*byte ^ (char)(1 + tp_random_below(SEED, 7, trial, 255)));
        put_lines(at + 1, ENTRIES);
        return at;
    case EDIT:
        put_forged(original[at], at, NULL);
        put_lines(at + 1, ENTRIES);
        return at;
    case EDIT_LINK:
        put_forged(original[at], at, &(tp_sha256){{7}});
        put_lines(at + 1, ENTRIES);
        return at;
    case DELETE:
        put_lines(at + 1 + other % 5 < ENTRIES ? at + 1 + other % 5 : at + 1, ENTRIES);
        return at;
    case INSERT:
        put(original[other == at ? (at + 1) % ENTRIES : other]);
        put_lines(at, ENTRIES);
        return at;
    case INSERT_MADE: {
        const tp_sha256 prev = at == 0 ? (tp_sha256){{0}} : leaf_of(original[at - 1]);
        put_forged(original[at], at, &prev);
        put_lines(at, ENTRIES);
        return at + 1; // the place after it has an entry with its number
    }
    case SWAP: {
        const size_t second = at + 1 + other % (ENTRIES - 1 - at);
        put(original[second]);
        put_lines(at + 1, second);
        put(original[at]);
        put_lines(second + 1, ENTRIES);
        return at;
    }
    case REPEAT:
        put(original[at]);
        put_lines(at, ENTRIES);
        return at + 1;
    case TAMPERING_COUNT:
        break;
    }
    return 0;
}

static void test_tampering(void)
{
    start();
    const uint64_t trials = getenv("TAPEOUT_TEST_FULL") != NULL ? 10000 : 300;
    ASSERT_EQ_UINT(first_bad(NULL, 0), UINT64_MAX);
    for (uint64_t trial = 0; trial < trials; trial++) {
        const tampering how = (tampering)(trial % TAMPERING_COUNT);
        // The last is the case of checkpoints, where its own hash was made anew or it is gone.
        const size_t at = tp_random_below(SEED, 4, trial, how == FLIP ? ENTRIES : ENTRIES - 2);
        const uint64_t want = tamper(how, trial, at);
        audit_case_write(segment, (tp_str){changed, changed_size});
        const uint64_t got = first_bad(NULL, 0);
        if (got != want) {
            test_fail(__FILE__, __LINE__, "trial %llu, kind %d at entry %zu: named %lld, not %llu",
                      (unsigned long long)trial, (int)how, at, (long long)got,
                      (unsigned long long)want);
        }
    }
    audit_case_write(segment, whole);
    ASSERT_EQ_UINT(first_bad(NULL, 0), UINT64_MAX);
    (void)printf("# %llu tamperings of %d kinds, the first bad entry named in each\n",
                 (unsigned long long)trials, (int)TAMPERING_COUNT);
    finish();
}

// -- against checkpoints -------------------------------------------------------------------------
static const char *keep_checkpoint(const char *name)
{
    static char paths[4][AUDIT_CASES_PATH];
    static unsigned next;
    char *path = paths[next++ % 4];
    char *text = NULL;
    (void)snprintf(path, AUDIT_CASES_PATH, "%s/%s", test_temp_dir(), name);
    ASSERT_OK(tapeout_audit_checkpoint(context, &text, &test_err));
    audit_case_write(path, tp_str_from(text));
    tapeout_text_free(context, text);
    return path;
}

// Every shorter log: whole entries gone, or the last one in part.
static void test_truncation(void)
{
    start();
    const char *kept[] = {keep_checkpoint("kept")};
    ASSERT_EQ_UINT(first_bad(kept, 1), UINT64_MAX);
    size_t size = 0;
    for (size_t i = 0; i < ENTRIES; i++) {
        audit_case_write(segment, (tp_str){whole.data, size});
        ASSERT_EQ_UINT(first_bad(NULL, 0), UINT64_MAX);
        ASSERT_EQ_UINT(first_bad(kept, 1), i);
        audit_case_write(segment, (tp_str){whole.data, size + 1 + i});
        ASSERT_EQ_UINT(first_bad(NULL, 0), UINT64_MAX); // as after a crash
        ASSERT_EQ_UINT(first_bad(kept, 1), i);
        size += original[i].size;
    }
    // A log that went on is as good.
    audit_case_write(segment, whole);
    audit_case_fill(home, 3);
    ASSERT_EQ_UINT(first_bad(kept, 1), UINT64_MAX);
    finish();
}

// The log as it might have been, from entry `at` on, all hashes right.
static void rewrite(size_t at, size_t count)
{
    changed_size = 0;
    put_lines(0, at);
    tp_sha256 prev = at == 0 ? (tp_sha256){{0}} : leaf_of(original[at - 1]);
    for (size_t i = at; i < count; i++) {
        const size_t begin = changed_size;
        put_forged(original[i < ENTRIES ? i : 0], i, &prev);
        prev = leaf_of((tp_str){changed + begin, changed_size - begin});
    }
    audit_case_write(segment, (tp_str){changed, changed_size});
}

static void test_rewritten_tails(void)
{
    start();
    const tp_str all = whole;
    audit_case_write(segment, (tp_str){all.data, (size_t)(original[20].data - all.data)});
    const char *early = keep_checkpoint("early");
    audit_case_write(segment, all);
    const char *kept[] = {keep_checkpoint("late"), early};
    ASSERT_EQ_UINT(first_bad(kept, 2), UINT64_MAX);
    for (size_t at = 0; at < ENTRIES; at++) {
        rewrite(at, ENTRIES + at % 3);
        ASSERT_EQ_UINT(first_bad(NULL, 0), UINT64_MAX); // by itself it is a log like any
        ASSERT_EQ_UINT(first_bad(kept, 1), 0);          // one of these, from 0 on
        ASSERT_EQ_UINT(first_bad(kept, 2), at < 20 ? 0 : 20);
    }
    finish();
}

// A checkpoint of another log, or one that was changed, is not believed.
static void test_wrong_checkpoints(void)
{
    start();
    const char *kept = keep_checkpoint("kept");
    tapeout_audit_verify_options options;
    tapeout_audit_verify_options_init(&options);
    options.checkpoints = &kept;
    options.checkpoint_count = 1;
    char *json = NULL;
    const tp_str text = audit_case_read(kept);
    char *data = (char *)(uintptr_t)text.data;
    char *size = strchr(data, '\n') + 1;
    size[0] = '5'; // of 60 entries
    audit_case_write(kept, text);
    ASSERT_FAILS(tapeout_audit_verify(context, &options, &json, &test_err), TAPEOUT_E_UNTRUSTED,
                 "wrong signature");
    size[0] = '6';
    audit_case_write(kept, text);
    ASSERT_OK(tapeout_audit_verify(context, &options, &json, &test_err));
    tapeout_text_free(context, json);
    // The key was replaced together with the log.
    char key[AUDIT_CASES_PATH];
    (void)snprintf(key, sizeof(key), "%s.pub", audit_case_path(home, "key"));
    ASSERT_EQ_INT(remove(audit_case_path(home, "key")), 0);
    ASSERT_EQ_INT(remove(key), 0);
    (void)keep_checkpoint("other");
    json = NULL;
    ASSERT_FAILS(tapeout_audit_verify(context, &options, &json, &test_err), TAPEOUT_E_UNTRUSTED,
                 "not signed by this log's key");
    ASSERT(json == NULL);
    audit_case_free(text);
    finish();
}

// -- proofs --------------------------------------------------------------------------------------
static void test_prove(void)
{
    start();
    const char *kept = keep_checkpoint("kept");
    audit_case_fill(home, 7);
    tapeout_audit_prove_options options;
    tapeout_audit_prove_options_init(&options);
    char *json = NULL;
    for (uint64_t i = 0; i < ENTRIES; i += 7) {
        options.sequence = i;
        options.checkpoint = kept;
        ASSERT_OK(tapeout_audit_prove(context, &options, &json, &test_err));
        ASSERT(strstr(json, "\"consistency\":{\"from\":60,") != NULL);
        tapeout_text_free(context, json);
        options.checkpoint = NULL;
        options.size = i + 2;
        options.from = i + 1;
        ASSERT_OK(tapeout_audit_prove(context, &options, &json, &test_err));
        tapeout_text_free(context, json);
        options.size = options.from = 0;
    }
    options.sequence = ENTRIES + 7;
    ASSERT_FAILS(tapeout_audit_prove(context, &options, &json, &test_err), TAPEOUT_E_NOT_FOUND,
                 "the log has 67 entries");
    options.sequence = 3;
    options.size = 68;
    ASSERT_FAILS(tapeout_audit_prove(context, &options, &json, &test_err), TAPEOUT_E_NOT_FOUND,
                 NULL);
    rewrite(30, ENTRIES);
    options.size = 0;
    options.checkpoint = kept;
    ASSERT_FAILS(tapeout_audit_prove(context, &options, &json, &test_err), TAPEOUT_E_CORRUPT,
                 "are not those that");
    finish();
}

TEST_MAIN(TEST_SLOW(test_tampering, 900), TEST_SLOW(test_truncation, 120),
          TEST_SLOW(test_rewritten_tails, 120), TEST(test_wrong_checkpoints), TEST(test_prove))
