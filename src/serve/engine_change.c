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
    return strcmp(model->path, spec->path) == 0 && tp_str_equal(model->registered, spec->sha256) &&
           tp_str_equal(model->tenant, tp_served_tenant(spec)) &&
           (spec->name.size == 0 || tp_str_equal(model->name, spec->name)) &&
           (spec->version.size == 0 || tp_str_equal(model->version, spec->version));
}

static tapeout_status keep(tp_engine *engine, tp_served *kept, tp_served **ret_model,
                           tapeout_error *err)
{
    const tapeout_status status = tp_served_admit(engine, kept, err);
    if (status != TAPEOUT_OK) {
        tp_engine_unref(engine, kept);
        return status;
    }
    *ret_model = kept;
    return TAPEOUT_OK;
}

// The version of `spec` for the new list: the one that is served already when its file is the same.
// NULL where it has to wait until there is room.
static tapeout_status choose(tp_engine *engine, const tp_model_spec *spec, tp_served **ret_model,
                             bool *ret_is_new, tapeout_error *err)
{
    uint64_t bytes = 0;
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
        return keep(engine, kept, ret_model, err);
    }
    TP_TRY(tp_engine_measure(engine, spec->path, &bytes, err));
    if (!tp_engine_memory_take(engine, bytes)) {
        *ret_is_new = false;
        const bool may_wait = engine->options.unloads_idle && generation == 0 &&
                              tp_engine_memory_holds(engine, bytes);
        return may_wait ? TAPEOUT_OK : tp_engine_memory_refuse(engine, spec->path, bytes, err);
    }
    return tp_served_open(engine, spec, generation + 1, bytes, ret_model, err);
}

static tapeout_status check_unique(tp_served *const *models, size_t count, tapeout_error *err)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (tp_served_is(models[i], models[k]->tenant, models[k]->name) &&
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

// -- what is off the list ------------------------------------------------------------------------
static idle_model *idle_new(const tp_engine *engine, const tp_model_spec *spec, uint32_t generation)
{
    idle_model *idle = tp_alloc_zero(engine->env->alloc, sizeof(*idle));
    if (idle == NULL) {
        return NULL;
    }
    tp_arena_init(&idle->arena, engine->env->alloc, TP_MAX_SERVED_TEXT_BYTES);
    idle->spec.tenant = tp_arena_str(&idle->arena, tp_served_tenant(spec));
    idle->spec.name = tp_arena_str(&idle->arena, spec->name);
    idle->spec.version = tp_arena_str(&idle->arena, spec->version);
    idle->spec.path = tp_arena_str(&idle->arena, tp_str_from(spec->path)).data;
    idle->spec.sha256 = tp_arena_str(&idle->arena, spec->sha256);
    idle->generation = generation;
    if (idle->spec.tenant.data == NULL || idle->spec.name.data == NULL ||
        idle->spec.version.data == NULL || idle->spec.path == NULL ||
        idle->spec.sha256.data == NULL) {
        tp_engine_idle_free(engine, idle);
        return NULL;
    }
    return idle;
}

static idle_model *idle_of(const tp_engine *engine, const tp_served *model)
{
    const tp_model_spec spec = {model->name, model->version, model->path, model->tenant,
                                model->registered};
    return idle_new(engine, &spec, model->generation);
}

// A language model that waits for room: it has the names that loading would give it.
static idle_model *idle_waiting(const tp_engine *engine, const tp_model_spec *spec)
{
    const tp_model_spec named = {.name = spec->name.size > 0 ? spec->name
                                                             : tp_served_file_name(spec->path),
                                 .version = spec->version.size > 0 ? spec->version : TP_STR("1"),
                                 .path = spec->path,
                                 .tenant = spec->tenant,
                                 .sha256 = spec->sha256};
    return idle_new(engine, &named, 1);
}

// -- all of it -----------------------------------------------------------------------------------
typedef struct fresh_list {
    tp_served **models; // [capacity]
    size_t capacity;
    size_t count;
    idle_model *idle;
    uint32_t loaded_count;
} fresh_list;

static tapeout_status fresh_add(tp_engine *engine, fresh_list *fresh, const tp_model_spec *spec,
                                tapeout_error *err)
{
    tp_served *model = NULL;
    bool is_new = false;
    TP_TRY(choose(engine, spec, &model, &is_new, err));
    if (model != NULL) {
        fresh->models[fresh->count++] = model;
        fresh->loaded_count += is_new;
        return TAPEOUT_OK;
    }
    idle_model *idle = idle_waiting(engine, spec);
    if (idle == NULL) {
        return tp_fail_nomem(err);
    }
    idle->next = fresh->idle;
    fresh->idle = idle;
    return TAPEOUT_OK;
}

static tapeout_status fresh_fill(tp_engine *engine, fresh_list *fresh, const tp_model_spec *specs,
                                 size_t count, tapeout_error *err)
{
    for (size_t i = 0; i < count; i++) {
        TP_TRY(fresh_add(engine, fresh, &specs[i], err));
    }
    TP_TRY(check_unique(fresh->models, fresh->count, err));
    if (fresh->count == fresh->capacity) {
        return TAPEOUT_OK;
    }
    tp_served **models = tp_resize_array(engine->env->alloc, fresh->models, fresh->capacity,
                                         fresh->count, sizeof(*models));
    if (models == NULL) {
        return tp_fail_nomem(err);
    }
    fresh->models = models;
    fresh->capacity = fresh->count;
    return TAPEOUT_OK;
}

static tapeout_status install(tp_engine *engine, const tp_model_spec *specs, size_t count,
                              uint32_t *ret_loaded, tapeout_error *err)
{
    if (count > TP_MAX_SERVED_MODELS) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%zu models to serve, at most %u", count,
                       TP_MAX_SERVED_MODELS);
    }
    fresh_list fresh = {.capacity = count};
    fresh.models = tp_alloc_array_zero(engine->env->alloc, count, sizeof(*fresh.models));
    if (fresh.models == NULL) {
        return tp_fail_nomem(err);
    }
    const tapeout_status status = fresh_fill(engine, &fresh, specs, count, err);
    if (status != TAPEOUT_OK) {
        tp_engine_list_free(engine, fresh.models, fresh.count, fresh.capacity);
        tp_engine_idle_free(engine, fresh.idle);
        return status;
    }
    (void)pthread_mutex_lock(&engine->lock);
    tp_served **old_models = engine->models;
    const size_t old_count = engine->count;
    idle_model *old_idle = engine->idle;
    engine->models = fresh.models;
    engine->count = fresh.count;
    engine->idle = fresh.idle;
    (void)pthread_mutex_unlock(&engine->lock);
    tp_engine_idle_free(engine, old_idle);
    tp_engine_list_free(engine, old_models, old_count, old_count);
    if (ret_loaded != NULL) {
        *ret_loaded = fresh.loaded_count;
    }
    return TAPEOUT_OK;
}

// -- one model off the list and on it again ------------------------------------------------------
// Called with change_lock: nobody else changes the lists, so they can be read without `lock`, which
// is taken to write them.

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

static tapeout_status unload_at(tp_engine *engine, size_t at, tapeout_error *err)
{
    tp_served *model = engine->models[at];
    const size_t left = engine->count - 1;
    tp_served **models = tp_alloc_array(engine->env->alloc, left, sizeof(*models));
    idle_model *idle = models == NULL ? NULL : idle_of(engine, model);
    if (idle == NULL) {
        tp_free_array(engine->env->alloc, models, left, sizeof(*models));
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < left; i++) {
        models[i] = engine->models[i < at ? i : i + 1];
    }
    idle->next = engine->idle;
    replace_lists(engine, models, left, idle);
    tp_engine_unref(engine, model);
    return TAPEOUT_OK;
}

// The index of the last listed of that name; engine->count: none.
static size_t find_served(const tp_engine *engine, tp_str tenant, tp_str name)
{
    for (size_t i = engine->count; i > 0; i--) {
        if (tp_served_is(engine->models[i - 1], tenant, name)) {
            return i - 1;
        }
    }
    return engine->count;
}

static tapeout_status unload(tp_engine *engine, tp_str tenant, tp_str name, tapeout_error *err)
{
    const size_t at = find_served(engine, tenant, name);
    return at < engine->count ? unload_at(engine, at, err)
                              : tp_fail(err, TAPEOUT_E_NOT_FOUND, "no model \"%.*s\" is served",
                                        TP_STR_ARGS(name));
}

void tp_engine_unload_unused(tp_engine *engine, const tp_served *model)
{
    (void)pthread_mutex_lock(&engine->change_lock);
    size_t at = 0;
    (void)pthread_mutex_lock(&engine->lock);
    while (at < engine->count && engine->models[at] != model) {
        at++;
    }
    const bool is_unused = at < engine->count && engine->models[at]->ref_count == 1;
    (void)pthread_mutex_unlock(&engine->lock);
    if (is_unused) {
        (void)unload_at(engine, at, NULL); // without memory it stays until there is some
    }
    (void)pthread_mutex_unlock(&engine->change_lock);
}

// Takes `bytes` of the budget, unloading what is idle where that is wanted.
static tapeout_status make_room(tp_engine *engine, const char *path, uint64_t bytes,
                                tapeout_error *err)
{
    while (!tp_engine_memory_take(engine, bytes)) {
        const tp_served *oldest =
            engine->options.unloads_idle ? tp_engine_oldest_unused(engine) : NULL;
        if (oldest == NULL) {
            return tp_engine_memory_refuse(engine, path, bytes, err);
        }
        size_t at = 0;
        while (engine->models[at] != oldest) {
            at++;
        }
        TP_TRY(unload_at(engine, at, err));
    }
    return TAPEOUT_OK;
}

// Serves `idle`'s model; the idle stays the caller's.
static tapeout_status load_idle(tp_engine *engine, const idle_model *idle, tapeout_error *err)
{
    tp_served *model = NULL;
    uint64_t bytes = 0;
    TP_TRY(tp_engine_measure(engine, idle->spec.path, &bytes, err));
    TP_TRY(make_room(engine, idle->spec.path, bytes, err));
    TP_TRY(tp_served_open(engine, &idle->spec, idle->generation, bytes, &model, err));
    tp_served **models = tp_alloc_array(engine->env->alloc, engine->count + 1, sizeof(*models));
    if (models == NULL) {
        tp_engine_unref(engine, model);
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < engine->count; i++) {
        models[i] = engine->models[i];
    }
    models[engine->count] = model;
    replace_lists(engine, models, engine->count + 1, engine->idle);
    return TAPEOUT_OK;
}

static idle_model **find_idle(tp_engine *engine, tp_str tenant, tp_str name)
{
    idle_model **place = &engine->idle;
    while (*place != NULL && !(tp_str_equal((*place)->spec.name, name) &&
                               tp_str_equal((*place)->spec.tenant, tenant))) {
        place = &(*place)->next;
    }
    return place;
}

static tapeout_status load(tp_engine *engine, tp_str tenant, tp_str name, tapeout_error *err)
{
    idle_model *idle = *find_idle(engine, tenant, name);
    if (idle == NULL) {
        return find_served(engine, tenant, name) < engine->count
                   ? TAPEOUT_OK
                   : tp_fail(err, TAPEOUT_E_NOT_FOUND, "no model \"%.*s\" is configured",
                             TP_STR_ARGS(name));
    }
    TP_TRY(load_idle(engine, idle, err));
    // Making room may have put others in front of it.
    idle_model **place = &engine->idle;
    while (*place != idle) {
        place = &(*place)->next;
    }
    (void)pthread_mutex_lock(&engine->lock);
    *place = idle->next;
    (void)pthread_mutex_unlock(&engine->lock);
    idle->next = NULL;
    tp_engine_idle_free(engine, idle);
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

tapeout_status tp_engine_unload(tp_engine *engine, tp_str tenant, tp_str name, tapeout_error *err)
{
    (void)pthread_mutex_lock(&engine->change_lock);
    const tapeout_status status = unload(engine, tenant, name, err);
    (void)pthread_mutex_unlock(&engine->change_lock);
    return status;
}

tapeout_status tp_engine_load(tp_engine *engine, tp_str tenant, tp_str name, tapeout_error *err)
{
    (void)pthread_mutex_lock(&engine->change_lock);
    const tapeout_status status = load(engine, tenant, name, err);
    (void)pthread_mutex_unlock(&engine->change_lock);
    return status;
}
