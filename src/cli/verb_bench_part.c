// SPDX-License-Identifier: Apache-2.0
//
// tapeout bench-part: one part of our side of a benchmark, for `tapeout bench`, which runs it in a
// process of its own.
#include "cli/verbs.h"

#include <bench.h>

static int run(cli *self)
{
    // The parts read their arguments and do not change them.
    return tp_bench_part(self->argument_count, (char **)(void *)self->arguments);
}

const cli_verb cli_verb_bench_part = {
    .name = "bench-part",
    .arguments = "PART ARGUMENTS...",
    .summary = "one part of a benchmark",
    .min_arguments = 1,
    .max_arguments = CLI_MAX_ARGUMENTS,
    .run = run,
    .is_hidden = true,
    .is_plain = true,
};
