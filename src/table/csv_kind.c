// SPDX-License-Identifier: Apache-2.0
//
// What type a value looks like.
//
// The rules are few and the same for every column: a value is a bool, a whole number, a number, a
// date, a time or text, by its own characters alone. Digits behind a leading zero ("007", a postal
// code) are text, since as a number they could not be written back. Whole numbers beyond 64 bits
// are numbers. The kind of a column is what its values have in common, which is why the order in
// which they are seen, and so the number of threads, does not matter.
#include "table/csv_priv.h"
#include "table/tp_value.h"

static bool is_digit(char c)
{
    return (unsigned)(c - '0') < 10u;
}

bool tp_csv_is_marker(const csv_markers *markers, tp_str text)
{
    if ((markers->sizes >> (text.size < 63 ? text.size : 63) & 1) == 0) {
        return false;
    }
    for (size_t i = 0; i < markers->count; i++) {
        if (tp_str_equal(markers->texts[i], text)) {
            return true;
        }
    }
    return false;
}

static bool has_leading_zero(tp_str text)
{
    const size_t sign = text.data[0] == '-' || text.data[0] == '+';
    return text.size > sign + 1 && text.data[sign] == '0' && is_digit(text.data[sign + 1]);
}

static csv_kind number_kind(tp_str text)
{
    int64_t whole;
    double number;
    if (has_leading_zero(text)) {
        return CSV_STRING;
    }
    if (tp_parse_i64(text, &whole)) {
        return CSV_INT;
    }
    return tp_parse_f64(text, &number) ? CSV_FLOAT : CSV_STRING;
}

csv_kind tp_csv_kind_of(tp_str text)
{
    const char first = text.data[0];
    const char letter = (char)(first | 0x20);
    const bool is_number_like = is_digit(first) || first == '-' || first == '+' || first == '.';
    if (!is_number_like && letter != 't' && letter != 'f' && letter != 'n' && letter != 'i') {
        return CSV_STRING;
    }
    bool flag;
    if (!is_number_like && tp_parse_bool(text, &flag)) {
        return CSV_BOOL;
    }
    int32_t days;
    int64_t us;
    bool has_zone;
    if (is_number_like && text.size >= sizeof "2013-01-31" - 1) {
        if (tp_parse_date(text, &days)) {
            return CSV_DATE;
        }
        if (tp_parse_timestamp(text, &us, &has_zone)) {
            return has_zone ? CSV_TIME_TZ : CSV_TIME;
        }
    }
    return number_kind(text);
}

csv_kind tp_csv_kind_join(csv_kind a, csv_kind b)
{
    if (a == b || b == CSV_NONE) {
        return a;
    }
    if (a == CSV_NONE) {
        return b;
    }
    const csv_kind low = a < b ? a : b;
    const csv_kind high = a < b ? b : a;
    const bool is_widened =
        (low == CSV_INT && high == CSV_FLOAT) || (low == CSV_DATE && high == CSV_TIME);
    return is_widened ? high : CSV_STRING;
}

tapeout_type tp_csv_kind_type(csv_kind kind)
{
    switch (kind) {
    case CSV_BOOL:
        return TAPEOUT_TYPE_BOOL;
    case CSV_INT:
        return TAPEOUT_TYPE_INT64;
    case CSV_FLOAT:
        return TAPEOUT_TYPE_FLOAT64;
    case CSV_DATE:
        return TAPEOUT_TYPE_DATE;
    case CSV_TIME:
        return TAPEOUT_TYPE_TIMESTAMP;
    case CSV_TIME_TZ:
        return TAPEOUT_TYPE_TIMESTAMP_TZ;
    case CSV_NONE:
    case CSV_STRING:
        break;
    }
    return TAPEOUT_TYPE_STRING;
}
