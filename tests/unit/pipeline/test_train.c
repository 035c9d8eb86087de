// SPDX-License-Identifier: Apache-2.0
//
// A whole run on small tables: the same file for any number of threads, the same bits alone and in
// a batch, and what a user is told when the data cannot be learned from.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "base/tp_random.h"
#include "bundle/tp_scorer.h"
#include "pipeline/tp_pipeline.h"
#include "test.h"

#include <string.h>

enum { ROWS = 3000, PATH_SIZE = 600 };

static char *path_of(const char *name)
{
    static char paths[6][PATH_SIZE];
    static int next;
    char *path = paths[next++ % 6];
    (void)snprintf(path, PATH_SIZE, "%s/%s", test_temp_dir(), name);
    return path;
}

static void write_text(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "wb");
    ASSERT(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

// y depends on x, on a city and on whether z is missing.
static void write_data(void)
{
    static const char *const cities[] = {"Rome", "Oslo", "Lima", "Bonn"};
    FILE *file = fopen(path_of("data.csv"), "wb");
    ASSERT(file != NULL);
    (void)fputs("day,x,z,city,y\n", file);
    for (uint64_t i = 0; i < ROWS; i++) {
        const double x = tp_random_f64(1, 0, i);
        const uint64_t city = tp_random_below(1, 1, i, 4);
        const bool has_z = tp_random_below(1, 2, i, 5) != 0;
        const double noise = tp_random_f64(1, 3, i);
        const bool y = x + 0.3 * (double)(city == 2) + (has_z ? 0.0 : 0.2) > 0.4 + 0.5 * noise;
        (void)fprintf(file, "2024-01-%02d,%.6f,%s,%s,%d\n", (int)(1 + i / 100 % 28), x,
                      has_z ? "1.5" : "", cities[city], y);
    }
    ASSERT(fclose(file) == 0);
}

#define SPEC                                                                                       \
    "name: small\ndata: {train: data.csv}\ntarget: {column: y}\n"                                  \
    "features: |\n  x = x\n  z = z\n  city = category(city, min_count = 2)\n"                      \
    "  mean = target_mean(city, smoothing = 5)\n"                                                  \
    "model: {trees: 20, leaves: 8, early_stopping: 5}\n"                                           \
    "threshold: {maximize: f1}\ncalibration: {method: platt}\n"                                    \
    "evaluate: {cohorts: [city], bootstrap: 20, permutation: true}\n"                              \
    "cross_validation: {folds: 3}\n"

static tapeout_status train(const char *spec, uint32_t threads, const char *out,
                            tp_sha256 *ret_hash)
{
    tp_env env = tp_env_plain();
    tp_train_result result;
    write_text("spec.yaml", spec);
    ASSERT_EQ_INT(tp_pool_new(env.alloc, threads, &env.pool, NULL), TAPEOUT_OK);
    const tp_train_request request = {.spec_path = path_of("spec.yaml"), .out_path = path_of(out)};
    const tapeout_status status = tp_train(&env, &request, &result, &test_err);
    if (status == TAPEOUT_OK || status == TAPEOUT_E_GATE) {
        if (ret_hash != NULL) {
            *ret_hash = result.hash;
        }
        tp_train_result_deinit(env.alloc, &result);
    }
    tp_pool_free(env.pool);
    return status;
}

static void clean_up(void)
{
    static const char *const names[] = {"data.csv", "spec.yaml", "a.tapeout", "b.tapeout",
                                        "c.tapeout"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        ASSERT_OK(tp_file_remove(path_of(names[i]), &test_err));
    }
}

static void test_same_file_for_any_number_of_threads(void)
{
    tp_sha256 one;
    tp_sha256 two;
    tp_sha256 seven;
    write_data();
    ASSERT_OK(train(SPEC, 1, "a.tapeout", &one));
    ASSERT_OK(train(SPEC, 2, "b.tapeout", &two));
    ASSERT_OK(train(SPEC, 7, "c.tapeout", &seven));
    ASSERT_EQ_BYTES(&two, sizeof(two), &one, sizeof(one));
    ASSERT_EQ_BYTES(&seven, sizeof(seven), &one, sizeof(one));
    tp_sha256 seeded;
    ASSERT_OK(train(SPEC "seed: 9\n", 1, "a.tapeout", &seeded));
    ASSERT(memcmp(&seeded, &one, sizeof(one)) != 0);
    clean_up();
}

// Three classes by x, with each calibration; and what has no classes, or no one threshold, says so.
static void test_calibrated_classes(void)
{
    static const char *const methods[] = {"platt", "isotonic"};
    FILE *file = fopen(path_of("data.csv"), "wb");
    ASSERT(file != NULL);
    (void)fputs("x,y\n", file);
    for (uint32_t i = 0; i < ROWS; i++) {
        const double x = tp_random_f64(1, 4, i);
        const double noisy = x + 0.4 * (tp_random_f64(1, 5, i) - 0.5);
        (void)fprintf(file, "%.6f,%s\n", x, noisy < 0.3 ? "low" : noisy < 0.6 ? "mid" : "high");
    }
    ASSERT(fclose(file) == 0);
    for (size_t m = 0; m < 2; m++) {
        char spec[512];
        (void)snprintf(spec, sizeof(spec),
                       "name: three\ndata: {train: data.csv}\ntarget: {column: y}\n"
                       "features: |\n  x = x\nmodel: {trees: 20, leaves: 8}\n"
                       "calibration: {method: %s}\n",
                       methods[m]);
        tp_env env = tp_env_plain();
        tp_scorer *scorer = NULL;
        ASSERT_OK(train(spec, 2, "a.tapeout", NULL));
        ASSERT_OK(tp_scorer_open(&env, path_of("a.tapeout"), &scorer, &test_err));
        tp_session *session = NULL;
        ASSERT_OK(tp_session_new(&env, scorer, &session, &test_err));
        tapeout_table *table = NULL;
        tp_csv_options csv;
        tp_csv_options_init(&csv);
        csv.expect = tp_scorer_schema(scorer);
        ASSERT_OK(tp_csv_read(&env, path_of("data.csv"), &csv, &table, &test_err));
        tp_scores all;
        ASSERT_OK(tp_session_score(session, table, (tp_row_choice){NULL, ROWS}, &all, &test_err));
        for (uint32_t r = 0; r < ROWS; r++) {
            const double sum =
                all.probability[r] + all.probability[ROWS + r] + all.probability[2 * ROWS + r];
            ASSERT(sum > 1.0 - 1e-12 && sum < 1.0 + 1e-12);
        }
        tapeout_table_free(table);
        tp_session_free(session);
        tp_scorer_close(&scorer);
    }
    ASSERT_FAILS(train("name: n\ndata: {train: data.csv}\ntarget: {column: x}\nfeatures: |\n"
                       "  y = category(y)\nmodel: {trees: 5}\ncalibration: {method: platt}\n",
                       1, "a.tapeout", NULL),
                 TAPEOUT_E_INVALID, "calibration needs a task with classes");
    ASSERT_FAILS(train("name: n\ndata: {train: data.csv}\ntarget: {column: y}\nfeatures: |\n"
                       "  x = x\nmodel: {trees: 5}\nthreshold: 0.3\n",
                       1, "a.tapeout", NULL),
                 TAPEOUT_E_INVALID, "a threshold needs a binary task");
    clean_up();
}

static void test_a_row_has_the_same_bits_alone_and_in_a_batch(void)
{
    tp_env env = tp_env_plain();
    tp_scorer *scorer = NULL;
    tp_session *batch = NULL;
    tp_session *single = NULL;
    tapeout_table *table = NULL;
    tp_csv_options csv;
    write_data();
    ASSERT_OK(train(SPEC, 2, "a.tapeout", NULL));
    ASSERT_OK(tp_scorer_open(&env, path_of("a.tapeout"), &scorer, &test_err));
    ASSERT_OK(tp_session_new(&env, scorer, &batch, &test_err));
    ASSERT_OK(tp_session_new(&env, scorer, &single, &test_err));
    tp_csv_options_init(&csv);
    csv.expect = tp_scorer_schema(scorer);
    ASSERT_OK(tp_csv_read(&env, path_of("data.csv"), &csv, &table, &test_err));
    tp_scores all;
    ASSERT_OK(tp_session_score(batch, table, (tp_row_choice){NULL, ROWS}, &all, &test_err));
    for (uint32_t row = 0; row < ROWS; row++) {
        tp_scores one;
        ASSERT_OK(tp_session_score(single, table, (tp_row_choice){&row, 1}, &one, &test_err));
        ASSERT_EQ_F64(one.probability[0], all.probability[row]);
        ASSERT_EQ_F64(one.prediction[0], all.prediction[row]);
    }
    tp_explanation why;
    ASSERT_OK(tp_session_explain(batch, table, (tp_row_choice){NULL, 50}, &why, &test_err));
    ASSERT_EQ_UINT(why.column_count, tp_scorer_schema(scorer)->count);
    tp_table_unref(table);
    tp_session_free(batch);
    tp_session_free(single);
    tp_scorer_close(&scorer);
    clean_up();
}

static void refuse(const char *spec, tapeout_status want, const char *part)
{
    test_err = (tapeout_error){0};
    const tapeout_status status = train(spec, 1, "a.tapeout", NULL);
    if (status != want || strstr(test_err.message, part) == NULL) {
        test_fail(__FILE__, __LINE__, "status %d, \"%s\" lacks \"%s\"", status, test_err.message,
                  part);
    }
    ASSERT(!tp_path_exists(path_of("a.tapeout")));
}

#define OF_X(task, extra)                                                                          \
    "name: small\ndata: {train: data.csv" extra "}\ntarget: {column: x" task                       \
    "}\nfeatures: city = category(city)\n"
#define WITH(target, extra)                                                                        \
    "name: small\ndata: {train: data.csv" extra "}\ntarget: {column: " target "}\nfeatures: x = "  \
    "x\n"

static void test_what_cannot_be_learned_says_why(void)
{
    write_data();
    refuse(WITH("yy", ""), TAPEOUT_E_INVALID, "no column \"yy\"; did you mean \"y\"?");
    refuse(WITH("y, positive: 3", ""), TAPEOUT_E_INVALID, "positive \"3\" does not occur");
    refuse(WITH("city, task: binary", ""), TAPEOUT_E_DATA, "needs two");
    refuse(WITH("city, task: regression", ""), TAPEOUT_E_DATA, "needs numbers");
    refuse(WITH("y, task: ranking", ""), TAPEOUT_E_INVALID, "task \"ranking\" is not known");
    refuse(WITH("y", ", split: {by: time, column: city}"), TAPEOUT_E_INVALID, "of type string");
    refuse(WITH("y", ", split: {by: group, column: q}"), TAPEOUT_E_INVALID, "no column \"q\"");
    refuse("name: small\ndata: {train: none.csv}\ntarget: {column: y}\nfeatures: auto\n",
           TAPEOUT_E_NOT_FOUND, "none.csv");
    refuse("name: small\ndata: {train: data.csv}\ntarget: {column: y}\nfeatures: a = nope(x)\n",
           TAPEOUT_E_INVALID, "nope");
    refuse("name: small\ndata: {train: data.csv}\ntarget: {column: y}\nfeatures: |\n"
           "  a = x\n\n  b = log(zz)\n",
           TAPEOUT_E_INVALID, "spec.yaml:7:11: features: no column");
    refuse("name: small\ndata: {train: data.csv}\ntarget: {column: y}\nfeatures: a = x + y\n",
           TAPEOUT_E_INVALID, "features:1:9: 'y' is the target, which no feature may use");
    write_text("data.csv", "x,y\n1,1\n2,1\n3,1\n");
    refuse(WITH("y, task: binary", ""), TAPEOUT_E_DATA, "one class alone");
    write_text("data.csv", "x,y\n1,\n2,\n");
    refuse(WITH("y", ""), TAPEOUT_E_DATA, "no row has a value in the target");
    write_text("data.csv", "x,y\n,0\n,1\n,0\n");
    refuse(WITH("y", ""), TAPEOUT_E_INVALID, "column \"x\" has no value in any row");
    write_text("data.csv", "x,y\n1,0\n2,1\n");
    refuse(WITH("y", ", split: {test: 0.001}"), TAPEOUT_E_DATA, "choose another share");
    write_text("data.csv", "x,y\n1,0\n2,1,3\n");
    refuse(WITH("y", ""), TAPEOUT_E_DATA, "data.csv:3");
    clean_up();
}

static void test_a_data_set_smaller_than_a_leaf_says_what_to_do(void)
{
    write_text("data.csv", "x,y\n1,0\n2,1\n3,0\n4,1\n5,0\n6,1\n7,0\n8,1\n9,0\n10,1\n");
    refuse(WITH("y", ""), TAPEOUT_E_DATA, "bring more rows or lower it");
    ASSERT_OK(train(WITH("y", "") "model: {min_rows_in_leaf: 4}\n", 1, "a.tapeout", NULL));
    clean_up();
}

static void test_a_failed_gate_keeps_the_bundle(void)
{
    write_data();
    ASSERT_FAILS(train(SPEC "gates: {auc: '>= 0.999'}\n", 1, "a.tapeout", NULL), TAPEOUT_E_GATE,
                 "gate auc: want >= 0.999");
    ASSERT(tp_path_exists(path_of("a.tapeout")));
    ASSERT_OK(
        train(SPEC "gates: {auc: '>= 0.5', single_row_us: '<= 100000'}\n", 1, "b.tapeout", NULL));
    clean_up();
}

static void test_other_tasks(void)
{
    write_data();
    ASSERT_OK(train(WITH("city", ""), 2, "a.tapeout", NULL));
    ASSERT_OK(train(OF_X("", ", split: {by: time, column: day}"), 2, "a.tapeout", NULL));
    ASSERT_OK(train(WITH("y, task: count", ", split: {by: group, column: city, test: 0.3}"), 2,
                    "b.tapeout", NULL));
    ASSERT_OK(train(OF_X(", task: quantile", "") "model: {quantile: 0.9}\n", 2, "b.tapeout", NULL));
    ASSERT_OK(train(WITH("y", "") "model: {learner: linear}\n", 2, "c.tapeout", NULL));
    clean_up();
}

TEST_MAIN(TEST(test_same_file_for_any_number_of_threads), TEST(test_calibrated_classes),
          TEST(test_a_row_has_the_same_bits_alone_and_in_a_batch),
          TEST(test_what_cannot_be_learned_says_why),
          TEST(test_a_data_set_smaller_than_a_leaf_says_what_to_do),
          TEST(test_a_failed_gate_keeps_the_bundle), TEST(test_other_tasks))
