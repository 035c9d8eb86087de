// SPDX-License-Identifier: Apache-2.0
//
// A table as Arrow sees it, without a copy: a struct array whose children are the columns.
//
// A consumer may move a child out and release it on its own, after the parent or before. So every
// array and every schema is a node that owns what it needs: its pointers, and a reference to the
// table whose buffers and names it shows. The table goes with the last of them. Strings leave as
// dictionary<int32, utf8>, times in microseconds, times with zone as UTC.
#include <tapeout/table.h>

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/arrow_abi.h"
#include "table/tp_table.h"

enum { BUFFERS_MAX = 3 };

// What an exported array owns.
typedef struct array_node {
    tapeout_table *table;
    const void *buffers[BUFFERS_MAX];
    int64_t child_count;
    struct ArrowArray *arrays;    // [child_count] where the children live until they are moved
    struct ArrowArray **children; // [child_count]
    struct ArrowArray dictionary;
} array_node;

typedef struct schema_node {
    tapeout_table *table;
    int64_t child_count;
    struct ArrowSchema *schemas;
    struct ArrowSchema **children;
    struct ArrowSchema dictionary;
} schema_node;

// -- arrays --------------------------------------------------------------------------------------

static void release_array(struct ArrowArray *array)
{
    array_node *node = array->private_data;
    tapeout_table *table = node->table;
    const tapeout_allocator *alloc = table->alloc;
    for (int64_t i = 0; node->arrays != NULL && i < node->child_count; i++) {
        if (node->arrays[i].release != NULL) {
            node->arrays[i].release(&node->arrays[i]);
        }
    }
    if (node->dictionary.release != NULL) {
        node->dictionary.release(&node->dictionary);
    }
    tp_free_array(alloc, node->arrays, (size_t)node->child_count, sizeof *node->arrays);
    tp_free_array(alloc, node->children, (size_t)node->child_count, sizeof *node->children);
    tp_free(alloc, node, sizeof *node);
    tp_table_unref(table);
    array->release = NULL;
}

// An array without buffers or children that holds the table; NULL when there is no memory.
static array_node *start_array(tapeout_table *table, uint64_t length, struct ArrowArray *array)
{
    array_node *node = tp_alloc_zero(table->alloc, sizeof *node);
    if (node != NULL) {
        tp_table_ref(table);
        node->table = table;
        *array = (struct ArrowArray){.length = (int64_t)length,
                                     .buffers = node->buffers,
                                     .release = release_array,
                                     .private_data = node};
    }
    return node;
}

static bool export_texts(tapeout_table *table, const tp_dict *dict, struct ArrowArray *array)
{
    static const int32_t no_offsets[1];
    array_node *node = start_array(table, dict->count, array);
    if (node == NULL) {
        return false;
    }
    array->n_buffers = 3;
    node->buffers[1] = dict->offsets == NULL ? no_offsets : dict->offsets;
    node->buffers[2] = dict->bytes;
    return true;
}

static bool export_column(tapeout_table *table, const tp_column *column, struct ArrowArray *array)
{
    array_node *node = start_array(table, column->row_count, array);
    if (node == NULL) {
        return false;
    }
    array->null_count = (int64_t)column->null_count;
    array->n_buffers = 2;
    node->buffers[0] = column->validity;
    node->buffers[1] = column->values.data;
    if (column->type == TAPEOUT_TYPE_STRING) {
        array->dictionary = &node->dictionary;
        return export_texts(table, column->dict, &node->dictionary);
    }
    return true;
}

static bool export_rows(tapeout_table *table, struct ArrowArray *array)
{
    array_node *node = start_array(table, table->row_count, array);
    if (node == NULL) {
        return false;
    }
    const size_t count = table->column_count;
    node->child_count = (int64_t)count;
    node->arrays = tp_alloc_array_zero(table->alloc, count, sizeof *node->arrays);
    node->children = tp_alloc_array_zero(table->alloc, count, sizeof *node->children);
    array->n_buffers = 1;
    array->n_children = (int64_t)count;
    array->children = node->children;
    bool is_good = count == 0 || (node->arrays != NULL && node->children != NULL);
    for (size_t i = 0; is_good && i < count; i++) {
        node->children[i] = &node->arrays[i];
        is_good = export_column(table, &table->columns[i], &node->arrays[i]);
    }
    return is_good;
}

// -- schemas -------------------------------------------------------------------------------------

static void release_schema(struct ArrowSchema *schema)
{
    schema_node *node = schema->private_data;
    tapeout_table *table = node->table;
    const tapeout_allocator *alloc = table->alloc;
    for (int64_t i = 0; node->schemas != NULL && i < node->child_count; i++) {
        if (node->schemas[i].release != NULL) {
            node->schemas[i].release(&node->schemas[i]);
        }
    }
    if (node->dictionary.release != NULL) {
        node->dictionary.release(&node->dictionary);
    }
    tp_free_array(alloc, node->schemas, (size_t)node->child_count, sizeof *node->schemas);
    tp_free_array(alloc, node->children, (size_t)node->child_count, sizeof *node->children);
    tp_free(alloc, node, sizeof *node);
    tp_table_unref(table);
    schema->release = NULL;
}

static schema_node *start_schema(tapeout_table *table, const char *format, const char *name,
                                 struct ArrowSchema *schema)
{
    schema_node *node = tp_alloc_zero(table->alloc, sizeof *node);
    if (node != NULL) {
        tp_table_ref(table);
        node->table = table;
        *schema = (struct ArrowSchema){
            .format = format, .name = name, .release = release_schema, .private_data = node};
    }
    return node;
}

static const char *format_of(tapeout_type type)
{
    switch (type) {
    case TAPEOUT_TYPE_BOOL:
        return "b";
    case TAPEOUT_TYPE_INT64:
        return "l";
    case TAPEOUT_TYPE_FLOAT64:
        return "g";
    case TAPEOUT_TYPE_DATE:
        return "tdD";
    case TAPEOUT_TYPE_TIMESTAMP:
        return "tsu:";
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        return "tsu:UTC";
    case TAPEOUT_TYPE_STRING:
        break;
    }
    return "i"; // of the codes
}

static bool export_field(tapeout_table *table, const tp_column *column, struct ArrowSchema *schema)
{
    schema_node *node = start_schema(table, format_of(column->type), column->name.data, schema);
    if (node == NULL) {
        return false;
    }
    schema->flags = ARROW_FLAG_NULLABLE;
    if (column->type == TAPEOUT_TYPE_STRING) {
        schema->dictionary = &node->dictionary;
        return start_schema(table, "u", "", &node->dictionary) != NULL;
    }
    return true;
}

static bool export_fields(tapeout_table *table, struct ArrowSchema *schema)
{
    schema_node *node = start_schema(table, "+s", "", schema);
    if (node == NULL) {
        return false;
    }
    const size_t count = table->column_count;
    node->child_count = (int64_t)count;
    node->schemas = tp_alloc_array_zero(table->alloc, count, sizeof *node->schemas);
    node->children = tp_alloc_array_zero(table->alloc, count, sizeof *node->children);
    schema->n_children = (int64_t)count;
    schema->children = node->children;
    bool is_good = count == 0 || (node->schemas != NULL && node->children != NULL);
    for (size_t i = 0; is_good && i < count; i++) {
        node->children[i] = &node->schemas[i];
        is_good = export_field(table, &table->columns[i], &node->schemas[i]);
    }
    return is_good;
}

tapeout_status tapeout_table_export_arrow(tapeout_table *table, struct ArrowSchema *ret_schema,
                                          struct ArrowArray *ret_array, tapeout_error *err)
{
    if (table == NULL || ret_schema == NULL || ret_array == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID, "tapeout_table_export_arrow: an argument is NULL");
    }
    struct ArrowSchema schema = {0};
    struct ArrowArray array = {0};
    if (export_fields(table, &schema) && export_rows(table, &array)) {
        *ret_schema = schema;
        *ret_array = array;
        return TAPEOUT_OK;
    }
    if (schema.release != NULL) {
        schema.release(&schema);
    }
    if (array.release != NULL) {
        array.release(&array);
    }
    return tp_fail_nomem(err);
}
