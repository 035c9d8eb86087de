// SPDX-License-Identifier: Apache-2.0
//
// The models that are being served: by name and version, swapped while requests run. A request
// takes a reference to the version that it found and answers from it, whatever is installed
// meanwhile; the last reference frees it. So a swap fails no request and mixes no versions.
//
// @thread An engine is `synchronized`. Its one lock guards the lists and the counters of references
// only: nothing is loaded, scored or freed under it. Changes of what is served wait for each other.
#ifndef TP_ENGINE_H
#define TP_ENGINE_H

#include "base/tp_arena.h"
#include "bundle/tp_scorer.h"
#include "llm/host/tp_llm_host.h"
#include "trust/tp_trust.h"

#include <pthread.h>
#include <stdatomic.h>

// What a request needs to score with a model, kept for the next one. @thread confined while taken.
typedef struct tp_kit {
    tp_session *session;
    tp_table_builder *builder;
    uint64_t *stamps; // [C] the row that last gave column c a value, plus one
    uint64_t stamp;
    uint64_t *missing; // [C] rows of this batch in which column c has no value
    struct tp_kit *next;
} tp_kit;

// Sums over all answered requests, for the statistics of the Open Inference Protocol.
typedef struct tp_served_stats {
    atomic_uint_fast64_t success_count;
    atomic_uint_fast64_t success_ns;
    atomic_uint_fast64_t fail_count;
    atomic_uint_fast64_t fail_ns;
    atomic_uint_fast64_t row_count;
    atomic_uint_fast64_t compute_ns;
    atomic_uint_fast64_t last_ms; // of the calendar's clock
} tp_served_stats;

// One version of one model.
typedef struct tp_served {
    tp_str tenant; // in whose world it is: elsewhere there is no such model
    tp_str name;
    tp_str version;
    char sha256[TP_SHA256_HEX_SIZE + 1];
    tp_str header;        // "<name>;version=<version>;sha256=<hash>[;unsigned]", for replies
    tp_admitted admitted; // who signed it
    tp_llm_host *llm;     // of a language model; then all about tables is empty
    tp_scorer *scorer;    // of a table's model; NULL: it is a language model
    const tp_schema *schema;
    const tp_target *target;
    tp_dict columns; // names of the schema: code is the index
    // What it answers: "prediction", then "probability" or "p_<class>" for each class.
    const tp_str *output_names; // [output_count]
    uint32_t output_count;
    tp_served_stats stats;
    uint32_t generation; // how often this name has been loaded, from 1
    // The engine's own:
    const tp_env *env;
    uint64_t identity[4]; // of the file: device, inode, size, time of change
    tp_arena arena;       // of the texts
    const char *path;
    tp_str registered;      // the hash by which the registry knows it; empty: a path
    tp_signed signed_bytes; // what its signature is asked to name
    uint32_t ref_count;
    uint64_t memory_bytes;        // of the engine's budget
    atomic_uint_fast64_t used_ns; // when it was last asked, by the monotonic clock
    atomic_int_fast64_t keep_ns;  // after that it is unloaded; negative: it stays
    pthread_mutex_t kit_lock;     // taken before the monitor's lock, and never with the engine's
    tp_kit *kits;
    atomic_bool has_series;
    uint32_t series[5]; // numbers of its metrics, filled by the server
} tp_served;

// What to serve. Name and version may be empty: the bundle's name, and the count of loads.
typedef struct tp_model_spec {
    tp_str name;
    tp_str version;
    const char *path;
    tp_str tenant; // empty: the operator's
    tp_str sha256; // by which the registry knows it, in hexadecimal; empty: a path
} tp_model_spec;

typedef struct tp_engine tp_engine;

typedef struct tp_engine_options {
    tp_scheduler_options llm; // how language models are run
    // What they may take together, by their plans (tp_llm_size.h); 0: there is no budget.
    uint64_t memory_bytes;
    // Where the budget is used up, the model that was not asked for longest makes room, and a start
    // leaves unloaded what does not fit beside the others.
    bool unloads_idle;
    // Whom to ask about signatures: the trust list of `home` and what the registry knows, all of
    // which outlive the engine. Registered bundles that no trusted key signed are refused unless
    // they are allowed; what is served already is asked again whenever models are installed.
    const char *home;
    tp_trust_look *look;
    void *look_user;
    bool allow_unsigned;
} tp_engine_options;

tapeout_status tp_engine_new(const tp_env *env, const tp_engine_options *options,
                             tp_engine **ret_engine, tapeout_error *err);
void tp_engine_free(tp_engine *engine); // no request may be left

// Serves exactly `specs` from now on, all of them or, on failure, what was served before. A file
// that has not changed is not loaded again. `ret_loaded` (may be NULL) counts those that were.
// E_FULL, with figures, for a language model that exceeds what is left of the budget.
tapeout_status tp_engine_install(tp_engine *engine, const tp_model_spec *specs, size_t count,
                                 uint32_t *ret_loaded, tapeout_error *err);

// Takes a model (the last listed of that name) off the list and remembers what it was loaded from;
// requests under way are answered by it, then its memory is given back. E_NOT_FOUND.
tapeout_status tp_engine_unload(tp_engine *engine, tp_str tenant, tp_str name, tapeout_error *err);
// Loads one that was unloaded, under its former name and version. OK where it is served;
// E_NOT_FOUND where it never was, E_FULL as for tp_engine_install. tp_engine_install forgets what
// was unloaded.
tapeout_status tp_engine_load(tp_engine *engine, tp_str tenant, tp_str name, tapeout_error *err);
// Of the budget: what is in use, and all of it (0: none).
uint64_t tp_engine_memory(tp_engine *engine, uint64_t *ret_max_bytes);
// A language model was asked: of those that make room it is the last.
void tp_served_touch(tp_served *model);
// Unloads the model once nobody has used it for `keep_ns`; negative: it stays. Asked for by
// Ollama's keep_alive. E_BUSY where the system gives no thread to wait.
tapeout_status tp_engine_keep(tp_engine *engine, tp_served *model, int64_t keep_ns,
                              tapeout_error *err);
// Calls `tell` for each that is unloaded. It must not call the engine.
void tp_engine_idle_each(tp_engine *engine, void (*tell)(void *user, const tp_model_spec *spec),
                         void *user);

// A reference to the model, or NULL. Without a version the last listed of that name.
tp_served *tp_engine_find(tp_engine *engine, tp_str tenant, tp_str name, tp_str version);
// References to the served models in order, at most `capacity`; returns how many there are in all.
size_t tp_engine_list(tp_engine *engine, tp_served **ret_models, size_t capacity);
// The first that `wants` says yes to, or NULL. It is called under the lock and must be quick.
typedef bool tp_engine_filter(void *user, const tp_served *model);
tp_served *tp_engine_first(tp_engine *engine, tp_engine_filter *wants, void *user);
// Accepts NULL. Not on the thread of a language model's scheduler, which the last one ends.
void tp_engine_unref(tp_engine *engine, tp_served *model);

tapeout_status tp_served_kit_take(tp_served *model, tp_kit **ret_kit, tapeout_error *err);
// `row_count`: the most rows it held. One that grew large is freed rather than kept.
void tp_served_kit_give(tp_served *model, tp_kit *kit, uint64_t row_count);

#endif
