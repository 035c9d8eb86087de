// SPDX-License-Identifier: Apache-2.0
//
// The fitted state: the same bytes for any number of threads, the same numbers after a round trip,
// and a refusal for every cut and for flipped bytes that would matter.
#include "feature_cases.h"

#include "base/tp_alloc.h"
#include "base/tp_random.h"

#include <math.h>
#include <string.h>

static const char everything[] =
    "num = impute(x, median) + impute(n, mean) * impute(x, most_frequent)\n"
    "std = standardize(x)\nrob = robust_scale(x)\nmm = minmax(n)\nbins = bin(x, 7)\n"
    "cat = category(concat(s, \"-\", u), min_count = 3)\noh = onehot(u)\ncnt = count_encode(s)\n"
    "imp = category(impute(s, most_frequent))\nh = hour(t, \"America/New_York\")\n"
    "tm = target_mean(s, smoothing = 2)\nprev = lag(x, 1, group = s, order = t)\n";

enum { ROWS = 40000 };

static char text_rows[ROWS][96];
static const char *lines[ROWS];
static double target[ROWS];

static void make_rows(void)
{
    for (uint64_t i = 0; i < ROWS; i++) {
        const int64_t a = (int64_t)tp_random_below(1, 1, i, 1000) - 500;
        char number[32] = "";
        if (a % 7 != 0) {
            (void)snprintf(number, sizeof(number), "%.3f", (double)a * 1.37);
        }
        (void)snprintf(text_rows[i], sizeof(text_rows[i]),
                       "%s,%d,true,S%llu,U%llu,2013-01-02,2013-%02d-%02dT%02d:00:00Z", number,
                       (int)a, (unsigned long long)tp_random_below(1, 2, i, 300),
                       (unsigned long long)tp_random_below(1, 3, i, 5), (int)(i % 12) + 1,
                       (int)(i % 28) + 1, (int)(i % 24));
        lines[i] = text_rows[i];
        target[i] = (double)tp_random_below(1, 4, i, 2);
    }
}

static void test_same_bytes_for_any_threads(void)
{
    static const uint32_t threads[] = {1, 2, 7};
    tp_buffer states[3];
    feature_case cases[3] = {{.row_count = 0}};
    make_rows();
    for (size_t i = 0; i < 3; i++) {
        case_threads(&cases[i], threads[i]);
        case_rows(&cases[i], lines, ROWS);
        case_fit(&cases[i], everything, target);
        case_state(&cases[i], &states[i]);
        ASSERT_EQ_BYTES(states[i].data, states[i].size, states[0].data, states[0].size);
    }
    ASSERT(states[0].size > 5000);
    for (size_t i = 0; i < 3; i++) {
        tp_buffer_deinit(&states[i]);
        case_free(&cases[i]);
    }
}

static void load(feature_case *c, tp_str state)
{
    const tp_str text = tp_str_from(everything);
    tp_feature_program_free(c->program);
    c->program = NULL;
    ASSERT_OK(tp_feature_load(&c->env, text, &case_schema, state, &c->program, &test_err));
}

static void test_round_trip(void)
{
    feature_case c = {.row_count = 0};
    feature_case again = {.row_count = 0};
    tp_buffer state;
    tp_buffer second;
    make_rows();
    case_rows(&c, lines, 5000);
    case_rows(&again, lines, 5000);
    case_fit(&c, everything, target);
    case_state(&c, &state);
    load(&again, tp_buffer_view(&state));
    case_state(&again, &second);
    ASSERT_EQ_BYTES(second.data, second.size, state.data, state.size);
    case_run(&c, TP_FEATURE_SERVE, 1024);
    case_run(&again, TP_FEATURE_SERVE, 77);
    ASSERT_EQ_UINT(again.output_count, c.output_count);
    for (uint32_t i = 0; i < c.output_count; i++) {
        ASSERT_EQ_BYTES(again.values[i], 5000 * sizeof(double), c.values[i], 5000 * sizeof(double));
        const tp_feature_output *a = tp_feature_output_at(c.program, i);
        const tp_feature_output *b = tp_feature_output_at(again.program, i);
        ASSERT(tp_str_equal(a->name, b->name));
        ASSERT_EQ_UINT(a->category_count, b->category_count);
    }
    const tp_row_choice rows = {NULL, 5000};
    ASSERT_FAILS(tp_feature_run_bind(again.run, again.table, rows, TP_FEATURE_TRAIN, &test_err),
                 TAPEOUT_E_INVALID, "training mode");
    tp_buffer_deinit(&state);
    tp_buffer_deinit(&second);
    case_free(&c);
    case_free(&again);
}

static void test_refuses_damage(void)
{
    feature_case c = {.row_count = 0};
    tp_buffer state;
    make_rows();
    case_rows(&c, lines, 500);
    case_fit(&c, everything, target);
    case_state(&c, &state);
    char *copy = test_guarded(state.size);
    const tp_str text = tp_str_from(everything);
    for (size_t size = 0; size < state.size; size += size < 600 ? 1 : 37) {
        char *end = copy + state.size - size; // so that reading past the cut crashes
        memcpy(end, state.data, size);
        tp_feature_program *program = NULL;
        ASSERT_FAILS(
            tp_feature_load(&c.env, text, &case_schema, (tp_str){end, size}, &program, &test_err),
            TAPEOUT_E_CORRUPT, "feature state");
        ASSERT(program == NULL);
    }
    for (size_t at = 0; at < state.size; at++) { // every byte: refused, or a valid other state
        memcpy(copy, state.data, state.size);
        copy[at] = (char)(copy[at] ^ (1 << (at % 8)));
        tp_feature_program *program = NULL;
        const tapeout_status status = tp_feature_load(
            &c.env, text, &case_schema, (tp_str){copy, state.size}, &program, &test_err);
        ASSERT(status == TAPEOUT_OK || status == TAPEOUT_E_CORRUPT || status == TAPEOUT_E_INVALID);
        ASSERT(at >= 20 || status == TAPEOUT_E_CORRUPT);
        tp_feature_program_free(program);
    }
    tp_buffer_append_char(&state, 'x');
    tp_feature_program *program = NULL;
    ASSERT_FAILS(
        tp_feature_load(&c.env, text, &case_schema, tp_buffer_view(&state), &program, &test_err),
        TAPEOUT_E_CORRUPT, "behind the end");
    tp_buffer_deinit(&state);
    case_free(&c);
}

// One lie each: where it stands behind the header, and what is said about it.
static void test_refuses_each_lie(void)
{
    enum { HEADER = 28 }; // magic, version, program, no zones, one function, its kind
    static const double nan_value = NAN;
    static const double minus_one = -1;
    static const double big = 1e9;
    static const uint32_t seven = 7;
    static const uint64_t zero = 0;
    const struct {
        const char *text;
        size_t offset;
        const void *value;
        size_t size;
        const char *message;
    } lies[] = {
        {"a = n", 4, &seven, 4, "no state of version 1"},
        {"a = n", 20, &seven, 4, "another program"},
        {"a = bin(n, 4)", HEADER, &seven, 4, "count that is too large"},
        {"a = bin(n, 4)", HEADER + 4, &big, 8, "cuts that do not ascend"},
        {"a = bin(n, 4)", HEADER + 4, &nan_value, 8, "not finite"},
        {"a = bin(n, 4)", 24, &seven, 4, "another function"},
        {"a = standardize(n)", HEADER + 8, &minus_one, 8, "a scale that is not positive"},
        {"a = impute(n, median)", HEADER, &nan_value, 8, "not finite"},
        {"a = count_encode(s)", HEADER + 12, "\xff", 1, ""}, // the length of a text
        {"a = count_encode(s)", HEADER + 4, &zero, 8, "levels that are out of order"},
    };
    make_rows();
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        feature_case c = {.row_count = 0};
        tp_buffer state;
        tp_feature_program *program = NULL;
        const tp_str text = tp_str_from(lies[i].text);
        case_rows(&c, lines, 300);
        case_fit(&c, lies[i].text, NULL);
        case_state(&c, &state);
        memcpy(state.data + lies[i].offset, lies[i].value, lies[i].size);
        ASSERT_FAILS(tp_feature_load(&c.env, text, &case_schema, tp_buffer_view(&state), &program,
                                     &test_err),
                     TAPEOUT_E_CORRUPT, lies[i].message);
        tp_buffer_deinit(&state);
        case_free(&c);
    }
}

TEST_MAIN(TEST(test_refuses_each_lie), TEST(test_same_bytes_for_any_threads), TEST(test_round_trip),
          TEST(test_refuses_damage))
