// SPDX-License-Identifier: Apache-2.0
#include "base/tp_machine.h"

#include "test.h"

// There is no second source to compare with: what is said must be possible.
static void test_memory(void)
{
    const tp_machine_memory memory = tp_machine_memory_read();
    ASSERT(memory.total_bytes > (64 << 20));
    ASSERT(memory.available_bytes > 0 && memory.available_bytes <= memory.total_bytes);
    // In bytes, and not in KiB or pages: this process alone has touched more than a thousandth.
    ASSERT(memory.total_bytes % 1024 == 0);
}

TEST_MAIN(TEST(test_memory))
