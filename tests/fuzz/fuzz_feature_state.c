// SPDX-License-Identifier: Apache-2.0
//
// Fitted states out of arbitrary bytes, for one program that has every kind of them. What loads
// must run, and be written again as the same bytes.
#include "feature/tp_feature.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] = "a = impute(x, median)\nb = standardize(x) + robust_scale(x)\n"
                           "c = bin(x, 5)\nd = category(s, 2)\ne = onehot(s)\nf = count_encode(s)\n"
                           "g = target_mean(s)\nh = category(impute(s, most_frequent), unseen = "
                           "other)\ni = hour(t, \"Asia/Kolkata\")\n";
static const tp_field fields[] = {{{"x", 1}, TAPEOUT_TYPE_FLOAT64},
                                  {{"s", 1}, TAPEOUT_TYPE_STRING},
                                  {{"t", 1}, TAPEOUT_TYPE_TIMESTAMP_TZ}};
static const tp_schema schema = {fields, 3};

enum { MOST_OUTPUTS = 2048 };

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void run(const tp_env *env, const tp_feature_program *program)
{
    static double values[MOST_OUTPUTS];
    static double *targets[MOST_OUTPUTS];
    tp_table_builder *builder = NULL;
    const tapeout_table *table = NULL;
    tp_feature_run *run = NULL;
    const tp_row_choice one = {NULL, 1};
    for (int i = 0; i < MOST_OUTPUTS; i++) {
        targets[i] = &values[i];
    }
    check(tp_table_builder_new(env->alloc, &schema, &builder, NULL) == TAPEOUT_OK);
    check(tp_table_builder_f64(builder, 0, 2.5) == TAPEOUT_OK);
    check(tp_table_builder_str(builder, 1, TP_STR("A")) == TAPEOUT_OK);
    check(tp_table_builder_i64(builder, 2, 1357034400000000) == TAPEOUT_OK);
    check(tp_table_builder_view(builder, &table, NULL) == TAPEOUT_OK);
    check(tp_feature_run_new(env, program, 1, &run, NULL) == TAPEOUT_OK);
    check(tp_feature_run_bind(run, table, one, TP_FEATURE_SERVE, NULL) == TAPEOUT_OK);
    const tp_feature_block block = {.row_count = 1, .values = targets};
    check(tp_feature_run_block(run, 0, &block, NULL) == TAPEOUT_OK);
    for (uint32_t i = 0; i < tp_feature_output_count(program); i++) {
        const tp_feature_output *output = tp_feature_output_at(program, i);
        check(!output->is_category || values[i] != values[i] ||
              (values[i] >= 0 && values[i] < output->category_count));
    }
    tp_feature_run_free(run);
    tp_table_builder_free(builder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_env env = tp_env_plain();
    tp_feature_program *program = NULL;
    const tp_str state = {(const char *)data, size};
    const tapeout_status status =
        tp_feature_load(&env, TP_STR(text), &schema, state, &program, NULL);
    if (status != TAPEOUT_OK) {
        check(status == TAPEOUT_E_CORRUPT || status == TAPEOUT_E_INVALID ||
              status == TAPEOUT_E_LIMIT);
        check(program == NULL);
        return 0;
    }
    tp_buffer again;
    tp_buffer_init(&again, env.alloc, 1u << 30);
    tp_feature_state_write(program, &again);
    check(again.size == size && memcmp(again.data, data, size) == 0);
    if (tp_feature_output_count(program) <= MOST_OUTPUTS) {
        run(&env, program);
    }
    tp_buffer_deinit(&again);
    tp_feature_program_free(program);
    return 0;
}
