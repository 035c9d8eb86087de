// SPDX-License-Identifier: Apache-2.0
//
// A fitted linear model: memory, bytes, margins. Features stay standardised in the stored form, so
// that a column far from zero (a time in microseconds) loses no digits to a huge intercept, and so
// that a coefficient is what an explanation needs: the contribution of a number is 0 at its mean.
#include "learn/linear/linear_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_cursor.h"
#include "base/tp_error.h"

#include <math.h>
#include <string.h>

// By form: "LIN1", "LIN2" with a run, "LIN3".
static const uint32_t magics[] = {0x314e494cu, 0x324e494cu, 0x334e494cu};

// -- life ----------------------------------------------------------------------------------------
static tapeout_status count_coefficients(const linear_shape *shape, uint32_t *ret_count,
                                         tapeout_error *err)
{
    uint64_t count = 0;
    for (uint32_t f = 0; f < shape->feature_count; f++) {
        const tp_learn_feature *feature = &shape->features[f];
        count += feature->is_category ? (uint64_t)feature->category_count + 1 : 1;
    }
    if ((count + 1) * shape->output_count > TP_MAX_LINEAR_COEFFICIENTS) {
        return tp_fail(err, TAPEOUT_E_LIMIT,
                       "linear: %llu coefficients for %u outputs; at most %u in all: raise "
                       "min_count of the categories, use target_mean, or learner: gbt",
                       (unsigned long long)count + 1, shape->output_count,
                       TP_MAX_LINEAR_COEFFICIENTS);
    }
    *ret_count = (uint32_t)count;
    return TAPEOUT_OK;
}

static void lay_terms(const tp_learn_feature *features, tp_linear *linear)
{
    uint32_t begin = 0;
    for (uint32_t f = 0; f < linear->feature_count; f++) {
        linear_term *term = &linear->terms[f];
        term->is_category = features[f].is_category;
        term->category_count = features[f].is_category ? features[f].category_count : 0;
        term->coefficient = begin;
        begin += linear_term_width(term);
    }
}

tapeout_status tp_linear_new(const tapeout_allocator *alloc, const linear_shape *shape,
                             tp_linear **ret_linear, tapeout_error *err)
{
    uint32_t width = 0;
    const uint32_t feature_count = shape->feature_count;
    TP_TRY(count_coefficients(shape, &width, err));
    tp_linear *linear = tp_alloc_zero(alloc, sizeof(*linear));
    if (linear == NULL) {
        return tp_fail_nomem(err);
    }
    *linear = (tp_linear){.alloc = alloc,
                          .output_count = shape->output_count,
                          .feature_count = feature_count,
                          .coefficient_count = width};
    const size_t outputs = shape->output_count;
    linear->terms = tp_alloc_array_zero(alloc, feature_count, sizeof(*linear->terms));
    linear->intercept = tp_alloc_array_zero(alloc, outputs, sizeof(double));
    linear->coefficients = tp_alloc_array_zero(alloc, outputs * width, sizeof(double));
    linear->center = tp_alloc_array_zero(alloc, outputs * feature_count, sizeof(double));
    const bool has_features =
        linear->terms != NULL && linear->coefficients != NULL && linear->center != NULL;
    if (linear->intercept == NULL || (feature_count > 0 && !has_features)) {
        tp_linear_free(linear);
        return tp_fail_nomem(err);
    }
    lay_terms(shape->features, linear);
    *ret_linear = linear;
    return TAPEOUT_OK;
}

void tp_linear_free(tp_linear *linear)
{
    if (linear == NULL) {
        return;
    }
    const tapeout_allocator *alloc = linear->alloc;
    const size_t outputs = linear->output_count;
    tp_free_array(alloc, linear->terms, linear->feature_count, sizeof(*linear->terms));
    tp_free_array(alloc, linear->intercept, outputs, sizeof(double));
    tp_free_array(alloc, linear->coefficients, outputs * linear->coefficient_count, sizeof(double));
    tp_free_array(alloc, linear->center, outputs * linear->feature_count, sizeof(double));
    tp_free(alloc, linear, sizeof(*linear));
}

tapeout_status tp_linear_from(const tapeout_allocator *alloc, const tp_linear_foreign *from,
                              tp_linear **ret_linear, tapeout_error *err)
{
    const size_t outputs = from->output_count;
    const size_t count = outputs * from->feature_count;
    tp_linear *linear = NULL;
    tp_learn_feature *features = tp_alloc_array_zero(alloc, from->feature_count, sizeof(*features));
    if (features == NULL) {
        return tp_fail_nomem(err);
    }
    const linear_shape shape = {features, from->feature_count, from->output_count};
    const tapeout_status status = tp_linear_new(alloc, &shape, &linear, err);
    tp_free_array(alloc, features, from->feature_count, sizeof(*features));
    TP_TRY(status);
    linear->form = from->run > 0 ? LINEAR_RUNS : LINEAR_STEPS;
    linear->run = from->run;
    for (uint32_t f = 0; f < from->feature_count; f++) {
        linear->terms[f].inverse_scale = 1;
    }
    memcpy(linear->intercept, from->intercepts, outputs * sizeof(double));
    memcpy(linear->coefficients, from->coefficients, count * sizeof(double));
    *ret_linear = linear;
    return TAPEOUT_OK;
}

uint32_t tp_linear_output_count(const tp_linear *linear)
{
    return linear->output_count;
}

uint32_t tp_linear_feature_count(const tp_linear *linear)
{
    return linear->feature_count;
}

double tp_linear_base(const tp_linear *linear, uint32_t output)
{
    double base = linear->intercept[output];
    for (uint32_t f = 0; f < linear->feature_count; f++) {
        base += linear->center[(size_t)output * linear->feature_count + f];
    }
    return base;
}

// -- margins -------------------------------------------------------------------------------------
// Adds sign times what the feature contributes, before centring.
static void add_term(const linear_term *term, const double *coefficients, const double *values,
                     uint32_t row_count, double *margin)
{
    if (term->is_category) {
        for (uint32_t r = 0; r < row_count; r++) {
            margin[r] += coefficients[linear_code(term, values[r])];
        }
        return;
    }
    for (uint32_t r = 0; r < row_count; r++) {
        margin[r] += coefficients[0] * linear_standardise(term, values[r]);
    }
}

static void run_margins(const tp_linear *linear, uint32_t output, const double *const *columns,
                        uint32_t row_count, double *margin)
{
    const double *coefficients = linear->coefficients + (size_t)output * linear->feature_count;
    for (uint32_t r = 0; r < row_count; r++) {
        float total = (float)linear->intercept[output];
        for (uint32_t begin = 0; begin < linear->feature_count; begin += linear->run) {
            float sum = 0.0f;
            for (uint32_t f = begin; f - begin < linear->run && f < linear->feature_count; f++) {
                sum = fmaf((float)columns[f][r], (float)coefficients[f], sum);
            }
            total = sum + total;
        }
        margin[r] = (double)total;
    }
}

static void step_margins(const tp_linear *linear, uint32_t output, const double *const *columns,
                         uint32_t row_count, double *margin)
{
    const double *coefficients = linear->coefficients + (size_t)output * linear->feature_count;
    for (uint32_t r = 0; r < row_count; r++) {
        float total = (float)linear->intercept[output];
        for (uint32_t f = 0; f < linear->feature_count; f++) {
            const float value = (float)columns[f][r];
            if (!isnan(value)) {
                total += value * (float)coefficients[f];
            }
        }
        margin[r] = (double)total;
    }
}

void tp_linear_margins(const tp_linear *linear, const double *const *columns, uint32_t row_count,
                       double *ret_margin)
{
    for (uint32_t k = 0; k < linear->output_count; k++) {
        double *margin = ret_margin + (size_t)k * row_count;
        const double *coefficients = linear->coefficients + (size_t)k * linear->coefficient_count;
        if (linear->form == LINEAR_RUNS) {
            run_margins(linear, k, columns, row_count, margin);
            continue;
        }
        if (linear->form == LINEAR_STEPS) {
            step_margins(linear, k, columns, row_count, margin);
            continue;
        }
        for (uint32_t r = 0; r < row_count; r++) {
            margin[r] = linear->intercept[k];
        }
        for (uint32_t f = 0; f < linear->feature_count; f++) {
            const linear_term *term = &linear->terms[f];
            add_term(term, coefficients + term->coefficient, columns[f], row_count, margin);
        }
    }
}

void tp_linear_contributions(const tp_linear *linear, uint32_t output,
                             const tp_linear_values *values, double *ret_contributions)
{
    const linear_term *term = &linear->terms[values->feature];
    const double *coefficients =
        linear->coefficients + (size_t)output * linear->coefficient_count + term->coefficient;
    const double center = linear->center[(size_t)output * linear->feature_count + values->feature];
    for (uint32_t r = 0; r < values->row_count; r++) {
        ret_contributions[r] = -center;
    }
    add_term(term, coefficients, values->values, values->row_count, ret_contributions);
}

// -- bytes ---------------------------------------------------------------------------------------
static void write_doubles(tp_buffer *buffer, const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tp_buffer_append_f64le(buffer, values[i]);
    }
}

void tp_linear_write(const tp_linear *linear, tp_buffer *ret_bytes)
{
    const size_t outputs = linear->output_count;
    tp_buffer_append_u32le(ret_bytes, magics[linear->form]);
    tp_buffer_append_u32le(ret_bytes, linear->output_count);
    tp_buffer_append_u32le(ret_bytes, linear->feature_count);
    tp_buffer_append_u32le(ret_bytes, linear->coefficient_count);
    if (linear->form == LINEAR_RUNS) {
        tp_buffer_append_u32le(ret_bytes, linear->run);
    }
    for (uint32_t f = 0; f < linear->feature_count; f++) {
        const linear_term *term = &linear->terms[f];
        tp_buffer_append_u32le(ret_bytes, term->is_category ? 1 : 0);
        tp_buffer_append_u32le(ret_bytes, term->category_count);
        tp_buffer_append_f64le(ret_bytes, term->mean);
        tp_buffer_append_f64le(ret_bytes, term->inverse_scale);
    }
    write_doubles(ret_bytes, linear->intercept, outputs);
    write_doubles(ret_bytes, linear->coefficients, outputs * linear->coefficient_count);
    write_doubles(ret_bytes, linear->center, outputs * linear->feature_count);
}

static bool read_doubles(tp_cursor *cursor, double *ret_values, size_t count)
{
    bool all_finite = true;
    for (size_t i = 0; i < count; i++) {
        ret_values[i] = tp_cursor_f64(cursor);
        all_finite = all_finite && isfinite(ret_values[i]);
    }
    return all_finite;
}

static tapeout_status read_terms(tp_cursor *cursor, tp_linear *linear, tapeout_error *err)
{
    for (uint32_t f = 0; f < linear->feature_count; f++) {
        linear_term *term = &linear->terms[f];
        const uint32_t is_category = tp_cursor_u32(cursor);
        const uint32_t category_count = tp_cursor_u32(cursor);
        double numbers[2];
        const bool is_finite = read_doubles(cursor, numbers, 2);
        if (is_category != (term->is_category ? 1u : 0u) ||
            category_count != term->category_count || !is_finite || numbers[1] < 0.0) {
            return tp_fail_at(err, TAPEOUT_E_CORRUPT, cursor->position,
                              "linear: feature %u before byte %zu is not the one of the program", f,
                              cursor->position);
        }
        // Another program's numbers are taken as they are.
        if (linear->form != LINEAR_OWN && (is_category || numbers[0] != 0 || numbers[1] != 1)) {
            return tp_fail_at(err, TAPEOUT_E_CORRUPT, cursor->position,
                              "linear: feature %u before byte %zu is no number taken as it is", f,
                              cursor->position);
        }
        term->mean = numbers[0];
        term->inverse_scale = numbers[1];
    }
    return TAPEOUT_OK;
}

static tapeout_status read_body(tp_cursor *cursor, tp_linear *linear, tapeout_error *err)
{
    const size_t outputs = linear->output_count;
    TP_TRY(read_terms(cursor, linear, err));
    bool is_finite = read_doubles(cursor, linear->intercept, outputs);
    is_finite &= read_doubles(cursor, linear->coefficients, outputs * linear->coefficient_count);
    is_finite &= read_doubles(cursor, linear->center, outputs * linear->feature_count);
    TP_TRY(tp_cursor_check(cursor, "linear", err));
    if (!is_finite) {
        return tp_fail(err, TAPEOUT_E_CORRUPT, "linear: a coefficient is not a finite number");
    }
    if (tp_cursor_left(cursor) != 0) {
        return tp_fail_at(err, TAPEOUT_E_CORRUPT, cursor->position,
                          "linear: %zu bytes too many at byte %zu", tp_cursor_left(cursor),
                          cursor->position);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_linear_read(const tp_env *env, tp_str bytes, const tp_learn_feature *features,
                              uint32_t feature_count, tp_linear **ret_linear, tapeout_error *err)
{
    tp_cursor cursor;
    tp_cursor_init(&cursor, bytes.data, bytes.size);
    const uint32_t magic = tp_cursor_u32(&cursor);
    const uint32_t output_count = tp_cursor_u32(&cursor);
    const uint32_t stored_features = tp_cursor_u32(&cursor);
    const uint32_t width = tp_cursor_u32(&cursor);
    uint32_t form = LINEAR_OWN;
    while (form <= LINEAR_STEPS && magic != magics[form]) {
        form++;
    }
    const uint32_t run = form == LINEAR_RUNS ? tp_cursor_u32(&cursor) : 0;
    TP_TRY(tp_cursor_check(&cursor, "linear", err));
    if (form > LINEAR_STEPS || (form == LINEAR_RUNS && run == 0) ||
        stored_features != feature_count || output_count == 0 || output_count > TP_MAX_CLASSES) {
        return tp_fail(err, TAPEOUT_E_CORRUPT,
                       "linear: %u features and %u outputs in the file; the program has %u "
                       "features",
                       stored_features, output_count, feature_count);
    }
    tp_linear *linear = NULL;
    const linear_shape shape = {features, feature_count, output_count};
    TP_TRY(tp_linear_new(env->alloc, &shape, &linear, err));
    linear->form = (linear_form)form;
    linear->run = run;
    tapeout_status status = TAPEOUT_OK;
    if (width != linear->coefficient_count) {
        status = tp_fail(err, TAPEOUT_E_CORRUPT, "linear: %u coefficients; the features have %u",
                         width, linear->coefficient_count);
    } else {
        status = read_body(&cursor, linear, err);
    }
    if (status != TAPEOUT_OK) {
        tp_linear_free(linear);
        return status;
    }
    *ret_linear = linear;
    return TAPEOUT_OK;
}
