// SPDX-License-Identifier: Apache-2.0
//
// tapeout sbom: what the program, or a model, is made of.
#include "cli/verbs.h"

#include <tapeout/sbom.h>

static int run(cli *self)
{
    char *json = NULL;
    const tapeout_status status =
        self->argument_count == 0
            ? tapeout_sbom_program(self->context, &json, &self->err)
            : tapeout_sbom_model(self->context, self->arguments[0], &json, &self->err);
    // The document is JSON, asked for or not.
    return status == TAPEOUT_OK ? cli_print_json(self, json) : cli_failure(self);
}

const cli_verb cli_verb_sbom = {
    .name = "sbom",
    .arguments = "[MODEL]",
    .summary = "the bill of materials of the program or of a model, in CycloneDX 1.6",
    .text =
        "Without MODEL: the libraries in the program and beside it, by version, licence and hash. "
        "With\none: its hash, task, metrics and licence, and the data, specification and code "
        "that it was\nmade of. The same input gives the same bytes.",
    .min_arguments = 0,
    .max_arguments = 1,
    .run = run,
};
