// SPDX-License-Identifier: Apache-2.0
//
// The interpreter: binds a program to a table, then runs blocks of rows through the instructions
// that the asked outputs need. Workers share nothing but the program and the table. Beside each
// value register lie two bitmaps, which rows met an unseen level and which an invalid value on the
// way; they follow the value, so `if(b == 0, 0, a / b)` counts nothing, and are counted where an
// output is handed over. Outputs are finite or the one quiet NaN.
//
// Nothing is allocated after the first binds: registers are made with the run, memos and lags grow
// and stay.
#include "feature/feature_exec.h"

#include <string.h>

// -- making --------------------------------------------------------------------------------------
static void worker_deinit(const tp_feature_program *program, const tapeout_allocator *alloc,
                          tp_feature_worker *worker)
{
    const size_t registers = (size_t)program->register_count;
    tp_free_aligned(alloc, worker->registers, registers * TP_FEATURE_BLOCK_ROWS * sizeof(double));
    tp_free_array(alloc, worker->invalid, registers * TP_FEATURE_WORDS, sizeof(uint64_t));
    tp_free_array(alloc, worker->unseen, registers * TP_FEATURE_WORDS, sizeof(uint64_t));
    for (uint32_t i = 0; worker->memos != NULL && i < program->memo_count; i++) {
        tp_feature_memo_deinit(alloc, &worker->memos[i]);
    }
    tp_free_array(alloc, worker->memos, program->memo_count, sizeof(tp_feature_memo));
    tp_free_array(alloc, worker->counts, (size_t)program->output_count + 1,
                  sizeof(tp_feature_counts));
    tp_free_array(alloc, worker->targets, (size_t)program->output_count + 1, sizeof(double *));
    tp_free_array(alloc, worker->wanted, (size_t)program->instr_count + 1, sizeof(uint32_t));
    tp_buffer_deinit(&worker->text);
}

void tp_feature_run_free(tp_feature_run *run)
{
    if (run == NULL) {
        return;
    }
    const tp_feature_program *program = run->program;
    const tapeout_allocator *alloc = run->env.alloc;
    for (size_t i = 0; run->workers != NULL && i < run->worker_count; i++) {
        worker_deinit(program, alloc, &run->workers[i]);
    }
    for (uint32_t i = 0; run->lags != NULL && i < program->lag_count; i++) {
        tp_free_array(alloc, run->lags[i], run->lag_row_count, sizeof(double));
    }
    tp_free_array(alloc, run->workers, run->worker_count, sizeof(tp_feature_worker));
    tp_free_array(alloc, run->lags, (size_t)program->lag_count + 1, sizeof(double *));
    tp_free_array(alloc, run->columns, (size_t)program->schema.count + 1, sizeof(tp_column *));
    tp_free_array(alloc, run->column_hints, (size_t)program->schema.count + 1, sizeof(uint32_t));
    tp_free(alloc, run, sizeof(*run));
}

static tapeout_status worker_init(tp_feature_run *run, tp_feature_worker *worker,
                                  tapeout_error *err)
{
    const tapeout_allocator *alloc = run->env.alloc;
    const tp_feature_program *program = run->program;
    const size_t registers = (size_t)program->register_count;
    worker->run = run;
    worker->bind_generation = 1;
    tp_buffer_init(&worker->text, alloc, TP_MAX_FEATURE_TEXT_VALUE);
    worker->registers = tp_alloc_aligned(alloc, registers * TP_FEATURE_BLOCK_ROWS * sizeof(double));
    worker->invalid = tp_alloc_array_zero(alloc, registers * TP_FEATURE_WORDS, sizeof(uint64_t));
    worker->unseen = tp_alloc_array_zero(alloc, registers * TP_FEATURE_WORDS, sizeof(uint64_t));
    worker->memos = tp_alloc_array_zero(alloc, program->memo_count, sizeof(tp_feature_memo));
    worker->counts =
        tp_alloc_array_zero(alloc, (size_t)program->output_count + 1, sizeof(tp_feature_counts));
    worker->targets =
        tp_alloc_array_zero(alloc, (size_t)program->output_count + 1, sizeof(double *));
    worker->wanted = tp_alloc_array_zero(alloc, (size_t)program->instr_count + 1, sizeof(uint32_t));
    if (worker->registers == NULL || worker->invalid == NULL || worker->unseen == NULL ||
        (worker->memos == NULL && program->memo_count > 0) || worker->counts == NULL ||
        worker->targets == NULL || worker->wanted == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < program->memo_count; i++) {
        worker->memos[i].generation = 1;
        tp_dict_init(&worker->memos[i].dict, alloc);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_feature_run_new(const tp_env *env, const tp_feature_program *program,
                                  size_t worker_count, tp_feature_run **ret_run, tapeout_error *err)
{
    tp_feature_run *run = tp_alloc_zero(env->alloc, sizeof(*run));
    if (run == NULL) {
        return tp_fail_nomem(err);
    }
    run->env = *env;
    run->program = program;
    run->worker_count = worker_count;
    run->workers = tp_alloc_array_zero(env->alloc, worker_count, sizeof(tp_feature_worker));
    run->lags = tp_alloc_array_zero(env->alloc, (size_t)program->lag_count + 1, sizeof(double *));
    run->columns =
        tp_alloc_array_zero(env->alloc, (size_t)program->schema.count + 1, sizeof(tp_column *));
    run->column_hints =
        tp_alloc_array_zero(env->alloc, (size_t)program->schema.count + 1, sizeof(uint32_t));
    tapeout_status status = TAPEOUT_OK;
    if (run->workers == NULL || run->lags == NULL || run->columns == NULL ||
        run->column_hints == NULL) {
        status = tp_fail_nomem(err);
    }
    for (size_t i = 0; i < worker_count && status == TAPEOUT_OK; i++) {
        status = worker_init(run, &run->workers[i], err);
    }
    if (status != TAPEOUT_OK) {
        tp_feature_run_free(run);
        return status;
    }
    *ret_run = run;
    return TAPEOUT_OK;
}

// -- binding -------------------------------------------------------------------------------------
static const tp_column *find_column(tp_feature_run *run, uint32_t index)
{
    const tapeout_table *table = run->table;
    const tp_str name = run->program->schema.fields[index].name;
    const uint32_t hint = run->column_hints[index];
    if (hint < table->column_count && tp_str_equal(table->columns[hint].name, name)) {
        return &table->columns[hint];
    }
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (tp_str_equal(table->columns[i].name, name)) {
            run->column_hints[index] = i;
            return &table->columns[i];
        }
    }
    return NULL;
}

static bool is_numeric(tapeout_type type)
{
    return type == TAPEOUT_TYPE_INT64 || type == TAPEOUT_TYPE_FLOAT64;
}

tapeout_status tp_feature_bind_columns(tp_feature_run *run, const tapeout_table *table,
                                       tp_row_choice rows, tp_feature_mode mode, tapeout_error *err)
{
    const tp_feature_program *program = run->program;
    run->is_bound = false;
    run->table = table;
    run->rows = rows;
    run->mode = mode;
    for (uint32_t i = 0; i < program->schema.count; i++) {
        run->columns[i] = NULL;
        if (!program->column_used[i]) {
            continue;
        }
        const tp_field *field = &program->schema.fields[i];
        const tp_column *column = find_column(run, i);
        if (column != NULL && column->type != field->type &&
            !(is_numeric(column->type) && is_numeric(field->type))) {
            return tp_fail(err, TAPEOUT_E_DATA,
                           "features: column '%.*s' is %s here and was %s when the features were "
                           "made",
                           TP_STR_ARGS(field->name), tapeout_type_name(column->type),
                           tapeout_type_name(field->type));
        }
        run->columns[i] = column;
    }
    for (size_t i = 0; i < run->worker_count; i++) {
        tp_feature_worker *worker = &run->workers[i];
        worker->bind_generation++;
        tp_feature_memos_trim(worker);
        memset(worker->counts, 0, program->output_count * sizeof(tp_feature_counts));
    }
    run->is_bound = true;
    return TAPEOUT_OK;
}

tapeout_status tp_feature_run_bind(tp_feature_run *run, const tapeout_table *table,
                                   tp_row_choice rows, tp_feature_mode mode, tapeout_error *err)
{
    const tp_feature_program *program = run->program;
    if (!program->is_fitted) {
        return tp_fail(err, TAPEOUT_E_INVALID, "features: the program has not been fitted");
    }
    if (mode == TP_FEATURE_TRAIN &&
        (!program->is_trainable || rows.count != program->fit_row_count)) {
        return tp_fail(err, TAPEOUT_E_INVALID,
                       "features: training mode takes the %llu rows that the program was fitted "
                       "on, in the process that fitted it; got %llu",
                       (unsigned long long)program->fit_row_count, (unsigned long long)rows.count);
    }
    TP_TRY(tp_feature_bind_columns(run, table, rows, mode, err));
    for (uint32_t i = 0; program->lag_count > 0 && i < program->instr_count; i++) {
        if (program->instrs[i].code.op == TP_OP_LAG) {
            const tapeout_status status = tp_feature_lag_fill(run, i, err);
            run->is_bound = status == TAPEOUT_OK;
            TP_TRY(status);
        }
    }
    return TAPEOUT_OK;
}

// -- marks ---------------------------------------------------------------------------------------
static uint64_t *invalid_of(const tp_feature_worker *worker, uint32_t instr)
{
    return worker->invalid + (size_t)worker->run->program->instrs[instr].reg * TP_FEATURE_WORDS;
}

static uint64_t *unseen_of(const tp_feature_worker *worker, uint32_t instr)
{
    return worker->unseen + (size_t)worker->run->program->instrs[instr].reg * TP_FEATURE_WORDS;
}

static void join_marks(const tp_feature_worker *worker, uint32_t from, uint64_t *invalid,
                       uint64_t *unseen, uint32_t words)
{
    if (from == TP_FEATURE_NONE || !worker->run->program->instrs[from].may_mark) {
        return;
    }
    const uint64_t *from_invalid = invalid_of(worker, from);
    const uint64_t *from_unseen = unseen_of(worker, from);
    for (uint32_t i = 0; i < words; i++) {
        invalid[i] |= from_invalid[i];
        unseen[i] |= from_unseen[i];
    }
}

// Which rows take the first of two values: those where `condition` holds, or those where the first
// value of a coalesce is there.
static void choose_rows(const tp_feature_worker *worker, const tp_feature_code *code,
                        uint64_t *chosen, uint32_t words)
{
    memset(chosen, 0, words * sizeof(uint64_t));
    const double *values = tp_feature_register(worker, code->a);
    const int32_t *codes = tp_feature_codes(worker, code->a);
    for (uint32_t i = 0; i < worker->row_count; i++) {
        bool first = false;
        if (code->op == TP_OP_TEXT_COALESCE) {
            first = codes[i] >= 0;
        } else if (code->op == TP_OP_COALESCE) {
            first = values[i] == values[i];
        } else {
            first = values[i] != 0; // a missing condition is no matter: its own marks count
        }
        chosen[i >> 6] |= (uint64_t)first << (i & 63);
    }
}

// The marks of an instruction that picks one of its operands: those of what was picked.
static void pick_marks(const tp_feature_worker *worker, const tp_feature_code *code,
                       uint64_t *invalid, uint64_t *unseen, uint32_t words)
{
    uint64_t chosen[TP_FEATURE_WORDS];
    uint64_t other[2][TP_FEATURE_WORDS] = {{0}, {0}};
    const bool is_if = code->op == TP_OP_IF || code->op == TP_OP_TEXT_IF;
    choose_rows(worker, code, chosen, words);
    join_marks(worker, is_if ? code->b : code->a, invalid, unseen, words);
    join_marks(worker, is_if ? code->c : code->b, other[0], other[1], words);
    if (!is_if) { // where the first was not there, what made it missing counts too
        join_marks(worker, code->a, other[0], other[1], words);
    }
    for (uint32_t i = 0; i < words; i++) {
        invalid[i] = (invalid[i] & chosen[i]) | (other[0][i] & ~chosen[i]);
        unseen[i] = (unseen[i] & chosen[i]) | (other[1][i] & ~chosen[i]);
    }
    if (is_if) {
        join_marks(worker, code->a, invalid, unseen, words);
    }
}

static void settle_marks(tp_feature_worker *worker, uint32_t index)
{
    const tp_feature_code *code = &worker->run->program->instrs[index].code;
    const uint32_t words = (worker->row_count + 63) / 64;
    uint64_t *invalid = invalid_of(worker, index);
    uint64_t *unseen = unseen_of(worker, index);
    memset(invalid, 0, words * sizeof(uint64_t));
    memset(unseen, 0, words * sizeof(uint64_t));
    if (code->op == TP_OP_IF || code->op == TP_OP_TEXT_IF || code->op == TP_OP_COALESCE ||
        code->op == TP_OP_TEXT_COALESCE) {
        pick_marks(worker, code, invalid, unseen, words);
    } else {
        join_marks(worker, code->a, invalid, unseen, words);
        join_marks(worker, code->b, invalid, unseen, words);
        join_marks(worker, code->c, invalid, unseen, words);
    }
    if (worker->marked) {
        uint64_t *into = code->op == TP_OP_LEVELS ? unseen : invalid;
        for (uint32_t i = 0; i < words; i++) {
            into[i] |= worker->marks[i];
        }
        memset(worker->marks, 0, sizeof(worker->marks));
        worker->marked = false;
    }
}

// -- steps ---------------------------------------------------------------------------------------
static tapeout_status run_step(tp_feature_worker *worker, uint32_t index, tapeout_error *err)
{
    const tp_feature_instr *instr = &worker->run->program->instrs[index];
    double *out = tp_feature_register(worker, index);
    const uint32_t op = instr->code.op;
    if (op == TP_OP_COLUMN) {
        tp_feature_op_column(worker, instr, out);
    } else if (op == TP_OP_LAG) {
        const double *values = worker->run->lags[instr->lag] + worker->row_begin;
        memcpy(out, values, worker->row_count * sizeof(double));
    } else if (instr->memo != TP_FEATURE_NONE || op == TP_OP_TEXT || op == TP_OP_TEXT_MISSING) {
        TP_TRY(tp_feature_op_text(worker, instr, out, err));
    } else if (op <= TP_OP_MISSING) {
        tp_feature_op_number(worker, instr, out);
    } else if (op <= TP_OP_DAY) {
        tp_feature_op_time(worker, instr, out);
    } else {
        tp_feature_op_fitted(worker, instr, out);
    }
    if (instr->may_mark) {
        settle_marks(worker, index);
    }
    return TAPEOUT_OK;
}

tapeout_status tp_feature_run_steps(tp_feature_worker *worker, tp_feature_steps steps,
                                    tapeout_error *err)
{
    for (uint32_t i = 0; i < steps.count; i++) {
        TP_TRY(run_step(worker, steps.items[i], err));
    }
    return TAPEOUT_OK;
}

// -- handing over --------------------------------------------------------------------------------
static uint64_t count_bits(const uint64_t *words, uint32_t count)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < count; i++) {
        bits += (uint64_t)__builtin_popcountll(words[i]);
    }
    return bits;
}

// Copies a register out: NaN canonical, infinities missing. Returns how many are missing.
static uint64_t copy_values(tp_feature_worker *worker, uint32_t op, const double *from, double *to)
{
    uint64_t missing = 0;
    uint64_t infinite = 0;
    if (op >= TP_OP_FLOAT32 && op <= TP_OP_LIGHTGBM_CODE) { // infinities are values
        for (uint32_t i = 0; i < worker->row_count; i++) {
            to[i] = from[i] == from[i] ? from[i] : (double)NAN;
            missing += from[i] == from[i] ? 0 : 1;
        }
        return missing;
    }
    for (uint32_t i = 0; i < worker->row_count; i++) {
        const double size = fabs(from[i]);
        to[i] = size < INFINITY ? from[i] : (double)NAN;
        missing += size < INFINITY ? 0 : 1;
        infinite += size == INFINITY ? 1 : 0;
    }
    for (uint32_t i = 0; infinite > 0 && i < worker->row_count; i++) {
        if (isinf(from[i])) {
            tp_feature_mark(worker, i);
        }
    }
    return missing;
}

// One column of a onehot: codes to 0 and 1. A missing value is a row of zeros, and counted.
static uint64_t copy_level(const tp_feature_worker *worker, const double *from, uint32_t level,
                           double *to)
{
    uint64_t missing = 0;
    for (uint32_t i = 0; i < worker->row_count; i++) {
        to[i] = from[i] == (double)level ? 1.0 : 0.0;
        missing += from[i] != from[i];
    }
    return missing;
}

static void hand_over(tp_feature_worker *worker, uint32_t output)
{
    const tp_feature_program *program = worker->run->program;
    const tp_feature_source *source = &program->sources[output];
    const double *from = tp_feature_register(worker, source->instr);
    tp_feature_counts *counts = &worker->counts[output];
    const uint32_t words = (worker->row_count + 63) / 64;
    counts->missing += source->level == TP_FEATURE_NONE
                           ? copy_values(worker, program->instrs[source->instr].code.op, from,
                                         worker->targets[output])
                           : copy_level(worker, from, source->level, worker->targets[output]);
    if (program->instrs[source->instr].may_mark) {
        counts->unseen += count_bits(unseen_of(worker, source->instr), words);
        const uint64_t *invalid = invalid_of(worker, source->instr);
        for (uint32_t i = 0; i < words; i++) {
            worker->marks[i] |= invalid[i];
        }
        worker->marked = true;
    }
    if (worker->marked) {
        counts->invalid += count_bits(worker->marks, words);
        memset(worker->marks, 0, sizeof(worker->marks));
        worker->marked = false;
    }
    worker->targets[output] = NULL;
}

// All asked columns of a onehot at once: zeros, then a 1 a row, instead of a comparison a cell.
static void hand_over_onehot(tp_feature_worker *worker, uint32_t instr)
{
    const tp_feature_program *program = worker->run->program;
    const double *levels = tp_feature_register(worker, instr);
    const uint32_t words = (worker->row_count + 63) / 64;
    tp_feature_counts more = {.missing = 0};
    for (uint32_t i = 0; i < worker->row_count; i++) {
        more.missing += levels[i] != levels[i];
    }
    if (program->instrs[instr].may_mark) {
        more.unseen = count_bits(unseen_of(worker, instr), words);
        more.invalid = count_bits(invalid_of(worker, instr), words);
    }
    uint32_t output = program->first_output[instr]; // a feature's columns, the last level first
    for (; output != TP_FEATURE_NONE; output = program->sources[output].next) {
        if (worker->targets[output] != NULL) {
            memset(worker->targets[output], 0, worker->row_count * sizeof(double));
            worker->counts[output].missing += more.missing;
            worker->counts[output].unseen += more.unseen;
            worker->counts[output].invalid += more.invalid;
        }
        if (program->sources[output].level != 0) {
            continue;
        }
        double *const *targets = worker->targets + output;
        for (uint32_t i = 0; i < worker->row_count; i++) {
            if (levels[i] >= 0 && targets[(uint32_t)levels[i]] != NULL) {
                targets[(uint32_t)levels[i]][i] = 1;
            }
        }
    }
    output = program->first_output[instr];
    for (; output != TP_FEATURE_NONE; output = program->sources[output].next) {
        worker->targets[output] = NULL;
    }
}

static tapeout_status run_many(tp_feature_worker *worker, const tp_feature_block *block,
                               tapeout_error *err)
{
    const tp_feature_program *program = worker->run->program;
    if (++worker->stamp == 0) { // once in 2^32 blocks
        memset(worker->wanted, 0, program->instr_count * sizeof(uint32_t));
        worker->stamp = 1;
    }
    const uint32_t stamp = worker->stamp;
    for (uint32_t i = 0; block->outputs != NULL && i < block->output_count; i++) {
        const tp_feature_source *source = &program->sources[block->outputs[i]];
        for (uint32_t k = 0; k < source->steps.count; k++) {
            worker->wanted[source->steps.items[k]] = stamp;
        }
    }
    for (uint32_t i = 0; i < program->all_steps.count; i++) {
        const uint32_t step = program->all_steps.items[i];
        if (block->outputs != NULL && worker->wanted[step] != stamp) {
            continue;
        }
        TP_TRY(run_step(worker, step, err));
        if (program->instrs[step].code.op == TP_OP_ONEHOT) {
            hand_over_onehot(worker, step);
            continue;
        }
        uint32_t output = program->first_output[step];
        for (; output != TP_FEATURE_NONE; output = program->sources[output].next) {
            if (worker->targets[output] != NULL) {
                hand_over(worker, output);
            }
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status check_block(const tp_feature_run *run, size_t worker,
                                  const tp_feature_block *block, tapeout_error *err)
{
    if (!run->is_bound || worker >= run->worker_count || block->row_count > TP_FEATURE_BLOCK_ROWS ||
        block->row_begin > run->rows.count ||
        block->row_count > run->rows.count - block->row_begin) {
        return tp_fail(err, TAPEOUT_E_INTERNAL, "features: a block outside of what was bound");
    }
    for (uint32_t i = 0; block->outputs != NULL && i < block->output_count; i++) {
        if (block->outputs[i] >= run->program->output_count) {
            return tp_fail(err, TAPEOUT_E_INTERNAL, "features: output %u of %u", block->outputs[i],
                           run->program->output_count);
        }
    }
    return TAPEOUT_OK;
}

tapeout_status tp_feature_run_block(tp_feature_run *run, size_t worker_index,
                                    const tp_feature_block *block, tapeout_error *err)
{
    TP_TRY(check_block(run, worker_index, block, err));
    tp_feature_worker *worker = &run->workers[worker_index];
    worker->row_begin = block->row_begin;
    worker->row_count = block->row_count;
    tp_feature_memos_trim(worker);
    const uint32_t count =
        block->outputs == NULL ? run->program->output_count : block->output_count;
    for (uint32_t i = 0; i < count; i++) {
        worker->targets[block->outputs == NULL ? i : block->outputs[i]] = block->values[i];
    }
    tapeout_status status = TAPEOUT_OK;
    if (block->outputs != NULL && count == 1) {
        const tp_feature_source *source = &run->program->sources[block->outputs[0]];
        status = tp_feature_run_steps(worker, source->steps, err);
        if (status == TAPEOUT_OK) {
            hand_over(worker, block->outputs[0]);
        }
    } else {
        status = run_many(worker, block, err);
    }
    for (uint32_t i = 0; status != TAPEOUT_OK && i < count; i++) {
        worker->targets[block->outputs == NULL ? i : block->outputs[i]] = NULL;
    }
    return status;
}

tp_feature_counts tp_feature_run_counts(const tp_feature_run *run, uint32_t output)
{
    tp_feature_counts sum = {0, 0, 0};
    for (size_t i = 0; i < run->worker_count; i++) {
        const tp_feature_counts *counts = &run->workers[i].counts[output];
        sum.missing += counts->missing;
        sum.unseen += counts->unseen;
        sum.invalid += counts->invalid;
    }
    return sum;
}
