// SPDX-License-Identifier: Apache-2.0
//
// Safetensors: what a good file says, and every way in which header and buffer can disagree.
#include "base/tp_alloc.h"
#include "base/tp_buffer.h"
#include "import/tp_safetensors.h"
#include "test.h"

#include <string.h>

// A file of `header` and `size` bytes of buffer (0, 1, 2, …), ending at an unreadable page.
static tapeout_status parse(const char *header, size_t size, tp_safetensors **ret_file)
{
    const tp_env env = tp_env_plain();
    const size_t header_size = strlen(header);
    char *bytes = test_guarded(8 + header_size + size);
    for (size_t i = 0; i < 8; i++) {
        bytes[i] = (char)(header_size >> (8 * i));
    }
    memcpy(bytes + 8, header, header_size);
    for (size_t i = 0; i < size; i++) {
        bytes[8 + header_size + i] = (char)i;
    }
    *ret_file = NULL;
    return tp_safetensors_parse(&env, (tp_str){bytes, 8 + header_size + size}, ret_file, &test_err);
}

static const char good[] =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"second\":{\"dtype\":\"BF16\",\"shape\":[2,1],\"data_offsets\":[12,16]},"
    "\"first\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
    "\"none\":{\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[12,12]},"
    "\"scalar\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[16,17]}}   ";

static void test_reads_a_file(void)
{
    tp_safetensors *file;
    ASSERT_OK(parse(good, 17, &file));
    ASSERT_EQ_UINT(tp_safetensors_count(file), 4);
    const tp_safetensors_tensor *second = tp_safetensors_find(file, TP_STR("second"));
    ASSERT(second == tp_safetensors_at(file, 2));
    ASSERT_EQ_STR(second->dtype, "BF16");
    ASSERT_EQ_UINT(second->dim_count, 2);
    ASSERT_EQ_UINT(second->dims[0], 2);
    ASSERT_EQ_UINT(second->dims[2], 1);
    ASSERT_EQ_BYTES(second->data.data, second->data.size, "\x0c\x0d\x0e\x0f", 4);
    ASSERT_EQ_UINT(tp_safetensors_find(file, TP_STR("scalar"))->data.size, 1);
    ASSERT_EQ_UINT(tp_safetensors_find(file, TP_STR("none"))->data.size, 0);
    ASSERT(tp_safetensors_find(file, TP_STR("__metadata__")) == NULL);
    tp_safetensors_close(&file);
    ASSERT(file == NULL);
    ASSERT_OK(parse("{}", 0, &file));
    ASSERT_EQ_UINT(tp_safetensors_count(file), 0);
    tp_safetensors_close(&file);
}

#define ONE(dtype, shape, offsets)                                                                 \
    "{\"t\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void test_what_does_not_fit_is_refused_by_name(void)
{
    static const struct {
        const char *header;
        size_t size;
        tapeout_status want;
        const char *part;
    } cases[] = {
        {"[]", 0, TAPEOUT_E_CORRUPT, "no JSON object"},
        {"{\"t\":1}", 0, TAPEOUT_E_CORRUPT, "\"t\": needs dtype"},
        {"{\"t\":{},\"t\":{}}", 0, TAPEOUT_E_CORRUPT, "header"},
        {"{", 0, TAPEOUT_E_CORRUPT, "header"},
        {"{\"__metadata__\":{\"a\":1}}", 0, TAPEOUT_E_CORRUPT, "__metadata__"},
        {"{\"__metadata__\":[]}", 0, TAPEOUT_E_CORRUPT, "__metadata__"},
        {ONE("\"F4\"", "[1]", "[0,4]"), 4, TAPEOUT_E_UNSUPPORTED, "dtype \"F4\""},
        {ONE("7", "[1]", "[0,4]"), 4, TAPEOUT_E_CORRUPT, "needs dtype"},
        {ONE("\"F32\"", "1", "[0,4]"), 4, TAPEOUT_E_CORRUPT, "shape"},
        {ONE("\"F32\"", "[-1]", "[0,4]"), 4, TAPEOUT_E_CORRUPT, "no whole number"},
        {ONE("\"F32\"", "[1.5]", "[0,4]"), 4, TAPEOUT_E_CORRUPT, "no whole number"},
        {ONE("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, TAPEOUT_E_CORRUPT, "8 dimensions"},
        {ONE("\"F32\"", "[4294967296,4294967296]", "[0,4]"), 4, TAPEOUT_E_CORRUPT, "64 bits"},
        {ONE("\"F32\"", "[4611686018427387904]", "[0,0]"), 0, TAPEOUT_E_CORRUPT, "number of bytes"},
        {ONE("\"F32\"", "[2]", "[0,4]"), 4, TAPEOUT_E_CORRUPT, "number of bytes"},
        {ONE("\"F32\"", "[1]", "[0,4]"), 3, TAPEOUT_E_CORRUPT, "outside of the file"},
        {ONE("\"F32\"", "[1]", "[4,0]"), 4, TAPEOUT_E_CORRUPT, "outside of the file"},
        {ONE("\"F32\"", "[1]", "[0,18446744073709551615]"), 4, TAPEOUT_E_CORRUPT, "outside"},
        {ONE("\"F32\"", "[1]", "[0]"), 4, TAPEOUT_E_CORRUPT, "data_offsets"},
        {ONE("\"F32\"", "[1]", "[1,5]"), 5, TAPEOUT_E_CORRUPT, "a hole in front"},
        {ONE("\"F32\"", "[1]", "[0,4]"), 5, TAPEOUT_E_CORRUPT, "1 bytes behind the last"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, TAPEOUT_E_CORRUPT, "\"b\": its data overlaps"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tp_safetensors *file;
        ASSERT_FAILS(parse(cases[i].header, cases[i].size, &file), cases[i].want, cases[i].part);
        ASSERT(file == NULL);
    }
}

static void test_every_strict_prefix_is_refused(void)
{
    const tp_env env = tp_env_plain();
    char bytes[sizeof(good) + 8 + 17] = {0};
    const size_t size = 8 + strlen(good) + 17;
    bytes[0] = (char)(strlen(good) & 255);
    bytes[1] = (char)(strlen(good) >> 8);
    memcpy(bytes + 8, good, strlen(good));
    for (size_t cut = 0; cut < size; cut++) {
        tp_safetensors *file = NULL;
        ASSERT_FAILS(tp_safetensors_parse(&env, (tp_str){bytes, cut}, &file, &test_err),
                     TAPEOUT_E_CORRUPT, "safetensors");
        ASSERT(file == NULL);
    }
}

static void test_a_length_costs_nothing_before_it_is_checked(void)
{
    const tp_env env = tp_env_plain();
    static const uint8_t lengths[][8] = {
        {255, 255, 255, 255, 255, 255, 255, 255}, {0, 0, 0, 0, 1}, {1}};
    for (size_t i = 0; i < 3; i++) {
        tp_safetensors *file = NULL;
        ASSERT_FAILS(
            tp_safetensors_parse(&env, (tp_str){(const char *)lengths[i], 8}, &file, &test_err),
            TAPEOUT_E_CORRUPT, "exceeds the file (8 bytes)");
    }
}

TEST_MAIN(TEST(test_reads_a_file), TEST(test_what_does_not_fit_is_refused_by_name),
          TEST(test_every_strict_prefix_is_refused),
          TEST(test_a_length_costs_nothing_before_it_is_checked))
