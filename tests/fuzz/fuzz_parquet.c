// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a Parquet file: the check ends, reads nothing outside, and says what is wrong. As a
// mutation rarely leaves the two ends right, they are also put right, with the footer's length
// taken from the first two bytes.
#include "base/tp_alloc.h"
#include "table/parquet_priv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *data, size_t size)
{
    tapeout_error err = {0};
    const tapeout_status status = tp_parquet_check(tp_allocator_default(), data, size, &err);
    if ((status == TAPEOUT_OK) != (err.message[0] == '\0')) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size);
    if (size < 12) {
        return 0;
    }
    uint8_t *copy = malloc(size);
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data, size);
    const size_t wanted = (size_t)data[0] << 8 | data[1];
    const uint32_t footer = (uint32_t)(wanted % (size - 11));
    memcpy(copy, "PAR1", 4);
    memcpy(copy + size - 8, &footer, 4);
    memcpy(copy + size - 4, "PAR1", 4);
    check(copy, size);
    free(copy);
    return 0;
}
