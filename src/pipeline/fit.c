// SPDX-License-Identifier: Apache-2.0
//
// Fitting: the feature program on the training rows, the learner on what the program puts out, then
// calibration and threshold on the held-out rows, which neither has seen. The learner reads one
// feature a block at a time through the interpreter: there is no matrix of floats.
#include "pipeline/pipeline_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct fit_job {
    const tp_env *env;
    const tp_spec *spec;
    const pipeline_dataset *dataset;
    tp_arena arena;
    pipeline_fitted *fitted;
    pipeline_view view;
    tp_model_parts parts;
} fit_job;

static double seconds_since(uint64_t start_ns)
{
    return (double)(tp_clock_monotonic_ns() - start_ns) * 1e-9;
}

// -- features ------------------------------------------------------------------------------------

static tapeout_status write_auto(const fit_job *job, tp_buffer *ret_text, tapeout_error *err)
{
    const pipeline_rows *train = &job->dataset->train;
    const tp_target *target = &job->dataset->target;
    const tp_feature_auto_data data = {.table = train->table,
                                       .rows = {train->index, train->count},
                                       .target = target->name,
                                       .target_is_class = target->class_count > 0,
                                       .values = train->target};
    TP_TRY(tp_feature_auto(job->env, &data, ret_text, &job->fitted->notes, err));
    return tp_buffer_check(ret_text, "features: auto", err);
}

// Parsed twice: against all columns to learn which of them are used, then against those alone,
// which is the schema that the bundle keeps.
static tapeout_status parse_program(fit_job *job, tp_str text, tapeout_error *err)
{
    const tp_schema *all = &job->dataset->schema;
    tp_feature_program *program = NULL;
    tp_field *fields = tp_arena_array(&job->arena, all->count + 1, sizeof(*fields));
    if (fields == NULL) {
        return tp_fail_nomem(err);
    }
    TP_TRY(tp_feature_parse(job->env, text, all, &program, err));
    uint32_t count = 0;
    for (uint32_t c = 0; c < all->count; c++) {
        if (tp_feature_uses_column(program, c)) {
            fields[count++] = all->fields[c];
        }
    }
    tp_feature_program_free(program);
    const tp_schema used = {fields, count};
    return tp_feature_parse(job->env, text, &used, &job->fitted->program, err);
}

// A column without any value has no type of its own and counts as text, which a program that takes
// it for a number stumbles over. The program's own message cannot know that.
static void explain_empty_column(const fit_job *job, tp_str text, tapeout_error *err)
{
    const tapeout_table *table = job->dataset->table;
    for (uint32_t c = 0; c < table->column_count && err != NULL; c++) {
        const tp_column *column = &table->columns[c];
        if (column->null_count == column->row_count &&
            memmem(text.data, text.size, column->name.data, column->name.size) != NULL) {
            const size_t used = strlen(err->message);
            (void)snprintf(err->message + used, sizeof(err->message) - used,
                           " (the column \"%.*s\" has no value in any row and counts as text; "
                           "leave it out, or say what it is in data.types)",
                           TP_STR_ARGS(column->name));
            return;
        }
    }
}

// A name that the program does not find may be the target's, which is kept from it.
static void explain_target(const fit_job *job, tapeout_error *err)
{
    const tp_str target = job->dataset->target.name;
    char unknown[TAPEOUT_ERROR_MESSAGE_SIZE];
    (void)snprintf(unknown, sizeof(unknown), "no column or earlier feature is called '%.*s'",
                   TP_STR_ARGS(target));
    char *found = err == NULL ? NULL : strstr(err->message, unknown);
    if (found != NULL) {
        (void)snprintf(found, sizeof(err->message) - (size_t)(found - err->message),
                       "'%.*s' is the target, which no feature may use", TP_STR_ARGS(target));
    }
}

// How far line `number`, from 1, of a text is indented.
static size_t indent_of(tp_str text, uint64_t number)
{
    size_t at = 0;
    for (uint64_t line = 1; line < number; line++) {
        const char *end = memchr(text.data + at, '\n', text.size - at);
        if (end == NULL) {
            return 0;
        }
        at = (size_t)(end - text.data) + 1;
    }
    size_t spaces = 0;
    while (at + spaces < text.size && text.data[at + spaces] == ' ') {
        spaces++;
    }
    return spaces;
}

typedef struct feature_place {
    uint64_t line;
    uint64_t column;
    size_t size; // of the text that says it
} feature_place;

// Reads "features:2:7: " at the beginning of a message.
static bool read_place(tp_str message, feature_place *ret_place)
{
    static const tp_str word = {"features:", 9};
    if (!tp_str_has_prefix(message, word)) {
        return false;
    }
    const char *line = message.data + word.size;
    const char *colon = strchr(line, ':');
    const char *end = colon == NULL ? NULL : strchr(colon + 1, ':');
    if (end == NULL || end[1] != ' ') {
        return false;
    }
    ret_place->size = (size_t)(end + 2 - message.data);
    return tp_str_to_uint64((tp_str){line, (size_t)(colon - line)}, &ret_place->line) &&
           tp_str_to_uint64((tp_str){colon + 1, (size_t)(end - colon - 1)}, &ret_place->column);
}

// The program counts its lines from its own first: "features:2:7: ..." becomes the spec's place,
// "flights.yaml:12:9: features: ...", where the program stands in a block of its own.
static void place_in_spec(const fit_job *job, tapeout_error *err)
{
    const tp_spec *spec = job->spec;
    const size_t first = tp_yaml_block_line(spec->yaml, spec->features_node);
    const tp_str message = tp_str_from(err == NULL ? "" : err->message);
    feature_place place;
    if (err == NULL) {
        return;
    }
    if (spec->features_auto || first == 0 || !read_place(message, &place)) {
        tp_error_prefix(err, "%s: features", spec->path);
        return;
    }
    char rest[TAPEOUT_ERROR_MESSAGE_SIZE];
    (void)snprintf(rest, sizeof(rest), "%s", err->message + place.size);
    const uint64_t line = first + place.line - 1;
    const uint64_t shift = indent_of(spec->text, line) - indent_of(spec->features, place.line);
    (void)tp_fail_at(err, err->status, line, "%s:%llu:%llu: features: %s", spec->path,
                     (unsigned long long)line, (unsigned long long)(place.column + shift), rest);
}

static tapeout_status fit_program(fit_job *job, tapeout_error *err)
{
    const pipeline_rows *train = &job->dataset->train;
    const tp_task task = job->dataset->target.task;
    tp_buffer text;
    tp_buffer_init(&text, job->env->alloc, TP_MAX_SPEC_BYTES);
    tapeout_status status = TAPEOUT_OK;
    if (job->spec->features_auto) {
        status = write_auto(job, &text, err);
    } else {
        tp_buffer_append_str(&text, job->spec->features);
        status = tp_buffer_check(&text, "features", err);
    }
    if (status == TAPEOUT_OK) {
        status = parse_program(job, tp_buffer_view(&text), err);
        if (status == TAPEOUT_E_INVALID) {
            explain_target(job, err);
            place_in_spec(job, err);
            explain_empty_column(job, tp_buffer_view(&text), err);
        }
    }
    tp_buffer_deinit(&text);
    TP_TRY(status);
    const tp_feature_fit_data data = {.table = train->table,
                                      .rows = {train->index, train->count},
                                      .target = task == TP_TASK_MULTICLASS ? NULL : train->target,
                                      .weight = train->weight,
                                      .seed = job->spec->seed};
    return tp_feature_fit(job->env, job->fitted->program, &data, err);
}

static uint32_t feature_index(const fit_job *job, tp_str name)
{
    uint32_t i = 0;
    while (i < job->view.feature_count && !tp_str_equal(job->view.features[i].name, name)) {
        i++;
    }
    return i;
}

static tapeout_status no_feature(const fit_job *job, tp_yaml_node node, tp_str name,
                                 tapeout_error *err)
{
    return tp_yaml_fail(job->spec->yaml, node, err, "model: there is no feature \"%.*s\"",
                        TP_STR_ARGS(name));
}

static tapeout_status view_features(fit_job *job, tapeout_error *err)
{
    const tp_feature_program *program = job->fitted->program;
    TP_TRY(tp_pipeline_view(program, &job->arena, &job->view, err));
    if (job->view.feature_count == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%s: the feature program puts out no feature",
                       job->spec->path);
    }
    const tp_spec_pairs *monotone = &job->spec->model.monotone;
    for (size_t i = 0; i < monotone->count; i++) {
        const tp_spec_pair *pair = &monotone->items[i];
        const uint32_t f = feature_index(job, pair->name);
        if (f == job->view.feature_count) {
            return no_feature(job, pair->node, pair->name, err);
        }
        if (pair->value != -1 && pair->value != 0 && pair->value != 1) {
            return tp_yaml_fail(job->spec->yaml, pair->node, err, "monotone is -1, 0 or 1");
        }
        job->view.features[f].monotone = (int8_t)pair->value;
    }
    return TAPEOUT_OK;
}

// -- the learner ---------------------------------------------------------------------------------

static tapeout_status choose_objective(fit_job *job, tapeout_error *err)
{
    static const tp_objective by_task[] = {
        [TP_TASK_BINARY] = TP_OBJECTIVE_BINARY,      [TP_TASK_MULTICLASS] = TP_OBJECTIVE_MULTICLASS,
        [TP_TASK_REGRESSION] = TP_OBJECTIVE_SQUARED, [TP_TASK_QUANTILE] = TP_OBJECTIVE_QUANTILE,
        [TP_TASK_COUNT] = TP_OBJECTIVE_POISSON,
    };
    const tp_task task = job->dataset->target.task;
    const tp_str name = job->spec->model.objective;
    tp_objective objective = by_task[task];
    if (name.data != NULL && !tp_objective_from_name(name, &objective)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: objective \"%.*s\" is not known; use binary, multiclass, squared, "
                       "absolute, huber, quantile, poisson or tweedie",
                       job->spec->path, TP_STR_ARGS(name));
    }
    const bool class_task = task == TP_TASK_BINARY || task == TP_TASK_MULTICLASS;
    if (objective != by_task[task] &&
        (class_task || objective == TP_OBJECTIVE_BINARY || objective == TP_OBJECTIVE_MULTICLASS)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%s: objective %s does not go with task %s",
                       job->spec->path, tp_objective_name(objective), tp_task_name(task));
    }
    job->parts.task = task;
    job->parts.objective = objective;
    job->parts.class_count = job->dataset->target.class_count;
    job->parts.threshold = 0.5;
    return TAPEOUT_OK;
}

static tapeout_status read_interactions(fit_job *job, tp_gbt_options *options, tapeout_error *err)
{
    const tp_spec_model *model = &job->spec->model;
    const size_t count = model->interaction_count;
    const uint32_t **groups = tp_arena_array(&job->arena, count + 1, sizeof(*groups));
    uint32_t *sizes = tp_arena_array(&job->arena, count + 1, sizeof(*sizes));
    if (groups == NULL || sizes == NULL) {
        return tp_fail_nomem(err);
    }
    for (size_t g = 0; g < count; g++) {
        const tp_yaml_strings *names = &model->interactions[g];
        uint32_t *members = tp_arena_array(&job->arena, names->count + 1, sizeof(*members));
        if (members == NULL) {
            return tp_fail_nomem(err);
        }
        for (size_t i = 0; i < names->count; i++) {
            members[i] = feature_index(job, names->items[i]);
            if (members[i] == job->view.feature_count) {
                return no_feature(job, model->interactions_node, names->items[i], err);
            }
        }
        groups[g] = members;
        sizes[g] = (uint32_t)names->count;
    }
    options->interactions = groups;
    options->interaction_sizes = sizes;
    options->interaction_count = (uint32_t)count;
    return TAPEOUT_OK;
}

// Defaults that depend on the objective hold where the spec left its own defaults alone.
static tapeout_status gbt_options(fit_job *job, tp_gbt_options *ret_options, tapeout_error *err)
{
    tp_gbt_options defaults;
    tp_gbt_options_init(&defaults, job->parts.objective);
    *ret_options = job->spec->model.gbt;
    ret_options->objective = job->parts.objective;
    ret_options->class_count = job->parts.class_count;
    ret_options->seed = job->spec->seed;
    if (ret_options->max_delta_step == 0) {
        ret_options->max_delta_step = defaults.max_delta_step;
    }
    return read_interactions(job, ret_options, err);
}

// The forest to continue from must have been fitted on the same features.
static tapeout_status open_init(const fit_job *job, tp_scorer **ret_scorer, tapeout_error *err)
{
    char *path = tp_path_join(job->env->alloc, job->spec->directory, job->spec->model.init.data);
    if (path == NULL) {
        return tp_fail_nomem(err);
    }
    tp_scorer *scorer = NULL;
    tapeout_status status = tp_scorer_open(job->env, path, &scorer, err);
    tp_free(job->env->alloc, path, strlen(path) + 1);
    TP_TRY(status);
    const tp_model_parts *parts = tp_model_view(tp_scorer_model(scorer));
    bool fits = parts->kind == TP_LEARNER_GBT && parts->objective == job->parts.objective &&
                parts->class_count == job->parts.class_count &&
                tp_feature_output_count(tp_scorer_program(scorer)) == job->view.feature_count;
    for (uint32_t i = 0; fits && i < job->view.feature_count; i++) {
        const tp_feature_output *output = tp_feature_output_at(tp_scorer_program(scorer), i);
        fits = tp_str_equal(output->name, job->view.features[i].name) &&
               output->is_category == job->view.features[i].is_category &&
               output->category_count == job->view.features[i].category_count;
    }
    if (!fits) {
        tp_scorer_close(&scorer);
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: model: init: \"%.*s\" has another task, objective or other features",
                       job->spec->path, TP_STR_ARGS(job->spec->model.init));
    }
    *ret_scorer = scorer;
    return TAPEOUT_OK;
}

// Without two leaves' rows no tree can split: with not even one leaf's it is a mistake.
static tapeout_status check_row_count(fit_job *job, const tp_gbt_options *options,
                                      uint64_t row_count, tapeout_error *err)
{
    const unsigned long long rows = row_count;
    if (row_count < options->min_rows_in_leaf) {
        return tp_fail(err, TAPEOUT_E_DATA,
                       "%s: %llu training rows are fewer than one leaf holds "
                       "(model.min_rows_in_leaf is %u); bring more rows or lower it",
                       job->spec->path, rows, options->min_rows_in_leaf);
    }
    if (row_count < 2 * (uint64_t)options->min_rows_in_leaf) {
        tp_buffer_printf(&job->fitted->notes,
                         "%llu training rows do not fill two leaves of %u "
                         "(model.min_rows_in_leaf): no tree can split\n",
                         rows, options->min_rows_in_leaf);
    }
    return TAPEOUT_OK;
}

static tapeout_status train_gbt(fit_job *job, const tp_learn_data *train,
                                const tp_learn_data *valid, tapeout_error *err)
{
    tp_gbt_options options;
    tp_gbt_report report;
    tp_scorer *init = NULL;
    TP_TRY(gbt_options(job, &options, err));
    TP_TRY(check_row_count(job, &options, train->row_count, err));
    if (job->spec->model.init.data != NULL) {
        TP_TRY(open_init(job, &init, err));
        options.init_model = tp_model_view(tp_scorer_model(init))->gbt;
    }
    const tapeout_status status =
        tp_gbt_train(job->env, train, options.early_stopping > 0 ? valid : NULL, &options,
                     &job->parts.gbt, &report, err);
    tp_scorer_close(&init);
    TP_TRY(status);
    job->fitted->iterations = report.iterations;
    job->fitted->best_loss = report.valid_loss;
    return TAPEOUT_OK;
}

static tapeout_status train_linear(fit_job *job, const tp_learn_data *train, tapeout_error *err)
{
    tp_linear_options options = job->spec->model.linear;
    options.objective = job->parts.objective;
    options.class_count = job->parts.class_count;
    job->parts.kind = TP_LEARNER_LINEAR;
    job->fitted->best_loss = NAN;
    return tp_linear_train(job->env, train, &options, &job->parts.linear, err);
}

static tapeout_status train_learner(fit_job *job, tapeout_error *err)
{
    const pipeline_dataset *dataset = job->dataset;
    tp_learn_data train = {0};
    tp_learn_data valid = {0};
    TP_TRY(choose_objective(job, err));
    tapeout_status status = tp_pipeline_bind(job->env, &job->view, &dataset->train, &train, err);
    if (status == TAPEOUT_OK && dataset->hold_out.count > 0) {
        status = tp_pipeline_bind(job->env, &job->view, &dataset->hold_out, &valid, err);
    }
    if (status == TAPEOUT_OK && tp_str_equal(job->spec->model.learner, TP_STR("linear"))) {
        status = train_linear(job, &train, err);
    } else if (status == TAPEOUT_OK) {
        status = train_gbt(job, &train, valid.user == NULL ? NULL : &valid, err);
    }
    tp_pipeline_unbind(&train);
    tp_pipeline_unbind(&valid);
    return status == TAPEOUT_OK ? tp_model_new(job->env, &job->parts, &job->fitted->model, err)
                                : status;
}

// -- calibration and threshold -------------------------------------------------------------------
static tapeout_status score_held_out(const fit_job *job, pipeline_scores *ret_scores,
                                     tapeout_error *err)
{
    const pipeline_learned learned = {job->fitted->program, job->fitted->model};
    return tp_pipeline_score(job->env, learned, &job->dataset->hold_out, ret_scores, err);
}

static tapeout_status calibrate(fit_job *job, tapeout_error *err)
{
    const pipeline_rows *rows = &job->dataset->hold_out;
    pipeline_scores scores = {0};
    TP_TRY(score_held_out(job, &scores, err));
    tp_held_out held_out = {scores.margin, rows->target, rows->weight, rows->count,
                            scores.output_count};
    if (job->parts.task == TP_TASK_MULTICLASS) {
        const uint64_t count = rows->count * scores.output_count;
        for (uint64_t i = 0; i < count; i++) {
            scores.probability[i] = tp_calibration_log_odds(scores.probability[i]);
        }
        held_out.margin = scores.probability;
    }
    const tapeout_status status = tp_calibration_fit(job->env, job->spec->calibration_method,
                                                     &held_out, &job->parts.calibration, err);
    tp_pipeline_scores_deinit(job->env->alloc, &scores);
    TP_TRY(status);
    return tp_model_set_decision(job->fitted->model, &job->parts.calibration, 0.5, err);
}

static tapeout_status choose_threshold(fit_job *job, tapeout_error *err)
{
    const pipeline_rows *rows = &job->dataset->hold_out;
    const tp_spec *spec = job->spec;
    pipeline_scores scores = {0};
    TP_TRY(score_held_out(job, &scores, err));
    const tp_metric_data data = tp_pipeline_metric_data(&job->dataset->target, job->fitted->model,
                                                        rows, &scores, &spec->model.gbt);
    const tapeout_status status =
        tp_threshold_choose(job->env, &data, &spec->threshold, &job->parts.threshold, err);
    tp_pipeline_scores_deinit(job->env->alloc, &scores);
    return status;
}

static tapeout_status decide(fit_job *job, tapeout_error *err)
{
    const tp_spec *spec = job->spec;
    const char *task = tp_task_name(job->parts.task);
    if (job->parts.class_count == 0 && spec->calibration_method != 0) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: calibration needs a task with classes, this one is %s", spec->path,
                       task);
    }
    if (job->parts.task != TP_TASK_BINARY && spec->has_threshold) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "%s: a threshold needs a binary task, this one is %s", spec->path, task);
    }
    if (spec->calibration_method != 0) {
        TP_TRY(calibrate(job, err));
    }
    if (job->parts.task != TP_TASK_BINARY) {
        return TAPEOUT_OK;
    }
    job->parts.threshold = spec->threshold.value;
    if (spec->threshold.kind != TP_THRESHOLD_FIXED) {
        TP_TRY(choose_threshold(job, err));
    }
    return tp_model_set_decision(job->fitted->model, NULL, job->parts.threshold, err);
}

tapeout_status tp_pipeline_fit(const tp_env *env, const tp_spec *spec,
                               const pipeline_dataset *dataset, pipeline_fitted *ret_fitted,
                               tapeout_error *err)
{
    memset(ret_fitted, 0, sizeof(*ret_fitted));
    tp_buffer_init(&ret_fitted->notes, env->alloc, TP_MAX_SPEC_BYTES);
    fit_job job = {.env = env, .spec = spec, .dataset = dataset, .fitted = ret_fitted};
    tp_arena_init(&job.arena, env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    const uint64_t start_ns = tp_clock_monotonic_ns();
    tp_env_progress(env, "prepare", -1);
    tapeout_status status = fit_program(&job, err);
    if (status == TAPEOUT_OK) {
        status = view_features(&job, err);
    }
    ret_fitted->seconds_prepare = seconds_since(start_ns);
    const uint64_t train_ns = tp_clock_monotonic_ns();
    if (status == TAPEOUT_OK) {
        status = train_learner(&job, err);
    }
    if (status == TAPEOUT_OK) {
        status = decide(&job, err);
    }
    ret_fitted->seconds_train = seconds_since(train_ns);
    tp_arena_deinit(&job.arena);
    if (status != TAPEOUT_OK) {
        tp_pipeline_fitted_deinit(ret_fitted);
    }
    return status;
}

void tp_pipeline_fitted_deinit(pipeline_fitted *fitted)
{
    tp_model_free(fitted->model);
    tp_feature_program_free(fitted->program);
    tp_buffer_deinit(&fitted->notes);
    memset(fitted, 0, sizeof(*fitted));
}
