// SPDX-License-Identifier: Apache-2.0
//
// Dequantising is held, bit for bit, against what the format's authors compute for the same blocks
// (tests/conformance/tensor_types, with the script that made them).
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "kernels/tp_half.h"
#include "llm/gguf/tp_tensor_type.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { PATH_SIZE = 1024, FIXTURE_BYTES_MAX = 1 << 16 };

static tp_str read_fixture(const char *type, const char *suffix)
{
    char path[PATH_SIZE];
    tp_str data;
    (void)snprintf(path, sizeof(path), "%s/tests/conformance/tensor_types/%s.%s", test_source_dir(),
                   type, suffix);
    ASSERT_OK(tp_file_read(tp_allocator_default(), path, FIXTURE_BYTES_MAX, &data, &test_err));
    return data;
}

static void free_fixture(tp_str data)
{
    tp_free(tp_allocator_default(), (char *)(uintptr_t)data.data, data.size + 1);
}

static void check_type(uint32_t type)
{
    const tp_tensor_layout *layout = tp_tensor_layout_of(type);
    const tp_str blocks = read_fixture(layout->name, "blocks");
    const tp_str want = read_fixture(layout->name, "values");
    const size_t count = blocks.size / layout->block_bytes * layout->block_length;
    ASSERT(count >= 6 && want.size == count * sizeof(float));
    ASSERT_EQ_UINT(tp_tensor_row_bytes((tp_tensor_type)type, count), blocks.size);
    // At the end of readable memory: nothing behind the blocks is touched.
    uint8_t *row = test_guarded(blocks.size);
    float *got = test_guarded(want.size);
    memcpy(row, blocks.data, blocks.size);
    tp_tensor_dequantize((tp_tensor_type)type, row, count, got);
    for (size_t i = 0; i < count; i++) {
        uint32_t got_bits;
        uint32_t want_bits;
        memcpy(&got_bits, got + i, 4);
        memcpy(&want_bits, want.data + 4 * i, 4);
        if (got_bits != want_bits) {
            test_fail(__FILE__, __LINE__, "%s: weight %zu is %08x, expected %08x", layout->name, i,
                      got_bits, want_bits);
        }
    }
    free_fixture(blocks);
    free_fixture(want);
}

static void test_every_type_as_its_authors_read_it(void)
{
    int types = 0;
    for (uint32_t type = 0; type < TP_TENSOR_TYPE_END; type++) {
        if (tp_tensor_layout_of(type)->block_length > 0) {
            check_type(type);
            types++;
        }
    }
    ASSERT_EQ_INT(types, 16);
}

static void test_names_and_numbers(void)
{
    tp_tensor_type type = TP_TENSOR_F32;
    ASSERT(tp_tensor_type_find(TP_STR("q4_k"), &type));
    ASSERT_EQ_INT(type, TP_TENSOR_Q4_K);
    ASSERT(!tp_tensor_type_find(TP_STR("IQ2_XXS"), &type)); // known, not taken
    ASSERT(!tp_tensor_type_find(TP_STR(""), &type));
    ASSERT_EQ_INT(type, TP_TENSOR_Q4_K);
    ASSERT(tp_tensor_layout_of(4)->name == NULL); // retired
    ASSERT(tp_tensor_layout_of(UINT32_MAX)->name == NULL);
    ASSERT_EQ_STR(tp_tensor_layout_of(16)->name, "IQ2_XXS");
}

// Every half is a float that rounds back to it, and what lies between two halves goes to the
// nearer one, from a tie to the even one.
static void test_half_precision_round_trip(void)
{
    for (uint32_t bits = 0; bits < 65536; bits++) {
        const float value = tp_half_to_float((uint16_t)bits);
        if ((bits & 0x7fff) > 0x7c00) {
            ASSERT(isnan(value) && (tp_float_to_half(value) & 0x7fff) > 0x7c00);
            continue;
        }
        ASSERT_EQ_UINT(tp_float_to_half(value), bits);
        if ((bits & 0x7fff) < 0x7bff) {
            const float next = tp_half_to_float((uint16_t)(bits + 1));
            const float middle = 0.5f * (value + next); // exact
            ASSERT_EQ_UINT(tp_float_to_half(middle), (bits + 1) & ~1u);
            ASSERT_EQ_UINT(tp_float_to_half(nextafterf(middle, value)), bits);
            ASSERT_EQ_UINT(tp_float_to_half(nextafterf(middle, next)), bits + 1);
        }
    }
    ASSERT_EQ_UINT(tp_float_to_half(65519.0f), 0x7bff);
    ASSERT_EQ_UINT(tp_float_to_half(65520.0f), 0x7c00);
    ASSERT_EQ_UINT(tp_float_to_half(-1e30f), 0xfc00);
}

static void test_bfloat16_round_trip(void)
{
    for (uint32_t bits = 0; bits < 65536; bits++) {
        const float value = tp_brain_to_float((uint16_t)bits);
        if ((bits & 0x7fff) > 0x7f80) {
            ASSERT(isnan(value) && (tp_float_to_brain(value) & 0x7fff) > 0x7f80);
        } else {
            ASSERT_EQ_UINT(tp_float_to_brain(value), bits);
        }
    }
    ASSERT_EQ_UINT(tp_float_to_brain(1.00390625f), 0x3f80); // a tie goes to even
    ASSERT_EQ_UINT(tp_float_to_brain(1.01171875f), 0x3f82);
    ASSERT_EQ_UINT(tp_float_to_brain(3.4e38f), 0x7f80);
}

TEST_MAIN(TEST(test_every_type_as_its_authors_read_it), TEST(test_names_and_numbers),
          TEST(test_half_precision_round_trip), TEST(test_bfloat16_round_trip))
