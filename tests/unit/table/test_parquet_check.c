// SPDX-License-Identifier: Apache-2.0
//
// A sound file passes; one number of it changed is refused, by a sentence that says which. All
// prefixes and all single bits are met without reading past the end (sanitizers watch).
#include "table/parquet_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "parquet_sample.h"
#include "test.h"

#include <string.h>

static tapeout_status check_sample(const parquet_sample *sample, tapeout_error *err)
{
    uint8_t bytes[1024];
    const size_t size = parquet_sample_write(sample, bytes);
    return tp_parquet_check(tp_allocator_default(), bytes, size, err);
}

static void test_sound(void)
{
    parquet_sample s = parquet_sample_sound();
    ASSERT_OK(check_sample(&s, &test_err));
    // Missing values where the column allows them.
    s.repetition = 1;
    s.nulls = 3;
    s.v2_nulls = 3;
    ASSERT_OK(check_sample(&s, &test_err));
    // Indices of zero bits stand for a dictionary of one entry; a run needs no byte for them.
    s = parquet_sample_sound();
    s.index_bits = 0;
    ASSERT_OK(check_sample(&s, &test_err));
    s.index_bits = 32;
    ASSERT_OK(check_sample(&s, &test_err));
}

typedef struct fault {
    size_t offset;
    int64_t value;
    const char *says;
} fault;

#define FAULT(field, value, says)                                                                  \
    {                                                                                              \
        offsetof(parquet_sample, field), value, says                                               \
    }

static const fault faults[] = {
    FAULT(type, -2, "does not know"),
    FAULT(type, 8, "does not know"),
    FAULT(type, 2, "not that of the schema"),
    FAULT(repetition, 3, "neither required"),
    FAULT(children, -1, "wrong number of parts"),
    FAULT(children, 0, "make no tree"),
    FAULT(children, 2, "lacks columns"),
    FAULT(rows, 11, "more rows than"),
    FAULT(rows, 13, "do not add up"),
    FAULT(rows, -1, "more rows than"),
    FAULT(group_rows, -1, "cut short"),
    FAULT(chunk_type, 2, "not that of the schema"),
    FAULT(codec, -1, "outside the file"),
    FAULT(values, 11, "another number of values"),
    FAULT(values, -12, "another number of values"),
    FAULT(stored_size, -1, "outside the file"),
    FAULT(stored_size, 1000, "outside the file"),
    FAULT(stored_size, INT64_MAX, "outside the file"),
    FAULT(data_offset, 3, "outside the file"),
    FAULT(data_offset, -5, "outside the file"),
    FAULT(dictionary_offset, -4, "outside the file"),
    FAULT(dictionary_offset, 3, "outside the file"),
    FAULT(nulls, 1, "required column are missing"),
    FAULT(nulls, -2, "required column are missing"),
    FAULT(dict_kind, 4, "negative number of values"),
    FAULT(dict_kind, 1, "no dictionary came before"),
    FAULT(dict_unpacked, -8, "negative size"),
    FAULT(dict_unpacked, 7, "two sizes"),
    FAULT(dict_stored, -8, "negative size"),
    FAULT(dict_stored, 9000, "longer than the column's part"),
    FAULT(dict_values, -2, "negative number of values"),
    FAULT(dict_values, 3, "too short for the entries"),
    FAULT(dict_encoding, 8, "not plain"),
    FAULT(v2_unpacked, 4, "two sizes"),
    FAULT(v2_values, 13, "more values than the footer"),
    FAULT(v2_nulls, 1, "required column are missing"),
    FAULT(v2_nulls, 9, "between zero and"),
    FAULT(v2_nulls, -1, "between zero and"),
    FAULT(v2_rows, 7, "rows and values"),
    FAULT(v2_rows, -1, "rows and values"),
    FAULT(v2_def, 1, "required column are missing"),
    FAULT(v2_rep, 4, "levels are longer"),
    FAULT(v2_rep, -1, "levels are longer"),
    FAULT(v2_rep, INT64_MAX, "levels are longer"),
    FAULT(v2_rep, 3, "too short for the indices"),
    FAULT(v2_encoding, 0, "too short for the values"),
    FAULT(v1_kind, 4, "negative number of values"),
    FAULT(v1_stored, -1, "negative size"),
    FAULT(v1_stored, INT32_MAX, "longer than the column's part"),
    FAULT(v1_values, -1, "negative number of values"),
    FAULT(v1_values, 5, "more values than the footer"),
    FAULT(v1_encoding, 0, "too short for the values"),
    FAULT(index_bits, 33, "wider than 32 bits"),
    FAULT(footer_size, 4096, "room for"),
    FAULT(footer_size, 0xffffffff, "room for"),
    FAULT(footer_size, 1, "no schema"),
    FAULT(footer_size, 40, "footer"),
};

static void test_each_number_that_lies(void)
{
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        parquet_sample s = parquet_sample_sound();
        memcpy((char *)&s + faults[i].offset, &faults[i].value, sizeof(int64_t));
        tapeout_error err = {0};
        const tapeout_status status = check_sample(&s, &err);
        if (status != TAPEOUT_E_CORRUPT || strstr(err.message, faults[i].says) == NULL) {
            test_fail(__FILE__, __LINE__, "fault %zu: wanted \"%s\", got %d \"%s\"", i,
                      faults[i].says, (int)status, err.message);
        }
    }
    parquet_sample s = parquet_sample_sound();
    s.dictionary_offset = 0;
    s.stored_size = 45;
    ASSERT_FAILS(check_sample(&s, &test_err), TAPEOUT_E_CORRUPT, "no dictionary came before");
}

// What ARROW-GH-43605 does: many values out of a page of three bytes, compressed or not.
static void test_values_out_of_nothing(void)
{
    parquet_sample s = parquet_sample_sound();
    s.codec = 6;
    s.rows = s.group_rows = s.values = 8195;
    s.v2_values = s.v2_rows = 8191; // what a head of two bytes can count
    ASSERT_OK(check_sample(&s, &test_err));
    s.rows = s.group_rows = s.values = 8196;
    s.v2_values = s.v2_rows = 8192;
    ASSERT_FAILS(check_sample(&s, &test_err), TAPEOUT_E_CORRUPT, "zero bits");
    s.v2_unpacked = 4;
    ASSERT_OK(check_sample(&s, &test_err));
    // The same in a page of the first version.
    s = parquet_sample_sound();
    s.codec = 6;
    s.rows = s.group_rows = s.values = 8 + 8192;
    s.v1_values = 8192;
    ASSERT_FAILS(check_sample(&s, &test_err), TAPEOUT_E_CORRUPT, "zero bits");
    // Where values may be missing, nothing is known of how many there are.
    s.repetition = 1;
    ASSERT_OK(check_sample(&s, &test_err));
}

static void test_prefixes_and_bits(void)
{
    uint8_t bytes[1024];
    const parquet_sample s = parquet_sample_sound();
    const size_t size = parquet_sample_write(&s, bytes);
    for (size_t prefix = 0; prefix < size; prefix++) {
        ASSERT_FAILS(tp_parquet_check(tp_allocator_default(), bytes, prefix, &test_err),
                     TAPEOUT_E_CORRUPT, "PAR1");
    }
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        tapeout_error err = {0};
        const tapeout_status status = tp_parquet_check(tp_allocator_default(), bytes, size, &err);
        ASSERT(status == TAPEOUT_OK || err.message[0] != '\0');
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

// Values within values, and lists that are longer than the file, end soon.
static void test_thrift_is_bounded(void)
{
    uint8_t deep[4096];
    memset(deep, 0x1c, sizeof(deep)); // a struct in field 1, in a struct in field 1, ...
    tp_cursor cursor;
    tp_cursor_init(&cursor, deep, sizeof(deep));
    thrift_field field = {0};
    ASSERT(tp_thrift_next(&cursor, &field));
    ASSERT_EQ_INT(field.type, THRIFT_STRUCT);
    tp_thrift_skip(&cursor, &field);
    ASSERT(cursor.failed);
    ASSERT(cursor.position <= TP_MAX_PARQUET_DEPTH + 1);

    static const uint8_t list[] = {0x19, 0xf6, 0xff, 0xff, 0xff, 0x7f, 0, 0};
    tp_cursor_init(&cursor, list, sizeof(list));
    field = (thrift_field){0};
    ASSERT(tp_thrift_next(&cursor, &field));
    ASSERT_EQ_UINT(tp_thrift_list(&cursor, &field, THRIFT_I64), 0);
    ASSERT(cursor.failed);

    static const uint8_t endless[] = {0x16, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    tp_cursor_init(&cursor, endless, sizeof(endless));
    field = (thrift_field){0};
    ASSERT(tp_thrift_next(&cursor, &field));
    ASSERT_EQ_INT(tp_thrift_number(&cursor, &field), 0);
    ASSERT(cursor.failed);
}

static tapeout_status check_sound(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    (void)user;
    uint8_t bytes[1024];
    const parquet_sample s = parquet_sample_sound();
    const size_t size = parquet_sample_write(&s, bytes);
    return tp_parquet_check(alloc, bytes, size, err);
}

static void test_gives_all_back(void)
{
    test_out_of_memory(check_sound, NULL);
}

TEST_MAIN(TEST(test_sound), TEST(test_each_number_that_lies), TEST(test_values_out_of_nothing),
          TEST(test_prefixes_and_bits), TEST(test_thrift_is_bounded), TEST(test_gives_all_back))
