// SPDX-License-Identifier: Apache-2.0
//
// Training by a spec: prepare, train, evaluate, write the bundle, register it.
#ifndef TAPEOUT_TRAIN_H
#define TAPEOUT_TRAIN_H

#include <tapeout/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tapeout_train_options {
    uint32_t struct_size;
    const char *out_path; // NULL: the bundle lives in the registry alone
    const uint64_t *seed; // NULL: the spec's
} tapeout_train_options;

TAPEOUT_API void tapeout_train_options_init(tapeout_train_options *options);

// Carries `spec_path` through. `*ret_json` (freed with tapeout_text_free) is what
// `tapeout train --json` prints: name, version, bundle, sha256, metrics, intervals, cohorts, gates,
// rows and seconds. With E_GATE the JSON is there too, the bundle is written, and the registry
// marks the version as refused. On any other failure nothing is left behind.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_train(tapeout_context *context,
                                                           const char *spec_path,
                                                           const tapeout_train_options *options,
                                                           char **ret_json, tapeout_error *err);

#ifdef __cplusplus
}
#endif

#endif
