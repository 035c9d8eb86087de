// SPDX-License-Identifier: Apache-2.0
//
// POST /invocations: the scoring protocol of `mlflow models serve`, for the first model. JSON with
// exactly one of dataframe_split, dataframe_records, instances and inputs, or CSV with a header
// line. The content type is checked as MLflow checks it; a request without one is taken for JSON.
#include "serve/serve_handlers.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

#include <string.h>

typedef enum body_kind { BODY_JSON, BODY_CSV, BODY_OTHER } body_kind;

// "text/csv; charset=utf-8" and its like; any other parameter makes it another type.
static body_kind kind_of(tp_str content_type)
{
    const char *mark =
        content_type.size == 0 ? NULL : memchr(content_type.data, ';', content_type.size);
    tp_str type = content_type;
    if (mark != NULL) {
        type.size = (size_t)(mark - content_type.data);
        const tp_str parameter = tp_str_trim((tp_str){mark + 1, content_type.size - type.size - 1});
        if (!tp_str_equal_ignore_case(parameter, TP_STR("charset=utf-8"))) {
            return BODY_OTHER;
        }
    }
    type = tp_str_trim(type);
    if (type.size == 0 || tp_str_equal_ignore_case(type, TP_STR("application/json"))) {
        return BODY_JSON;
    }
    return tp_str_equal_ignore_case(type, TP_STR("text/csv")) ? BODY_CSV : BODY_OTHER;
}

static tapeout_status check_rows(const serve_batch *batch, size_t count, tapeout_error *err)
{
    if (count > batch->exchange->state->max_rows) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%zu rows in one request, at most %llu", count,
                       (unsigned long long)batch->exchange->state->max_rows);
    }
    return TAPEOUT_OK;
}

static tapeout_status read_records(serve_batch *batch, yyjson_val *list, tapeout_error *err)
{
    if (!yyjson_is_arr(list)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "\"dataframe_records\" must be a list of records");
    }
    TP_TRY(check_rows(batch, yyjson_arr_size(list), err));
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    for (yyjson_val *row = yyjson_arr_iter_next(&iter); row != NULL;
         row = yyjson_arr_iter_next(&iter)) {
        TP_TRY(tp_serve_batch_record(batch, row, err));
    }
    return TAPEOUT_OK;
}

// Rows by position or by name; a bare value is a row of one column.
static tapeout_status read_instances(serve_batch *batch, yyjson_val *list, tapeout_error *err)
{
    const uint32_t column_count = batch->model->schema->count;
    if (!yyjson_is_arr(list)) {
        return tp_fail(err, TAPEOUT_E_INVALID, "a list of rows was expected");
    }
    TP_TRY(check_rows(batch, yyjson_arr_size(list), err));
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    for (yyjson_val *row = yyjson_arr_iter_next(&iter); row != NULL;
         row = yyjson_arr_iter_next(&iter)) {
        if (yyjson_is_obj(row)) {
            TP_TRY(tp_serve_batch_record(batch, row, err));
        } else if (yyjson_is_arr(row) || column_count != 1) {
            TP_TRY(tp_serve_batch_list(batch, row, NULL, column_count, err));
        } else {
            TP_TRY(tp_serve_batch_value(batch, 0, row, err));
            batch->row_count++;
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status read_column(serve_batch *batch, uint32_t column, yyjson_val *list,
                                  tapeout_error *err)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    for (yyjson_val *value = yyjson_arr_iter_next(&iter); value != NULL;
         value = yyjson_arr_iter_next(&iter)) {
        // A column of shape [n, 1] is one of shape [n].
        yyjson_val *inner = yyjson_is_arr(value) && yyjson_arr_size(value) == 1
                                ? yyjson_arr_get_first(value)
                                : value;
        TP_TRY(tp_serve_batch_value(batch, column, inner, err));
    }
    return TAPEOUT_OK;
}

// {"column": [values]}, all of one length; {"column": value} is a single row.
static tapeout_status read_columns(serve_batch *batch, yyjson_val *object, tapeout_error *err)
{
    const tp_schema *schema = batch->model->schema;
    const uint64_t stamp = ++batch->kit->stamp;
    uint64_t row_count = 0;
    bool is_first = true;
    yyjson_obj_iter iter = yyjson_obj_iter_with(object);
    for (yyjson_val *key = yyjson_obj_iter_next(&iter); key != NULL;
         key = yyjson_obj_iter_next(&iter)) {
        yyjson_val *values = yyjson_obj_iter_get_val(key);
        const uint64_t count = yyjson_is_arr(values) ? yyjson_arr_size(values) : 1;
        if (!is_first && count != row_count) {
            return tp_fail(err, TAPEOUT_E_DATA, "column \"%.*s\" has %llu values, others have %llu",
                           TP_STR_ARGS(tp_json_str(key)), (unsigned long long)count,
                           (unsigned long long)row_count);
        }
        is_first = false;
        row_count = count;
        TP_TRY(check_rows(batch, (size_t)count, err));
        const int64_t column = tp_dict_find(&batch->model->columns, tp_json_str(key));
        if (column < 0) {
            tp_serve_batch_note_ignored(batch, tp_json_str(key));
            continue;
        }
        batch->kit->stamps[column] = stamp;
        TP_TRY(yyjson_is_arr(values) ? read_column(batch, (uint32_t)column, values, err)
                                     : tp_serve_batch_value(batch, (uint32_t)column, values, err));
    }
    for (uint32_t c = 0; c < schema->count; c++) {
        for (uint64_t row = 0; batch->kit->stamps[c] != stamp && row < row_count; row++) {
            TP_TRY(tp_serve_batch_value(batch, c, NULL, err));
        }
    }
    batch->row_count = row_count;
    return TAPEOUT_OK;
}

static tapeout_status map_columns(serve_batch *batch, yyjson_val *names, uint32_t *ret_columns,
                                  tapeout_error *err)
{
    const uint64_t stamp = ++batch->kit->stamp;
    yyjson_arr_iter iter = yyjson_arr_iter_with(names);
    uint32_t i = 0;
    for (yyjson_val *name = yyjson_arr_iter_next(&iter); name != NULL;
         name = yyjson_arr_iter_next(&iter), i++) {
        if (!yyjson_is_str(name)) {
            return tp_fail(err, TAPEOUT_E_DATA, "\"columns\" must be a list of names");
        }
        const int64_t column = tp_dict_find(&batch->model->columns, tp_json_str(name));
        ret_columns[i] = column < 0 ? UINT32_MAX : (uint32_t)column;
        if (column < 0) {
            tp_serve_batch_note_ignored(batch, tp_json_str(name));
        }
        if (column >= 0 && batch->kit->stamps[column] == stamp) {
            return tp_fail(err, TAPEOUT_E_DATA, "column \"%.*s\" stands twice",
                           TP_STR_ARGS(tp_json_str(name)));
        }
        if (column >= 0) {
            batch->kit->stamps[column] = stamp;
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status read_split_rows(serve_batch *batch, yyjson_val *data, const uint32_t *columns,
                                      uint32_t column_count, tapeout_error *err)
{
    TP_TRY(check_rows(batch, yyjson_arr_size(data), err));
    yyjson_arr_iter iter = yyjson_arr_iter_with(data);
    for (yyjson_val *row = yyjson_arr_iter_next(&iter); row != NULL;
         row = yyjson_arr_iter_next(&iter)) {
        TP_TRY(tp_serve_batch_list(batch, row, columns, column_count, err));
    }
    return TAPEOUT_OK;
}

static tapeout_status read_split(serve_batch *batch, yyjson_val *split, tapeout_error *err)
{
    yyjson_val *names = yyjson_obj_get(split, "columns");
    yyjson_val *index = yyjson_obj_get(split, "index");
    yyjson_val *data = yyjson_obj_get(split, "data");
    const size_t known = (size_t)(names != NULL) + (size_t)(index != NULL) + 1;
    if (!yyjson_is_arr(data) || yyjson_obj_size(split) != known) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "\"dataframe_split\" must be an object of columns, index and data only");
    }
    if (names == NULL || yyjson_is_null(names)) {
        return read_split_rows(batch, data, NULL, batch->model->schema->count, err);
    }
    const size_t count = yyjson_arr_size(names);
    if (!yyjson_is_arr(names) || count > TP_MAX_RAW_COLUMNS) {
        return tp_fail(err, TAPEOUT_E_INVALID, "\"columns\" must be a list of at most %u names",
                       TP_MAX_RAW_COLUMNS);
    }
    const tapeout_allocator *alloc = batch->exchange->state->env->alloc;
    uint32_t *columns = tp_alloc_array(alloc, count + 1, sizeof(*columns));
    if (columns == NULL) {
        return tp_fail_nomem(err);
    }
    tapeout_status status = map_columns(batch, names, columns, err);
    if (status == TAPEOUT_OK) {
        status = read_split_rows(batch, data, columns, (uint32_t)count, err);
    }
    tp_free_array(alloc, columns, count + 1, sizeof(*columns));
    return status;
}

static tapeout_status read_form(serve_batch *batch, yyjson_val *root, tapeout_error *err)
{
    yyjson_val *split = yyjson_obj_get(root, "dataframe_split");
    yyjson_val *records = yyjson_obj_get(root, "dataframe_records");
    yyjson_val *instances = yyjson_obj_get(root, "instances");
    yyjson_val *inputs = yyjson_obj_get(root, "inputs");
    const int forms = (split != NULL) + (records != NULL) + (instances != NULL) + (inputs != NULL);
    if (!yyjson_is_obj(root) || forms != 1) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "the body must be an object with exactly one of dataframe_split, "
                       "dataframe_records, instances and inputs; it has %d",
                       forms);
    }
    if (split != NULL) {
        return read_split(batch, split, err);
    }
    if (records != NULL) {
        return read_records(batch, records, err);
    }
    if (inputs != NULL && yyjson_is_obj(inputs)) {
        return read_columns(batch, inputs, err);
    }
    return read_instances(batch, instances != NULL ? instances : inputs, err);
}

tapeout_status tp_serve_batch_score_form(serve_batch *batch, yyjson_val *root, tapeout_error *err)
{
    TP_TRY(read_form(batch, root, err));
    return tp_serve_batch_score(batch, err);
}

bool tp_serve_is_form(const tp_served *model, yyjson_val *root)
{
    static const char *const forms[] = {"dataframe_split", "dataframe_records", "instances",
                                        "inputs"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (yyjson_obj_get(root, forms[i]) != NULL &&
            tp_dict_find(&model->columns, tp_str_from(forms[i])) < 0) {
            return true;
        }
    }
    return false;
}

static tapeout_status score_json(serve_batch *batch, tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    TP_TRY(tp_serve_body_json(batch->exchange, &doc, err));
    const tapeout_status status = tp_serve_batch_score_form(batch, yyjson_doc_get_root(doc), err);
    yyjson_doc_free(doc);
    return status;
}

// The table lives until the scores, which do not point into it, are written.
static tapeout_status score_csv(serve_batch *batch, tapeout_error *err)
{
    tp_csv_options options;
    tp_csv_options_init(&options);
    options.delimiter = ',';
    options.expect = batch->model->schema;
    tp_env env = *batch->exchange->state->env;
    env.pool = NULL; // the pool belongs to whoever runs the server
    tapeout_table *table = NULL;
    options.name = "request body";
    TP_TRY(tp_csv_parse(&env, batch->exchange->body, &options, &table, err));
    for (uint32_t c = 0; c < batch->model->schema->count; c++) {
        const tp_column *column = tp_table_find(table, batch->model->schema->fields[c].name);
        batch->kit->missing[c] = column == NULL ? table->row_count : column->null_count;
    }
    tapeout_status status = check_rows(batch, table->row_count, err);
    if (status == TAPEOUT_OK) {
        status = tp_serve_batch_score_table(batch, table, err);
    }
    tp_table_unref(table);
    return status;
}

tapeout_status tp_serve_invocations(serve_exchange *exchange, tapeout_error *err)
{
    const body_kind kind = kind_of(tp_http_header_find(exchange->request, "content-type"));
    if (kind == BODY_OTHER) {
        return tp_serve_fail_as(
            exchange, 415,
            tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                    "content type application/json or text/csv was expected, with no parameter "
                    "but charset=utf-8"));
    }
    TP_TRY(tp_serve_table_first(exchange, err));
    serve_batch batch;
    tapeout_status status = tp_serve_batch_begin(&batch, exchange, err);
    if (status == TAPEOUT_OK) {
        status = kind == BODY_CSV ? score_csv(&batch, err) : score_json(&batch, err);
    }
    if (status == TAPEOUT_OK) {
        exchange->reply.content_type = "application/json";
        tp_serve_batch_write_all(&batch, &exchange->reply.body);
    }
    tp_serve_batch_end(&batch);
    return status;
}
