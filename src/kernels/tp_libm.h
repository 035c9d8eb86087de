// SPDX-License-Identifier: Apache-2.0
//
// The exponentials and logarithm of another library, bit for bit: those of glibc from 2.28 on
// (Arm's optimized routines, by S. Nagy) on a processor with fused multiply-add. Models that other
// programs trained end in these functions, and to answer with the same bits we must too. Results of
// our own use tp_math.h.
//
// tests/kernels/test_libm.c compares them with the C library where it is glibc.
#ifndef TP_LIBM_H
#define TP_LIBM_H

float tp_libm_expf(float x);
float tp_libm_logf(float x);
double tp_libm_exp(double x);

#endif
