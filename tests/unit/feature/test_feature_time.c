// SPDX-License-Identifier: Apache-2.0
//
// Dates, timestamps and zones: parts of a date, the two days a year when a clock is moved, years
// beyond the table of a zone, differences, comparison with literals.
#include "feature_cases.h"

#include <math.h>

static void test_parts(void)
{
    static const char *const rows[] = {",,,,,2013-01-01,2013-01-01T10:20:30Z,2013-01-01 10:20:30",
                                       ",,,,,1969-12-31,1969-12-31T23:59:59Z,",
                                       ",,,,,2024-12-30,2016-02-29T00:00:00Z,", ",,,,,,,"};
    feature_case c = {.row_count = 0};
    case_rows(&c, rows, 4);
    case_eval(&c, "y = year(t)\nq = quarter(t)\nm = month(t)\nw = week(d)\ndd = day(t)\n"
                  "dy = day_of_year(t)\nwd = weekday(t)\nwe = is_weekend(d)\nh = hour(t)\n"
                  "mi = minute(t)\nse = second(t)\nhl = hour(l)\n");
    static const double want[][3] = {{2013, 1969, 2016}, {1, 4, 1},    {1, 12, 2}, {1, 1, 1},
                                     {1, 31, 29},        {1, 365, 60}, {1, 2, 0},  {0, 0, 0},
                                     {10, 23, 0},        {20, 59, 0},  {30, 59, 0}};
    static const char *const names[] = {"y",  "q",  "m", "w",  "dd", "dy",
                                        "wd", "we", "h", "mi", "se"};
    for (size_t i = 0; i < 11; i++) {
        for (uint64_t row = 0; row < 3; row++) {
            ASSERT_EQ_F64(case_value(&c, names[i], row), want[i][row]);
        }
        ASSERT_EQ_F64(case_value(&c, names[i], 3), (double)NAN);
    }
    ASSERT_EQ_F64(case_value(&c, "hl", 0), 10);
    case_free(&c);
}

static void test_new_york(void)
{
    // Clocks go on at 2013-03-10T07:00Z and back at 2013-11-03T06:00Z.
    static const char *const rows[] = {",,,,,,2013-01-01T10:00:00Z", ",,,,,,2013-03-10T06:59:59Z",
                                       ",,,,,,2013-03-10T07:00:00Z", ",,,,,,2013-11-03T05:59:59Z",
                                       ",,,,,,2013-11-03T06:00:00Z", ",,,,,,2150-07-04T12:00:00Z",
                                       ",,,,,,2150-12-24T12:00:00Z", ",,,,,,2013-01-07T02:00:00Z"};
    static const double hours[] = {5, 1, 3, 1, 1, 8, 7, 21};
    feature_case c = {.row_count = 0};
    case_rows(&c, rows, 8);
    case_eval(&c, "h = hour(t, \"America/New_York\")\nw = weekday(t, zone = \"America/New_York\")");
    for (uint64_t i = 0; i < 8; i++) {
        ASSERT_EQ_F64(case_value(&c, "h", i), hours[i]);
    }
    ASSERT_EQ_F64(case_value(&c, "w", 7), 6); // still Sunday there
    case_free(&c);
}

static void test_other_zones(void)
{
    static const char *const rows[] = {",,,,,,2013-06-30T12:00:00Z", ",,,,,,2013-12-31T12:00:00Z",
                                       ",,,,,,2100-12-31T12:00:00Z"};
    feature_case c = {.row_count = 0};
    case_rows(&c, rows, 3);
    case_eval(&c, "k = hour(t, \"Asia/Kolkata\") * 60 + minute(t, \"Asia/Kolkata\")\n"
                  "s2 = hour(t, \"Australia/Sydney\")\nu2 = hour(t, \"UTC\")\n"
                  "l2 = hour(t, \"Europe/London\")");
    for (uint64_t i = 0; i < 3; i++) {
        ASSERT_EQ_F64(case_value(&c, "k", i), 17 * 60 + 30);
        ASSERT_EQ_F64(case_value(&c, "s2", i), i == 0 ? 22 : 23); // summer in December
        ASSERT_EQ_F64(case_value(&c, "l2", i), i == 0 ? 13 : 12);
        ASSERT_EQ_F64(case_value(&c, "u2", i), 12);
    }
    case_free(&c);
}

static void test_differences(void)
{
    static const char *const rows[] = {",,,,,2013-01-01,2013-01-03T12:00:00Z,2013-01-03 06:00:00"};
    feature_case c = {.row_count = 0};
    case_rows(&c, rows, 1);
    case_eval(&c, "days = days_between(d, t)\nhours = hours_between(l, t)\nsec = t - l\n"
                  "dif = d - \"2012-12-25\"\nafter = t > \"2013-01-03 11:59:59\"\n"
                  "same = date(t) == \"2013-01-03\"\nmins = minutes_between(t, l)\n"
                  "dh = hours_between(d, d)\nlast = year(max(d, \"2020-05-05\"))");
    ASSERT_EQ_F64(case_value(&c, "days", 0), 2.5);
    ASSERT_EQ_F64(case_value(&c, "hours", 0), 6);
    ASSERT_EQ_F64(case_value(&c, "sec", 0), 21600);
    ASSERT_EQ_F64(case_value(&c, "dif", 0), 7);
    ASSERT_EQ_F64(case_value(&c, "after", 0), 1);
    ASSERT_EQ_F64(case_value(&c, "same", 0), 1);
    ASSERT_EQ_F64(case_value(&c, "mins", 0), -360);
    ASSERT_EQ_F64(case_value(&c, "dh", 0), 0);
    ASSERT_EQ_F64(case_value(&c, "last", 0), 2020);
    case_free(&c);
}

static void test_zone_names(void)
{
    case_error("h = hour(t, \"America/New_Yrok\")");
    test_assert_message(__FILE__, __LINE__, &test_err, "features:1:13");
    test_assert_message(__FILE__, __LINE__, &test_err, "did you mean \"America/New_York\"?");
    static const char *const bad[] = {
        "../../etc/passwd", "/etc/localtime", "America/../UTC", "America", "",
        "right//UTC",       "zone.tab",       "tzdata.zi"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "h = hour(t, \"%s\")", bad[i]);
        case_error(text);
        test_assert_message(__FILE__, __LINE__, &test_err, "no time zone is called");
    }
}

TEST_MAIN(TEST(test_parts), TEST(test_new_york), TEST(test_other_zones), TEST(test_differences),
          TEST(test_zone_names))
