// SPDX-License-Identifier: Apache-2.0
//
// IEEE half precision as bits, converted as processors do: to 16 bits rounds to nearest, ties to
// even; a signalling NaN becomes a quiet one.
#ifndef TP_HALF_H
#define TP_HALF_H

#include <stdint.h>

float tp_half_to_float(uint16_t bits);
uint16_t tp_float_to_half(float value);

#endif
