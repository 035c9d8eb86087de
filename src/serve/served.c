// SPDX-License-Identifier: Apache-2.0
//
// One version of one model: opened from its file, with the texts that replies have of it, and the
// kits that score with it. Kits (session, table builder) are made when a thread finds none free, so
// there are as many as requests that ever ran at once, which threads bound.
#include "serve/engine_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "bundle/tp_llm_bundle.h"
#include "pipeline/tp_llm_open.h"
#include "pipeline/tp_model_file.h"
#include "trust/tp_identity.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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

void tp_served_free(tp_engine *engine, tp_served *model)
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
    tp_engine_memory_give(engine, model->memory_bytes); // once it is really there
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

tp_str tp_served_file_name(const char *path)
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

tp_str tp_served_tenant(const tp_model_spec *spec)
{
    return spec->tenant.size == 0 ? TP_STR(TP_TENANT_OPERATOR) : spec->tenant;
}

bool tp_served_is(const tp_served *model, tp_str tenant, tp_str name)
{
    return tp_str_equal(model->name, name) && tp_str_equal(model->tenant, tenant);
}

static tapeout_status served_set_names(tp_served *model, const tp_model_spec *spec,
                                       tapeout_error *err)
{
    char generation[16];
    const int digits = snprintf(generation, sizeof(generation), "%u", model->generation);
    const tp_str own = model->scorer == NULL ? tp_served_file_name(spec->path)
                                             : tp_bundle_name(tp_scorer_bundle(model->scorer));
    model->name = tp_arena_str(&model->arena, spec->name.size > 0 ? spec->name : own);
    model->tenant = tp_arena_str(&model->arena, tp_served_tenant(spec));
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
    tp_buffer_append_text(&header, model->admitted.is_trusted ? "" : ";unsigned");
    model->header = tp_arena_str(&model->arena, tp_buffer_view(&header));
    tp_buffer_deinit(&header);
    return model->name.data == NULL || model->version.data == NULL || model->tenant.data == NULL ||
                   model->header.data == NULL
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

static tp_admission admission_of(const tp_engine *engine, const tp_served *model)
{
    return (tp_admission){.home = engine->options.home,
                          .path = model->path,
                          .sha256 = model->registered,
                          .allow_unsigned = engine->options.allow_unsigned,
                          .look = engine->options.look,
                          .look_user = engine->options.look_user};
}

tapeout_status tp_served_admit(const tp_engine *engine, const tp_served *model, tapeout_error *err)
{
    tp_admitted admitted; // who signed is told as it was when the model was loaded
    const tp_admission asked = admission_of(engine, model);
    return model->registered.size == 0
               ? TAPEOUT_OK
               : tp_trust_admit(model->env->alloc, &model->signed_bytes, &asked, &admitted, err);
}

// Opens the bundle, and remembers what its signature is asked to name.
static tapeout_status served_open_bundle(const tp_engine *engine, tp_served *model,
                                         tp_bundle **ret_bundle, tapeout_error *err)
{
    tp_bundle *bundle = NULL;
    const tp_admission asked = admission_of(engine, model);
    TP_TRY(tp_model_file_open(model->env, &asked, &bundle, &model->admitted, err));
    const tp_sha256 hash = tp_bundle_hash(bundle);
    tp_sha256_hex(&hash, model->sha256);
    model->signed_bytes = tp_signed_of(bundle);
    model->signed_bytes.name = tp_arena_str(&model->arena, model->signed_bytes.name);
    if (model->signed_bytes.name.data == NULL) {
        tp_bundle_close(&bundle);
        return tp_fail_nomem(err);
    }
    *ret_bundle = bundle;
    return TAPEOUT_OK;
}

static tapeout_status served_fill_llm(const tp_engine *engine, tp_served *model,
                                      const tp_model_spec *spec, tapeout_error *err)
{
    tp_sha256 hash;
    tp_llm *llm = NULL;
    tp_bundle *bundle = NULL;
    if (model->registered.size > 0 || tp_bundle_probe(spec->path)) {
        TP_TRY(served_open_bundle(engine, model, &bundle, err));
        TP_TRY(tp_llm_from_bundle(model->env, &bundle, &llm, err));
    } else {
        const tp_admission asked = admission_of(engine, model);
        TP_TRY(tp_sha256_file(spec->path, &hash, err));
        tp_sha256_hex(&hash, model->sha256);
        TP_TRY(tp_llm_open_path(model->env, &asked, &llm, &model->admitted, err));
    }
    TP_TRY(tp_llm_host_new(model->env, llm, &engine->options.llm, &model->llm, err));
    return served_set_names(model, spec, err);
}

static tapeout_status served_fill(const tp_engine *engine, tp_served *model,
                                  const tp_model_spec *spec, tapeout_error *err)
{
    tp_bundle *bundle = NULL;
    model->path = tp_arena_str(&model->arena, tp_str_from(spec->path)).data;
    model->registered = tp_arena_str(&model->arena, spec->sha256);
    if (model->path == NULL || model->registered.data == NULL) {
        return tp_fail_nomem(err);
    }
    if (tp_llm_path_is_model(spec->path)) {
        return served_fill_llm(engine, model, spec, err);
    }
    TP_TRY(served_open_bundle(engine, model, &bundle, err));
    TP_TRY(tp_scorer_from_bundle(model->env, &bundle, &model->scorer, err));
    model->schema = tp_scorer_schema(model->scorer);
    model->target = tp_scorer_target(model->scorer);
    for (uint32_t i = 0; i < model->schema->count; i++) {
        uint32_t code = 0;
        if (tp_dict_add(&model->columns, model->schema->fields[i].name, &code) != TAPEOUT_OK) {
            return tp_fail_nomem(err);
        }
    }
    TP_TRY(served_set_outputs(model, err));
    return served_set_names(model, spec, err);
}

bool tp_served_identity(const char *path, uint64_t ret_identity[4])
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

tapeout_status tp_served_open(tp_engine *engine, const tp_model_spec *spec, uint32_t generation,
                              uint64_t memory_bytes, tp_served **ret_model, tapeout_error *err)
{
    const tp_env *env = engine->env;
    tp_served *model = tp_alloc_zero(env->alloc, sizeof(*model));
    if (model == NULL) {
        tp_engine_memory_give(engine, memory_bytes);
        return tp_fail_nomem(err);
    }
    model->env = env;
    model->memory_bytes = memory_bytes;
    model->generation = generation;
    model->ref_count = 1;
    tp_served_touch(model);
    atomic_init(&model->keep_ns, -1);
    tp_dict_init(&model->columns, env->alloc);
    tp_arena_init(&model->arena, env->alloc, TP_MAX_SERVED_TEXT_BYTES);
    (void)pthread_mutex_init(&model->kit_lock, NULL); // cannot fail with default attributes
    // Asked for before the file is read: one that changes meanwhile is loaded again next time.
    (void)tp_served_identity(spec->path, model->identity);
    const tapeout_status status = served_fill(engine, model, spec, err);
    if (status != TAPEOUT_OK) {
        tp_served_free(engine, model);
        return status;
    }
    *ret_model = model;
    return TAPEOUT_OK;
}

// -- kits ----------------------------------------------------------------------------------------
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
