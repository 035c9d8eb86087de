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
#ifndef FEATURE_CODE_H
#define FEATURE_CODE_H

#include "base/tp_alloc.h"
#include "feature/feature_ast.h"
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

// -- functions -----------------------------------------------------------------------------------
typedef enum tp_feature_function {
#define TP_FEATURE_FUNCTION(id, name, required, ...) TP_FUNCTION_##id,
#include "feature/feature_function_list.h"
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
    TP_OP_FLOAT32,       // infinities stay, here and in the next four
    TP_OP_FLOAT64,       // as it is
    TP_OP_LIGHTGBM,      // 0 within LightGBM's zero
    TP_OP_LIGHTGBM_ZERO, // missing within it
    TP_OP_LIGHTGBM_CODE, // without its fraction
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

// Instructions to run, in order.
typedef struct tp_feature_steps {
    uint32_t *items; // [count]
    uint32_t count;
} tp_feature_steps;

typedef struct tp_feature_name {
    tp_str name;
    uint32_t instr;
    tp_feature_place place;
} tp_feature_name;

// Where an output's value comes from and what has to run for it.
typedef struct tp_feature_source {
    uint32_t instr;
    uint32_t level;         // ONEHOT: the level that gives 1; else TP_FEATURE_NONE
    tp_feature_steps steps; // the last is `instr`
    uint32_t next;          // the next output of the same instruction, or TP_FEATURE_NONE
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
    uint32_t *first_output;     // [instr_count] or TP_FEATURE_NONE
    tp_feature_steps all_steps; // of all outputs
    uint32_t register_count;
    bool *column_used; // [schema.count]
};

// -- program -------------------------------------------------------------------------------------
// Registers, outputs and steps; again after fitting, which decides how many outputs a onehot has.
tapeout_status tp_feature_layout(tp_feature_program *program, tapeout_error *err);
// Steps of everything that `instr` reads, itself left out; in `arena`.
tapeout_status tp_feature_steps_before(const tp_feature_program *program, uint32_t instr,
                                       tp_arena *arena, tp_feature_steps *ret_steps,
                                       tapeout_error *err);
// What follows from fitted levels: kept levels of CATEGORY and ONEHOT.
tapeout_status tp_feature_derive(tp_feature_program *program, tapeout_error *err);
void tp_feature_fitted_clear(const tapeout_allocator *alloc, tp_feature_fitted *fitted);
// Parses; `with_zones` false leaves the zones empty for a state to fill.
tapeout_status tp_feature_compile(const tp_env *env, tp_str text, const tp_schema *schema,
                                  bool with_zones, tp_feature_program **ret_program,
                                  tapeout_error *err);

#endif
