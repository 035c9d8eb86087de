// SPDX-License-Identifier: Apache-2.0
//
// The loops over numbers: loading columns, arithmetic, comparison, logic, and the fitted functions
// of one number. Each row stands alone, so a block of any length gives the same bits. NaN is
// missing and passes through everything but is_missing, coalesce, impute and the logic of and/or,
// where false and missing is false, true or missing is true. What has no finite result becomes
// missing and marks its row.
#include "feature/feature_fit.h"

#include "kernels/tp_math.h"

// -- columns -------------------------------------------------------------------------------------
// A column's rows: `index` [count], or the rows from `begin` on where it is NULL.
typedef struct row_list {
    const uint32_t *index;
    uint64_t begin;
    uint32_t count;
} row_list;

static inline uint64_t row_at(const row_list *rows, uint32_t i)
{
    return rows->index == NULL ? rows->begin + i : rows->index[i];
}

// The values as they lie there; a missing one is zero, by the table's promise.
static void load_values(const tp_column *column, const row_list *rows, double *out)
{
    switch (column->type) {
    case TAPEOUT_TYPE_BOOL:
        for (uint32_t i = 0; i < rows->count; i++) {
            const uint64_t row = row_at(rows, i);
            out[i] = (double)(column->values.bits[row >> 3] >> (row & 7) & 1);
        }
        return;
    case TAPEOUT_TYPE_INT64:
    case TAPEOUT_TYPE_TIMESTAMP:
    case TAPEOUT_TYPE_TIMESTAMP_TZ:
        for (uint32_t i = 0; i < rows->count; i++) {
            out[i] = (double)column->values.i64[row_at(rows, i)];
        }
        return;
    case TAPEOUT_TYPE_DATE:
        for (uint32_t i = 0; i < rows->count; i++) {
            out[i] = (double)column->values.days[row_at(rows, i)];
        }
        return;
    case TAPEOUT_TYPE_FLOAT64:
    case TAPEOUT_TYPE_STRING: // has no numbers and does not come here
        break;
    }
    for (uint32_t i = 0; i < rows->count; i++) {
        out[i] = column->values.f64[row_at(rows, i)];
    }
}

static void load_missing(const tp_column *column, const row_list *rows, double *out)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        const uint64_t row = row_at(rows, i);
        out[i] = (column->validity[row >> 3] >> (row & 7) & 1) != 0 ? out[i] : (double)NAN;
    }
}

static void load_codes(const tp_feature_worker *worker, const tp_column *column, int32_t *out)
{
    for (uint32_t i = 0; i < worker->row_count; i++) {
        const uint64_t row = tp_feature_row(worker->run, worker->row_begin + i);
        out[i] = tp_column_is_valid(column, row) ? column->values.codes[row] : -1;
    }
}

void tp_feature_op_column(tp_feature_worker *worker, const tp_feature_instr *instr, void *out)
{
    const tp_feature_run *run = worker->run;
    const tp_column *column = run->columns[instr->code.index];
    const bool is_text = instr->code.type == TP_FEATURE_TEXT;
    double *values = out;
    if (column == NULL) {
        for (uint32_t i = 0; i < worker->row_count; i++) {
            if (is_text) {
                ((int32_t *)out)[i] = -1;
            } else {
                values[i] = NAN;
            }
        }
        return;
    }
    if (is_text) {
        load_codes(worker, column, out);
        return;
    }
    const row_list rows = {.index =
                               run->rows.index == NULL ? NULL : run->rows.index + worker->row_begin,
                           .begin = worker->row_begin,
                           .count = worker->row_count};
    load_values(column, &rows, values);
    if (column->null_count > 0) {
        load_missing(column, &rows, values);
    }
}

// -- operators -----------------------------------------------------------------------------------
static void arithmetic(uint32_t op, double *out, const double *a, const double *b, uint32_t n)
{
    switch (op) {
    case TP_OP_ADD:
        for (uint32_t i = 0; i < n; i++) {
            out[i] = a[i] + b[i];
        }
        return;
    case TP_OP_SUB:
        for (uint32_t i = 0; i < n; i++) {
            out[i] = a[i] - b[i];
        }
        return;
    case TP_OP_MUL:
        for (uint32_t i = 0; i < n; i++) {
            out[i] = a[i] * b[i];
        }
        return;
    case TP_OP_MIN:
        for (uint32_t i = 0; i < n; i++) {
            out[i] = a[i] < b[i] || a[i] != a[i] ? a[i] : b[i];
        }
        return;
    case TP_OP_MAX:
        for (uint32_t i = 0; i < n; i++) {
            out[i] = a[i] > b[i] || a[i] != a[i] ? a[i] : b[i];
        }
        return;
    default: // NEG, ABS: the sign alone
        for (uint32_t i = 0; i < n; i++) {
            out[i] = op == TP_OP_NEG ? -a[i] : fabs(a[i]);
        }
        return;
    }
}

static double divide(uint32_t op, double a, double b)
{
    if (b == 0) {
        return NAN;
    }
    if (op == TP_OP_DIV) {
        return a / b;
    }
    const double rest = fmod(a, b); // exact
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

static void division(tp_feature_worker *worker, uint32_t op, double *out, const double *a,
                     const double *b)
{
    bool any = false;
    for (uint32_t i = 0; i < worker->row_count; i++) {
        out[i] = divide(op, a[i], b[i]);
        any = any || b[i] == 0;
    }
    for (uint32_t i = 0; any && i < worker->row_count; i++) {
        if (b[i] == 0 && a[i] == a[i]) {
            tp_feature_mark(worker, i);
        }
    }
}

static void comparison(uint32_t op, double *out, const double *a, const double *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        bool holds = false;
        switch (op) {
        case TP_OP_EQ:
            holds = a[i] == b[i];
            break;
        case TP_OP_NE:
            holds = a[i] != b[i];
            break;
        case TP_OP_LT:
            holds = a[i] < b[i];
            break;
        default:
            holds = a[i] <= b[i];
            break;
        }
        const bool is_missing = a[i] != a[i] || b[i] != b[i];
        out[i] = is_missing ? (double)NAN : (double)holds;
    }
}

static void logic(uint32_t op, double *out, const double *a, const double *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (op == TP_OP_NOT) {
            out[i] = 1 - a[i];
        } else if (op == TP_OP_AND) {
            out[i] = a[i] == 0 || b[i] == 0 ? 0 : a[i] * b[i];
        } else {
            out[i] = a[i] == 1 || b[i] == 1 ? 1 : a[i] + b[i];
        }
    }
}

static void choose(double *out, const double *condition, const double *yes, const double *no,
                   uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const double value = condition[i] != 0 ? yes[i] : no[i];
        out[i] = condition[i] != condition[i] ? (double)NAN : value;
    }
}

// -- functions -----------------------------------------------------------------------------------
static void rounding(uint32_t op, double *out, const double *a, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (op == TP_OP_ROUND) {
            out[i] = round(a[i]); // halves away from zero
        } else {
            out[i] = op == TP_OP_FLOOR ? floor(a[i]) : ceil(a[i]);
        }
    }
}

// What another program's model is asked with: numbers as that program sees them.
static void foreign(uint32_t op, double *out, const double *a, uint32_t n)
{
    const double zero = (double)1e-35f; // LightGBM's kZeroThreshold
    for (uint32_t i = 0; i < n; i++) {
        const bool is_zero = a[i] >= -zero && a[i] <= zero;
        if (op == TP_OP_FLOAT32) {
            out[i] = (double)(float)a[i];
        } else if (op == TP_OP_LIGHTGBM_CODE) {
            out[i] = trunc(a[i]);
        } else if (op == TP_OP_FLOAT64 || !is_zero) {
            out[i] = a[i];
        } else {
            out[i] = op == TP_OP_LIGHTGBM ? 0 : (double)NAN;
        }
    }
}

static void transcendental(tp_feature_worker *worker, uint32_t op, double *out, const double *a,
                           const double *b)
{
    const uint32_t n = worker->row_count;
    if (op == TP_OP_LOG) {
        tp_log_array(a, out, n);
    } else if (op == TP_OP_LOG1P) {
        tp_log1p_array(a, out, n);
    } else if (op == TP_OP_EXP) {
        tp_exp_array(a, out, n);
    } else {
        for (uint32_t i = 0; i < n; i++) {
            out[i] = op == TP_OP_SQRT ? tp_sqrt(a[i]) : tp_pow(a[i], b[i]);
        }
    }
    bool any = false;
    for (uint32_t i = 0; i < n; i++) {
        any = any || !(fabs(out[i]) <= 1.7976931348623157e308);
    }
    for (uint32_t i = 0; any && i < n; i++) {
        const bool had_value = a[i] == a[i] && (op != TP_OP_POW || b[i] == b[i]);
        if (!isfinite(out[i])) {
            out[i] = NAN;
            if (had_value) {
                tp_feature_mark(worker, i);
            }
        }
    }
}

static void presence(uint32_t op, double *out, const double *a, const double *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const bool is_missing = a[i] != a[i];
        if (op == TP_OP_MISSING) {
            out[i] = is_missing ? 1 : 0;
        } else {
            out[i] = is_missing ? b[i] : a[i];
        }
    }
}

static const double *operand(const tp_feature_worker *worker, uint32_t instr)
{
    return instr == TP_FEATURE_NONE ? NULL : tp_feature_register(worker, instr);
}

void tp_feature_op_number(tp_feature_worker *worker, const tp_feature_instr *instr, double *out)
{
    const uint32_t op = instr->code.op;
    const uint32_t n = worker->row_count;
    const double *a = operand(worker, instr->code.a);
    const double *b = operand(worker, instr->code.b);
    if (op == TP_OP_NUMBER) {
        for (uint32_t i = 0; i < n; i++) {
            out[i] = instr->code.number;
        }
    } else if (op == TP_OP_DIV || op == TP_OP_MOD) {
        division(worker, op, out, a, b);
    } else if (op >= TP_OP_EQ && op <= TP_OP_LE) {
        comparison(op, out, a, b, n);
    } else if (op >= TP_OP_AND && op <= TP_OP_NOT) {
        logic(op, out, a, b, n);
    } else if (op == TP_OP_IF) {
        choose(out, a, b, operand(worker, instr->code.c), n);
    } else if (op >= TP_OP_LOG && op <= TP_OP_POW) {
        transcendental(worker, op, out, a, b);
    } else if (op >= TP_OP_ROUND && op <= TP_OP_CEIL) {
        rounding(op, out, a, n);
    } else if (op >= TP_OP_FLOAT32 && op <= TP_OP_LIGHTGBM_CODE) {
        foreign(op, out, a, n);
    } else if (op == TP_OP_MISSING || op == TP_OP_COALESCE) {
        presence(op, out, a, b, n);
    } else {
        arithmetic(op, out, a, b, n);
    }
}

// -- fitted functions of numbers and levels ------------------------------------------------------
static void apply_bin(const tp_feature_fitted *fitted, double *out, const double *a, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t low = 0;
        uint32_t high = fitted->number_count;
        while (low < high) { // the cuts that are not above the value
            const uint32_t middle = low + (high - low) / 2;
            if (fitted->numbers[middle] <= a[i]) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        out[i] = a[i] != a[i] ? (double)NAN : (double)low;
    }
}

static void apply_target_mean(const tp_feature_worker *worker, const tp_feature_fitted *fitted,
                              double *out, const double *levels)
{
    const tp_feature_program *program = worker->run->program;
    const bool by_fold = worker->run->mode == TP_FEATURE_TRAIN && fitted->folds != NULL;
    for (uint32_t i = 0; i < worker->row_count; i++) {
        if (levels[i] != levels[i]) {
            out[i] = NAN;
        } else if (by_fold) {
            const uint32_t fold = tp_feature_fold(program->fit_seed, worker->row_begin + i);
            const uint32_t row = levels[i] < 0 ? fitted->fold_count - 1 : (uint32_t)levels[i];
            out[i] = fitted->folds[(size_t)row * TP_FEATURE_FOLDS + fold];
        } else {
            out[i] = levels[i] < 0 ? fitted->shift : fitted->numbers[(uint32_t)levels[i]];
        }
    }
}

// Levels to codes: kept ones as they are; rare and unseen ones as declared.
static void apply_kept(const tp_feature_instr *instr, const tp_feature_fitted *fitted, double *out,
                       const double *levels, uint32_t n)
{
    const bool is_onehot = instr->code.op == TP_OP_ONEHOT;
    const double none = is_onehot ? -1.0 : (double)NAN;
    const double rare = fitted->has_other ? (double)fitted->kept : none;
    const double unseen = instr->code.index == 1 ? rare : none;
    for (uint32_t i = 0; i < n; i++) {
        const double known = levels[i] < (double)fitted->kept ? levels[i] : rare;
        const double value = levels[i] < 0 ? unseen : known;
        out[i] = levels[i] != levels[i] ? (double)NAN : value;
    }
}

void tp_feature_op_fitted(tp_feature_worker *worker, const tp_feature_instr *instr, double *out)
{
    const tp_feature_program *program = worker->run->program;
    const double *a = operand(worker, instr->code.a);
    const uint32_t n = worker->row_count;
    if (instr->code.op == TP_OP_COUNT_ENCODE) {
        const uint32_t levels = program->instrs[instr->code.a].fitted;
        const uint64_t *counts = program->fitted[levels].counts;
        for (uint32_t i = 0; i < n; i++) {
            const double count = a[i] >= 0 ? (double)counts[(uint32_t)a[i]] : 0.0;
            out[i] = a[i] != a[i] ? (double)NAN : count;
        }
        return;
    }
    const tp_feature_fitted *fitted = &program->fitted[instr->fitted];
    switch (instr->code.op) {
    case TP_OP_IMPUTE:
        for (uint32_t i = 0; i < n; i++) {
            out[i] = a[i] != a[i] ? fitted->shift : a[i];
        }
        return;
    case TP_OP_SCALE:
        for (uint32_t i = 0; i < n; i++) {
            out[i] = (a[i] - fitted->shift) / fitted->scale;
        }
        return;
    case TP_OP_BIN:
        apply_bin(fitted, out, a, n);
        return;
    case TP_OP_TARGET_MEAN:
        apply_target_mean(worker, fitted, out, a);
        return;
    default:
        apply_kept(instr, fitted, out, a, n);
        return;
    }
}
