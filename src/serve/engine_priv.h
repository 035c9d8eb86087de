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
    tp_scheduler_options llm_options;
    pthread_mutex_t change_lock; // held by who changes what is served; taken before `lock`
    pthread_mutex_t lock;        // of `models`, `count`, `idle` and every ref_count; a leaf
    idle_model *idle;
    tp_served **models; // [count] one reference each
    size_t count;
};

// -- served.c ------------------------------------------------------------------------------------
tapeout_status tp_served_open(const tp_engine *engine, const tp_model_spec *spec,
                              uint32_t generation, tp_served **ret_model, tapeout_error *err);
void tp_served_free(tp_served *model); // accepts NULL
// Of a file: device, inode, size, time of change; false where there is none.
bool tp_served_identity(const char *path, uint64_t ret_identity[4]);

// -- engine.c ------------------------------------------------------------------------------------
// Gives the references back, and the list of room for `capacity`.
void tp_engine_list_free(tp_engine *engine, tp_served **models, size_t count, size_t capacity);
void tp_engine_idle_free(const tp_engine *engine, idle_model *idle); // all of the list

#endif
