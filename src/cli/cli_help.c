// SPDX-License-Identifier: Apache-2.0
//
// --help: the program's commands, or one command's arguments and flags, from the table of verbs.
#include "cli/cli.h"

static void print_flag(const cli_flag *flag, FILE *to)
{
    char left[40];
    (void)snprintf(left, sizeof(left), "--%s%s%s", flag->name, flag->value == NULL ? "" : " ",
                   flag->value == NULL ? "" : flag->value);
    (void)fprintf(to, "  %-22s %s\n", left, flag->help);
}

static void print_program_help(FILE *to)
{
    size_t count = 0;
    const cli_verb *const *verbs = cli_verbs(&count);
    (void)fputs("tapeout: data to a secured production endpoint, in one program\n\n"
                "usage: tapeout COMMAND [ARGUMENTS] [FLAGS]\n\ncommands:\n",
                to);
    for (size_t i = 0; i < count; i++) {
        if (!verbs[i]->is_hidden) {
            (void)fprintf(to, "  %-12s %s\n", verbs[i]->name, verbs[i]->summary);
        }
    }
    (void)fputs("\ntapeout COMMAND --help says more about each\n", to);
}

void cli_print_help(const cli_verb *verb, FILE *to)
{
    size_t common_count = 0;
    const cli_flag *common = cli_common_flags(&common_count);
    if (verb == NULL) {
        print_program_help(to);
        return;
    }
    (void)fprintf(to, "usage: tapeout %s%s%s [FLAGS]\n\n%s.\n", verb->name,
                  verb->arguments[0] == '\0' ? "" : " ", verb->arguments, verb->summary);
    if (verb->text != NULL) {
        (void)fprintf(to, "\n%s\n", verb->text);
    }
    (void)fputs("\nflags:\n", to);
    for (size_t i = 0; i < verb->flag_count; i++) {
        print_flag(&verb->flags[i], to);
    }
    for (size_t i = 0; i < common_count; i++) {
        print_flag(&common[i], to);
    }
}
