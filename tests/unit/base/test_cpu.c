// SPDX-License-Identifier: Apache-2.0
//
// CPU flags and their narrowing by TAPEOUT_CPU. Each case has a process of its own, and the flags
// are read once a process, so the variable is set first.
#include "base/tp_cpu.h"

#include "test.h"

#include <stdlib.h>
#include <string.h>

static void test_machine(void)
{
    ASSERT(unsetenv("TAPEOUT_CPU") == 0);
    const uint32_t flags = tp_cpu_flags();
#ifdef __x86_64__
    // The compiler's own detection, a second opinion.
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    ASSERT(((flags & TP_CPU_AVX2) != 0) == avx2);
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl");
    ASSERT(((flags & TP_CPU_AVX512) != 0) == avx512);
#else
    ASSERT_EQ_UINT(flags, 0);
#endif
    ASSERT_OK(tp_cpu_check(&test_err));
}

static void test_ref(void)
{
    ASSERT(setenv("TAPEOUT_CPU", "ref", 1) == 0);
    ASSERT_EQ_UINT(tp_cpu_flags(), 0);
    ASSERT_OK(tp_cpu_check(&test_err));
    ASSERT(setenv("TAPEOUT_CPU", "avx2", 1) == 0); // too late
    ASSERT_EQ_UINT(tp_cpu_flags(), 0);
}

static void test_empty_is_unset(void)
{
    ASSERT(setenv("TAPEOUT_CPU", "", 1) == 0);
    ASSERT_OK(tp_cpu_check(&test_err));
}

static void test_unknown(void)
{
    ASSERT(setenv("TAPEOUT_CPU", "AVX9", 1) == 0);
    ASSERT_FAILS(tp_cpu_check(&test_err), TAPEOUT_E_INVALID, "AVX9; expected ref, avx2 or avx512");
    ASSERT_EQ_UINT(tp_cpu_flags(), 0);
}

// One of the two holds on any machine: it has the set, or it says that it lacks it.
static void check_named(const char *name, uint32_t flags)
{
    ASSERT(setenv("TAPEOUT_CPU", name, 1) == 0);
    tapeout_error err = {0};
    const tapeout_status status = tp_cpu_check(&err);
    if (status == TAPEOUT_OK) {
        ASSERT_EQ_UINT(tp_cpu_flags(), flags);
    } else {
        ASSERT_EQ_INT(status, TAPEOUT_E_UNSUPPORTED);
        ASSERT(strstr(err.message, name) != NULL);
        ASSERT_EQ_UINT(tp_cpu_flags(), 0);
    }
}

static void test_avx2(void)
{
    check_named("avx2", TP_CPU_AVX2);
}

static void test_avx512(void)
{
    check_named("avx512", TP_CPU_AVX2 | TP_CPU_AVX512);
}

static void test_names(void)
{
    ASSERT_EQ_STR(tp_cpu_name(0), "ref");
    ASSERT_EQ_STR(tp_cpu_name(TP_CPU_AVX2), "avx2");
    ASSERT_EQ_STR(tp_cpu_name(TP_CPU_AVX2 | TP_CPU_AVX512), "avx512");
    ASSERT_EQ_STR(tp_cpu_name(TP_CPU_AVX512), "ref"); // not without what it stands on
}

TEST_MAIN(TEST(test_machine), TEST(test_ref), TEST(test_empty_is_unset), TEST(test_unknown),
          TEST(test_avx2), TEST(test_avx512), TEST(test_names))
