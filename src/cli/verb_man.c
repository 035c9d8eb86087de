// SPDX-License-Identifier: Apache-2.0
//
// tapeout man: the man page of the program or of a command, for the build to install; with
// --markdown the chapters of docs/cli.md.
#include "cli/verbs.h"

#include <string.h>

static const cli_flag flags[] = {
    {"markdown", NULL, "all commands as the chapters of docs/cli.md", false},
};

static int run(cli *self)
{
    size_t count = 0;
    const cli_verb *const *verbs = cli_verbs(&count);
    const char *name = self->argument_count > 0 ? self->arguments[0] : NULL;
    if (cli_has(self, "markdown")) {
        cli_print_markdown(NULL, stdout);
        for (size_t i = 0; i < count; i++) {
            if (!verbs[i]->is_hidden) {
                cli_print_markdown(verbs[i], stdout);
            }
        }
        return 0;
    }
    if (name == NULL) {
        cli_print_man(NULL, stdout);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(verbs[i]->name, name) == 0) {
            cli_print_man(verbs[i], stdout);
            return 0;
        }
    }
    return cli_usage(self, "there is no command \"%s\"", name);
}

const cli_verb cli_verb_man = {
    .name = "man",
    .arguments = "[COMMAND]",
    .summary = "print the man page of the program or of a command",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .max_arguments = 1,
    .run = run,
    .is_hidden = true,
    .is_plain = true,
};
