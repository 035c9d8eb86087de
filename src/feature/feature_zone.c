// SPDX-License-Identifier: Apache-2.0
//
// Time zones. The system's tzdata (TZif files, RFC 8536) is read once, when a program is parsed;
// the list of offsets goes into the fitted state, so a bundle needs no tzdata where it is served
// and gives the same numbers for ever. The rule at the end of a file (a POSIX TZ text, for the
// years that its table leaves out) is unrolled to TP_FEATURE_ZONE_LAST_YEAR; later times keep the
// last offset. Zone names are checked to be names: no path leaves the folder of zones.
#include "feature/feature_code.h"

#include "base/tp_cursor.h"
#include "base/tp_file.h"
#include "table/tp_value.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define ZONE_FOLDER "/usr/share/zoneinfo"
#define TP_FEATURE_ZONE_LAST_YEAR 2199

enum { OFFSET_MAX_S = 26 * 3600, MAX_ENTRIES = 1024 };

void tp_feature_zone_deinit(const tapeout_allocator *alloc, tp_feature_zone *zone)
{
    tp_free_array(alloc, zone->starts_s, zone->count, sizeof(int64_t));
    tp_free_array(alloc, zone->offsets_s, zone->count, sizeof(int32_t));
    *zone = (tp_feature_zone){.count = 0};
}

// -- the rule of the years to come ---------------------------------------------------------------
typedef struct rule_day {
    char kind; // 'M' month.week.weekday, 'J' day without leap day, '0' day from 0
    int32_t month;
    int32_t week;
    int32_t day;
    int32_t time_s; // local, may lie beyond the day
} rule_day;

typedef struct rule {
    bool has_summer;
    int32_t standard_s; // added to UTC
    int32_t summer_s;
    rule_day start;
    rule_day end;
} rule;

static char peek(tp_str text)
{
    return text.size > 0 ? text.data[0] : '\0';
}

static void skip(tp_str *text, size_t count)
{
    text->data += count;
    text->size -= count;
}

static bool read_number(tp_str *text, int32_t most, int32_t *ret_value)
{
    int32_t value = 0;
    size_t digits = 0;
    while (peek(*text) >= '0' && peek(*text) <= '9' && digits < 4) {
        value = value * 10 + (peek(*text) - '0');
        skip(text, 1);
        digits++;
    }
    *ret_value = value;
    return digits > 0 && value <= most;
}

// [+-]hh[:mm[:ss]] in seconds.
static bool read_time(tp_str *text, int32_t *ret_s)
{
    static const int32_t units[3] = {3600, 60, 1};
    const int32_t sign = peek(*text) == '-' ? -1 : 1;
    if (peek(*text) == '-' || peek(*text) == '+') {
        skip(text, 1);
    }
    int32_t total = 0;
    for (int i = 0; i < 3; i++) {
        int32_t value = 0;
        if (!read_number(text, i == 0 ? 167 : 59, &value)) {
            return false;
        }
        total += value * units[i];
        if (peek(*text) != ':') {
            break;
        }
        skip(text, 1);
    }
    *ret_s = sign * total;
    return true;
}

// EST or <-03>.
static bool skip_name(tp_str *text)
{
    const bool quoted = peek(*text) == '<';
    size_t size = quoted ? 1 : 0;
    while (size < text->size) {
        const char c = text->data[size];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (quoted ? c == '>' : !letter) {
            break;
        }
        size++;
    }
    if (quoted && size == text->size) {
        return false;
    }
    skip(text, quoted ? size + 1 : size);
    return size >= 1;
}

static bool read_day(tp_str *text, rule_day *day)
{
    *day = (rule_day){.kind = '0', .time_s = 7200};
    if (peek(*text) == ',') {
        skip(text, 1);
    }
    if (peek(*text) == 'M') {
        skip(text, 1);
        day->kind = 'M';
        if (!read_number(text, 12, &day->month) || day->month < 1 || peek(*text) != '.') {
            return false;
        }
        skip(text, 1);
        if (!read_number(text, 5, &day->week) || day->week < 1 || peek(*text) != '.') {
            return false;
        }
        skip(text, 1);
        if (!read_number(text, 6, &day->day)) {
            return false;
        }
    } else {
        if (peek(*text) == 'J') {
            skip(text, 1);
            day->kind = 'J';
        }
        if (!read_number(text, 365, &day->day)) {
            return false;
        }
    }
    if (peek(*text) == '/') {
        skip(text, 1);
        return read_time(text, &day->time_s);
    }
    return true;
}

static bool is_offset(int32_t offset_s)
{
    return offset_s >= -OFFSET_MAX_S && offset_s <= OFFSET_MAX_S;
}

static bool read_rule(tp_str text, rule *ret_rule)
{
    rule r = {.has_summer = false};
    if (!skip_name(&text) || !read_time(&text, &r.standard_s)) {
        return false;
    }
    r.standard_s = -r.standard_s; // POSIX counts west of Greenwich
    if (text.size > 0) {
        r.has_summer = true;
        r.summer_s = r.standard_s + 3600;
        if (!skip_name(&text)) {
            return false;
        }
        if (peek(text) != ',') {
            if (!read_time(&text, &r.summer_s)) {
                return false;
            }
            r.summer_s = -r.summer_s;
        }
        if (!read_day(&text, &r.start) || !read_day(&text, &r.end) || text.size > 0) {
            return false;
        }
    }
    *ret_rule = r;
    return is_offset(r.standard_s) && is_offset(r.summer_s);
}

static int64_t day_of_rule(const rule_day *day, int32_t year)
{
    const int64_t january = tp_date_join(year, 1, 1);
    if (day->kind == '0') {
        return january + day->day;
    }
    if (day->kind == 'J') { // 1 … 365, 29 February never counted
        const bool leap = tp_date_join(year, 3, 1) - january == 60;
        return january + day->day - 1 + (leap && day->day >= 60 ? 1 : 0);
    }
    const int64_t first = tp_date_join(year, day->month, 1);
    const int64_t next =
        day->month == 12 ? tp_date_join(year + 1, 1, 1) : tp_date_join(year, day->month + 1, 1);
    const int32_t weekday = (tp_date_split(first).weekday + 1) % 7; // 0 Sunday, as POSIX
    int64_t at = first + (day->day - weekday + 7) % 7 + 7 * (day->week - 1);
    while (at >= next) { // week 5 is the last one
        at -= 7;
    }
    return at;
}

// -- building ------------------------------------------------------------------------------------
typedef struct zone_list {
    int64_t starts_s[TP_MAX_FEATURE_TRANSITIONS];
    int32_t offsets_s[TP_MAX_FEATURE_TRANSITIONS];
    uint32_t count;
    int32_t first_offset_s;
} zone_list;

static int32_t last_offset(const zone_list *list)
{
    return list->count == 0 ? list->first_offset_s : list->offsets_s[list->count - 1];
}

// False when there is no room or the time does not lie behind the last.
static bool add_start(zone_list *list, int64_t start_s, int32_t offset_s)
{
    if (list->count > 0 && start_s <= list->starts_s[list->count - 1]) {
        return false;
    }
    if (offset_s == last_offset(list)) {
        return true; // the same clock under another name
    }
    if (list->count == TP_MAX_FEATURE_TRANSITIONS) {
        return false;
    }
    list->starts_s[list->count] = start_s;
    list->offsets_s[list->count++] = offset_s;
    return true;
}

static void unroll(zone_list *list, const rule *r)
{
    if (!r->has_summer) {
        return;
    }
    const int64_t table_s = list->count == 0 ? 0 : list->starts_s[list->count - 1];
    const int64_t last_s = table_s > 0 ? table_s : 0; // a rule for the time before 1970 is none
    const int32_t first_year = tp_date_split(last_s / 86400).year;
    for (int32_t year = first_year; year <= TP_FEATURE_ZONE_LAST_YEAR; year++) {
        const int64_t start_s =
            day_of_rule(&r->start, year) * 86400 + r->start.time_s - r->standard_s;
        const int64_t end_s = day_of_rule(&r->end, year) * 86400 + r->end.time_s - r->summer_s;
        // What lies before the table's end, or finds no room, is left out.
        if (start_s < end_s) {
            (void)(start_s > last_s && add_start(list, start_s, r->summer_s));
            (void)(end_s > last_s && add_start(list, end_s, r->standard_s));
        } else {
            (void)(end_s > last_s && add_start(list, end_s, r->standard_s));
            (void)(start_s > last_s && add_start(list, start_s, r->summer_s));
        }
    }
}

// -- TZif ----------------------------------------------------------------------------------------
typedef struct tzif_counts {
    uint8_t version;
    uint32_t utc;
    uint32_t standard;
    uint32_t leaps;
    uint32_t times;
    uint32_t types;
    uint32_t chars;
} tzif_counts;

static uint32_t read_u32(tp_cursor *cursor)
{
    return __builtin_bswap32(tp_cursor_u32(cursor)); // TZif is big-endian
}

static int64_t read_i64(tp_cursor *cursor)
{
    return (int64_t)__builtin_bswap64(tp_cursor_u64(cursor));
}

static bool read_header(tp_cursor *cursor, tzif_counts *counts)
{
    const tp_str magic = tp_cursor_bytes(cursor, 4);
    if (cursor->failed || !tp_str_equal(magic, TP_STR("TZif"))) {
        return false;
    }
    counts->version = tp_cursor_u8(cursor);
    (void)tp_cursor_skip(cursor, 15); // failure is kept by the cursor
    counts->utc = read_u32(cursor);
    counts->standard = read_u32(cursor);
    counts->leaps = read_u32(cursor);
    counts->times = read_u32(cursor);
    counts->types = read_u32(cursor);
    counts->chars = read_u32(cursor);
    return !cursor->failed;
}

static bool skip_block(tp_cursor *cursor, const tzif_counts *counts, uint64_t time_size)
{
    return tp_cursor_skip(cursor, counts->times * (time_size + 1) + counts->types * UINT64_C(6) +
                                      counts->chars + counts->leaps * (time_size + 4) +
                                      counts->standard + (uint64_t)counts->utc);
}

static bool read_transitions(tp_cursor *cursor, const tzif_counts *counts, zone_list *list)
{
    if (counts->types == 0 || counts->types > 256 || counts->leaps > 0 ||
        counts->times > TP_MAX_FEATURE_TRANSITIONS) {
        return false; // leap seconds are in nobody's timestamps
    }
    const uint8_t *times = tp_cursor_array(cursor, counts->times, 8);
    const uint8_t *indexes = tp_cursor_array(cursor, counts->times, 1);
    int32_t offsets[256];
    for (uint32_t i = 0; i < counts->types; i++) {
        offsets[i] = (int32_t)read_u32(cursor);
        (void)tp_cursor_skip(cursor, 2); // failure is kept by the cursor
        if (!is_offset(offsets[i])) {
            return false;
        }
    }
    if (cursor->failed) {
        return false;
    }
    list->first_offset_s = offsets[0];
    tp_cursor times_cursor;
    tp_cursor_init(&times_cursor, times, (size_t)counts->times * 8);
    for (uint32_t i = 0; i < counts->times; i++) {
        const int64_t start_s = read_i64(&times_cursor);
        if (indexes[i] >= counts->types || start_s > INT64_C(1) << 40 ||
            !add_start(list, start_s, offsets[indexes[i]])) {
            return false;
        }
    }
    return tp_cursor_skip(cursor, counts->chars + counts->leaps * UINT64_C(12) + counts->standard +
                                      (uint64_t)counts->utc);
}

static bool read_zone(tp_str bytes, zone_list *list)
{
    tp_cursor cursor;
    tzif_counts counts = {0};
    tp_cursor_init(&cursor, bytes.data, bytes.size);
    if (!read_header(&cursor, &counts) || counts.version < '2' ||
        !skip_block(&cursor, &counts, 4) || !read_header(&cursor, &counts) ||
        !read_transitions(&cursor, &counts, list)) {
        return false;
    }
    tp_str footer = tp_cursor_bytes(&cursor, tp_cursor_left(&cursor));
    if (footer.size < 2 || footer.data[0] != '\n' || footer.data[footer.size - 1] != '\n') {
        return false;
    }
    footer = (tp_str){footer.data + 1, footer.size - 2};
    rule r = {.has_summer = false};
    if (footer.size > 0 && !read_rule(footer, &r)) {
        return false;
    }
    unroll(list, &r);
    return true;
}

tapeout_status tp_feature_zone_parse(const tapeout_allocator *alloc, tp_str bytes,
                                     tp_feature_zone *ret_zone, tapeout_error *err)
{
    zone_list *list = tp_alloc_zero(alloc, sizeof(*list));
    if (list == NULL) {
        return tp_fail_nomem(err);
    }
    tapeout_status status = TAPEOUT_OK;
    tp_feature_zone zone = {.count = 0};
    if (!read_zone(bytes, list)) {
        status = tp_fail(err, TAPEOUT_E_CORRUPT, "not a time zone file of version 2 or later");
    } else {
        zone.starts_s = tp_alloc_array(alloc, list->count, sizeof(int64_t));
        zone.offsets_s = tp_alloc_array(alloc, list->count, sizeof(int32_t));
        zone.count = list->count;
        zone.first_offset_s = list->first_offset_s;
        if (list->count > 0 && (zone.starts_s == NULL || zone.offsets_s == NULL)) {
            tp_feature_zone_deinit(alloc, &zone);
            status = tp_fail_nomem(err);
        }
    }
    if (status == TAPEOUT_OK) {
        if (list->count > 0) {
            memcpy(zone.starts_s, list->starts_s, list->count * sizeof(int64_t));
            memcpy(zone.offsets_s, list->offsets_s, list->count * sizeof(int32_t));
        }
        *ret_zone = zone;
    }
    tp_free(alloc, list, sizeof(*list));
    return status;
}

// -- the system's files --------------------------------------------------------------------------
// Letters, digits, "_", "+", "-" in parts between single slashes; no dot, so no way out.
static bool is_zone_name(tp_str name)
{
    bool boundary = true;
    for (size_t i = 0; i < name.size; i++) {
        const char c = name.data[i];
        const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '_' || c == '+' || c == '-';
        if (!good && (c != '/' || boundary)) {
            return false;
        }
        boundary = c == '/';
    }
    return !boundary && name.size <= 64;
}

// The zone of the same region whose name is nearest; false where there is none.
static bool nearest_zone(const tapeout_allocator *alloc, tp_str name, char *ret_name, size_t size)
{
    size_t slash = name.size;
    while (slash > 0 && name.data[slash - 1] != '/') {
        slash--;
    }
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/%.*s", ZONE_FOLDER, (int)slash, name.data);
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return false;
    }
    tp_arena arena;
    tp_arena_init(&arena, alloc, 1u << 20);
    tp_str *names = tp_arena_array(&arena, MAX_ENTRIES, sizeof(tp_str));
    size_t count = 0;
    for (const struct dirent *entry = readdir(folder);
         names != NULL && entry != NULL && count < MAX_ENTRIES; entry = readdir(folder)) {
        names[count] = tp_arena_str(&arena, tp_str_from(entry->d_name));
        count += names[count].data != NULL;
    }
    (void)closedir(folder); // opened for reading
    const tp_str last = {name.data + slash, name.size - slash};
    const int found = names == NULL ? -1 : tp_str_nearest(last, names, count);
    if (found >= 0) {
        (void)snprintf(ret_name, size, "%.*s%.*s", (int)slash, name.data,
                       TP_STR_ARGS(names[found]));
    }
    tp_arena_deinit(&arena);
    return found >= 0;
}

static tapeout_status fail_zone(const tapeout_allocator *alloc, tp_str name, tapeout_error *err)
{
    char nearest[128];
    if (is_zone_name(name) && nearest_zone(alloc, name, nearest, sizeof(nearest))) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "no time zone is called \"%.*s\"; did you mean \"%s\"?", TP_STR_ARGS(name),
                       nearest);
    }
    return tp_fail(err, TAPEOUT_E_INVALID,
                   "no time zone is called \"%.*s\" in " ZONE_FOLDER
                   "; zones have names such as \"America/New_York\" (package tzdata)",
                   TP_STR_ARGS(name));
}

tapeout_status tp_feature_zone_load(const tapeout_allocator *alloc, tp_str name,
                                    tp_feature_zone *ret_zone, tapeout_error *err)
{
    if (tp_str_equal(name, TP_STR("UTC")) || tp_str_equal(name, TP_STR("Etc/UTC"))) {
        *ret_zone = (tp_feature_zone){.count = 0};
        return TAPEOUT_OK;
    }
    char path[160];
    tp_str bytes = {NULL, 0};
    if (!is_zone_name(name)) {
        return fail_zone(alloc, name, err);
    }
    (void)snprintf(path, sizeof(path), "%s/%.*s", ZONE_FOLDER, (int)name.size, name.data);
    tapeout_status status = tp_file_read(alloc, path, TP_MAX_FEATURE_ZONE_BYTES, &bytes, err);
    if (status == TAPEOUT_E_NOMEM) {
        return status;
    }
    if (status != TAPEOUT_OK) {
        return fail_zone(alloc, name, err);
    }
    status = tp_feature_zone_parse(alloc, bytes, ret_zone, err);
    tp_free(alloc, (char *)(uintptr_t)bytes.data, bytes.size + 1);
    return status == TAPEOUT_E_CORRUPT ? fail_zone(alloc, name, err) : status;
}
