// SPDX-License-Identifier: Apache-2.0
//
// tapeout rm: takes a version out of the registry.
#include "cli/verbs.h"

#include <tapeout/registry.h>

static int run(cli *self)
{
    const char *model = self->arguments[0];
    if (tapeout_registry_remove(self->context, model, &self->err) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    // The name was parsed by the registry, so it needs no escapes.
    (void)printf(self->is_json ? "{\"removed\":\"%s\"}\n" : "removed %s\n", model);
    return 0;
}

const cli_verb cli_verb_rm = {
    .name = "rm",
    .arguments = "NAME:VERSION",
    .summary = "take a version out of the registry",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
