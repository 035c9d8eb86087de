// SPDX-License-Identifier: Apache-2.0
//
// The table of math kernels: one pointer an operation, filled for a set of CPU flags. Modules call
// tp_math.h; this is for its dispatch, for tests and for benchmarks.
#ifndef TP_KERNELS_MATH_H
#define TP_KERNELS_MATH_H

#include <stddef.h>
#include <stdint.h>

typedef void (*tp_math_array_fn)(const double *in, double *out, size_t count);

typedef struct tp_kernels_math {
    tp_math_array_fn exp_array;
    tp_math_array_fn log_array;
    tp_math_array_fn log1p_array;
    tp_math_array_fn logistic_array;
} tp_kernels_math;

// The best variants that `cpu_flags` (tp_cpu.h) allow; `ref` for 0.
void tp_kernels_math_init(tp_kernels_math *kernels, uint32_t cpu_flags);

void tp_exp_f64_ref(const double *in, double *out, size_t count);
void tp_log_f64_ref(const double *in, double *out, size_t count);
void tp_log1p_f64_ref(const double *in, double *out, size_t count);
void tp_logistic_f64_ref(const double *in, double *out, size_t count);

void tp_exp_f64_avx2(const double *in, double *out, size_t count);
void tp_log_f64_avx2(const double *in, double *out, size_t count);
void tp_log1p_f64_avx2(const double *in, double *out, size_t count);
void tp_logistic_f64_avx2(const double *in, double *out, size_t count);

#endif
