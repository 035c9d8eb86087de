// SPDX-License-Identifier: Apache-2.0
//
// TZif files out of arbitrary bytes: refused, or a list of moments in order with offsets of at most
// 26 hours.
#include "feature/feature_code.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    tp_feature_zone zone = {.count = 0};
    const tp_str bytes = {(const char *)data, size};
    if (tp_feature_zone_parse(alloc, bytes, &zone, NULL) != TAPEOUT_OK) {
        return 0;
    }
    for (uint32_t i = 0; i < zone.count; i++) {
        check(i == 0 || zone.starts_s[i] > zone.starts_s[i - 1]);
        check(abs(zone.offsets_s[i]) <= 26 * 3600);
        check(tp_feature_zone_find(&zone, zone.starts_s[i]) == i + 1);
    }
    tp_feature_zone_deinit(alloc, &zone);
    return 0;
}
