// SPDX-License-Identifier: Apache-2.0
//
// What the fuzz targets of model files share: import the bytes, ask the model, write it, read it.
#ifndef FUZZ_IMPORT_H
#define FUZZ_IMPORT_H

#include "base/tp_alloc.h"
#include "import/tp_import.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_check(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void fuzz_ask(const tp_env *env, const tp_import *import)
{
    static const double values[] = {0, 1, -1, 1e30, (double)NAN, (double)INFINITY, -0.5, 2.5};
    enum { ROWS = sizeof(values) / sizeof(values[0]) };
    const uint32_t columns = tp_feature_output_count(tp_import_program(import));
    const double **pointers = calloc(columns, sizeof(*pointers));
    double predictions[ROWS];
    tp_predictor *predictor = NULL;
    tapeout_error err = {0};
    fuzz_check(pointers != NULL);
    for (uint32_t i = 0; i < columns; i++) {
        pointers[i] = values;
    }
    fuzz_check(tp_predictor_new(env, tp_import_model(import), ROWS, &predictor, &err) ==
               TAPEOUT_OK);
    tp_predict(predictor, pointers, ROWS, &(tp_prediction){.prediction = predictions});
    tp_predictor_free(predictor);
    free(pointers);
}

static void fuzz_write_and_read(const tp_env *env, const tp_import *import)
{
    const uint32_t columns = tp_feature_output_count(tp_import_program(import));
    tp_learn_feature *features = calloc(columns, sizeof(*features));
    tp_buffer bytes;
    tp_model *again = NULL;
    tapeout_error err = {0};
    fuzz_check(features != NULL);
    tp_buffer_init(&bytes, env->alloc, (size_t)1 << 30);
    tp_model_write(tp_import_model(import), &bytes);
    fuzz_check(tp_model_read(env, tp_buffer_view(&bytes), features, columns, &again, &err) ==
               TAPEOUT_OK);
    tp_model_free(again);
    tp_buffer_deinit(&bytes);
    free(features);
}

static int fuzz_import(const uint8_t *data, size_t size)
{
    const tp_env env = tp_env_plain();
    tp_import *import = NULL;
    tapeout_error err = {0};
    const tapeout_status status =
        tp_import_parse(&env, (tp_str){(const char *)data, size}, &import, &err);
    fuzz_check((status == TAPEOUT_OK) == (import != NULL));
    fuzz_check(status == TAPEOUT_OK || strlen(err.message) > 10);
    if (import != NULL) {
        fuzz_ask(&env, import);
        fuzz_write_and_read(&env, import);
        tp_import_free(import);
    }
    return 0;
}

#endif
