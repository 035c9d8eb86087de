// SPDX-License-Identifier: Apache-2.0
//
// tapeout tag: keys with texts on models and versions.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/registry.h>

static int run(cli *self)
{
    const char *what = self->arguments[0];
    const char *model = self->arguments[1];
    const char *key = self->arguments[2];
    const bool is_set = self->argument_count == 4 && strcmp(what, "set") == 0;
    if (!is_set && (self->argument_count != 3 || strcmp(what, "rm") != 0)) {
        return cli_usage(self, "it takes: set MODEL KEY VALUE or rm MODEL KEY");
    }
    if (tapeout_registry_tag(self->context, model, key, is_set ? self->arguments[3] : NULL,
                             &self->err) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    // The name was parsed by the registry; the key may hold anything, and is not repeated.
    (void)printf(self->is_json ? "{\"tagged\":\"%s\"}\n" : "tagged %s\n", model);
    return 0;
}

const cli_verb cli_verb_tag = {
    .name = "tag",
    .arguments = "set MODEL KEY VALUE | rm MODEL KEY",
    .summary = "keys with texts on a model or a version",
    .text = "MODEL is NAME or NAME:VERSION. tapeout list --json shows all tags.",
    .min_arguments = 3,
    .max_arguments = 4,
    .run = run,
};
