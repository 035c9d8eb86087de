// SPDX-License-Identifier: Apache-2.0
//
// The CSV kernels of each instruction set against ref: every length around the vector width, every
// offset, text of nothing but structure and text with hardly any, ending at an unreadable page.
#include "kernels/tp_kernels_table.h"

#include "base/tp_cpu.h"
#include "base/tp_random.h"
#include "test.h"

#include <string.h>

enum { LENGTH_MAX = 260, BEFORE = 2 };

static tp_kernels_table ref;
static tp_kernels_table best;

static void init(void)
{
    tp_kernels_table_init(&ref, 0);
    tp_kernels_table_init(&best, tp_cpu_flags());
    if (best.csv_count == ref.csv_count) {
        test_skip("no vector form on this machine, or TAPEOUT_CPU=ref");
    }
}

static void fill(uint8_t *text, size_t size, uint64_t seed, const char *alphabet)
{
    const size_t letters = strlen(alphabet);
    for (size_t i = 0; i < size; i++) {
        text[i] = (uint8_t)alphabet[tp_random_below(seed, 3, i, letters)];
    }
}

static void check_count(const uint8_t *text, size_t size, bool is_inside)
{
    tp_csv_marks want = {.is_inside = is_inside};
    tp_csv_marks got = want;
    ref.csv_count(text, size, &want);
    best.csv_count(text, size, &got);
    ASSERT_EQ_UINT(got.newline_count, want.newline_count);
    ASSERT_EQ_UINT(got.blank_count, want.blank_count);
    ASSERT_EQ_UINT(got.last_end, want.last_end);
    ASSERT_EQ_UINT(got.is_inside, want.is_inside);
}

static void check_index(const uint8_t *text, size_t size, bool is_inside, char delimiter)
{
    static uint32_t want[LENGTH_MAX + TP_CSV_INDEX_SLACK];
    static uint32_t got[LENGTH_MAX + TP_CSV_INDEX_SLACK + 1];
    const uint32_t canary = 0xabadcafe;
    got[size + TP_CSV_INDEX_SLACK] = canary;
    tp_csv_index_state a = {.delimiter = delimiter, .is_inside = is_inside, .base = 1000};
    tp_csv_index_state b = a;
    const size_t want_count = ref.csv_index(text, size, &a, want);
    const size_t got_count = best.csv_index(text, size, &b, got);
    ASSERT_EQ_BYTES(got, got_count * sizeof *got, want, want_count * sizeof *want);
    ASSERT_EQ_UINT(b.is_inside, a.is_inside);
    ASSERT_EQ_UINT(b.has_quote, a.has_quote);
    ASSERT_EQ_UINT(b.has_return, a.has_return);
    ASSERT_EQ_UINT(got[size + TP_CSV_INDEX_SLACK], canary);
}

static void check_all_lengths(const char *alphabet)
{
    static const char delimiters[] = {',', '\t', '\0', 'x'};
    for (size_t size = 0; size <= LENGTH_MAX; size++) {
        uint8_t *text = (uint8_t *)test_guarded(BEFORE + size);
        for (uint64_t seed = 0; seed < 8; seed++) {
            fill(text, BEFORE + size, seed * 1000 + size, alphabet);
            check_count(text + BEFORE, size, seed % 2 == 0);
            check_index(text + BEFORE, size, seed % 2 == 0, delimiters[seed / 2]);
        }
    }
}

static void test_text_of_structure(void)
{
    init();
    check_all_lengths(",\n\r\"x");
}

static void test_text_with_little_structure(void)
{
    init();
    check_all_lengths("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx,\n");
}

static void test_lines_alone(void)
{
    init();
    check_all_lengths("\n");
    check_all_lengths("\r\n");
    check_all_lengths("\n\n\n\n\n\nx");
}

static void test_quotes_alone(void)
{
    init();
    check_all_lengths("\"");
    check_all_lengths("\"\n");
}

static void test_bytes_of_all_values(void)
{
    init();
    char alphabet[256];
    for (size_t i = 0; i < 255; i++) {
        alphabet[i] = (char)(i + 1);
    }
    alphabet[255] = '\0';
    check_all_lengths(alphabet);
}

TEST_MAIN(TEST(test_text_of_structure), TEST(test_text_with_little_structure),
          TEST(test_lines_alone), TEST(test_quotes_alone), TEST(test_bytes_of_all_values))
