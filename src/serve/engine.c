// SPDX-License-Identifier: Apache-2.0
//
// The engine: a list under a lock. Installing builds the new list beside the old one, reuses
// versions whose file is the same, and swaps the two pointers; old versions live on until their
// last request is answered. Kits (session, table builder) are made when a thread finds none free,
// so there are as many as requests that ever ran at once, which threads bound.
#include "serve/tp_engine.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "pipeline/tp_llm_open.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

// What was unloaded: enough to load it again.
typedef struct idle_model {
    tp_arena arena; // of the texts
    tp_model_spec spec;
    uint32_t generation;
    struct idle_model *next;
} idle_model;

struct tp_engine {
    const tp_env *env;
    tp_scheduler_options llm_options;
    pthread_mutex_t change_lock; // held by who changes what is served; taken before `lock`
    pthread_mutex_t lock;        // of `models`, `count`, `idle` and every ref_count; a leaf
    idle_model *idle;
    tp_served **models; // [count] one reference each
    size_t count;
};

static void kit_free(tp_served *model, tp_kit *kit)
{
    if (kit == NULL) {
        return;
    }
    const tapeout_allocator *alloc = model->env->alloc;
    tp_session_free(kit->session);
    tp_table_builder_free(kit->builder);
    tp_free_array(alloc, kit->stamps, model->schema->count + 1u, sizeof(*kit->stamps));
    tp_free_array(alloc, kit->missing, model->schema->count + 1u, sizeof(*kit->missing));
    tp_free(alloc, kit, sizeof(*kit));
}

static void served_free(tp_served *model)
{
    if (model == NULL) {
        return;
    }
    const tapeout_allocator *alloc = model->env->alloc;
    for (tp_kit *kit = model->kits, *next = NULL; kit != NULL; kit = next) {
        next = kit->next;
        kit_free(model, kit);
    }
    (void)pthread_mutex_destroy(&model->kit_lock);
    tp_dict_deinit(&model->columns);
    tp_scorer_close(&model->scorer);
    tp_llm_host_free(model->llm);
    tp_arena_deinit(&model->arena);
    tp_free(alloc, model, sizeof(*model));
}

// Names are checked when a bundle is written, but one given here may hold anything.
static void append_header_text(tp_buffer *header, tp_str text)
{
    for (size_t i = 0; i < text.size; i++) {
        const char c = text.data[i];
        tp_buffer_append_char(header, c > 0x20 && c < 0x7f && c != ';' ? c : '?');
    }
}

// A model file is called by its own name, without folder and end.
static tp_str name_of_file(const char *path)
{
    const char *slash = strrchr(path, '/');
    tp_str name = tp_str_from(slash == NULL ? path : slash + 1);
    static const char *const ends[] = {".gguf", ".tapeout"};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        const tp_str end = tp_str_from(ends[i]);
        name.size -= tp_str_has_suffix(name, end) ? end.size : 0;
    }
    return name;
}

static tapeout_status served_set_names(tp_served *model, const tp_model_spec *spec,
                                       tapeout_error *err)
{
    char generation[16];
    const int digits = snprintf(generation, sizeof(generation), "%u", model->generation);
    const tp_str own = model->scorer == NULL ? name_of_file(spec->path)
                                             : tp_bundle_name(tp_scorer_bundle(model->scorer));
    model->name = tp_arena_str(&model->arena, spec->name.size > 0 ? spec->name : own);
    model->version =
        tp_arena_str(&model->arena,
                     spec->version.size > 0 ? spec->version : (tp_str){generation, (size_t)digits});
    tp_buffer header;
    tp_buffer_init(&header, model->env->alloc, TP_MAX_SERVED_TEXT_BYTES);
    append_header_text(&header, model->name);
    tp_buffer_append_str(&header, TP_STR(";version="));
    append_header_text(&header, model->version);
    tp_buffer_append_str(&header, TP_STR(";sha256="));
    tp_buffer_append_text(&header, model->sha256);
    model->header = tp_arena_str(&model->arena, tp_buffer_view(&header));
    tp_buffer_deinit(&header);
    return model->name.data == NULL || model->version.data == NULL || model->header.data == NULL
               ? tp_fail_nomem(err)
               : TAPEOUT_OK;
}

static tapeout_status served_set_outputs(tp_served *model, tapeout_error *err)
{
    const tp_target *target = model->target;
    const bool is_binary = target->class_count > 0 && target->task == TP_TASK_BINARY;
    const uint32_t count = is_binary ? 2 : target->class_count + 1;
    tp_str *names = tp_arena_array(&model->arena, count, sizeof(*names));
    if (names == NULL) {
        return tp_fail_nomem(err);
    }
    names[0] = TP_STR("prediction");
    if (is_binary) {
        names[1] = TP_STR("probability");
    }
    for (uint32_t k = 0; !is_binary && k < target->class_count; k++) {
        const tp_str label = target->class_names[k];
        char *text = tp_arena_alloc(&model->arena, label.size + 2);
        if (text == NULL) {
            return tp_fail_nomem(err);
        }
        memcpy(text, "p_", 2);
        memcpy(text + 2, label.data, label.size);
        names[k + 1] = (tp_str){text, label.size + 2};
    }
    model->output_names = names;
    model->output_count = count;
    return TAPEOUT_OK;
}

static tapeout_status served_fill_llm(tp_served *model, const tp_model_spec *spec,
                                      const tp_scheduler_options *llm_options, tapeout_error *err)
{
    tp_sha256 hash;
    tp_llm *llm = NULL;
    TP_TRY(tp_sha256_file(spec->path, &hash, err));
    tp_sha256_hex(&hash, model->sha256);
    TP_TRY(tp_llm_open_path(model->env, spec->path, &llm, err));
    TP_TRY(tp_llm_host_new(model->env, llm, llm_options, &model->llm, err));
    return served_set_names(model, spec, err);
}

static tapeout_status served_fill(tp_served *model, const tp_model_spec *spec,
                                  const tp_scheduler_options *llm_options, tapeout_error *err)
{
    model->path = tp_arena_str(&model->arena, tp_str_from(spec->path)).data;
    if (model->path == NULL) {
        return tp_fail_nomem(err);
    }
    if (tp_llm_path_is_model(spec->path)) {
        return served_fill_llm(model, spec, llm_options, err);
    }
    TP_TRY(tp_scorer_open(model->env, spec->path, &model->scorer, err));
    model->schema = tp_scorer_schema(model->scorer);
    model->target = tp_scorer_target(model->scorer);
    const tp_sha256 hash = tp_bundle_hash(tp_scorer_bundle(model->scorer));
    tp_sha256_hex(&hash, model->sha256);
    for (uint32_t i = 0; i < model->schema->count; i++) {
        uint32_t code = 0;
        if (tp_dict_add(&model->columns, model->schema->fields[i].name, &code) != TAPEOUT_OK) {
            return tp_fail_nomem(err);
        }
    }
    TP_TRY(served_set_outputs(model, err));
    return served_set_names(model, spec, err);
}

static bool file_identity(const char *path, uint64_t ret_identity[4])
{
    struct stat about;
    if (stat(path, &about) != 0) {
        return false;
    }
    ret_identity[0] = (uint64_t)about.st_dev;
    ret_identity[1] = (uint64_t)about.st_ino;
    ret_identity[2] = (uint64_t)about.st_size;
    ret_identity[3] =
        (uint64_t)about.st_mtim.tv_sec * 1000000000u + (uint64_t)about.st_mtim.tv_nsec;
    return true;
}

static tapeout_status served_open(const tp_engine *engine, const tp_model_spec *spec,
                                  uint32_t generation, tp_served **ret_model, tapeout_error *err)
{
    const tp_env *env = engine->env;
    tp_served *model = tp_alloc_zero(env->alloc, sizeof(*model));
    if (model == NULL) {
        return tp_fail_nomem(err);
    }
    model->env = env;
    model->generation = generation;
    model->ref_count = 1;
    tp_dict_init(&model->columns, env->alloc);
    tp_arena_init(&model->arena, env->alloc, TP_MAX_SERVED_TEXT_BYTES);
    (void)pthread_mutex_init(&model->kit_lock, NULL); // cannot fail with default attributes
    // Asked for before the file is read: one that changes meanwhile is loaded again next time.
    (void)file_identity(spec->path, model->identity);
    const tapeout_status status = served_fill(model, spec, &engine->llm_options, err);
    if (status != TAPEOUT_OK) {
        served_free(model);
        return status;
    }
    *ret_model = model;
    return TAPEOUT_OK;
}

tapeout_status tp_engine_new(const tp_env *env, const tp_scheduler_options *llm_options,
                             tp_engine **ret_engine, tapeout_error *err)
{
    tp_engine *engine = tp_alloc_zero(env->alloc, sizeof(*engine));
    if (engine == NULL) {
        return tp_fail_nomem(err);
    }
    engine->env = env;
    engine->llm_options = *llm_options;
    (void)pthread_mutex_init(&engine->lock, NULL); // cannot fail with default attributes
    (void)pthread_mutex_init(&engine->change_lock, NULL);
    *ret_engine = engine;
    return TAPEOUT_OK;
}

// The lock is held by the caller; true when the model is to be freed once it is given back.
static bool unref_locked(tp_served *model)
{
    return --model->ref_count == 0;
}

void tp_engine_unref(tp_engine *engine, tp_served *model)
{
    if (model == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&engine->lock);
    const bool is_last = unref_locked(model);
    (void)pthread_mutex_unlock(&engine->lock);
    if (is_last) {
        served_free(model);
    }
}

static void list_free(tp_engine *engine, tp_served **models, size_t count, size_t capacity)
{
    for (size_t i = 0; models != NULL && i < count; i++) {
        tp_engine_unref(engine, models[i]);
    }
    tp_free_array(engine->env->alloc, models, capacity, sizeof(*models));
}

static void idle_free(const tp_engine *engine, idle_model *idle)
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
    idle_free(engine, engine->idle);
    (void)pthread_mutex_destroy(&engine->change_lock);
    list_free(engine, engine->models, engine->count, engine->count);
    (void)pthread_mutex_destroy(&engine->lock);
    tp_free(engine->env->alloc, engine, sizeof(*engine));
}

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
    const bool is_there = file_identity(spec->path, identity);
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
    return served_open(engine, spec, generation + 1, ret_model, err);
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
        list_free(engine, models, filled, count);
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
    idle_free(engine, old_idle);
    list_free(engine, old_models, old_count, old_count);
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
        idle_free(engine, idle);
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
    TP_TRY(served_open(engine, &idle->spec, idle->generation, &model, err));
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
    idle_free(engine, idle);
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

void tp_engine_idle_each(tp_engine *engine, void (*tell)(void *user, tp_str name, tp_str version),
                         void *user)
{
    (void)pthread_mutex_lock(&engine->lock);
    for (const idle_model *idle = engine->idle; idle != NULL; idle = idle->next) {
        tell(user, idle->spec.name, idle->spec.version);
    }
    (void)pthread_mutex_unlock(&engine->lock);
}

// -- asking --------------------------------------------------------------------------------------
tp_served *tp_engine_find(tp_engine *engine, tp_str name, tp_str version)
{
    tp_served *found = NULL;
    (void)pthread_mutex_lock(&engine->lock);
    for (size_t i = engine->count; i > 0 && found == NULL; i--) {
        tp_served *model = engine->models[i - 1];
        if (tp_str_equal(model->name, name) &&
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

tp_served *tp_engine_first_table(tp_engine *engine)
{
    tp_served *first = NULL;
    (void)pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->count && first == NULL; i++) {
        if (engine->models[i]->scorer != NULL) {
            first = engine->models[i];
            first->ref_count++;
        }
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return first;
}

static tapeout_status kit_new(tp_served *model, tp_kit **ret_kit, tapeout_error *err)
{
    const tapeout_allocator *alloc = model->env->alloc;
    tp_kit *kit = tp_alloc_zero(alloc, sizeof(*kit));
    if (kit == NULL) {
        return tp_fail_nomem(err);
    }
    // One more than there are columns, so that a model without any has a block too.
    kit->stamps = tp_alloc_array_zero(alloc, model->schema->count + 1u, sizeof(*kit->stamps));
    kit->missing = tp_alloc_array_zero(alloc, model->schema->count + 1u, sizeof(*kit->missing));
    tapeout_status status =
        kit->stamps == NULL || kit->missing == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
    if (status == TAPEOUT_OK) {
        status = tp_session_new(model->env, model->scorer, &kit->session, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_table_builder_new(alloc, model->schema, &kit->builder, err);
    }
    if (status != TAPEOUT_OK) {
        kit_free(model, kit);
        return status;
    }
    *ret_kit = kit;
    return TAPEOUT_OK;
}

tapeout_status tp_served_kit_take(tp_served *model, tp_kit **ret_kit, tapeout_error *err)
{
    (void)pthread_mutex_lock(&model->kit_lock);
    tp_kit *kit = model->kits;
    if (kit != NULL) {
        model->kits = kit->next;
    }
    (void)pthread_mutex_unlock(&model->kit_lock);
    if (kit == NULL) {
        TP_TRY(kit_new(model, &kit, err));
    }
    tp_table_builder_clear(kit->builder);
    *ret_kit = kit;
    return TAPEOUT_OK;
}

void tp_served_kit_give(tp_served *model, tp_kit *kit, uint64_t row_count)
{
    if (row_count > TP_MAX_KEPT_KIT_ROWS) {
        kit_free(model, kit);
        return;
    }
    (void)pthread_mutex_lock(&model->kit_lock);
    kit->next = model->kits;
    model->kits = kit;
    (void)pthread_mutex_unlock(&model->kit_lock);
}
