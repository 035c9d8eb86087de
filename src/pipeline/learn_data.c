// SPDX-License-Identifier: Apache-2.0
//
// The bridge from feature programs to learners: what a program puts out as the learner's list of
// features, and chosen rows as data that is computed block by block when it is asked for.
#include "pipeline/pipeline_priv.h"

#include "base/tp_error.h"

tapeout_status tp_pipeline_view(const tp_feature_program *program, tp_arena *arena,
                                pipeline_view *ret_view, tapeout_error *err)
{
    const uint32_t count = tp_feature_output_count(program);
    tp_learn_feature *features = tp_arena_array(arena, count, sizeof(*features));
    if (features == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < count; i++) {
        const tp_feature_output *output = tp_feature_output_at(program, i);
        features[i] = (tp_learn_feature){.name = output->name,
                                         .is_category = output->is_category,
                                         .category_count = output->category_count};
    }
    *ret_view = (pipeline_view){program, features, count};
    return TAPEOUT_OK;
}

static tapeout_status read_feature(void *user, const tp_learn_slice *slice, double *ret_values,
                                   tapeout_error *err)
{
    double *const values[1] = {ret_values};
    const tp_feature_block block = {.row_begin = slice->row_begin,
                                    .row_count = slice->row_count,
                                    .outputs = &slice->feature,
                                    .output_count = 1,
                                    .values = values};
    return tp_feature_run_block(user, slice->worker, &block, err);
}

tapeout_status tp_pipeline_bind(const tp_env *env, const pipeline_view *view,
                                const pipeline_rows *rows, tp_learn_data *ret_data,
                                tapeout_error *err)
{
    tp_feature_run *run = NULL;
    TP_TRY(tp_feature_run_new(env, view->program, tp_pool_worker_count(env->pool), &run, err));
    const tapeout_status status =
        tp_feature_run_bind(run, rows->table, (tp_row_choice){rows->index, rows->count},
                            rows->is_training ? TP_FEATURE_TRAIN : TP_FEATURE_SERVE, err);
    if (status != TAPEOUT_OK) {
        tp_feature_run_free(run);
        return status;
    }
    *ret_data = (tp_learn_data){.row_count = rows->count,
                                .feature_count = view->feature_count,
                                .features = view->features,
                                .target = rows->target,
                                .weight = rows->weight,
                                .read = read_feature,
                                .user = run,
                                .block_rows = TP_FEATURE_BLOCK_ROWS};
    return TAPEOUT_OK;
}

void tp_pipeline_unbind(tp_learn_data *data)
{
    tp_feature_run_free(data->user);
    data->user = NULL;
}
