// SPDX-License-Identifier: Apache-2.0
//
// Appending. Whoever comes while nobody writes becomes the writer: it takes all that wait, numbers
// them, writes and syncs once, and tells each how it went; those who come meanwhile are the next
// batch, and one of them writes it. So a sync is shared by as many as wait for one, and nobody
// waits for a clock.
#include "trust/audit_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { TELL_TEXT_BYTES = 4096 }; // of each text of a note

// One append that waits, on its caller's stack.
typedef struct append_request {
    const audit_item *items;
    size_t count;
    size_t size_bytes;
    uint64_t first; // once done
    tapeout_status status;
    tapeout_error error;
    bool is_done;
    struct append_request *next;
} append_request;

struct tp_audit {
    const tapeout_allocator *alloc;
    struct audit_lane *lane;
    // The writer's alone, whoever that is at the moment:
    audit_tail tail;
    tp_hasher hasher;
    tp_buffer lines;
    // Under the lock, which is held for moments only:
    pthread_mutex_t lock;
    pthread_cond_t moved; // a batch is done
    bool has_writer;
    append_request *first;
    append_request *last;
    uint64_t appended;
};

tapeout_status tp_audit_open(const tapeout_allocator *alloc, const char *home, tp_audit **ret_audit,
                             tapeout_error *err)
{
    tp_audit *audit = tp_alloc_zero(alloc, sizeof(*audit));
    if (audit == NULL) {
        return tp_fail_nomem(err);
    }
    audit->alloc = alloc;
    audit->tail = (audit_tail){.alloc = alloc,
                               .lock_fd = -1,
                               .fd = -1,
                               .segment_bytes = TP_AUDIT_SEGMENT_BYTES,
                               .hasher = &audit->hasher,
                               .is_stopped = &audit->tail.own_stop};
    tp_buffer_init(&audit->lines, alloc, 2 * (size_t)TP_MAX_AUDIT_BATCH_BYTES);
    (void)pthread_mutex_init(&audit->lock, NULL); // neither can fail with default attributes
    (void)pthread_cond_init(&audit->moved, NULL);
    tapeout_status status = tp_audit_path(home, "audit", audit->tail.directory, err);
    if (status == TAPEOUT_OK) {
        status = tp_hasher_init(&audit->hasher, err);
    }
    if (status != TAPEOUT_OK) {
        tp_audit_close(&audit);
        return status;
    }
    *ret_audit = audit;
    return TAPEOUT_OK;
}

void tp_audit_stop_share(tp_audit *audit, atomic_bool *is_stopped)
{
    audit->tail.is_stopped = is_stopped;
}

void tp_audit_close(tp_audit **audit_place)
{
    tp_audit *audit = *audit_place;
    *audit_place = NULL;
    if (audit == NULL) {
        return;
    }
    tp_audit_lane_stop(audit);
    tp_audit_tail_close(&audit->tail);
    tp_hasher_deinit(&audit->hasher);
    tp_buffer_deinit(&audit->lines);
    (void)pthread_cond_destroy(&audit->moved);
    (void)pthread_mutex_destroy(&audit->lock);
    tp_free(audit->alloc, audit, sizeof(*audit));
}

// -- writing a batch -----------------------------------------------------------------------------
typedef struct batch_end {
    uint64_t next;
    tp_sha256 leaf;
} batch_end;

static void write_item(tp_audit *audit, const audit_item *item, uint64_t batch, batch_end *end)
{
    const audit_record place = {.sequence = end->next, .batch = batch, .prev = end->leaf};
    tp_audit_line_write(&audit->hasher, &place, item, &audit->lines, &end->leaf);
    end->next++;
}

// That something was cut off is the first thing that the log says afterwards.
static tapeout_status write_cut(tp_audit *audit, batch_end *end, tapeout_error *err)
{
    char what[160];
    const int size = snprintf(what, sizeof(what), "{\"bytes\":%llu,\"file\":\"%s\"}",
                              (unsigned long long)audit->tail.cut_bytes, audit->tail.cut_name);
    const tp_audit_event event = {.kind = "audit.cut", .what = {what, (size_t)size}};
    tp_buffer body;
    tp_buffer_init(&body, audit->alloc, 1024);
    const tapeout_status status = tp_audit_body_write(&event, &body, err);
    if (status == TAPEOUT_OK) {
        const audit_item item = {tp_clock_unix_us(), tp_buffer_view(&body)};
        write_item(audit, &item, audit->tail.next, end);
    }
    tp_buffer_deinit(&body);
    return status;
}

static tapeout_status write_lines(tp_audit *audit, append_request *requests, tapeout_error *err)
{
    TP_TRY(tp_audit_tail_ready(&audit->tail, err));
    const uint64_t batch = audit->tail.next;
    batch_end end = {batch, audit->tail.leaf};
    tp_buffer_clear(&audit->lines);
    if (audit->tail.cut_bytes > 0) {
        TP_TRY(write_cut(audit, &end, err));
    }
    for (append_request *request = requests; request != NULL; request = request->next) {
        request->first = end.next;
        for (size_t i = 0; i < request->count; i++) {
            write_item(audit, &request->items[i], batch, &end);
        }
    }
    TP_TRY(tp_buffer_check(&audit->lines, "audit: a batch of entries", err));
    TP_TRY(tp_hasher_check(&audit->hasher, err));
    TP_TRY(tp_audit_tail_write(&audit->tail, tp_buffer_view(&audit->lines), err));
    audit->tail.next = end.next;
    audit->tail.leaf = end.leaf;
    audit->tail.cut_bytes = 0;
    return TAPEOUT_OK;
}

static void write_batch(tp_audit *audit, append_request *requests)
{
    tapeout_error error = {0};
    tapeout_status status = tp_audit_tail_lock(&audit->tail, &error);
    if (status == TAPEOUT_OK) {
        status = write_lines(audit, requests, &error);
        tp_audit_tail_unlock(&audit->tail);
    }
    for (append_request *request = requests; request != NULL; request = request->next) {
        request->status = status;
        request->error = error;
    }
}

// -- the queue -----------------------------------------------------------------------------------
// The requests at the front that make one batch; under the lock.
static append_request *take_batch(tp_audit *audit)
{
    append_request *batch = audit->first;
    append_request *last = batch;
    size_t size_bytes = batch->size_bytes;
    while (last->next != NULL && size_bytes + last->next->size_bytes <= TP_MAX_AUDIT_BATCH_BYTES) {
        last = last->next;
        size_bytes += last->size_bytes;
    }
    audit->first = last->next;
    audit->last = audit->first == NULL ? NULL : audit->last;
    last->next = NULL;
    return batch;
}

// Under the lock, which is let go while writing.
static void lead(tp_audit *audit)
{
    append_request *batch = take_batch(audit);
    audit->has_writer = true;
    (void)pthread_mutex_unlock(&audit->lock);
    write_batch(audit, batch);
    (void)pthread_mutex_lock(&audit->lock);
    audit->has_writer = false;
    while (batch != NULL) {
        append_request *request = batch;
        batch = request->next; // whose owner may be gone once it is done
        audit->appended += request->status == TAPEOUT_OK ? request->count : 0;
        request->is_done = true;
    }
    (void)pthread_cond_broadcast(&audit->moved);
}

tapeout_status tp_audit_append_items(tp_audit *audit, const audit_item *items, size_t count,
                                     uint64_t *ret_first, tapeout_error *err)
{
    append_request request = {.items = items, .count = count};
    for (size_t i = 0; i < count; i++) {
        request.size_bytes += items[i].body.size + TP_AUDIT_LINE_MORE_BYTES;
    }
    if (request.size_bytes > TP_MAX_AUDIT_BATCH_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "audit: %zu entries of %zu bytes at once, at most %u",
                       count, request.size_bytes, TP_MAX_AUDIT_BATCH_BYTES);
    }
    (void)pthread_mutex_lock(&audit->lock);
    if (audit->last == NULL) {
        audit->first = &request;
    } else {
        audit->last->next = &request;
    }
    audit->last = &request;
    while (!request.is_done) {
        if (audit->has_writer) {
            (void)pthread_cond_wait(&audit->moved, &audit->lock);
        } else {
            lead(audit);
        }
    }
    (void)pthread_mutex_unlock(&audit->lock);
    if (request.status != TAPEOUT_OK) {
        if (err != NULL) {
            *err = request.error;
        }
        return request.status;
    }
    if (ret_first != NULL) {
        *ret_first = request.first;
    }
    return TAPEOUT_OK;
}

// -- events --------------------------------------------------------------------------------------
static tapeout_status check_what(const tp_audit *audit, const tp_audit_event *event,
                                 tapeout_error *err)
{
    if (event->what.size == 0) {
        return TAPEOUT_OK;
    }
    yyjson_doc *doc = NULL;
    TP_TRY(tp_json_parse(audit->alloc, event->what, "audit: an entry", &doc, err));
    yyjson_doc_free(doc);
    return TAPEOUT_OK;
}

static tapeout_status write_bodies(tp_audit *audit, const tp_audit_event *events, size_t count,
                                   tp_buffer *bodies, size_t *ret_ends, tapeout_error *err)
{
    for (size_t i = 0; i < count; i++) {
        TP_TRY(check_what(audit, &events[i], err));
        TP_TRY(tp_audit_body_write(&events[i], bodies, err));
        ret_ends[i] = bodies->size;
    }
    return TAPEOUT_OK;
}

tapeout_status tp_audit_append_many(tp_audit *audit, const tp_audit_event *events, size_t count,
                                    uint64_t *ret_first, tapeout_error *err)
{
    if (count == 0 || count > TP_MAX_AUDIT_BATCH_ENTRIES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "audit: %zu entries at once; from 1 to %u", count,
                       TP_MAX_AUDIT_BATCH_ENTRIES);
    }
    tp_buffer bodies;
    tp_buffer_init(&bodies, audit->alloc, TP_MAX_AUDIT_BATCH_BYTES);
    size_t *ends = tp_alloc_array(audit->alloc, count, sizeof(*ends));
    audit_item *items = tp_alloc_array(audit->alloc, count, sizeof(*items));
    tapeout_status status = ends == NULL || items == NULL
                                ? tp_fail_nomem(err)
                                : write_bodies(audit, events, count, &bodies, ends, err);
    if (status == TAPEOUT_OK) {
        const int64_t now_us = tp_clock_unix_us();
        for (size_t i = 0; i < count; i++) {
            const size_t begin = i == 0 ? 0 : ends[i - 1];
            items[i].time_us = events[i].time_us != 0 ? events[i].time_us : now_us;
            items[i].body = (tp_str){bodies.data + begin, ends[i] - begin};
        }
        status = tp_audit_append_items(audit, items, count, ret_first, err);
    }
    tp_free_array(audit->alloc, items, count, sizeof(*items));
    tp_free_array(audit->alloc, ends, count, sizeof(*ends));
    tp_buffer_deinit(&bodies);
    return status;
}

tapeout_status tp_audit_append(tp_audit *audit, const tp_audit_event *event, uint64_t *ret_sequence,
                               tapeout_error *err)
{
    return tp_audit_append_many(audit, event, 1, ret_sequence, err);
}

// As much of a text as an entry has room for, whole characters.
static tp_str cut(tp_str text)
{
    size_t good = 0;
    if (text.size > TELL_TEXT_BYTES) {
        text.size = TELL_TEXT_BYTES;
        text.size = tp_utf8_check(text, &good) ? text.size : good;
    }
    return text;
}

tapeout_status tp_audit_tell(tp_audit *audit, const tp_audit_note *note, tapeout_error *err)
{
    tp_buffer what;
    tp_buffer_init(&what, audit->alloc, TP_MAX_AUDIT_WHAT_BYTES);
    tp_buffer_append_char(&what, '{');
    for (size_t i = 0; i < note->field_count; i++) {
        tp_json_append_key(&what, note->fields[i].key);
        tp_json_append_str(&what, cut(note->fields[i].text));
    }
    tp_buffer_append_char(&what, '}');
    tapeout_status status = tp_buffer_check(&what, "audit: an entry", err);
    if (status == TAPEOUT_OK) {
        const tp_audit_event event = {note->kind, note->who, tp_buffer_view(&what), 0};
        status = tp_audit_append(audit, &event, NULL, err);
    }
    tp_buffer_deinit(&what);
    return status;
}

tapeout_status tp_audit_tell_home(const tapeout_allocator *alloc, const char *home,
                                  const tp_audit_note *note, tapeout_error *err)
{
    tp_audit *audit = NULL;
    TP_TRY(tp_audit_open(alloc, home, &audit, err));
    const tapeout_status status = tp_audit_tell(audit, note, err);
    tp_audit_close(&audit);
    return status;
}

void tp_audit_segment_limit(tp_audit *audit, uint64_t bytes)
{
    audit->tail.segment_bytes = bytes;
}

// -- for the lane --------------------------------------------------------------------------------
struct audit_lane *tp_audit_lane(tp_audit *audit)
{
    return audit->lane;
}

void tp_audit_lane_set(tp_audit *audit, struct audit_lane *lane)
{
    audit->lane = lane;
}

const tapeout_allocator *tp_audit_allocator(const tp_audit *audit)
{
    return audit->alloc;
}

tp_audit_counts tp_audit_count(tp_audit *audit)
{
    (void)pthread_mutex_lock(&audit->lock);
    tp_audit_counts counts = {
        .appended = audit->appended,
        .is_stopped = atomic_load_explicit(audit->tail.is_stopped, memory_order_acquire)};
    (void)pthread_mutex_unlock(&audit->lock);
    if (audit->lane != NULL) {
        tp_audit_lane_count(audit->lane, &counts);
    }
    return counts;
}
