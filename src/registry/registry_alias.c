// SPDX-License-Identifier: Apache-2.0
//
// Aliases: where they point, moving them, and the history of their moves, which is only ever
// appended to. A move is one transaction: it looks at where the alias points, changes that and
// tells of it, or does nothing.
#include "registry/tp_entry.h"

#include "base/tp_error.h"
#include "bundle/tp_bundle.h"
#include "table/tp_json.h"

static const char *const kind_words[] = {"set", "remove", "promote", "rollback"};

tapeout_status tp_alias_version(tp_store *store, tp_str model, tp_str alias, int64_t *ret_version,
                                tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(store, &rows,
                   "SELECT a.version FROM models m JOIN aliases a ON a.model_id = m.id "
                   "WHERE m.name = $1 AND a.alias = $2",
                   TP_SQL(tp_sql_text(model), tp_sql_text(alias)));
    int64_t version = 0;
    while (tp_rows_next(&rows)) {
        version = tp_rows_int(&rows, 0);
    }
    TP_TRY(tp_rows_close(&rows, err));
    *ret_version = version;
    return TAPEOUT_OK;
}

// A version that did not pass its gates is never pointed to.
static tapeout_status check_target(tp_store *store, const tp_alias_move *move,
                                   const tp_entry *entry, tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(store, &rows,
                   "SELECT refused FROM versions WHERE model_id = $1 AND version = $2",
                   TP_SQL(tp_sql_int(entry->model_id), tp_sql_int(entry->version)));
    bool is_refused = false;
    while (tp_rows_next(&rows)) {
        is_refused = tp_rows_int(&rows, 0) != 0;
    }
    TP_TRY(tp_rows_close(&rows, err));
    return !is_refused ? TAPEOUT_OK
                       : tp_fail(err, TAPEOUT_E_GATE,
                                 "%.*s:%lld was refused by its gates, so that no alias may point "
                                 "to it",
                                 TP_STR_ARGS(move->model), (long long)entry->version);
}

static tapeout_status check_move(const tp_alias_move *move, int64_t from, tapeout_error *err)
{
    if (move->from_version != TP_ALIAS_ANYWHERE && move->from_version != from) {
        return tp_fail(err, TAPEOUT_E_BUSY,
                       "%.*s@%.*s points to version %lld, not %lld: it was moved meanwhile; look "
                       "at it again",
                       TP_STR_ARGS(move->model), TP_STR_ARGS(move->alias), (long long)from,
                       (long long)move->from_version);
    }
    if (move->to_version == 0 && from == 0) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND, "%.*s has no alias \"%.*s\"",
                       TP_STR_ARGS(move->model), TP_STR_ARGS(move->alias));
    }
    return TAPEOUT_OK;
}

static tapeout_status write_move(tp_store *store, const tp_alias_move *move, const tp_entry *entry,
                                 int64_t from, bool is_gated, tapeout_error *err)
{
    if (move->to_version == 0) {
        TP_TRY(tp_store_run(store, "DELETE FROM aliases WHERE model_id = $1 AND alias = $2",
                            TP_SQL(tp_sql_int(entry->model_id), tp_sql_text(move->alias)), NULL,
                            err));
    } else {
        TP_TRY(tp_store_run(store,
                            "INSERT INTO aliases(model_id, alias, version) VALUES($1, $2, $3) "
                            "ON CONFLICT(model_id, alias) DO UPDATE SET version = excluded.version",
                            TP_SQL(tp_sql_int(entry->model_id), tp_sql_text(move->alias),
                                   tp_sql_int(move->to_version)),
                            NULL, err));
    }
    const tp_str evidence = move->evidence.size > 0 ? move->evidence : TP_STR("{}");
    return tp_store_run(store,
                        "INSERT INTO alias_moves(model, alias, kind, from_version, to_version, "
                        "who, moved_us, evidence, is_gated) "
                        "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                        TP_SQL(tp_sql_text(move->model), tp_sql_text(move->alias),
                               tp_sql_word(kind_words[move->kind]), tp_sql_int(from),
                               tp_sql_int(move->to_version), tp_sql_text(move->who),
                               tp_sql_int(move->now_us), tp_sql_text(evidence),
                               tp_sql_int(is_gated ? 1 : 0)),
                        NULL, err);
}

// -- the gate ------------------------------------------------------------------------------------
// What a promotion found out holds for the policy that it looked at.
static tapeout_status check_policy(tp_store *store, const tp_alias_move *move, tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(store, &rows, "SELECT sha256 FROM policies ORDER BY id DESC LIMIT 1",
                   TP_SQL_NONE);
    bool is_same = move->policy_sha256.size == 0;
    while (tp_rows_next(&rows)) {
        is_same = tp_str_equal(tp_rows_text(&rows, 0), move->policy_sha256);
    }
    TP_TRY(tp_rows_close(&rows, err));
    return is_same ? TAPEOUT_OK
                   : tp_fail(err, TAPEOUT_E_BUSY,
                             "%.*s@%.*s stays: the policy was changed meanwhile; promote again",
                             TP_STR_ARGS(move->model), TP_STR_ARGS(move->alias));
}

// An alias that is gated now may lead to where it led before it was, but not back there.
static tapeout_status check_way_back(tp_store *store, const tp_alias_move *move, tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(
        store, &rows,
        "SELECT 1 FROM alias_moves WHERE model = $1 AND alias = $2 AND to_version = $3 "
        "AND kind = 'promote' AND is_gated = 1 LIMIT 1",
        TP_SQL(tp_sql_text(move->model), tp_sql_text(move->alias), tp_sql_int(move->to_version)));
    bool has_passed = false;
    while (tp_rows_next(&rows)) {
        has_passed = true;
    }
    TP_TRY(tp_rows_close(&rows, err));
    return has_passed ? TAPEOUT_OK
                      : tp_fail(err, TAPEOUT_E_GATE,
                                "%.*s:%lld was never promoted to %.*s through the gate, so that "
                                "nothing leads back to it: promote it as a new version, or roll "
                                "back to one that was (tapeout rollback NAME:VERSION ALIAS)",
                                TP_STR_ARGS(move->model), (long long)move->to_version,
                                TP_STR_ARGS(move->alias));
}

// Nothing but a promotion and a rollback moves an alias that the policy gates.
static tapeout_status check_gate(tp_store *store, const tp_alias_move *move, bool *ret_is_gated,
                                 tapeout_error *err)
{
    TP_TRY(tp_alias_is_gated(store, move->alias, ret_is_gated, err));
    if (move->kind == TP_ALIAS_PROMOTE) {
        return check_policy(store, move, err);
    }
    if (!*ret_is_gated) {
        return TAPEOUT_OK;
    }
    return move->kind == TP_ALIAS_ROLLBACK
               ? check_way_back(store, move, err)
               : tp_fail(err, TAPEOUT_E_DENIED,
                         "the alias \"%.*s\" is gated by policy: it moves by tapeout promote and "
                         "tapeout rollback alone",
                         TP_STR_ARGS(move->alias));
}

tapeout_status tp_alias_apply(tp_store *store, const tp_alias_move *move, int64_t *ret_from,
                              tapeout_error *err)
{
    if (!tp_model_name_is_valid(move->alias) || move->to_version < 0) {
        return tp_fail(err, TAPEOUT_E_INVALID, "\"%.*s\" is no alias, which is a word such as prod",
                       TP_STR_ARGS(move->alias));
    }
    tp_entry entry;
    int64_t from = 0;
    bool is_gated = false;
    TP_TRY(check_gate(store, move, &is_gated, err));
    TP_TRY(tp_entry_find(store, move->model, move->to_version, &entry, err));
    TP_TRY(tp_alias_version(store, move->model, move->alias, &from, err));
    TP_TRY(check_move(move, from, err));
    // A version that passes where it already is has passed from now on.
    if (from != move->to_version || (is_gated && move->kind == TP_ALIAS_PROMOTE)) {
        TP_TRY(check_target(store, move, &entry, err));
        TP_TRY(write_move(store, move, &entry, from, is_gated, err));
    }
    if (ret_from != NULL) {
        *ret_from = from;
    }
    return TAPEOUT_OK;
}

// -- history -------------------------------------------------------------------------------------
static void append_move(tp_buffer *json, const tp_rows *row)
{
    tp_buffer_append_char(json, '{');
    tp_json_put_i64(json, "id", tp_rows_int(row, 0));
    tp_json_put_str(json, "alias", tp_rows_text(row, 1));
    tp_json_put_str(json, "kind", tp_rows_text(row, 2));
    tp_json_put_i64(json, "from", tp_rows_int(row, 3));
    tp_json_put_i64(json, "to", tp_rows_int(row, 4));
    tp_json_put_str(json, "who", tp_rows_text(row, 5));
    tp_json_put_i64(json, "time_us", tp_rows_int(row, 6));
    tp_json_put_json(json, "evidence", tp_rows_text(row, 7));
    tp_buffer_append_char(json, '}');
}

tapeout_status tp_alias_history(tp_store *store, tp_str model, tp_str alias, tp_buffer *json,
                                tapeout_error *err)
{
    tp_rows rows;
    tp_store_query(store, &rows,
                   "SELECT id, alias, kind, from_version, to_version, who, moved_us, evidence "
                   "FROM alias_moves WHERE model = $1 AND ($2 = '' OR alias = $2) ORDER BY id",
                   TP_SQL(tp_sql_text(model), tp_sql_text(alias)));
    tp_buffer_append_char(json, '[');
    for (bool is_first = true; tp_rows_next(&rows); is_first = false) {
        if (!is_first) {
            tp_buffer_append_char(json, ',');
        }
        append_move(json, &rows);
    }
    tp_buffer_append_char(json, ']');
    return tp_rows_close(&rows, err);
}
