// SPDX-License-Identifier: Apache-2.0
//
// A value of a known type from its text: the one definition for CSV columns whose type is given,
// for records that arrive as text, and for overrides. It is a little wider than what inference
// takes for a type of its own: an int64 may be written "007", "+7" or "7.0", since the type is not
// in doubt.
#include "table/table_priv.h"

#include "table/tp_value.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const double whole_bound = 9007199254740992.0; // 2^53: whole numbers below are exact

tp_str tp_table_text_trim(tp_str text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) {
        text.size--;
    }
    return text;
}

static bool parse_whole(tp_str text, int64_t *ret_value)
{
    double value;
    if (tp_parse_i64(text, ret_value)) {
        return true;
    }
    if (!tp_parse_f64(text, &value) || !(fabs(value) <= whole_bound) ||
        value != (double)(int64_t)value) {
        return false;
    }
    *ret_value = (int64_t)value;
    return true;
}

static bool parse_time(tapeout_type type, tp_str text, int64_t *ret_us)
{
    int32_t days;
    if (type == TAPEOUT_TYPE_TIMESTAMP && tp_parse_date(text, &days)) {
        return !__builtin_mul_overflow((int64_t)days, INT64_C(86400000000), ret_us);
    }
    bool has_zone;
    return tp_parse_timestamp(text, ret_us, &has_zone) &&
           has_zone == (type == TAPEOUT_TYPE_TIMESTAMP_TZ);
}

bool tp_table_text_parse(tapeout_type type, tp_str text, int64_t *ret_word, bool *ret_missing)
{
    text = tp_table_text_trim(text);
    *ret_missing = false;
    switch (type) {
    case TAPEOUT_TYPE_BOOL: {
        bool value;
        const bool is_good = tp_parse_bool(text, &value);
        *ret_word = is_good && value;
        return is_good;
    }
    case TAPEOUT_TYPE_INT64:
        return parse_whole(text, ret_word);
    case TAPEOUT_TYPE_FLOAT64: {
        double value;
        if (!tp_parse_f64(text, &value)) {
            return false;
        }
        *ret_missing = isnan(value);
        value = isnan(value) ? 0.0 : value;
        memcpy(ret_word, &value, sizeof value);
        return true;
    }
    case TAPEOUT_TYPE_DATE: {
        int32_t days;
        const bool is_good = tp_parse_date(text, &days);
        *ret_word = is_good ? days : 0;
        return is_good;
    }
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        return parse_time(type, text, ret_word);
    case TAPEOUT_TYPE_STRING:
        break;
    }
    assert(false);
    return false;
}

const char *tp_table_type_example(tapeout_type type)
{
    switch (type) {
    case TAPEOUT_TYPE_BOOL:
        return "true or false";
    case TAPEOUT_TYPE_INT64:
        return "a whole number";
    case TAPEOUT_TYPE_FLOAT64:
        return "a number";
    case TAPEOUT_TYPE_DATE:
        return "a date such as 2013-01-31";
    case TAPEOUT_TYPE_TIMESTAMP:
        return "a time such as 2013-01-31T12:30:00";
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        return "a time with zone such as 2013-01-31T12:30:00Z";
    case TAPEOUT_TYPE_STRING:
        return "text in UTF-8";
    }
    return "a value";
}
