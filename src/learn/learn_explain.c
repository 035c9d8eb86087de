// SPDX-License-Identifier: Apache-2.0
//
// Explanations of a model's margins: exact Shapley values of raw columns. A linear model's are its
// terms about their means, shared out evenly among a term's columns; a forest's are summed over its
// trees, row by row, in the order of the trees: the same bits for any number of threads.
#include "learn/tp_learn.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "learn/explain_priv.h"
#include "learn/learn_priv.h"
#include "learn/linear/tp_linear.h"

enum { EXPLAIN_GRAIN_ROWS = 8 };

typedef struct explain_job {
    const explain_plan *plan;
    const double *const *columns;
    uint32_t row_count;
    double *values; // [K][G][R]
    unsigned char *scratch;
    size_t scratch_bytes; // a worker
} explain_job;

static void explain_row(const explain_job *job, uint32_t row, const explain_scratch *scratch)
{
    const explain_plan *plan = job->plan;
    const size_t figures = (size_t)plan->output_count * plan->group_count;
    for (size_t i = 0; i < figures; i++) {
        scratch->phi[i] = 0.0;
    }
    for (uint32_t t = 0; t < plan->tree_count; t++) {
        const explain_tree *tree = &plan->trees[t];
        double *phi = scratch->phi + (size_t)tree->output * plan->group_count;
        tp_explain_tree_row(tree, scratch, job->columns, row, phi);
    }
    for (size_t i = 0; i < figures; i++) {
        job->values[i * job->row_count + row] = scratch->phi[i];
    }
}

static tapeout_status explain_rows(void *user, size_t task_index, size_t worker_index,
                                   tapeout_error *err)
{
    (void)err; // arithmetic alone
    const explain_job *job = user;
    explain_scratch scratch;
    tp_explain_scratch_lay(job->plan, job->scratch + worker_index * job->scratch_bytes, &scratch);
    const uint32_t begin = (uint32_t)task_index * EXPLAIN_GRAIN_ROWS;
    for (uint32_t i = 0; i < EXPLAIN_GRAIN_ROWS && begin + i < job->row_count; i++) {
        explain_row(job, begin + i, &scratch);
    }
    return TAPEOUT_OK;
}

static tapeout_status run_plan(const tp_env *env, explain_job *job, tapeout_error *err)
{
    const size_t unit = sizeof(double);
    job->scratch_bytes = (tp_explain_scratch_bytes(job->plan) + unit - 1) / unit * unit;
    const size_t workers = tp_pool_worker_count(env->pool);
    job->scratch = tp_alloc_array(env->alloc, workers, job->scratch_bytes);
    if (job->scratch == NULL && job->scratch_bytes > 0) {
        return tp_fail_nomem(err);
    }
    const size_t tasks = ((size_t)job->row_count + EXPLAIN_GRAIN_ROWS - 1) / EXPLAIN_GRAIN_ROWS;
    const tapeout_status status = tp_pool_for(env->pool, tasks, explain_rows, job, err);
    tp_free_array(env->alloc, job->scratch, workers, job->scratch_bytes);
    return status;
}

// -- linear --------------------------------------------------------------------------------------
// A term counts when all its columns are known: each of them is worth as much as the others.
static void share_out(const explain_job *job, const tp_explain_groups *groups, uint32_t feature,
                      const double *term, double *of_output)
{
    const uint32_t *columns = groups->feature_groups[feature];
    const uint32_t count = groups->feature_group_counts[feature];
    for (uint32_t c = 0; c < count; c++) {
        double *out = of_output + (size_t)columns[c] * job->row_count;
        for (uint32_t r = 0; r < job->row_count; r++) {
            out[r] += term[r] / (double)count;
        }
    }
}

static tapeout_status explain_linear(const tp_env *env, const tp_linear *linear,
                                     const tp_explain_groups *groups, const explain_job *job,
                                     tapeout_error *err)
{
    const uint32_t rows = job->row_count;
    const size_t figures = (size_t)tp_linear_output_count(linear) * groups->group_count * rows;
    double *term = tp_alloc_array(env->alloc, rows, sizeof(*term));
    if (term == NULL && rows > 0) {
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < figures; i++) {
        job->values[i] = 0.0;
    }
    for (uint32_t k = 0; k < tp_linear_output_count(linear); k++) {
        double *of_output = job->values + (size_t)k * groups->group_count * rows;
        for (uint32_t f = 0; f < tp_linear_feature_count(linear); f++) {
            const tp_linear_values values = {f, rows, job->columns[f]};
            tp_linear_contributions(linear, k, &values, term);
            share_out(job, groups, f, term, of_output);
        }
    }
    tp_free_array(env->alloc, term, rows, sizeof(*term));
    return TAPEOUT_OK;
}

static tapeout_status explain_sums(const tp_env *env, const tp_model *model,
                                   const tp_explain_groups *groups, const double *const *columns,
                                   uint32_t row_count, const tp_shapley *ret_shapley,
                                   tapeout_error *err)
{
    explain_plan plan;
    explain_job job = {
        .plan = &plan, .columns = columns, .row_count = row_count, .values = ret_shapley->values};
    const tp_model_parts *parts = &model->parts;
    if (parts->kind == TP_LEARNER_LINEAR) {
        for (uint32_t k = 0; k < tp_linear_output_count(parts->linear); k++) {
            ret_shapley->base[k] = tp_linear_base(parts->linear, k);
        }
        return explain_linear(env, parts->linear, groups, &job, err);
    }
    tapeout_status status = tp_explain_plan_init(env, parts->gbt, groups, &plan, err);
    if (status == TAPEOUT_OK) {
        status = run_plan(env, &job, err);
    }
    for (uint32_t k = 0; status == TAPEOUT_OK && k < plan.output_count; k++) {
        ret_shapley->base[k] = plan.base[k];
    }
    tp_explain_plan_deinit(&plan);
    return status;
}

tapeout_status tp_model_explain(const tp_env *env, const tp_model *model,
                                const tp_explain_groups *groups, const double *const *columns,
                                uint32_t row_count, const tp_shapley *ret_shapley,
                                tapeout_error *err)
{
    const tp_foreign *foreign = &model->parts.foreign;
    const size_t outputs = tp_model_output_count(&model->parts);
    TP_TRY(explain_sums(env, model, groups, columns, row_count, ret_shapley, err));
    if (foreign->link == TP_LINK_OWN || foreign->divisor == 1.0) {
        return TAPEOUT_OK;
    }
    // A forest that answers the mean of its trees: so do the parts.
    for (size_t k = 0; k < outputs; k++) {
        ret_shapley->base[k] /= foreign->divisor;
    }
    for (size_t i = 0; i < outputs * groups->group_count * row_count; i++) {
        ret_shapley->values[i] /= foreign->divisor;
    }
    return TAPEOUT_OK;
}
