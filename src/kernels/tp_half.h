// SPDX-License-Identifier: Apache-2.0
//
// Floats of 16 bits: IEEE half precision, converted as processors do (a signalling NaN becomes a
// quiet one), and bfloat16, the upper half of a float. To 16 bits rounds to nearest, ties to even.
#ifndef TP_HALF_H
#define TP_HALF_H

#include <stdint.h>

float tp_half_to_float(uint16_t bits);
uint16_t tp_float_to_half(float value);

float tp_brain_to_float(uint16_t bits);
uint16_t tp_float_to_brain(float value);

#endif
