// SPDX-License-Identifier: Apache-2.0
//
// An engine inside: the lists (engine.c), what changes them (engine_change.c), and one model of
// them (served.c).
#ifndef ENGINE_PRIV_H
#define ENGINE_PRIV_H

#include "serve/tp_engine.h"

// What was unloaded: enough to load it again.
typedef struct idle_model {
    tp_arena arena; // of the texts
    tp_model_spec spec;
    uint32_t generation;
    struct idle_model *next;
} idle_model;

struct tp_engine {
    const tp_env *env;
    tp_engine_options options;
    uint64_t memory_used; // of the budget; under `lock`
    // Who waits until models are to be unloaded; under `lock`.
    pthread_t keeper;
    bool has_keeper;
    bool is_ending;
    pthread_cond_t wake;         // something to wait for has changed
    pthread_mutex_t change_lock; // held by who changes what is served; taken before `lock`
    pthread_mutex_t lock;        // of `models`, `count`, `idle` and every ref_count; a leaf
    idle_model *idle;
    tp_served **models; // [count] one reference each
    size_t count;
};

// -- served.c ------------------------------------------------------------------------------------
// `memory_bytes` of the budget are the model's from here on, and given back where it fails.
tapeout_status tp_served_open(tp_engine *engine, const tp_model_spec *spec, uint32_t generation,
                              uint64_t memory_bytes, tp_served **ret_model, tapeout_error *err);
void tp_served_free(tp_engine *engine, tp_served *model); // accepts NULL
// Asks once more whether the model may be used: its key may have been revoked.
tapeout_status tp_served_admit(const tp_engine *engine, const tp_served *model, tapeout_error *err);
bool tp_served_is(const tp_served *model, tp_str tenant, tp_str name);
tp_str tp_served_tenant(const tp_model_spec *spec); // the operator's where it says none
// A model file is called by its own name, without folder and end.
tp_str tp_served_file_name(const char *path);
// Of a file: device, inode, size, time of change; false where there is none.
bool tp_served_identity(const char *path, uint64_t ret_identity[4]);

// -- engine.c ------------------------------------------------------------------------------------
// Gives the references back, and the list of room for `capacity`.
void tp_engine_list_free(tp_engine *engine, tp_served **models, size_t count, size_t capacity);
void tp_engine_idle_free(const tp_engine *engine, idle_model *idle); // all of the list

// -- engine_change.c -----------------------------------------------------------------------------
// Unloads it if it is listed and nobody uses it.
void tp_engine_unload_unused(tp_engine *engine, const tp_served *model);

// -- engine_keep.c -------------------------------------------------------------------------------
void tp_engine_keep_init(tp_engine *engine);
void tp_engine_keep_deinit(tp_engine *engine);
// Somebody has done with the model; called with `lock`.
void tp_engine_keep_note(tp_engine *engine, const tp_served *model);

// -- engine_budget.c -----------------------------------------------------------------------------
// What the model of `path` is going to take; 0 without a budget, or for a table's model.
tapeout_status tp_engine_measure(const tp_engine *engine, const char *path, uint64_t *ret_bytes,
                                 tapeout_error *err);
// Whether so much would fit if nothing else were there.
bool tp_engine_memory_holds(const tp_engine *engine, uint64_t bytes);
// Takes and gives back a part of the budget.
bool tp_engine_memory_take(tp_engine *engine, uint64_t bytes);
void tp_engine_memory_give(tp_engine *engine, uint64_t bytes);
// E_FULL, with figures.
tapeout_status tp_engine_memory_refuse(tp_engine *engine, const char *path, uint64_t bytes,
                                       tapeout_error *err);
// The served language model that nobody uses and was not asked for longest; NULL: none. Called with
// change_lock.
tp_served *tp_engine_oldest_unused(tp_engine *engine);

#endif
