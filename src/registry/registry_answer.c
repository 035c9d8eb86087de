// SPDX-License-Identifier: Apache-2.0
//
// Answers that are given again. Whoever does not know whether a request was carried out sends it
// once more with the same key: the answer of the first time comes back, and nothing is done twice.
// It is kept in the transaction that does what it tells of, so that there is one if and only if
// that was done.
#include "registry/tp_entry.h"

#include "base/limits.h"
#include "base/tp_clock.h"
#include "base/tp_error.h"

tapeout_status tp_answer_find(tp_store *store, const tp_request *request, tp_buffer *ret_answer,
                              bool *ret_is_found, tapeout_error *err)
{
    const tp_str key = request->key;
    if (key.size == 0 || key.size > TP_MAX_ANSWER_KEY_BYTES) {
        return tp_fail(err, TAPEOUT_E_INVALID, "the key of a request has 1 to %u bytes, not %zu",
                       TP_MAX_ANSWER_KEY_BYTES, key.size);
    }
    tp_rows rows;
    tp_store_query(store, &rows,
                   "SELECT request, answer FROM answers WHERE scope = $1 AND key = $2",
                   TP_SQL(tp_sql_word(request->scope), tp_sql_text(key)));
    bool is_found = false;
    bool is_same = false;
    while (tp_rows_next(&rows)) {
        is_found = true;
        is_same = tp_str_equal(tp_rows_text(&rows, 0), request->content);
        if (is_same) {
            tp_buffer_append_str(ret_answer, tp_rows_text(&rows, 1));
        }
    }
    TP_TRY(tp_rows_close(&rows, err));
    if (is_found && !is_same) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "the key \"%.*s\" was used for another request: take a new one",
                       TP_STR_ARGS(key));
    }
    *ret_is_found = is_found;
    return tp_buffer_check(ret_answer, "registry: an answer", err);
}

tapeout_status tp_answer_keep(tp_store *store, const tp_request *request, tp_str answer,
                              tapeout_error *err)
{
    return tp_store_run(store,
                        "INSERT INTO answers(scope, key, request, answer, given_us) "
                        "VALUES($1, $2, $3, $4, $5)",
                        TP_SQL(tp_sql_word(request->scope), tp_sql_text(request->key),
                               tp_sql_text(request->content), tp_sql_text(answer),
                               tp_sql_int(tp_clock_unix_us())),
                        NULL, err);
}
