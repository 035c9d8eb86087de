// SPDX-License-Identifier: Apache-2.0
//
// Running a recorded prediction again: the same bundle, the same rows, and are the bits the same?
//
// @thread `synchronized`.
#ifndef TAPEOUT_REPLAY_H
#define TAPEOUT_REPLAY_H

#include <tapeout/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tapeout_replay_options {
    uint32_t struct_size;
    const char *receipt; // an entry's number in the home's audit log, or a file with the entry
    const char *bundle;  // file of the bundle; NULL: the registered version that the receipt names
    const char *input;   // file with the rows, a JSON array of objects; NULL: those of the receipt
} tapeout_replay_options;

TAPEOUT_API void tapeout_replay_options_init(tapeout_replay_options *options);

// {"same", "sequence", "time", "model", "version", "bundle", "rows", "recorded", "replayed"}; of
// the last two, each {"prediction": [...], "probability": [...]}, or its hash where the receipt has
// no more. E_DATA where the bits differ, and then `*ret_json` is set too; E_CORRUPT where bundle or
// input are not those of the receipt; E_INVALID for what is no receipt of a table's model.
TAPEOUT_API TAPEOUT_NODISCARD tapeout_status tapeout_replay(tapeout_context *context,
                                                            const tapeout_replay_options *options,
                                                            char **ret_json, tapeout_error *err);

#ifdef __cplusplus
}
#endif

#endif
