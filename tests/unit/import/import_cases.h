// SPDX-License-Identifier: Apache-2.0
//
// What the tests of model files share: a model parsed from text, asked for a row.
#ifndef IMPORT_CASES_H
#define IMPORT_CASES_H

#include "base/tp_alloc.h"
#include "import/tp_import.h"
#include "test.h"

#include <string.h>

// What `import` says of one row of column values: the prediction, and the probability into
// `ret_probability` [classes] where it is not NULL.
static inline double import_predict(const tp_import *import, const double *row,
                                    double *ret_probability)
{
    const tp_env env = tp_env_plain();
    const double *columns[64];
    double prediction = 0;
    tp_predictor *predictor = NULL;
    const tp_import_facts facts = tp_import_facts_of(import);
    ASSERT(facts.columns <= 64);
    for (uint32_t i = 0; i < facts.columns; i++) {
        columns[i] = &row[i];
    }
    ASSERT_OK(tp_predictor_new(&env, tp_import_model(import), 1, &predictor, &test_err));
    tp_predict(predictor, columns, 1,
               &(tp_prediction){.probability = ret_probability, .prediction = &prediction});
    tp_predictor_free(predictor);
    return prediction;
}

// Parses bytes that end at an unreadable page.
static inline tapeout_status import_parse(tp_str bytes, tp_import **ret_import)
{
    const tp_env env = tp_env_plain();
    char *guarded = test_guarded(bytes.size);
    for (size_t i = 0; i < bytes.size; i++) {
        guarded[i] = bytes.data[i];
    }
    *ret_import = NULL;
    return tp_import_parse(&env, (tp_str){guarded, bytes.size}, ret_import, &test_err);
}

// `text` with the first `from` replaced by `to`, in one of a few buffers.
static inline tp_str import_edit(const char *text, const char *from, const char *to)
{
    static char buffers[2][65536];
    static int turn;
    char *buffer = buffers[turn++ % 2];
    const char *at = strstr(text, from);
    ASSERT(at != NULL);
    const int size = snprintf(buffer, sizeof(buffers[0]), "%.*s%s%s", (int)(at - text), text, to,
                              at + strlen(from));
    ASSERT(size > 0 && (size_t)size < sizeof(buffers[0]));
    return (tp_str){buffer, (size_t)size};
}

// A way to break a model's text, and what is to be said of it.
typedef struct import_flaw {
    const char *from;
    const char *to;
    tapeout_status want;
    const char *part;
} import_flaw;

// Every flaw is refused by name; `edited` is the model's text with `from` replaced by `to`.
static inline void import_refuse(const import_flaw *flaws, size_t count,
                                 tp_str (*edited)(const char *from, const char *to))
{
    for (size_t i = 0; i < count; i++) {
        tp_import *import;
        ASSERT_FAILS(import_parse(edited(flaws[i].from, flaws[i].to), &import), flaws[i].want,
                     flaws[i].part);
        ASSERT(import == NULL);
    }
}

#endif
