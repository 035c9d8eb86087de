// SPDX-License-Identifier: Apache-2.0
//
// What needn't be waited for: receipts, and logins that were refused. Events gather in memory; a
// thread of the log's own takes them all every TP_AUDIT_LANE_MS, or sooner where much has come, and
// appends them like anybody. What can't be written stays and is tried again; what then finds no
// room is counted, and the count is the first thing that is written once the disk takes it.
#include "trust/audit_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

// Events as they are appended: each a mark, and its body, or of a draft who and data.
typedef struct lane_mark {
    int64_t time_us;
    size_t size;
    const char *kind; // of a draft; NULL: a body
    void (*write)(tp_str data, tp_buffer *what);
    size_t who_size;
} lane_mark;

// What is posted, one of the two.
typedef struct lane_post {
    const tp_audit_event *event;
    const tp_audit_draft *draft;
} lane_post;

// A login that is refused again and again.
typedef struct refusal {
    char key[TP_MAX_AUDIT_REFUSAL_BYTES]; // the JSON members that tell it apart
    size_t key_size;
    uint64_t peer;  // hash of the address
    uint64_t count; // since the last entry about it
} refusal;

enum { REFUSALS_OF_PEER = 8 }; // kinds that one address may fill the list with

struct audit_lane {
    tp_audit *audit;
    pthread_t thread;
    // Under the lock, which no disk is waited for with:
    pthread_mutex_t lock;
    pthread_cond_t wake;  // the thread: there is much, or somebody waits, or the end
    pthread_cond_t moved; // those who wait: the thread has tried
    tp_buffer events;     // marks and bodies in turn
    tp_buffer writing;    // the thread's own: what it took, until it is on disk
    audit_item *items;    // [TP_MAX_AUDIT_BATCH_ENTRIES], the thread's own
    tp_buffer bodies;     // of the drafts among them
    tp_buffer what;       // of one draft
    uint64_t posted;      // how many, ever
    uint64_t settled;     // of those on disk or lost
    uint64_t lost;
    uint64_t lost_told; // of them in the log
    uint64_t tries;     // of the thread
    bool is_failing;
    bool is_ending;
    bool is_wanted; // somebody waits
    refusal refusals[TP_MAX_AUDIT_REFUSALS];
    size_t refusal_count;
    uint64_t refusals_more; // of kinds that found no place
    uint64_t refusals_since_ns;
    tapeout_error error; // of the last try that failed
};

static void deadline_in(uint32_t ms, struct timespec *ret_time)
{
    (void)clock_gettime(CLOCK_MONOTONIC, ret_time); // always there
    ret_time->tv_sec += ms / 1000;
    ret_time->tv_nsec += (long)(ms % 1000) * 1000000;
    if (ret_time->tv_nsec >= 1000000000) {
        ret_time->tv_sec++;
        ret_time->tv_nsec -= 1000000000;
    }
}

// -- putting in ----------------------------------------------------------------------------------
static tapeout_status put_draft(const tp_audit_draft *draft, tp_buffer *events, lane_mark *mark,
                                tapeout_error *err)
{
    mark->kind = draft->kind;
    mark->write = draft->write;
    mark->who_size = draft->who.size;
    tp_buffer_append_str(events, draft->who);
    tp_buffer_append_str(events, draft->data);
    return tp_buffer_check(events, "audit: an entry", err);
}

// Under the lock. False where there is no room, with nothing changed.
static bool put(struct audit_lane *lane, const lane_post *post, tapeout_status *ret_status,
                tapeout_error *err)
{
    tp_buffer *events = &lane->events;
    const tp_audit_event *event = post->event;
    const size_t begin = events->size;
    lane_mark mark = {.time_us = event != NULL && event->time_us != 0 ? event->time_us
                                                                      : tp_clock_unix_us()};
    tp_buffer_append(events, &mark, sizeof(mark));
    *ret_status = event != NULL ? tp_audit_body_write(event, events, err)
                                : put_draft(post->draft, events, &mark, err);
    if (*ret_status == TAPEOUT_OK) {
        mark.size = events->size - begin - sizeof(mark);
        memcpy(events->data + begin, &mark, sizeof(mark));
        lane->posted++;
        if (begin == 0 || events->size >= TP_MAX_AUDIT_LANE_BYTES / 4) {
            (void)pthread_cond_signal(&lane->wake);
        }
        return true;
    }
    const bool has_no_room = events->status != TAPEOUT_OK;
    events->size = begin;
    events->status = TAPEOUT_OK;
    return !has_no_room;
}

// Waits for one try of the thread, at most until `deadline`; under the lock.
static bool wait_try(struct audit_lane *lane, const struct timespec *deadline)
{
    const uint64_t tries = lane->tries;
    lane->is_wanted = true;
    (void)pthread_cond_signal(&lane->wake);
    while (lane->tries == tries) {
        if (pthread_cond_timedwait(&lane->moved, &lane->lock, deadline) != 0) {
            return false;
        }
    }
    return true;
}

static tapeout_status post_to(struct audit_lane *lane, const lane_post *post, tapeout_error *err)
{
    struct timespec deadline;
    tapeout_status status = TAPEOUT_OK;
    (void)pthread_mutex_lock(&lane->lock);
    bool is_in = put(lane, post, &status, err);
    if (!is_in && !lane->is_failing) {
        deadline_in(TP_AUDIT_POST_WAIT_MS, &deadline);
        while (!is_in && wait_try(lane, &deadline) && !lane->is_failing) {
            is_in = put(lane, post, &status, err);
        }
    }
    if (!is_in) {
        lane->lost++;
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return is_in ? status
                 : tp_fail(err, TAPEOUT_E_BUSY,
                           "audit: an entry \"%s\" is lost: %u bytes wait for the disk already",
                           post->event != NULL ? post->event->kind : post->draft->kind,
                           TP_MAX_AUDIT_LANE_BYTES);
}

tapeout_status tp_audit_post(tp_audit *audit, const tp_audit_event *event, tapeout_error *err)
{
    struct audit_lane *lane = tp_audit_lane(audit);
    const lane_post post = {.event = event};
    return lane == NULL ? tp_audit_append(audit, event, NULL, err) : post_to(lane, &post, err);
}

static tapeout_status append_draft(tp_audit *audit, const tp_audit_draft *draft, tapeout_error *err)
{
    tp_buffer what;
    tp_buffer_init(&what, tp_audit_allocator(audit), TP_MAX_AUDIT_WHAT_BYTES);
    draft->write(draft->data, &what);
    tapeout_status status = tp_buffer_check(&what, "audit: an entry", err);
    if (status == TAPEOUT_OK) {
        const tp_audit_event event = {draft->kind, draft->who, tp_buffer_view(&what), 0};
        status = tp_audit_append(audit, &event, NULL, err);
    }
    tp_buffer_deinit(&what);
    return status;
}

tapeout_status tp_audit_post_draft(tp_audit *audit, const tp_audit_draft *draft, tapeout_error *err)
{
    struct audit_lane *lane = tp_audit_lane(audit);
    const lane_post post = {.draft = draft};
    return lane == NULL ? append_draft(audit, draft, err) : post_to(lane, &post, err);
}

tapeout_status tp_audit_lane_sync(tp_audit *audit, tapeout_error *err)
{
    struct audit_lane *lane = tp_audit_lane(audit);
    if (lane == NULL) {
        return TAPEOUT_OK;
    }
    tapeout_status status = TAPEOUT_OK;
    (void)pthread_mutex_lock(&lane->lock);
    const uint64_t wanted = lane->posted;
    struct timespec never;
    deadline_in(3600 * 1000u, &never);
    while (lane->settled < wanted && status == TAPEOUT_OK) {
        (void)wait_try(lane, &never);
        if (lane->is_failing) {
            status = tp_fail(err, lane->error.status, "%s", lane->error.message);
        }
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return status;
}

void tp_audit_lost(tp_audit *audit)
{
    struct audit_lane *lane = tp_audit_lane(audit);
    if (lane != NULL) {
        (void)pthread_mutex_lock(&lane->lock);
        lane->lost++;
        (void)pthread_cond_signal(&lane->wake);
        (void)pthread_mutex_unlock(&lane->lock);
    }
}

// -- refused logins ------------------------------------------------------------------------------
// A text of a client as JSON, cut and cleaned of what is no UTF-8.
static void append_text(tp_buffer *json, const char *key, tp_str text)
{
    tp_json_append_key(json, key);
    text.size = text.size < TP_MAX_AUDIT_REFUSAL_TEXT ? text.size : TP_MAX_AUDIT_REFUSAL_TEXT;
    size_t good = text.size;
    if (!tp_utf8_check(text, &good)) {
        text.size = good;
    }
    tp_json_append_str(json, text);
}

// Under the lock. Without room it is lost, and counted as all else.
static void post_refusal(struct audit_lane *lane, tp_str key, uint64_t count)
{
    char what[TP_MAX_AUDIT_REFUSAL_BYTES + 64];
    const int size = snprintf(what, sizeof(what), "{%.*s%s\"count\":%llu}", (int)key.size,
                              key.size == 0 ? "" : key.data, key.size == 0 ? "" : ",",
                              (unsigned long long)count);
    const tp_audit_event event = {
        .kind = "login.refused", .who = TP_STR("server"), .what = {what, (size_t)size}};
    tapeout_status status = TAPEOUT_OK;
    const lane_post post = {.event = &event};
    if (!put(lane, &post, &status, NULL) || status != TAPEOUT_OK) {
        lane->lost++;
    }
}

// Under the lock: tells the counts of the last interval and begins a new one.
static void settle_refusals(struct audit_lane *lane)
{
    for (size_t i = 0; i < lane->refusal_count; i++) {
        const refusal *it = &lane->refusals[i];
        if (it->count > 0) {
            post_refusal(lane, (tp_str){it->key, it->key_size}, it->count);
        }
    }
    if (lane->refusals_more > 0) {
        post_refusal(lane, (tp_str){NULL, 0}, lane->refusals_more);
    }
    lane->refusal_count = 0;
    lane->refusals_more = 0;
}

typedef struct refusal_parts {
    tp_str who;
    tp_str peer;
    tp_str why;
} refusal_parts;

static void write_refusal(const refusal_parts *parts, tp_buffer *key)
{
    tp_buffer_clear(key);
    append_text(key, "who", parts->who);
    append_text(key, "peer", parts->peer);
    append_text(key, "why", parts->why);
}

// Under the lock. Its place in the list, or the list's count. A new kind of an address that has its
// share of the list already becomes the one of all its further kinds.
static size_t find_refusal(const struct audit_lane *lane, const refusal_parts *parts,
                           tp_buffer *key)
{
    const uint64_t peer = tp_str_hash(parts->peer);
    for (int round = 0; round < 2; round++) {
        size_t of_peer = 0;
        for (size_t i = 0; i < lane->refusal_count; i++) {
            const refusal *it = &lane->refusals[i];
            if (tp_str_equal((tp_str){it->key, it->key_size}, tp_buffer_view(key))) {
                return i;
            }
            of_peer += it->peer == peer;
        }
        if (of_peer < REFUSALS_OF_PEER) {
            break;
        }
        write_refusal(&(refusal_parts){TP_STR("several"), parts->peer, TP_STR("other reasons")},
                      key);
    }
    return lane->refusal_count;
}

// Under the lock.
static void count_refusal(struct audit_lane *lane, const refusal_parts *parts, tp_buffer *key)
{
    if (lane->refusal_count == 0 && lane->refusals_more == 0) {
        lane->refusals_since_ns = tp_clock_monotonic_ns();
    }
    const size_t i = find_refusal(lane, parts, key);
    if (key->status != TAPEOUT_OK) {
        lane->refusals_more++;
    } else if (i < lane->refusal_count) {
        lane->refusals[i].count++;
    } else if (i == TP_MAX_AUDIT_REFUSALS) {
        lane->refusals_more++;
    } else {
        refusal *it = &lane->refusals[lane->refusal_count++];
        memcpy(it->key, key->data, key->size);
        it->key_size = key->size;
        it->peer = tp_str_hash(parts->peer);
        it->count = 0;
        post_refusal(lane, tp_buffer_view(key), 1);
    }
}

void tp_audit_refused(tp_audit *audit, tp_str who, tp_str peer, tp_str why)
{
    struct audit_lane *lane = tp_audit_lane(audit);
    const refusal_parts parts = {who, peer, why};
    tp_buffer key;
    if (lane == NULL) {
        return; // there is no server
    }
    tp_buffer_init(&key, tp_audit_allocator(audit), TP_MAX_AUDIT_REFUSAL_BYTES);
    write_refusal(&parts, &key);
    (void)pthread_mutex_lock(&lane->lock);
    count_refusal(lane, &parts, &key);
    (void)pthread_mutex_unlock(&lane->lock);
    tp_buffer_deinit(&key);
}

// -- writing out ---------------------------------------------------------------------------------
// The entries of one append: those of the items, and how many marks they and what was lost had.
typedef struct lane_batch {
    size_t count;
    size_t mark_count;
} lane_batch;

// Appends a draft's body; false where it can't be made.
static bool write_draft(struct audit_lane *lane, const lane_mark *mark, const char *bytes)
{
    const size_t begin = lane->bodies.size;
    const tp_str data = {bytes + mark->who_size, mark->size - mark->who_size};
    tp_buffer_clear(&lane->what);
    mark->write(data, &lane->what);
    const tp_audit_event event = {
        .kind = mark->kind, .who = {bytes, mark->who_size}, .what = tp_buffer_view(&lane->what)};
    if (lane->what.status == TAPEOUT_OK &&
        tp_audit_body_write(&event, &lane->bodies, NULL) == TAPEOUT_OK) {
        return true;
    }
    lane->bodies.size = begin;
    lane->bodies.status = TAPEOUT_OK;
    return false;
}

static void count_lost(struct audit_lane *lane)
{
    (void)pthread_mutex_lock(&lane->lock);
    lane->lost++;
    (void)pthread_mutex_unlock(&lane->lock);
}

// Takes the events from `begin` on that fit one append; moves `*begin` past them. Bodies of drafts
// get their place once the buffer has stopped moving.
static lane_batch gather(struct audit_lane *lane, size_t *begin)
{
    lane_batch batch = {0};
    size_t size_bytes = 0;
    tp_buffer_clear(&lane->bodies);
    while (*begin < lane->writing.size && batch.count < TP_MAX_AUDIT_BATCH_ENTRIES) {
        lane_mark mark;
        const char *bytes = lane->writing.data + *begin + sizeof(mark);
        const size_t body_begin = lane->bodies.size;
        memcpy(&mark, lane->writing.data + *begin, sizeof(mark));
        const bool is_draft = mark.kind != NULL;
        const bool is_made = !is_draft || write_draft(lane, &mark, bytes);
        const size_t size = is_draft ? lane->bodies.size - body_begin : mark.size;
        size_bytes += is_made ? size + TP_AUDIT_LINE_MORE_BYTES : 0;
        if (size_bytes > TP_MAX_AUDIT_BATCH_BYTES) {
            lane->bodies.size = body_begin; // written again by the next
            break;
        }
        if (is_made) {
            lane->items[batch.count++] =
                (audit_item){mark.time_us, {is_draft ? NULL : bytes, size}};
        } else {
            count_lost(lane);
        }
        batch.mark_count++;
        *begin += sizeof(mark) + mark.size;
    }
    size_t at = 0;
    for (size_t i = 0; i < batch.count; i++) {
        if (lane->items[i].body.data == NULL) {
            lane->items[i].body.data = lane->bodies.data + at;
            at += lane->items[i].body.size;
        }
    }
    return batch;
}

static tapeout_status tell_lost(tp_audit *audit, uint64_t count, tapeout_error *err)
{
    char what[64];
    const int size = snprintf(what, sizeof(what), "{\"count\":%llu}", (unsigned long long)count);
    const tp_audit_event event = {
        .kind = "audit.lost", .who = TP_STR("server"), .what = {what, (size_t)size}};
    return tp_audit_append(audit, &event, NULL, err);
}

// Appends what the thread took; `*ret_done` bytes of it were.
static tapeout_status write_taken(struct audit_lane *lane, uint64_t lost, size_t *ret_done,
                                  tapeout_error *err)
{
    if (lost > 0) {
        TP_TRY(tell_lost(lane->audit, lost, err));
        (void)pthread_mutex_lock(&lane->lock);
        lane->lost_told += lost;
        (void)pthread_mutex_unlock(&lane->lock);
    }
    size_t begin = 0;
    while (begin < lane->writing.size) {
        const lane_batch batch = gather(lane, &begin);
        if (batch.count > 0) {
            TP_TRY(tp_audit_append_items(lane->audit, lane->items, batch.count, NULL, err));
        }
        *ret_done = begin;
        (void)pthread_mutex_lock(&lane->lock);
        lane->settled += batch.mark_count;
        (void)pthread_mutex_unlock(&lane->lock);
    }
    return TAPEOUT_OK;
}

// Under the lock, which is let go while writing. What an earlier try could not write comes first.
static void try_once(struct audit_lane *lane)
{
    const uint64_t age_ns = tp_clock_monotonic_ns() - lane->refusals_since_ns;
    if (lane->is_ending || age_ns >= (uint64_t)TP_AUDIT_REFUSED_MS * 1000000) {
        settle_refusals(lane);
    }
    if (lane->writing.size == 0) {
        const tp_buffer full = lane->events;
        lane->events = lane->writing;
        lane->writing = full;
    }
    lane->is_wanted = false;
    const uint64_t lost = lane->lost - lane->lost_told;
    (void)pthread_mutex_unlock(&lane->lock);
    tapeout_error error = {0};
    size_t done = 0;
    const tapeout_status status = write_taken(lane, lost, &done, &error);
    if (done > 0) {
        lane->writing.size -= done;
        memmove(lane->writing.data, lane->writing.data + done, lane->writing.size);
    }
    (void)pthread_mutex_lock(&lane->lock);
    lane->is_failing = status != TAPEOUT_OK;
    lane->error = error;
    lane->tries++;
    (void)pthread_cond_broadcast(&lane->moved);
}

// Under the lock, as are the next two.
static bool has_work(const struct audit_lane *lane)
{
    return lane->events.size > 0 || lane->writing.size > 0 || lane->lost > lane->lost_told ||
           lane->refusal_count > 0;
}

static bool is_urgent(const struct audit_lane *lane)
{
    return lane->is_ending || lane->is_wanted ||
           (!lane->is_failing && lane->events.size >= TP_MAX_AUDIT_LANE_BYTES / 4);
}

// Until there is work, and then for the interval, so that more can come.
static void wait_for_work(struct audit_lane *lane)
{
    struct timespec deadline;
    while (!has_work(lane) && !is_urgent(lane)) {
        (void)pthread_cond_wait(&lane->wake, &lane->lock);
    }
    deadline_in(TP_AUDIT_LANE_MS, &deadline);
    while (!is_urgent(lane) && pthread_cond_timedwait(&lane->wake, &lane->lock, &deadline) == 0) {
    }
}

static void *run_lane(void *user)
{
    struct audit_lane *lane = user;
    (void)pthread_mutex_lock(&lane->lock);
    while (!lane->is_ending || has_work(lane)) {
        wait_for_work(lane);
        const bool is_last_try = lane->is_ending;
        try_once(lane);
        if (is_last_try && lane->is_failing) {
            break; // the process ends, and what is left with it
        }
    }
    (void)pthread_mutex_unlock(&lane->lock);
    return NULL;
}

// -- life ----------------------------------------------------------------------------------------
static void free_lane(tp_audit *audit, struct audit_lane *lane)
{
    tp_buffer_deinit(&lane->events);
    tp_buffer_deinit(&lane->writing);
    tp_buffer_deinit(&lane->bodies);
    tp_buffer_deinit(&lane->what);
    tp_free_array(tp_audit_allocator(audit), lane->items, TP_MAX_AUDIT_BATCH_ENTRIES,
                  sizeof(*lane->items));
    (void)pthread_cond_destroy(&lane->moved);
    (void)pthread_cond_destroy(&lane->wake);
    (void)pthread_mutex_destroy(&lane->lock);
    tp_free(tp_audit_allocator(audit), lane, sizeof(*lane));
}

tapeout_status tp_audit_lane_start(tp_audit *audit, tapeout_error *err)
{
    const tapeout_allocator *alloc = tp_audit_allocator(audit);
    struct audit_lane *lane = tp_alloc_zero(alloc, sizeof(*lane));
    if (lane == NULL) {
        return tp_fail_nomem(err);
    }
    lane->audit = audit;
    tp_buffer_init(&lane->events, alloc, TP_MAX_AUDIT_LANE_BYTES);
    tp_buffer_init(&lane->writing, alloc, TP_MAX_AUDIT_LANE_BYTES);
    tp_buffer_init(&lane->bodies, alloc, 2 * (size_t)TP_MAX_AUDIT_BATCH_BYTES);
    tp_buffer_init(&lane->what, alloc, TP_MAX_AUDIT_WHAT_BYTES);
    lane->items = tp_alloc_array(alloc, TP_MAX_AUDIT_BATCH_ENTRIES, sizeof(*lane->items));
    (void)pthread_mutex_init(&lane->lock, NULL); // plain ones cannot fail
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&lane->wake, &monotonic);
    (void)pthread_cond_init(&lane->moved, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (lane->items == NULL) {
        free_lane(audit, lane);
        return tp_fail_nomem(err);
    }
    if (pthread_create(&lane->thread, NULL, run_lane, lane) != 0) {
        free_lane(audit, lane);
        return tp_fail(err, TAPEOUT_E_BUSY, "audit: cannot start a thread");
    }
    tp_audit_lane_set(audit, lane);
    return TAPEOUT_OK;
}

void tp_audit_lane_stop(tp_audit *audit)
{
    struct audit_lane *lane = tp_audit_lane(audit);
    if (lane == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&lane->lock);
    lane->is_ending = true;
    (void)pthread_cond_signal(&lane->wake);
    (void)pthread_mutex_unlock(&lane->lock);
    (void)pthread_join(lane->thread, NULL);
    tp_audit_lane_set(audit, NULL);
    free_lane(audit, lane);
}

void tp_audit_lane_count(struct audit_lane *lane, tp_audit_counts *counts)
{
    (void)pthread_mutex_lock(&lane->lock);
    counts->lost += lane->lost;
    counts->waiting += lane->events.size;
    counts->is_failing = lane->is_failing;
    (void)pthread_mutex_unlock(&lane->lock);
}
