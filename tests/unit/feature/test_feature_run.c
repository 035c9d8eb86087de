// SPDX-License-Identifier: Apache-2.0
//
// The interpreter: a row gives the same bits alone, in any block, asked with any other outputs and
// on any worker; chosen rows; lag; tables that lack a column or bring another type; nothing
// allocated once warm; and no text or row too many for the memos.
#include "feature_cases.h"

#include "base/tp_alloc.h"
#include "base/tp_random.h"
#include "feature/feature_exec.h"

#include <math.h>
#include <string.h>

static const char everything[] =
    "a = x + n - x * n / (n % 5) + pow(abs(x), 0.5)\n"
    "lo = if(x > n and not b or s == u, min(x, n), max(x, n))\n"
    "tr = log(x) + log1p(n) + exp(x / 100) + sqrt(n)\n"
    "rd = round(x) + floor(x) + ceil(x) + clip(n, -5, 50)\n"
    "miss = coalesce(x, n, 0) + is_missing(s) + is_missing(x)\n"
    "k = category(s, min_count = 20)\nk2 = category(concat(s, \"/\", u, n), 3, unseen = other)\n"
    "k3 = category(upper(trim(coalesce(s, u))))\nk4 = category(if(b, s, lower(u)))\n"
    "oh = onehot(u, 2)\nagain = onehot(u, 2)\nlen = length(s) + contains(s, \"1\") + "
    "starts_with(s, \"S2\") + "
    "ends_with(s, \"7\")\ncmp = s < u\nh = hash(s, 100)\ncnt = count_encode(u)\n"
    "st = standardize(x)\nrb = robust_scale(n)\nmm = minmax(x)\nbn = bin(n, 9)\n"
    "im = impute(x, median) + impute(n, mean)\nis = category(impute(s, most_frequent))\n"
    "tm = target_mean(s)\nwd = weekday(t, \"Europe/Berlin\") + year(d) + week(t) + second(l)\n"
    "df = days_between(d, t) + (t - l) + hours_between(l, \"2013-05-05\")\n"
    "pr = lag(x, 2, group = u, order = t)\n";

enum { TRAIN = 3000, ROWS = 1500 };

static char text_rows[TRAIN][200];
static const char *lines[TRAIN];
static double target[TRAIN];

static const char *maybe(const char *text, uint64_t row, uint64_t stream)
{
    return tp_random_below(9, stream, row, 11) == 0 ? "" : text;
}

// `offset` shifts the levels, so that serving meets unseen ones.
static void make_rows(uint64_t stream, int offset)
{
    for (uint64_t i = 0; i < TRAIN; i++) {
        char x[32];
        char n[32];
        char s[32];
        char u[32];
        (void)snprintf(x, sizeof(x), "%.4f",
                       ((double)tp_random_below(stream, 1, i, 100000) - 30000) / 321);
        (void)snprintf(n, sizeof(n), "%d", (int)tp_random_below(stream, 2, i, 70) - 20);
        (void)snprintf(s, sizeof(s), "S%d", (int)tp_random_below(stream, 3, i, 90) + offset);
        (void)snprintf(u, sizeof(u), " U%d", (int)tp_random_below(stream, 4, i, 6) + offset);
        (void)snprintf(text_rows[i], sizeof(text_rows[i]),
                       "%s,%s,%s,%s,%s,2013-0%d-11,2013-03-%02dT%02d:10:20Z,2012-05-0%d 01:02:03",
                       maybe(x, i, 1), maybe(n, i, 2), maybe(i % 3 == 0 ? "true" : "false", i, 3),
                       maybe(s, i, 4), maybe(u, i, 5), (int)(i % 9) + 1, (int)(i % 28) + 1,
                       (int)(i % 24), (int)(i % 9) + 1);
        lines[i] = text_rows[i];
        target[i] = (double)tp_random_below(stream, 6, i, 2);
    }
}

static void fit_then_other_rows(feature_case *c)
{
    make_rows(1, 0);
    case_rows(c, lines, TRAIN);
    case_fit(c, everything, target);
    make_rows(2, 4);
    case_rows(c, lines, ROWS);
}

static double **take_values(feature_case *c)
{
    double **values = c->values;
    c->values = tp_alloc_array_zero(c->env.alloc, c->output_count + 1, sizeof(double *));
    return values;
}

static void free_taken(feature_case *c, double **values)
{
    for (uint32_t i = 0; i < c->output_count; i++) {
        tp_free_array(c->env.alloc, values[i], c->row_count + 1, sizeof(double));
    }
    tp_free_array(c->env.alloc, values, c->output_count + 1, sizeof(double *));
}

static void test_blocks_of_any_size(void)
{
    static const uint32_t sizes[] = {1, 2, 63, 64, 65, 1000};
    feature_case c = {.row_count = 0};
    fit_then_other_rows(&c);
    case_run(&c, TP_FEATURE_SERVE, 1024);
    tp_feature_counts counts[64];
    double **whole = take_values(&c);
    for (uint32_t i = 0; i < c.output_count; i++) {
        counts[i] = tp_feature_run_counts(c.run, i);
    }
    for (uint32_t i = 0; i < c.output_count; i++) { // take_values left arrays to be made again
        c.values[i] = tp_alloc_array_zero(c.env.alloc, c.row_count + 1, sizeof(double));
    }
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        case_run(&c, TP_FEATURE_SERVE, sizes[k]);
        for (uint32_t i = 0; i < c.output_count; i++) {
            const tp_feature_counts got = tp_feature_run_counts(c.run, i);
            ASSERT_EQ_BYTES(c.values[i], ROWS * sizeof(double), whole[i], ROWS * sizeof(double));
            ASSERT_EQ_BYTES(&got, sizeof(got), &counts[i], sizeof(got));
        }
    }
    free_taken(&c, whole);
    case_free(&c);
}

// Each row bound by itself, as a server does: everything but lag is the same as in the batch.
static void test_batch_is_single_row(void)
{
    feature_case c = {.row_count = 0};
    fit_then_other_rows(&c);
    case_run(&c, TP_FEATURE_SERVE, 1024);
    tp_feature_run *run = NULL;
    ASSERT_OK(tp_feature_run_new(&c.env, c.program, 1, &run, &test_err));
    const uint32_t lag = case_output(&c, "pr");
    uint64_t unseen = 0;
    double values[64];
    double *targets[64];
    for (uint32_t i = 0; i < c.output_count; i++) {
        targets[i] = &values[i];
    }
    for (uint32_t row = 0; row < ROWS; row++) {
        const tp_row_choice one = {&row, 1};
        const tp_feature_block block = {.row_count = 1, .values = targets};
        ASSERT_OK(tp_feature_run_bind(run, c.table, one, TP_FEATURE_SERVE, &test_err));
        ASSERT_OK(tp_feature_run_block(run, 0, &block, &test_err));
        for (uint32_t i = 0; i < c.output_count; i++) {
            ASSERT_EQ_F64(values[i], i == lag ? (double)NAN : c.values[i][row]);
        }
        unseen += tp_feature_run_counts(run, case_output(&c, "k")).unseen;
    }
    ASSERT(unseen > 0);
    ASSERT_EQ_UINT(unseen, case_counts(&c, "k").unseen);
    tp_feature_run_free(run);
    case_free(&c);
}

static void test_outputs_alone_and_together(void)
{
    feature_case c = {.row_count = 0};
    fit_then_other_rows(&c);
    case_run(&c, TP_FEATURE_SERVE, 1024);
    double values[3][1024];
    for (uint32_t i = 0; i < c.output_count; i++) {
        double *alone[] = {values[0]};
        const tp_feature_block block = {
            .row_begin = 100, .row_count = 700, .outputs = &i, .output_count = 1, .values = alone};
        ASSERT_OK(tp_feature_run_block(c.run, 0, &block, &test_err));
        ASSERT_EQ_BYTES(values[0], 700 * sizeof(double), c.values[i] + 100, 700 * sizeof(double));
        const uint32_t pick[] = {(i * 7 + 3) % c.output_count, i, (i + 11) % c.output_count};
        double *three[] = {values[0], values[1], values[2]};
        const tp_feature_block some = {
            .row_begin = 5, .row_count = 1024, .outputs = pick, .output_count = 3, .values = three};
        ASSERT_OK(tp_feature_run_block(c.run, 0, &some, &test_err));
        ASSERT_EQ_BYTES(values[1], 1024 * sizeof(double), c.values[i] + 5, 1024 * sizeof(double));
    }
    case_free(&c);
}

typedef struct parallel {
    feature_case *c;
    tp_feature_run *run;
    double **values;
} parallel;

static tapeout_status run_part(void *user, size_t task, size_t worker, tapeout_error *err)
{
    parallel *p = user;
    double *targets[64];
    for (uint32_t i = 0; i < p->c->output_count; i++) {
        targets[i] = p->values[i] + task * 100;
    }
    const tp_feature_block block = {.row_begin = task * 100, .row_count = 100, .values = targets};
    return tp_feature_run_block(p->run, worker, &block, err);
}

static void test_workers(void)
{
    feature_case c = {.row_count = 0};
    case_threads(&c, 7);
    fit_then_other_rows(&c);
    case_run(&c, TP_FEATURE_SERVE, 1024);
    parallel p = {.c = &c};
    p.values = tp_alloc_array_zero(c.env.alloc, c.output_count + 1, sizeof(double *));
    for (uint32_t i = 0; i < c.output_count; i++) {
        p.values[i] = tp_alloc_array_zero(c.env.alloc, c.row_count + 1, sizeof(double));
    }
    ASSERT_OK(tp_feature_run_new(&c.env, c.program, 7, &p.run, &test_err));
    const tp_row_choice rows = {NULL, ROWS};
    ASSERT_OK(tp_feature_run_bind(p.run, c.table, rows, TP_FEATURE_SERVE, &test_err));
    ASSERT_OK(tp_pool_for(c.pool, ROWS / 100, run_part, &p, &test_err));
    for (uint32_t i = 0; i < c.output_count; i++) {
        const tp_feature_counts a = tp_feature_run_counts(p.run, i);
        const tp_feature_counts b = tp_feature_run_counts(c.run, i);
        ASSERT_EQ_BYTES(p.values[i], ROWS * sizeof(double), c.values[i], ROWS * sizeof(double));
        ASSERT_EQ_BYTES(&a, sizeof(a), &b, sizeof(b));
    }
    tp_feature_run_free(p.run);
    free_taken(&c, p.values);
    case_free(&c);
}

static void test_lag(void)
{
    static const char *const rows[] = {"1,3,true,A", "2,1,true,A", "3,1,true,B", "4,2,true,A",
                                       "5,2,true,A", "6,,true,A",  "7,1,true,",  "8,9,true,B"};
    // by n and then position: A has 2 (1), 4 (2), 5 (2), 1 (3); B has 3 (1), 8 (9)
    static const double want[] = {5, NAN, NAN, 2, 4, NAN, NAN, 3};
    feature_case c = {.row_count = 0};
    case_rows(&c, rows, 8);
    case_eval(&c,
              "p = lag(x, 1, group = s, order = n)\nq = x - lag(x, n = 2, group = s, order = n)");
    for (uint64_t i = 0; i < 8; i++) {
        ASSERT_EQ_F64(case_value(&c, "p", i), isnan(want[i]) ? (double)NAN : want[i]);
    }
    ASSERT_EQ_F64(case_value(&c, "q", 4), 3);
    ASSERT_EQ_UINT(case_counts(&c, "p").missing, 4);
    case_free(&c);
}

static void test_chosen_rows(void)
{
    feature_case c = {.row_count = 0};
    fit_then_other_rows(&c);
    case_run(&c, TP_FEATURE_SERVE, 1024);
    uint32_t index[200];
    for (uint32_t i = 0; i < 200; i++) {
        index[i] = (i * 7919 + 13) % ROWS;
    }
    index[7] = index[6]; // repeats are fine
    const tp_row_choice rows = {index, 200};
    double values[200];
    double *targets[] = {values};
    ASSERT_OK(tp_feature_run_bind(c.run, c.table, rows, TP_FEATURE_SERVE, &test_err));
    for (uint32_t i = 0; i < c.output_count; i++) {
        if (i == case_output(&c, "pr")) {
            continue; // its history is another
        }
        const tp_feature_block block = {
            .row_count = 200, .outputs = &i, .output_count = 1, .values = targets};
        ASSERT_OK(tp_feature_run_block(c.run, 0, &block, &test_err));
        for (uint32_t k = 0; k < 200; k++) {
            ASSERT_EQ_F64(values[k], c.values[i][index[k]]);
        }
    }
    case_free(&c);
}

static void test_other_tables(void)
{
    static const tp_field fewer[] = {{{"s", 1}, TAPEOUT_TYPE_STRING}};
    static const tp_field wrong[] = {{{"x", 1}, TAPEOUT_TYPE_STRING}};
    static const tp_field whole[] = {{{"x", 1}, TAPEOUT_TYPE_INT64}};
    const tp_schema schemas[] = {{fewer, 1}, {wrong, 1}, {whole, 1}};
    feature_case c = {.row_count = 0};
    fit_then_other_rows(&c);
    tp_feature_run *run = NULL;
    ASSERT_OK(tp_feature_run_new(&c.env, c.program, 1, &run, &test_err));
    double value = 0;
    double *targets[] = {&value};
    const uint32_t output = case_output(&c, "im");
    const tp_feature_block block = {
        .row_count = 1, .outputs = &output, .output_count = 1, .values = targets};
    for (int i = 0; i < 3; i++) {
        tp_table_builder *builder = NULL;
        const tapeout_table *table = NULL;
        ASSERT_OK(tp_table_builder_new(c.env.alloc, &schemas[i], &builder, &test_err));
        if (i == 2) {
            ASSERT_OK(tp_table_builder_i64(builder, 0, 5));
        } else {
            ASSERT_OK(tp_table_builder_str(builder, 0, TP_STR("S1")));
        }
        ASSERT_OK(tp_table_builder_view(builder, &table, &test_err));
        const tp_row_choice rows = {NULL, 1};
        if (i == 1) {
            ASSERT_FAILS(tp_feature_run_bind(run, table, rows, TP_FEATURE_SERVE, &test_err),
                         TAPEOUT_E_DATA, "column 'x' is string here and was float64");
            ASSERT_FAILS(tp_feature_run_block(run, 0, &block, &test_err), TAPEOUT_E_INTERNAL, NULL);
        } else {
            ASSERT_OK(tp_feature_run_bind(run, table, rows, TP_FEATURE_SERVE, &test_err));
            ASSERT_OK(tp_feature_run_block(run, 0, &block, &test_err));
            ASSERT(!isnan(value)); // imputed
        }
        tp_table_builder_free(builder);
    }
    tp_feature_run_free(run);
    case_free(&c);
}

static void test_nothing_allocated_once_warm(void)
{
    feature_case c = {.row_count = 0};
    fit_then_other_rows(&c);
    test_allocator counting;
    test_allocator_init(&counting);
    tp_env env = c.env;
    env.alloc = &counting.base;
    tp_feature_run *run = NULL;
    ASSERT_OK(tp_feature_run_new(&env, c.program, 1, &run, &test_err));
    double values[64];
    double *targets[64];
    for (uint32_t i = 0; i < 64; i++) {
        targets[i] = &values[i];
    }
    size_t before = 0;
    for (uint32_t i = 0; i < 2 * ROWS; i++) {
        const uint32_t row = i % ROWS;
        const tp_row_choice one = {&row, 1};
        const tp_feature_block block = {.row_count = 1, .values = targets};
        before = i == ROWS ? counting.count : before;
        ASSERT_OK(tp_feature_run_bind(run, c.table, one, TP_FEATURE_SERVE, &test_err));
        ASSERT_OK(tp_feature_run_block(run, 0, &block, &test_err));
    }
    ASSERT_EQ_UINT(counting.count, before);
    tp_feature_run_free(run);
    ASSERT_EQ_UINT(counting.live, 0);
    case_free(&c);
}

// A builder that is filled again gives the same code another text: what was remembered of the last
// table's codes must not answer for this one's.
static void test_other_texts_behind_the_same_codes(void)
{
    static const char *const train[] = {"1,1,true,A,x", "1,1,true,A,x", "1,1,true,B,y"};
    static const char *const turns[] = {"1,1,true,A,x", "1,1,true,B,y", "1,1,true,C,x",
                                        "1,1,true,B,x"};
    static const double want[][3] = {{2, 0, 1}, {1, 1, 1}, {0, NAN, 1}, {1, NAN, 1}};
    feature_case c = {.row_count = 0};
    case_rows(&c, train, 3);
    case_fit(&c, "n2 = count_encode(s)\nk = category(concat(s, u))\nl2 = length(lower(s))", NULL);
    tp_feature_run *run = NULL;
    ASSERT_OK(tp_feature_run_new(&c.env, c.program, 1, &run, &test_err));
    for (int i = 0; i < 4; i++) {
        double values[3];
        double *targets[] = {&values[0], &values[1], &values[2]};
        const tp_row_choice one = {NULL, 1};
        const tp_feature_block block = {.row_count = 1, .values = targets};
        case_rows(&c, &turns[i], 1);
        ASSERT_OK(tp_feature_run_bind(run, c.table, one, TP_FEATURE_SERVE, &test_err));
        ASSERT_OK(tp_feature_run_block(run, 0, &block, &test_err));
        for (int k = 0; k < 3; k++) {
            ASSERT_EQ_F64(values[k], isnan(want[i][k]) ? (double)NAN : want[i][k]);
        }
    }
    tp_feature_run_free(run);
    case_free(&c);
}

// More distinct texts than a memo keeps: forgotten on the way, and the same answers.
static void test_memos_are_bounded(void)
{
    enum { MANY = 150000 };
    static const tp_field fields[] = {{{"s", 1}, TAPEOUT_TYPE_STRING}};
    const tp_schema schema = {fields, 1};
    const tp_env env = tp_env_plain();
    tp_table_builder *builder = NULL;
    const tapeout_table *table = NULL;
    tp_feature_program *program = NULL;
    tp_feature_run *run = NULL;
    ASSERT_OK(tp_table_builder_new(env.alloc, &schema, &builder, &test_err));
    for (uint32_t i = 0; i < MANY; i++) {
        char text[32];
        const int size = snprintf(text, sizeof(text), "key%u", i);
        ASSERT_OK(tp_table_builder_str(builder, 0, (tp_str){text, (size_t)size}));
    }
    ASSERT_OK(tp_table_builder_view(builder, &table, &test_err));
    ASSERT_OK(tp_feature_parse(&env, TP_STR("a = count_encode(concat(s, s))\nb = length(upper(s))"),
                               &schema, &program, &test_err));
    const tp_feature_fit_data data = {.table = table, .rows = {NULL, MANY}};
    ASSERT_OK(tp_feature_fit(&env, program, &data, &test_err));
    ASSERT_OK(tp_feature_run_new(&env, program, 1, &run, &test_err));
    ASSERT_OK(tp_feature_run_bind(run, table, data.rows, TP_FEATURE_SERVE, &test_err));
    for (uint64_t at = 0; at + 1000 <= MANY; at += 1000) {
        double values[2][1000];
        double *targets[] = {values[0], values[1]};
        const tp_feature_block block = {.row_begin = at, .row_count = 1000, .values = targets};
        ASSERT_OK(tp_feature_run_block(run, 0, &block, &test_err));
        ASSERT_EQ_F64(values[0][999], 1);
        ASSERT_EQ_F64(values[1][0], 4 + floor(log10((double)at + (at == 0))));
        ASSERT(run->workers[0].memos[0].dict.count <= TP_MAX_FEATURE_MEMO + 1024);
    }
    ASSERT_EQ_UINT(tp_feature_run_counts(run, 0).unseen, 0);
    tp_feature_run_free(run);
    tp_feature_program_free(program);
    tp_table_builder_free(builder);
}

TEST_MAIN(TEST(test_blocks_of_any_size), TEST(test_batch_is_single_row),
          TEST(test_outputs_alone_and_together), TEST(test_workers), TEST(test_lag),
          TEST(test_chosen_rows), TEST(test_other_tables), TEST(test_nothing_allocated_once_warm),
          TEST(test_other_texts_behind_the_same_codes), TEST(test_memos_are_bounded))
