// SPDX-License-Identifier: Apache-2.0
//
// The engine: a list under a lock, and who asks it. A list is never changed, only replaced
// (engine_change.c), so it is locked for as long as a look takes.
#include "serve/engine_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

tapeout_status tp_engine_new(const tp_env *env, const tp_engine_options *options,
                             tp_engine **ret_engine, tapeout_error *err)
{
    tp_engine *engine = tp_alloc_zero(env->alloc, sizeof(*engine));
    if (engine == NULL) {
        return tp_fail_nomem(err);
    }
    engine->env = env;
    engine->options = *options;
    (void)pthread_mutex_init(&engine->lock, NULL); // cannot fail with default attributes
    (void)pthread_mutex_init(&engine->change_lock, NULL);
    tp_engine_keep_init(engine);
    *ret_engine = engine;
    return TAPEOUT_OK;
}

void tp_engine_unref(tp_engine *engine, tp_served *model)
{
    if (model == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&engine->lock);
    const bool is_last = --model->ref_count == 0;
    if (model->ref_count == 1) {
        tp_engine_keep_note(engine, model);
    }
    (void)pthread_mutex_unlock(&engine->lock);
    if (is_last) {
        tp_served_free(engine, model);
    }
}

void tp_engine_list_free(tp_engine *engine, tp_served **models, size_t count, size_t capacity)
{
    for (size_t i = 0; models != NULL && i < count; i++) {
        tp_engine_unref(engine, models[i]);
    }
    tp_free_array(engine->env->alloc, models, capacity, sizeof(*models));
}

void tp_engine_idle_free(const tp_engine *engine, idle_model *idle)
{
    while (idle != NULL) {
        idle_model *next = idle->next;
        tp_arena_deinit(&idle->arena);
        tp_free(engine->env->alloc, idle, sizeof(*idle));
        idle = next;
    }
}

void tp_engine_free(tp_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    tp_engine_keep_deinit(engine);
    tp_engine_idle_free(engine, engine->idle);
    (void)pthread_mutex_destroy(&engine->change_lock);
    tp_engine_list_free(engine, engine->models, engine->count, engine->count);
    (void)pthread_mutex_destroy(&engine->lock);
    tp_free(engine->env->alloc, engine, sizeof(*engine));
}

void tp_engine_idle_each(tp_engine *engine, void (*tell)(void *user, const tp_model_spec *spec),
                         void *user)
{
    (void)pthread_mutex_lock(&engine->lock);
    for (const idle_model *idle = engine->idle; idle != NULL; idle = idle->next) {
        tell(user, &idle->spec);
    }
    (void)pthread_mutex_unlock(&engine->lock);
}

// -- asking --------------------------------------------------------------------------------------
tp_served *tp_engine_find(tp_engine *engine, tp_str tenant, tp_str name, tp_str version)
{
    tp_served *found = NULL;
    (void)pthread_mutex_lock(&engine->lock);
    for (size_t i = engine->count; i > 0 && found == NULL; i--) {
        tp_served *model = engine->models[i - 1];
        if (tp_served_is(model, tenant, name) &&
            (version.size == 0 || tp_str_equal(model->version, version))) {
            found = model;
            found->ref_count++;
        }
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return found;
}

size_t tp_engine_list(tp_engine *engine, tp_served **ret_models, size_t capacity)
{
    (void)pthread_mutex_lock(&engine->lock);
    const size_t count = engine->count;
    for (size_t i = 0; i < count && i < capacity; i++) {
        ret_models[i] = engine->models[i];
        ret_models[i]->ref_count++;
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return count;
}

tp_served *tp_engine_first(tp_engine *engine, tp_engine_filter *wants, void *user)
{
    tp_served *first = NULL;
    (void)pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->count && first == NULL; i++) {
        if (wants(user, engine->models[i])) {
            first = engine->models[i];
            first->ref_count++;
        }
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return first;
}
