// SPDX-License-Identifier: Apache-2.0
//
// The Open Inference Protocol besides inference: what the server and its models are. Inputs are the
// raw columns that the model's features read; every extension that is named here works.
#include "serve/oip_priv.h"
#include "serve/serve_handlers.h"

#include "base/tp_error.h"
#include "serve/serve_audit.h"
#include "table/tp_json.h"

#include <string.h>

tapeout_status tp_serve_v2_server(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    exchange->reply.content_type = "application/json";
    tp_buffer_printf(&exchange->reply.body,
                     "{\"name\":\"tapeout\",\"version\":\"%s\",\"extensions\":["
                     "\"binary_tensor_data\",\"model_repository\",\"statistics\","
                     "\"model_configuration\",\"parameters\"]}",
                     tapeout_version());
    return TAPEOUT_OK;
}

// One tensor, in the words of the metadata or of Triton's configuration.
static void write_tensor(tp_buffer *json, tp_str name, const char *datatype, bool is_config)
{
    const bool is_first = json->size > 0 && json->data[json->size - 1] == '[';
    tp_buffer_append_text(json, is_first ? "{\"name\":" : ",{\"name\":");
    tp_json_append_str(json, name);
    if (is_config) {
        tp_buffer_printf(json, ",\"data_type\":\"TYPE_%s\",\"dims\":[-1]}",
                         datatype[1] == 'Y' ? "STRING" : datatype);
    } else {
        tp_buffer_printf(json, ",\"datatype\":\"%s\",\"shape\":[-1]}", datatype);
    }
}

static void write_tensors(serve_exchange *exchange, bool is_config)
{
    const tp_served *model = exchange->model;
    tp_buffer *json = &exchange->reply.body;
    tp_buffer_append_text(json, is_config ? ",\"input\":[" : ",\"inputs\":[");
    if (model->scorer == NULL) { // a language model has no tensors
        tp_buffer_append_text(json, is_config ? "],\"output\":[]" : "],\"outputs\":[]");
        return;
    }
    for (uint32_t c = 0; c < model->schema->count; c++) {
        const tp_field *field = &model->schema->fields[c];
        write_tensor(json, field->name, tp_oip_datatype_of_column(field->type), is_config);
    }
    tp_buffer_append_text(json, is_config ? "],\"output\":[" : "],\"outputs\":[");
    const bool is_text = model->target->class_count > 0 && !model->target->classes_are_int;
    for (uint32_t i = 0; i < model->output_count; i++) {
        write_tensor(json, model->output_names[i], i == 0 && is_text ? "BYTES" : "FP64", is_config);
    }
    tp_buffer_append_char(json, ']');
}

// ["1","2"]: the versions of that name.
static void write_versions(serve_exchange *exchange)
{
    tp_served *models[TP_MAX_SERVED_MODELS];
    tp_engine *engine = exchange->state->engine;
    const size_t count = tp_serve_models_list(exchange, models);
    tp_buffer *json = &exchange->reply.body;
    bool is_begun = false;
    tp_buffer_append_text(json, ",\"versions\":[");
    for (size_t i = 0; i < count; i++) {
        if (tp_str_equal(models[i]->name, exchange->model->name)) {
            tp_buffer_append_text(json, is_begun ? "," : "");
            tp_json_append_str(json, models[i]->version);
            is_begun = true;
        }
        tp_engine_unref(engine, models[i]);
    }
    tp_buffer_append_char(json, ']');
}

tapeout_status tp_serve_v2_model(serve_exchange *exchange, tapeout_error *err)
{
    TP_TRY(tp_serve_model_find(exchange, err));
    tp_buffer *json = &exchange->reply.body;
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(json, "{\"name\":");
    tp_json_append_str(json, exchange->model->name);
    write_versions(exchange);
    tp_buffer_append_text(json, ",\"platform\":\"tapeout\"");
    write_tensors(exchange, false);
    tp_buffer_append_char(json, '}');
    return TAPEOUT_OK;
}

tapeout_status tp_serve_v2_model_ready(serve_exchange *exchange, tapeout_error *err)
{
    TP_TRY(tp_serve_model_find(exchange, err));
    tp_buffer *json = &exchange->reply.body;
    const bool is_ready = atomic_load_explicit(&exchange->state->is_ready, memory_order_acquire);
    exchange->reply.status = is_ready ? 200 : 503;
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(json, "{\"name\":");
    tp_json_append_str(json, exchange->model->name);
    tp_buffer_append_text(json, is_ready ? ",\"ready\":true}" : ",\"ready\":false}");
    return TAPEOUT_OK;
}

tapeout_status tp_serve_v2_config(serve_exchange *exchange, tapeout_error *err)
{
    TP_TRY(tp_serve_model_find(exchange, err));
    tp_buffer *json = &exchange->reply.body;
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(json, "{\"name\":");
    tp_json_append_str(json, exchange->model->name);
    // The row count is in the shape itself, so there is no batch dimension besides.
    tp_buffer_append_text(json, ",\"platform\":\"tapeout\",\"backend\":\"tapeout\","
                                "\"max_batch_size\":0");
    write_tensors(exchange, true);
    tp_buffer_append_char(json, '}');
    return TAPEOUT_OK;
}

static void write_duration(tp_buffer *json, const char *key, uint64_t count, uint64_t ns)
{
    tp_json_append_key(json, key);
    tp_buffer_printf(json, "{\"count\":%llu,\"ns\":%llu}", (unsigned long long)count,
                     (unsigned long long)ns);
}

static uint64_t load(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void write_stats(tp_buffer *json, const tp_served *model)
{
    const tp_served_stats *stats = &model->stats;
    const uint64_t success = load(&stats->success_count);
    const uint64_t compute_ns = load(&stats->compute_ns);
    const uint64_t success_ns = load(&stats->success_ns);
    tp_buffer_append_text(json, "{\"name\":");
    tp_json_append_str(json, model->name);
    tp_buffer_append_text(json, ",\"version\":");
    tp_json_append_str(json, model->version);
    tp_buffer_printf(json,
                     ",\"last_inference\":%llu,\"inference_count\":%llu,\"execution_count\":%llu,"
                     "\"inference_stats\":{",
                     (unsigned long long)load(&stats->last_ms),
                     (unsigned long long)load(&stats->row_count), (unsigned long long)success);
    write_duration(json, "success", success, success_ns);
    write_duration(json, "fail", load(&stats->fail_count), load(&stats->fail_ns));
    write_duration(json, "queue", success, 0);
    write_duration(json, "compute_input", success, 0);
    write_duration(json, "compute_infer", success, compute_ns);
    write_duration(json, "compute_output", success, 0);
    write_duration(json, "cache_hit", 0, 0);
    write_duration(json, "cache_miss", 0, 0);
    tp_buffer_append_text(json, "},\"batch_stats\":[],\"memory_usage\":[],\"response_stats\":{}}");
}

// Of the model that the path names, or of all that the caller may see.
tapeout_status tp_serve_v2_stats(serve_exchange *exchange, tapeout_error *err)
{
    tp_served *models[TP_MAX_SERVED_MODELS];
    const bool is_named = strchr(exchange->route->pattern, '{') != NULL;
    size_t count = 1;
    if (is_named) {
        TP_TRY(tp_serve_model_find(exchange, err));
        models[0] = exchange->model;
    } else {
        count = tp_serve_models_list(exchange, models);
    }
    tp_buffer *json = &exchange->reply.body;
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(json, "{\"model_stats\":[");
    for (size_t i = 0; i < count; i++) {
        tp_buffer_append_text(json, i == 0 ? "" : ",");
        write_stats(json, models[i]);
        if (!is_named) {
            tp_engine_unref(exchange->state->engine, models[i]);
        }
    }
    tp_buffer_append_text(json, "]}");
    return TAPEOUT_OK;
}

static void write_idle(void *user, const tp_model_spec *spec)
{
    serve_exchange *exchange = user;
    tp_buffer *json = &exchange->reply.body;
    const bool is_first = json->size == 1;
    if (!tp_principal_may(exchange->principal, TP_RIGHT_READ, spec->tenant, spec->name)) {
        return;
    }
    tp_buffer_append_text(json, is_first ? "{\"name\":" : ",{\"name\":");
    tp_json_append_str(json, spec->name);
    tp_buffer_append_text(json, ",\"version\":");
    tp_json_append_str(json, spec->version);
    tp_buffer_append_text(json, ",\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded\"}");
}

tapeout_status tp_serve_v2_index(serve_exchange *exchange, tapeout_error *err)
{
    (void)err;
    tp_served *models[TP_MAX_SERVED_MODELS];
    tp_engine *engine = exchange->state->engine;
    const size_t count = tp_serve_models_list(exchange, models);
    tp_buffer *json = &exchange->reply.body;
    exchange->reply.content_type = "application/json";
    tp_buffer_append_char(json, '[');
    for (size_t i = 0; i < count; i++) {
        tp_buffer_append_text(json, i == 0 ? "{\"name\":" : ",{\"name\":");
        tp_json_append_str(json, models[i]->name);
        tp_buffer_append_text(json, ",\"version\":");
        tp_json_append_str(json, models[i]->version);
        tp_buffer_append_text(json, ",\"state\":\"READY\",\"reason\":\"\"}");
        tp_engine_unref(engine, models[i]);
    }
    tp_engine_idle_each(engine, write_idle, exchange);
    tp_buffer_append_char(json, ']');
    return TAPEOUT_OK;
}

// Tables are so small that they stay: for them these routes are not there.
static tapeout_status check_may_change(const serve_exchange *exchange, tapeout_error *err)
{
    tp_engine *engine = exchange->state->engine;
    TP_TRY(tp_serve_require(exchange, TP_RIGHT_ADMIN, exchange->params[0], err));
    tp_served *model =
        tp_engine_find(engine, tp_serve_tenant(exchange), exchange->params[0], (tp_str){NULL, 0});
    const bool is_table = model != NULL && model->scorer != NULL;
    tp_engine_unref(engine, model);
    return is_table ? tp_fail(err, TAPEOUT_E_NOT_FOUND,
                              "only language models are loaded and unloaded at run time")
                    : TAPEOUT_OK;
}

// Triton's extension. A body, with parameters for other servers, is let be.
tapeout_status tp_serve_v2_load(serve_exchange *exchange, tapeout_error *err)
{
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(&exchange->reply.body, "{}");
    TP_TRY(check_may_change(exchange, err));
    TP_TRY(tp_engine_load(exchange->state->engine, tp_serve_tenant(exchange), exchange->params[0],
                          err));
    tp_serve_models_changed(exchange);
    return TAPEOUT_OK;
}

tapeout_status tp_serve_v2_unload(serve_exchange *exchange, tapeout_error *err)
{
    exchange->reply.content_type = "application/json";
    tp_buffer_append_text(&exchange->reply.body, "{}");
    TP_TRY(check_may_change(exchange, err));
    TP_TRY(tp_engine_unload(exchange->state->engine, tp_serve_tenant(exchange), exchange->params[0],
                            err));
    tp_serve_models_changed(exchange);
    return TAPEOUT_OK;
}
