// SPDX-License-Identifier: Apache-2.0
//
// A DuckDB that may do little. A spec is code that somebody sent, so its query runs in a database
// in memory with one thread (the order of rows is then the same every time), UTC, no extension
// loaded or fetched by itself, no file but those that sql.c resolved below the spec's folder,
// nothing written to disk, a fixed seed for random(), and a configuration that the query cannot
// change. What SQL itself allows beyond a SELECT is refused before it runs.
#include "table/sql_priv.h"

#include "base/tp_error.h"

#include <string.h>

static const char *const open_settings[][2] = {
    {"threads", "1"},
    {"preserve_insertion_order", "true"},
    {"autoinstall_known_extensions", "false"},
    {"autoload_known_extensions", "false"},
    {"allow_community_extensions", "false"},
    {"allow_unsigned_extensions", "false"},
    {"temp_directory", ""},
};

const char *tp_duck_type_name(duck_type type)
{
    switch (type) {
#define TYPE_NAME(name, value, word)                                                               \
    case DUCK_##name:                                                                              \
        return word;
        DUCK_TYPE_MAP(TYPE_NAME)
#undef TYPE_NAME
    }
    return "a type that tapeout does not know";
}

// -- messages ------------------------------------------------------------------------------------
static tapeout_status status_of(tp_str message)
{
    if (tp_str_contains(message, TP_STR("Out of Memory Error"))) {
        return TAPEOUT_E_NOMEM; // also where another kind of error carries it, as from sql_scan.c
    }
    static const struct {
        const char *prefix;
        tapeout_status status;
    } kinds[] = {
        {"Parser ", TAPEOUT_E_INVALID},
        {"Binder ", TAPEOUT_E_INVALID},
        {"Catalog ", TAPEOUT_E_INVALID},
        {"Syntax ", TAPEOUT_E_INVALID},
        {"Permission ", TAPEOUT_E_DENIED},
        {"Not implemented ", TAPEOUT_E_UNSUPPORTED},
        {"IO ", TAPEOUT_E_IO},
        {"INTERRUPT ", TAPEOUT_E_CANCELLED},
        {"INTERNAL ", TAPEOUT_E_INTERNAL},
        {"FATAL ", TAPEOUT_E_INTERNAL},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (tp_str_has_prefix(message, tp_str_from(kinds[i].prefix))) {
            return kinds[i].status;
        }
    }
    return TAPEOUT_E_DATA; // Conversion, Out of Range, Invalid Input and the like
}

static tp_str first_line(tp_str text)
{
    const char *end = text.size == 0 ? NULL : memchr(text.data, '\n', text.size);
    return end == NULL ? text : (tp_str){text.data, (size_t)(end - text.data)};
}

tapeout_status tp_sql_fail(const char *message, tapeout_error *err)
{
    const tp_str whole = tp_str_from(message == NULL ? "no message" : message);
    const tp_str line = first_line(whole);
    const char *hint = message == NULL ? NULL : strstr(message, "\nCandidate bindings");
    if (message != NULL && hint == NULL) {
        hint = strstr(message, "\nDid you mean");
    }
    const tp_str hint_line = hint == NULL ? (tp_str){"", 0} : first_line(tp_str_from(hint + 1));
    const char *place = message == NULL ? NULL : strstr(message, "\nLINE ");
    const size_t digits = place == NULL ? 0 : strspn(place + 6, "0123456789");
    if (digits > 0) {
        return tp_fail(err, status_of(line), "sql: line %.*s of the query: %.*s%s%.*s", (int)digits,
                       place + 6, TP_STR_ARGS(line), hint == NULL ? "" : " ",
                       TP_STR_ARGS(hint_line));
    }
    return tp_fail(err, status_of(line), "sql: %.*s%s%.*s", TP_STR_ARGS(line),
                   hint == NULL ? "" : " ", TP_STR_ARGS(hint_line));
}

// -- opening -------------------------------------------------------------------------------------
static tapeout_status open_database(sql_session *session, tapeout_error *err)
{
    const duck_api *api = &session->api;
    duck_config config = NULL;
    if (api->create_config(&config) != DUCK_SUCCESS) {
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < sizeof(open_settings) / sizeof(open_settings[0]); i++) {
        if (api->set_config(config, open_settings[i][0], open_settings[i][1]) != DUCK_SUCCESS) {
            api->destroy_config(&config);
            return tp_fail(err, TAPEOUT_E_UNAVAILABLE,
                           "duckdb: version %s does not know the setting %s; DuckDB 1.2 or later "
                           "is needed",
                           api->library_version(), open_settings[i][0]);
        }
    }
    char *why = NULL;
    const int state = api->open_ext(NULL, &session->database, config, &why);
    api->destroy_config(&config);
    if (state != DUCK_SUCCESS) {
        const tapeout_status status = tp_sql_fail(why, err);
        api->free(why);
        return status;
    }
    if (api->connect(session->database, &session->connection) != DUCK_SUCCESS) {
        return tp_fail(err, TAPEOUT_E_NOMEM, "duckdb: no connection to the database in memory");
    }
    return TAPEOUT_OK;
}

static tapeout_status settle(sql_session *session, tapeout_error *err)
{
    static const char *const statements[] = {
        "SET enable_progress_bar = true",        // what query_progress reads
        "SET enable_progress_bar_print = false", // and nothing printed
        "SELECT setseed(0.5)",                   // random() gives the same numbers every time
    };
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        TP_TRY(tp_sql_session_run(session, statements[i], err));
    }
    // A build without ICU has no zones but UTC and no such setting.
    (void)tp_sql_session_run(session, "SET TimeZone = 'UTC'", NULL);
    return TAPEOUT_OK;
}

tapeout_status tp_sql_session_open(sql_session *session, const tp_env *env,
                                   const char *library_path, tapeout_error *err)
{
    *session = (sql_session){.env = env};
    TP_TRY(tp_duckdb_load(library_path, &session->api, err));
    tapeout_status status = open_database(session, err);
    if (status == TAPEOUT_OK) {
        status = settle(session, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_sql_scan_register(session, err);
    }
    if (status != TAPEOUT_OK) {
        tp_sql_session_close(session);
    }
    return status;
}

void tp_sql_session_close(sql_session *session)
{
    if (session->connection != NULL) {
        session->api.disconnect(&session->connection);
    }
    if (session->database != NULL) {
        session->api.close(&session->database);
    }
}

tapeout_status tp_sql_session_run(sql_session *session, const char *statement, tapeout_error *err)
{
    duck_result result;
    tapeout_status status = TAPEOUT_OK;
    tp_sql_scan_enter(session);
    if (session->api.query(session->connection, statement, &result) != DUCK_SUCCESS) {
        status = tp_sql_fail(session->api.result_error(&result), err);
    }
    session->api.destroy_result(&result);
    tp_sql_scan_enter(NULL);
    return status;
}

tapeout_status tp_sql_session_confine(sql_session *session, const tp_str *allowed,
                                      size_t allowed_count, tapeout_error *err)
{
    tp_buffer text;
    tp_buffer_init(&text, session->env->alloc, (size_t)(allowed_count + 1) * 2 * TP_MAX_PATH_BYTES);
    tp_buffer_append_text(&text, "SET allowed_paths = [");
    for (size_t i = 0; i < allowed_count; i++) {
        tp_buffer_append_text(&text, i == 0 ? "" : ", ");
        tp_sql_append_quoted(&text, '\'', allowed[i]);
    }
    tp_buffer_append_text(&text, "]");
    tp_buffer_append_char(&text, '\0');
    tapeout_status status = tp_buffer_check(&text, "sql: the list of files", err);
    if (status == TAPEOUT_OK) {
        status = tp_sql_session_run(session, text.data, err);
    }
    tp_buffer_deinit(&text);
    TP_TRY(status);
    return tp_sql_session_run(session, "SET enable_external_access = false", err);
}

tapeout_status tp_sql_session_lock(sql_session *session, tapeout_error *err)
{
    return tp_sql_session_run(session, "SET lock_configuration = true", err);
}

// -- running -------------------------------------------------------------------------------------
static tapeout_status prepare_select(sql_session *session, const char *query,
                                     duck_prepared *ret_prepared, tapeout_error *err)
{
    const duck_api *api = &session->api;
    duck_extracted extracted = NULL;
    tapeout_status status = TAPEOUT_OK;
    const duck_index count = api->extract_statements(session->connection, query, &extracted);
    if (count == 0) {
        const char *why = api->extract_statements_error(extracted);
        status = why == NULL ? tp_fail(err, TAPEOUT_E_INVALID, "sql: the query is empty")
                             : tp_sql_fail(why, err);
    } else if (count > 1) {
        status = tp_fail(err, TAPEOUT_E_INVALID,
                         "sql: the query must be one SELECT; this one has %llu statements",
                         (unsigned long long)count);
    } else if (api->prepare_extracted_statement(session->connection, extracted, 0, ret_prepared) !=
               DUCK_SUCCESS) {
        status = tp_sql_fail(api->prepare_error(*ret_prepared), err);
    } else if (api->prepared_statement_type(*ret_prepared) != DUCK_STATEMENT_SELECT) {
        status = tp_fail(err, TAPEOUT_E_INVALID, "sql: the query must be one SELECT");
    } else if (api->nparams(*ret_prepared) != 0) {
        status = tp_fail(err, TAPEOUT_E_INVALID,
                         "sql: the query has a parameter ($1 or ?), and there is nothing to put "
                         "in; write the value");
    }
    api->destroy_extracted(&extracted);
    return status;
}

// One task is a few thousand rows: often enough to hear of a cancellation.
static tapeout_status run_tasks(sql_session *session, duck_pending pending, tapeout_error *err)
{
    const duck_api *api = &session->api;
    duck_pending_state state = DUCK_PENDING_NOT_READY;
    while (!api->pending_execution_is_finished(state)) {
        const tapeout_status cancelled = tp_env_check(session->env, err);
        if (cancelled != TAPEOUT_OK) {
            // DuckDB gives back all that a query holds only when it has run into its end.
            api->interrupt(session->connection);
            do {
                state = api->pending_execute_task(pending);
            } while (!api->pending_execution_is_finished(state));
            return cancelled;
        }
        state = api->pending_execute_task(pending);
        if (state == DUCK_PENDING_ERROR) {
            return tp_sql_fail(api->pending_error(pending), err);
        }
        const duck_progress progress = api->query_progress(session->connection);
        tp_env_progress(session->env, "query",
                        progress.percentage < 0 ? -1.0 : progress.percentage / 100.0);
    }
    return TAPEOUT_OK;
}

static tapeout_status make_pending(sql_session *session, duck_prepared prepared,
                                   duck_pending *ret_pending, tapeout_error *err)
{
    const duck_api *api = &session->api;
    const int state = api->pending_prepared_streaming != NULL
                          ? api->pending_prepared_streaming(prepared, ret_pending)
                          : api->pending_prepared(prepared, ret_pending);
    return state == DUCK_SUCCESS ? TAPEOUT_OK : tp_sql_fail(api->pending_error(*ret_pending), err);
}

tapeout_status tp_sql_session_select(sql_session *session, const char *query,
                                     duck_result *ret_result, tapeout_error *err)
{
    const duck_api *api = &session->api;
    duck_prepared prepared = NULL;
    duck_pending pending = NULL;
    tp_sql_scan_enter(session);
    tapeout_status status = prepare_select(session, query, &prepared, err);
    if (status == TAPEOUT_OK) {
        status = make_pending(session, prepared, &pending, err);
    }
    if (status == TAPEOUT_OK) {
        status = run_tasks(session, pending, err);
    }
    if (status == TAPEOUT_OK && api->execute_pending(pending, ret_result) != DUCK_SUCCESS) {
        status = tp_sql_fail(api->result_error(ret_result), err);
        api->destroy_result(ret_result);
    }
    if (pending != NULL) {
        api->destroy_pending(&pending);
    }
    if (prepared != NULL) {
        api->destroy_prepare(&prepared);
    }
    tp_sql_scan_enter(NULL);
    return status;
}
