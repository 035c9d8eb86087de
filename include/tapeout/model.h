// SPDX-License-Identifier: Apache-2.0
//
// A model ready to answer, opened from a bundle's path, a model file of another program or a
// registered name.
//
// @thread A model is `immutable`; each call below makes what it needs and may run on any thread.
#ifndef TAPEOUT_MODEL_H
#define TAPEOUT_MODEL_H

#include <tapeout/table.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tapeout_model tapeout_model;

// `model` with a slash, or naming an existing file, is a path; else `name`, `name:version` or
// `name@alias` in the registry. The bundle is verified in full. A path may also lead to a model of
// XGBoost, LightGBM or ONNX, which is imported on the way and kept nowhere (docs/import.md).
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_model_open(tapeout_context *context,
                                                                const char *model,
                                                                tapeout_model **ret_model,
                                                                tapeout_error *err);
TAPEOUT_API void tapeout_model_close(tapeout_model *model); // accepts NULL

// What `tapeout inspect --json` prints: schema, feature program, learner, report, lineage, hashes.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_model_inspect(tapeout_context *context,
                                                                   const tapeout_model *model,
                                                                   char **ret_json,
                                                                   tapeout_error *err);

typedef struct tapeout_predict_options {
    uint32_t struct_size;
    const char *out_path;    // CSV, or Parquet by its end; NULL: through `write`
    bool json;               // `write` gets JSON lines instead of CSV
    const char *const *keep; // columns of the data to carry into the result
    size_t keep_count;
    bool explain; // a why_<column> each: the Shapley value in margin units
    tapeout_write_fn write;
    void *write_user;
    // Told which columns of the model the data lacks, a sentence; may be NULL.
    void (*remark)(void *user, const char *sentence);
    void *remark_user;
} tapeout_predict_options;

TAPEOUT_API void tapeout_predict_options_init(tapeout_predict_options *options);

// Scores every row of `data_path` ("-": standard input).
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status
tapeout_model_predict(tapeout_context *context, const tapeout_model *model, const char *data_path,
                      const tapeout_predict_options *options, tapeout_error *err);

// The metrics on data that has the target: {"metrics": {...}, "intervals": {...}, "rows": n}.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_model_evaluate(tapeout_context *context,
                                                                    const tapeout_model *model,
                                                                    const char *data_path,
                                                                    char **ret_json,
                                                                    tapeout_error *err);

#ifdef __cplusplus
}
#endif

#endif
