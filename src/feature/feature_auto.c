// SPDX-License-Identifier: Apache-2.0
//
// `features: auto`: a program written for a table, to be read and kept by a person. What a profile
// of the training rows finds suspicious is left out, and said: keys, leaks of the target, columns
// of one value or none. What stays is turned into what learners can use, by type and cardinality:
//
//   numbers, truth values    as they are
//   dates, timestamps        the parts that vary over the rows
//   texts of few levels      category, rare levels together
//   texts of very many       target_mean (where the target has a mean) and count_encode
//
// The rules are a table of sentences in docs/features.md; nothing here looks at rows that are not
// the training rows.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "feature/tp_feature.h"
#include "table/tp_profile.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum {
    MANY_LEVELS = 1000,         // above, a text is encoded by its target's mean
    ROWS_PER_MIN_COUNT = 20000, // min_count grows with the rows,
    LEAST_MIN_COUNT = 2,        // from this
    MOST_MIN_COUNT = 50         // to this
};

#define US_PER_DAY 86400000000.0

typedef struct writer {
    const tp_feature_auto_data *data;
    tp_buffer *text;
    tp_buffer *notes;
    tp_dict names;  // of features written and columns there are
    tp_buffer name; // scratch
    bool has_mean;  // the target is a number or one of two classes
    uint32_t count; // features written
} writer;

// -- names ---------------------------------------------------------------------------------------
static bool is_plain(tp_str name)
{
    static const char *const words[] = {"and", "or", "not", "true", "false"};
    for (size_t i = 0; i < name.size; i++) {
        const char c = name.data[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (tp_str_equal(name, tp_str_from(words[i]))) {
            return false;
        }
    }
    return name.size > 0;
}

void tp_feature_append_name(tp_buffer *buffer, tp_str name)
{
    if (is_plain(name)) {
        tp_buffer_append_str(buffer, name);
        return;
    }
    tp_buffer_append_char(buffer, '`');
    for (size_t i = 0; i < name.size; i++) {
        const char c = name.data[i];
        if (c == '`' || c == '\\') {
            tp_buffer_append_char(buffer, '\\');
            tp_buffer_append_char(buffer, c);
        } else if (c == '\n') {
            tp_buffer_append_text(buffer, "\\n");
        } else {
            tp_buffer_append_char(buffer, c);
        }
    }
    tp_buffer_append_char(buffer, '`');
}

// A name in a comment or note: one line.
static void put_words(tp_buffer *buffer, tp_str name)
{
    for (size_t i = 0; i < name.size; i++) {
        const unsigned char c = (unsigned char)name.data[i];
        tp_buffer_append_char(buffer, c < 0x20 || c == 0x7f ? '?' : (char)c);
    }
}

// A free name for a feature of `column`: the column's own without a part, else column_part. A
// feature may be called like its column but not like another, and must not begin with "_".
static tapeout_status choose_name(writer *w, tp_str column, const char *part, tapeout_error *err)
{
    for (uint32_t attempt = 1;; attempt++) {
        tp_buffer_clear(&w->name);
        tp_buffer_append_text(&w->name, column.data[0] == '_' ? "column" : "");
        tp_buffer_append_str(&w->name, column);
        if (part != NULL) {
            tp_buffer_printf(&w->name, "_%s", part);
        }
        if (attempt > 1) {
            tp_buffer_printf(&w->name, "_%u", attempt);
        }
        TP_TRY(tp_buffer_check(&w->name, "features: auto", err));
        const tp_str name = tp_buffer_view(&w->name);
        const bool is_own = tp_str_equal(name, column);
        if (is_own || tp_dict_find(&w->names, name) < 0) {
            uint32_t index = 0;
            return tp_dict_add(&w->names, name, &index) == TAPEOUT_OK ? TAPEOUT_OK
                                                                      : tp_fail_nomem(err);
        }
    }
}

// -- lines ---------------------------------------------------------------------------------------
// "name = " and then whatever the caller appends.
static tapeout_status begin_feature(writer *w, tp_str column, const char *part, tapeout_error *err)
{
    TP_TRY(choose_name(w, column, part, err));
    tp_feature_append_name(w->text, tp_buffer_view(&w->name));
    tp_buffer_append_text(w->text, " = ");
    w->count++;
    return TAPEOUT_OK;
}

// name = function(column<arguments>)  # why
static tapeout_status put_call(writer *w, tp_str column, const char *part, const char *call,
                               const char *arguments)
{
    TP_TRY(begin_feature(w, column, part, NULL));
    tp_buffer_printf(w->text, "%s(", call);
    tp_feature_append_name(w->text, column);
    tp_buffer_printf(w->text, "%s)", arguments);
    return TAPEOUT_OK;
}

static void leave_out(writer *w, tp_str column, const char *why)
{
    tp_buffer_append_text(w->text, "# ");
    put_words(w->text, column);
    tp_buffer_printf(w->text, " is left out: %s\n", why);
    put_words(w->notes, column);
    tp_buffer_printf(w->notes, ": left out, %s\n", why);
}

// -- rules ---------------------------------------------------------------------------------------
// True where the column was left out.
static bool judge(writer *w, const tp_profile_column *column)
{
    const tp_sketch *sketch = &column->sketch;
    char why[160];
    if ((column->notes & TP_PROFILE_ALL_MISSING) != 0) {
        (void)snprintf(why, sizeof(why), "all missing in the training rows");
    } else if ((column->notes & TP_PROFILE_LEAK) != 0) {
        (void)snprintf(why, sizeof(why),
                       "it gives the target away: alone it explains %.1f %% of it",
                       column->leak_score * 100);
    } else if ((column->notes & TP_PROFILE_CONSTANT) != 0) {
        (void)snprintf(why, sizeof(why), "constant, one value in every training row");
    } else if ((column->notes & TP_PROFILE_IDENTIFIER) != 0) {
        (void)snprintf(why, sizeof(why), "a key: %" PRIu64 " different values in %" PRIu64 " rows",
                       sketch->distinct_count, sketch->row_count - sketch->missing_count);
    } else {
        return false;
    }
    leave_out(w, sketch->name, why);
    return true;
}

static tapeout_status put_number(writer *w, const tp_sketch *sketch)
{
    TP_TRY(begin_feature(w, sketch->name, NULL, NULL));
    tp_feature_append_name(w->text, sketch->name);
    tp_buffer_append_char(w->text, '\n');
    return TAPEOUT_OK;
}

// Parts that vary over the span of the rows; the time of day only where there is one.
static tapeout_status put_time(writer *w, const tp_sketch *sketch, bool has_time)
{
    const double unit = sketch->type == TAPEOUT_TYPE_DATE ? 1 : US_PER_DAY;
    const double span_days = (sketch->maximum - sketch->minimum) / unit;
    const struct {
        const char *part;
        bool varies;
        const char *why;
    } parts[] = {{"hour", has_time, "  # UTC; name a zone as a second argument\n"},
                 {"weekday", span_days >= 1, "  # 0 is Monday\n"},
                 {"day", span_days >= 1 && span_days < 400, "\n"},
                 {"month", span_days >= 28, "\n"},
                 {"year", span_days >= 400, "\n"}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i].varies) {
            TP_TRY(put_call(w, sketch->name, parts[i].part, parts[i].part, ""));
            tp_buffer_append_text(w->text, parts[i].why);
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status put_text(writer *w, const tp_sketch *sketch)
{
    char arguments[64];
    const uint64_t wanted = sketch->row_count / ROWS_PER_MIN_COUNT;
    const uint64_t at_least = wanted < LEAST_MIN_COUNT ? LEAST_MIN_COUNT : wanted;
    const uint64_t min_count = at_least > MOST_MIN_COUNT ? MOST_MIN_COUNT : at_least;
    const bool is_many = sketch->distinct_count > MANY_LEVELS;
    if (is_many && w->has_mean) {
        TP_TRY(put_call(w, sketch->name, "mean", "target_mean", ", smoothing = 20"));
        tp_buffer_printf(w->text, "  # %" PRIu64 " levels: too many to tell apart\n",
                         sketch->distinct_count);
    } else {
        (void)snprintf(arguments, sizeof(arguments), ", min_count = %" PRIu64,
                       is_many ? (uint64_t)MOST_MIN_COUNT : min_count);
        TP_TRY(put_call(w, sketch->name, NULL, "category", arguments));
        tp_buffer_printf(w->text, "  # %" PRIu64 " levels\n", sketch->distinct_count);
    }
    if (is_many) {
        TP_TRY(put_call(w, sketch->name, "count", "count_encode", ""));
        tp_buffer_append_text(w->text, "  # how frequent the level is\n");
    }
    return TAPEOUT_OK;
}

// Whether any chosen row's time is not midnight UTC.
static bool has_time_of_day(const tp_column *column, tp_row_choice rows)
{
    for (uint64_t i = 0; i < rows.count; i++) {
        const uint64_t row = rows.index == NULL ? i : rows.index[i];
        if (tp_column_is_valid(column, row) && column->values.i64[row] % 86400000000 != 0) {
            return true;
        }
    }
    return false;
}

static tapeout_status put_column(writer *w, const tp_column *column, const tp_sketch *sketch)
{
    switch (sketch->type) {
    case TAPEOUT_TYPE_BOOL:
    case TAPEOUT_TYPE_INT64:
    case TAPEOUT_TYPE_FLOAT64:
        return put_number(w, sketch);
    case TAPEOUT_TYPE_DATE:
        return put_time(w, sketch, false);
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        return put_time(w, sketch, has_time_of_day(column, w->data->rows));
    case TAPEOUT_TYPE_STRING:
        break;
    }
    return put_text(w, sketch);
}

// -- all of it -----------------------------------------------------------------------------------
static bool target_has_mean(const tp_feature_auto_data *data)
{
    if (data->values == NULL || !data->target_is_class) {
        return data->values != NULL;
    }
    for (uint64_t i = 0; i < data->rows.count; i++) {
        if (data->values[i] > 1) {
            return false;
        }
    }
    return true;
}

static tapeout_status write_program(writer *w, const tp_profile_column *columns, uint32_t target,
                                    tapeout_error *err)
{
    const tapeout_table *table = w->data->table;
    tp_buffer_printf(w->text, "# features: auto, for %" PRIu64 " training rows\n",
                     w->data->rows.count);
    for (uint32_t i = 0; i < table->column_count; i++) {
        uint32_t index = 0;
        if (tp_dict_add(&w->names, table->columns[i].name, &index) != TAPEOUT_OK) {
            return tp_fail_nomem(err);
        }
    }
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (i == target || judge(w, &columns[i])) {
            continue;
        }
        if (put_column(w, &table->columns[i], &columns[i].sketch) != TAPEOUT_OK) {
            return tp_fail_nomem(err); // the one way in which naming fails
        }
    }
    TP_TRY(tp_buffer_check(w->text, "features: auto", err));
    TP_TRY(tp_buffer_check(w->notes, "features: auto", err));
    if (w->count == 0) {
        return tp_fail(err, TAPEOUT_E_DATA,
                       "features: auto finds no column to learn from among %u; write a program to "
                       "use one that it left out (see `tapeout profile`)",
                       table->column_count);
    }
    return TAPEOUT_OK;
}

static uint32_t find_target(const tp_feature_auto_data *data)
{
    for (uint32_t i = 0; i < data->table->column_count; i++) {
        if (tp_str_equal(data->table->columns[i].name, data->target)) {
            return i;
        }
    }
    return tp_profile_no_target;
}

tapeout_status tp_feature_auto(const tp_env *env, const tp_feature_auto_data *data,
                               tp_buffer *ret_text, tp_buffer *ret_notes, tapeout_error *err)
{
    const uint32_t target = find_target(data);
    tp_profile *profile = NULL;
    TP_TRY(tp_profile_new(env, data->table, data->rows, target, &profile, err));
    writer w = {
        .data = data, .text = ret_text, .notes = ret_notes, .has_mean = target_has_mean(data)};
    tp_dict_init(&w.names, env->alloc);
    tp_buffer_init(&w.name, env->alloc, TP_MAX_FEATURE_TEXT_BYTES);
    const tapeout_status status = write_program(&w, tp_profile_columns(profile), target, err);
    tp_buffer_deinit(&w.name);
    tp_dict_deinit(&w.names);
    tp_profile_free(profile);
    return status;
}
