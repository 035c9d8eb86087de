// SPDX-License-Identifier: Apache-2.0
//
// The list of all as JSON: models, versions and what people say about them, each in the order of
// its key. Five queries that go forward together, of one moment.
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "registry/registry_priv.h"
#include "table/tp_json.h"

#include <stdio.h>
#include <time.h>

typedef struct listing {
    tp_registry *registry;
    tp_buffer *json;
    tp_rows models;
    tp_rows versions;
    tp_rows aliases; // model_id, version, alias
    tp_rows tags;    // model_id, version, key, value; version 0: of the model itself
    tp_rows origins; // model_id, version, kind, ref
    bool has_model;
    bool has_version;
    bool has_alias;
    bool has_tag;
    bool has_origin;
} listing;

static void append_time(tp_buffer *json, const char *key, int64_t us)
{
    char text[40] = "";
    const time_t seconds = (time_t)(us / 1000000);
    struct tm parts;
    if (gmtime_r(&seconds, &parts) != NULL) {
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
    }
    tp_json_put_str(json, key, tp_str_from(text));
}

static void append_aliases(listing *it, int64_t model, int64_t version)
{
    tp_json_append_key(it->json, "aliases");
    tp_buffer_append_char(it->json, '[');
    for (bool is_first = true; it->has_alias && tp_rows_int(&it->aliases, 0) == model &&
                               tp_rows_int(&it->aliases, 1) == version;
         is_first = false) {
        if (!is_first) {
            tp_buffer_append_char(it->json, ',');
        }
        tp_json_append_str(it->json, tp_rows_text(&it->aliases, 2));
        it->has_alias = tp_rows_next(&it->aliases);
    }
    tp_buffer_append_char(it->json, ']');
}

static void append_tags(listing *it, int64_t model, int64_t version)
{
    tp_json_append_key(it->json, "tags");
    tp_buffer_append_char(it->json, '{');
    while (it->has_tag && tp_rows_int(&it->tags, 0) == model &&
           tp_rows_int(&it->tags, 1) == version) {
        tp_json_append_key_str(it->json, tp_rows_text(&it->tags, 2));
        tp_json_append_str(it->json, tp_rows_text(&it->tags, 3));
        it->has_tag = tp_rows_next(&it->tags);
    }
    tp_buffer_append_char(it->json, '}');
}

// {"data": ["…"], …}: of one kind after the other.
static void append_origins(listing *it, int64_t model, int64_t version)
{
    char kind[32] = "";
    tp_json_append_key(it->json, "origins");
    tp_buffer_append_char(it->json, '{');
    while (it->has_origin && tp_rows_int(&it->origins, 0) == model &&
           tp_rows_int(&it->origins, 1) == version) {
        const tp_str now = tp_rows_text(&it->origins, 2);
        if (tp_str_equal(now, tp_str_from(kind))) {
            tp_buffer_append_char(it->json, ',');
        } else {
            tp_buffer_append_text(it->json, kind[0] == '\0' ? "" : "]");
            tp_json_append_key_str(it->json, now);
            tp_buffer_append_char(it->json, '[');
            (void)snprintf(kind, sizeof(kind), "%.*s", TP_STR_ARGS(now));
        }
        tp_json_append_str(it->json, tp_rows_text(&it->origins, 3));
        it->has_origin = tp_rows_next(&it->origins);
    }
    tp_buffer_append_text(it->json, kind[0] == '\0' ? "}" : "]}");
}

static void append_path(listing *it, tp_str hex)
{
    char path[TP_MAX_PATH_BYTES] = "";
    if (hex.size > 0) {
        (void)tp_blob_path(it->registry->home, hex, path, NULL); // empty where it is too long
    }
    tp_json_put_str(it->json, "path", tp_str_from(path));
}

static void append_version(listing *it, int64_t model)
{
    tp_buffer *json = it->json;
    const tp_rows *row = &it->versions;
    const int64_t version = tp_rows_int(row, 1);
    tp_buffer_append_char(json, '{');
    tp_json_put_i64(json, "version", version);
    tp_json_put_str(json, "sha256", tp_rows_text(row, 2));
    tp_json_put_i64(json, "size", tp_rows_int(row, 3));
    append_path(it, tp_rows_text(row, 2));
    append_time(json, "created", tp_rows_int(row, 4));
    tp_json_put_json(json, "refused", tp_rows_int(row, 5) != 0 ? TP_STR("true") : TP_STR("false"));
    tp_json_put_str(json, "reason", tp_rows_text(row, 6));
    append_aliases(it, model, version);
    tp_json_put_str(json, "stage", tp_rows_text(row, 10));
    tp_json_put_str(json, "owner", tp_rows_text(row, 11));
    tp_json_put_str(json, "description", tp_rows_text(row, 12));
    append_tags(it, model, version);
    append_origins(it, model, version);
    tp_json_put_json(json, "gates", tp_rows_text(row, 7));
    tp_json_put_json(json, "timings", tp_rows_text(row, 8));
    tp_json_put_json(json, "facts", tp_rows_text(row, 9));
    tp_buffer_append_char(json, '}');
}

static void append_model(listing *it)
{
    tp_buffer *json = it->json;
    const int64_t model = tp_rows_int(&it->models, 0);
    tp_buffer_append_char(json, '{');
    tp_json_put_str(json, "name", tp_rows_text(&it->models, 1));
    append_time(json, "created", tp_rows_int(&it->models, 2));
    tp_json_put_str(json, "owner", tp_rows_text(&it->models, 3));
    tp_json_put_str(json, "description", tp_rows_text(&it->models, 4));
    append_tags(it, model, 0);
    tp_json_append_key(json, "versions");
    tp_buffer_append_char(json, '[');
    for (bool is_first = true; it->has_version && tp_rows_int(&it->versions, 0) == model;
         is_first = false) {
        if (!is_first) {
            tp_buffer_append_char(json, ',');
        }
        append_version(it, model);
        it->has_version = tp_rows_next(&it->versions);
    }
    tp_buffer_append_text(json, "]}");
}

static void query_all(listing *it)
{
    tp_store *store = it->registry->store;
    tp_store_query(store, &it->models,
                   "SELECT id, name, created_us, owner, description FROM models m "
                   "WHERE is_kept = 1 OR EXISTS (SELECT 1 FROM versions WHERE model_id = m.id) "
                   "ORDER BY name",
                   TP_SQL_NONE);
    tp_store_query(store, &it->versions,
                   "SELECT v.model_id, v.version, v.sha256, v.size, v.created_us, v.refused, "
                   "v.reason, v.gates, v.timings, v.facts, v.stage, v.owner, v.description "
                   "FROM models m JOIN versions v ON v.model_id = m.id ORDER BY m.name, v.version",
                   TP_SQL_NONE);
    tp_store_query(store, &it->aliases,
                   "SELECT a.model_id, a.version, a.alias FROM models m "
                   "JOIN aliases a ON a.model_id = m.id ORDER BY m.name, a.version, a.alias",
                   TP_SQL_NONE);
    tp_store_query(store, &it->tags,
                   "SELECT t.model_id, t.version, t.key, t.value FROM models m JOIN ("
                   "SELECT model_id, 0 AS version, key, value FROM model_tags UNION ALL "
                   "SELECT model_id, version, key, value FROM version_tags) t "
                   "ON t.model_id = m.id ORDER BY m.name, t.version, t.key",
                   TP_SQL_NONE);
    tp_store_query(store, &it->origins,
                   "SELECT o.model_id, o.version, o.kind, o.ref FROM models m "
                   "JOIN version_origins o ON o.model_id = m.id "
                   "ORDER BY m.name, o.version, o.kind, o.ref",
                   TP_SQL_NONE);
    it->has_model = tp_rows_next(&it->models);
    it->has_version = tp_rows_next(&it->versions);
    it->has_alias = tp_rows_next(&it->aliases);
    it->has_tag = tp_rows_next(&it->tags);
    it->has_origin = tp_rows_next(&it->origins);
}

static tapeout_status close_all(listing *it, tapeout_error *err)
{
    tp_rows *const all[] = {&it->models, &it->versions, &it->aliases, &it->tags, &it->origins};
    tapeout_status status = TAPEOUT_OK;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const tapeout_status closed = tp_rows_close(all[i], status == TAPEOUT_OK ? err : NULL);
        status = status == TAPEOUT_OK ? closed : status;
    }
    return status;
}

// A model that is not listed has no versions, aliases or tags either, so that the five keep step.
static tapeout_status list_snapshot(tp_store *store, void *user, tapeout_error *err)
{
    (void)store; // the registry's own
    listing *it = user;
    query_all(it);
    tp_buffer_append_text(it->json, "{\"models\":[");
    for (bool is_first = true; it->has_model; is_first = false) {
        if (!is_first) {
            tp_buffer_append_char(it->json, ',');
        }
        append_model(it);
        it->has_model = tp_rows_next(&it->models);
    }
    tp_buffer_append_text(it->json, "]}");
    return close_all(it, err);
}

tapeout_status tp_registry_list(tp_registry *registry, tp_buffer *json, tapeout_error *err)
{
    listing it = {.registry = registry, .json = json};
    return tp_store_transact(registry->store, TP_STORE_SNAPSHOT, list_snapshot, &it, err);
}
