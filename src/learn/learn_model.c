// SPDX-License-Identifier: Apache-2.0
//
// The model as everyone but the learners sees it: one raw learner, the task that gives its margin a
// meaning, a calibration and a decision threshold. Made once, immutable after that.
//
// Its bytes are a fixed head, the calibration's curves and the learner's own bytes, all little
// endian (docs/formats/model.md). Reading trusts nothing: every enum, count and number is checked
// before memory is asked for, and the same rules hold for a model made in memory, so that whatever
// exists can be written and read back.
#include "learn/tp_learn.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_cursor.h"
#include "base/tp_error.h"
#include "learn/gbt/tp_gbt.h"
#include "learn/learn_priv.h"
#include "learn/linear/tp_linear.h"

#include <math.h>

static const uint32_t model_magic = 0x314c444du; // "MDL1"
static const uint32_t model_version = 1;
static const uint32_t foreign_version = 2; // with a link of another program

// -- rules that hold for every model -------------------------------------------------------------
static bool is_objective_of_task(tp_objective objective, tp_task task)
{
    switch (task) {
    case TP_TASK_BINARY:
        return objective == TP_OBJECTIVE_BINARY;
    case TP_TASK_MULTICLASS:
        return objective == TP_OBJECTIVE_MULTICLASS;
    case TP_TASK_QUANTILE:
        return objective == TP_OBJECTIVE_QUANTILE;
    case TP_TASK_REGRESSION:
    case TP_TASK_COUNT:
        return objective >= TP_OBJECTIVE_SQUARED && objective <= TP_OBJECTIVE_TWEEDIE;
    }
    return false;
}

static bool is_class_count_of_task(uint32_t class_count, tp_task task)
{
    if (task == TP_TASK_BINARY) {
        return class_count == 2;
    }
    if (task == TP_TASK_MULTICLASS) {
        return class_count >= 2 && class_count <= TP_MAX_CLASSES;
    }
    return class_count == 0;
}

// `status` is what a breach means: E_INVALID from a caller, E_CORRUPT from a file.
static tapeout_status check_task(const tp_model_parts *parts, tapeout_status status,
                                 tapeout_error *err)
{
    if (!is_objective_of_task(parts->objective, parts->task)) {
        return tp_fail(err, status, "model: objective %u does not go with task %u",
                       (unsigned)parts->objective, (unsigned)parts->task);
    }
    if (!is_class_count_of_task(parts->class_count, parts->task)) {
        return tp_fail(err, status,
                       "model: %u classes for a %s model; expected 2 for binary, 2 to %u for "
                       "multiclass, 0 else",
                       parts->class_count, tp_task_name(parts->task), TP_MAX_CLASSES);
    }
    return TAPEOUT_OK;
}

static tapeout_status check_parts(const tp_model_parts *parts, tapeout_status status,
                                  tapeout_error *err)
{
    TP_TRY(check_task(parts, status, err));
    TP_TRY(tp_calibration_check(parts, status, err));
    if (!isfinite(parts->threshold)) {
        return tp_fail(err, status, "model: the decision threshold is not a finite number");
    }
    return tp_foreign_check(parts, status, err);
}

uint32_t tp_model_output_count(const tp_model_parts *parts)
{
    return parts->task == TP_TASK_MULTICLASS ? parts->class_count : 1;
}

static tapeout_status check_learner(const tp_model_parts *parts, tapeout_status status,
                                    tapeout_error *err)
{
    const bool is_gbt = parts->kind == TP_LEARNER_GBT;
    const bool is_linear = parts->kind == TP_LEARNER_LINEAR;
    if ((is_gbt && parts->gbt == NULL) || (is_linear && parts->linear == NULL) ||
        (!is_gbt && !is_linear)) {
        return tp_fail(err, status, "model: learner %u is unknown or missing",
                       (unsigned)parts->kind);
    }
    const uint32_t outputs =
        is_gbt ? parts->gbt->trees_per_iteration : tp_linear_output_count(parts->linear);
    if (outputs != tp_model_output_count(parts)) {
        return tp_fail(err, status, "model: the learner has %u outputs; the task wants %u", outputs,
                       tp_model_output_count(parts));
    }
    return TAPEOUT_OK;
}

// -- life ----------------------------------------------------------------------------------------
static void parts_deinit(const tapeout_allocator *alloc, tp_model_parts *parts)
{
    tp_gbt_free(parts->gbt);
    tp_linear_free(parts->linear);
    tp_calibration_deinit(alloc, &parts->calibration);
}

static tapeout_status model_from(const tp_env *env, tp_model_parts *parts, tapeout_status breach,
                                 tp_model **ret_model, tapeout_error *err)
{
    tapeout_status status = check_parts(parts, breach, err);
    if (status == TAPEOUT_OK) {
        status = check_learner(parts, breach, err);
    }
    tp_model *model = NULL;
    if (status == TAPEOUT_OK) {
        model = tp_alloc_zero(env->alloc, sizeof(*model));
        status = model != NULL ? TAPEOUT_OK : tp_fail_nomem(err);
    }
    if (status != TAPEOUT_OK) {
        parts_deinit(env->alloc, parts);
        return status;
    }
    model->alloc = env->alloc;
    model->parts = *parts;
    *ret_model = model;
    return TAPEOUT_OK;
}

tapeout_status tp_model_new(const tp_env *env, const tp_model_parts *parts, tp_model **ret_model,
                            tapeout_error *err)
{
    tp_model_parts own = *parts;
    return model_from(env, &own, TAPEOUT_E_INVALID, ret_model, err);
}

void tp_model_free(tp_model *model)
{
    if (model == NULL) {
        return;
    }
    parts_deinit(model->alloc, &model->parts);
    tp_free(model->alloc, model, sizeof(*model));
}

tapeout_status tp_model_set_decision(tp_model *model, tp_calibration *calibration, double threshold,
                                     tapeout_error *err)
{
    tp_model_parts next = model->parts;
    next.threshold = threshold;
    if (calibration != NULL) {
        next.calibration = *calibration;
        *calibration = (tp_calibration){0};
    }
    const tapeout_status status = check_parts(&next, TAPEOUT_E_INVALID, err);
    if (calibration != NULL) {
        tp_calibration_deinit(model->alloc,
                              status == TAPEOUT_OK ? &model->parts.calibration : &next.calibration);
    }
    if (status == TAPEOUT_OK) {
        model->parts = next;
    }
    return status;
}

const tp_model_parts *tp_model_view(const tp_model *model)
{
    return &model->parts;
}

// -- bytes ---------------------------------------------------------------------------------------
void tp_model_write(const tp_model *model, tp_buffer *ret_bytes)
{
    const tp_model_parts *parts = &model->parts;
    const tp_calibration *calibration = &parts->calibration;
    const tp_calibration_curve none = {0};
    const tp_calibration_curve *first = calibration->curve_count > 0 ? calibration->curves : &none;
    tp_buffer_append_u32le(ret_bytes, model_magic);
    const bool is_foreign = parts->foreign.link != TP_LINK_OWN;
    tp_buffer_append_u32le(ret_bytes, is_foreign ? foreign_version : model_version);
    tp_buffer_append_u32le(ret_bytes, (uint32_t)parts->task);
    tp_buffer_append_u32le(ret_bytes, (uint32_t)parts->objective);
    tp_buffer_append_u32le(ret_bytes, parts->class_count);
    tp_buffer_append_u32le(ret_bytes, (uint32_t)parts->kind);
    tp_buffer_append_u32le(ret_bytes, calibration->method);
    tp_buffer_append_u32le(ret_bytes, first->point_count);
    tp_buffer_append_f64le(ret_bytes, parts->threshold);
    tp_buffer_append_f64le(ret_bytes, first->platt_a);
    tp_buffer_append_f64le(ret_bytes, first->platt_b);
    if (is_foreign) {
        tp_buffer_append_u32le(ret_bytes, parts->foreign.link);
        tp_buffer_append_u32le(ret_bytes, parts->foreign.flags);
        tp_buffer_append_f64le(ret_bytes, parts->foreign.scale);
        tp_buffer_append_f64le(ret_bytes, parts->foreign.divisor);
    }
    tp_calibration_write(calibration, ret_bytes);
    if (parts->kind == TP_LEARNER_GBT) {
        tp_gbt_write(parts->gbt, ret_bytes);
    } else {
        tp_linear_write(parts->linear, ret_bytes);
    }
}

static tapeout_status read_foreign(tp_cursor *cursor, tp_foreign *ret_foreign, tapeout_error *err)
{
    ret_foreign->link = tp_cursor_u32(cursor);
    ret_foreign->flags = tp_cursor_u32(cursor);
    ret_foreign->scale = tp_cursor_f64(cursor);
    ret_foreign->divisor = tp_cursor_f64(cursor);
    if (ret_foreign->link == TP_LINK_OWN) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "model: version 2 without a link of its own");
    }
    return TAPEOUT_OK;
}

// Everything up to the learner's bytes.
static tapeout_status read_head(const tp_env *env, tp_cursor *cursor, tp_model_parts *ret_parts,
                                tapeout_error *err)
{
    const uint32_t magic = tp_cursor_u32(cursor);
    const uint32_t version = tp_cursor_u32(cursor);
    if (cursor->failed || magic != model_magic) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "model: these bytes are no model");
    }
    if (version != model_version && version != foreign_version) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "model: version %u; this program reads %u and %u", version, model_version,
                       foreign_version);
    }
    ret_parts->task = (tp_task)tp_cursor_u32(cursor);
    ret_parts->objective = (tp_objective)tp_cursor_u32(cursor);
    ret_parts->class_count = tp_cursor_u32(cursor);
    ret_parts->kind = (tp_learner_kind)tp_cursor_u32(cursor);
    tp_calibration_head head = {.method = tp_cursor_u32(cursor),
                                .point_count = tp_cursor_u32(cursor)};
    ret_parts->threshold = tp_cursor_f64(cursor);
    head.platt_a = tp_cursor_f64(cursor);
    head.platt_b = tp_cursor_f64(cursor);
    if (version == foreign_version) {
        TP_TRY(read_foreign(cursor, &ret_parts->foreign, err));
    }
    TP_TRY(tp_cursor_check(cursor, "model", err));
    // Before the curves are made: their number is that of the classes.
    TP_TRY(check_task(ret_parts, TAPEOUT_E_CORRUPT, err));
    head.curve_count = tp_model_output_count(ret_parts);
    TP_TRY(tp_calibration_read(env, cursor, &head, &ret_parts->calibration, err));
    return check_parts(ret_parts, TAPEOUT_E_CORRUPT, err);
}

tapeout_status tp_model_read(const tp_env *env, tp_str bytes, const tp_learn_feature *features,
                             uint32_t feature_count, tp_model **ret_model, tapeout_error *err)
{
    tp_model_parts parts = {0};
    tp_cursor cursor;
    tp_cursor_init(&cursor, bytes.data, bytes.size);
    tapeout_status status = read_head(env, &cursor, &parts, err);
    const tp_str rest = {bytes.data + cursor.position, bytes.size - cursor.position};
    if (status == TAPEOUT_OK && parts.kind == TP_LEARNER_GBT) {
        status = tp_gbt_read(env, rest, features, feature_count, &parts.gbt, err);
    } else if (status == TAPEOUT_OK && parts.kind == TP_LEARNER_LINEAR) {
        status = tp_linear_read(env, rest, features, feature_count, &parts.linear, err);
    }
    if (status != TAPEOUT_OK) {
        parts_deinit(env->alloc, &parts);
        return status;
    }
    return model_from(env, &parts, TAPEOUT_E_CORRUPT, ret_model, err);
}
