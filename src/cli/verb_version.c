// SPDX-License-Identifier: Apache-2.0
//
// tapeout version: of the program; with --json also how it was built and which kernels it runs.
#include "cli/verbs.h"

#include <tapeout/doctor.h>

static int run(cli *self)
{
    char *json = NULL;
    if (!self->is_json) {
        (void)printf("tapeout %s\n", tapeout_version());
        return 0;
    }
    if (tapeout_describe_build(self->context, &json, &self->err) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    return cli_print_json(self, json);
}

const cli_verb cli_verb_version = {
    .name = "version",
    .arguments = "",
    .summary = "the version of this program",
    .run = run,
};
