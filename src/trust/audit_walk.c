// SPDX-License-Identifier: Apache-2.0
//
// Segment by segment: lines are found, then parsed and hashed by all threads, then compared with
// their neighbours in order, which is quick.
//
// Which entry is at fault when entry i was not written after the one before it? `prev` of i says
// what stood there once. If the entry after i vouches for i, or i is the last, or what it follows
// is the entry before last (then one was put between), the one before i is not what it was; else i
// is.
#include "trust/audit_walk.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <stdio.h>
#include <string.h>

enum {
    LINES_OF_A_TASK = 512,
    LEAST_LINE_BYTES = 160 // no entry is shorter: times, hashes and keys alone are more
};

typedef struct walk_line {
    size_t begin;
    uint64_t sequence;
    tp_sha256 prev;
    tp_sha256 leaf;
    bool is_good; // by itself
} walk_line;

typedef struct walk {
    const tp_env *env;
    const char *directory;
    const audit_visitor *visitor;
    audit_found *found;
    tp_hasher *hashers; // [worker_count]
    size_t worker_count;
    // Of the segment that is being read:
    tp_str text;
    walk_line *lines; // [line_capacity]
    size_t line_count;
    size_t line_capacity;
    size_t lines_end; // where the last line ends
    // The hashes of the two entries before the next one; `known` of them.
    tp_sha256 last[2];
    size_t known;
} walk;

static void set_bad(walk *self, uint64_t sequence, const char *reason)
{
    if (self->found->is_bad) {
        return;
    }
    self->found->is_bad = true;
    self->found->bad = sequence;
    (void)snprintf(self->found->reason, sizeof(self->found->reason), "%s", reason);
}

// -- lines ---------------------------------------------------------------------------------------
static tapeout_status add_line(walk *self, size_t begin, tapeout_error *err)
{
    if (self->line_count == self->line_capacity) {
        const size_t capacity = self->line_capacity == 0 ? 4096 : 2 * self->line_capacity;
        walk_line *lines = tp_resize_array(self->env->alloc, self->lines, self->line_capacity,
                                           capacity, sizeof(*lines));
        if (lines == NULL) {
            return tp_fail_nomem(err);
        }
        self->lines = lines;
        self->line_capacity = capacity;
    }
    self->lines[self->line_count++].begin = begin;
    return TAPEOUT_OK;
}

// A line that is too short to be an entry is the last that is looked at: so their number, and the
// memory for it, follows from the size of the text.
static tapeout_status find_lines(walk *self, tapeout_error *err)
{
    size_t begin = 0;
    self->line_count = 0;
    bool goes_on = true;
    while (goes_on && begin < self->text.size) {
        const char *data = self->text.data + begin;
        const char *end = memchr(data, '\n', self->text.size - begin);
        if (end == NULL) {
            break;
        }
        TP_TRY(add_line(self, begin, err));
        goes_on = end - data >= LEAST_LINE_BYTES;
        begin += (size_t)(end - data) + 1;
    }
    self->lines_end = begin;
    return TAPEOUT_OK;
}

static tapeout_status read_lines(void *user, size_t task, size_t worker, tapeout_error *err)
{
    walk *self = user;
    tp_hasher *hasher = &self->hashers[worker];
    const size_t begin = task * LINES_OF_A_TASK;
    const size_t left = self->line_count - begin;
    const size_t end = begin + (left < LINES_OF_A_TASK ? left : LINES_OF_A_TASK);
    for (size_t i = begin; i < end; i++) {
        walk_line *line = &self->lines[i];
        const size_t next = i + 1 < self->line_count ? self->lines[i + 1].begin : self->lines_end;
        const tp_str text = {self->text.data + line->begin, next - 1 - line->begin};
        audit_record record;
        line->is_good = tp_audit_line_read(text, &record, NULL) == TAPEOUT_OK;
        if (line->is_good) {
            tp_hasher_leaf(hasher, record.data, &line->leaf);
            line->sequence = record.sequence;
            line->prev = record.prev;
            line->is_good = tp_audit_line_has_hash(&record, &line->leaf);
        }
    }
    return tp_hasher_check(hasher, err);
}

// -- neighbours ----------------------------------------------------------------------------------
static bool is_same(const tp_sha256 *a, const tp_sha256 *b)
{
    return memcmp(a->bytes, b->bytes, TP_SHA256_SIZE) == 0;
}

static void blame_link(walk *self, size_t index, uint64_t sequence)
{
    const walk_line *line = &self->lines[index];
    const walk_line *next = index + 1 < self->line_count ? line + 1 : NULL;
    const bool is_vouched_for =
        next == NULL || (next->is_good && is_same(&next->prev, &line->leaf));
    const bool skips_one = self->known == 2 && is_same(&line->prev, &self->last[0]);
    if (sequence > 0 && (is_vouched_for || skips_one)) {
        set_bad(self, sequence - 1, "is not the one that the entry after it was written behind");
    } else {
        set_bad(self, sequence, "does not follow the entry before it");
    }
}

static void check_line(walk *self, size_t index)
{
    static const tp_sha256 nothing;
    const walk_line *line = &self->lines[index];
    const uint64_t sequence = self->found->count;
    char reason[128];
    if (!line->is_good) {
        set_bad(self, sequence, "is damaged: it is not what its own hash is of");
    } else if (line->sequence != sequence) {
        (void)snprintf(reason, sizeof(reason), "%s: entry %llu stands in its place",
                       line->sequence > sequence ? "is missing" : "is not there",
                       (unsigned long long)line->sequence);
        set_bad(self, sequence, reason);
    } else if (!is_same(&line->prev, self->known == 0 ? &nothing : &self->last[1])) {
        blame_link(self, index, sequence);
    }
}

static tapeout_status check_lines(walk *self, tapeout_error *err)
{
    for (size_t i = 0; i < self->line_count; i++) {
        check_line(self, i);
        if (self->found->is_bad) {
            return TAPEOUT_OK;
        }
        const tp_sha256 *leaf = &self->lines[i].leaf;
        TP_TRY(self->visitor->on_leaf(self->visitor->user, self->found->count, leaf, err));
        self->last[0] = self->last[1];
        self->last[1] = *leaf;
        self->known += self->known < 2 ? 1 : 0;
        self->found->count++;
    }
    return TAPEOUT_OK;
}

// -- segments ------------------------------------------------------------------------------------
static tapeout_status walk_segment(walk *self, bool is_last, tapeout_error *err)
{
    TP_TRY(find_lines(self, err));
    const size_t tasks = (self->line_count + LINES_OF_A_TASK - 1) / LINES_OF_A_TASK;
    TP_TRY(tp_pool_for(self->env->pool, tasks, read_lines, self, err));
    TP_TRY(check_lines(self, err));
    const tp_str rest = {self->text.data + self->lines_end, self->text.size - self->lines_end};
    if (self->found->is_bad || rest.size == 0) {
        return TAPEOUT_OK;
    }
    if (is_last && tp_audit_is_unfinished(rest, self->found->count)) {
        self->found->tail_bytes = rest.size;
    } else {
        set_bad(self, self->found->count, "is damaged: the file ends within it");
    }
    return TAPEOUT_OK;
}

static tapeout_status walk_snapshot(walk *self, const audit_snapshot *snapshot, tapeout_error *err)
{
    const size_t count = snapshot->segments.count;
    self->found->segment_count = count;
    for (size_t i = 0; i < count && !self->found->is_bad; i++) {
        TP_TRY(tp_env_check(self->env, err));
        if (snapshot->segments.firsts[i] != self->found->count) {
            set_bad(self, self->found->count, "is missing: no file has it");
            return TAPEOUT_OK;
        }
        TP_TRY(tp_audit_snapshot_read(self->env->alloc, self->directory, snapshot, i, &self->text,
                                      err));
        self->found->size_bytes += self->text.size;
        const tapeout_status status = walk_segment(self, i + 1 == count, err);
        tp_audit_text_free(self->env->alloc, self->text);
        TP_TRY(status);
        tp_env_progress(self->env, "audit", (double)(i + 1) / (double)count);
    }
    return TAPEOUT_OK;
}

static tapeout_status make_hashers(walk *self, tapeout_error *err)
{
    self->hashers =
        tp_alloc_array_zero(self->env->alloc, self->worker_count, sizeof(*self->hashers));
    if (self->hashers == NULL) {
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < self->worker_count; i++) {
        TP_TRY(tp_hasher_init(&self->hashers[i], err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_audit_walk(const tp_env *env, const char *directory, const audit_visitor *visitor,
                             audit_found *ret_found, tapeout_error *err)
{
    audit_found found = {.count = 0};
    audit_snapshot snapshot;
    walk self = {.env = env,
                 .directory = directory,
                 .visitor = visitor,
                 .found = &found,
                 .worker_count = tp_pool_worker_count(env->pool)};
    TP_TRY(tp_audit_snapshot_take(env->alloc, directory, &snapshot, err));
    tapeout_status status = make_hashers(&self, err);
    if (status == TAPEOUT_OK) {
        status = walk_snapshot(&self, &snapshot, err);
    }
    for (size_t i = 0; self.hashers != NULL && i < self.worker_count; i++) {
        tp_hasher_deinit(&self.hashers[i]);
    }
    tp_free_array(env->alloc, self.hashers, self.worker_count, sizeof(*self.hashers));
    tp_free_array(env->alloc, self.lines, self.line_capacity, sizeof(*self.lines));
    tp_audit_snapshot_free(env->alloc, &snapshot);
    if (status == TAPEOUT_OK) {
        *ret_found = found;
    }
    return status;
}
