// SPDX-License-Identifier: Apache-2.0
//
// tapeout_llm_quantize: a GGUF file in, a GGUF file with matrices of another type out. Tensor by
// tensor, rows in parallel; what is chosen for a tensor depends on its name and shape alone, so the
// same file gives the same file on any machine and with any number of threads.
#include "llm/gguf/tp_gguf_write.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "llm/host/tp_gguf_check.h"
#include "table/tp_json.h"

#include <string.h>
#include <tapeout/import.h>

void tapeout_quantize_options_init(tapeout_quantize_options *options)
{
    *options = (tapeout_quantize_options){.struct_size = sizeof(*options)};
}

typedef struct quantize_job {
    const tp_env *env;
    tp_gguf *source;
    tp_tensor_type type;   // of matrices
    tp_tensor_type output; // of token embedding and output
    tp_gguf_builder builder;
    uint64_t fallbacks;
    uint64_t counts[TP_TENSOR_TYPE_END]; // tensors by the type they got
    const tp_gguf_tensor *from;          // the tensor that is being made, and as what
    tp_gguf_tensor to;
    float *rows; // [workers][columns]
    uint8_t *packed;
} quantize_job;

static bool is_kept_float(const tp_gguf_tensor *tensor)
{
    static const char *const names[] = {"position_embd.weight", "token_types.weight"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (tp_str_equal(tensor->name, tp_str_from(names[i]))) {
            return true;
        }
    }
    // Which experts are chosen hangs on small differences.
    return tensor->dim_count == 1 || tp_str_contains(tensor->name, TP_STR("ffn_gate_inp"));
}

static tp_tensor_type choose_type(quantize_job *job, const tp_gguf_tensor *tensor)
{
    if (is_kept_float(tensor)) {
        return TP_TENSOR_F32;
    }
    const bool is_output = tp_str_equal(tensor->name, TP_STR("token_embd.weight")) ||
                           tp_str_equal(tensor->name, TP_STR("output.weight"));
    const tp_tensor_type wanted = is_output ? job->output : job->type;
    if (tensor->dims[0] % tp_tensor_layout_of(wanted)->block_length == 0) {
        return wanted;
    }
    job->fallbacks++;
    const tp_tensor_type near = wanted == TP_TENSOR_Q4_K ? TP_TENSOR_Q4_0 : TP_TENSOR_Q8_0;
    return tensor->dims[0] % tp_tensor_layout_of(near)->block_length == 0 ? near : TP_TENSOR_F16;
}

static tapeout_status quantize_row(void *user, size_t row, size_t worker, tapeout_error *err)
{
    const quantize_job *job = user;
    const uint64_t columns = job->from->dims[0];
    float *values = job->rows + worker * columns;
    const uint64_t from_bytes = tp_tensor_row_bytes(job->from->type, columns);
    const uint64_t to_bytes = tp_tensor_row_bytes(job->to.type, columns);
    tp_tensor_dequantize(job->from->type, (const uint8_t *)job->from->data.data + row * from_bytes,
                         columns, values);
    if (!tp_tensor_quantize(job->to.type, values, columns, job->packed + row * to_bytes)) {
        return tp_fail(err, TAPEOUT_E_DATA,
                       "quantize: row %zu of tensor %.*s has a weight that is not finite or too "
                       "large for %s",
                       row, TP_STR_ARGS(job->from->name), tp_tensor_layout_of(job->to.type)->name);
    }
    return TAPEOUT_OK;
}

static tapeout_status write_tensor(quantize_job *job, tp_writer *writer, tapeout_error *err)
{
    const size_t rows = (size_t)(job->from->dims[1] * job->from->dims[2] * job->from->dims[3]);
    const size_t workers = tp_pool_worker_count(job->env->pool);
    const size_t columns = (size_t)job->from->dims[0];
    job->rows = tp_alloc_array(job->env->alloc, workers * columns, sizeof(*job->rows));
    job->packed = tp_alloc(job->env->alloc, (size_t)job->to.size_bytes);
    tapeout_status status =
        job->rows == NULL || job->packed == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
    if (status == TAPEOUT_OK) {
        status = tp_pool_for(job->env->pool, rows, quantize_row, job, err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_writer_write(writer, job->packed, (size_t)job->to.size_bytes, err);
    }
    tp_free_array(job->env->alloc, job->rows, workers * columns, sizeof(*job->rows));
    tp_free(job->env->alloc, job->packed, (size_t)job->to.size_bytes);
    return status;
}

static tapeout_status fill(void *user, size_t index, tp_writer *writer, tapeout_error *err)
{
    quantize_job *job = user;
    job->from = tp_gguf_tensor_at(job->source, index);
    job->to = tp_gguf_builder_tensor_at(&job->builder, index);
    TP_TRY(tp_env_check(job->env, err));
    TP_TRY(write_tensor(job, writer, err));
    tp_env_progress(job->env, "quantizing",
                    (double)(index + 1) / (double)tp_gguf_tensor_count(job->source));
    return TAPEOUT_OK;
}

// What the file as a whole is called, by llama.cpp's numbers; the mix is what the matrices are.
static uint32_t file_type(tp_tensor_type type)
{
    switch (type) {
    case TP_TENSOR_F32:
        return 0;
    case TP_TENSOR_F16:
        return 1;
    case TP_TENSOR_Q4_0:
        return 2;
    case TP_TENSOR_Q8_0:
        return 7;
    case TP_TENSOR_Q4_K:
        return 15;
    case TP_TENSOR_Q6_K:
        return 18;
    default:
        return 32; // BF16: the only other one that can be made
    }
}

static void plan(quantize_job *job)
{
    for (size_t i = 0; i < tp_gguf_kv_count(job->source); i++) {
        const tp_gguf_kv *kv = tp_gguf_kv_at(job->source, i);
        if (tp_str_equal(kv->key, TP_STR("general.file_type"))) {
            tp_gguf_builder_u32(&job->builder, "general.file_type", file_type(job->type));
        } else if (!tp_str_equal(kv->key, TP_STR("general.alignment")) &&
                   !tp_str_has_prefix(kv->key, TP_STR("split."))) {
            tp_gguf_builder_copy(&job->builder, kv);
        }
    }
    for (size_t i = 0; i < tp_gguf_tensor_count(job->source); i++) {
        tp_gguf_tensor tensor = *tp_gguf_tensor_at(job->source, i);
        tensor.type = choose_type(job, &tensor);
        tensor.data = (tp_str){NULL, 0};
        job->counts[tensor.type]++;
        tp_gguf_builder_tensor(&job->builder, &tensor);
    }
}

static tapeout_status find_type(const char *name, tp_tensor_type *ret_type, tapeout_error *err)
{
    if (!tp_tensor_type_find(tp_str_from(name), ret_type) || !tp_tensor_can_quantize(*ret_type)) {
        return tp_fail(
            err, TAPEOUT_E_UNSUPPORTED,
            "quantize: type \"%s\" cannot be made; Q8_0, Q4_0, Q4_K, Q6_K, F16, BF16 and "
            "F32 can",
            name);
    }
    return TAPEOUT_OK;
}

static tapeout_status render(const quantize_job *job, const char *out_path, char **ret_json,
                             tapeout_error *err)
{
    tp_buffer json;
    tp_buffer_init(&json, job->env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    tp_buffer_append_char(&json, '{');
    tp_json_append_key(&json, "path");
    tp_json_append_str(&json, tp_str_from(out_path));
    tp_json_append_key(&json, "tensors");
    tp_json_append_u64(&json, tp_gguf_tensor_count(job->source));
    tp_json_append_key(&json, "fallbacks");
    tp_json_append_u64(&json, job->fallbacks);
    tp_json_append_key(&json, "types");
    tp_buffer_append_char(&json, '{');
    for (uint32_t type = 0; type < TP_TENSOR_TYPE_END; type++) {
        if (job->counts[type] > 0) {
            tp_json_append_key(&json, tp_tensor_layout_of(type)->name);
            tp_json_append_u64(&json, job->counts[type]);
        }
    }
    tp_buffer_append_text(&json, "}}");
    return tp_text_from_buffer(&json, "quantize", ret_json, err);
}

tapeout_status tapeout_llm_quantize(tapeout_context *context, const char *path,
                                    const tapeout_quantize_options *options, char **ret_json,
                                    tapeout_error *err)
{
    quantize_job job = {.env = tp_context_env(context), .output = TP_TENSOR_Q8_0};
    if (options->type == NULL || options->out_path == NULL) {
        return tp_fail(err, TAPEOUT_E_INVALID, "quantize: a type and a file to write are needed");
    }
    TP_TRY(find_type(options->type, &job.type, err));
    if (options->output != NULL) {
        TP_TRY(find_type(options->output, &job.output, err));
    }
    TP_TRY(tp_gguf_open_checked(job.env, path, TP_GGUF_FOR_TENSORS, &job.source, err));
    tp_gguf_builder_init(&job.builder, job.env->alloc);
    plan(&job);
    tapeout_status status =
        tp_gguf_write(job.env, options->out_path, &job.builder, fill, &job, err);
    if (status == TAPEOUT_OK) {
        status = render(&job, options->out_path, ret_json, err);
    }
    tp_gguf_builder_deinit(&job.builder);
    tp_gguf_close(&job.source);
    return status;
}
