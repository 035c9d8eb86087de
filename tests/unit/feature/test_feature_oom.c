// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of parsing, fitting, storing, loading and running fails in turn.
#include "feature_cases.h"

#include "base/tp_error.h"

static const char text[] =
    "a = impute(x, median) + standardize(n) + bin(x, 4) + impute(x, most_frequent)\n"
    "k = category(concat(s, \"-\", n), min_count = 2)\noh = onehot(u)\n"
    "tm = target_mean(upper(s))\nh = hour(t, \"America/New_York\")\n"
    "i2 = category(impute(s, most_frequent))\nl2 = lag(x, 1, group = s, order = n)\n";

static const char *const rows[] = {"1,1,true,A,U,2013-01-01,2013-01-01T10:00:00Z",
                                   "2,2,true,B,V,2013-01-01,2013-01-01T11:00:00Z",
                                   "4,2,true,A,U,2013-01-01,2013-01-01T12:00:00Z"};
static const double target[] = {0, 1, 1};

typedef struct made {
    tp_env env;
    tp_feature_program *program;
    tp_feature_program *loaded;
    tp_feature_run *run;
    tp_buffer state;
} made;

static tapeout_status make(made *m, const tapeout_table *table, tapeout_error *err)
{
    const tp_row_choice all = {NULL, 3};
    const tp_feature_fit_data data = {.table = table, .rows = all, .target = target};
    double values[16][3];
    double *targets[16];
    TP_TRY(tp_feature_parse(&m->env, TP_STR(text), &case_schema, &m->program, err));
    TP_TRY(tp_feature_fit(&m->env, m->program, &data, err));
    tp_feature_state_write(m->program, &m->state);
    TP_TRY(tp_buffer_check(&m->state, "state", err));
    TP_TRY(tp_feature_load(&m->env, TP_STR(text), &case_schema, tp_buffer_view(&m->state),
                           &m->loaded, err));
    TP_TRY(tp_feature_run_new(&m->env, m->loaded, 2, &m->run, err));
    TP_TRY(tp_feature_run_bind(m->run, table, all, TP_FEATURE_SERVE, err));
    for (int i = 0; i < 16; i++) {
        targets[i] = values[i];
    }
    const tp_feature_block block = {.row_count = 3, .values = targets};
    return tp_feature_run_block(m->run, 1, &block, err);
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    made m = {.env = tp_env_plain()};
    m.env.alloc = alloc;
    tp_buffer_init(&m.state, alloc, 1u << 20);
    const tapeout_status status = make(&m, user, err);
    tp_feature_run_free(m.run);
    tp_feature_program_free(m.loaded);
    tp_feature_program_free(m.program);
    tp_buffer_deinit(&m.state);
    return status;
}

static void test_every_allocation(void)
{
    feature_case c = {.row_count = 0};
    case_rows(&c, rows, 3);
    test_out_of_memory(scenario, (void *)(uintptr_t)c.table);
    case_free(&c);
}

TEST_MAIN(TEST(test_every_allocation))
