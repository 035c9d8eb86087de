// SPDX-License-Identifier: Apache-2.0
//
// Objectives: gradients against differences of the loss, bases against neighbours, values known by
// hand, and each objective learning what it is for.
#include "gbt_cases.h"
#include "test.h"

#include <math.h>

enum { ROWS = 64, CLASSES = 3 };

static const tp_objective ALL[] = {
    TP_OBJECTIVE_BINARY, TP_OBJECTIVE_MULTICLASS, TP_OBJECTIVE_SQUARED, TP_OBJECTIVE_ABSOLUTE,
    TP_OBJECTIVE_HUBER,  TP_OBJECTIVE_QUANTILE,   TP_OBJECTIVE_POISSON, TP_OBJECTIVE_TWEEDIE};
enum { ALL_COUNT = sizeof(ALL) / sizeof(ALL[0]) };

static tp_gbt_options options_for(tp_objective objective)
{
    tp_gbt_options options;
    tp_gbt_options_init(&options, objective);
    options.class_count = objective == TP_OBJECTIVE_MULTICLASS ? CLASSES : options.class_count;
    options.quantile = 0.8;
    return options;
}

static gbt_case *targets_for(tp_objective objective, uint64_t rows)
{
    gbt_case *c = case_new(rows, 1);
    c->is_weighted = true;
    for (uint64_t row = 0; row < rows; row++) {
        const double u = case_random(5, row);
        c->target[row] = objective == TP_OBJECTIVE_BINARY       ? u < 0.3
                         : objective == TP_OBJECTIVE_MULTICLASS ? floor(u * CLASSES)
                         : objective == TP_OBJECTIVE_POISSON    ? floor(u * 5)
                                                                : u * 4;
        c->weight[row] = 0.5 + case_random(6, row);
    }
    return c;
}

// d loss / d margin of output k of a row, by a central difference.
static double slope(const tp_gbt_loss *loss, double *score, uint64_t row, uint32_t k)
{
    const double step = 1e-5;
    double *margin = &score[k * ROWS + row];
    const double at = *margin;
    *margin = at + step;
    const double up = tp_gbt_loss_sum(loss, score, (tp_gbt_run){row, 1});
    *margin = at - step;
    const double down = tp_gbt_loss_sum(loss, score, (tp_gbt_run){row, 1});
    *margin = at;
    return (up - down) / (2 * step);
}

static void test_gradients_are_slopes(void)
{
    for (size_t i = 0; i < ALL_COUNT; i++) {
        const tp_gbt_options options = options_for(ALL[i]);
        gbt_case *c = targets_for(ALL[i], ROWS);
        const tp_learn_data data = case_data(c);
        tp_gbt_loss loss;
        tp_gbt_loss_init(&loss, &options, &data);
        double score[CLASSES * ROWS];
        double g[CLASSES * ROWS];
        double h[CLASSES * ROWS];
        for (size_t j = 0; j < CLASSES * ROWS; j++) {
            score[j] = 3 * case_random(7, j) - 1.5;
        }
        tp_gbt_loss_gradients(&loss, score, (tp_gbt_run){0, ROWS}, g, h);
        // The loss of squared error is the whole square, its gradient that of half of it.
        const double factor = ALL[i] == TP_OBJECTIVE_SQUARED ? 0.5 : 1;
        for (uint64_t row = 0; row < ROWS; row++) {
            for (uint32_t k = 0; k < loss.output_count; k++) {
                const double want = factor * slope(&loss, score, row, k);
                ASSERT(fabs(g[k * ROWS + row] - want) < 1e-6 * (1 + fabs(want)));
                ASSERT(h[k * ROWS + row] > 0);
            }
        }
    }
}

// Hessians of the smooth objectives are slopes of the gradients (times what LightGBM scales by).
static void test_hessians_are_curvatures(void)
{
    const tp_objective smooth[] = {TP_OBJECTIVE_BINARY, TP_OBJECTIVE_POISSON, TP_OBJECTIVE_TWEEDIE};
    for (size_t i = 0; i < sizeof(smooth) / sizeof(smooth[0]); i++) {
        tp_gbt_options options = options_for(smooth[i]);
        options.max_delta_step = 0;
        gbt_case *c = targets_for(smooth[i], ROWS);
        const tp_learn_data data = case_data(c);
        tp_gbt_loss loss;
        tp_gbt_loss_init(&loss, &options, &data);
        double score[2][ROWS];
        double g[2][ROWS];
        double h[2][ROWS];
        for (size_t row = 0; row < ROWS; row++) {
            score[0][row] = 2 * case_random(8, row) - 1;
            score[1][row] = score[0][row] + 1e-6;
        }
        tp_gbt_loss_gradients(&loss, score[0], (tp_gbt_run){0, ROWS}, g[0], h[0]);
        tp_gbt_loss_gradients(&loss, score[1], (tp_gbt_run){0, ROWS}, g[1], h[1]);
        for (size_t row = 0; row < ROWS; row++) {
            const double want = (g[1][row] - g[0][row]) / 1e-6;
            ASSERT(fabs(h[0][row] - want) < 1e-4 * (1 + want));
        }
    }
}

// No constant near the base has a smaller loss.
static void test_base_is_the_best_constant(void)
{
    for (size_t i = 0; i < ALL_COUNT; i++) {
        if (ALL[i] == TP_OBJECTIVE_HUBER) {
            continue; // starts from the mean, as LightGBM does
        }
        const tp_gbt_options options = options_for(ALL[i]);
        gbt_case *c = targets_for(ALL[i], 1000);
        const tp_learn_data data = case_data(c);
        tp_gbt_loss loss;
        tp_gbt_loss_init(&loss, &options, &data);
        double base[CLASSES];
        ASSERT_OK(tp_gbt_loss_base(&loss, tp_env_plain().alloc, base, &test_err));
        double losses[3];
        static double score[CLASSES * 1000];
        for (int shift = -1; shift <= 1; shift++) {
            for (uint32_t k = 0; k < loss.output_count; k++) {
                for (uint64_t row = 0; row < 1000; row++) {
                    score[k * 1000 + row] = base[k] + (k == 0 ? 0.01 * shift : 0);
                }
            }
            losses[shift + 1] = tp_gbt_loss_sum(&loss, score, (tp_gbt_run){0, 1000});
        }
        ASSERT(losses[1] <= losses[0] && losses[1] <= losses[2]);
    }
}

static void test_known_values(void)
{
    const tp_gbt_options options = options_for(TP_OBJECTIVE_BINARY);
    gbt_case *c = case_new(2, 1);
    c->target[1] = 1;
    const tp_learn_data data = case_data(c);
    tp_gbt_loss loss;
    tp_gbt_loss_init(&loss, &options, &data);
    const double score[2] = {0, 0};
    double g[2];
    double h[2];
    tp_gbt_loss_gradients(&loss, score, (tp_gbt_run){0, 2}, g, h);
    ASSERT_EQ_F64(g[0], 0.5);
    ASSERT_EQ_F64(g[1], -0.5);
    ASSERT_EQ_F64(h[1], 0.25);
    const double sure[2] = {800, 800};
    ASSERT_EQ_F64(tp_gbt_loss_sum(&loss, sure, (tp_gbt_run){0, 2}), 800);
}

// -- learning ------------------------------------------------------------------------------------

// Every objective gets better than its constant, and lands near what the data was made of.
static void test_each_objective_learns(void)
{
    for (size_t i = 0; i < ALL_COUNT; i++) {
        tp_gbt_options options = options_for(ALL[i]);
        options.trees = 60;
        options.leaves = 8;
        gbt_case *c = case_new(4000, 2);
        for (uint64_t row = 0; row < c->rows; row++) {
            const double rate = c->columns[0][row] < 0.5 ? 1 : 4;
            const double u = case_random(9, row);
            c->target[row] = ALL[i] == TP_OBJECTIVE_BINARY       ? u < rate / 5
                             : ALL[i] == TP_OBJECTIVE_MULTICLASS ? (u < 0.8 ? rate > 2 : 2)
                             : ALL[i] == TP_OBJECTIVE_POISSON    ? floor(2 * rate * u + 0.5)
                                                                 : 2 * rate * u;
        }
        tp_gbt_report before;
        tp_gbt_report after;
        tp_gbt_options none = options;
        none.trees = 0;
        (void)case_train_valid(c, NULL, &none, &before);
        const tp_gbt *gbt = case_train_valid(c, NULL, &options, &after);
        ASSERT(after.train_loss < before.train_loss - 0.01 * fabs(before.train_loss));
        const double low = case_margin_of(gbt, (double[]){0.25, 0.5});
        const double high = case_margin_of(gbt, (double[]){0.75, 0.5});
        if (ALL[i] == TP_OBJECTIVE_QUANTILE) {
            ASSERT(fabs(low - 1.6) < 0.2 && fabs(high - 6.4) < 0.8);
        } else if (ALL[i] == TP_OBJECTIVE_SQUARED || ALL[i] == TP_OBJECTIVE_ABSOLUTE) {
            ASSERT(fabs(low - 1) < 0.25 && fabs(high - 4) < 1);
        } else if (ALL[i] == TP_OBJECTIVE_POISSON || ALL[i] == TP_OBJECTIVE_TWEEDIE) {
            ASSERT(fabs(low) < 0.25 && fabs(high - log(4)) < 0.25);
        }
    }
}

static void test_quantiles(void)
{
    tp_gbt_weighted items[] = {{5, 1}, {1, 1}, {4, 1}, {2, 1}};
    ASSERT_EQ_F64(tp_gbt_quantile(items, 4, 0.5), 3); // halfway between 2 and 4
    ASSERT_EQ_F64(tp_gbt_quantile(items, 4, 0.3), 2);
    ASSERT_EQ_F64(tp_gbt_quantile(items, 4, 0.9), 5);
    tp_gbt_weighted heavy[] = {{1, 1}, {2, 0}, {3, 10}, {4, 1}};
    ASSERT_EQ_F64(tp_gbt_quantile(heavy, 4, 0.5), 3);
    tp_gbt_weighted skipped[] = {{1, 2}, {2, 0}, {3, 2}};
    ASSERT_EQ_F64(tp_gbt_quantile(skipped, 3, 0.5), 2); // halfway between 1 and 3
    tp_gbt_weighted same[] = {{7, 1}, {7, 1}, {7, 1}};
    ASSERT_EQ_F64(tp_gbt_quantile(same, 3, 0.1), 7);
}

// Against sorting, on many random multisets of weights.
static void test_quantiles_against_sorting(void)
{
    for (uint64_t round = 0; round < 500; round++) {
        tp_gbt_weighted items[40];
        const size_t count = 1 + (size_t)(case_random(20, round) * 39);
        double counts[20] = {0};
        double total = 0;
        for (size_t i = 0; i < count; i++) {
            const uint64_t at = round * 100 + i;
            const double weight = floor(case_random(22, at) * 4) + (i == 0);
            items[i] = (tp_gbt_weighted){floor(case_random(21, at) * 20), weight};
            counts[(size_t)items[i].value] += weight;
            total += weight;
        }
        const double quantile =
            (1 + floor(case_random(23, round) * 15)) / 16 + 0.01 * (double)(round % 2);
        double below = 0;
        size_t value = 0;
        while (below + counts[value] < total * quantile || counts[value] == 0) {
            below += counts[value++];
        }
        size_t next = value + 1;
        while (next < 20 && counts[next] == 0) {
            next++;
        }
        const bool is_exact = below + counts[value] == total * quantile && next < 20;
        const double want = is_exact ? (double)(value + next) / 2 : (double)value;
        ASSERT_EQ_F64(tp_gbt_quantile(items, count, quantile), want);
    }
}

TEST_MAIN(TEST(test_gradients_are_slopes), TEST(test_hessians_are_curvatures),
          TEST(test_base_is_the_best_constant), TEST(test_known_values),
          TEST(test_each_objective_learns), TEST(test_quantiles),
          TEST(test_quantiles_against_sorting))
