// SPDX-License-Identifier: Apache-2.0
//
// A CSV text to a table.
//
// The text is passed over twice: once for its structure (csv_split.c), once for its values, each
// segment on its own into the columns' final place. Types are guessed from a few stretches of the
// text, so the second pass can parse right away; where a value later on does not fit, the segment
// goes on with finding out what the column is, and when all are done the columns whose guess was
// too narrow, and only those, are parsed once more. The guess costs or saves time and never
// decides: the type is the join over all values.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_cpu.h"
#include "base/tp_file.h"
#include "base/tp_pool.h"
#include "table/csv_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { GUESS_SEGMENTS = 8, GUESS_BYTES = 8 << 10, SCAN_BYTES = 64 << 10 };

tapeout_status tp_csv_fail(const csv_job *job, tapeout_error *err, csv_place place,
                           const char *format, ...)
{
    uint64_t line = 1;
    const uint8_t *end = place.at;
    for (const uint8_t *feed = job->data; (feed = memchr(feed, '\n', (size_t)(end - feed))) != NULL;
         feed++) {
        line++;
    }
    char message[TAPEOUT_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    const uint64_t offset = (uint64_t)(end - job->data);
    if (place.column >= job->column_count) {
        return tp_fail_at(err, TAPEOUT_E_DATA, offset, "csv: %s:%llu: %s", job->name,
                          (unsigned long long)line, message);
    }
    const tp_str name = job->columns[place.column].name;
    return tp_fail_at(err, TAPEOUT_E_DATA, offset, "csv: %s:%llu: column %u (%.*s): %s", job->name,
                      (unsigned long long)line, place.column + 1,
                      (int)(name.size > 80 ? 80 : name.size), name.data, message);
}

// -- a round of parsing --------------------------------------------------------------------------

typedef struct round {
    csv_job *job;
    csv_reader *readers; // [worker count]
    const uint32_t *active;
    uint32_t active_count;
    const tp_map *map; // pages that are done with are let go; may be NULL
} parse_round;

static tapeout_status parse_segment(const parse_round *round, csv_reader *reader, size_t segment,
                                    tapeout_error *err)
{
    csv_job *job = round->job;
    tp_csv_reader_start(reader, &job->segments[segment], SCAN_BYTES);
    for (;;) {
        csv_batch batch;
        TP_TRY(tp_csv_reader_next(reader, &batch, err));
        if (batch.row_count == 0) {
            return TAPEOUT_OK;
        }
        for (uint32_t i = 0; i < round->active_count; i++) {
            const uint32_t column = round->active[i];
            TP_TRY(tp_csv_column_parse(reader, &batch, column, csv_cell_at(job, segment, column),
                                       err));
        }
    }
}

static tapeout_status round_task(void *user, size_t task, size_t worker, tapeout_error *err)
{
    const parse_round *round = user;
    csv_job *job = round->job;
    TP_TRY(tp_env_check(job->env, err));
    csv_reader *reader = &round->readers[worker];
    if (reader->job == NULL) {
        TP_TRY(tp_csv_reader_init(reader, job, err));
    }
    TP_TRY(parse_segment(round, reader, task, err));
    const csv_segment *segment = &job->segments[task];
    if (round->map != NULL) {
        tp_map_release(round->map, segment->begin, segment->end - segment->begin);
    }
    if (worker == 0) {
        tp_env_progress(job->env, "read", (double)segment->end / (double)job->size);
    }
    return TAPEOUT_OK;
}

// Parses the columns marked active, in all segments.
static tapeout_status run_round(csv_job *job, const tp_map *map, tapeout_error *err)
{
    const tapeout_allocator *alloc = job->env->alloc;
    const size_t workers = tp_pool_worker_count(job->env->pool);
    parse_round round = {.job = job, .map = map};
    uint32_t *active = tp_alloc_array(alloc, job->column_count, sizeof *active);
    round.readers = tp_alloc_array_zero(alloc, workers, sizeof *round.readers);
    tapeout_status status = TAPEOUT_OK;
    if (active == NULL || round.readers == NULL) {
        status = tp_fail_nomem(err);
    } else {
        for (uint32_t i = 0; i < job->column_count; i++) {
            if (job->columns[i].is_active) {
                active[round.active_count++] = i;
            }
        }
        round.active = active;
        status = tp_pool_for(job->env->pool, job->segment_count, round_task, &round, err);
    }
    for (size_t i = 0; round.readers != NULL && i < workers; i++) {
        tp_csv_reader_deinit(&round.readers[i]);
    }
    tp_free_array(alloc, round.readers, workers, sizeof *round.readers);
    tp_free_array(alloc, active, job->column_count, sizeof *active);
    return status;
}

// -- types ---------------------------------------------------------------------------------------

static tapeout_status guess_batch(csv_reader *reader, const csv_batch *batch, tapeout_error *err)
{
    const csv_job *job = reader->job;
    for (uint32_t c = 0; batch->row_count > 0 && c < job->column_count; c++) {
        csv_column *column = &job->columns[c];
        if (column->is_wanted && !column->is_fixed) {
            csv_cell cell = {.kind = column->kind};
            TP_TRY(tp_csv_column_parse(reader, batch, c, &cell, err));
            column->kind = cell.kind;
        }
    }
    return TAPEOUT_OK;
}

// The kinds of the first rows of a few segments. What is wrong with the text is told later, in
// order.
static tapeout_status guess_kinds(csv_job *job, tapeout_error *err)
{
    csv_reader reader;
    tapeout_status status = tp_csv_reader_init(&reader, job, err);
    const size_t step = job->segment_count / GUESS_SEGMENTS + 1;
    for (size_t i = 0; status == TAPEOUT_OK && i < job->segment_count; i += step) {
        tp_csv_reader_start(&reader, &job->segments[i], GUESS_BYTES);
        csv_batch batch;
        if (tp_csv_reader_next(&reader, &batch, NULL) != TAPEOUT_OK) {
            break;
        }
        status = guess_batch(&reader, &batch, err);
    }
    tp_csv_reader_deinit(&reader);
    return status;
}

// A guess that can't widen any more is as good as given.
static void settle_type(csv_column *column)
{
    if (!column->is_fixed && column->kind != CSV_NONE) {
        column->type = tp_csv_kind_type(column->kind);
        column->is_fixed = column->kind == CSV_STRING;
    }
}

// Fresh buffers of the column's type for all rows: bitmaps all valid, bools all false.
static tapeout_status make_room(csv_job *job, csv_column *column, tapeout_error *err)
{
    table_store *store = &table_stores(job->table)[column->target];
    const tapeout_allocator *alloc = job->env->alloc;
    tp_free_aligned(alloc, store->values, store->values_size);
    store->values_size = tp_table_values_size(column->type, job->row_count);
    store->values = tp_alloc_aligned(alloc, store->values_size);
    if (store->validity == NULL) {
        store->validity_size = table_bitmap_size(job->row_count);
        store->validity = tp_alloc_aligned(alloc, store->validity_size);
    }
    if (store->values == NULL || store->validity == NULL) {
        return tp_fail_nomem(err);
    }
    memset(store->validity, 0xff, store->validity_size);
    if (job->row_count % 8 != 0) {
        store->validity[store->validity_size - 1] = (uint8_t)((1u << (job->row_count % 8)) - 1);
    }
    if (column->type == TAPEOUT_TYPE_BOOL) {
        memset(store->values, 0, store->values_size);
    }
    column->values = store->values;
    column->validity = store->validity;
    return TAPEOUT_OK;
}

// A column of which no row has a value, or which the file does not have.
static tapeout_status make_missing(csv_job *job, uint32_t target, tapeout_type type,
                                   tapeout_error *err)
{
    csv_column column = {.target = target, .type = type};
    TP_TRY(make_room(job, &column, err));
    table_store *store = &table_stores(job->table)[target];
    memset(store->values, 0, store->values_size);
    memset(store->validity, 0, store->validity_size);
    return TAPEOUT_OK;
}

// Joins what the segments found; a column whose guess was too narrow becomes active again.
static tapeout_status widen(csv_job *job, bool *ret_again, tapeout_error *err)
{
    *ret_again = false;
    for (uint32_t i = 0; i < job->column_count; i++) {
        csv_column *column = &job->columns[i];
        column->is_active = false;
        if (!column->is_wanted || column->is_fixed) {
            continue;
        }
        csv_kind kind = column->kind;
        for (size_t s = 0; s < job->segment_count; s++) {
            kind = tp_csv_kind_join(kind, csv_cell_at(job, s, i)->kind);
        }
        if (__atomic_load_n(&column->is_string_now, __ATOMIC_RELAXED)) {
            kind = CSV_STRING;
        }
        column->type = tp_csv_kind_type(kind);
        column->is_fixed = true;
        if (kind == column->kind && kind != CSV_NONE) {
            continue;
        }
        for (size_t s = 0; s < job->segment_count; s++) {
            csv_cell *cell = csv_cell_at(job, s, i);
            tp_csv_dict_drop(job, cell);
            *cell = (csv_cell){0};
        }
        column->kind = kind;
        column->is_active = true;
        *ret_again = true;
        TP_TRY(make_room(job, column, err));
    }
    return TAPEOUT_OK;
}

// -- the whole -----------------------------------------------------------------------------------

static tapeout_status start_table(csv_job *job, const tp_schema *expect, tapeout_error *err)
{
    const uint32_t count = expect == NULL ? job->column_count : expect->count;
    TP_TRY(tp_table_new(job->env->alloc, count, &job->table, err));
    job->table->row_count = job->row_count;
    for (uint32_t i = 0; i < count; i++) {
        const tp_str name = expect == NULL ? job->columns[i].name : expect->fields[i].name;
        TP_TRY(tp_table_store_init(&table_stores(job->table)[i], job->env->alloc, name,
                                   TAPEOUT_TYPE_STRING, err));
    }
    for (uint32_t i = 0; i < job->column_count; i++) {
        csv_column *column = &job->columns[i];
        settle_type(column);
        column->is_active = column->is_wanted;
        if (column->is_wanted && (column->is_fixed || column->kind != CSV_NONE)) {
            TP_TRY(make_room(job, column, err));
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status finish_table(csv_job *job, const tp_schema *expect, tapeout_error *err)
{
    tapeout_table *table = job->table;
    TP_TRY(tp_csv_merge(job, err));
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (expect != NULL && table->columns[i].name.data == NULL) {
            TP_TRY(make_missing(job, i, expect->fields[i].type, err));
            tp_table_column_set(table, i, expect->fields[i].type, job->row_count);
            table->columns[i].is_absent = true;
        }
        table_store *store = &table_stores(table)[i];
        tp_column *column = &table->columns[i];
        if (column->type != TAPEOUT_TYPE_STRING) {
            tp_dict_deinit(&store->dict);
            store->has_dict = false;
            column->dict = NULL;
        }
        if (column->null_count == 0) {
            tp_free_aligned(table->alloc, store->validity, store->validity_size);
            store->validity = NULL;
            store->validity_size = 0;
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status run(csv_job *job, const tp_csv_options *options, const tp_map *map,
                          tapeout_error *err)
{
    TP_TRY(tp_csv_header_read(job, options, err));
    TP_TRY(tp_csv_header_plan(job, options, err));
    TP_TRY(tp_csv_split(job, err));
    job->cells = tp_alloc_array_zero(job->env->alloc, job->segment_count * job->column_count,
                                     sizeof *job->cells);
    if (job->cells == NULL && job->segment_count != 0) {
        return tp_fail_nomem(err);
    }
    TP_TRY(guess_kinds(job, err));
    TP_TRY(start_table(job, options->expect, err));
    TP_TRY(run_round(job, map, err));
    bool is_again;
    TP_TRY(widen(job, &is_again, err));
    if (is_again) {
        TP_TRY(run_round(job, map, err));
    }
    return finish_table(job, options->expect, err);
}

static void set_markers(csv_markers *markers, const tp_csv_options *options)
{
    markers->texts = options->missing;
    markers->count = options->missing_count;
    markers->is_special['"'] = true;
    markers->is_special[' '] = true;
    markers->is_special['\t'] = true;
    for (size_t i = 0; i < options->missing_count; i++) {
        if (options->missing[i].size > 0) {
            const size_t size = options->missing[i].size;
            markers->is_special[(uint8_t)options->missing[i].data[0]] = true;
            markers->sizes |= UINT64_C(1) << (size < 63 ? size : 63);
        }
    }
}

static void job_deinit(csv_job *job)
{
    const tapeout_allocator *alloc = job->env->alloc;
    const size_t cell_count = job->segment_count * job->column_count;
    for (size_t i = 0; job->cells != NULL && i < cell_count; i++) {
        tp_csv_dict_drop(job, &job->cells[i]);
    }
    tp_free_array(alloc, job->cells, cell_count, sizeof *job->cells);
    tp_free_array(alloc, job->segments, job->segment_count, sizeof *job->segments);
    tp_free_array(alloc, job->columns, job->column_count, sizeof *job->columns);
    tp_arena_deinit(&job->arena);
    tp_table_unref(job->table);
}

static tapeout_status read_text(csv_job *job, const tp_csv_options *options, const tp_map *map,
                                tapeout_table **ret_table, tapeout_error *err)
{
    const tp_env *env = job->env;
    tp_kernels_table_init(&job->kernels, tp_cpu_flags());
    tp_arena_init(&job->arena, env->alloc,
                  (size_t)TP_MAX_CSV_COLUMNS * (TP_MAX_CSV_NAME_BYTES + 64));
    set_markers(&job->markers, options);
    const tapeout_status status = run(job, options, map, err);
    if (status == TAPEOUT_OK) {
        *ret_table = job->table;
        job->table = NULL;
    }
    job_deinit(job);
    return status;
}

void tp_csv_options_init(tp_csv_options *options)
{
    static const tp_str usual[] = {TP_STR("NA"),  TP_STR("N/A"),  TP_STR("NaN"),
                                   TP_STR("nan"), TP_STR("null"), TP_STR("NULL")};
    *options = (tp_csv_options){.missing = usual, .missing_count = sizeof usual / sizeof usual[0]};
}

tapeout_status tp_csv_parse(const tp_env *env, tp_str text, const tp_csv_options *options,
                            tapeout_table **ret_table, tapeout_error *err)
{
    static const char nothing[1];
    csv_job job = {
        .env = env,
        .name = options->name == NULL ? "text" : options->name,
        .data = (const uint8_t *)(text.data == NULL ? nothing : text.data),
        .size = text.size,
    };
    return read_text(&job, options, NULL, ret_table, err);
}

static tapeout_status read_stream(const tp_env *env, const tp_csv_options *options,
                                  tapeout_table **ret_table, tapeout_error *err)
{
    tp_str text;
    TP_TRY(tp_file_read(env->alloc, "-", TP_MAX_CSV_STREAM_BYTES, &text, err));
    tp_csv_options named = *options;
    named.name = options->name == NULL ? "standard input" : options->name;
    const tapeout_status status = tp_csv_parse(env, text, &named, ret_table, err);
    tp_free(env->alloc, (void *)(uintptr_t)text.data, text.size + 1);
    return status;
}

tapeout_status tp_csv_read(const tp_env *env, const char *path, const tp_csv_options *options,
                           tapeout_table **ret_table, tapeout_error *err)
{
    if (strcmp(path, "-") == 0) {
        return read_stream(env, options, ret_table, err);
    }
    tp_map map;
    TP_TRY(tp_map_open(path, &map, err));
    csv_job job = {.env = env, .name = path, .data = map.data, .size = map.size};
    const tapeout_status status = read_text(&job, options, &map, ret_table, err);
    tp_map_close(&map);
    return status;
}
