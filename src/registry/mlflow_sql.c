// SPDX-License-Identifier: Apache-2.0
//
// Filters and orders as SQL, in what SQLite and PostgreSQL have in common. A metric, param, tag or
// data set is asked for by EXISTS, so that no join multiplies rows. LIKE tells cases apart in both
// (the SQLite driver sees to that), with '!' as its escape, which the pattern's own are doubled
// for.
#include "registry/mlflow_sql.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "registry/mlflow_priv.h"

void tp_mlflow_sql_init(mlflow_sql *sql, const tapeout_allocator *alloc)
{
    sql->count = 0;
    tp_buffer_init(&sql->text, alloc, TP_MAX_MLFLOW_SQL_BYTES);
    tp_arena_init(&sql->arena, alloc, TP_MAX_MLFLOW_PARSE_BYTES);
}

void tp_mlflow_sql_deinit(mlflow_sql *sql)
{
    tp_buffer_deinit(&sql->text);
    tp_arena_deinit(&sql->arena);
}

void tp_mlflow_sql_add(mlflow_sql *sql, const char *piece)
{
    tp_buffer_append_text(&sql->text, piece);
}

static void add_value(mlflow_sql *sql, tp_sql_value value)
{
    if (sql->count == TP_MAX_MLFLOW_VALUES) {
        sql->text.status = TAPEOUT_E_LIMIT;
        return;
    }
    sql->values[sql->count++] = value;
    tp_buffer_printf(&sql->text, "$%u", sql->count);
}

void tp_mlflow_sql_text(mlflow_sql *sql, tp_str value)
{
    add_value(sql, tp_sql_text(value));
}

void tp_mlflow_sql_integer(mlflow_sql *sql, int64_t value)
{
    add_value(sql, tp_sql_int(value));
}

void tp_mlflow_sql_real(mlflow_sql *sql, double value)
{
    add_value(sql, tp_sql_double(value));
}

tapeout_status tp_mlflow_sql_check(const mlflow_sql *sql, tapeout_error *err)
{
    return tp_buffer_check(&sql->text, "the search", err);
}

void tp_mlflow_sql_experiments(mlflow_sql *sql, const char *column, const tp_mlflow_texts *ids)
{
    if (ids->count == 0) {
        return;
    }
    tp_mlflow_sql_add(sql, " AND ");
    tp_mlflow_sql_add(sql, column);
    tp_mlflow_sql_add(sql, " IN (-1"); // no experiment's
    for (uint32_t i = 0; i < ids->count; i++) {
        int64_t number = 0;
        if (tp_mlflow_experiment_number(ids->items[i], &number)) {
            tp_mlflow_sql_add(sql, ", ");
            tp_mlflow_sql_integer(sql, number);
        }
    }
    tp_mlflow_sql_add(sql, ")");
}

// -- filters -------------------------------------------------------------------------------------
static void add_list(mlflow_sql *sql, const mlflow_clause *clause)
{
    for (uint32_t i = 0; i < clause->text_count; i++) {
        tp_mlflow_sql_add(sql, i == 0 ? " (" : ", ");
        tp_mlflow_sql_text(sql, clause->texts[i]);
    }
    tp_mlflow_sql_add(sql, ")");
}

// The column against the clause's value.
static void add_comparison(mlflow_sql *sql, const char *column, const mlflow_clause *clause)
{
    static const char *const signs[] = {" = ", " <> ", " < ", " <= ", " > ", " >= "};
    const mlflow_name *name = &clause->name;
    const bool is_metric = name->class == MLFLOW_METRIC;
    const bool folds = clause->op == MLFLOW_ILIKE;
    tp_mlflow_sql_add(sql, folds ? "lower(" : "");
    tp_mlflow_sql_add(sql, column);
    tp_mlflow_sql_add(sql, folds ? ")" : "");
    switch (clause->op) {
    case MLFLOW_EQ:
    case MLFLOW_NE:
    case MLFLOW_LT:
    case MLFLOW_LE:
    case MLFLOW_GT:
    case MLFLOW_GE:
        tp_mlflow_sql_add(sql, signs[clause->op]);
        if (is_metric) {
            tp_mlflow_sql_real(sql, clause->number);
        } else if (name->attribute != NULL && name->attribute->kind == MLFLOW_INTEGER) {
            tp_mlflow_sql_integer(sql, clause->integer);
        } else {
            tp_mlflow_sql_text(sql, clause->texts[0]);
        }
        break;
    case MLFLOW_LIKE:
    case MLFLOW_ILIKE:
        tp_mlflow_sql_add(sql, folds ? " LIKE lower(replace(" : " LIKE replace(");
        tp_mlflow_sql_text(sql, clause->texts[0]);
        tp_mlflow_sql_add(sql, folds ? ", '!', '!!')) ESCAPE '!'" : ", '!', '!!') ESCAPE '!'");
        break;
    case MLFLOW_IN:
    case MLFLOW_NOT_IN:
        tp_mlflow_sql_add(sql, clause->op == MLFLOW_IN ? " IN" : " NOT IN");
        add_list(sql, clause);
        break;
    case MLFLOW_IS_NULL:
    case MLFLOW_IS_NOT_NULL:
        break; // of whole rows, in add_related
    }
}

// The rows of a class under the clause's key.
static void add_rows(mlflow_sql *sql, const mlflow_entity *entity, const mlflow_name *name)
{
    tp_mlflow_sql_add(sql, entity->related[name->class]);
    if (name->class != MLFLOW_DATASET) {
        tp_mlflow_sql_add(sql, " AND x.key = ");
        tp_mlflow_sql_text(sql, name->key);
    }
    if (name->class == MLFLOW_METRIC) {
        tp_mlflow_sql_add(sql, " AND x.is_nan = 0");
    }
}

static void add_related(mlflow_sql *sql, const mlflow_entity *entity, const mlflow_clause *clause)
{
    const mlflow_name *name = &clause->name;
    const bool absent_counts =
        clause->op == MLFLOW_NE && name->class == MLFLOW_TAG && entity->absent_tag_differs;
    mlflow_clause equal = *clause;
    if (clause->op == MLFLOW_IS_NULL || absent_counts) {
        tp_mlflow_sql_add(sql, "NOT ");
        equal.op = MLFLOW_EQ;
    }
    tp_mlflow_sql_add(sql, "EXISTS (SELECT 1 ");
    add_rows(sql, entity, name);
    if (clause->op != MLFLOW_IS_NULL && clause->op != MLFLOW_IS_NOT_NULL) {
        tp_mlflow_sql_add(sql, " AND ");
        add_comparison(sql, name->attribute != NULL ? name->attribute->column : "x.value", &equal);
    }
    tp_mlflow_sql_add(sql, ")");
}

void tp_mlflow_sql_filter(mlflow_sql *sql, const mlflow_filter *filter)
{
    for (uint32_t i = 0; i < filter->count; i++) {
        const mlflow_clause *clause = &filter->clauses[i];
        tp_mlflow_sql_add(sql, " AND (");
        if (clause->name.class == MLFLOW_ATTRIBUTE) {
            add_comparison(sql, clause->name.attribute->column, clause);
        } else {
            add_related(sql, filter->entity, clause);
        }
        tp_mlflow_sql_add(sql, ")");
    }
}

// -- orders --------------------------------------------------------------------------------------
static void add_key(mlflow_sql *sql, const mlflow_entity *entity, const mlflow_name *name)
{
    if (name->class == MLFLOW_ATTRIBUTE) {
        tp_mlflow_sql_add(sql, name->attribute->column);
        return;
    }
    // Of several data sets the first by name; of the others there is one.
    tp_mlflow_sql_add(sql, "(SELECT min(");
    tp_mlflow_sql_add(sql, name->attribute != NULL ? name->attribute->column : "x.value");
    tp_mlflow_sql_add(sql, ") ");
    add_rows(sql, entity, name);
    tp_mlflow_sql_add(sql, ")");
}

void tp_mlflow_sql_order(mlflow_sql *sql, const mlflow_entity *entity, const mlflow_order *order)
{
    tp_mlflow_sql_add(sql, "(");
    add_key(sql, entity, &order->name);
    tp_mlflow_sql_add(sql, ") IS NULL, ");
    add_key(sql, entity, &order->name);
    tp_mlflow_sql_add(sql, order->is_descending ? " DESC, " : " ASC, ");
}
