// SPDX-License-Identifier: Apache-2.0
//
// What is served, changed: installing builds the new list beside the old one, reuses versions whose
// file is the same, and swaps the two pointers; old versions live on until their last request is
// answered. One model may be taken off the list and put on it again.
#include "serve/engine_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

static bool is_of_spec(const tp_served *model, const tp_model_spec *spec)
{
    return strcmp(model->path, spec->path) == 0 &&
           (spec->name.size == 0 || tp_str_equal(model->name, spec->name)) &&
           (spec->version.size == 0 || tp_str_equal(model->version, spec->version));
}

// The version of `spec` for the new list: the one that is served already when its file is the same.
static tapeout_status choose(tp_engine *engine, const tp_model_spec *spec, tp_served **ret_model,
                             bool *ret_is_new, tapeout_error *err)
{
    uint64_t identity[4] = {0};
    const bool is_there = tp_served_identity(spec->path, identity);
    uint32_t generation = 0;
    tp_served *kept = NULL;
    (void)pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->count && kept == NULL; i++) {
        tp_served *model = engine->models[i];
        if (!is_of_spec(model, spec)) {
            continue;
        }
        generation = model->generation;
        if (is_there && memcmp(model->identity, identity, sizeof(identity)) == 0) {
            kept = model;
            kept->ref_count++;
        }
    }
    (void)pthread_mutex_unlock(&engine->lock);
    *ret_is_new = kept == NULL;
    if (kept != NULL) {
        *ret_model = kept;
        return TAPEOUT_OK;
    }
    return tp_served_open(engine, spec, generation + 1, ret_model, err);
}

static tapeout_status check_unique(tp_served *const *models, size_t count, tapeout_error *err)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (tp_str_equal(models[i]->name, models[k]->name) &&
                tp_str_equal(models[i]->version, models[k]->version)) {
                return tp_fail(err, TAPEOUT_E_EXISTS,
                               "%s: model %.*s of version %.*s is already served from %s; give one "
                               "of them another name or version",
                               models[i]->path, TP_STR_ARGS(models[i]->name),
                               TP_STR_ARGS(models[i]->version), models[k]->path);
            }
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status install(tp_engine *engine, const tp_model_spec *specs, size_t count,
                              uint32_t *ret_loaded, tapeout_error *err)
{
    if (count > TP_MAX_SERVED_MODELS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%zu models to serve, at most %u", count,
                       TP_MAX_SERVED_MODELS);
    }
    tp_served **models = tp_alloc_array_zero(engine->env->alloc, count, sizeof(*models));
    if (models == NULL && count > 0) {
        return tp_fail_nomem(err);
    }
    tapeout_status status = TAPEOUT_OK;
    uint32_t loaded = 0;
    size_t filled = 0;
    for (; filled < count; filled++) {
        bool is_new = false;
        status = choose(engine, &specs[filled], &models[filled], &is_new, err);
        if (status != TAPEOUT_OK) {
            break;
        }
        loaded += is_new;
    }
    if (status == TAPEOUT_OK) {
        status = check_unique(models, count, err);
    }
    if (status != TAPEOUT_OK) {
        tp_engine_list_free(engine, models, filled, count);
        return status;
    }
    (void)pthread_mutex_lock(&engine->lock);
    tp_served **old_models = engine->models;
    const size_t old_count = engine->count;
    idle_model *old_idle = engine->idle;
    engine->models = models;
    engine->count = count;
    engine->idle = NULL;
    (void)pthread_mutex_unlock(&engine->lock);
    tp_engine_idle_free(engine, old_idle);
    tp_engine_list_free(engine, old_models, old_count, old_count);
    if (ret_loaded != NULL) {
        *ret_loaded = loaded;
    }
    return TAPEOUT_OK;
}

tapeout_status tp_engine_install(tp_engine *engine, const tp_model_spec *specs, size_t count,
                                 uint32_t *ret_loaded, tapeout_error *err)
{
    (void)pthread_mutex_lock(&engine->change_lock);
    const tapeout_status status = install(engine, specs, count, ret_loaded, err);
    (void)pthread_mutex_unlock(&engine->change_lock);
    return status;
}

// -- one model off the list and on it again ------------------------------------------------------
// Called with change_lock: nobody else changes the lists, so they can be read
// without `lock`, which is taken to write them.
static idle_model *idle_new(const tp_engine *engine, const tp_served *model)
{
    idle_model *idle = tp_alloc_zero(engine->env->alloc, sizeof(*idle));
    if (idle == NULL) {
        return NULL;
    }
    tp_arena_init(&idle->arena, engine->env->alloc, TP_MAX_SERVED_TEXT_BYTES);
    idle->spec.name = tp_arena_str(&idle->arena, model->name);
    idle->spec.version = tp_arena_str(&idle->arena, model->version);
    idle->spec.path = tp_arena_str(&idle->arena, tp_str_from(model->path)).data;
    idle->generation = model->generation;
    if (idle->spec.name.data == NULL || idle->spec.version.data == NULL ||
        idle->spec.path == NULL) {
        tp_engine_idle_free(engine, idle);
        return NULL;
    }
    return idle;
}

// Puts `models` [count] in the place of the list, whose references they have, and `idle` too.
static void replace_lists(tp_engine *engine, tp_served **models, size_t count, idle_model *idle)
{
    (void)pthread_mutex_lock(&engine->lock);
    tp_served **old_models = engine->models;
    const size_t old_count = engine->count;
    engine->models = models;
    engine->count = count;
    engine->idle = idle;
    (void)pthread_mutex_unlock(&engine->lock);
    tp_free_array(engine->env->alloc, old_models, old_count, sizeof(*old_models));
}

static tapeout_status unload(tp_engine *engine, tp_str name, tapeout_error *err)
{
    size_t at = engine->count;
    while (at > 0 && !tp_str_equal(engine->models[at - 1]->name, name)) {
        at--;
    }
    if (at == 0) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "no model \"%.*s\" is served", TP_STR_ARGS(name));
    }
    tp_served *model = engine->models[at - 1];
    const size_t left = engine->count - 1;
    tp_served **models =
        left == 0 ? NULL : tp_alloc_array(engine->env->alloc, left, sizeof(*models));
    idle_model *idle = models == NULL && left > 0 ? NULL : idle_new(engine, model);
    if (idle == NULL) {
        tp_free_array(engine->env->alloc, models, left, sizeof(*models));
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < left; i++) {
        models[i] = engine->models[i < at - 1 ? i : i + 1];
    }
    idle->next = engine->idle;
    replace_lists(engine, models, left, idle);
    tp_engine_unref(engine, model);
    return TAPEOUT_OK;
}

static bool is_served(const tp_engine *engine, tp_str name)
{
    for (size_t i = 0; i < engine->count; i++) {
        if (tp_str_equal(engine->models[i]->name, name)) {
            return true;
        }
    }
    return false;
}

static tapeout_status load(tp_engine *engine, tp_str name, tapeout_error *err)
{
    idle_model *idle = engine->idle;
    idle_model *before = NULL;
    while (idle != NULL && !tp_str_equal(idle->spec.name, name)) {
        before = idle;
        idle = idle->next;
    }
    if (idle == NULL) {
        return is_served(engine, name)
                   ? TAPEOUT_OK
                   : tp_fail(err, TAPEOUT_E_NOT_FOUND, "no model \"%.*s\" is configured",
                             TP_STR_ARGS(name));
    }
    tp_served *model = NULL;
    const size_t count = engine->count + 1;
    TP_TRY(tp_served_open(engine, &idle->spec, idle->generation, &model, err));
    tp_served **models = tp_alloc_array(engine->env->alloc, count, sizeof(*models));
    if (models == NULL) {
        tp_engine_unref(engine, model);
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i + 1 < count; i++) {
        models[i] = engine->models[i];
    }
    models[count - 1] = model;
    (void)pthread_mutex_lock(&engine->lock);
    *(before == NULL ? &engine->idle : &before->next) = idle->next;
    idle_model *rest = engine->idle;
    (void)pthread_mutex_unlock(&engine->lock);
    replace_lists(engine, models, count, rest);
    idle->next = NULL;
    tp_engine_idle_free(engine, idle);
    return TAPEOUT_OK;
}

tapeout_status tp_engine_unload(tp_engine *engine, tp_str name, tapeout_error *err)
{
    (void)pthread_mutex_lock(&engine->change_lock);
    const tapeout_status status = unload(engine, name, err);
    (void)pthread_mutex_unlock(&engine->change_lock);
    return status;
}

tapeout_status tp_engine_load(tp_engine *engine, tp_str name, tapeout_error *err)
{
    (void)pthread_mutex_lock(&engine->change_lock);
    const tapeout_status status = load(engine, name, err);
    (void)pthread_mutex_unlock(&engine->change_lock);
    return status;
}
