// SPDX-License-Identifier: Apache-2.0
//
// Dates and timestamps in the interpreter: local time by a zone that the program carries, parts of
// a date. Microseconds are split by floor division, so times before 1970 come out right.
#include "feature/feature_exec.h"

#include "table/tp_value.h"

#define US_PER_DAY INT64_C(86400000000)

// Years beyond 290,000 fit no timestamp; what does not fit is invalid.
static bool to_us(double value, int64_t *ret_us)
{
    if (!(fabs(value) < 9.2e18)) {
        return false;
    }
    *ret_us = (int64_t)value;
    return true;
}

static int64_t floor_div(int64_t value, int64_t divisor)
{
    const int64_t quotient = value / divisor;
    return quotient - (value % divisor < 0);
}

// ISO 8601: the week of its Thursday.
static int32_t week_of(int64_t days, const tp_date_parts *parts)
{
    const int64_t thursday = days - parts->weekday + 3;
    return (tp_date_split(thursday).day_of_year - 1) / 7 + 1;
}

static double day_part(tp_feature_part part, int64_t days)
{
    const tp_date_parts parts = tp_date_split(days);
    switch (part) {
    case TP_PART_YEAR:
        return parts.year;
    case TP_PART_QUARTER:
        return (parts.month - 1) / 3 + 1;
    case TP_PART_MONTH:
        return parts.month;
    case TP_PART_WEEK:
        return week_of(days, &parts);
    case TP_PART_DAY:
        return parts.day;
    case TP_PART_DAY_OF_YEAR:
        return parts.day_of_year;
    case TP_PART_IS_WEEKEND:
        return parts.weekday >= 5 ? 1 : 0;
    default:
        return parts.weekday;
    }
}

static double part_of(tp_feature_part part, bool is_date, double value)
{
    int64_t us = 0;
    if (!to_us(value, &us)) {
        return NAN;
    }
    if (is_date) {
        return day_part(part, us);
    }
    const int64_t days = floor_div(us, US_PER_DAY);
    const int64_t second = (us - days * US_PER_DAY) / TP_FEATURE_US_PER_SECOND;
    switch (part) {
    case TP_PART_HOUR:
        return (double)(second / 3600);
    case TP_PART_MINUTE:
        return (double)(second / 60 % 60);
    case TP_PART_SECOND:
        return (double)(second % 60);
    default:
        return day_part(part, days);
    }
}

uint32_t tp_feature_zone_find(const tp_feature_zone *zone, int64_t at_s)
{
    uint32_t low = 0;
    uint32_t high = zone->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (zone->starts_s[middle] <= at_s) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_inside(const tp_feature_zone *zone, uint32_t interval, int64_t at_s)
{
    return interval <= zone->count && (interval == 0 || zone->starts_s[interval - 1] <= at_s) &&
           (interval == zone->count || at_s < zone->starts_s[interval]);
}

static double local_of(tp_feature_worker *worker, const tp_feature_zone *zone, double value)
{
    int64_t us = 0;
    if (!to_us(value, &us)) {
        return NAN;
    }
    const int64_t at_s = floor_div(us, TP_FEATURE_US_PER_SECOND);
    if (!is_inside(zone, worker->zone_hint, at_s)) { // rows near each other share an interval
        worker->zone_hint = tp_feature_zone_find(zone, at_s);
    }
    const int32_t offset_s =
        worker->zone_hint == 0 ? zone->first_offset_s : zone->offsets_s[worker->zone_hint - 1];
    return value + (double)offset_s * TP_FEATURE_US_PER_SECOND;
}

void tp_feature_op_time(tp_feature_worker *worker, const tp_feature_instr *instr, double *out)
{
    const tp_feature_program *program = worker->run->program;
    const double *a = tp_feature_register(worker, instr->code.a);
    const bool is_date = program->instrs[instr->code.a].code.type == TP_FEATURE_DATE;
    for (uint32_t i = 0; i < worker->row_count; i++) {
        int64_t us = 0;
        if (a[i] != a[i]) {
            out[i] = NAN;
            continue;
        }
        if (instr->code.op == TP_OP_LOCAL) {
            out[i] = local_of(worker, &program->zones[instr->code.index], a[i]);
        } else if (instr->code.op == TP_OP_PART) {
            out[i] = part_of((tp_feature_part)instr->code.index, is_date, a[i]);
        } else {
            out[i] = to_us(a[i], &us) ? (double)floor_div(us, US_PER_DAY) : (double)NAN;
        }
        if (out[i] != out[i]) {
            tp_feature_mark(worker, i);
        }
    }
}
