// SPDX-License-Identifier: Apache-2.0
//
// Chooses the math kernels: `ref` first, then up the ladder as far as the processor goes. The
// choice is made once per process.
#include "kernels/tp_math.h"

#include "base/tp_cpu.h"
#include "kernels/tp_kernels_math.h"

#include <pthread.h>

void tp_kernels_math_init(tp_kernels_math *kernels, uint32_t cpu_flags)
{
    *kernels = (tp_kernels_math){
        .exp_array = tp_exp_f64_ref,
        .log_array = tp_log_f64_ref,
        .log1p_array = tp_log1p_f64_ref,
        .logistic_array = tp_logistic_f64_ref,
    };
#ifdef __x86_64__
    if ((cpu_flags & TP_CPU_AVX2) == 0) {
        return;
    }
    kernels->exp_array = tp_exp_f64_avx2;
    kernels->log_array = tp_log_f64_avx2;
    kernels->log1p_array = tp_log1p_f64_avx2;
    kernels->logistic_array = tp_logistic_f64_avx2;
#else
    (void)cpu_flags;
#endif
}

static struct {
    pthread_once_t once;
    tp_kernels_math kernels;
} chosen = {.once = PTHREAD_ONCE_INIT};

static void choose(void)
{
    tp_kernels_math_init(&chosen.kernels, tp_cpu_flags());
}

static const tp_kernels_math *kernels(void)
{
    (void)pthread_once(&chosen.once, choose); // fails for an invalid control alone
    return &chosen.kernels;
}

void tp_exp_array(const double *in, double *out, size_t count)
{
    kernels()->exp_array(in, out, count);
}

void tp_log_array(const double *in, double *out, size_t count)
{
    kernels()->log_array(in, out, count);
}

void tp_log1p_array(const double *in, double *out, size_t count)
{
    kernels()->log1p_array(in, out, count);
}

void tp_logistic_array(const double *in, double *out, size_t count)
{
    kernels()->logistic_array(in, out, count);
}
