// SPDX-License-Identifier: Apache-2.0
//
// The messages of an ONNX file (onnx.proto, IR version 3 and later), as far as a model of tables
// needs them: operator sets, nodes with their attributes, initializers, inputs and outputs. Each
// message is walked twice, once to count and once to fill, so that lists are as long as they must
// be. Nothing nests deeper than model, graph, node, attribute, tensor, so nothing recurses.
#include "import/onnx_priv.h"
#include "import/protobuf_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"

#include <string.h>

// Fields that are read, by message.
enum { MODEL_PRODUCER = 2, MODEL_PRODUCER_VERSION = 3, MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { MODEL_FUNCTION = 25, OPSET_DOMAIN = 1, OPSET_VERSION = 2 };
enum { GRAPH_NODE = 1, GRAPH_TENSOR = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12, GRAPH_SPARSE = 15 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_OP = 4, NODE_ATTRIBUTE = 5, NODE_DOMAIN = 7 };
enum { ATTR_NAME = 1, ATTR_FLOAT = 2, ATTR_INT = 3, ATTR_TEXT = 4, ATTR_TENSOR = 5 };
enum { ATTR_FLOATS = 7, ATTR_INTS = 8, ATTR_TEXTS = 9 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_FLOATS = 4, TENSOR_INT32S = 5, TENSOR_TEXTS = 6 };
enum { TENSOR_INT64S = 7, TENSOR_NAME = 8, TENSOR_RAW = 9, TENSOR_DOUBLES = 10 };
enum { TENSOR_EXTERNAL = 13, TENSOR_LOCATION = 14 };
enum { PORT_NAME = 1, PORT_TYPE = 2, TYPE_TENSOR = 1, TYPE_ELEMENT = 1, TYPE_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_VALUE = 1 };

// The newest that this reader was tried on (opset_import).
enum { NEWEST_ONNX = 26, NEWEST_ML = 4 };

typedef struct reading {
    tp_arena *arena;
    onnx_model *model;
    tapeout_error *err;
} reading;

// A list of the fields `number` of a message.
typedef struct field_list {
    tp_str message;
    uint32_t number;
    const char *what;
    uint32_t most;
} field_list;

static tapeout_status corrupt(const reading *r, const char *what)
{
    return tp_fail(r->err, TAPEOUT_E_CORRUPT, "onnx: %s", what);
}

static tapeout_status nomem(const reading *r)
{
    return tp_arena_check(r->arena, "onnx", r->err);
}

// -- fields --------------------------------------------------------------------------------------

static tp_cursor open_message(tp_str message)
{
    tp_cursor cursor;
    tp_cursor_init(&cursor, message.data, message.size);
    return cursor;
}

static tapeout_status count_messages(const reading *r, const field_list *list, uint32_t *ret_count)
{
    tp_cursor cursor = open_message(list->message);
    tp_protobuf_field field;
    bool any = false;
    *ret_count = 0;
    for (;;) {
        TP_TRY(tp_protobuf_next(&cursor, &field, &any, r->err));
        if (!any) {
            return TAPEOUT_OK;
        }
        if (field.number == list->number && field.wire != TP_PROTOBUF_BYTES) {
            return tp_fail(r->err, TAPEOUT_E_CORRUPT, "onnx: %s that are none", list->what);
        }
        *ret_count += field.number == list->number ? 1 : 0;
        if (*ret_count > list->most) {
            return tp_fail(r->err, TAPEOUT_E_LIMIT, "onnx: more than %u %s", list->most,
                           list->what);
        }
    }
}

static tapeout_status check_text(const reading *r, tp_str text)
{
    return tp_utf8_check(text, NULL) ? TAPEOUT_OK : corrupt(r, "a text that is not UTF-8");
}

// All fields `number` as views, or texts where `is_text`.
static tapeout_status read_messages(const reading *r, const field_list *list, bool is_text,
                                    const tp_str **ret_items, uint32_t *ret_count)
{
    tp_cursor cursor = open_message(list->message);
    TP_TRY(count_messages(r, list, ret_count));
    tp_str *items = tp_arena_array(r->arena, (size_t)*ret_count + 1, sizeof(*items));
    if (items == NULL) {
        return nomem(r);
    }
    for (uint32_t used = 0; used < *ret_count;) {
        tp_protobuf_field field;
        bool any = false;
        TP_TRY(tp_protobuf_next(&cursor, &field, &any, r->err));
        if (field.number == list->number) {
            TP_TRY(is_text ? check_text(r, field.bytes) : TAPEOUT_OK);
            items[used++] = field.bytes;
        }
    }
    *ret_items = items;
    return TAPEOUT_OK;
}

// The last field `number`: protobuf's rule for a single one. `ret_field->number` 0: there is none.
static tapeout_status find_field(const reading *r, tp_str message, uint32_t number,
                                 tp_protobuf_field *ret_field)
{
    tp_cursor cursor = open_message(message);
    *ret_field = (tp_protobuf_field){.number = 0};
    for (;;) {
        tp_protobuf_field field;
        bool any = false;
        TP_TRY(tp_protobuf_next(&cursor, &field, &any, r->err));
        if (!any) {
            return TAPEOUT_OK;
        }
        if (field.number == number) {
            *ret_field = field;
        }
    }
}

static tapeout_status find_text(const reading *r, tp_str message, uint32_t number, tp_str *ret_text)
{
    tp_protobuf_field field;
    TP_TRY(find_field(r, message, number, &field));
    if (field.number != 0 && field.wire != TP_PROTOBUF_BYTES) {
        return corrupt(r, "a text that is none");
    }
    *ret_text = field.number == 0 ? TP_STR("") : field.bytes;
    return check_text(r, *ret_text);
}

static tapeout_status find_int(const reading *r, tp_str message, uint32_t number,
                               int64_t *ret_value)
{
    tp_protobuf_field field;
    TP_TRY(find_field(r, message, number, &field));
    *ret_value = (int64_t)field.value;
    return field.number == 0 || field.wire == TP_PROTOBUF_VARINT
               ? TAPEOUT_OK
               : corrupt(r, "a whole number that is none");
}

// -- lists of numbers ----------------------------------------------------------------------------

static tapeout_status count_numbers(const reading *r, tp_str message, uint32_t number,
                                    tp_protobuf_wire wire, uint32_t *ret_count)
{
    tp_cursor cursor = open_message(message);
    uint64_t total = 0;
    for (;;) {
        tp_protobuf_field field;
        uint32_t count = 0;
        bool any = false;
        TP_TRY(tp_protobuf_next(&cursor, &field, &any, r->err));
        if (!any) {
            break;
        }
        if (field.number == number) {
            TP_TRY(tp_protobuf_count(&field, wire, &count, r->err));
            total += count;
        }
    }
    *ret_count = (uint32_t)total;
    return total <= UINT32_MAX ? TAPEOUT_OK : corrupt(r, "a list of too many numbers");
}

// The bits become numbers where they lie.
static void finish_list(onnx_list *list, uint64_t *bits)
{
    for (uint32_t i = 0; i < list->count && list->type != ONNX_INT64; i++) {
        const double value =
            list->type == ONNX_FLOAT ? (double)tp_protobuf_f32(bits[i]) : tp_protobuf_f64(bits[i]);
        memcpy(&bits[i], &value, sizeof(value));
    }
    if (list->type == ONNX_INT64) {
        list->ints = (const int64_t *)(const void *)bits;
    } else {
        list->numbers = (const double *)(const void *)bits;
    }
}

// `type` FLOAT, DOUBLE or INT64.
static tapeout_status read_numbers(const reading *r, tp_str message, uint32_t number,
                                   onnx_type type, onnx_list *ret_list)
{
    const tp_protobuf_wire wire = type == ONNX_FLOAT    ? TP_PROTOBUF_FIXED32
                                  : type == ONNX_DOUBLE ? TP_PROTOBUF_FIXED64
                                                        : TP_PROTOBUF_VARINT;
    tp_cursor cursor = open_message(message);
    onnx_list list = {.type = type};
    TP_TRY(count_numbers(r, message, number, wire, &list.count));
    uint64_t *bits = tp_arena_array(r->arena, (size_t)list.count + 1, sizeof(*bits));
    if (bits == NULL) {
        return nomem(r);
    }
    for (uint32_t used = 0; used < list.count;) {
        tp_protobuf_field field;
        uint32_t count = 0;
        bool any = false;
        TP_TRY(tp_protobuf_next(&cursor, &field, &any, r->err));
        if (field.number == number) {
            TP_TRY(tp_protobuf_count(&field, wire, &count, r->err));
            tp_protobuf_values(&field, wire, bits + used);
            used += count;
        }
    }
    finish_list(&list, bits);
    *ret_list = list;
    return TAPEOUT_OK;
}

// -- tensors -------------------------------------------------------------------------------------

static tapeout_status read_raw(const reading *r, tp_str raw, onnx_type type, onnx_list *ret_list)
{
    const size_t size = type == ONNX_BOOL ? 1 : type == ONNX_FLOAT || type == ONNX_INT32 ? 4 : 8;
    tp_cursor cursor = open_message(raw);
    if (type == ONNX_STRING || raw.size % size != 0 || raw.size / size > UINT32_MAX) {
        return corrupt(r, "a tensor whose bytes are no list of its type");
    }
    onnx_list list = {.type = type == ONNX_FLOAT || type == ONNX_DOUBLE ? type : ONNX_INT64,
                      .count = (uint32_t)(raw.size / size)};
    uint64_t *bits = tp_arena_array(r->arena, (size_t)list.count + 1, sizeof(*bits));
    if (bits == NULL) {
        return nomem(r);
    }
    for (uint32_t i = 0; i < list.count; i++) {
        bits[i] = type == ONNX_BOOL    ? tp_cursor_u8(&cursor)
                  : type == ONNX_INT32 ? (uint64_t)(int64_t)tp_cursor_i32(&cursor)
                  : type == ONNX_FLOAT ? tp_cursor_u32(&cursor)
                                       : tp_cursor_u64(&cursor);
    }
    finish_list(&list, bits);
    *ret_list = list;
    return TAPEOUT_OK;
}

static tapeout_status read_elements(const reading *r, tp_str message, onnx_type type,
                                    onnx_list *ret_list)
{
    tp_protobuf_field raw;
    TP_TRY(find_field(r, message, TENSOR_RAW, &raw));
    if (raw.number != 0) {
        return raw.wire == TP_PROTOBUF_BYTES ? read_raw(r, raw.bytes, type, ret_list)
                                             : corrupt(r, "a tensor without bytes");
    }
    switch (type) {
    case ONNX_FLOAT:
        return read_numbers(r, message, TENSOR_FLOATS, ONNX_FLOAT, ret_list);
    case ONNX_DOUBLE:
        return read_numbers(r, message, TENSOR_DOUBLES, ONNX_DOUBLE, ret_list);
    case ONNX_INT64:
        return read_numbers(r, message, TENSOR_INT64S, ONNX_INT64, ret_list);
    case ONNX_STRING: {
        const field_list texts = {message, TENSOR_TEXTS, "texts of a tensor", UINT32_MAX};
        ret_list->type = ONNX_STRING;
        return read_messages(r, &texts, true, &ret_list->texts, &ret_list->count);
    }
    default: // INT32 and BOOL
        return read_numbers(r, message, TENSOR_INT32S, ONNX_INT64, ret_list);
    }
}

static tapeout_status read_tensor(const reading *r, tp_str message, onnx_tensor *ret_tensor)
{
    onnx_list dims = {.count = 0};
    tp_protobuf_field external;
    int64_t type = 0;
    int64_t location = 0;
    TP_TRY(find_text(r, message, TENSOR_NAME, &ret_tensor->name));
    TP_TRY(find_int(r, message, TENSOR_TYPE, &type));
    TP_TRY(find_int(r, message, TENSOR_LOCATION, &location));
    TP_TRY(find_field(r, message, TENSOR_EXTERNAL, &external));
    if (location != 0 || external.number != 0) {
        return tp_fail(r->err, TAPEOUT_E_UNSUPPORTED,
                       "onnx: tensor \"%.*s\" lies in another file; save the model as one",
                       TP_STR_ARGS(ret_tensor->name));
    }
    if (type != ONNX_FLOAT && type != ONNX_DOUBLE && type != ONNX_INT64 && type != ONNX_INT32 &&
        type != ONNX_BOOL && type != ONNX_STRING) {
        return tp_fail(r->err, TAPEOUT_E_UNSUPPORTED,
                       "onnx: tensor \"%.*s\" has elements of type %lld, which is not imported",
                       TP_STR_ARGS(ret_tensor->name), (long long)type);
    }
    TP_TRY(read_numbers(r, message, TENSOR_DIMS, ONNX_INT64, &dims));
    TP_TRY(read_elements(r, message, (onnx_type)type, &ret_tensor->list));
    uint64_t size = 1;
    for (uint32_t i = 0; i < dims.count; i++) {
        if (dims.ints[i] < 0 || dims.ints[i] > UINT32_MAX ||
            __builtin_mul_overflow(size, (uint64_t)dims.ints[i], &size)) {
            return corrupt(r, "a tensor with a dimension that it cannot have");
        }
    }
    ret_tensor->rank = dims.count;
    return size == ret_tensor->list.count
               ? TAPEOUT_OK
               : corrupt(r, "a tensor that has not the elements that its shape says");
}

// -- nodes ---------------------------------------------------------------------------------------

static tapeout_status read_single(const reading *r, tp_str message, onnx_list *ret_list)
{
    static const struct {
        uint32_t number;
        onnx_type type;
    } kinds[] = {{ATTR_FLOAT, ONNX_FLOAT}, {ATTR_INT, ONNX_INT64}};
    tp_protobuf_field field;
    TP_TRY(find_field(r, message, ATTR_TEXT, &field));
    if (field.number != 0) {
        const field_list texts = {message, ATTR_TEXT, "texts of an attribute", 1};
        ret_list->type = ONNX_STRING;
        return read_messages(r, &texts, true, &ret_list->texts, &ret_list->count);
    }
    TP_TRY(find_field(r, message, ATTR_TENSOR, &field));
    if (field.number != 0) {
        onnx_tensor tensor = {.rank = 0};
        TP_TRY(field.wire == TP_PROTOBUF_BYTES ? read_tensor(r, field.bytes, &tensor)
                                               : corrupt(r, "a tensor that is none"));
        *ret_list = tensor.list;
        return TAPEOUT_OK;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        TP_TRY(find_field(r, message, kinds[i].number, &field));
        if (field.number != 0) {
            return read_numbers(r, message, kinds[i].number, kinds[i].type, ret_list);
        }
    }
    return TAPEOUT_OK; // an empty list, or a graph, which no operator that we know has
}

static tapeout_status read_attribute(const reading *r, tp_str message, onnx_attribute *to)
{
    const field_list texts = {message, ATTR_TEXTS, "texts of an attribute", UINT32_MAX};
    TP_TRY(find_text(r, message, ATTR_NAME, &to->name));
    TP_TRY(read_numbers(r, message, ATTR_FLOATS, ONNX_FLOAT, &to->list));
    if (to->list.count == 0) {
        TP_TRY(read_numbers(r, message, ATTR_INTS, ONNX_INT64, &to->list));
    }
    if (to->list.count == 0) {
        to->list.type = ONNX_STRING;
        TP_TRY(read_messages(r, &texts, true, &to->list.texts, &to->list.count));
    }
    if (to->list.count == 0) {
        to->list.type = ONNX_UNDEFINED;
        TP_TRY(read_single(r, message, &to->list));
    }
    return TAPEOUT_OK;
}

static tapeout_status read_attributes(const reading *r, tp_str message, onnx_node *to)
{
    const field_list list = {message, NODE_ATTRIBUTE, "attributes of a node",
                             TP_MAX_ONNX_ATTRIBUTES};
    const tp_str *items = NULL;
    TP_TRY(read_messages(r, &list, false, &items, &to->attribute_count));
    onnx_attribute *attributes =
        tp_arena_array(r->arena, (size_t)to->attribute_count + 1, sizeof(*attributes));
    if (attributes == NULL) {
        return nomem(r);
    }
    for (uint32_t i = 0; i < to->attribute_count; i++) {
        TP_TRY(read_attribute(r, items[i], &attributes[i]));
        for (uint32_t k = 0; k < i; k++) {
            if (tp_str_equal(attributes[i].name, attributes[k].name)) {
                return tp_fail(r->err, TAPEOUT_E_CORRUPT,
                               "onnx: node %u has the attribute \"%.*s\" twice", to->index,
                               TP_STR_ARGS(attributes[i].name));
            }
        }
    }
    to->attributes = attributes;
    return TAPEOUT_OK;
}

static tapeout_status read_node(const reading *r, tp_str message, onnx_node *to)
{
    const field_list inputs = {message, NODE_INPUT, "inputs of a node", TP_MAX_FEATURE_OUTPUTS};
    const field_list outputs = {message, NODE_OUTPUT, "outputs of a node", TP_MAX_FEATURE_OUTPUTS};
    TP_TRY(find_text(r, message, NODE_OP, &to->op));
    TP_TRY(find_text(r, message, NODE_DOMAIN, &to->domain));
    TP_TRY(read_messages(r, &inputs, true, &to->inputs, &to->input_count));
    TP_TRY(read_messages(r, &outputs, true, &to->outputs, &to->output_count));
    return read_attributes(r, message, to);
}

// -- the graph -----------------------------------------------------------------------------------

static tapeout_status read_shape(const reading *r, tp_str shape, onnx_port *to)
{
    const field_list list = {shape, SHAPE_DIM, "dimensions", TP_MAX_ONNX_RANK};
    const tp_str *dims = NULL;
    TP_TRY(read_messages(r, &list, false, &dims, &to->rank));
    return to->rank >= 2 ? find_int(r, dims[1], DIM_VALUE, &to->columns) : TAPEOUT_OK;
}

static tapeout_status read_port(const reading *r, tp_str message, onnx_port *to)
{
    tp_str type = {NULL, 0};
    tp_str tensor = {NULL, 0};
    tp_protobuf_field field;
    int64_t element = 0;
    TP_TRY(find_text(r, message, PORT_NAME, &to->name));
    TP_TRY(find_field(r, message, PORT_TYPE, &field));
    type = field.bytes;
    TP_TRY(find_field(r, type, TYPE_TENSOR, &field));
    tensor = field.bytes;
    TP_TRY(find_int(r, tensor, TYPE_ELEMENT, &element));
    TP_TRY(find_field(r, tensor, TYPE_SHAPE, &field));
    to->type = element > 0 && element <= ONNX_DOUBLE ? (onnx_type)element : ONNX_UNDEFINED;
    return read_shape(r, field.bytes, to);
}

static tapeout_status read_ports(const reading *r, const field_list *list,
                                 const onnx_port **ret_ports, uint32_t *ret_count)
{
    const tp_str *items = NULL;
    TP_TRY(read_messages(r, list, false, &items, ret_count));
    onnx_port *ports = tp_arena_array(r->arena, (size_t)*ret_count + 1, sizeof(*ports));
    if (ports == NULL) {
        return nomem(r);
    }
    for (uint32_t i = 0; i < *ret_count; i++) {
        TP_TRY(read_port(r, items[i], &ports[i]));
    }
    *ret_ports = ports;
    return TAPEOUT_OK;
}

static tapeout_status read_tensors(const reading *r, tp_str graph)
{
    const field_list list = {graph, GRAPH_TENSOR, "initializers", TP_MAX_FEATURE_OUTPUTS};
    const tp_str *items = NULL;
    uint32_t *count = &r->model->tensor_count;
    TP_TRY(read_messages(r, &list, false, &items, count));
    onnx_tensor *tensors = tp_arena_array(r->arena, (size_t)*count + 1, sizeof(*tensors));
    if (tensors == NULL) {
        return nomem(r);
    }
    for (uint32_t i = 0; i < *count; i++) {
        TP_TRY(read_tensor(r, items[i], &tensors[i]));
    }
    r->model->tensors = tensors;
    return TAPEOUT_OK;
}

static tapeout_status read_nodes(const reading *r, tp_str graph)
{
    const field_list list = {graph, GRAPH_NODE, "nodes", TP_MAX_ONNX_NODES};
    const tp_str *items = NULL;
    uint32_t *count = &r->model->node_count;
    TP_TRY(read_messages(r, &list, false, &items, count));
    onnx_node *nodes = tp_arena_array(r->arena, (size_t)*count + 1, sizeof(*nodes));
    if (nodes == NULL) {
        return nomem(r);
    }
    for (uint32_t i = 0; i < *count; i++) {
        nodes[i].index = i;
        TP_TRY(read_node(r, items[i], &nodes[i]));
    }
    r->model->nodes = nodes;
    return TAPEOUT_OK;
}

static tapeout_status read_graph(const reading *r, tp_str graph)
{
    const field_list inputs = {graph, GRAPH_INPUT, "inputs", TP_MAX_FEATURE_OUTPUTS};
    const field_list outputs = {graph, GRAPH_OUTPUT, "outputs", TP_MAX_FEATURE_OUTPUTS};
    tp_protobuf_field sparse;
    TP_TRY(find_field(r, graph, GRAPH_SPARSE, &sparse));
    if (sparse.number != 0) {
        return tp_fail(r->err, TAPEOUT_E_UNSUPPORTED,
                       "onnx: a sparse initializer, which is not imported");
    }
    TP_TRY(read_tensors(r, graph));
    TP_TRY(read_nodes(r, graph));
    TP_TRY(read_ports(r, &inputs, &r->model->inputs, &r->model->input_count));
    return read_ports(r, &outputs, &r->model->outputs, &r->model->output_count);
}

// -- the model -----------------------------------------------------------------------------------

// An operator of a set that came later may mean another thing.
static tapeout_status check_opset(const reading *r, tp_str message)
{
    tp_str domain = {NULL, 0};
    int64_t version = 0;
    TP_TRY(find_text(r, message, OPSET_DOMAIN, &domain));
    TP_TRY(find_int(r, message, OPSET_VERSION, &version));
    const bool is_ml = tp_str_equal(domain, TP_STR("ai.onnx.ml"));
    const bool is_onnx = domain.size == 0 || tp_str_equal(domain, TP_STR("ai.onnx"));
    const int64_t newest = is_ml ? NEWEST_ML : is_onnx ? NEWEST_ONNX : INT64_MAX;
    if (version >= 1 && version <= newest) {
        return TAPEOUT_OK; // of a domain that we do not know every operator is refused
    }
    return tp_fail(r->err, TAPEOUT_E_UNSUPPORTED,
                   "onnx: operator set %lld of \"%.*s\"; 1 to %lld are imported: convert the model "
                   "with such a target_opset",
                   (long long)version, TP_STR_ARGS(domain), (long long)newest);
}

tapeout_status tp_onnx_parse(tp_str bytes, tp_arena *arena, onnx_model *ret_model,
                             tapeout_error *err)
{
    const reading r = {arena, ret_model, err};
    const field_list list = {bytes, MODEL_OPSET, "operator sets", TP_MAX_ONNX_ATTRIBUTES};
    const tp_str *opsets = NULL;
    uint32_t opset_count = 0;
    tp_protobuf_field field;
    TP_TRY(find_text(&r, bytes, MODEL_PRODUCER, &ret_model->producer));
    TP_TRY(find_text(&r, bytes, MODEL_PRODUCER_VERSION, &ret_model->producer_version));
    TP_TRY(find_field(&r, bytes, MODEL_FUNCTION, &field));
    if (field.number != 0) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "onnx: functions of the model's own, which are not imported");
    }
    TP_TRY(read_messages(&r, &list, false, &opsets, &opset_count));
    for (uint32_t i = 0; i < opset_count; i++) {
        TP_TRY(check_opset(&r, opsets[i]));
    }
    TP_TRY(find_field(&r, bytes, MODEL_GRAPH, &field));
    if (field.wire != TP_PROTOBUF_BYTES || opset_count == 0) {
        return corrupt(&r, "this is no model: it lacks a graph or its operator sets");
    }
    return read_graph(&r, field.bytes);
}
