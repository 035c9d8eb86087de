// SPDX-License-Identifier: Apache-2.0
//
// exp, log and their kin, the same bits everywhere: written with +, -, ×, ÷ and integer operations
// alone, compiled without contraction, so no C library and no processor can change a digit. Within
// 1 ulp of the true value are exp, expm1, log, log1p, log2, pow and tanh, within 2.5 logistic and
// erf, within 8 log-gamma; square roots and rounding come from the hardware, which
// IEEE 754 defines to the last bit.
//
// Domain errors give NaN, overflow infinity, as in C; no exceptions, no errno.
#ifndef TP_MATH_H
#define TP_MATH_H

#include <stddef.h>

double tp_exp(double x);
double tp_expm1(double x);
double tp_log(double x);
double tp_log1p(double x);
double tp_log2(double x);
double tp_pow(double x, double y);
double tp_tanh(double x);
double tp_erf(double x);
double tp_lgamma(double x); // x > 0
double tp_sqrt(double x);
double tp_logistic(double x); // 1 / (1 + exp(-x)), stable at both ends

// Within 1e-15 absolutely up to |x| = 2^24; NaN beyond.
double tp_sin(double x);
double tp_cos(double x);

// Over arrays [count]; `out` may be `in`. The same bits as the scalar forms.
void tp_exp_array(const double *in, double *out, size_t count);
void tp_log_array(const double *in, double *out, size_t count);
void tp_log1p_array(const double *in, double *out, size_t count);
void tp_logistic_array(const double *in, double *out, size_t count);

#endif
