// SPDX-License-Identifier: Apache-2.0
//
// Dates and timestamps: known days, the borders of the calendar, zones, and that printed text reads
// back over all days of 2,000 years and random microseconds of the whole range.
#include "table/tp_value.h"

#include "base/tp_random.h"
#include "test.h"

static void assert_time(const char *text, int64_t want_us, bool want_zone)
{
    int64_t us = 0;
    bool has_zone = !want_zone;
    if (!tp_parse_timestamp(tp_str_from(text), &us, &has_zone)) {
        test_fail(__FILE__, __LINE__, "refused: %s", text);
    }
    ASSERT_EQ_INT(us, want_us);
    ASSERT_EQ_INT(has_zone, want_zone);
}

static void test_splits_known_days(void)
{
    const tp_date_parts epoch = tp_date_split(0);
    ASSERT_EQ_INT(epoch.year, 1970);
    ASSERT_EQ_INT(epoch.month, 1);
    ASSERT_EQ_INT(epoch.day, 1);
    ASSERT_EQ_INT(epoch.day_of_year, 1);
    ASSERT_EQ_INT(epoch.weekday, 3);
    const tp_date_parts leap = tp_date_split(tp_date_join(2000, 12, 31));
    ASSERT_EQ_INT(leap.day_of_year, 366);
    ASSERT_EQ_INT(leap.weekday, 6);
    ASSERT_EQ_INT(tp_date_join(2013, 1, 1), 15706);
    ASSERT_EQ_INT(tp_date_join(1, 1, 1), -719162);
    ASSERT_EQ_INT(tp_date_split(-1).weekday, 2);
}

static void test_days_follow_each_other(void)
{
    tp_date_parts before = tp_date_split(tp_date_join(999, 12, 31));
    for (int64_t days = tp_date_join(1000, 1, 1); days <= tp_date_join(3000, 1, 1); days++) {
        const tp_date_parts parts = tp_date_split(days);
        ASSERT_EQ_INT(tp_date_join(parts.year, parts.month, parts.day), days);
        ASSERT_EQ_INT(parts.weekday, (before.weekday + 1) % 7);
        ASSERT(parts.day == before.day + 1 || parts.day == 1);
        before = parts;
        char text[TP_VALUE_TEXT_SIZE];
        int32_t back = 0;
        const tp_str view = {text, tp_print_date((int32_t)days, text)};
        ASSERT(tp_parse_date(view, &back));
        ASSERT_EQ_INT(back, days);
    }
}

static void test_reads_timestamps(void)
{
    assert_time("1970-01-01T00:00", 0, false);
    assert_time("2013-01-01T10:00:00Z", INT64_C(1357034400000000), true);
    assert_time("2013-01-01 10:00:00z", INT64_C(1357034400000000), true);
    assert_time("2013-01-01T15:30:00+05:30", INT64_C(1357034400000000), true);
    assert_time("2013-01-01T05:00:00-0500", INT64_C(1357034400000000), true);
    assert_time("2013-01-01T15:00:00+05", INT64_C(1357034400000000), true);
    assert_time("1969-12-31T23:59:59.999999", -1, false);
    assert_time("1970-01-01T00:00:00.1", 100000, false);
    assert_time("1970-01-01T00:00:00.123456789", 123456, false);
}

static void test_refuses_what_is_no_time(void)
{
    static const char *const texts[] = {"2013-02-29T00:00",
                                        "2013-01-01",
                                        "2013-01-01T24:00",
                                        "2013-01-01T10:00:60",
                                        "2013-01-01T10",
                                        "2013-01-01T10:00:00.",
                                        "2013-01-01T10:00+5",
                                        "2013-01-01T10:00+05:",
                                        "2013-1-1T10:00",
                                        "13-01-01T10:00",
                                        "2013-01-01T10:00 Z",
                                        "2013-13-01T10:00",
                                        "2013-01-00T10:00",
                                        "2013-01-01T10:60",
                                        "2013-01-01T10:00+2400",
                                        "2013-01-01X10:00",
                                        "+999999-01-01T0:0",
                                        "1900-02-29T00:00",
                                        "2013-01-01T10:00:00.0000000001",
                                        ""};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int64_t us;
        bool has_zone;
        if (tp_parse_timestamp(tp_str_from(texts[i]), &us, &has_zone)) {
            test_fail(__FILE__, __LINE__, "taken: %s", texts[i]);
        }
    }
}

static void test_refuses_what_is_no_date(void)
{
    static const char *const texts[] = {"2013-02-29", "2100-02-29", "2013-00-10",  "2013-1-1",
                                        "20130101",   "13-01-01",   "2013-01-01 ", "+2013-01-01"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int32_t days;
        if (tp_parse_date(tp_str_from(texts[i]), &days)) {
            test_fail(__FILE__, __LINE__, "taken: %s", texts[i]);
        }
    }
}

static void check_round_trip(int64_t us)
{
    char text[TP_VALUE_TEXT_SIZE];
    const tp_str view = {text, tp_print_timestamp(us, true, text)};
    ASSERT(view.size <= TP_VALUE_TEXT_SIZE);
    int64_t back = 0;
    bool has_zone = false;
    ASSERT(tp_parse_timestamp(view, &back, &has_zone));
    ASSERT_EQ_INT(back, us);
    ASSERT(has_zone);
}

static void test_reads_back_what_it_prints(void)
{
    check_round_trip(INT64_MIN);
    check_round_trip(INT64_MAX);
    for (uint64_t i = 0; i < 100000; i++) {
        check_round_trip((int64_t)tp_random_u64(2, 0, i));
        check_round_trip((int64_t)tp_random_u64(2, 1, i) >> 12);
    }
    char text[TP_VALUE_TEXT_SIZE];
    ASSERT_EQ_BYTES(text, tp_print_timestamp(INT64_C(1357034400500000), false, text),
                    "2013-01-01T10:00:00.5", 21);
    ASSERT_EQ_BYTES(text, tp_print_timestamp(-1, true, text), "1969-12-31T23:59:59.999999Z", 27);
    ASSERT_EQ_BYTES(text, tp_print_date(INT32_MAX, text), "+5881580-07-11", 14);
}

TEST_MAIN(TEST(test_splits_known_days), TEST(test_days_follow_each_other),
          TEST(test_reads_timestamps), TEST(test_refuses_what_is_no_time),
          TEST(test_refuses_what_is_no_date), TEST(test_reads_back_what_it_prints))
