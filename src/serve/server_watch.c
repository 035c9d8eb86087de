// SPDX-License-Identifier: Apache-2.0
//
// A server that was told to serve "name@alias" follows the alias: five times a second it looks, on
// a worker's thread, where its aliases lead, and loads anew once one leads elsewhere. What is
// served changes as after SIGHUP: requests under way are answered by the version that they found.
#include "serve/server_priv.h"

#include "registry/tp_registry.h"

#include <string.h>

enum { WATCH_MS = 200 };

bool tp_server_is_alias(const tp_model_spec *spec)
{
    return strchr(spec->path, '/') == NULL && strchr(spec->path, '@') != NULL;
}

static bool has_alias(const struct tapeout_server *server)
{
    for (size_t i = 0; i < server->config->model_count; i++) {
        if (tp_server_is_alias(&server->config->models[i])) {
            return true;
        }
    }
    return false;
}

uint64_t tp_server_lead_on(uint64_t leads, uint64_t version)
{
    return (leads + 1) * 0x9E3779B97F4A7C15u + version;
}

// An alias that can't be looked up counts as where it led before.
static void on_look(uv_work_t *work)
{
    struct tapeout_server *server = work->data;
    uint64_t leads = 0;
    for (size_t i = 0; i < server->config->model_count; i++) {
        uint64_t version = 0;
        if (!tp_server_is_alias(&server->config->models[i])) {
            continue;
        }
        // The bytes are the load's affair, which says what is wrong with them.
        if (tp_registry_leads_to(server->context, server->config->models[i].path, &version, NULL) !=
            TAPEOUT_OK) {
            return;
        }
        leads = tp_server_lead_on(leads, version);
    }
    server->watch_found = leads;
}

static void on_looked(uv_work_t *work, int status)
{
    (void)status; // never cancelled
    struct tapeout_server *server = work->data;
    server->is_watching = false;
    if (server->watch_found != server->watch_leads && !server->is_draining) {
        // Also where that load will fail: it is tried once, and again when the alias moves again.
        server->watch_leads = server->watch_found;
        tp_server_load_start(server);
    }
}

static void on_watch(uv_timer_t *timer)
{
    struct tapeout_server *server = timer->data;
    // While it loads, the list of models may change; the next look is soon enough.
    if (server->is_watching || server->is_loading || server->is_draining) {
        return;
    }
    server->watch.data = server;
    server->is_watching = true;
    (void)uv_queue_work(timer->loop, &server->watch, on_look, on_looked);
}

void tp_server_watch_start(struct tapeout_server *server)
{
    if (!has_alias(server)) {
        return;
    }
    server->watch_found = server->watch_leads;
    uv_loop_t *uv = tp_loop_uv(server->shards[0].loop);
    // Neither fails with a loop and a callback.
    (void)uv_timer_init(uv, &server->watch_timer);
    server->watch_timer.data = server;
    (void)uv_timer_start(&server->watch_timer, on_watch, WATCH_MS, WATCH_MS);
    uv_unref((uv_handle_t *)&server->watch_timer);
}
