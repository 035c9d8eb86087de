// SPDX-License-Identifier: Apache-2.0
//
// What is suspicious about the columns of a table, before anything is learned from it: for
// `tapeout profile`, which says it, and for `features: auto`, which acts on it. docs/csv.md and
// docs/internals/table.md tell the rules.
#ifndef TP_PROFILE_H
#define TP_PROFILE_H

#include "table/tp_sketch.h"

// X(name, bit, the word that users see)
#define TP_PROFILE_NOTE_MAP(X)                                                                     \
    X(CONSTANT, 0, "constant")                 /* one value, never missing */                      \
    X(ALL_MISSING, 1, "all_missing")           /* no value at all */                               \
    X(IDENTIFIER, 2, "identifier")             /* names rows: (almost) no value comes twice */     \
    X(LEAK, 3, "leak")                         /* tells the target almost perfectly by itself */   \
    X(HIGH_CARDINALITY, 4, "high_cardinality") /* text of very many different values */

typedef enum tp_profile_note {
#define TP_PROFILE_NOTE_ENUM(name, bit, word) TP_PROFILE_##name = 1 << (bit),
    TP_PROFILE_NOTE_MAP(TP_PROFILE_NOTE_ENUM)
#undef TP_PROFILE_NOTE_ENUM
} tp_profile_note;

// One column of a profile.
typedef struct tp_profile_column {
    tp_sketch sketch;
    uint32_t notes;    // bits of tp_profile_note
    double leak_score; // how much of the target it tells, 0 … 1; NaN where that was not asked
} tp_profile_column;

typedef struct tp_profile tp_profile;

static const uint32_t tp_profile_no_target = UINT32_MAX;

// All columns over the rows chosen, in parallel, the same for any number of threads. `target` is
// the index of the column whose leaks are looked for, or tp_profile_no_target; its own notes are
// never LEAK, IDENTIFIER or HIGH_CARDINALITY. Texts borrow from the table. O(columns · rows).
tapeout_status tp_profile_new(const tp_env *env, const tapeout_table *table, tp_row_choice rows,
                              uint32_t target, tp_profile **ret_profile, tapeout_error *err);
void tp_profile_free(tp_profile *profile);
const tp_profile_column *tp_profile_columns(const tp_profile *profile); // one a column of the table

// The notes alone, one word a column. `rows` NULL: all.
tapeout_status tp_profile_notes(const tp_env *env, const tapeout_table *table,
                                const tp_row_choice *rows, uint32_t target, uint32_t *ret_notes,
                                tapeout_error *err);

#endif
