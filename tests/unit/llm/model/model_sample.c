// SPDX-License-Identifier: Apache-2.0
#include "model_sample.h"

#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "test.h"

#include <string.h>

static yyjson_doc *read_manifest(void)
{
    char path[2048];
    (void)snprintf(path, sizeof(path), "%s/tests/conformance/llm_tiny/manifest.json",
                   test_source_dir());
    tp_str text = {0};
    ASSERT_OK(tp_file_read(tp_allocator_default(), path, 1u << 24, &text, &test_err));
    yyjson_doc *doc = NULL;
    ASSERT_OK(tp_json_parse(tp_allocator_default(), text, "manifest", &doc, &test_err));
    tp_free(tp_allocator_default(), (void *)(uintptr_t)text.data, text.size + 1);
    return doc;
}

uint32_t sample_names(char (*ret_names)[64], uint32_t max_count)
{
    yyjson_doc *doc = read_manifest();
    yyjson_val *models = yyjson_obj_get(yyjson_doc_get_root(doc), "models");
    yyjson_obj_iter iter = yyjson_obj_iter_with(models);
    uint32_t count = 0;
    for (yyjson_val *key = NULL; (key = yyjson_obj_iter_next(&iter)) != NULL; count++) {
        ASSERT(count < max_count);
        const tp_str name = tp_json_str(key);
        (void)snprintf(ret_names[count], 64, "%.*s", TP_STR_ARGS(name));
    }
    yyjson_doc_free(doc);
    return count;
}

void sample_open(const char *name, sample_model *ret_sample)
{
    *ret_sample = (sample_model){.env = tp_env_plain(), .manifest = read_manifest()};
    yyjson_val *models = yyjson_obj_get(yyjson_doc_get_root(ret_sample->manifest), "models");
    ret_sample->facts = yyjson_obj_get(models, name);
    ASSERT(ret_sample->facts != NULL);
    yyjson_val *ids = yyjson_obj_get(ret_sample->facts, "ids");
    ret_sample->id_count = (uint32_t)yyjson_arr_size(ids);
    ASSERT(ret_sample->id_count <= SAMPLE_IDS_MAX);
    for (uint32_t i = 0; i < ret_sample->id_count; i++) {
        ret_sample->ids[i] = (uint32_t)yyjson_get_uint(yyjson_arr_get(ids, i));
    }
    char path[2048];
    (void)snprintf(path, sizeof(path), "%s/tests/conformance/llm_tiny/%s", test_source_dir(), name);
    tp_gguf *gguf = NULL;
    ASSERT_OK(tp_gguf_open(&ret_sample->env, path, &gguf, &test_err));
    ASSERT_OK(tp_llm_from_gguf(&ret_sample->env, gguf, &ret_sample->llm, &test_err));
}

void sample_close(sample_model *sample)
{
    tp_llm_free(sample->llm);
    yyjson_doc_free(sample->manifest);
}

enum { COMPANY_MAX = 16, TOKENS_MAX = 4096 };

typedef struct sample_step {
    tp_llm_token *tokens; // [TOKENS_MAX]
    uint32_t count;
} sample_step;

static void add_tokens(sample_step *step, uint32_t sequence, const uint32_t *ids, uint32_t begin,
                       uint32_t end)
{
    for (uint32_t i = begin; i < end; i++) {
        ASSERT(step->count < TOKENS_MAX);
        // The others read the text backwards, so that they are other texts.
        step->tokens[step->count++] = (tp_llm_token){.id = sequence == 0 ? ids[i] : ids[end - 1],
                                                     .position = i,
                                                     .sequence = sequence,
                                                     .wants_logits = sequence == 0};
    }
}

float *sample_logits(const sample_model *sample, const uint32_t *ids, uint32_t count,
                     const sample_way *way)
{
    static uint32_t pages[COMPANY_MAX][SAMPLE_PAGES];
    static tp_llm_token tokens[TOKENS_MAX];
    tp_llm_sequence sequences[COMPANY_MAX];
    const uint32_t vocab_count = tp_llm_facts_of(sample->llm)->vocab_count;
    const uint32_t page_step = way->page_step == 0 ? 1 : way->page_step;
    const uint32_t page_count = (count + TP_KV_PAGE_POSITIONS - 1) / TP_KV_PAGE_POSITIONS;
    const uint32_t kv_pages = (way->company + 1) * page_count * page_step;
    ASSERT(page_count <= SAMPLE_PAGES && way->company < COMPANY_MAX);
    for (uint32_t s = 0; s <= way->company; s++) {
        sequences[s].pages = pages[s];
        for (uint32_t p = 0; p < page_count; p++) {
            pages[s][p] = kv_pages - 1 - (s * page_count + p) * page_step;
        }
    }
    tp_kv *kv = NULL;
    tp_llm_run *run = NULL;
    ASSERT_OK(tp_kv_new(&sample->env, sample->llm, way->kv_type, kv_pages, &kv, &test_err));
    ASSERT_OK(tp_llm_run_new(&sample->env, sample->llm, kv, way->threads == 0 ? 1 : way->threads,
                             TOKENS_MAX, &run, &test_err));
    float *logits =
        tp_alloc_array(tp_allocator_default(), (size_t)count * vocab_count, sizeof(*logits));
    ASSERT(logits != NULL);
    const uint32_t chunk = way->chunk == 0 ? count : way->chunk;
    for (uint32_t begin = 0; begin < count; begin += chunk) {
        const uint32_t end = count - begin < chunk ? count : begin + chunk;
        sample_step step = {.tokens = tokens};
        for (uint32_t s = 1; s <= way->company / 2; s++) {
            add_tokens(&step, s, ids, begin, end);
        }
        add_tokens(&step, 0, ids, begin, end);
        for (uint32_t s = way->company / 2 + 1; s <= way->company; s++) {
            add_tokens(&step, s, ids, begin, end);
        }
        const tp_llm_step whole = {tokens, step.count, sequences, way->company + 1};
        ASSERT_OK(tp_llm_forward(run, &whole, logits + (size_t)begin * vocab_count, &test_err));
    }
    tp_llm_run_free(run);
    tp_kv_free(kv);
    return logits;
}
