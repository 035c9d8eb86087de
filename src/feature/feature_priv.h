// SPDX-License-Identifier: Apache-2.0
//
// The inside of feature programs. Text goes one way: lexer → parser (a tree in an arena) → checker,
// which knows types and turns the tree into instructions, each computed once however often it is
// written → layout, which gives instructions their registers and outputs their lists of steps → the
// interpreter. Fitting runs the same interpreter over the training rows up to the operand of each
// fitted instruction in turn.
//
// In registers a number, truth value, date (days), timestamp (microseconds) or category is a double
// and NaN is missing; a text is an int32 code into the dictionary of the instruction that made it,
// -1 for missing. Timestamps are exact to the microsecond for 285 years around 1970.
#ifndef FEATURE_PRIV_H
#define FEATURE_PRIV_H

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_arena.h"
#include "base/tp_error.h"
#include "feature/tp_feature.h"

#include <math.h>

#define TP_FEATURE_NONE UINT32_MAX
#define TP_FEATURE_US_PER_SECOND 1000000
#define TP_FEATURE_US_PER_DAY 86400000000.0

enum {
    TP_FEATURE_FOLDS = 5,
    TP_FEATURE_WORDS = TP_FEATURE_BLOCK_ROWS / 64, // of a bitmap with a bit a row
    TP_FEATURE_FIT_ROWS = 16 * TP_FEATURE_BLOCK_ROWS
};

// -- text to tree --------------------------------------------------------------------------------
typedef enum tp_feature_token_kind {
    TP_TOKEN_END,
    TP_TOKEN_NEWLINE,
    TP_TOKEN_NAME,   // text: the name
    TP_TOKEN_NUMBER, // number
    TP_TOKEN_STRING, // text: decoded
    TP_TOKEN_LEFT,
    TP_TOKEN_RIGHT,
    TP_TOKEN_COMMA,
    TP_TOKEN_ASSIGN,
    TP_TOKEN_ADD,
    TP_TOKEN_SUB,
    TP_TOKEN_MUL,
    TP_TOKEN_DIV,
    TP_TOKEN_MOD,
    TP_TOKEN_EQ,
    TP_TOKEN_NE,
    TP_TOKEN_LT,
    TP_TOKEN_LE,
    TP_TOKEN_GT,
    TP_TOKEN_GE,
    TP_TOKEN_AND,
    TP_TOKEN_OR,
    TP_TOKEN_NOT,
    TP_TOKEN_TRUE,
    TP_TOKEN_FALSE
} tp_feature_token_kind;

typedef struct tp_feature_place {
    uint32_t line;   // from 1
    uint32_t column; // from 1, in characters
} tp_feature_place;

typedef struct tp_feature_token {
    tp_feature_token_kind kind;
    tp_feature_place place;
    tp_str text;   // as written; decoded for strings and quoted names
    double number; // NUMBER
} tp_feature_token;

typedef struct tp_feature_lexer {
    tp_arena *arena; // of decoded strings
    tp_str text;
    size_t position;
    tp_feature_place place;
    uint32_t depth; // of open parentheses: inside them a line may be broken
} tp_feature_lexer;

tapeout_status tp_feature_lex(tp_feature_lexer *lexer, tp_feature_token *ret_token,
                              tapeout_error *err);

typedef enum tp_feature_node_kind {
    TP_NODE_NUMBER,
    TP_NODE_BOOL,
    TP_NODE_STRING,
    TP_NODE_NAME,
    TP_NODE_CALL,
    TP_NODE_UNARY, // op: SUB or NOT
    TP_NODE_BINARY
} tp_feature_node_kind;

typedef struct tp_feature_node {
    tp_feature_node_kind kind;
    tp_feature_token_kind op;
    tp_feature_place place;
    uint32_t height; // of the tree below, at most TP_MAX_FEATURE_HEIGHT
    uint32_t arg_count;
    double number;                 // NUMBER, BOOL
    tp_str text;                   // STRING, NAME; CALL: the function's name
    tp_str label;                  // of a named argument, else empty
    struct tp_feature_node **args; // [arg_count]
} tp_feature_node;

typedef struct tp_feature_line {
    tp_str name;
    tp_feature_place place;
    tp_feature_node *value;
    struct tp_feature_line *next;
} tp_feature_line;

// The lines in order; NULL for an empty program. Everything lies in `arena`.
tapeout_status tp_feature_parse_text(tp_arena *arena, tp_str text, tp_feature_line **ret_lines,
                                     tapeout_error *err);

// E_INVALID "features:LINE:COLUMN: ...".
tapeout_status tp_feature_fail(tapeout_error *err, tp_feature_place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// The same as E_DATA, for what the rows and not the program are to blame for.
tapeout_status tp_feature_fail_data(tapeout_error *err, tp_feature_place place, const char *format,
                                    ...) __attribute__((format(printf, 3, 4)));

// -- functions -----------------------------------------------------------------------------------
typedef enum tp_feature_function {
#define TP_FEATURE_FUNCTION(id, name, required, ...) TP_FUNCTION_##id,
#include "feature/feature_functions.h"
#undef TP_FEATURE_FUNCTION
    TP_FUNCTION_COUNT
} tp_feature_function;

enum { TP_FEATURE_PARAMETERS = 4 };

typedef struct tp_feature_signature {
    const char *name;
    uint32_t required;                             // arguments that must be given
    const char *parameters[TP_FEATURE_PARAMETERS]; // names, NULL behind the last
} tp_feature_signature;

const tp_feature_signature *tp_feature_signature_at(tp_feature_function function);
// The function of that name, or TP_FUNCTION_COUNT.
tp_feature_function tp_feature_function_find(tp_str name);
// The name nearest to `name`, or NULL.
const char *tp_feature_function_nearest(tp_str name);

// -- instructions --------------------------------------------------------------------------------
typedef enum tp_feature_type {
    TP_FEATURE_NUMBER,
    TP_FEATURE_BOOL,
    TP_FEATURE_DATE,
    TP_FEATURE_TIMESTAMP,
    TP_FEATURE_TEXT,
    TP_FEATURE_CATEGORY,
    TP_FEATURE_ONEHOT,
    TP_FEATURE_LEVEL // number of a level, -1 for unseen; only between instructions
} tp_feature_type;

const char *tp_feature_type_name(tp_feature_type type); // "a number"

typedef enum tp_feature_op {
    // sources
    TP_OP_COLUMN, // index: of the schema
    TP_OP_NUMBER, // number
    TP_OP_TEXT,   // index: of the constants
    // numbers (a, b, c)
    TP_OP_ADD,
    TP_OP_SUB,
    TP_OP_MUL,
    TP_OP_DIV, // invalid by zero
    TP_OP_MOD, // invalid by zero; the sign of the divisor
    TP_OP_NEG,
    TP_OP_EQ,
    TP_OP_NE,
    TP_OP_LT,
    TP_OP_LE,
    TP_OP_AND,
    TP_OP_OR,
    TP_OP_NOT,
    TP_OP_IF, // a ? b : c
    TP_OP_COALESCE,
    TP_OP_MIN,
    TP_OP_MAX,
    TP_OP_ABS,
    TP_OP_LOG,   // invalid at 0 and below
    TP_OP_LOG1P, // invalid at -1 and below
    TP_OP_EXP,   // invalid where it overflows
    TP_OP_SQRT,  // invalid below 0
    TP_OP_POW,   // invalid where it is no finite number
    TP_OP_ROUND,
    TP_OP_FLOOR,
    TP_OP_CEIL,
    TP_OP_MISSING,
    // times
    TP_OP_LOCAL, // a: UTC; index: zone
    TP_OP_PART,  // a: local timestamp; index: tp_feature_part
    TP_OP_DAY,   // a: timestamp to date
    // texts
    TP_OP_LOWER,
    TP_OP_UPPER,
    TP_OP_TRIM,
    TP_OP_CONCAT,
    TP_OP_PRINT, // a: any number; index: its tp_feature_type
    TP_OP_TEXT_IF,
    TP_OP_TEXT_COALESCE,
    TP_OP_TEXT_MISSING,
    TP_OP_LENGTH,
    TP_OP_CONTAINS,
    TP_OP_STARTS,
    TP_OP_ENDS,
    TP_OP_COMPARE, // -1, 0, 1
    TP_OP_HASH,    // index: buckets
    // fitted
    TP_OP_IMPUTE,      // index: tp_feature_strategy; number: the constant
    TP_OP_IMPUTE_TEXT, // index: strategy; b: the constant's text instruction
    TP_OP_SCALE,       // index: tp_feature_scale
    TP_OP_BIN,         // index: bins
    TP_OP_LEVELS,      // a: text
    TP_OP_TARGET_MEAN, // a: LEVELS; number: smoothing
    // of fitted levels
    TP_OP_CATEGORY, // a: LEVELS; number: min_count; index: 1 where unseen is other
    TP_OP_ONEHOT,   // a: LEVELS; number: min_count
    TP_OP_COUNT_ENCODE,
    // over rows
    TP_OP_LAG // a: value; b: group; c: order; index: rows back
} tp_feature_op;

typedef enum tp_feature_part {
    TP_PART_YEAR,
    TP_PART_QUARTER,
    TP_PART_MONTH,
    TP_PART_WEEK, // ISO 8601
    TP_PART_DAY,
    TP_PART_DAY_OF_YEAR,
    TP_PART_WEEKDAY,
    TP_PART_IS_WEEKEND,
    TP_PART_HOUR,
    TP_PART_MINUTE,
    TP_PART_SECOND
} tp_feature_part;

typedef enum tp_feature_strategy {
    TP_STRATEGY_MEDIAN,
    TP_STRATEGY_MEAN,
    TP_STRATEGY_MOST_FREQUENT,
    TP_STRATEGY_CONSTANT
} tp_feature_strategy;

typedef enum tp_feature_scale {
    TP_SCALE_STANDARD,
    TP_SCALE_ROBUST,
    TP_SCALE_MINMAX
} tp_feature_scale;

// What an instruction computes, and nothing else: two of the same bytes are one.
typedef struct tp_feature_code {
    uint32_t op;
    uint32_t type;
    uint32_t a; // instructions before this one, or TP_FEATURE_NONE
    uint32_t b;
    uint32_t c;
    uint32_t index;
    double number;
} tp_feature_code;

typedef struct tp_feature_instr {
    tp_feature_code code;
    tp_feature_place place; // where it is first written
    uint32_t fitted;        // index of its state, or TP_FEATURE_NONE
    uint32_t memo;          // index of its memo in a worker, or TP_FEATURE_NONE
    uint32_t lag;           // index of its values in a run, or TP_FEATURE_NONE
    uint32_t reg;
    bool may_mark;   // it or what it needs can meet an unseen level or an invalid value
    bool has_output; // some output is its value
} tp_feature_instr;

// A time zone as a list of moments: from starts[i] on local time is UTC + offsets[i]; before the
// first it is UTC + first_offset.
typedef struct tp_feature_zone {
    tp_str name; // in the program's arena
    uint32_t count;
    int32_t first_offset_s;
    int64_t *starts_s;
    int32_t *offsets_s;
} tp_feature_zone;

// Reads a zone of the system's tzdata and unrolls its rule to the end of TP_FEATURE_ZONE_LAST_YEAR.
tapeout_status tp_feature_zone_load(const tapeout_allocator *alloc, tp_str name,
                                    tp_feature_zone *ret_zone, tapeout_error *err);
// From the bytes of a TZif file (RFC 8536).
tapeout_status tp_feature_zone_parse(const tapeout_allocator *alloc, tp_str bytes,
                                     tp_feature_zone *ret_zone, tapeout_error *err);
void tp_feature_zone_deinit(const tapeout_allocator *alloc, tp_feature_zone *zone);
// Index of the interval that holds `at_s`: 0 before the first start, i + 1 from starts_s[i] on.
uint32_t tp_feature_zone_find(const tp_feature_zone *zone, int64_t at_s);

// What fitting found out for one instruction; which members count depends on its operation.
typedef struct tp_feature_fitted {
    uint32_t instr;
    double shift;    // SCALE: (x - shift) / scale; IMPUTE: the value; TARGET_MEAN: the prior
    double scale;    // SCALE
    double *numbers; // BIN: cuts, ascending; TARGET_MEAN: a mean for each level
    uint32_t number_count;
    double *folds;       // TARGET_MEAN while training: [level_count + 1][FOLDS], priors last
    uint32_t fold_count; // level_count + 1
    tp_dict levels;      // LEVELS, by falling count, then text; IMPUTE_TEXT: its one value;
                         // CATEGORY, ONEHOT: the kept ones and, for CATEGORY, "(other)"
    uint64_t *counts;    // LEVELS: rows of each level
    uint32_t count_count;
    uint32_t kept;  // CATEGORY, ONEHOT: levels of at least min_count rows
    bool has_other; // CATEGORY: code `kept` stands for the rest
} tp_feature_fitted;

typedef struct tp_feature_name {
    tp_str name;
    uint32_t instr;
    tp_feature_place place;
} tp_feature_name;

// Where an output's value comes from and what has to run for it.
typedef struct tp_feature_source {
    uint32_t instr;
    uint32_t level;  // ONEHOT: the level that gives 1; else TP_FEATURE_NONE
    uint32_t *steps; // [step_count] instructions in order, the last is `instr`
    uint32_t step_count;
    uint32_t next; // the next output of the same instruction, or TP_FEATURE_NONE
} tp_feature_source;

struct tp_feature_program {
    const tapeout_allocator *alloc;
    tp_arena arena; // text, schema, names
    tp_str text;
    tp_schema schema;
    tp_feature_instr *instrs;
    uint32_t instr_count;
    uint32_t instr_capacity;
    tp_dict constants; // of texts
    tp_feature_zone *zones;
    uint32_t zone_count;
    tp_feature_name *names; // features in order, intermediates too
    uint32_t name_count;
    uint32_t name_capacity;
    tp_feature_fitted *fitted;
    uint32_t fitted_count;
    uint32_t memo_count;
    uint32_t lag_count;
    bool is_fitted;
    bool is_trainable; // fitted in this process, so that folds are at hand
    uint64_t fit_row_count;
    uint64_t fit_seed;
    // layout
    tp_arena layout; // everything below
    tp_feature_output *outputs;
    tp_feature_source *sources;
    uint32_t output_count;
    uint32_t *first_output; // [instr_count] or TP_FEATURE_NONE
    uint32_t *all_steps;
    uint32_t all_step_count;
    uint32_t register_count;
    bool *column_used; // [schema.count]
};

// -- tree to instructions ------------------------------------------------------------------------
typedef struct tp_feature_checker {
    tp_feature_program *program;
    const tp_env *env;
    bool with_zones; // read zones from the system; otherwise the state brings them
    uint32_t *slots; // hash of instructions: index + 1
    uint32_t slot_count;
    tp_dict name_index; // of program->names
    tapeout_error *err;
} tp_feature_checker;

tapeout_status tp_feature_check(tp_feature_checker *checker, const tp_feature_line *lines);
tapeout_status tp_feature_check_node(tp_feature_checker *checker, const tp_feature_node *node,
                                     uint32_t *ret_instr);
// Function calls whose arguments have been put in the order of the parameters.
tapeout_status tp_feature_check_call(tp_feature_checker *checker, const tp_feature_node *node,
                                     uint32_t *ret_instr);
// The instruction of that code, made when it is new.
tapeout_status tp_feature_emit(tp_feature_checker *checker, tp_feature_place place,
                               const tp_feature_code *code, uint32_t *ret_instr);
tapeout_status tp_feature_emit_number(tp_feature_checker *checker, tp_feature_place place,
                                      double number, uint32_t *ret_instr);
// Compiles `node` and demands a type: NUMBER accepts truth values, TEXT prints what is none.
tapeout_status tp_feature_check_as(tp_feature_checker *checker, const tp_feature_node *node,
                                   tp_feature_type type, const char *what, uint32_t *ret_instr);
// Makes `a` and `b` the same type where a sensible conversion exists (date to timestamp, truth
// value to number, a text literal to a date or timestamp); false where none does.
tapeout_status tp_feature_unify(tp_feature_checker *checker, tp_feature_place place, uint32_t *a,
                                uint32_t *b, bool *ret_same);

static inline tp_feature_type tp_feature_type_of(const tp_feature_checker *checker, uint32_t instr)
{
    return (tp_feature_type)checker->program->instrs[instr].code.type;
}

// -- program -------------------------------------------------------------------------------------
// Registers, outputs and steps; again after fitting, which decides how many outputs a onehot has.
tapeout_status tp_feature_layout(tp_feature_program *program, tapeout_error *err);
// What follows from fitted levels: kept levels of CATEGORY and ONEHOT.
tapeout_status tp_feature_derive(tp_feature_program *program, tapeout_error *err);
void tp_feature_fitted_clear(const tapeout_allocator *alloc, tp_feature_fitted *fitted);
// Parses; `with_zones` false leaves the zones empty for a state to fill.
tapeout_status tp_feature_compile(const tp_env *env, tp_str text, const tp_schema *schema,
                                  bool with_zones, tp_feature_program **ret_program,
                                  tapeout_error *err);

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
    tp_rows rows;
    tp_feature_mode mode;
    bool is_bound;
    const tp_column **columns; // [schema.count] of the bound table, NULL where it lacks one
    uint32_t *column_hints;    // [schema.count] where each was found the last time
    double **lags;             // [lag_count] values of the bound rows
    uint64_t lag_row_count;    // capacity of each
};

// Runs `steps` over a block; what they leave in registers stays until the next call.
tapeout_status tp_feature_run_steps(tp_feature_worker *worker, const uint32_t *steps,
                                    uint32_t step_count, tapeout_error *err);
tapeout_status tp_feature_bind_columns(tp_feature_run *run, const tapeout_table *table,
                                       tp_rows rows, tp_feature_mode mode, tapeout_error *err);
// Steps of everything that `instr` reads, itself left out; in `arena`.
tapeout_status tp_feature_steps_before(const tp_feature_program *program, uint32_t instr,
                                       tp_arena *arena, uint32_t **ret_steps, uint32_t *ret_count,
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

// -- fitting -------------------------------------------------------------------------------------
typedef struct tp_feature_fitting {
    const tp_env *env;
    tp_feature_program *program;
    const tp_feature_fit_data *data;
    tp_feature_run *run;
    uint32_t instr; // being fitted
    uint32_t *steps;
    uint32_t step_count;
    tapeout_error *err;
} tp_feature_fitting;

// One task: rows [begin, end) of the fit, by blocks.
typedef tapeout_status (*tp_feature_fit_fn)(void *user, size_t task, tp_feature_worker *worker,
                                            tapeout_error *err);

// Runs the operands of `fitting->instr` over all rows and calls `fn` after every block. Tasks are
// TP_FEATURE_FIT_ROWS rows each, whatever the threads.
tapeout_status tp_feature_fit_pass(tp_feature_fitting *fitting, tp_feature_fit_fn fn, void *user);
size_t tp_feature_fit_task_count(const tp_feature_fitting *fitting);

tapeout_status tp_feature_fit_numbers(tp_feature_fitting *fitting, tp_feature_fitted *fitted);
tapeout_status tp_feature_fit_levels(tp_feature_fitting *fitting, tp_feature_fitted *fitted);
tapeout_status tp_feature_fit_target(tp_feature_fitting *fitting, tp_feature_fitted *fitted);

// The fold of a training row, by its position.
uint32_t tp_feature_fold(uint64_t seed, uint64_t position);

// Values in the order of numbers: a key for each double, and back.
static inline uint64_t tp_feature_key(double value)
{
    uint64_t bits;
    const double positive = value == 0 ? 0.0 : value;
    __builtin_memcpy(&bits, &positive, sizeof(bits));
    return (bits >> 63) != 0 ? ~bits : bits | UINT64_C(1) << 63;
}

static inline double tp_feature_unkey(uint64_t key)
{
    const uint64_t bits = (key >> 63) != 0 ? key & ~(UINT64_C(1) << 63) : ~key;
    double value;
    __builtin_memcpy(&value, &bits, sizeof(value));
    return value;
}

// Sorts keys; `scratch` holds as many.
void tp_feature_sort_keys(uint64_t *keys, uint64_t *scratch, size_t count);

#endif
