// SPDX-License-Identifier: Apache-2.0
//
// Writing a bundle of a language model: metadata, licence and lineage as they are, the weights
// packed one tensor at a time into the file.
#include "bundle/tp_llm_bundle.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

enum { WEIGHTS_SECTION, METADATA_SECTION, LICENCE_SECTION, LINEAGE_SECTION, SECTION_COUNT };

enum { WEIGHTS_SECTION_ALIGN = 4096 }; // pages of their own

typedef struct pack_job {
    const tp_env *env;
    const tp_gguf_builder *model;
    uint64_t total;   // of the weights
    uint64_t largest; // packed tensor
    uint8_t *packed;  // [largest]
} pack_job;

static uint64_t padding(uint64_t size)
{
    return (0 - size) & (TP_LLM_WEIGHT_ALIGN - 1);
}

static tapeout_status measure(pack_job *job, tapeout_error *err)
{
    for (size_t i = 0; i < tp_gguf_builder_tensor_count(job->model); i++) {
        const tp_gguf_tensor tensor = tp_gguf_builder_tensor_at(job->model, i);
        uint64_t size = 0;
        TP_TRY(tp_llm_packed_bytes(&tensor, &size, err));
        job->largest = size > job->largest ? size : job->largest;
        job->total += size + padding(size); // each at most as much memory as a machine addresses
    }
    return TAPEOUT_OK;
}

static tapeout_status fill_weights(void *user, size_t index, tp_bundle_stream *stream,
                                   tapeout_error *err)
{
    static const uint8_t zeros[TP_LLM_WEIGHT_ALIGN];
    const pack_job *job = user;
    uint64_t done = 0;
    (void)index; // the one section without data
    for (size_t i = 0; i < tp_gguf_builder_tensor_count(job->model); i++) {
        const tp_gguf_tensor tensor = tp_gguf_builder_tensor_at(job->model, i);
        uint64_t size = 0;
        TP_TRY(tp_env_check(job->env, err));
        TP_TRY(tp_llm_packed_bytes(&tensor, &size, err));
        TP_TRY(tp_llm_pack(job->env, &tensor, job->packed, err));
        TP_TRY(tp_bundle_stream_write(stream, job->packed, (size_t)size, err));
        TP_TRY(tp_bundle_stream_write(stream, zeros, (size_t)padding(size), err));
        done += size + padding(size);
        tp_env_progress(job->env, "packing weights", (double)done / (double)job->total);
    }
    return TAPEOUT_OK;
}

static tapeout_status write_file(pack_job *job, const char *path, const tp_llm_content *content,
                                 tp_sha256 *ret_hash, tapeout_error *err)
{
    tp_buffer metadata;
    tp_buffer_init(&metadata, job->env->alloc, TP_MAX_GGUF_METADATA_BYTES);
    tapeout_status status = tp_gguf_builder_render(job->model, &metadata, err);
    if (status == TAPEOUT_OK) {
        const tp_bundle_section sections[SECTION_COUNT] = {
            [WEIGHTS_SECTION] = {TP_STR("weights"),
                                 {NULL, (size_t)job->total},
                                 WEIGHTS_SECTION_ALIGN},
            [METADATA_SECTION] = {TP_STR("metadata"), tp_buffer_view(&metadata), 64},
            [LICENCE_SECTION] = {TP_STR("licence.txt"), content->licence, 64},
            [LINEAGE_SECTION] = {TP_STR("lineage.json"), content->lineage_json, 64},
        };
        const tp_bundle_content bundle = {TP_STR("llm"), content->name, sections, SECTION_COUNT};
        status = tp_bundle_write_filled(job->env, path, &bundle, fill_weights, job, ret_hash, err);
    }
    tp_buffer_deinit(&metadata);
    return status;
}

tapeout_status tp_llm_bundle_write(const tp_env *env, const char *path,
                                   const tp_llm_content *content, tp_sha256 *ret_hash,
                                   tapeout_error *err)
{
    pack_job job = {.env = env, .model = content->model};
    TP_TRY(tp_gguf_builder_check(content->model, err));
    TP_TRY(measure(&job, err));
    if (job.total == 0) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "llm: the model has no tensors");
    }
    job.packed = tp_alloc_aligned(env->alloc, (size_t)job.largest);
    if (job.packed == NULL) {
        return tp_fail_nomem(err);
    }
    const tapeout_status status = write_file(&job, path, content, ret_hash, err);
    tp_free_aligned(env->alloc, job.packed, (size_t)job.largest);
    return status;
}
