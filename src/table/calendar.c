// SPDX-License-Identifier: Apache-2.0
//
// Dates and timestamps: the proleptic Gregorian calendar, its text forms and back.
//
// Days are counted from 1970-01-01. Splitting and joining follow the usual trick of starting the
// year in March and counting in eras of 400 years (146,097 days), which is exact for every day that
// an int64 of microseconds or an int32 of days can name. Years of four digits are written as such,
// all others with a sign and at least five digits (ISO 8601's expanded form), so that every value
// has a text and every text reads back. A leap second (":60") and the hour 24 are refused.
#include "table/tp_value.h"

#include <string.h>

enum { DAYS_PER_ERA = 146097, YEAR_DIGITS_MAX = 7 };

static const int64_t us_per_second = 1000000;
static const int64_t us_per_day = INT64_C(86400000000);

tp_date_parts tp_date_split(int64_t days)
{
    const int64_t shifted = days + 719468; // days since 0000-03-01
    const int64_t era = (shifted >= 0 ? shifted : shifted - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    const int64_t day_of_era = shifted - era * DAYS_PER_ERA;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_march_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t march_month = (5 * day_of_march_year + 2) / 153;
    const int64_t month = march_month < 10 ? march_month + 3 : march_month - 9;
    const int64_t year = year_of_era + era * 400 + (month <= 2);
    const int64_t weekday = (days % 7 + 10) % 7; // 1970-01-01 was a Thursday
    return (tp_date_parts){
        .year = (int32_t)year,
        .month = (int32_t)month,
        .day = (int32_t)(day_of_march_year - (153 * march_month + 2) / 5 + 1),
        .day_of_year = (int32_t)(days - tp_date_join((int32_t)year, 1, 1) + 1),
        .weekday = (int32_t)weekday,
    };
}

int64_t tp_date_join(int32_t year, int32_t month, int32_t day)
{
    const int64_t y = (int64_t)year - (month <= 2);
    const int64_t era = (y >= 0 ? y : y - 399) / 400;
    const int64_t year_of_era = y - era * 400;
    const int64_t march_month = month > 2 ? month - 3 : month + 9;
    const int64_t day_of_march_year = (153 * march_month + 2) / 5 + day - 1;
    const int64_t day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_march_year;
    return era * DAYS_PER_ERA + day_of_era - 719468;
}

static int32_t month_days(int32_t year, int32_t month)
{
    static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && is_leap ? 29 : days[month - 1];
}

// -- reading -------------------------------------------------------------------------------------

// What is left of the text to read.
typedef struct reader {
    const char *at;
    const char *end;
} reader;

static bool next_is(const reader *r, char c)
{
    return r->at < r->end && *r->at == c;
}

static bool read_char(reader *r, char c)
{
    const bool is_there = next_is(r, c);
    r->at += is_there;
    return is_there;
}

// Exactly `count` digits.
static bool read_digits(reader *r, size_t count, int32_t *ret_value)
{
    if ((size_t)(r->end - r->at) < count) {
        return false;
    }
    int32_t value = 0;
    for (size_t i = 0; i < count; i++) {
        const unsigned digit = (unsigned)(r->at[i] - '0');
        if (digit > 9) {
            return false;
        }
        value = value * 10 + (int32_t)digit;
    }
    r->at += count;
    *ret_value = value;
    return true;
}

static bool read_year(reader *r, int32_t *ret_year)
{
    if (!next_is(r, '-') && !next_is(r, '+')) {
        return read_digits(r, 4, ret_year);
    }
    const bool is_negative = *r->at++ == '-';
    size_t count = 0;
    while (count < YEAR_DIGITS_MAX && r->at + count < r->end &&
           (unsigned)(r->at[count] - '0') < 10u) {
        count++;
    }
    if (count < 5 || !read_digits(r, count, ret_year)) {
        return false;
    }
    *ret_year = is_negative ? -*ret_year : *ret_year;
    return true;
}

static bool read_date(reader *r, int64_t *ret_days)
{
    int32_t year;
    int32_t month;
    int32_t day;
    if (!read_year(r, &year) || !read_char(r, '-') || !read_digits(r, 2, &month) ||
        !read_char(r, '-') || !read_digits(r, 2, &day)) {
        return false;
    }
    if (month < 1 || month > 12 || day < 1 || day > month_days(year, month)) {
        return false;
    }
    *ret_days = tp_date_join(year, month, day);
    return true;
}

// An empty text may be NULL, which has no offsets.
static reader begin(tp_str text)
{
    return (reader){text.data, text.size == 0 ? text.data : text.data + text.size};
}

bool tp_parse_date(tp_str text, int32_t *ret_days)
{
    reader r = begin(text);
    int64_t days;
    if (!read_date(&r, &days) || r.at != r.end || days < INT32_MIN || days > INT32_MAX) {
        return false;
    }
    *ret_days = (int32_t)days;
    return true;
}

// ".f" up to nine digits; those beyond the microsecond are dropped.
static bool read_fraction(reader *r, int64_t *ret_us)
{
    int64_t us = 0;
    size_t count = 0;
    for (; r->at < r->end && (unsigned)(*r->at - '0') < 10u; r->at++, count++) {
        us = count < 6 ? us * 10 + (*r->at - '0') : us;
    }
    for (size_t i = count; i < 6; i++) {
        us *= 10;
    }
    *ret_us = us;
    return count >= 1 && count <= 9;
}

// HH:MM[:SS[.ffffff]] in microseconds.
static bool read_time(reader *r, int64_t *ret_us)
{
    int32_t hour;
    int32_t minute;
    int32_t second = 0;
    int64_t fraction = 0;
    if (!read_digits(r, 2, &hour) || !read_char(r, ':') || !read_digits(r, 2, &minute)) {
        return false;
    }
    if (read_char(r, ':')) {
        if (!read_digits(r, 2, &second) || (read_char(r, '.') && !read_fraction(r, &fraction))) {
            return false;
        }
    }
    if (hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    *ret_us = ((hour * 60 + minute) * INT64_C(60) + second) * us_per_second + fraction;
    return true;
}

// "Z" or "±HH", "±HHMM", "±HH:MM"; the offset in minutes.
static bool read_zone(reader *r, int32_t *ret_minutes)
{
    if (read_char(r, 'Z') || read_char(r, 'z')) {
        *ret_minutes = 0;
        return true;
    }
    if (!next_is(r, '-') && !next_is(r, '+')) {
        return false;
    }
    const bool is_west = *r->at++ == '-';
    int32_t hour;
    int32_t minute = 0;
    if (!read_digits(r, 2, &hour)) {
        return false;
    }
    const bool has_colon = read_char(r, ':');
    if ((has_colon || r->at != r->end) && !read_digits(r, 2, &minute)) {
        return false;
    }
    if (hour > 23 || minute > 59) {
        return false;
    }
    const int32_t minutes = hour * 60 + minute;
    *ret_minutes = is_west ? -minutes : minutes;
    return true;
}

bool tp_parse_timestamp(tp_str text, int64_t *ret_us, bool *ret_has_zone)
{
    reader r = begin(text);
    int64_t days;
    int64_t time_us;
    if (!read_date(&r, &days) ||
        !(read_char(&r, 'T') || read_char(&r, ' ') || read_char(&r, 't')) ||
        !read_time(&r, &time_us)) {
        return false;
    }
    int32_t zone_minutes = 0;
    const bool has_zone = r.at != r.end;
    if (has_zone && (!read_zone(&r, &zone_minutes) || r.at != r.end)) {
        return false;
    }
    const __int128 us =
        (__int128)days * us_per_day + time_us - (__int128)zone_minutes * 60 * us_per_second;
    if (us < INT64_MIN || us > INT64_MAX) {
        return false;
    }
    *ret_us = (int64_t)us;
    *ret_has_zone = has_zone;
    return true;
}

// -- printing ------------------------------------------------------------------------------------

static size_t print_padded(int64_t value, size_t width, char *ret_text)
{
    char digits[TP_VALUE_TEXT_SIZE];
    const size_t count = tp_print_i64(value, digits);
    const size_t zeros = count < width ? width - count : 0;
    memset(ret_text, '0', zeros);
    memcpy(ret_text + zeros, digits, count);
    return zeros + count;
}

static size_t print_days(int64_t days, char *ret_text)
{
    const tp_date_parts parts = tp_date_split(days);
    size_t size = 0;
    if (parts.year < 0 || parts.year > 9999) {
        ret_text[size++] = parts.year < 0 ? '-' : '+';
        const int64_t year = parts.year < 0 ? -(int64_t)parts.year : parts.year;
        size += print_padded(year, 5, ret_text + size);
    } else {
        size += print_padded(parts.year, 4, ret_text + size);
    }
    ret_text[size++] = '-';
    size += print_padded(parts.month, 2, ret_text + size);
    ret_text[size++] = '-';
    return size + print_padded(parts.day, 2, ret_text + size);
}

size_t tp_print_date(int32_t days, char *ret_text)
{
    return print_days(days, ret_text);
}

size_t tp_print_timestamp(int64_t us, bool has_zone, char *ret_text)
{
    const int64_t days = us / us_per_day - (us % us_per_day < 0);
    const int64_t time_us = us % us_per_day + (us % us_per_day < 0 ? us_per_day : 0);
    const int64_t seconds = time_us / us_per_second;
    size_t size = print_days(days, ret_text);
    ret_text[size++] = 'T';
    size += print_padded(seconds / 3600, 2, ret_text + size);
    ret_text[size++] = ':';
    size += print_padded(seconds / 60 % 60, 2, ret_text + size);
    ret_text[size++] = ':';
    size += print_padded(seconds % 60, 2, ret_text + size);
    if (time_us % us_per_second != 0) {
        ret_text[size++] = '.';
        size += print_padded(time_us % us_per_second, 6, ret_text + size);
        while (ret_text[size - 1] == '0') {
            size--;
        }
    }
    if (has_zone) {
        ret_text[size++] = 'Z';
    }
    return size;
}
