// SPDX-License-Identifier: Apache-2.0
//
// The text cut into segments of whole rows.
//
// The text is looked at in chunks of a size that hangs on the text alone. Whether a chunk begins
// inside a quoted field is not known until those before it are counted, so every chunk is first
// counted as if it began outside; the parities then say which of them did not, and those few are
// counted again. A segment takes the rows whose line feed stands in its chunk: it begins behind the
// last line feed of an earlier chunk, so a row of any length belongs to one segment.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_pool.h"
#include "table/csv_priv.h"

#include <string.h>

static const size_t chunk_bytes_min = (size_t)1 << 20;
static const size_t cell_count_max = (size_t)4 << 20; // segments × columns

typedef struct split {
    const csv_job *job;
    size_t chunk_bytes;
    size_t chunk_count;
    tp_csv_marks *marks;   // [chunk_count]
    bool *is_begun_inside; // [chunk_count]
} split;

static size_t chunk_begin(const split *s, size_t chunk)
{
    return s->job->body + chunk * s->chunk_bytes;
}

static void count_chunk(const split *s, size_t chunk, bool is_inside)
{
    const size_t begin = chunk_begin(s, chunk);
    const size_t left = s->job->size - begin;
    tp_csv_marks marks = {.is_inside = is_inside};
    s->job->kernels.csv_count(s->job->data + begin, left < s->chunk_bytes ? left : s->chunk_bytes,
                              &marks);
    s->marks[chunk] = marks;
}

static tapeout_status count_task(void *user, size_t task, size_t worker, tapeout_error *err)
{
    (void)worker;
    const split *s = user;
    TP_TRY(tp_env_check(s->job->env, err));
    count_chunk(s, task, false);
    return TAPEOUT_OK;
}

static tapeout_status recount_task(void *user, size_t task, size_t worker, tapeout_error *err)
{
    (void)worker;
    (void)err;
    const split *s = user;
    if (s->is_begun_inside[task]) {
        count_chunk(s, task, true);
    }
    return TAPEOUT_OK;
}

// An odd number of quotes: either one stands where none may, which is the likelier to be told
// first, or the last field that was opened is never closed.
static tapeout_status fail_unterminated(const csv_job *job, tapeout_error *err)
{
    const uint8_t *opened = job->data + job->body;
    bool is_inside = false;
    bool is_at_start = true;
    for (const uint8_t *at = opened; at < job->data + job->size; at++) {
        if (*at != '"') {
            is_at_start = !is_inside && (*at == '\n' || *at == (uint8_t)job->delimiter);
            continue;
        }
        if (!is_inside && !is_at_start && at[-1] != '"') {
            return tp_csv_fail(
                job, err, (csv_place){at, csv_no_column},
                "a double quote inside a field that is not quoted; put the whole field "
                "in quotes and double those inside");
        }
        if (!is_inside) {
            opened = at;
        }
        is_inside = !is_inside;
        is_at_start = false;
    }
    return tp_csv_fail(job, err, (csv_place){opened, csv_no_column},
                       "the quoted field that begins here is never closed");
}

static tapeout_status make_segments(csv_job *job, const split *s, tapeout_error *err)
{
    job->segments = tp_alloc_array_zero(job->env->alloc, s->chunk_count, sizeof *job->segments);
    if (job->segments == NULL) {
        return tp_fail_nomem(err);
    }
    job->segment_count = s->chunk_count;
    size_t begin = job->body;
    for (size_t i = 0; i < s->chunk_count; i++) {
        const tp_csv_marks *marks = &s->marks[i];
        csv_segment *segment = &job->segments[i];
        const uint64_t blanks = job->column_count > 1 ? marks->blank_count : 0;
        segment->begin = begin;
        segment->end = marks->last_end == 0 ? begin : chunk_begin(s, i) + marks->last_end;
        segment->has_blanks = blanks != 0;
        segment->row_count = marks->newline_count - blanks;
        if (i + 1 == s->chunk_count && segment->end < job->size) {
            segment->end = job->size;
            segment->has_tail = true;
            segment->row_count++;
        }
        segment->first_row = job->row_count;
        job->row_count += segment->row_count;
        begin = segment->end;
        if (segment->end - segment->begin > s->chunk_bytes + TP_MAX_CSV_ROW_BYTES) {
            return csv_limit(
                err, tp_csv_fail(job, err, (csv_place){job->data + segment->begin, csv_no_column},
                                 "a row of more than %u bytes", TP_MAX_CSV_ROW_BYTES));
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status split_chunks(csv_job *job, split *s, tapeout_error *err)
{
    TP_TRY(tp_pool_for(job->env->pool, s->chunk_count, count_task, s, err));
    bool is_inside = false;
    bool is_recounted = false;
    for (size_t i = 0; i < s->chunk_count; i++) {
        s->is_begun_inside[i] = is_inside;
        is_recounted |= is_inside;
        is_inside ^= s->marks[i].is_inside;
    }
    if (is_inside) {
        return fail_unterminated(job, err);
    }
    if (is_recounted) {
        TP_TRY(tp_pool_for(job->env->pool, s->chunk_count, recount_task, s, err));
    }
    TP_TRY(make_segments(job, s, err));
    if (job->row_count > TP_MAX_TABLE_ROWS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "csv: %s: %llu rows, at most %u", job->name,
                       (unsigned long long)job->row_count, TP_MAX_TABLE_ROWS);
    }
    return TAPEOUT_OK;
}

// At most 1,024 chunks of a large text, and few of a wide one: each costs memory a column.
static size_t chunk_bytes_for(size_t size, uint32_t column_count)
{
    size_t bytes = chunk_bytes_min;
    while (size / bytes > 1024 || size / bytes * column_count > cell_count_max) {
        bytes *= 2;
    }
    return bytes;
}

tapeout_status tp_csv_split(csv_job *job, tapeout_error *err)
{
    const size_t size = job->size - job->body;
    split s = {.job = job, .chunk_bytes = chunk_bytes_for(size, job->column_count)};
    s.chunk_count = (size + s.chunk_bytes - 1) / s.chunk_bytes;
    if (s.chunk_count == 0) {
        return TAPEOUT_OK;
    }
    const tapeout_allocator *alloc = job->env->alloc;
    s.marks = tp_alloc_array_zero(alloc, s.chunk_count, sizeof *s.marks);
    s.is_begun_inside = tp_alloc_array_zero(alloc, s.chunk_count, sizeof *s.is_begun_inside);
    const tapeout_status status = s.marks == NULL || s.is_begun_inside == NULL
                                      ? tp_fail_nomem(err)
                                      : split_chunks(job, &s, err);
    tp_free_array(alloc, s.marks, s.chunk_count, sizeof *s.marks);
    tp_free_array(alloc, s.is_begun_inside, s.chunk_count, sizeof *s.is_begun_inside);
    return status;
}
