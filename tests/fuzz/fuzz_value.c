// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a number, a date or a time: what is read prints in few bytes and reads back to the
// same bits, and a number agrees with the C library's, which rounds correctly too.
#include "table/tp_value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_number(tp_str text)
{
    double value;
    char printed[TP_VALUE_TEXT_SIZE];
    double back = 0.0;
    if (!tp_parse_f64(text, &value)) {
        return;
    }
    char terminated[512];
    if (text.size < sizeof terminated) {
        memcpy(terminated, text.data, text.size);
        terminated[text.size] = '\0';
        const double theirs = strtod(terminated, NULL);
        check(isnan(value) ? isnan(theirs) : memcmp(&value, &theirs, sizeof value) == 0);
    }
    const size_t size = tp_print_f64(value, printed);
    check(size <= TP_VALUE_TEXT_SIZE && tp_parse_f64((tp_str){printed, size}, &back));
    check(isnan(value) || memcmp(&value, &back, sizeof value) == 0);
}

static void check_whole(tp_str text)
{
    int64_t value;
    char printed[TP_VALUE_TEXT_SIZE];
    int64_t back = 0;
    if (tp_parse_i64(text, &value)) {
        const size_t size = tp_print_i64(value, printed);
        check(tp_parse_i64((tp_str){printed, size}, &back) && back == value);
    }
}

static void check_times(tp_str text)
{
    int32_t days;
    int64_t us;
    bool has_zone;
    char printed[TP_VALUE_TEXT_SIZE];
    if (tp_parse_date(text, &days)) {
        int32_t back = 0;
        const size_t size = tp_print_date(days, printed);
        check(tp_parse_date((tp_str){printed, size}, &back) && back == days);
    }
    if (tp_parse_timestamp(text, &us, &has_zone)) {
        int64_t back = 0;
        bool back_zone = !has_zone;
        const size_t size = tp_print_timestamp(us, has_zone, printed);
        check(size <= TP_VALUE_TEXT_SIZE);
        check(tp_parse_timestamp((tp_str){printed, size}, &back, &back_zone));
        check(back == us && back_zone == has_zone);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_str text = {(const char *)data, size};
    check_number(text);
    check_whole(text);
    check_times(text);
    return 0;
}
