// SPDX-License-Identifier: Apache-2.0
//
// Reading a foreign model where it can do no harm (docs/internals/sandbox.md).
#ifndef IMPORT_SANDBOX_H
#define IMPORT_SANDBOX_H

#include "base/tp_sandbox.h"

typedef struct tp_import_work {
    const char *source; // a file, the first of a split model, or a folder
    const char *folder; // of tp_sandbox_folder_make: where the work may write
    tp_sandbox_fn run;
    void *user;
} tp_import_work;

// Runs the work in its sandbox; as tp_sandbox_run.
tapeout_status tp_import_locked_up(const tp_env *env, const tp_import_work *work,
                                   tp_buffer *ret_reply, tapeout_error *err);

#endif
