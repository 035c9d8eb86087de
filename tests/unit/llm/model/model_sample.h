// SPDX-License-Identifier: Apache-2.0
//
// The tiny models of tests/conformance/llm_tiny for tests: opening one, computing a text with it in
// one go or in pieces.
#ifndef MODEL_SAMPLE_H
#define MODEL_SAMPLE_H

#include "llm/model/tp_forward.h"
#include "table/tp_json.h"

enum { SAMPLE_IDS_MAX = 64, SAMPLE_PAGES = 64 };

typedef struct sample_model {
    tp_env env;
    tp_llm *llm;
    uint32_t ids[SAMPLE_IDS_MAX]; // of the manifest
    uint32_t id_count;
    yyjson_doc *manifest;
    yyjson_val *facts; // its entry of the manifest
} sample_model;

// All names of the manifest's models; how many.
uint32_t sample_names(char (*ret_names)[64], uint32_t max_count);

void sample_open(const char *name, sample_model *ret_sample);
void sample_close(sample_model *sample);

// How a text is computed.
typedef struct sample_way {
    uint32_t threads;   // 0: 1
    uint32_t chunk;     // tokens of one step; 0: all
    uint32_t company;   // other sequences in each step, before and after this one
    uint32_t page_step; // pages are taken from the cache's end, so many apart; 0: 1
    tp_kv_type kv_type;
} sample_way;

// Logits [count, V] of a text; freed by the caller with tp_free_array.
float *sample_logits(const sample_model *sample, const uint32_t *ids, uint32_t count,
                     const sample_way *way);

#endif
