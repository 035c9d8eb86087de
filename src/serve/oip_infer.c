// SPDX-License-Identifier: Apache-2.0
//
// POST /v2/models/{model}/infer: the Open Inference Protocol over HTTP with Triton's binary tensor
// extension. Inputs are the model's raw columns by name, shape [n] or [n, 1]; one that is absent is
// missing in every row, an unknown one is an error, since a tensor is never sent by accident.
// Outputs are `prediction` and `probability` or `p_<class>`, in JSON or as bytes behind it, as
// asked for.
#include "serve/oip_priv.h"
#include "serve/serve_handlers.h"

#include "base/tp_error.h"
#include "table/tp_json.h"
#include "table/tp_value.h"

#include <string.h>

typedef struct infer_call {
    serve_exchange *exchange;
    serve_batch *batch;
    tp_str tail; // packed tensors behind the JSON
    size_t tail_used;
    uint64_t row_count;
    bool has_rows;
    bool is_binary;    // outputs are bytes unless one says otherwise
    tp_buffer *binary; // packed outputs
} infer_call;

// -- the request ---------------------------------------------------------------------------------
// Splits the body into JSON and tail by Inference-Header-Content-Length.
static tapeout_status split_body(infer_call *call, tapeout_error *err)
{
    static const char name[] = "inference-header-content-length";
    serve_exchange *exchange = call->exchange;
    const uint32_t count = tp_http_header_count(exchange->request, name);
    if (count == 0) {
        return TAPEOUT_OK;
    }
    uint64_t size = 0;
    if (count > 1 || !tp_str_to_uint64(tp_http_header_find(exchange->request, name), &size) ||
        size > exchange->body.size) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "Inference-Header-Content-Length must be one number of at most %zu, the "
                       "size of the body",
                       exchange->body.size);
    }
    call->tail = (tp_str){exchange->body.data + size, exchange->body.size - (size_t)size};
    exchange->body.size = (size_t)size;
    return TAPEOUT_OK;
}

static tapeout_status read_shape(infer_call *call, oip_input *input, yyjson_val *shape,
                                 tapeout_error *err)
{
    const size_t rank = yyjson_arr_size(shape);
    yyjson_val *rows = yyjson_arr_get_first(shape);
    yyjson_val *width = yyjson_arr_get_last(shape);
    if (!yyjson_is_arr(shape) || rank < 1 || rank > 2 || !yyjson_is_uint(rows) ||
        (rank == 2 && (!yyjson_is_uint(width) || yyjson_get_uint(width) != 1))) {
        return tp_fail(err, TAPEOUT_E_DATA, "input \"%.*s\": its shape must be [n] or [n, 1]",
                       TP_STR_ARGS(input->name));
    }
    input->count = yyjson_get_uint(rows);
    input->is_matrix = rank == 2;
    if (input->count > call->exchange->state->max_rows) {
        return tp_fail(err, TAPEOUT_E_INVALID, "input \"%.*s\": %llu rows, at most %llu",
                       TP_STR_ARGS(input->name), (unsigned long long)input->count,
                       (unsigned long long)call->exchange->state->max_rows);
    }
    if (call->has_rows && input->count != call->row_count) {
        return tp_fail(err, TAPEOUT_E_DATA,
                       "input \"%.*s\": %llu rows, the inputs before have %llu",
                       TP_STR_ARGS(input->name), (unsigned long long)input->count,
                       (unsigned long long)call->row_count);
    }
    call->row_count = input->count;
    call->has_rows = true;
    return TAPEOUT_OK;
}

// Where the elements are: `data`, or the next binary_data_size bytes of the tail.
static tapeout_status read_place(infer_call *call, oip_input *input, yyjson_val *object,
                                 tapeout_error *err)
{
    yyjson_val *parameters = yyjson_obj_get(object, "parameters");
    yyjson_val *size = yyjson_obj_get(parameters, "binary_data_size");
    if (yyjson_obj_get(parameters, "shared_memory_region") != NULL) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED, "input \"%.*s\": shared memory is not offered",
                       TP_STR_ARGS(input->name));
    }
    yyjson_val *data = yyjson_obj_get(object, "data");
    input->data = yyjson_is_null(data) ? NULL : data;
    if ((input->data != NULL) == (size != NULL)) {
        return tp_fail(err, TAPEOUT_E_DATA, "input \"%.*s\": either data or binary_data_size",
                       TP_STR_ARGS(input->name));
    }
    if (size == NULL) {
        return TAPEOUT_OK;
    }
    const size_t left = call->tail.size - call->tail_used;
    if (!yyjson_is_uint(size) || yyjson_get_uint(size) > left) {
        return tp_fail(err, TAPEOUT_E_DATA,
                       "input \"%.*s\": its binary_data_size exceeds the %zu bytes that are there",
                       TP_STR_ARGS(input->name), left);
    }
    input->raw = (tp_str){call->tail.data + call->tail_used, (size_t)yyjson_get_uint(size)};
    call->tail_used += input->raw.size;
    return TAPEOUT_OK;
}

static tapeout_status read_input(infer_call *call, yyjson_val *object, uint64_t stamp,
                                 tapeout_error *err)
{
    serve_batch *batch = call->batch;
    oip_input input = {.name = tp_json_get_str(object, "name")};
    if (input.name.data == NULL) {
        return tp_fail(err, TAPEOUT_E_DATA, "every input must be an object with a name");
    }
    const int64_t column = tp_dict_find(&batch->model->columns, input.name);
    if (column < 0) {
        return tp_fail(err, TAPEOUT_E_DATA, "input \"%.*s\": model %.*s has no such column",
                       TP_STR_ARGS(input.name), TP_STR_ARGS(batch->model->name));
    }
    if (batch->kit->stamps[column] == stamp) {
        return tp_fail(err, TAPEOUT_E_DATA, "input \"%.*s\" stands twice", TP_STR_ARGS(input.name));
    }
    batch->kit->stamps[column] = stamp;
    input.column = (uint32_t)column;
    input.datatype = tp_oip_datatype_find(tp_json_get_str(object, "datatype"));
    if (input.datatype == NULL) {
        return tp_fail(err, TAPEOUT_E_DATA, "input \"%.*s\": its datatype is none of the protocol",
                       TP_STR_ARGS(input.name));
    }
    TP_TRY(read_shape(call, &input, yyjson_obj_get(object, "shape"), err));
    TP_TRY(read_place(call, &input, object, err));
    return tp_oip_input_read(batch, &input, err);
}

static tapeout_status read_inputs(infer_call *call, yyjson_val *root, tapeout_error *err)
{
    yyjson_val *inputs = yyjson_obj_get(root, "inputs");
    serve_batch *batch = call->batch;
    if (!yyjson_is_arr(inputs) || yyjson_arr_size(inputs) == 0) {
        return tp_fail(err, TAPEOUT_E_DATA, "\"inputs\" must be a list of at least one tensor");
    }
    const uint64_t stamp = ++batch->kit->stamp;
    yyjson_arr_iter iter = yyjson_arr_iter_with(inputs);
    for (yyjson_val *one = yyjson_arr_iter_next(&iter); one != NULL;
         one = yyjson_arr_iter_next(&iter)) {
        TP_TRY(read_input(call, one, stamp, err));
    }
    if (call->tail_used != call->tail.size) {
        return tp_fail(err, TAPEOUT_E_DATA, "%zu bytes of binary data belong to no input",
                       call->tail.size - call->tail_used);
    }
    for (uint32_t c = 0; c < batch->model->schema->count; c++) {
        for (uint64_t row = 0; batch->kit->stamps[c] != stamp && row < call->row_count; row++) {
            TP_TRY(tp_serve_batch_value(batch, c, NULL, err));
        }
    }
    batch->row_count = call->row_count;
    return TAPEOUT_OK;
}

// -- the outputs ---------------------------------------------------------------------------------
static bool output_is_text(const tp_served *model, uint32_t output)
{
    return output == 0 && model->target->class_count > 0 && !model->target->classes_are_int;
}

static double output_value(const serve_batch *batch, uint32_t output, uint64_t row)
{
    const tp_target *target = batch->model->target;
    if (output > 0) {
        const uint64_t stride = batch->scores.row_count;
        return batch->scores.probability[(output - 1) * stride + row];
    }
    double value = batch->scores.prediction[row];
    if (target->class_count > 0) {
        const tp_str label = tp_serve_batch_label(batch, row);
        bool truth = false;
        // Labels of numeric targets are numbers or truth values.
        if (!tp_parse_f64(label, &value) && tp_parse_bool(label, &truth)) {
            value = truth;
        }
    }
    return value;
}

static void write_values(const infer_call *call, uint32_t output, tp_buffer *json)
{
    const bool is_text = output_is_text(call->batch->model, output);
    tp_buffer_append_str(json, TP_STR(",\"data\":["));
    for (uint64_t row = 0; row < call->row_count; row++) {
        if (row > 0) {
            tp_buffer_append_char(json, ',');
        }
        if (is_text) {
            tp_json_append_str(json, tp_serve_batch_label(call->batch, row));
        } else {
            tp_json_append_f64(json, output_value(call->batch, output, row));
        }
    }
    tp_buffer_append_char(json, ']');
}

static void write_bytes(const infer_call *call, uint32_t output, tp_buffer *json)
{
    tp_buffer *binary = call->binary;
    const size_t begin = binary->size;
    for (uint64_t row = 0; row < call->row_count; row++) {
        if (output_is_text(call->batch->model, output)) {
            const tp_str label = tp_serve_batch_label(call->batch, row);
            tp_buffer_append_u32le(binary, (uint32_t)label.size);
            tp_buffer_append_str(binary, label);
        } else {
            tp_buffer_append_f64le(binary, output_value(call->batch, output, row));
        }
    }
    tp_buffer_append_str(json, TP_STR(",\"parameters\":{\"binary_data_size\":"));
    tp_json_append_u64(json, binary->size - begin);
    tp_buffer_append_char(json, '}');
}

static void write_output(const infer_call *call, uint32_t output, bool is_binary, tp_buffer *json)
{
    const tp_served *model = call->batch->model;
    tp_buffer_append_str(json, TP_STR("{\"name\":"));
    tp_json_append_str(json, model->output_names[output]);
    tp_buffer_append_text(json, output_is_text(model, output)
                                    ? ",\"datatype\":\"BYTES\",\"shape\":["
                                    : ",\"datatype\":\"FP64\",\"shape\":[");
    tp_json_append_u64(json, call->row_count);
    tp_buffer_append_char(json, ']');
    if (is_binary) {
        write_bytes(call, output, json);
    } else {
        write_values(call, output, json);
    }
    tp_buffer_append_char(json, '}');
}

static tapeout_status write_wanted(const infer_call *call, yyjson_val *wanted, tp_buffer *json,
                                   tapeout_error *err)
{
    const tp_served *model = call->batch->model;
    const tp_str name = tp_json_get_str(wanted, "name");
    const uint32_t count = model->output_count;
    uint32_t output = 0;
    while (output < count && !tp_str_equal(model->output_names[output], name)) {
        output++;
    }
    if (name.data == NULL || output == count) {
        return tp_fail(err, TAPEOUT_E_DATA, "output \"%.*s\": the model has no such output",
                       (int)name.size, name.data == NULL ? "" : name.data);
    }
    yyjson_val *parameters = yyjson_obj_get(wanted, "parameters");
    if (yyjson_obj_get(parameters, "classification") != NULL ||
        yyjson_obj_get(parameters, "shared_memory_region") != NULL) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED,
                       "output \"%.*s\": classification and shared memory are not offered",
                       TP_STR_ARGS(name));
    }
    yyjson_val *binary = yyjson_obj_get(parameters, "binary_data");
    write_output(call, output, binary == NULL ? call->is_binary : yyjson_is_true(binary), json);
    return TAPEOUT_OK;
}

static tapeout_status write_outputs(const infer_call *call, yyjson_val *root, tp_buffer *json,
                                    tapeout_error *err)
{
    yyjson_val *outputs = yyjson_obj_get(root, "outputs");
    const uint32_t count = call->batch->model->output_count;
    if (yyjson_arr_size(outputs) == 0) {
        for (uint32_t i = 0; i < count; i++) {
            tp_buffer_append_text(json, i == 0 ? "" : ",");
            write_output(call, i, call->is_binary, json);
        }
        return TAPEOUT_OK;
    }
    // With each at most once there can't be more of them than the model has.
    if (yyjson_arr_size(outputs) > count) {
        return tp_fail(err, TAPEOUT_E_DATA, "%zu outputs asked for, the model has %u",
                       yyjson_arr_size(outputs), count);
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(outputs);
    for (size_t i = 0; i < yyjson_arr_size(outputs); i++) {
        yyjson_val *wanted = yyjson_arr_iter_next(&iter);
        for (size_t k = 0; k < i; k++) {
            if (yyjson_equals(yyjson_obj_get(yyjson_arr_get(outputs, k), "name"),
                              yyjson_obj_get(wanted, "name"))) {
                return tp_fail(err, TAPEOUT_E_DATA, "an output is asked for twice");
            }
        }
        tp_buffer_append_text(json, i == 0 ? "" : ",");
        TP_TRY(write_wanted(call, wanted, json, err));
    }
    return TAPEOUT_OK;
}

static tapeout_status write_reply(infer_call *call, yyjson_val *root, tapeout_error *err)
{
    serve_exchange *exchange = call->exchange;
    tp_buffer *json = &exchange->reply.body;
    tp_buffer_append_str(json, TP_STR("{\"model_name\":"));
    tp_json_append_str(json, exchange->model->name);
    tp_buffer_append_str(json, TP_STR(",\"model_version\":"));
    tp_json_append_str(json, exchange->model->version);
    yyjson_val *id = yyjson_obj_get(root, "id");
    if (yyjson_is_str(id)) {
        tp_buffer_append_str(json, TP_STR(",\"id\":"));
        tp_json_append_str(json, tp_json_str(id));
    }
    tp_buffer_append_str(json, TP_STR(",\"outputs\":["));
    TP_TRY(write_outputs(call, root, json, err));
    tp_buffer_append_str(json, TP_STR("]}"));
    exchange->reply.content_type = "application/json";
    // Only a reply with packed outputs has the header; an empty tensor counts as one.
    if (call->binary->size > 0 || (call->row_count == 0 && call->is_binary)) {
        exchange->reply.content_type = "application/octet-stream";
        tp_buffer_printf(&exchange->reply.headers, "inference-header-content-length: %zu\r\n",
                         json->size);
        tp_buffer_append_str(json, tp_buffer_view(call->binary));
    }
    return tp_buffer_check(call->binary, "reply", err);
}

static tapeout_status infer(infer_call *call, yyjson_val *root, tapeout_error *err)
{
    yyjson_val *id = yyjson_obj_get(root, "id");
    if (!yyjson_is_obj(root) || (id != NULL && !yyjson_is_str(id) && !yyjson_is_null(id))) {
        return tp_fail(err, TAPEOUT_E_DATA,
                       "request body: an object was expected, its id a string");
    }
    call->is_binary =
        yyjson_is_true(yyjson_obj_get(yyjson_obj_get(root, "parameters"), "binary_data_output"));
    TP_TRY(read_inputs(call, root, err));
    TP_TRY(tp_serve_batch_score(call->batch, err));
    return write_reply(call, root, err);
}

tapeout_status tp_serve_v2_infer(serve_exchange *exchange, tapeout_error *err)
{
    TP_TRY(tp_serve_table_find(exchange, err));
    serve_batch batch;
    infer_call call = {.exchange = exchange, .batch = &batch, .binary = &exchange->scratch};
    TP_TRY(split_body(&call, err));
    yyjson_doc *doc = NULL;
    TP_TRY(tp_serve_body_json(exchange, &doc, err));
    tapeout_status status = tp_serve_batch_begin(&batch, exchange, err);
    if (status == TAPEOUT_OK) {
        status = infer(&call, yyjson_doc_get_root(doc), err);
    }
    tp_serve_batch_end(&batch);
    yyjson_doc_free(doc);
    return status;
}
