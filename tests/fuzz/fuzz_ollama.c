// SPDX-License-Identifier: Apache-2.0
//
// Ollama's /api/chat, /api/generate and /api/embed; the first byte chooses.
#include "llm_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {"/api/chat", "/api/generate", "/api/embed", "/api/show"};
    return size == 0 ? 0 : llm_request_fuzz(paths[data[0] % 4], data + 1, size - 1);
}
