// SPDX-License-Identifier: Apache-2.0
//
// Promotions and rollbacks: what was found out becomes evidence, and evidence, history and alias
// change in one transaction. The audit log hears of it inside that transaction, so that nothing
// moves of which it does not tell.
#include "pipeline/gate_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"
#include "bundle/tp_bundle.h"
#include "registry/tp_entry.h"
#include "registry/tp_registry.h"
#include "registry/tp_telling.h"
#include "table/tp_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// One decision on its way.
typedef struct decision {
    const tp_gate_call *call;
    const tp_gate_ask *ask;
    tp_arena arena;
    tp_policy *policy;
    tp_str policy_sha256; // empty: none was ever set
    tapeout_model_ref ref;
    int64_t from_version; // 0: the alias leads nowhere
    tp_alias_kind kind;
    tp_buffer checks; // JSON
    tp_buffer evidence;
    bool passed;
    tp_telling telling;
    bool goes_back; // to where the alias pointed before, wherever that is
} decision;

static void decision_init(decision *self, const tp_gate_call *call, const tp_gate_ask *ask)
{
    *self = (decision){.call = call, .ask = ask};
    tp_arena_init(&self->arena, call->env->alloc, TP_MAX_GATE_BYTES);
    tp_buffer_init(&self->checks, call->env->alloc, TP_MAX_GATE_BYTES);
    tp_buffer_init(&self->evidence, call->env->alloc, TP_MAX_GATE_BYTES);
}

static void decision_deinit(decision *self)
{
    tp_policy_free(self->policy);
    tp_buffer_deinit(&self->evidence);
    tp_buffer_deinit(&self->checks);
    tp_arena_deinit(&self->arena);
}

static tp_store *store_of(const decision *self)
{
    return tp_registry_store(self->call->registry);
}

// -- what is known -------------------------------------------------------------------------------
// Lists that a policy names lie beside its file.
static tapeout_status settle_lists(decision *self, tp_str directory, tapeout_error *err)
{
    const tp_yaml_strings lists = self->policy->exports.screening;
    tp_str *settled = tp_arena_array(&self->arena, lists.count + 1, sizeof(*settled));
    for (size_t i = 0; settled != NULL && i < lists.count; i++) {
        char path[TP_MAX_PATH_BYTES];
        const bool is_absolute = tp_str_has_prefix(lists.items[i], TP_STR("/"));
        (void)snprintf(path, sizeof(path), "%.*s%s%.*s", is_absolute ? 0 : (int)directory.size,
                       directory.data, is_absolute ? "" : "/", TP_STR_ARGS(lists.items[i]));
        settled[i] = tp_arena_str(&self->arena, tp_str_from(path));
    }
    self->policy->exports.screening = (tp_yaml_strings){settled, lists.count};
    return tp_arena_check(&self->arena, "gate", err);
}

static tapeout_status read_policy(decision *self, tapeout_error *err)
{
    tp_policy_record record;
    const tapeout_status status = tp_policy_last(store_of(self), &self->arena, &record, err);
    if (status == TAPEOUT_E_NOT_FOUND) {
        record.text = TP_STR("gated: [prod]\n");
    } else if (status != TAPEOUT_OK) {
        return status;
    }
    self->policy_sha256 = record.sha256;
    TP_TRY(tp_policy_parse(self->call->env->alloc, record.text, "policy", &self->policy, err));
    return settle_lists(self, record.directory, err);
}

static tapeout_status read_tags(decision *self, tp_gate_facts *facts, tapeout_error *err)
{
    tp_gate_tag *tags =
        tp_arena_array(&self->arena, TP_MAX_GATE_TAGS, sizeof(*tags)); // more are not looked at
    tp_rows rows;
    size_t count = 0;
    if (tags == NULL) {
        return tp_fail_nomem(err);
    }
    tp_store_query(store_of(self), &rows,
                   "SELECT t.key, t.value FROM models m JOIN version_tags t ON t.model_id = m.id "
                   "WHERE m.name = $1 AND t.version = $2 AND t.key IN ($3, $4, $5, $6, $7, $8)",
                   TP_SQL(tp_sql_word(self->ref.name), tp_sql_int((int64_t)self->ref.version),
                          tp_sql_word(TP_TAG_LICENCE), tp_sql_word(TP_TAG_ALARM),
                          tp_sql_word(TP_TAG_CLASSIFICATION), tp_sql_word(TP_TAG_BASIS),
                          tp_sql_word(TP_TAG_DESTINATION), tp_sql_word(TP_TAG_PARTY)));
    while (tp_rows_next(&rows) && count < TP_MAX_GATE_TAGS) {
        tags[count++] = (tp_gate_tag){tp_arena_str(&self->arena, tp_rows_text(&rows, 0)),
                                      tp_arena_str(&self->arena, tp_rows_text(&rows, 1))};
    }
    TP_TRY(tp_rows_close(&rows, err));
    facts->tags = tags;
    facts->tag_count = count;
    return tp_arena_check(&self->arena, "gate", err);
}

static tapeout_status check(decision *self, tapeout_error *err)
{
    const gate_subject subject = {self->call->env, self->call->home, self->call->registry,
                                  &self->ref, self->policy};
    gate_dossier dossier;
    tapeout_status status = tp_gate_look(&subject, &dossier, err);
    if (status == TAPEOUT_OK) {
        status = read_tags(self, &dossier.facts, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_gate_check(self->call->env, self->policy, &dossier.facts, &self->checks,
                               &self->passed, err);
    }
    tp_arena_deinit(&dossier.arena);
    return status;
}

// -- what is said --------------------------------------------------------------------------------
static void append_version(tp_buffer *json, const char *key, int64_t version)
{
    tp_json_append_key(json, key);
    if (version == 0) {
        tp_buffer_append_text(json, "null");
    } else {
        tp_json_append_i64(json, version);
    }
}

// {"model", "version", "sha256", "alias", "from", "by", "reason", "policy_sha256", "checks",
// "passed"}: what there is of it.
static tapeout_status write_evidence(decision *self, tapeout_error *err)
{
    tp_buffer *json = &self->evidence;
    tp_buffer_append_char(json, '{');
    tp_json_put_str(json, "model", tp_str_from(self->ref.name));
    append_version(json, "version", (int64_t)self->ref.version);
    tp_json_put_str(json, "sha256", tp_str_from(self->ref.sha256));
    if (self->ask->alias.size > 0) {
        tp_json_put_str(json, "alias", self->ask->alias);
        append_version(json, "from", self->from_version);
        tp_json_put_str(json, "by", self->ask->who);
        tp_json_put_str(json, "reason", self->ask->reason);
    }
    if (self->kind == TP_ALIAS_PROMOTE) {
        tp_json_put_str(json, "policy_sha256", self->policy_sha256);
        tp_json_put_json(json, "checks", tp_buffer_view(&self->checks));
        tp_json_put_json(json, "passed", self->passed ? TP_STR("true") : TP_STR("false"));
    }
    tp_buffer_append_char(json, '}');
    return tp_buffer_check(json, "evidence", err);
}

static tapeout_status open_log(const tp_gate_call *call, tp_audit **ret_audit, tapeout_error *err)
{
    TP_TRY(tp_audit_open(call->env->alloc, call->home, ret_audit, err));
    if (call->is_stopped != NULL) {
        tp_audit_stop_share(*ret_audit, call->is_stopped);
    }
    return TAPEOUT_OK;
}

static tapeout_status tell_refused(const decision *self, tapeout_error *err)
{
    const tp_audit_event event = {
        .kind = "model.refused", .who = self->ask->who, .what = tp_buffer_view(&self->evidence)};
    tp_audit *own = NULL;
    if (self->call->audit != NULL) {
        return tp_audit_append(self->call->audit, &event, NULL, err);
    }
    TP_TRY(open_log(self->call, &own, err));
    const tapeout_status status = tp_audit_append(own, &event, NULL, err);
    tp_audit_close(&own);
    return status;
}

// Where the alias pointed before it was last moved to where it points, and for a version that is
// named whether it ever was promoted to the alias. What a gated alias may go back to is checked
// where it moves (tp_alias_apply).
static tapeout_status find_way_back(decision *self, int64_t wanted, int64_t *ret_version,
                                    tapeout_error *err)
{
    static const char before[] =
        "SELECT from_version FROM alias_moves WHERE model = $1 AND alias = $2 AND to_version = $3 "
        "AND from_version <> to_version AND kind <> 'rollback' ORDER BY id DESC LIMIT 1";
    static const char ever[] =
        "SELECT to_version FROM alias_moves WHERE model = $1 AND alias = $2 AND to_version = $3 "
        "AND kind = 'promote' LIMIT 1";
    tp_rows rows;
    int64_t version = 0;
    tp_store_query(store_of(self), &rows, wanted == 0 ? before : ever,
                   TP_SQL(tp_sql_word(self->ref.name), tp_sql_text(self->ask->alias),
                          tp_sql_int(wanted == 0 ? self->from_version : wanted)));
    while (tp_rows_next(&rows)) {
        version = tp_rows_int(&rows, 0);
    }
    TP_TRY(tp_rows_close(&rows, err));
    *ret_version = version;
    return version > 0 ? TAPEOUT_OK
                       : tp_fail(err, TAPEOUT_E_NOT_FOUND, "%s@%.*s has nothing to go back to",
                                 self->ref.name, TP_STR_ARGS(self->ask->alias));
}

// The alias may have gone elsewhere and come back meanwhile, and so have another way back.
static tapeout_status check_way_back(decision *self, tapeout_error *err)
{
    int64_t version = 0;
    if (!self->goes_back) {
        return TAPEOUT_OK;
    }
    TP_TRY(find_way_back(self, 0, &version, err));
    return version == (int64_t)self->ref.version
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_BUSY, "%s@%.*s was moved meanwhile; try again",
                         self->ref.name, TP_STR_ARGS(self->ask->alias));
}

// -- the move ------------------------------------------------------------------------------------
static tapeout_status move_in_transaction(tp_store *store, void *user, tapeout_error *err)
{
    decision *self = user;
    const tp_alias_move move = {.model = tp_str_from(self->ref.name),
                                .alias = self->ask->alias,
                                .kind = self->kind,
                                .to_version = (int64_t)self->ref.version,
                                .from_version = self->from_version,
                                .who = self->ask->who,
                                .evidence = tp_buffer_view(&self->evidence),
                                .policy_sha256 = self->policy_sha256,
                                .now_us = tp_clock_unix_us()};
    TP_TRY(tp_alias_apply(store, &move, NULL, err));
    TP_TRY(check_way_back(self, err));
    self->telling.what = tp_buffer_view(&self->evidence);
    return TAPEOUT_OK;
}

// Told in the transaction, and taken back where that is not committed (tp_telling.h).
static tapeout_status transact(const tp_gate_call *call, tp_str who, tp_store_body body, void *user,
                               tp_telling *telling, tapeout_error *err)
{
    tp_audit *own = NULL;
    tp_teller teller = {.audit = call->audit, .who = who};
    if (teller.audit == NULL) {
        TP_TRY(open_log(call, &own, err));
        teller.audit = own;
    }
    tp_registry_teller_set(call->registry, &teller);
    const tapeout_status status =
        tp_registry_transact(call->registry, TP_STORE_ALONE, body, user, telling, err);
    tp_registry_teller_set(call->registry, NULL);
    tp_audit_close(&own);
    return status;
}

static tapeout_status move_alias(decision *self, tapeout_error *err)
{
    self->telling.kind = self->kind == TP_ALIAS_PROMOTE ? "model.promoted" : "model.rolled_back";
    return transact(self->call, self->ask->who, move_in_transaction, self, &self->telling, err);
}

static tapeout_status find_version(decision *self, const char *wanted, tapeout_error *err)
{
    const tp_str model = self->ask->model;
    if (memchr(model.data, ':', model.size) == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID, "%.*s: say which version: %s", TP_STR_ARGS(model),
                       wanted);
    }
    TP_TRY(tp_registry_resolve(self->call->registry, model, &self->ref, err));
    return tp_alias_version(store_of(self), tp_str_from(self->ref.name), self->ask->alias,
                            &self->from_version, err);
}

// The words of the first check that did not pass.
static tapeout_status refuse(const decision *self, tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    TP_TRY(tp_json_parse_own(self->call->env->alloc, tp_buffer_view(&self->checks), &doc));
    yyjson_arr_iter at = yyjson_arr_iter_with(yyjson_doc_get_root(doc));
    yyjson_val *check = yyjson_arr_iter_next(&at);
    while (check != NULL && yyjson_get_bool(yyjson_obj_get(check, "passed"))) {
        check = yyjson_arr_iter_next(&at);
    }
    const tp_str name = tp_json_get_str(check, "name");
    const tp_str want = tp_json_get_str(check, "want");
    const tapeout_status status =
        tp_fail(err, TAPEOUT_E_GATE, "%s:%llu stays out of %.*s: %.*s wants %.*s", self->ref.name,
                (unsigned long long)self->ref.version, TP_STR_ARGS(self->ask->alias),
                TP_STR_ARGS(name), TP_STR_ARGS(want));
    yyjson_doc_free(doc);
    return status;
}

static tapeout_status check_direction(const decision *self, tapeout_error *err)
{
    if ((int64_t)self->ref.version >= self->from_version) {
        return TAPEOUT_OK;
    }
    return tp_fail(err, TAPEOUT_E_DENIED,
                   "%.*s leads to version %lld of %s: going back to %llu is a rollback (tapeout "
                   "rollback %s:%llu %.*s), which has a right and a record of its own",
                   TP_STR_ARGS(self->ask->alias), (long long)self->from_version, self->ref.name,
                   (unsigned long long)self->ref.version, self->ref.name,
                   (unsigned long long)self->ref.version, TP_STR_ARGS(self->ask->alias));
}

static tapeout_status promote(decision *self, tapeout_error *err)
{
    self->kind = TP_ALIAS_PROMOTE;
    TP_TRY(find_version(self, "tapeout promote NAME:VERSION ALIAS", err));
    TP_TRY(check_direction(self, err));
    TP_TRY(read_policy(self, err));
    if (self->ask->alias.size == 0 || tp_policy_gates(self->policy, self->ask->alias)) {
        TP_TRY(check(self, err));
    } else {
        self->passed = true; // a free alias, moved with a record like the others
        tp_buffer_append_text(&self->checks, "[]");
    }
    TP_TRY(write_evidence(self, err));
    if (self->ask->alias.size == 0) {
        return TAPEOUT_OK;
    }
    if (self->passed) {
        return move_alias(self, err);
    }
    TP_TRY(tell_refused(self, err));
    return refuse(self, err);
}

static tapeout_status finish(decision *self, tapeout_status status, tp_buffer *json,
                             tapeout_error *err)
{
    if (status == TAPEOUT_OK || (status == TAPEOUT_E_GATE && self->evidence.size > 0)) {
        tp_buffer_append_str(json, tp_buffer_view(&self->evidence));
        if (json->status != TAPEOUT_OK) {
            status = tp_buffer_check(json, "evidence", err);
        }
    }
    decision_deinit(self);
    return status;
}

tapeout_status tp_gate_promote(const tp_gate_call *call, const tp_gate_ask *ask, tp_buffer *json,
                               tapeout_error *err)
{
    decision self;
    decision_init(&self, call, ask);
    return finish(&self, promote(&self, err), json, err);
}

// -- back ----------------------------------------------------------------------------------------
static tapeout_status roll_back(decision *self, tapeout_error *err)
{
    const tp_str model = self->ask->model;
    const char *colon = memchr(model.data, ':', model.size);
    const size_t name_size = colon == NULL ? model.size : (size_t)(colon - model.data);
    uint64_t wanted = 0;
    int64_t version = 0;
    char target[TP_MAX_MODEL_NAME_BYTES + 32];
    self->kind = TP_ALIAS_ROLLBACK;
    if (name_size > TP_MAX_MODEL_NAME_BYTES ||
        (colon != NULL &&
         (!tp_str_to_uint64((tp_str){colon + 1, model.size - name_size - 1}, &wanted) ||
          wanted == 0 || wanted > INT64_MAX))) {
        return tp_fail(err, TAPEOUT_E_INVALID, "\"%.*s\" is neither NAME nor NAME:VERSION",
                       TP_STR_ARGS(model));
    }
    memcpy(self->ref.name, model.data, name_size);
    TP_TRY(tp_alias_version(store_of(self), tp_str_from(self->ref.name), self->ask->alias,
                            &self->from_version, err));
    self->goes_back = wanted == 0;
    TP_TRY(find_way_back(self, (int64_t)wanted, &version, err));
    (void)snprintf(target, sizeof(target), "%.*s:%lld", (int)name_size, model.data,
                   (long long)version);
    TP_TRY(tp_registry_resolve(self->call->registry, tp_str_from(target), &self->ref, err));
    TP_TRY(write_evidence(self, err));
    return move_alias(self, err);
}

tapeout_status tp_gate_roll_back(const tp_gate_call *call, const tp_gate_ask *ask, tp_buffer *json,
                                 tapeout_error *err)
{
    decision self;
    decision_init(&self, call, ask);
    return finish(&self, roll_back(&self, err), json, err);
}

// -- the policy itself ---------------------------------------------------------------------------
typedef struct policy_change {
    tp_policy_record record;
    tp_telling telling;
} policy_change;

static tapeout_status keep_in_transaction(tp_store *store, void *user, tapeout_error *err)
{
    policy_change *change = user;
    tp_telling_add(&change->telling, "sha256", change->record.sha256);
    return tp_policy_keep(store, &change->record, err);
}

tapeout_status tp_gate_policy_set(const tp_gate_call *call, const tp_policy_file *file, tp_str who,
                                  tapeout_error *err)
{
    tp_policy *policy = NULL;
    char hex[TP_SHA256_HEX_SIZE + 1];
    const tp_sha256 hash = tp_sha256_of(file->text.data, file->text.size);
    TP_TRY(tp_policy_parse(call->env->alloc, file->text, file->name, &policy, err));
    tp_sha256_hex(&hash, hex);
    policy_change change = {.telling.kind = "policy.changed",
                            .record = {.text = file->text,
                                       .directory = tp_str_from(file->directory),
                                       .sha256 = tp_str_from(hex),
                                       .who = who,
                                       .set_us = tp_clock_unix_us(),
                                       .gated = policy->gated.items,
                                       .gated_count = policy->gated.count}};
    const tapeout_status status =
        transact(call, who, keep_in_transaction, &change, &change.telling, err);
    tp_policy_free(policy);
    return status;
}
