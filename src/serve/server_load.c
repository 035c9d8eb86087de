// SPDX-License-Identifier: Apache-2.0
//
// Loading what a server serves, at its start and again on SIGHUP: what was written becomes paths,
// the engine opens the bundles on a worker's thread, and loop 0 decides what follows. One load runs
// at a time; one that is asked for meanwhile follows it. A reload that fails changes nothing: what
// was served is served on. A first load that fails ends the server.
#include "serve/server_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "serve/serve_audit.h"
#include "serve/serve_log.h"

#include <string.h>
#include <tapeout/registry.h>

// What was written, as paths: a registered name leads to its blob, and brings name and version.
static tapeout_status resolve_models(struct tapeout_server *server, tp_arena *arena,
                                     tp_model_spec *ret_specs, tapeout_error *err)
{
    const tp_serve_config *config = server->config;
    tapeout_model_ref ref;
    server->load_leads = 0;
    for (size_t i = 0; i < config->model_count; i++) {
        TP_TRY(tapeout_registry_resolve(server->context, config->models[i].path, &ref, err));
        tp_model_spec *spec = &ret_specs[i];
        *spec = config->models[i];
        if (tp_server_is_alias(spec)) {
            server->load_leads = tp_server_lead_on(server->load_leads, ref.version);
        }
        spec->path = tp_arena_str(arena, tp_str_from(ref.path)).data;
        if (ref.is_registered) {
            spec->sha256 = tp_arena_str(arena, tp_str_from(ref.sha256));
        }
        if (ref.is_registered && spec->name.size == 0) {
            spec->name = tp_arena_str(arena, tp_str_from(ref.name));
        }
        if (ref.is_registered && spec->version.size == 0) {
            char number[24];
            const int size =
                snprintf(number, sizeof(number), "%llu", (unsigned long long)ref.version);
            spec->version = tp_arena_str(arena, (tp_str){number, (size_t)size});
        }
        if (spec->path == NULL) {
            return tp_fail_nomem(err);
        }
    }
    return TAPEOUT_OK;
}

// Finding and loading what is to be served; without `install` only the former.
tapeout_status tp_server_load_models(struct tapeout_server *server, bool install,
                                     tapeout_error *err)
{
    const tapeout_allocator *alloc = server->env.alloc;
    const size_t count = server->config->model_count;
    tp_model_spec *specs = tp_alloc_array(alloc, count + 1, sizeof(*specs));
    if (specs == NULL) {
        return tp_fail_nomem(err);
    }
    tp_arena arena;
    tp_arena_init(&arena, alloc, TP_MAX_SERVED_TEXT_BYTES);
    tapeout_status status = resolve_models(server, &arena, specs, err);
    if (status == TAPEOUT_OK && install) {
        status = tp_engine_install(server->state.engine, specs, count, &server->loaded_count, err);
    }
    tp_arena_deinit(&arena);
    tp_free_array(alloc, specs, count + 1, sizeof(*specs));
    return status;
}

static void on_load(uv_work_t *work)
{
    struct tapeout_server *server = work->data;
    server->load_error = (tapeout_error){0};
    server->load_status = tp_server_load_models(server, true, &server->load_error);
    tp_server_audit_models(server, (tp_str){NULL, 0});
}

static void log_reload(struct tapeout_server *server)
{
    tp_buffer log;
    tp_buffer_init(&log, server->env.alloc, TP_MAX_SERVE_LOG_BYTES);
    tp_serve_log_begin(&log, "reloaded");
    tp_serve_log_u64(&log, "loaded", server->loaded_count);
    tp_serve_log_end(&log);
    tp_server_log_models(server, &log);
    tp_server_log(server, &log);
    tp_buffer_deinit(&log);
}

static void on_loaded(uv_work_t *work, int status)
{
    (void)status; // never cancelled
    struct tapeout_server *server = work->data;
    server->is_loading = false;
    const bool was_ready = server->has_loaded;
    if (server->load_status == TAPEOUT_OK && !server->is_draining) {
        atomic_store_explicit(&server->state.is_ready, true, memory_order_release);
    }
    if (server->load_status == TAPEOUT_OK) {
        server->watch_leads = server->load_leads;
    }
    if (server->load_status == TAPEOUT_OK && !was_ready) {
        server->has_loaded = true;
        tp_server_announce(server);
    } else if (server->load_status == TAPEOUT_OK) {
        log_reload(server);
    } else if (was_ready) {
        // What was served before is served on.
        tp_server_log_event(server, "reload_failed", server->load_error.message);
    } else {
        server->run_status = server->load_status;
        tp_server_drain(server, true);
    }
    if (server->load_again && !server->is_draining) {
        tp_server_load_start(server);
    }
}

// Reads the configuration again; the first load uses what the server was opened with.
static tapeout_status reread_config(struct tapeout_server *server, tapeout_error *err)
{
    const tapeout_allocator *alloc = server->env.alloc;
    if (server->options.config == NULL || !server->has_loaded) {
        return TAPEOUT_OK;
    }
    tp_serve_config *fresh = tp_alloc(alloc, sizeof(*fresh));
    if (fresh == NULL) {
        return tp_fail_nomem(err);
    }
    tp_serve_config_init(fresh, alloc);
    tapeout_serve_options options = server->options;
    options.model_count = 0; // a server with models of its own has none from the file
    const tapeout_status status =
        server->options.model_count > 0 ? TAPEOUT_OK : tp_serve_config_load(fresh, &options, err);
    if (status == TAPEOUT_OK && server->options.model_count == 0) {
        // Only the models change; addresses, threads and limits stay as long as the process.
        memcpy(server->config->models, fresh->models, sizeof(fresh->models));
        server->config->model_count = fresh->model_count;
        const tp_arena old = server->models_arena;
        server->models_arena = fresh->arena;
        tp_arena_init(&fresh->arena, alloc, 0);
        tp_arena gone = old;
        tp_arena_deinit(&gone);
    }
    tp_serve_config_deinit(fresh);
    tp_free(alloc, fresh, sizeof(*fresh));
    return status;
}

void tp_server_load_start(struct tapeout_server *server)
{
    if (server->is_loading) {
        server->load_again = true;
        return;
    }
    server->load_again = false;
    tapeout_error error = {0};
    if (reread_config(server, &error) != TAPEOUT_OK) {
        tp_server_log_event(server, "reload_failed", error.message);
        return;
    }
    server->load.data = server;
    server->is_loading = true;
    // Fails only without a work function.
    (void)uv_queue_work(tp_loop_uv(server->shards[0].loop), &server->load, on_load, on_loaded);
}
