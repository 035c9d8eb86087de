// SPDX-License-Identifier: Apache-2.0
//
// The interpreter's state: workers with their registers, marks and memos, and the loops that each
// kind of operation has. A worker belongs to one thread at a time; the run and the program are only
// read while blocks run.
#ifndef FEATURE_EXEC_H
#define FEATURE_EXEC_H

#include "feature/feature_code.h"

// -- run -----------------------------------------------------------------------------------------
// What a text operation has answered: by the code of its operand, or by a pair of keys. An entry
// counts while its generation is the memo's.
typedef struct tp_feature_memo_entry {
    uint32_t generation;
    int32_t value;
} tp_feature_memo_entry;

typedef struct tp_feature_memo_pair {
    uint64_t key;
    uint32_t generation;
    int32_t value;
} tp_feature_memo_pair;

typedef struct tp_feature_memo {
    tp_feature_memo_entry *entries; // by code
    uint32_t entry_count;
    tp_feature_memo_pair *pairs; // open addressing, a power of two
    uint32_t pair_capacity;
    uint32_t pair_count;
    uint32_t pair_generation; // that pair_count counts
    uint32_t generation;
    tp_dict dict; // the texts that this instruction made
} tp_feature_memo;

typedef struct tp_feature_worker {
    struct tp_feature_run *run;
    double *registers;                // [register_count][BLOCK_ROWS]
    uint64_t *invalid;                // [register_count][WORDS] a bit a row
    uint64_t *unseen;                 // [register_count][WORDS]
    uint64_t marks[TP_FEATURE_WORDS]; // of the instruction that runs
    bool marked;
    tp_feature_memo *memos; // [memo_count]
    uint32_t bind_generation;
    tp_feature_counts *counts; // [output_count]
    double **targets;          // [output_count] where each asked output goes
    uint32_t *wanted;          // [instr_count] stamp of the call that wants it
    uint32_t stamp;
    tp_buffer text; // scratch for new texts
    uint32_t zone_hint;
    // the block at hand
    uint64_t row_begin;
    uint32_t row_count;
} tp_feature_worker;

struct tp_feature_run {
    tp_env env;
    const tp_feature_program *program;
    size_t worker_count;
    tp_feature_worker *workers;
    const tapeout_table *table;
    tp_row_choice rows;
    tp_feature_mode mode;
    bool is_bound;
    const tp_column **columns; // [schema.count] of the bound table, NULL where it lacks one
    uint32_t *column_hints;    // [schema.count] where each was found the last time
    double **lags;             // [lag_count] values of the bound rows
    uint64_t lag_row_count;    // capacity of each
};

// Runs `steps` over a block; what they leave in registers stays until the next call.
tapeout_status tp_feature_run_steps(tp_feature_worker *worker, tp_feature_steps steps,
                                    tapeout_error *err);
tapeout_status tp_feature_bind_columns(tp_feature_run *run, const tapeout_table *table,
                                       tp_row_choice rows, tp_feature_mode mode,
                                       tapeout_error *err);
// The values of a LAG over all bound rows.
tapeout_status tp_feature_lag_fill(tp_feature_run *run, uint32_t instr, tapeout_error *err);

static inline double *tp_feature_register(const tp_feature_worker *worker, uint32_t instr)
{
    return worker->registers +
           (size_t)worker->run->program->instrs[instr].reg * TP_FEATURE_BLOCK_ROWS;
}

static inline int32_t *tp_feature_codes(const tp_feature_worker *worker, uint32_t instr)
{
    return (int32_t *)(void *)tp_feature_register(worker, instr);
}

static inline void tp_feature_mark(tp_feature_worker *worker, uint32_t row)
{
    worker->marks[row >> 6] |= UINT64_C(1) << (row & 63);
    worker->marked = true;
}

static inline uint64_t tp_feature_row(const tp_feature_run *run, uint64_t position)
{
    return run->rows.index == NULL ? position : run->rows.index[position];
}

void tp_feature_op_column(tp_feature_worker *worker, const tp_feature_instr *instr, void *out);
void tp_feature_op_number(tp_feature_worker *worker, const tp_feature_instr *instr, double *out);
void tp_feature_op_time(tp_feature_worker *worker, const tp_feature_instr *instr, double *out);
void tp_feature_op_fitted(tp_feature_worker *worker, const tp_feature_instr *instr, double *out);
tapeout_status tp_feature_op_text(tp_feature_worker *worker, const tp_feature_instr *instr,
                                  void *out, tapeout_error *err);
// The text behind a code of `instr`.
tp_str tp_feature_text_at(const tp_feature_worker *worker, uint32_t instr, int32_t code);
// Forgets what was made of texts; between blocks only.
void tp_feature_memos_trim(tp_feature_worker *worker);
void tp_feature_memo_deinit(const tapeout_allocator *alloc, tp_feature_memo *memo);
tapeout_status tp_feature_memo_reserve(const tapeout_allocator *alloc, tp_feature_memo *memo,
                                       uint32_t count);
// The place of `key`: its own where the place's generation is `generation`, else a free one.
tapeout_status tp_feature_memo_pair_find(const tapeout_allocator *alloc, tp_feature_memo *memo,
                                         uint32_t generation, uint64_t key,
                                         tp_feature_memo_pair **ret_pair);

#endif
