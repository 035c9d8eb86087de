// SPDX-License-Identifier: Apache-2.0
//
// POST /v1/responses: items become messages, flat tools those of a chat.
#include "llm_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return llm_request_fuzz("/v1/responses", data, size);
}
