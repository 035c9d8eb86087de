// SPDX-License-Identifier: Apache-2.0
//
// OpenAI's /v1/chat/completions, /v1/completions and /v1/embeddings, and llama.cpp's /tokenize; the
// first byte chooses.
#include "llm_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings",
                                        "/tokenize"};
    return size == 0 ? 0 : llm_request_fuzz(paths[data[0] % 4], data + 1, size - 1);
}
