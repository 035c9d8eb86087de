// SPDX-License-Identifier: Apache-2.0
//
// Tokens to text: stop strings over the borders of tokens, characters over the borders of tokens,
// and a slow search that must come to the same end on random texts.
#include "llm/schedule/answer_text.h"

#include "../tokenizer/tokenizer_cases.h"
#include "base/tp_alloc.h"
#include "base/tp_random.h"

#include <string.h>

static tp_tokenizer *tokenizer;
static char told[512]; // what was handed out
static size_t told_size;

static void begin(answer_text *answer, const tp_str *stops, uint32_t stop_count)
{
    tp_tokenizer_spec spec;
    cases_bpe_spec(&spec);
    tokenizer = cases_new(&spec);
    tp_answer_text_init(answer, tp_allocator_default(), tokenizer, false);
    answer->stops = stops;
    answer->stop_count = stop_count;
    told_size = 0;
}

static void end(answer_text *answer)
{
    tp_answer_text_deinit(answer);
    tp_tokenizer_free(tokenizer);
}

static void tell(tp_str ready)
{
    ASSERT(told_size + ready.size < sizeof(told));
    if (ready.size == 0) {
        return; // data may be NULL then, which memcpy may not be given
    }
    memcpy(told + told_size, ready.data, ready.size);
    told_size += ready.size;
    told[told_size] = '\0';
}

// Pushes a byte as the token it is; the index of the stop string that came up, or -1.
static int32_t push(answer_text *answer, char byte)
{
    tp_ids ids;
    tp_str ready = {NULL, 0};
    int32_t stop = -1;
    tp_ids_init(&ids, tp_allocator_default());
    ASSERT_OK(tp_tokenizer_encode(tokenizer, (tp_str){&byte, 1}, 0, &ids, &test_err));
    ASSERT_EQ_UINT(ids.count, 1);
    ASSERT_OK(tp_answer_text_push(answer, ids.data[0], &ready, &stop, &test_err));
    tell(ready);
    tp_ids_deinit(&ids);
    return stop;
}

static int32_t push_all(answer_text *answer, const char *text)
{
    int32_t stop = -1;
    for (const char *at = text; *at != '\0' && stop < 0; at++) {
        stop = push(answer, *at);
    }
    return stop;
}

static void finish(answer_text *answer)
{
    tp_str ready = {NULL, 0};
    ASSERT_OK(tp_answer_text_finish(answer, &ready, &test_err));
    tell(ready);
}

static void test_a_stop_string_is_never_told(void)
{
    const tp_str stops[] = {TP_STR("STOP"), TP_STR("\n\n")};
    answer_text answer;
    begin(&answer, stops, 2);
    ASSERT_EQ_INT(push_all(&answer, "ab ST"), -1);
    ASSERT_EQ_STR(told, "ab ");
    ASSERT_EQ_INT(push_all(&answer, "OP behind"), 0);
    ASSERT_EQ_STR(told, "ab ");
    tp_answer_text_cut(&answer);
    finish(&answer);
    ASSERT_EQ_STR(told, "ab ");
    end(&answer);
}

static void test_a_begin_that_comes_to_nothing_is_told(void)
{
    const tp_str stops[] = {TP_STR("STOP")};
    answer_text answer;
    begin(&answer, stops, 1);
    ASSERT_EQ_INT(push_all(&answer, "STOx"), -1);
    ASSERT_EQ_STR(told, "STOx");
    ASSERT_EQ_INT(push_all(&answer, "SSTOSTO"), -1);
    ASSERT_EQ_STR(told, "STOxSSTO");
    finish(&answer); // the end: nothing more can come
    ASSERT_EQ_STR(told, "STOxSSTOSTO");
    end(&answer);
}

static void test_characters_are_whole(void)
{
    const tp_str stops[] = {TP_STR("\xc3\xa9")};
    answer_text answer;
    begin(&answer, stops, 1);
    ASSERT_EQ_INT(push_all(&answer, "\xe2\x82"), -1);
    ASSERT_EQ_UINT(told_size, 0);
    ASSERT_EQ_INT(push_all(&answer, "\xac\xc3"), -1);
    ASSERT_EQ_STR(told, "\xe2\x82\xac");
    ASSERT_EQ_INT(push_all(&answer, "\xa9"), 0);
    ASSERT_EQ_STR(told, "\xe2\x82\xac");
    end(&answer);
}

static void test_a_broken_character_at_the_end(void)
{
    answer_text answer;
    begin(&answer, NULL, 0);
    ASSERT_EQ_INT(push_all(&answer, "a\xe2\x82"), -1);
    ASSERT_EQ_STR(told, "a");
    finish(&answer);
    ASSERT_EQ_STR(told, "a\xef\xbf\xbd");
    end(&answer);
}

// Behind a stop string the rest of a character is no part of the answer either.
static void test_cut_drops_what_is_pending(void)
{
    const tp_str stops[] = {TP_STR("x")};
    answer_text answer;
    begin(&answer, stops, 1);
    ASSERT_EQ_INT(push_all(&answer, "ax"), 0);
    tp_answer_text_cut(&answer);
    finish(&answer);
    ASSERT_EQ_STR(told, "a");
    end(&answer);
}

// Where the text ends that has `size` bytes, and by which stop string: the one that begins first.
static size_t slow_end(const char *text, size_t size, const tp_str *stops, int32_t *ret_stop)
{
    for (size_t at = 0; at < size; at++) {
        for (int32_t i = 0; i < 3; i++) {
            if (size - at >= stops[i].size &&
                memcmp(text + at, stops[i].data, stops[i].size) == 0) {
                *ret_stop = i;
                return at;
            }
        }
    }
    *ret_stop = -1;
    return size;
}

static void test_random_texts(void)
{
    for (uint64_t round = 0; round < 2000; round++) {
        char letters[3][6];
        char text[24];
        tp_str stops[3];
        for (uint64_t i = 0; i < 3; i++) {
            const size_t size = 1 + (size_t)tp_random_below(round, i, 0, 5);
            for (size_t k = 0; k < size; k++) {
                letters[i][k] = (char)('a' + tp_random_below(round, 10 + i, k, 2));
            }
            stops[i] = (tp_str){letters[i], size};
        }
        answer_text answer;
        begin(&answer, stops, 3);
        int32_t stop = -1;
        int32_t want = -1;
        size_t want_size = 0;
        for (size_t size = 0; size < sizeof(text) && stop < 0; size++) {
            text[size] = (char)('a' + tp_random_below(round, 20, size, 3));
            stop = push(&answer, text[size]);
            want_size = slow_end(text, size + 1, stops, &want);
            ASSERT_EQ_INT(stop, want);
        }
        if (stop < 0) {
            finish(&answer);
        }
        ASSERT_EQ_BYTES(told, told_size, text, want_size);
        end(&answer);
    }
}

TEST_MAIN(TEST(test_a_stop_string_is_never_told), TEST(test_a_begin_that_comes_to_nothing_is_told),
          TEST(test_characters_are_whole), TEST(test_a_broken_character_at_the_end),
          TEST(test_cut_drops_what_is_pending), TEST(test_random_texts))
