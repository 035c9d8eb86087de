// SPDX-License-Identifier: Apache-2.0
//
// Another library's functions: the bits of the C library where that is glibc on a processor with
// fused multiply-add, and a few values that hold everywhere.
#include "kernels/tp_libm.h"

#include "base/tp_random.h"
#include "test.h"

#include <dlfcn.h>
#include <math.h>
#include <string.h>

static void test_known_values(void)
{
    ASSERT_EQ_F64(tp_libm_exp(0), 1);
    ASSERT_EQ_F64(tp_libm_exp(1), 0x1.5bf0a8b145769p+1);
    ASSERT_EQ_F64(tp_libm_exp(710), (double)INFINITY);
    ASSERT_EQ_F64(tp_libm_exp(-746), 0);
    ASSERT_EQ_F64(tp_libm_exp((double)-INFINITY), 0);
    ASSERT(isnan(tp_libm_exp((double)NAN)));
    ASSERT_EQ_F64((double)tp_libm_expf(1), (double)0x1.5bf0a8p+1f);
    ASSERT_EQ_F64((double)tp_libm_expf(0x1.04845ep+5f), (double)0x1.f93e38p+46f);
    ASSERT_EQ_F64((double)tp_libm_expf(89), (double)INFINITY);
    ASSERT_EQ_F64((double)tp_libm_expf(-104), 0);
    ASSERT(isnan(tp_libm_expf(NAN)));
    ASSERT_EQ_F64((double)tp_libm_logf(1), 0);
    ASSERT_EQ_F64((double)tp_libm_logf(0), (double)-INFINITY);
    ASSERT_EQ_F64((double)tp_libm_logf(2), (double)0x1.62e43p-1f);
    ASSERT_EQ_F64((double)tp_libm_logf(1e-45f), (double)-0x1.9d1dap+6f);
    ASSERT(isnan(tp_libm_logf(-1)));
}

// The C library's function, not what the compiler knows of it.
static void *find(const char *name)
{
    void *library = dlopen("libm.so.6", RTLD_NOW);
    void *function = library == NULL ? NULL : dlsym(library, name);
    if (function == NULL || dlsym(library, "gnu_get_libc_version") == NULL ||
        !__builtin_cpu_supports("fma")) {
        test_skip("the C library is not glibc, or the processor has no fused multiply-add");
    }
    return function;
}

static void test_exp_is_the_c_library_s(void)
{
    double (*theirs)(double) = NULL;
    void *function = find("exp");
    memcpy(&theirs, &function, sizeof(theirs));
    for (uint64_t i = 0; i < 3000000; i++) {
        const double width = i % 3 == 0 ? 2 : i % 3 == 1 ? 60 : 1500;
        const double x = (tp_random_f64(1, 0, i) - 0.5) * width;
        ASSERT_EQ_F64(tp_libm_exp(x), theirs(x));
    }
}

static void test_float32_is_the_c_library_s(void)
{
    float (*theirs)(float) = NULL;
    void *function = find("expf");
    memcpy(&theirs, &function, sizeof(theirs));
    for (uint64_t i = 0; i < 3000000; i++) {
        const float x = (float)((tp_random_f64(2, 0, i) - 0.5) * (i % 2 == 0 ? 10 : 210));
        ASSERT_EQ_F64((double)tp_libm_expf(x), (double)theirs(x));
    }
    function = find("logf");
    memcpy(&theirs, &function, sizeof(theirs));
    for (uint32_t bits = 1; bits < 0x7f800000u; bits += 997) {
        float x = 0;
        memcpy(&x, &bits, sizeof(x));
        ASSERT_EQ_F64((double)tp_libm_logf(x), (double)theirs(x));
    }
}

TEST_MAIN(TEST(test_known_values), TEST(test_exp_is_the_c_library_s),
          TEST(test_float32_is_the_c_library_s))
