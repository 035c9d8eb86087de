// SPDX-License-Identifier: Apache-2.0
//
// Texts and what is fitted on them: string functions, categories, rare and unseen levels, onehot,
// counts, hashes; and that what a missing or unseen value becomes is what docs/features.md says.
#include "feature_cases.h"

#include <math.h>

static const char *const rows[] = {"1,1,true,UA,EWR", "2,2,true,AA,JFK",  "3,2,true,UA,EWR",
                                   "4,4,true,,LGA",   "5,5,true,Ünited,", "6,6,false,UA,JFK"};
static const char *const others[] = {"1,1,true,UA,JFK", "2,2,true,ZZ,JFK", "3,3,true,,EWR"};

static void fit_and_serve(feature_case *c, const char *text)
{
    case_rows(c, rows, 6);
    case_fit(c, text, NULL);
    case_rows(c, others, 3);
    case_run(c, TP_FEATURE_SERVE, TP_FEATURE_BLOCK_ROWS);
}

static void test_functions(void)
{
    feature_case c = {.row_count = 0};
    case_rows(&c, rows, 6);
    case_eval(&c, "len = length(s)\nlow = lower(s) == \"ünited\"\nup = upper(s) == \"ÜNITED\"\n"
                  "has = contains(s, \"A\")\nstarts = starts_with(s, \"U\")\n"
                  "ends = ends_with(s, u)\nless = s < \"B\"\ngone = is_missing(s)\n"
                  "both = concat(s, \"-\", u) == \"UA-EWR\"\n"
                  "num = concat(n, \"/\", b) == \"2/true\"\n"
                  "tr = trim(concat(\" \", s, \"\\t\")) == s\n"
                  "alt = coalesce(s, u) == \"LGA\"\n"
                  "sel = if(b, s, u) == \"JFK\"\n");
    ASSERT_EQ_F64(case_value(&c, "len", 0), 2);
    ASSERT_EQ_F64(case_value(&c, "len", 4), 6); // characters, not bytes
    ASSERT_EQ_F64(case_value(&c, "len", 3), (double)NAN);
    ASSERT_EQ_F64(case_value(&c, "low", 4), 1);
    ASSERT_EQ_F64(case_value(&c, "up", 4), 1);
    ASSERT_EQ_F64(case_value(&c, "has", 0), 1);
    ASSERT_EQ_F64(case_value(&c, "has", 4), 0);
    ASSERT_EQ_F64(case_value(&c, "starts", 1), 0);
    ASSERT_EQ_F64(case_value(&c, "ends", 4), (double)NAN);
    ASSERT_EQ_F64(case_value(&c, "less", 1), 1);
    ASSERT_EQ_F64(case_value(&c, "less", 0), 0);
    ASSERT_EQ_F64(case_value(&c, "gone", 3), 1);
    ASSERT_EQ_F64(case_value(&c, "both", 2), 1);
    ASSERT_EQ_F64(case_value(&c, "both", 5), 0);
    ASSERT_EQ_F64(case_value(&c, "both", 4), (double)NAN);
    ASSERT_EQ_F64(case_value(&c, "num", 1), 1);
    ASSERT_EQ_F64(case_value(&c, "num", 0), 0);
    ASSERT_EQ_F64(case_value(&c, "tr", 0), 1);
    ASSERT_EQ_F64(case_value(&c, "alt", 3), 1);
    ASSERT_EQ_F64(case_value(&c, "alt", 0), 0);
    ASSERT_EQ_F64(case_value(&c, "sel", 5), 1);
    case_free(&c);
}

static void test_category(void)
{
    feature_case c = {.row_count = 0};
    fit_and_serve(&c, "k = category(s)\nrare = category(s, min_count = 2)\n"
                      "other = category(s, 2, unseen = other)\n");
    // levels by count, then by bytes: UA 3, AA 1, Ünited 1
    const tp_feature_output *k = tp_feature_output_at(c.program, 0);
    ASSERT(k->is_category);
    ASSERT_EQ_UINT(k->category_count, 3);
    ASSERT(tp_str_equal(tp_dict_get(k->categories, 0), TP_STR("UA")));
    ASSERT(tp_str_equal(tp_dict_get(k->categories, 1), TP_STR("AA")));
    ASSERT_EQ_F64(case_value(&c, "k", 0), 0);
    ASSERT_EQ_F64(case_value(&c, "k", 1), (double)NAN);
    ASSERT_EQ_F64(case_value(&c, "k", 2), (double)NAN);
    ASSERT_EQ_UINT(case_counts(&c, "k").unseen, 1);
    ASSERT_EQ_UINT(case_counts(&c, "k").missing, 2);
    const tp_feature_output *rare = tp_feature_output_at(c.program, 1);
    ASSERT_EQ_UINT(rare->category_count, 2);
    ASSERT(tp_str_equal(tp_dict_get(rare->categories, 1), TP_STR("(other)")));
    ASSERT_EQ_F64(case_value(&c, "rare", 1), (double)NAN);
    ASSERT_EQ_F64(case_value(&c, "other", 1), 1);
    ASSERT_EQ_F64(case_value(&c, "other", 2), (double)NAN);
    ASSERT_EQ_UINT(case_counts(&c, "other").unseen, 1);
    case_rows(&c, rows, 6);
    case_run(&c, TP_FEATURE_SERVE, 2);
    ASSERT_EQ_F64(case_value(&c, "rare", 1), 1); // rare, but seen
    ASSERT_EQ_UINT(case_counts(&c, "rare").unseen, 0);
    case_free(&c);
}

static void test_category_of_numbers(void)
{
    feature_case c = {.row_count = 0};
    case_rows(&c, rows, 6);
    case_eval(&c, "k = category(n)");
    ASSERT(
        tp_str_equal(tp_dict_get(tp_feature_output_at(c.program, 0)->categories, 0), TP_STR("2")));
    ASSERT_EQ_F64(case_value(&c, "k", 1), 0);
    ASSERT_EQ_F64(case_value(&c, "k", 0), 1);
    case_free(&c);
}

static void test_onehot(void)
{
    feature_case c = {.row_count = 0};
    fit_and_serve(&c, "before = n\no = onehot(u, min_count = 2)\nafter = n");
    ASSERT_EQ_UINT(tp_feature_output_count(c.program), 4); // EWR and JFK twice, LGA once
    ASSERT_EQ_F64(case_value(&c, "o=EWR", 0), 0);
    ASSERT_EQ_F64(case_value(&c, "o=JFK", 0), 1);
    ASSERT_EQ_F64(case_value(&c, "o=EWR", 2), 1);
    ASSERT_EQ_F64(case_value(&c, "after", 2), 3);
    case_free(&c);
    fit_and_serve(&c, "o = onehot(s)");
    ASSERT_EQ_F64(case_value(&c, "o=UA", 1), 0); // unseen and missing: a row of zeros
    ASSERT_EQ_F64(case_value(&c, "o=UA", 2), 0);
    ASSERT_EQ_UINT(case_counts(&c, "o=UA").unseen, 1);
    ASSERT_EQ_UINT(case_counts(&c, "o=UA").missing, 1);
    case_free(&c);
}

static void test_counts_and_hashes(void)
{
    feature_case c = {.row_count = 0};
    fit_and_serve(&c, "cnt = count_encode(s)\nh = hash(s, 8)\nimp = category(impute(s, "
                      "most_frequent))\ncon = category(impute(s, constant, \"AA\"))");
    ASSERT_EQ_F64(case_value(&c, "cnt", 0), 3);
    ASSERT_EQ_F64(case_value(&c, "cnt", 1), 0);
    ASSERT_EQ_F64(case_value(&c, "cnt", 2), (double)NAN);
    ASSERT_EQ_UINT(case_counts(&c, "cnt").unseen, 1);
    const tp_feature_output *h = tp_feature_output_at(c.program, case_output(&c, "h"));
    ASSERT(h->is_category && h->categories == NULL);
    ASSERT_EQ_UINT(h->category_count, 8);
    ASSERT(case_value(&c, "h", 0) >= 0 && case_value(&c, "h", 0) < 8);
    ASSERT_EQ_F64(case_value(&c, "h", 2), (double)NAN);
    ASSERT_EQ_F64(case_value(&c, "imp", 2), 0); // UA
    ASSERT_EQ_F64(case_value(&c, "con", 2), 1); // AA, twice with the one imputed
    case_free(&c);
}

TEST_MAIN(TEST(test_functions), TEST(test_category), TEST(test_category_of_numbers),
          TEST(test_onehot), TEST(test_counts_and_hashes))
