// SPDX-License-Identifier: Apache-2.0
//
// What the files that read LightGBM's models share.
#ifndef LIGHTGBM_PRIV_H
#define LIGHTGBM_PRIV_H

#include "import/import_priv.h"

// How the trees ask a column; a column is asked in one way.
typedef enum lightgbm_use {
    LIGHTGBM_UNUSED,
    LIGHTGBM_NUMBER,
    LIGHTGBM_ZERO_IS_MISSING,
    LIGHTGBM_CODE
} lightgbm_use;

typedef struct lightgbm_reader {
    const tp_env *env;
    tp_import *import;
    lightgbm_use *uses; // [columns]
    tapeout_error *err;
} lightgbm_reader;

// The value of the line "key=value" among the lines of `text`; {NULL, 0} where there is none.
tp_str tp_lightgbm_find(tp_str text, const char *key);
// The next line and what is behind it; the line is without its end.
tp_str tp_lightgbm_line(tp_str *text);
// The next word up to a blank; {NULL, 0} behind the last.
tp_str tp_lightgbm_word(tp_str *text);
// The whole number under `key`, at most `most`; E_CORRUPT where there is none.
tapeout_status tp_lightgbm_count(lightgbm_reader *reader, tp_str text, const char *key,
                                 uint32_t most, uint32_t *ret_count);

// One tree: the lines of its block behind "Tree=number".
tapeout_status tp_lightgbm_tree(lightgbm_reader *reader, tp_str block, uint32_t number,
                                tp_tree *to);

// Where one tree has linear functions, all have: the constant one for a value.
tapeout_status tp_lightgbm_make_linear(lightgbm_reader *reader);

// What stands behind the trees: where LightGBM's Python client wrote down pandas' categories, the
// columns that have them take texts, numbers or truth values instead of codes. After the trees.
tapeout_status tp_lightgbm_pandas(lightgbm_reader *reader, tp_str tail);

#endif
