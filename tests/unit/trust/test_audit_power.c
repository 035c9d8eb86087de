// SPDX-License-Identifier: Apache-2.0
//
// A power cut at every sync point: whatever was acknowledged is there afterwards, in its place, and
// the log goes on. A process may have died before, half way through, and the one that came after
// it while it put things in order. And each sync is needed: with any single one taken out, some cut
// loses something that was acknowledged, so that this test would turn red.
#include "audit_cases.h"
#include "base/tp_alloc.h"
#include "base/tp_random.h"
#include "disk_shim.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tapeout/audit.h>
#include <unistd.h>

enum { SEGMENT_BYTES = 2000, APPENDS = 24, ACKS_MAX = 256, SEED = 20261125 };

typedef struct ack {
    uint64_t sequence;
    uint64_t number;
} ack;

static char root[AUDIT_CASES_PATH];
static char image[AUDIT_CASES_PATH];
static char home[AUDIT_CASES_PATH + 16]; // in a folder that is made with it
static int ack_pipe[2];
static jmp_buf dead;
static bool leaves_half; // whether who dies leaves half an entry

static _Noreturn void die(void)
{
    longjmp(dead, 1);
}

static void append_and_ack(tp_audit *audit, uint64_t number)
{
    const ack told = {audit_case_append(audit, number), number};
    ASSERT_EQ_INT(write(ack_pipe[1], &told, sizeof(told)), sizeof(told));
}

static tp_audit *open_small(void)
{
    tp_audit *audit = audit_case_open(home);
    tp_audit_segment_limit(audit, SEGMENT_BYTES);
    return audit;
}

// Half an entry behind the last one, as a write does that is cut short.
static void leave_half(void)
{
    audit_segments segments;
    char directory[AUDIT_CASES_PATH + 32];
    (void)snprintf(directory, sizeof(directory), "%s/audit", home);
    ASSERT_OK(tp_audit_segments_list(tp_allocator_default(), directory, &segments, &test_err));
    if (segments.count > 0) {
        FILE *last = fopen(audit_case_segment(home, segments.firsts[segments.count - 1]), "ab");
        ASSERT(last != NULL && fputs("{\"seq\":", last) >= 0 && fclose(last) == 0);
    }
    tp_audit_segments_free(tp_allocator_default(), &segments);
}

// Two processes take turns over a few segments; one dies where the plan says so, and maybe another.
static void work(void)
{
    static volatile uint64_t number; // over the deaths
    if (setjmp(dead) != 0) {
        disk_close_all();
        if (leaves_half) {
            leave_half();
        }
        number++;
    }
    tp_audit *audits[2] = {open_small(), open_small()};
    for (; number < APPENDS; number++) {
        append_and_ack(audits[number / 3 % 2], number);
    }
    tp_audit_close(&audits[0]);
    tp_audit_close(&audits[1]);
}

// Runs the work in a child up to the cut; the acknowledgements that got out.
static size_t run(const disk_plan *plan, ack *acks, uint64_t *ret_syncs)
{
    int count_pipe[2];
    ASSERT_EQ_INT(pipe(ack_pipe), 0);
    ASSERT_EQ_INT(pipe(count_pipe), 0);
    const pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0) {
        disk_begin(plan);
        work();
        const uint64_t syncs = disk_syncs();
        uint64_t sites[DISK_MAX_SITES + 2] = {syncs};
        sites[1] = disk_sites(sites + 2);
        ASSERT_EQ_INT(write(count_pipe[1], sites, sizeof(sites)), sizeof(sites));
        disk_cut();
    }
    (void)close(ack_pipe[1]);
    (void)close(count_pipe[1]);
    int how = 0;
    ASSERT_EQ_INT(waitpid(child, &how, 0), child);
    ASSERT(WIFEXITED(how) && WEXITSTATUS(how) == DISK_CUT_STATUS);
    const ssize_t size = read(ack_pipe[0], acks, ACKS_MAX * sizeof(*acks));
    ASSERT(size >= 0);
    if (ret_syncs != NULL) {
        ASSERT(read(count_pipe[0], ret_syncs, (DISK_MAX_SITES + 2) * sizeof(uint64_t)) > 0);
    }
    (void)close(ack_pipe[0]);
    (void)close(count_pipe[0]);
    return (size_t)size / sizeof(*acks);
}

typedef struct found_entries {
    uint64_t numbers[ACKS_MAX]; // plus one; 0: an entry of another kind
    uint64_t count;
} found_entries;

static tapeout_status note_entry(void *user, const char *line, size_t size, tapeout_error *err)
{
    found_entries *found = user;
    const char *number = strstr(line, "{\"n\":");
    (void)size;
    (void)err;
    ASSERT(found->count < ACKS_MAX);
    found->numbers[found->count++] = number == NULL ? 0 : strtoull(number + 5, NULL, 10) + 1;
    return TAPEOUT_OK;
}

// Whether the disk, as it was found again, has all that was acknowledged, and the log goes on.
static bool is_whole(const ack *acks, size_t count)
{
    char image_home[AUDIT_CASES_PATH + 16];
    (void)snprintf(image_home, sizeof(image_home), "%s/data/home", image);
    tp_audit *audit = audit_case_open(image_home);
    tp_audit_segment_limit(audit, SEGMENT_BYTES);
    const tp_audit_event event = {.kind = "again"};
    bool is_good = tp_audit_append(audit, &event, NULL, NULL) == TAPEOUT_OK;
    tp_audit_close(&audit);
    tapeout_context_options options;
    tapeout_context_options_init(&options);
    options.home = image_home;
    options.thread_count = 1;
    tapeout_context *context = NULL;
    ASSERT_OK(tapeout_context_new(&options, &context, &test_err));
    tapeout_audit_list_options list;
    tapeout_audit_list_options_init(&list);
    static found_entries found;
    memset(&found, 0, sizeof(found));
    is_good = is_good && tapeout_audit_list(context, &list, note_entry, &found, NULL) == TAPEOUT_OK;
    char *json = NULL;
    tapeout_audit_verify_options verify;
    tapeout_audit_verify_options_init(&verify);
    is_good = tapeout_audit_verify(context, &verify, &json, NULL) == TAPEOUT_OK && is_good;
    tapeout_text_free(context, json);
    tapeout_context_free(context);
    for (size_t i = 0; is_good && i < count; i++) {
        is_good =
            acks[i].sequence < found.count && found.numbers[acks[i].sequence] == acks[i].number + 1;
    }
    return is_good;
}

static void clean(void)
{
    test_remove_tree(root);
    test_remove_tree(image);
    ASSERT_EQ_INT(mkdir(root, 0755), 0);
}

static bool try_cut(disk_plan *plan)
{
    static ack acks[ACKS_MAX];
    clean();
    const size_t count = run(plan, acks, NULL);
    return is_whole(acks, count);
}

static void start(disk_plan *plan, uint64_t ret_syncs[DISK_MAX_SITES + 2])
{
    static ack acks[ACKS_MAX];
    (void)snprintf(root, sizeof(root), "%s/disk", test_temp_dir());
    (void)snprintf(image, sizeof(image), "%s/image", test_temp_dir());
    (void)snprintf(home, sizeof(home), "%s/data/home", root);
    *plan = (disk_plan){.root = root, .image = image, .leave = die};
    clean();
    ASSERT_EQ_UINT(run(plan, acks, ret_syncs), APPENDS);
    ASSERT(is_whole(acks, APPENDS));
}

static uint64_t cut_count;

static void expect_whole(disk_plan *plan)
{
    cut_count++;
    if (!try_cut(plan)) {
        test_fail(__FILE__, __LINE__,
                  "lost: cut at sync %llu after a death at %llu and one %llu later, rest %d, %s",
                  (unsigned long long)plan->cut_at, (unsigned long long)plan->leave_at,
                  (unsigned long long)plan->leave_again, (int)plan->rest,
                  leaves_half ? "half an entry" : "nothing half");
    }
}

// A cut at each of the next syncs, with every rest and with and without half an entry where
// somebody dies, or what a seed chooses of these.
static void cut_after(disk_plan *plan, uint64_t begin, uint64_t end)
{
    const bool is_full = getenv("TAPEOUT_TEST_FULL") != NULL;
    for (plan->cut_at = begin; plan->cut_at <= end; plan->cut_at++) {
        const int kinds = plan->leave_at > 0 ? 2 * DISK_REST_COUNT : DISK_REST_COUNT;
        const int drawn = (int)tp_random_below(SEED, 1, cut_count, (uint64_t)kinds);
        for (int kind = 0; kind < kinds; kind++) {
            plan->rest = (disk_rest)(kind % DISK_REST_COUNT);
            leaves_half = kind >= DISK_REST_COUNT;
            if (is_full || kind == drawn) {
                expect_whole(plan);
            }
        }
    }
}

static void test_every_sync_point(void)
{
    disk_plan plan;
    uint64_t syncs[DISK_MAX_SITES + 2];
    start(&plan, syncs);
    ASSERT(syncs[0] > APPENDS);
    cut_after(&plan, 1, syncs[0]);
    for (plan.leave_at = 1; plan.leave_at <= syncs[0]; plan.leave_at++) {
        cut_after(&plan, plan.leave_at + 1, plan.leave_at + 12);
    }
    (void)printf("# %llu cuts, also after a death, nothing lost\n", (unsigned long long)cut_count);
}

static void test_death_while_in_order(void)
{
    disk_plan plan;
    uint64_t syncs[DISK_MAX_SITES + 2];
    start(&plan, syncs);
    const uint64_t most = getenv("TAPEOUT_TEST_FULL") != NULL ? 6 : 3;
    for (plan.leave_at = 1; plan.leave_at <= syncs[0]; plan.leave_at++) {
        for (plan.leave_again = 1; plan.leave_again <= most; plan.leave_again++) {
            const uint64_t again = plan.leave_at + plan.leave_again;
            cut_after(&plan, again + 1, again + most);
        }
    }
    (void)printf("# %llu cuts after two deaths, nothing lost\n", (unsigned long long)cut_count);
}

static bool is_missed_after(disk_plan *plan, uint64_t begin, uint64_t end)
{
    static const disk_rest rests[] = {DISK_REST_NOTHING, DISK_REST_NAMES, DISK_REST_HALF};
    for (plan->cut_at = begin; plan->cut_at <= end; plan->cut_at++) {
        for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++) {
            plan->rest = rests[i];
            if (!try_cut(plan)) {
                return true;
            }
        }
    }
    return false;
}

// Whether a cut shows that the sync of that place is gone.
static bool is_missed(disk_plan *plan, uint64_t sync_count)
{
    plan->leave_at = 0;
    bool is_found = is_missed_after(plan, 1, sync_count);
    while (!is_found && plan->leave_at < sync_count) {
        plan->leave_at++;
        for (int half = 0; half < 2 && !is_found; half++) {
            leaves_half = half == 1;
            is_found = is_missed_after(plan, plan->leave_at + 1, plan->leave_at + 6);
        }
    }
    return is_found;
}

static void test_each_sync_is_needed(void)
{
    disk_plan plan;
    uint64_t syncs[DISK_MAX_SITES + 2];
    start(&plan, syncs);
    ASSERT(syncs[1] >= 5);
    for (size_t i = 0; i < syncs[1]; i++) {
        plan.skipped = syncs[2 + i];
        if (!is_missed(&plan, syncs[0])) {
            test_fail(__FILE__, __LINE__, "sync number %zu can be left out and nothing is lost", i);
        }
    }
}

TEST_MAIN(TEST_SLOW(test_every_sync_point, 900), TEST_SLOW(test_death_while_in_order, 900),
          TEST_SLOW(test_each_sync_is_needed, 900))
