// SPDX-License-Identifier: Apache-2.0
//
// What all searches share: filter and order behind a SELECT, and pages. A page's token is the
// number of rows before it, as in MLflow's own server; one row more than the page asks for tells
// whether another follows.
#include "registry/mlflow_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

static tapeout_status read_page(mlflow_sql *sql, const tp_mlflow_search *search, tapeout_error *err)
{
    sql->limit = search->max_results == 0 ? 1000 : search->max_results;
    sql->offset = 0;
    if (sql->limit < 0 || sql->limit > TP_MAX_MLFLOW_RESULTS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "max_results is %lld; it is from 1 to %u",
                       (long long)search->max_results, TP_MAX_MLFLOW_RESULTS);
    }
    if (search->page_token.size > 0 &&
        (!tp_mlflow_experiment_number(search->page_token, &sql->offset) ||
         sql->offset > TP_MAX_MLFLOW_OFFSET)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "page_token \"%.*s\" is none that was given out",
                       TP_STR_ARGS(search->page_token));
    }
    return TAPEOUT_OK;
}

const char *tp_mlflow_view_sql(tp_mlflow_view view)
{
    switch (view) {
    case TP_MLFLOW_ACTIVE:
        return "lifecycle = 'active'";
    case TP_MLFLOW_DELETED:
        return "lifecycle = 'deleted'";
    case TP_MLFLOW_ALL:
        break;
    }
    return "1 = 1";
}

tapeout_status tp_mlflow_search_add(mlflow_sql *sql, const mlflow_entity *entity,
                                    const tp_mlflow_search *search, const char *last_order,
                                    tapeout_error *err)
{
    mlflow_filter filter;
    TP_TRY(read_page(sql, search, err));
    TP_TRY(tp_mlflow_filter_parse(&sql->arena, entity, search->filter, &filter, err));
    tp_mlflow_sql_filter(sql, &filter);
    tp_mlflow_sql_add(sql, " ORDER BY ");
    if (search->order.count > TP_MAX_MLFLOW_ORDER) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "an order of %u keys, at most %u", search->order.count,
                       TP_MAX_MLFLOW_ORDER);
    }
    for (uint32_t i = 0; i < search->order.count; i++) {
        mlflow_order order;
        TP_TRY(tp_mlflow_order_parse(&sql->arena, entity, search->order.items[i], &order, err));
        tp_mlflow_sql_order(sql, entity, &order);
    }
    tp_mlflow_sql_add(sql, last_order);
    tp_mlflow_sql_add(sql, " LIMIT ");
    tp_mlflow_sql_integer(sql, sql->limit + 1);
    tp_mlflow_sql_add(sql, " OFFSET ");
    tp_mlflow_sql_integer(sql, sql->offset);
    tp_buffer_append_char(&sql->text, '\0');
    return tp_mlflow_sql_check(sql, err);
}

tapeout_status tp_mlflow_search_run(tp_mlflow *mlflow, const mlflow_sql *sql, const char *list,
                                    mlflow_write_row *write, tp_buffer *json, tapeout_error *err)
{
    tp_rows rows;
    TP_TRY(tp_mlflow_query(mlflow, sql->text.data, (tp_sql_values){sql->values, sql->count}, &rows,
                           err));
    tp_json_append_key(json, list);
    tp_buffer_append_char(json, '[');
    bool has_row = false;
    int64_t count = 0;
    tapeout_status status = tp_mlflow_next(&rows, &has_row, err);
    for (; status == TAPEOUT_OK && has_row && count < sql->limit; count++) {
        tp_buffer_append_text(json, count > 0 ? "," : "");
        status = write(mlflow, &rows, json, err);
        if (status == TAPEOUT_OK) {
            status = tp_mlflow_next(&rows, &has_row, err);
        }
    }
    tp_mlflow_end(&rows);
    tp_buffer_append_char(json, ']');
    if (status == TAPEOUT_OK && has_row) {
        tp_buffer_printf(json, ",\"next_page_token\":\"%lld\"", (long long)(sql->offset + count));
    }
    return status;
}
