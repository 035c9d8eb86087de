// SPDX-License-Identifier: Apache-2.0
//
// Floats to Q4_K and Q6_K: 256 weights in parts of 32 or 16, each with a small scale (and minimum)
// that multiplies the block's own in half precision. Three steps, each by squared error: fit every
// part by itself with a search around its span; share the block's scale and choose each part's
// whole factors among the neighbours of the rounded ones; fit the block's scales to what was chosen
// and choose again, while it gets better.
#include "llm/gguf/quantize_priv.h"

#include <math.h>
#include <string.h>

enum {
    SUPER = 256,
    PARTS_4 = 8,
    LENGTH_4 = 32,
    PARTS_6 = 16,
    LENGTH_6 = 16,
    ROUNDS = 3,
    SPARES = 3,
    TRIALS_6 = 42
};

// -- Q4_K ----------------------------------------------------------------------------------------
// A weight is scale × factor × code - min × min_factor.

typedef struct fit4 {
    double error;
    uint8_t halves[4]; // scale and min as stored
    float scale;
    float min;
    int factors[PARTS_4];     // 0 … 63
    int min_factors[PARTS_4]; // 0 … 63
    uint8_t codes[SUPER];     // 0 … 15
} fit4;

// The best line through the values of a part over their codes, its start not above zero.
static double fit_line(const float *x, const int *codes, double *ret_step, double *ret_start)
{
    double sum_l = 0;
    double sum_ll = 0;
    double sum_x = 0;
    double sum_xl = 0;
    for (int i = 0; i < LENGTH_4; i++) {
        sum_l += codes[i];
        sum_ll += (double)codes[i] * codes[i];
        sum_x += (double)x[i];
        sum_xl += (double)x[i] * codes[i];
    }
    const double determinant = LENGTH_4 * sum_ll - sum_l * sum_l;
    double step = 0;
    double start = 0;
    if (determinant > 0) {
        step = (LENGTH_4 * sum_xl - sum_x * sum_l) / determinant;
        start = (sum_ll * sum_x - sum_l * sum_xl) / determinant;
    }
    if (determinant <= 0 || start > 0) {
        step = sum_ll > 0 ? sum_xl / sum_ll : 0;
        start = 0;
    }
    double error = 0;
    for (int i = 0; i < LENGTH_4; i++) {
        const double miss = step * codes[i] + start - (double)x[i];
        error += miss * miss;
    }
    *ret_step = step;
    *ret_start = start;
    return error;
}

typedef struct line {
    double error;
    double step;
    double start;
} line;

// Tries steps around the one that lays codes `first` to 15 over the values from `low` to `high`.
static void try_codes(const float *x, float low, float high, int first, line *best)
{
    for (int trial = 0; trial <= 12; trial++) {
        const float inverse = ((float)(15 - first) - 1.2f + 0.2f * (float)trial) / (high - low);
        int codes[LENGTH_4];
        line found;
        for (int i = 0; i < LENGTH_4; i++) {
            codes[i] = tp_quantize_nearest(inverse * (x[i] - low) + (float)first, 0, 15);
        }
        found.error = fit_line(x, codes, &found.step, &found.start);
        if (found.error < best->error && found.step >= 0) {
            *best = found;
        }
    }
}

// Step and offset of one part by itself; both at least zero. So a line starts at zero or below:
// where all values are above, it may begin so that a code in the middle meets the lowest of them.
static void fit_part_4(const float *x, float *ret_step, float *ret_offset)
{
    float low = x[0];
    float high = x[0];
    for (int i = 0; i < LENGTH_4; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
    }
    const float start = fminf(low, 0);
    line best = {.error = INFINITY, .start = (double)start};
    if (high > start) {
        try_codes(x, start, high, 0, &best);
    }
    for (int first = 1; low > 0 && first <= 7; first++) {
        if (low * (float)(15 - first) <= (high - low) * (float)first) {
            try_codes(x, low, high, first, &best);
            break;
        }
    }
    *ret_step = (float)best.step;
    *ret_offset = (float)-best.start;
}

// The squared error of a part with the nearest codes.
static double code_part_4(const float *x, float step, float offset, uint8_t *ret_codes)
{
    const float inverse = step == 0 ? 0 : 1 / step;
    double error = 0;
    for (int i = 0; i < LENGTH_4; i++) {
        const int code = tp_quantize_nearest((x[i] + offset) * inverse, 0, 15);
        const double miss = (double)(step * (float)code - offset) - (double)x[i];
        error += miss * miss;
        ret_codes[i] = (uint8_t)code;
    }
    return error;
}

// Chooses a part's factors among the neighbours of the nearest ones.
static void choose_part_4(const float *x, float step, float offset, int part, fit4 *fit)
{
    const int factor = fit->scale > 0 ? tp_quantize_nearest(step / fit->scale, 0, 63) : 0;
    const int min_factor = fit->min > 0 ? tp_quantize_nearest(offset / fit->min, 0, 63) : 0;
    double best = INFINITY;
    for (int trial = 0; trial < 3 * 3; trial++) {
        const int f = factor + trial % 3 - 1;
        const int m = min_factor + trial / 3 - 1;
        uint8_t codes[LENGTH_4];
        if (f < 0 || f > 63 || m < 0 || m > 63) {
            continue;
        }
        const double error = code_part_4(x, fit->scale * (float)f, fit->min * (float)m, codes);
        if (error < best) {
            best = error;
            fit->factors[part] = f;
            fit->min_factors[part] = m;
            memcpy(fit->codes + part * LENGTH_4, codes, LENGTH_4);
        }
    }
    fit->error += best;
}

typedef struct parts4 {
    float steps[PARTS_4];
    float offsets[PARTS_4];
} parts4;

// False where a scale does not fit into half precision.
static bool choose_4(const float *values, const parts4 *parts, float scale, float min, fit4 *fit)
{
    *fit = (fit4){.error = 0};
    if (!tp_quantize_store_half(scale, fit->halves, &fit->scale) ||
        !tp_quantize_store_half(min, fit->halves + 2, &fit->min)) {
        return false;
    }
    for (int part = 0; part < PARTS_4; part++) {
        choose_part_4(values + part * LENGTH_4, parts->steps[part], parts->offsets[part], part,
                      fit);
    }
    return true;
}

// The two scales that fit the chosen factors and codes best; false where they are not determined.
static bool refit_4(const float *values, const fit4 *fit, float *ret_scale, float *ret_min)
{
    double aa = 0;
    double ab = 0;
    double bb = 0;
    double ax = 0;
    double bx = 0;
    for (int i = 0; i < SUPER; i++) {
        const double a = (double)fit->factors[i / LENGTH_4] * fit->codes[i];
        const double b = -(double)fit->min_factors[i / LENGTH_4];
        aa += a * a;
        ab += a * b;
        bb += b * b;
        ax += a * (double)values[i];
        bx += b * (double)values[i];
    }
    const double determinant = aa * bb - ab * ab;
    if (bb == 0 && aa > 0) {
        *ret_scale = (float)(ax / aa);
        *ret_min = fit->min;
        return *ret_scale > 0;
    }
    if (!(determinant > 1e-9 * aa * bb)) {
        return false;
    }
    *ret_scale = (float)((ax * bb - bx * ab) / determinant);
    *ret_min = (float)((bx * aa - ax * ab) / determinant);
    return *ret_scale > 0 && *ret_min > 0;
}

static void pack_4(const fit4 *fit, uint8_t *block)
{
    memcpy(block, fit->halves, sizeof(fit->halves));
    uint8_t *packed = block + 4;
    memset(packed, 0, 12);
    for (int part = 0; part < PARTS_4; part++) {
        const unsigned factor = (unsigned)fit->factors[part];
        const unsigned min = (unsigned)fit->min_factors[part];
        if (part < 4) {
            packed[part] = (uint8_t)(packed[part] | factor);
            packed[part + 4] = (uint8_t)(packed[part + 4] | min);
        } else { // four low bits behind, two high bits on top of the first eight bytes
            packed[part + 4] = (uint8_t)((factor & 15u) | (min & 15u) << 4);
            packed[part - 4] = (uint8_t)(packed[part - 4] | factor >> 4 << 6);
            packed[part] = (uint8_t)(packed[part] | min >> 4 << 6);
        }
    }
    for (int i = 0; i < SUPER / 2; i++) {
        const int at = i / 32 * 64 + i % 32;
        block[16 + i] = (uint8_t)(fit->codes[at] | fit->codes[at + 32] << 4);
    }
}

bool tp_quantize_q4_k_block(const float *values, uint8_t *ret_block)
{
    parts4 parts;
    float max_step = 0;
    float max_offset = 0;
    for (int part = 0; part < PARTS_4; part++) {
        fit_part_4(values + part * LENGTH_4, &parts.steps[part], &parts.offsets[part]);
        max_step = fmaxf(max_step, parts.steps[part]);
        max_offset = fmaxf(max_offset, parts.offsets[part]);
    }
    fit4 best = {.error = INFINITY};
    for (int spare = 0; spare < SPARES; spare++) { // the largest factors need not be the last ones
        fit4 next;
        const float most = (float)(63 - spare);
        if (!choose_4(values, &parts, max_step / most, max_offset / most, &next)) {
            return false;
        }
        best = next.error < best.error ? next : best;
    }
    for (int round = 0; round < ROUNDS; round++) {
        fit4 next;
        float scale = 0;
        float min = 0;
        if (!refit_4(values, &best, &scale, &min) || !choose_4(values, &parts, scale, min, &next) ||
            !(next.error < best.error)) {
            break;
        }
        best = next;
    }
    pack_4(&best, ret_block);
    return true;
}

// -- Q6_K ----------------------------------------------------------------------------------------
// A weight is scale × factor × code.

typedef struct fit6 {
    double error;
    uint8_t half[2]; // the scale as stored
    float scale;
    int factors[PARTS_6]; // -128 … 127
    int8_t codes[SUPER];  // -32 … 31
} fit6;

// The scale of one part by itself, of either sign.
static float fit_part_6(const float *x)
{
    const float extreme = tp_quantize_extreme(x, LENGTH_6);
    float found = 0;
    double best = 0; // the share of the squares that a scale explains
    for (int trial = 0; extreme != 0 && trial < 2 * TRIALS_6; trial++) {
        // The extreme lies at either end of the codes first, then a little before or beyond it.
        const int side = trial % 2 == 0 ? 1 : -1;
        const float end = trial < TRIALS_6 ? -32 : 31;
        const float inverse = end * (1 + 0.003f * (float)(side * (trial % TRIALS_6 / 2))) / extreme;
        double products = 0;
        double squares = 0;
        for (int i = 0; i < LENGTH_6; i++) {
            const int code = tp_quantize_nearest(inverse * x[i], -32, 31);
            products += (double)x[i] * code;
            squares += (double)code * code;
        }
        if (squares > 0 && products * products / squares > best * (1 + 1e-12)) {
            best = products * products / squares;
            found = (float)(products / squares);
        }
    }
    return found;
}

static void choose_part_6(const float *x, float step, int part, fit6 *fit)
{
    const int nearest = fit->scale == 0 ? 0 : tp_quantize_nearest(step / fit->scale, -128, 127);
    double best = INFINITY;
    for (int factor = nearest - 2; factor <= nearest + 2; factor++) {
        if (factor < -128 || factor > 127) {
            continue;
        }
        const float unit = fit->scale * (float)factor;
        int8_t codes[LENGTH_6];
        double error = 0;
        for (int i = 0; i < LENGTH_6; i++) {
            codes[i] = (int8_t)(unit == 0 ? 0 : tp_quantize_nearest(x[i] / unit, -32, 31));
            const double miss = (double)(unit * (float)codes[i]) - (double)x[i];
            error += miss * miss;
        }
        if (error < best) {
            best = error;
            fit->factors[part] = factor;
            memcpy(fit->codes + part * LENGTH_6, codes, LENGTH_6);
        }
    }
    fit->error += best;
}

static bool choose_6(const float *values, const float *steps, float scale, fit6 *fit)
{
    *fit = (fit6){.error = 0};
    if (!tp_quantize_store_half(scale, fit->half, &fit->scale)) {
        return false;
    }
    for (int part = 0; part < PARTS_6; part++) {
        choose_part_6(values + part * LENGTH_6, steps[part], part, fit);
    }
    return true;
}

static float refit_6(const float *values, const fit6 *fit)
{
    double products = 0;
    double squares = 0;
    for (int i = 0; i < SUPER; i++) {
        const double unit = (double)fit->factors[i / LENGTH_6] * fit->codes[i];
        products += unit * (double)values[i];
        squares += unit * unit;
    }
    return squares > 0 ? (float)(products / squares) : 0;
}

static void pack_6(const fit6 *fit, uint8_t *block)
{
    memset(block, 0, 192);
    for (int i = 0; i < SUPER; i++) {
        const unsigned code = (unsigned)(fit->codes[i] + 32);
        const int group = i / 32 % 4;
        uint8_t *low = block + i / 128 * 64 + i % 64;
        uint8_t *high = block + 128 + i / 128 * 32 + i % 32;
        *low = (uint8_t)(*low | (code & 15u) << (group < 2 ? 0 : 4));
        *high = (uint8_t)(*high | code >> 4 << (2 * group));
    }
    for (int part = 0; part < PARTS_6; part++) {
        block[192 + part] = (uint8_t)(int8_t)fit->factors[part];
    }
    memcpy(block + 208, fit->half, 2);
}

bool tp_quantize_q6_k_block(const float *values, uint8_t *ret_block)
{
    float steps[PARTS_6];
    for (int part = 0; part < PARTS_6; part++) {
        steps[part] = fit_part_6(values + part * LENGTH_6);
    }
    const float extreme = tp_quantize_extreme(steps, PARTS_6);
    fit6 best = {.error = INFINITY};
    for (int spare = 0; spare < SPARES; spare++) {
        fit6 next;
        if (!choose_6(values, steps, extreme / (float)(spare - 128), &next)) {
            return false;
        }
        best = next.error < best.error ? next : best;
    }
    for (int round = 0; round < ROUNDS; round++) {
        fit6 next;
        if (!choose_6(values, steps, refit_6(values, &best), &next) || !(next.error < best.error)) {
            break;
        }
        best = next;
    }
    pack_6(&best, ret_block);
    return true;
}
