// SPDX-License-Identifier: Apache-2.0
//
// ONNX models: whatever the bytes, importing ends with a model that answers any row and can be
// written and read back, or with a refusal.
#include "fuzz_import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_import(data, size);
}
