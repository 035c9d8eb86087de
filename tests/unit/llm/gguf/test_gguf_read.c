// SPDX-License-Identifier: Apache-2.0
//
// Parsing one GGUF file: what a good one says, and every way in which one field can be wrong (cases
// G1 to G7 of the robustness list, and the kinds that llama.cpp's own test refuses).
#include "gguf_sample.h"
#include "llm/gguf/tp_gguf.h"
#include "test.h"

#include "base/tp_alloc.h"

#include <string.h>

// Parses bytes that end at an unreadable page.
static tapeout_status parse(const char *data, size_t size, bool has_data, tp_gguf **ret_gguf)
{
    const tp_env env = tp_env_plain();
    char *bytes = test_guarded(size);
    memcpy(bytes, data, size);
    return has_data ? tp_gguf_parse(&env, (tp_str){bytes, size}, ret_gguf, &test_err)
                    : tp_gguf_parse_metadata(&env, (tp_str){bytes, size}, ret_gguf, &test_err);
}

static tp_gguf *parse_sample(gguf_sample *sample)
{
    tp_gguf *gguf = NULL;
    sample_init(sample);
    ASSERT_OK(parse(sample->bytes.data, sample->bytes.size, true, &gguf));
    return gguf;
}

static void test_reads_every_kind(void)
{
    gguf_sample sample;
    tp_gguf *gguf = parse_sample(&sample);
    static const struct {
        const char *key;
        int64_t value;
    } integers[] = {{"u8", 200},
                    {"i8", -100},
                    {"u16", 60000},
                    {"i16", -30000},
                    {"i32", -2000000000},
                    {"i64", INT64_MIN},
                    {"u64", -1 /* the same bits */}};
    for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
        const tp_gguf_kv *kv = tp_gguf_kv_find(gguf, tp_str_from(integers[i].key));
        ASSERT(kv != NULL);
        ASSERT_EQ_INT(kv->value.i64, integers[i].value);
    }
    double f = 0;
    bool b = false;
    tp_str s;
    uint64_t u = 0;
    ASSERT_OK(tp_gguf_get_f64(gguf, "f32", &f, &test_err));
    ASSERT_EQ_F64(f, 1.5);
    ASSERT_OK(tp_gguf_get_f64(gguf, "f64", &f, &test_err));
    ASSERT_EQ_F64(f, -2.5);
    ASSERT_OK(tp_gguf_get_bool(gguf, "bool", &b, &test_err));
    ASSERT(b);
    ASSERT_OK(tp_gguf_get_str(gguf, "general.architecture", &s, &test_err));
    ASSERT(tp_str_equal(s, TP_STR("llama")));
    ASSERT_OK(tp_gguf_get_u64(gguf, "u64", 0, UINT64_MAX, &u, &test_err));
    ASSERT_EQ_UINT(u, UINT64_MAX);
    ASSERT_EQ_UINT(tp_gguf_kv_count(gguf), 20);
    ASSERT(tp_str_equal(tp_gguf_kv_at(gguf, 19)->key, TP_STR("twin_b")));
    ASSERT_EQ_STR(tp_gguf_kind_name(tp_gguf_kv_at(gguf, 2)->value.kind), "array");
    tp_gguf_close(&gguf);
    sample_deinit(&sample);
}

static void test_reads_arrays(void)
{
    gguf_sample sample;
    tp_gguf *gguf = parse_sample(&sample);
    tp_gguf_array array;
    ASSERT_OK(tp_gguf_get_array(gguf, "words", TP_GGUF_STRING, &array, &test_err));
    ASSERT_EQ_UINT(array.count, 3);
    ASSERT(tp_str_equal(tp_gguf_array_str(&array, 0), TP_STR("one")));
    ASSERT_EQ_UINT(tp_gguf_array_str(&array, 1).size, 0);
    ASSERT(tp_str_equal(tp_gguf_array_str(&array, 2), TP_STR("three")));
    ASSERT_OK(tp_gguf_get_array(gguf, "numbers", TP_GGUF_U32, &array, &test_err));
    ASSERT_EQ_INT(tp_gguf_array_i64(&array, 0), -1);
    ASSERT_EQ_UINT(tp_gguf_array_u64(&array, 1), 5);
    ASSERT_OK(tp_gguf_get_array(gguf, "bools", TP_GGUF_BOOL, &array, &test_err));
    ASSERT(tp_gguf_array_bool(&array, 0) && !tp_gguf_array_bool(&array, 1));
    ASSERT_OK(tp_gguf_get_array(gguf, "floats", TP_GGUF_F64, &array, &test_err));
    ASSERT_EQ_F64(tp_gguf_array_f64(&array, 0), 1.5);
    ASSERT_OK(tp_gguf_get_array(gguf, "doubles", TP_GGUF_F32, &array, &test_err));
    ASSERT_EQ_F64(tp_gguf_array_f64(&array, 0), 0.1);
    tp_gguf_close(&gguf);
    sample_deinit(&sample);
}

static void test_a_fact_that_is_not_as_wanted_is_named(void)
{
    gguf_sample sample;
    tp_gguf *gguf = parse_sample(&sample);
    uint64_t u = 7;
    double f = 7;
    tp_str s = TP_STR("untouched");
    tp_gguf_array array;
    ASSERT(!tp_gguf_has(gguf, "missing.key"));
    ASSERT_FAILS(tp_gguf_get_u64(gguf, "missing.key", 0, 9, &u, &test_err), TAPEOUT_E_CORRUPT,
                 "lacks the key missing.key");
    ASSERT_FAILS(tp_gguf_get_u64(gguf, "u8", 0, 199, &u, &test_err), TAPEOUT_E_CORRUPT,
                 "u8 is 200, expected 0 to 199");
    ASSERT_FAILS(tp_gguf_get_u64(gguf, "u8", 201, 300, &u, &test_err), TAPEOUT_E_CORRUPT, "u8");
    ASSERT_FAILS(tp_gguf_get_u64(gguf, "i8", 0, UINT64_MAX, &u, &test_err), TAPEOUT_E_CORRUPT,
                 "i8 is -100");
    ASSERT_FAILS(tp_gguf_get_u64(gguf, "f32", 0, 9, &u, &test_err), TAPEOUT_E_CORRUPT,
                 "f32 is of kind f32, expected an integer");
    ASSERT_FAILS(tp_gguf_get_f64(gguf, "nan", &f, &test_err), TAPEOUT_E_CORRUPT, "finite");
    ASSERT_FAILS(tp_gguf_get_str(gguf, "words", &s, &test_err), TAPEOUT_E_CORRUPT,
                 "words is of kind array, expected a string");
    ASSERT_FAILS(tp_gguf_get_array(gguf, "words", TP_GGUF_I32, &array, &test_err),
                 TAPEOUT_E_CORRUPT, "array of kind string, expected an integer each");
    ASSERT_EQ_UINT(u, 7);
    ASSERT_EQ_F64(f, 7);
    ASSERT(tp_str_equal(s, TP_STR("untouched")));
    tp_gguf_close(&gguf);
    sample_deinit(&sample);
}

static void test_reads_tensors(void)
{
    gguf_sample sample;
    tp_gguf *gguf = parse_sample(&sample);
    ASSERT_EQ_UINT(tp_gguf_tensor_count(gguf), 3);
    const tp_gguf_tensor *first = tp_gguf_tensor_at(gguf, 0);
    ASSERT_EQ_UINT(first->name.size, 63);
    ASSERT_EQ_INT(first->type, TP_TENSOR_Q8_0);
    ASSERT_EQ_UINT(first->dim_count, 2);
    ASSERT_EQ_UINT(first->dims[0], 32);
    ASSERT_EQ_UINT(first->dims[1], 3);
    ASSERT_EQ_UINT(first->dims[2], 1);
    ASSERT_EQ_BYTES(first->data.data, first->data.size, sample.bytes.data + sample.at[AT_DATA],
                    102);
    const tp_gguf_tensor *last = tp_gguf_tensor_find(gguf, TP_STR("blk.0.b"));
    ASSERT(last != NULL && last == tp_gguf_tensor_at(gguf, 2));
    float values[2];
    tp_tensor_dequantize(last->type, (const uint8_t *)last->data.data, 2, values);
    ASSERT_EQ_F64((double)values[0], 1);
    ASSERT_EQ_F64((double)values[1], -2);
    ASSERT(tp_gguf_tensor_find(gguf, TP_STR("blk.0.c")) == NULL);
    tp_gguf_close(&gguf);
    sample_deinit(&sample);
}

static void test_version_2_is_the_same(void)
{
    gguf_sample sample;
    tp_gguf *gguf = NULL;
    sample_init(&sample);
    sample_patch(&sample, AT_VERSION, 4, 2);
    ASSERT_OK(parse(sample.bytes.data, sample.bytes.size, true, &gguf));
    ASSERT_EQ_UINT(tp_gguf_tensor_count(gguf), 3);
    tp_gguf_close(&gguf);
    sample_deinit(&sample);
}

static void test_metadata_alone(void)
{
    gguf_sample sample;
    tp_gguf *gguf = NULL;
    sample_init(&sample);
    ASSERT_OK(parse(sample.bytes.data, sample.at[AT_TWIN_NAME] + 1 + 24, false, &gguf));
    ASSERT_EQ_UINT(tp_gguf_tensor_at(gguf, 0)->size_bytes, 102);
    ASSERT(tp_gguf_tensor_at(gguf, 0)->data.data == NULL);
    tp_gguf_close(&gguf);
    ASSERT_FAILS(parse(sample.bytes.data, sample.at[AT_TWIN_NAME] + 24, false, &gguf),
                 TAPEOUT_E_CORRUPT, "offset");
    sample_deinit(&sample);
}

static void test_no_keys_and_no_tensors_are_a_file(void)
{
    static const char empty[24] = "GGUF\3";
    tp_gguf *gguf = NULL;
    ASSERT_OK(parse(empty, sizeof(empty), true, &gguf));
    ASSERT_EQ_UINT(tp_gguf_kv_count(gguf) + tp_gguf_tensor_count(gguf), 0);
    tp_gguf_close(&gguf);
}

// G1. Each says in what the file ends.
static void test_every_strict_prefix_is_refused(void)
{
    gguf_sample sample;
    tp_gguf *gguf = NULL;
    sample_init(&sample);
    for (size_t size = 0; size < sample.bytes.size; size++) {
        test_err = (tapeout_error){0};
        const tapeout_status status = parse(sample.bytes.data, size, true, &gguf);
        if (status != TAPEOUT_E_CORRUPT || gguf != NULL ||
            strncmp(test_err.message, "gguf: ", 6) != 0) {
            test_fail(__FILE__, __LINE__, "%zu bytes: %s", size, test_err.message);
        }
    }
    sample_deinit(&sample);
}

typedef struct spoiled {
    sample_field field;
    size_t size;
    uint64_t value;
    tapeout_status want;
    const char *part; // of the message
} spoiled;

#define U63 (UINT64_C(1) << 63)
#define CORRUPT TAPEOUT_E_CORRUPT
#define UNSUPPORTED TAPEOUT_E_UNSUPPORTED

static const spoiled spoils[] = {
    // The header.
    {AT_MAGIC, 4, 0x46554746, CORRUPT, "does not begin with \"GGUF\""},
    {AT_VERSION, 4, 0, UNSUPPORTED, "version 0"},
    {AT_VERSION, 4, 1, UNSUPPORTED, "version 1"},
    {AT_VERSION, 4, 4, UNSUPPORTED, "version 4"},
    {AT_VERSION, 4, 0x03000000, UNSUPPORTED, "big-endian"},
    // G2: counts.
    {AT_TENSOR_COUNT, 8, UINT64_MAX, CORRUPT, "18446744073709551615 tensors are announced"},
    {AT_TENSOR_COUNT, 8, U63, CORRUPT, "tensors are announced"},
    {AT_TENSOR_COUNT, 8, UINT64_C(1) << 40, CORRUPT, "tensors are announced"},
    {AT_TENSOR_COUNT, 8, 4, CORRUPT, "tensor 3"},
    {AT_KV_COUNT, 8, UINT64_MAX, CORRUPT, "keys are announced"},
    {AT_KV_COUNT, 8, U63, CORRUPT, "keys are announced"},
    {AT_KV_COUNT, 8, UINT64_C(1) << 40, CORRUPT, "keys are announced"},
    {AT_KV_COUNT, 8, 21, CORRUPT, "tensor 0"}, // the first tensor passed for a key
    // G3: lengths.
    {AT_KEY_LENGTH, 8, UINT64_MAX, CORRUPT, "key of 18446744073709551615 bytes"},
    {AT_KEY_LENGTH, 8, UINT64_C(1) << 32, CORRUPT, "key of 4294967296 bytes at byte 24 exceeds"},
    {AT_STRING_LENGTH, 8, UINT64_MAX, CORRUPT, "general.architecture): string of"},
    {AT_STRING_LENGTH, 8, UINT64_C(1) << 32, CORRUPT, "exceeds the file"},
    {AT_ITEM_LENGTH, 8, UINT64_C(1) << 32, CORRUPT, "(words): string of"},
    {AT_ITEM_COUNT, 8, UINT64_MAX, TAPEOUT_E_LIMIT, "(words): an array of"},
    {AT_ITEM_COUNT, 8, UINT64_C(1) << 25, CORRUPT, "ends in its array of strings"},
    {AT_NUMBERS_COUNT, 8, UINT64_C(1) << 25, CORRUPT, "(numbers): the file ends in its array"},
    {AT_NUMBERS_COUNT, 8, UINT64_C(1) << 32, TAPEOUT_E_LIMIT, "(numbers)"},
    {AT_ITEM_KIND, 4, 9, CORRUPT, "an array of kind 9"},
    {AT_ITEM_KIND, 4, 13, CORRUPT, "an array of kind 13"},
    // Kinds and values.
    {AT_KEY_KIND, 4, 13, CORRUPT, "kind 13 does not exist"},
    {AT_KEY_KIND, 4, UINT32_MAX, CORRUPT, "kind 4294967295"},
    {AT_BOOL, 1, 2, CORRUPT, "a bool has the value 2"},
    {AT_BOOL_ITEM, 1, 255, CORRUPT, "a bool has the value 255"},
    // G4: dimensions.
    {AT_DIM_COUNT, 4, 0, CORRUPT, "0 dimensions"},
    {AT_DIM_COUNT, 4, 5, CORRUPT, "5 dimensions"},
    {AT_DIM_COUNT, 4, UINT32_MAX, CORRUPT, "4294967295 dimensions"},
    {AT_DIM_0, 8, 0, CORRUPT, "dimension 0 is 0"},
    {AT_DIM_1, 8, 0, CORRUPT, "dimension 1 is 0"},
    {AT_DIM_0, 8, UINT64_MAX, CORRUPT, "dimension 0 is 18446744073709551615"},
    {AT_DIM_1, 8, U63, CORRUPT, "dimension 1"},
    {AT_DIM_1, 8, UINT64_C(1) << 47, CORRUPT, "their product"},
    {AT_DIM_0, 8, 48, CORRUPT, "rows of 48 weights are not whole blocks of 32"},
    // G5: places.
    {AT_OFFSET, 8, 64, CORRUPT, "offset 64"},
    {AT_SECOND_OFFSET, 8, 129, CORRUPT, "offset 129"},
    {AT_SECOND_OFFSET, 8, 64, CORRUPT, "(blk.0.a): offset 64; behind the tensor before it"},
    {AT_SECOND_OFFSET, 8, UINT64_MAX - 63, CORRUPT, "offset"},
    {AT_DIM_1, 8, 4, CORRUPT, "aligned to 64, would be 192"},
    {AT_DIM_1, 8, UINT64_C(1) << 43, CORRUPT, "offset 128"},
    // G6: alignment, types.
    {AT_ALIGNMENT, 4, 0, CORRUPT, "general.alignment is 0"},
    {AT_ALIGNMENT, 4, 13, CORRUPT, "general.alignment is 13"},
    {AT_ALIGNMENT, 4, UINT64_C(1) << 31, CORRUPT, "general.alignment is 2147483648"},
    {AT_ALIGNMENT, 4, 32, CORRUPT, "would be"},
    {AT_ALIGNMENT_KIND, 4, 6, CORRUPT, "general.alignment is of kind f32"},
    {AT_TYPE, 4, UINT32_MAX, CORRUPT, "tensor type 4294967295"},
    {AT_TYPE, 4, 4, CORRUPT, "tensor type 4 does not exist or was retired"},
    {AT_TYPE, 4, 31, CORRUPT, "tensor type 31"},
    {AT_TYPE, 4, 1000, CORRUPT, "tensor type 1000"},
    {AT_TYPE, 4, 16, UNSUPPORTED, "type IQ2_XXS are not taken"},
    // G7: names.
    {AT_TWIN_KEY, 1, 'a', CORRUPT, "the key \"twin_a\" stands twice"},
    {AT_TWIN_NAME, 1, 'a', CORRUPT, "the name \"blk.0.a\" stands twice"},
    {AT_KEY_LENGTH, 8, 0, CORRUPT, "the key is empty"},
    {AT_KEY, 1, 0, CORRUPT, "0x00"},
    {AT_NAME_LENGTH, 8, 0, CORRUPT, "the name is empty"},
    {AT_NAME_LENGTH, 8, 64, TAPEOUT_E_LIMIT, "name of 64 bytes"},
    {AT_NAME, 1, 0, CORRUPT, "the name has byte 0x00"},
    {AT_NAME, 1, 0x1b, CORRUPT, "the name has byte 0x1b"},
};

static void test_every_spoiled_field_is_refused_by_name(void)
{
    for (size_t i = 0; i < sizeof(spoils) / sizeof(spoils[0]); i++) {
        const spoiled *spoil = &spoils[i];
        gguf_sample sample;
        tp_gguf *gguf = NULL;
        sample_init(&sample);
        sample_patch(&sample, spoil->field, spoil->size, spoil->value);
        ASSERT_FAILS(parse(sample.bytes.data, sample.bytes.size, true, &gguf), spoil->want,
                     spoil->part);
        ASSERT(gguf == NULL);
        sample_deinit(&sample);
    }
}

// The last tensor one byte too long, the padding before it cut, and a size beyond any file.
static void test_data_past_the_end(void)
{
    gguf_sample sample;
    tp_gguf *gguf = NULL;
    sample_init(&sample);
    ASSERT_FAILS(parse(sample.bytes.data, sample.bytes.size - 1, true, &gguf), TAPEOUT_E_CORRUPT,
                 "(blk.0.b): its data, 4 bytes from byte");
    ASSERT_FAILS(parse(sample.bytes.data, sample.bytes.size - 5, true, &gguf), TAPEOUT_E_CORRUPT,
                 "ends in its padding");
    sample_deinit(&sample);
}

// G2 and T10: what is refused has not been paid for. No allocation by a foreign count.
static void test_counts_cost_nothing_before_they_are_checked(void)
{
    static const sample_field counts[] = {AT_TENSOR_COUNT, AT_KV_COUNT, AT_ITEM_COUNT,
                                          AT_NUMBERS_COUNT};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        gguf_sample sample;
        tp_gguf *gguf = NULL;
        test_allocator allocator;
        tp_env env = tp_env_plain();
        sample_init(&sample);
        sample_patch(&sample, counts[i], 8, UINT64_C(1) << 24);
        test_allocator_init(&allocator);
        env.alloc = &allocator.base;
        ASSERT(tp_gguf_parse(&env, tp_buffer_view(&sample.bytes), &gguf, &test_err) != TAPEOUT_OK);
        ASSERT(allocator.peak_bytes < 65536);
        ASSERT_EQ_UINT(allocator.live, 0);
        sample_deinit(&sample);
    }
}

TEST_MAIN(TEST(test_reads_every_kind), TEST(test_reads_arrays),
          TEST(test_a_fact_that_is_not_as_wanted_is_named), TEST(test_reads_tensors),
          TEST(test_version_2_is_the_same), TEST(test_metadata_alone),
          TEST(test_no_keys_and_no_tensors_are_a_file), TEST(test_every_strict_prefix_is_refused),
          TEST(test_every_spoiled_field_is_refused_by_name), TEST(test_data_past_the_end),
          TEST(test_counts_cost_nothing_before_they_are_checked))
