// SPDX-License-Identifier: Apache-2.0
//
// Floats of 16 bits in integer operations alone; half precision bit for bit as vcvtph2ps and
// vcvtps2ph give it.
#include "kernels/tp_half.h"

#include <string.h>

static float of_bits(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint32_t bits_of(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

float tp_half_to_float(uint16_t half)
{
    const uint32_t bits = half;
    const uint32_t sign = bits >> 15 << 31;
    const uint32_t exponent = bits >> 10 & 31;
    const uint32_t fraction = bits & 0x3ff;
    if (exponent == 0) {
        const float magnitude = (float)fraction * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    if (exponent == 31) {
        return of_bits(sign | 0x7f800000u | (fraction != 0 ? 0x400000u | fraction << 13 : 0));
    }
    return of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t tp_float_to_half(float value)
{
    const uint32_t bits = bits_of(value);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
    }
    if (magnitude >= 0x47800000) {
        return sign | 0x7c00; // 65536 and above
    }
    if (magnitude < 0x38800000) {
        // Below 2^-14: the sum with 1/2 has the denormal's digits in its lowest bits, rounded.
        return (uint16_t)(sign | (bits_of(of_bits(magnitude) + 0.5f) - 0x3f000000));
    }
    // Rounds to nearest even, and into the exponent where digits overflow.
    const uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | ((magnitude - (112u << 23) + 0xfff + odd) >> 13));
}

float tp_brain_to_float(uint16_t bits)
{
    return of_bits((uint32_t)bits << 16);
}

uint16_t tp_float_to_brain(float value)
{
    const uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffff) > 0x7f800000) {
        return (uint16_t)(bits >> 16 | 64); // stays a NaN
    }
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
