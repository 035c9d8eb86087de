// SPDX-License-Identifier: Apache-2.0
//
// tapeout version.
#include "cli/verbs.h"

static int run(cli *self)
{
    (void)printf(self->is_json ? "{\"version\":\"%s\"}\n" : "tapeout %s\n", tapeout_version());
    return 0;
}

const cli_verb cli_verb_version = {
    .name = "version",
    .arguments = "",
    .summary = "the version of this program",
    .run = run,
};
