// SPDX-License-Identifier: Apache-2.0
//
// Other processes, for `tapeout bench`: run one to its end, keep what it prints.
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include <stdbool.h>
#include <stddef.h>

enum { CLI_RUN_ARGUMENTS = 20, CLI_RUN_OUTPUT_BYTES = 8192 };

typedef struct cli_run {
    const char *arguments[CLI_RUN_ARGUMENTS]; // [0]: the program's path; NULL ends them
    unsigned seconds_max;                     // it is killed after these
    char output[CLI_RUN_OUTPUT_BYTES];        // of stdout, terminated
    bool is_late;                             // it was killed
} cli_run;

// Runs it with stderr as ours; false where it could not be started, was killed or failed.
bool cli_run_wait(cli_run *run);

// A new empty folder below TMPDIR or /tmp, and away with it and all below.
bool cli_folder_make(char *ret_path, size_t size);
void cli_folder_remove(const char *path);

#endif
