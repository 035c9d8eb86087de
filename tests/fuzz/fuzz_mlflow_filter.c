// SPDX-License-Identifier: Apache-2.0
//
// MLflow's filters and orders: the first byte chooses what is searched. Whatever is accepted
// becomes SQL of our own pieces alone: no quote, semicolon or comment but those that we write, and
// as many parameters as values.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "registry/mlflow_entity.h"
#include "registry/mlflow_sql.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_sql(const mlflow_sql *sql)
{
    const char *text = sql->text.data;
    uint32_t parameters = 0;
    for (size_t i = 0; i < sql->text.size; i++) {
        const unsigned char c = (unsigned char)text[i];
        parameters += c == '$';
        check(c >= 0x20 && c < 0x7f && c != ';' && c != '"' && c != '`' && c != '\\');
        // Quotes stand around one or two '!' and nowhere else.
        check(c != '\'' || (i > 0 && text[i - 1] == '!') ||
              (i + 1 < sql->text.size && text[i + 1] == '!'));
        check(c != '-' || i + 1 == sql->text.size || text[i + 1] != '-');
    }
    check(parameters == sql->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const mlflow_entity *const entities[] = {&tp_mlflow_runs, &tp_mlflow_experiments,
                                                    &tp_mlflow_logged_models};
    if (size == 0) {
        return 0;
    }
    const mlflow_entity *entity = entities[data[0] % 3];
    const tp_str text = {(const char *)data + 1, size - 1};
    tp_arena arena;
    mlflow_sql sql;
    mlflow_filter filter;
    mlflow_order order;
    tapeout_error err = {0};
    tp_arena_init(&arena, tp_allocator_default(), TP_MAX_MLFLOW_PARSE_BYTES);
    tp_mlflow_sql_init(&sql, tp_allocator_default());
    if (tp_mlflow_filter_parse(&arena, entity, text, &filter, &err) == TAPEOUT_OK) {
        tp_mlflow_sql_filter(&sql, &filter);
        check(tp_mlflow_sql_check(&sql, NULL) == TAPEOUT_OK);
        check_sql(&sql);
    } else {
        check((err.status == TAPEOUT_E_INVALID || err.status == TAPEOUT_E_LIMIT) &&
              err.message[0] != '\0');
    }
    if (tp_mlflow_order_parse(&arena, entity, text, &order, &err) == TAPEOUT_OK) {
        tp_mlflow_sql_order(&sql, entity, &order);
        check(tp_mlflow_sql_check(&sql, NULL) == TAPEOUT_OK);
        check_sql(&sql);
    }
    tp_mlflow_sql_deinit(&sql);
    tp_arena_deinit(&arena);
    return 0;
}
