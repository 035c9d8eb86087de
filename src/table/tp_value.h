// SPDX-License-Identifier: Apache-2.0
//
// Single values as text: parsing and printing, one definition for CSV, JSON, CLI and specs.
//
// Numbers print in the shortest form that reads back to the same bits. Dates are YYYY-MM-DD;
// timestamps YYYY-MM-DD[T ]HH:MM[:SS[.ffffff]] with, for TIMESTAMP_TZ, "Z" or "±HH[:MM]" behind.
#ifndef TP_VALUE_H
#define TP_VALUE_H

#include "base/tp_str.h"

#include <tapeout/table.h>

// Whole text, correctly rounded, "nan"/"inf" in any case too; hexadecimal floats are refused.
bool tp_parse_f64(tp_str text, double *ret_value);
bool tp_parse_i64(tp_str text, int64_t *ret_value);
bool tp_parse_bool(tp_str text, bool *ret_value); // true/false in any case; never 0/1
bool tp_parse_date(tp_str text, int32_t *ret_days);
bool tp_parse_timestamp(tp_str text, int64_t *ret_us, bool *ret_has_zone);

enum { TP_VALUE_TEXT_SIZE = 40 };

// Each writes at most TP_VALUE_TEXT_SIZE bytes, not terminated, and returns how many.
size_t tp_print_f64(double value, char *ret_text); // "nan", "inf", "-inf"; integers without ".0"
size_t tp_print_i64(int64_t value, char *ret_text);
size_t tp_print_date(int32_t days, char *ret_text);
size_t tp_print_timestamp(int64_t us, bool has_zone, char *ret_text);

// Proleptic Gregorian calendar.
typedef struct tp_date_parts {
    int32_t year;
    int32_t month;       // 1 … 12
    int32_t day;         // 1 … 31
    int32_t day_of_year; // 1 … 366
    int32_t weekday;     // 0 Monday … 6 Sunday
} tp_date_parts;

tp_date_parts tp_date_split(int64_t days);
int64_t tp_date_join(int32_t year, int32_t month, int32_t day);

bool tp_type_from_name(tp_str name, tapeout_type *ret_type);

#endif
