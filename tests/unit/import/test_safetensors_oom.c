// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of reading a safetensors file fails in turn.
#include "import/tp_safetensors.h"
#include "test.h"

#include <string.h>

static tapeout_status parse(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_safetensors *file = NULL;
    const tapeout_status status = tp_safetensors_parse(&env, *(tp_str *)user, &file, err);
    ASSERT((status == TAPEOUT_OK) == (file != NULL));
    tp_safetensors_close(&file);
    return status;
}

static void test_parsing(void)
{
    static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                                 "\"b\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[4,6]}}";
    char bytes[sizeof(header) + 13] = {(char)(sizeof(header) - 1)};
    memcpy(bytes + 8, header, sizeof(header) - 1);
    tp_str text = {bytes, 8 + sizeof(header) - 1 + 6};
    test_out_of_memory(parse, &text);
}

TEST_MAIN(TEST(test_parsing))
