// SPDX-License-Identifier: Apache-2.0
//
// Registering and removing. Both hold the writers' lock over all that they do: registering copies
// the blob under it, so that the row follows the bytes and no other process takes them away between
// the two; removing commits the row's end first and looks at the blob in a second transaction, so
// that a crash between leaves at worst a blob that nobody names.
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "registry/registry_priv.h"
#include "registry/tp_entry.h"
#include "table/tp_json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

// -- registering ---------------------------------------------------------------------------------
static tapeout_status check_text(const char *text, const char *what, tapeout_error *err)
{
    if (text != NULL &&
        (strlen(text) > TP_MAX_REGISTRY_FACT_BYTES || !tp_utf8_check(tp_str_from(text), NULL))) {
        return tp_fail(err, TAPEOUT_E_INVALID, "registry: %s must be UTF-8 of at most %u bytes",
                       what, TP_MAX_REGISTRY_FACT_BYTES);
    }
    return TAPEOUT_OK;
}

static tapeout_status check_json(tp_registry *registry, const char *json, const char *what,
                                 tapeout_error *err)
{
    TP_TRY(check_text(json, what, err));
    if (json == NULL) {
        return TAPEOUT_OK;
    }
    yyjson_doc *doc = NULL;
    tapeout_error why = {0};
    const tapeout_status status =
        tp_json_parse(registry->alloc, tp_str_from(json), what, &doc, &why);
    if (status != TAPEOUT_OK) {
        return status == TAPEOUT_E_NOMEM ? tp_fail_nomem(err)
                                         : tp_fail(err, TAPEOUT_E_INVALID,
                                                   "registry: %s: not JSON: %s", what, why.message);
    }
    yyjson_doc_free(doc);
    return TAPEOUT_OK;
}

static tapeout_status check_registration(tp_registry *registry, const tapeout_registration *what,
                                         tapeout_error *err)
{
    if (what->name == NULL || what->bundle == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID, "registry: a registration needs name and bundle");
    }
    if (!tp_model_name_is_valid(tp_str_from(what->name))) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "registry: \"%s\" is no name of a model: a letter or digit, then letters, "
                       "digits, '.', '_' and '-', at most %u in all",
                       what->name, TP_MAX_MODEL_NAME_BYTES);
    }
    TP_TRY(check_text(what->reason, "reason", err));
    TP_TRY(check_text(what->owner, "owner", err));
    TP_TRY(check_text(what->description, "description", err));
    TP_TRY(check_json(registry, what->gates, "gates", err));
    TP_TRY(check_json(registry, what->timings, "timings", err));
    return check_json(registry, what->facts, "facts", err);
}

enum { ANSWER_KEY_BYTES = 40, REQUEST_BYTES = TAPEOUT_MODEL_NAME_SIZE + TAPEOUT_SHA256_TEXT_SIZE };

typedef struct registering {
    tp_registry *registry;
    const tapeout_registration *what;
    tp_str data;
    tp_sha256 hash;
    tapeout_model_ref *ref;
    tp_telling telling;
    char version[24];  // as the log has it
    tp_buffer origins; // lineage.json of the bundle; empty: none
    tp_str key;        // empty: none
    char own_key[ANSWER_KEY_BYTES];
    char request[REQUEST_BYTES + 8]; // what the key stands for
} registering;

static tp_str text_of(const char *text)
{
    return text == NULL ? (tp_str){"", 0} : tp_str_from(text);
}

// The hashes that the bundle's lineage names, as what the version comes from.
static tapeout_status add_lineage(const registering *job, tp_store *store, const tp_entry *version,
                                  tapeout_error *err)
{
    static const char *const kinds[][2] = {{"data_sha256", "data"},
                                           {"spec_sha256", "spec"},
                                           {"code_sha256", "code"},
                                           {"source_sha256", "source"}};
    if (job->origins.size == 0) {
        return TAPEOUT_OK;
    }
    yyjson_doc *doc = NULL;
    TP_TRY(tp_json_parse(job->registry->alloc, tp_buffer_view(&job->origins), "lineage.json", &doc,
                         err));
    tapeout_status status = TAPEOUT_OK;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && status == TAPEOUT_OK; i++) {
        const tp_str ref = tp_json_get_str(yyjson_doc_get_root(doc), kinds[i][0]);
        if (ref.size > 0) {
            status = tp_origin_add(store, version, kinds[i][1], ref, err);
        }
    }
    yyjson_doc_free(doc);
    return status;
}

static tp_request request_of(const registering *job)
{
    return (tp_request){.scope = "register", .key = job->key, .content = tp_str_from(job->request)};
}

static tapeout_status insert_version(registering *job, tp_store *store, tapeout_error *err)
{
    const tapeout_registration *what = job->what;
    const tp_version_facts facts = {.model = tp_str_from(what->name),
                                    .sha256 = tp_str_from(job->ref->sha256),
                                    .size_bytes = (int64_t)job->data.size,
                                    .now_us = tp_clock_unix_us(),
                                    .is_refused = what->is_refused,
                                    .reason = text_of(what->reason),
                                    .gates = text_of(what->gates),
                                    .timings = text_of(what->timings),
                                    .facts = text_of(what->facts),
                                    .owner = text_of(what->owner),
                                    .description = text_of(what->description),
                                    .run_id = text_of(what->run_id)};
    tp_entry entry = {0};
    TP_TRY(tp_version_create(store, &facts, &entry, err));
    TP_TRY(add_lineage(job, store, &entry, err));
    job->ref->version = (uint64_t)entry.version;
    (void)snprintf(job->version, sizeof(job->version), "%lld", (long long)entry.version);
    tp_telling_add(&job->telling, "model", tp_str_from(what->name));
    tp_telling_add(&job->telling, "version", tp_str_from(job->version));
    tp_telling_add(&job->telling, "bundle", tp_str_from(job->ref->sha256));
    tp_telling_add(&job->telling, "refused", what->is_refused ? TP_STR("yes") : TP_STR("no"));
    const tp_request request = request_of(job);
    return job->key.size == 0 ? TAPEOUT_OK
                              : tp_answer_keep(store, &request, tp_str_from(job->version), err);
}

// Whether the same request was carried out before; then its version is the answer.
static tapeout_status find_answer(const registering *job, tp_store *store, bool *ret_is_found,
                                  tapeout_error *err)
{
    *ret_is_found = false;
    if (job->key.size == 0) {
        return TAPEOUT_OK;
    }
    tp_buffer answer;
    tp_buffer_init(&answer, job->registry->alloc, TP_MAX_REGISTRY_FACT_BYTES);
    const tp_request request = request_of(job);
    tapeout_status status = tp_answer_find(store, &request, &answer, ret_is_found, err);
    if (status == TAPEOUT_OK && *ret_is_found &&
        !tp_str_to_uint64(tp_buffer_view(&answer), &job->ref->version)) {
        status = tp_fail(err, TAPEOUT_E_CORRUPT, "registry: an answer that is no version");
    }
    tp_buffer_deinit(&answer);
    return status;
}

// The blob comes before the row, and goes again when the row does not come; not where the
// connection was lost, and the lock with it.
static tapeout_status register_locked(tp_store *store, void *user, tapeout_error *err)
{
    registering *job = user;
    bool is_found = false;
    bool is_new = false;
    TP_TRY(find_answer(job, store, &is_found, err));
    if (is_found) {
        return TAPEOUT_OK;
    }
    const blob_source source = {.data = job->data, .hash = job->hash};
    tapeout_status status = tp_blob_put(job->registry, &source, &is_new, err);
    if (status == TAPEOUT_OK) {
        status = insert_version(job, store, err);
    }
    if (status != TAPEOUT_OK && status != TAPEOUT_E_UNAVAILABLE && is_new) {
        // One too many is harmless.
        (void)tp_blob_remove(job->registry, tp_str_from(job->ref->sha256), NULL);
    }
    return status;
}

// What a bundle says of itself is kept with the version. Only bytes that look like a bundle are
// asked, and then they have to be one.
static tapeout_status read_lineage(registering *job, tapeout_error *err)
{
    if (!tp_bundle_probe(job->what->bundle)) {
        return TAPEOUT_OK;
    }
    const tp_env env = {.alloc = job->registry->alloc};
    tp_bundle *bundle = NULL;
    TP_TRY(tp_bundle_open(&env, job->what->bundle, &bundle, err));
    tp_buffer_append_str(&job->origins, tp_bundle_section_find(bundle, TP_STR("lineage.json")));
    tp_bundle_close(&bundle);
    return tp_buffer_check(&job->origins, "registry: lineage.json", err);
}

// A key of our own where answers can be lost, so that we can ask again.
static tapeout_status choose_key(registering *job, tapeout_error *err)
{
    (void)snprintf(job->request, sizeof(job->request), "%s %s %d", job->what->name,
                   job->ref->sha256, job->what->is_refused ? 1 : 0);
    if (job->what->key != NULL) {
        job->key = tp_str_from(job->what->key);
    } else if (tp_store_may_lose_answers(job->registry->store)) {
        uint64_t bits[2];
        if (getrandom(bits, sizeof(bits), 0) != (ssize_t)sizeof(bits)) {
            return tp_fail_errno(err, errno, "registry: no random numbers");
        }
        (void)snprintf(job->own_key, sizeof(job->own_key), "own-%016llx%016llx",
                       (unsigned long long)bits[0], (unsigned long long)bits[1]);
        job->key = tp_str_from(job->own_key);
    }
    return TAPEOUT_OK;
}

// Whoever lost the answer asks again with the same key: what was done is not done twice.
static tapeout_status register_surely(registering *job, tapeout_error *err)
{
    tapeout_status status = tp_registry_transact(job->registry, TP_STORE_ALONE, register_locked,
                                                 job, &job->telling, err);
    for (int i = 0; i < TP_MAX_STORE_ASKS && status == TAPEOUT_E_UNKNOWN && job->key.size > 0;
         i++) {
        const tapeout_status again = tp_registry_transact(
            job->registry, TP_STORE_ALONE, register_locked, job, &job->telling, NULL);
        status = again == TAPEOUT_E_UNAVAILABLE ? status : again;
    }
    return status;
}

static tapeout_status register_data(registering *job, tapeout_error *err)
{
    const tapeout_registration *what = job->what;
    tapeout_model_ref *ref = job->ref;
    job->hash = tp_sha256_of(job->data.data, job->data.size);
    tp_sha256_hex(&job->hash, ref->sha256);
    if (what->sha256 != NULL && strcmp(what->sha256, ref->sha256) != 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "registry: %s has SHA-256 %s where %s is expected: it was changed",
                       what->bundle, ref->sha256, what->sha256);
    }
    TP_TRY(tp_blob_path(job->registry->home, tp_str_from(ref->sha256), ref->path, err));
    TP_TRY(choose_key(job, err));
    tp_buffer_init(&job->origins, job->registry->alloc, TP_MAX_REGISTRY_FACT_BYTES);
    tapeout_status status = read_lineage(job, err);
    if (status == TAPEOUT_OK) {
        const blob_source source = {.data = job->data, .hash = job->hash};
        status = tp_blob_send(job->registry, &source, err);
    }
    if (status == TAPEOUT_OK) {
        status = register_surely(job, err);
    }
    tp_buffer_deinit(&job->origins);
    return status;
}

tapeout_status tp_registry_register(tp_registry *registry, const tapeout_registration *what,
                                    tapeout_model_ref *ret_ref, tapeout_error *err)
{
    TP_TRY(check_registration(registry, what, err));
    tapeout_model_ref ref = {.is_registered = true, .is_refused = what->is_refused};
    (void)snprintf(ref.name, sizeof(ref.name), "%s", what->name);
    tp_map map;
    TP_TRY(tp_map_open(what->bundle, &map, err));
    registering job = {.registry = registry,
                       .what = what,
                       .data = {(const char *)map.data, map.size},
                       .ref = &ref,
                       .telling = {.kind = "model.registered"}};
    const tapeout_status status = register_data(&job, err);
    tp_map_close(&map);
    if (status == TAPEOUT_OK) {
        *ret_ref = ref;
    }
    return status;
}

// -- removing ------------------------------------------------------------------------------------
typedef struct removing {
    tp_registry *registry;
    tp_str model; // as it was given
    model_name name;
    tapeout_model_ref ref;
    tp_telling telling;
} removing;

static tapeout_status remove_locked(tp_store *store, void *user, tapeout_error *err)
{
    removing *job = user;
    TP_TRY(tp_registry_find(job->registry, &job->name, &job->ref, err));
    tp_telling_add(&job->telling, "model", job->model);
    return tp_version_remove(store, job->name.name, job->name.version, err);
}

tapeout_status tp_registry_remove(tp_registry *registry, tp_str model, tapeout_error *err)
{
    removing job = {.registry = registry, .model = model, .telling = {.kind = "model.removed"}};
    TP_TRY(tp_model_name_parse(model, &job.name, err));
    if (job.name.version == 0) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "\"%.*s\" is no single version: say which, as in %.*s:1", TP_STR_ARGS(model),
                       TP_STR_ARGS(job.name.name));
    }
    TP_TRY(tp_registry_transact(registry, TP_STORE_ALONE, remove_locked, &job, &job.telling, err));
    // The row is gone for good; its blob goes unless another version has it.
    return tp_registry_sweep(registry, tp_str_from(job.ref.sha256), err);
}
