// SPDX-License-Identifier: Apache-2.0
//
// The serialised forest (docs/formats/gbt.md): whatever the bytes, reading ends with a forest or a
// refusal; a forest that was read predicts and is written back as the same bytes.
#include "base/tp_alloc.h"
#include "learn/gbt/tp_gbt.h"

#include <stdlib.h>
#include <string.h>

enum { FEATURES = 3, ROWS = 40, OUTPUTS_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void predict(const tp_gbt *gbt)
{
    static double values[FEATURES][ROWS];
    static double margins[OUTPUTS_MAX * ROWS];
    const double *columns[FEATURES];
    for (int f = 0; f < FEATURES; f++) {
        columns[f] = values[f];
        for (int row = 0; row < ROWS; row++) {
            values[f][row] = row == 0 ? __builtin_nan("") : (f == 2 ? row : row * 0.05 - 1);
        }
    }
    const size_t scratch_size = tp_gbt_scratch_size(gbt, ROWS);
    void *scratch = tp_alloc_aligned(gbt->alloc, scratch_size);
    if (scratch != NULL) {
        tp_gbt_margins(gbt, columns, ROWS, scratch, margins);
        tp_free_aligned(gbt->alloc, scratch, scratch_size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_learn_feature features[FEATURES] = {
        {.monotone = 0}, {.monotone = 0}, {.is_category = true, .category_count = 50}};
    const tp_env env = tp_env_plain();
    tp_gbt *gbt = NULL;
    tapeout_error err;
    const tp_str bytes = {(const char *)data, size};
    if (tp_gbt_read(&env, bytes, features, FEATURES, &gbt, &err) != TAPEOUT_OK) {
        return 0;
    }
    if (gbt->trees_per_iteration <= OUTPUTS_MAX) {
        predict(gbt);
    }
    tp_buffer again;
    tp_buffer_init(&again, env.alloc, (size_t)1 << 30);
    tp_gbt_write(gbt, &again);
    if (again.size != size || memcmp(again.data, data, size) != 0) {
        abort();
    }
    tp_buffer_deinit(&again);
    tp_gbt_free(gbt);
    return 0;
}
