// SPDX-License-Identifier: Apache-2.0
//
// The test harness. A test file lists its cases in one table and calls TEST_MAIN; each case runs in
// its own process with a timeout, so one that crashes or hangs takes no other with it. Output is
// one line a case ("ok name", "not ok name", "skip name: why") and a last line of counts.
// Assertions print both sides, stay in with NDEBUG, and end the case.
//
//   static void test_adds(void) { ASSERT_EQ_INT(add(1, 2), 3); }
//   TEST_MAIN(TEST(test_adds), TEST(test_other))
//
// A program name followed by case names runs those alone; `--no-fork` runs them in this process,
// for a debugger.
#ifndef TEST_H
#define TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <tapeout/context.h>

typedef struct test_case {
    const char *name;
    void (*run)(void);
    int timeout_s; // 0: 60 seconds
} test_case;

#define TEST(function)                                                                             \
    {                                                                                              \
#function, function, 0                                                                     \
    }
#define TEST_SLOW(function, seconds)                                                               \
    {                                                                                              \
#function, function, seconds                                                               \
    }
#define TEST_MAIN(...)                                                                             \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        static const test_case cases[] = {__VA_ARGS__};                                            \
        return test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));                     \
    }

int test_main(int argc, char **argv, const test_case *cases, size_t count);

// Ends the case as failed / as skipped; a skip always says why.
_Noreturn void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void test_skip(const char *why);

void test_assert_int(const char *file, int line, const char *text, int64_t got, int64_t want);
void test_assert_uint(const char *file, int line, const char *text, uint64_t got, uint64_t want);
// Bit-equal: NaN equals the same NaN, 0 and -0 differ.
void test_assert_f64(const char *file, int line, const char *text, double got, double want);
void test_assert_str(const char *file, int line, const char *text, const char *got,
                     const char *want);
typedef struct test_bytes {
    const void *data;
    size_t size;
} test_bytes;
void test_assert_bytes(const char *file, int line, test_bytes got, test_bytes want);
void test_assert_status(const char *file, int line, tapeout_status got, tapeout_status want,
                        const tapeout_error *err);

#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            test_fail(__FILE__, __LINE__, "%s", #condition);                                       \
        }                                                                                          \
    } while (0)
#define ASSERT_EQ_INT(got, want)                                                                   \
    test_assert_int(__FILE__, __LINE__, #got, (int64_t)(got), (int64_t)(want))
#define ASSERT_EQ_UINT(got, want)                                                                  \
    test_assert_uint(__FILE__, __LINE__, #got, (uint64_t)(got), (uint64_t)(want))
#define ASSERT_EQ_F64(got, want) test_assert_f64(__FILE__, __LINE__, #got, (got), (want))
#define ASSERT_EQ_STR(got, want) test_assert_str(__FILE__, __LINE__, #got, (got), (want))
#define ASSERT_EQ_BYTES(got, got_size, want, want_size)                                            \
    test_assert_bytes(__FILE__, __LINE__, (test_bytes){(got), (got_size)},                         \
                      (test_bytes){(want), (want_size)})
#define ASSERT_OK(expr)                                                                            \
    do {                                                                                           \
        test_err = (tapeout_error){0};                                                             \
        test_assert_status(__FILE__, __LINE__, (expr), TAPEOUT_OK, &test_err);                     \
    } while (0)
// `expr` must fail with `want`, and its message must contain `part` (NULL: any message).
#define ASSERT_FAILS(expr, want, part)                                                             \
    do {                                                                                           \
        test_err = (tapeout_error){0};                                                             \
        test_assert_status(__FILE__, __LINE__, (expr), (want), &test_err);                         \
        test_assert_message(__FILE__, __LINE__, &test_err, (part));                                \
    } while (0)
void test_assert_message(const char *file, int line, const tapeout_error *err, const char *part);

// Pass `&test_err` as the error buffer inside ASSERT_OK and ASSERT_FAILS; each thread has its own.
extern _Thread_local tapeout_error test_err;

// An allocator that fails the n-th allocation, once or for ever after, and counts what is live;
// sizes given back are checked against sizes asked for.
typedef struct test_allocator {
    tapeout_allocator base; // pass &it.base
    size_t fail_at;         // 1-based; 0: never
    bool fail_for_ever;
    size_t count; // allocations and growing resizes so far
    size_t live;  // blocks not given back
    size_t peak_bytes;
    size_t live_bytes;
} test_allocator;

void test_allocator_init(test_allocator *allocator);

// Runs `scenario` with the 1st, 2nd, ... allocation failing until it succeeds, fail-once and
// fail-for-ever; each time it must return E_NOMEM (or OK where a failure is tolerated) and leave
// nothing live.
void test_out_of_memory(tapeout_status (*scenario)(const tapeout_allocator *alloc, void *user,
                                                   tapeout_error *err),
                        void *user);

// A new empty folder below the build's temporary folder, removed when the case ends well. With
// TEST_IN_MEMORY in the environment it lies in /dev/shm: for disks that a test only plays.
const char *test_temp_dir(void);
// Removes the folder and what is in it; none there is fine. A test that does so a thousand times
// has no time for a shell.
void test_remove_tree(const char *path);
// The folder `shared` beside the checkout, or NULL (then skip and say so).
const char *test_shared_dir(void);
// The checkout's root.
const char *test_source_dir(void);

// Memory of `size` bytes that ends at an unreadable page, so that reading past it crashes.
void *test_guarded(size_t size);

#endif
