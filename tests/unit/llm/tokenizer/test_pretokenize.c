// SPDX-License-Identifier: Apache-2.0
//
// Every pattern of a pre-tokenizer against Hugging Face's tokenizers, which runs the regular
// expressions of the models' own files (make_pretokenize_cases.py); and time that is linear.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "llm/tokenizer/pretokenize.h"
#include "test.h"

#include <string.h>
#include <yyjson.h>

enum { MOST_WORDS = 4096 };

typedef struct words {
    size_t sizes[MOST_WORDS];
    size_t count;
    size_t bytes;
} words;

static tapeout_status note_word(void *user, const uint8_t *word, size_t size)
{
    words *w = user;
    ASSERT(word != NULL && size > 0);
    if (w->count < MOST_WORDS) {
        w->sizes[w->count] = size;
    }
    w->count++;
    w->bytes += size;
    return TAPEOUT_OK;
}

static words split(const char *recipe, tp_str text)
{
    words w = {.count = 0};
    const tp_pre_recipe *found = tp_pre_recipe_find(tp_str_from(recipe));
    ASSERT(found != NULL);
    ASSERT_OK(tp_pre_split(found, text, note_word, &w));
    ASSERT_EQ_UINT(w.bytes, text.size);
    return w;
}

static void check_case(yyjson_val *row, size_t line)
{
    const char *recipe = yyjson_get_str(yyjson_obj_get(row, "recipe"));
    yyjson_val *text = yyjson_obj_get(row, "text");
    yyjson_val *want = yyjson_obj_get(row, "words");
    const words got = split(recipe, (tp_str){yyjson_get_str(text), yyjson_get_len(text)});
    for (size_t i = 0; i < got.count && i < yyjson_arr_size(want); i++) {
        const size_t size = yyjson_get_uint(yyjson_arr_get(want, i));
        if (got.sizes[i] != size) {
            test_fail(__FILE__, __LINE__, "line %zu, %s: word %zu has %zu bytes, not %zu", line,
                      recipe, i, got.sizes[i], size);
        }
    }
    ASSERT_EQ_UINT(got.count, yyjson_arr_size(want));
}

static void test_words_of_the_patterns(void)
{
    char path[4096];
    tp_str data = {NULL, 0};
    size_t line = 0;
    (void)snprintf(path, sizeof(path), "%s/tests/unit/llm/tokenizer/pretokenize_cases.jsonl",
                   test_source_dir());
    ASSERT_OK(tp_file_read(tp_allocator_default(), path, 1u << 24, &data, &test_err));
    for (size_t at = 0; at < data.size;) {
        const char *end = memchr(data.data + at, '\n', data.size - at);
        const size_t size = (size_t)(end - data.data) - at;
        yyjson_doc *doc = yyjson_read(data.data + at, size, 0);
        ASSERT(doc != NULL);
        check_case(yyjson_doc_get_root(doc), ++line);
        yyjson_doc_free(doc);
        at += size + 1;
    }
    ASSERT_EQ_UINT(line, 2397);
    tp_free(tp_allocator_default(), (char *)data.data, data.size + 1);
}

static const char *const every[] = {
    "default",    "gpt-2",          "smollm",   "llama-bpe", "qwen2",  "qwen35",
    "ufakzeka",   "seed-coder",     "minicpm5", "gpt-4o",    "tekken", "deepseek-v3",
    "bailingmoe", "deepseek-coder", "falcon",   "bloom",     "viking"};

// A megabyte of what makes backtracking patterns slow; the case's own time limit is the assertion.
static void test_time_is_linear(void)
{
    enum { SIZE = 1 << 20 };
    static char text[SIZE];
    static const char *const units[] = {" ",
                                        "a",
                                        "\n",
                                        "\t ",
                                        "A",
                                        "Aa",
                                        "\xe4\xb8\xad"
                                        "A",
                                        "1",
                                        "'",
                                        "\xff",
                                        "\xcc\x81",
                                        " \n",
                                        "/"};
    for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
        const size_t unit = strlen(units[u]);
        for (size_t i = 0; i < SIZE; i++) {
            text[i] = units[u][i % unit];
        }
        for (size_t r = 0; r < sizeof(every) / sizeof(every[0]); r++) {
            (void)split(every[r], (tp_str){text, SIZE});
        }
    }
}

static void test_bytes_that_are_no_characters(void)
{
    for (size_t r = 0; r < sizeof(every) / sizeof(every[0]); r++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char *text = test_guarded(4);
            memcpy(text, (const char[]){(char)byte, ' ', 'a', (char)byte}, 4);
            (void)split(every[r], (tp_str){text, 4});
        }
    }
}

static void test_unknown_names(void)
{
    ASSERT(tp_pre_recipe_find(TP_STR("gpt-3")) == NULL);
    ASSERT(tp_pre_recipe_find(TP_STR("kimi-k2")) == NULL);
    ASSERT_EQ_STR(tp_pre_recipe_find(TP_STR(""))->name, "default");
}

TEST_MAIN(TEST(test_words_of_the_patterns), TEST_SLOW(test_time_is_linear, 120),
          TEST(test_bytes_that_are_no_characters), TEST(test_unknown_names))
