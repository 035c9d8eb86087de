// SPDX-License-Identifier: Apache-2.0
//
// The policy in force, kept with all that were before it, and the aliases that it gates. What a
// policy means is the gate's affair (pipeline/tp_gate.h); here it is a text, and a list of aliases
// that nothing but the gate may move.
#include "registry/tp_entry.h"

#include "base/tp_error.h"

tapeout_status tp_policy_keep(tp_store *store, const tp_policy_record *policy, tapeout_error *err)
{
    TP_TRY(tp_store_run(store,
                        "INSERT INTO policies(text, directory, sha256, who, set_us) "
                        "VALUES($1, $2, $3, $4, $5)",
                        TP_SQL(tp_sql_text(policy->text), tp_sql_text(policy->directory),
                               tp_sql_text(policy->sha256), tp_sql_text(policy->who),
                               tp_sql_int(policy->set_us)),
                        NULL, err));
    TP_TRY(tp_store_run(store, "DELETE FROM gated_aliases", TP_SQL_NONE, NULL, err));
    for (size_t i = 0; i < policy->gated_count; i++) {
        TP_TRY(tp_store_run(store,
                            "INSERT INTO gated_aliases(alias) VALUES($1) ON CONFLICT DO NOTHING",
                            TP_SQL(tp_sql_text(policy->gated[i])), NULL, err));
    }
    return TAPEOUT_OK;
}

tapeout_status tp_policy_last(tp_store *store, tp_arena *arena, tp_policy_record *ret_policy,
                              tapeout_error *err)
{
    tp_rows rows;
    bool is_found = false;
    tp_store_query(store, &rows,
                   "SELECT text, directory, sha256, who, set_us FROM policies ORDER BY id DESC "
                   "LIMIT 1",
                   TP_SQL_NONE);
    *ret_policy = (tp_policy_record){.set_us = 0};
    while (tp_rows_next(&rows)) {
        is_found = true;
        ret_policy->text = tp_arena_str(arena, tp_rows_text(&rows, 0));
        ret_policy->directory = tp_arena_str(arena, tp_rows_text(&rows, 1));
        ret_policy->sha256 = tp_arena_str(arena, tp_rows_text(&rows, 2));
        ret_policy->who = tp_arena_str(arena, tp_rows_text(&rows, 3));
        ret_policy->set_us = tp_rows_int(&rows, 4);
    }
    TP_TRY(tp_rows_close(&rows, err));
    if (!is_found) {
        return tp_fail(err, TAPEOUT_E_NOT_FOUND,
                       "no policy was ever set: prod is gated and asks for a trusted signature; "
                       "tapeout policy set FILE sets one");
    }
    return tp_arena_check(arena, "policy", err);
}

tapeout_status tp_alias_is_gated(tp_store *store, tp_str alias, bool *ret_is_gated,
                                 tapeout_error *err)
{
    tp_rows rows;
    bool is_gated = false;
    tp_store_query(store, &rows, "SELECT 1 FROM gated_aliases WHERE alias = $1",
                   TP_SQL(tp_sql_text(alias)));
    while (tp_rows_next(&rows)) {
        is_gated = true;
    }
    TP_TRY(tp_rows_close(&rows, err));
    *ret_is_gated = is_gated;
    return TAPEOUT_OK;
}
