// SPDX-License-Identifier: Apache-2.0
//
// Regular expressions out of arbitrary text.
#include "grammar_walker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return grammar_fuzz(tp_grammar_from_regex, data, size);
}
