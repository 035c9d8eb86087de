// SPDX-License-Identifier: Apache-2.0
//
// Sine and cosine, for the angles of rotary embeddings. The argument is brought into [-π/4, π/4] by
// Cody and Waite's reduction: π/2 in three parts, the first two of which have 27 bits, so that
// their products with a quarter's number below 2^25 are exact. Then Taylor series.
#include "kernels/tp_math.h"

#include <math.h>
#include <stdbool.h>

#define PI_HALF_1 0x1.921fb54p+0
#define PI_HALF_2 0x1.10b461p-30
#define PI_HALF_3 0x1.a62633145c06ep-58
#define PI_HALF_INVERSE 0x1.45f306dc9c883p-1
#define LARGEST 0x1p24

// 1/n!, signs alternating, in r².
static double sine_near(double r)
{
    const double z = r * r;
    double s = -1.0 / 1307674368000.0;
    s = s * z + 1.0 / 6227020800.0;
    s = s * z - 1.0 / 39916800.0;
    s = s * z + 1.0 / 362880.0;
    s = s * z - 1.0 / 5040.0;
    s = s * z + 1.0 / 120.0;
    s = s * z - 1.0 / 6.0;
    return r + r * (z * s);
}

static double cosine_near(double r)
{
    const double z = r * r;
    double s = 1.0 / 20922789888000.0;
    s = s * z - 1.0 / 87178291200.0;
    s = s * z + 1.0 / 479001600.0;
    s = s * z - 1.0 / 3628800.0;
    s = s * z + 1.0 / 40320.0;
    s = s * z - 1.0 / 720.0;
    s = s * z + 1.0 / 24.0;
    return 1.0 - (0.5 * z - z * (z * s));
}

// Sine of x + quarters · π/2.
static double sine_shifted(double x, int quarters)
{
    if (!(fabs(x) <= LARGEST)) {
        return NAN;
    }
    const double k = nearbyint(x * PI_HALF_INVERSE);
    const double r = ((x - k * PI_HALF_1) - k * PI_HALF_2) - k * PI_HALF_3;
    const int quarter = (int)((long long)k + quarters) & 3;
    const double y = (quarter & 1) != 0 ? cosine_near(r) : sine_near(r);
    return (quarter & 2) != 0 ? -y : y;
}

double tp_sin(double x)
{
    return sine_shifted(x, 0);
}

double tp_cos(double x)
{
    return sine_shifted(x, 1);
}
