// SPDX-License-Identifier: Apache-2.0
//
// tapeout completion: a script for the shell that completes commands and flags, and files where
// arguments stand. Written out from the table of verbs, so it knows what this very program knows.
#include "cli/verbs.h"

#include <string.h>

// -- bash ----------------------------------------------------------------------------------------

static void put_verb_names(void)
{
    size_t count = 0;
    const cli_verb *const *verbs = cli_verbs(&count);
    const char *between = "";
    for (size_t i = 0; i < count; i++) {
        if (!verbs[i]->is_hidden) {
            (void)printf("%s%s", between, verbs[i]->name);
            between = " ";
        }
    }
}

static void put_flag_names(const cli_flag *flags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)printf("--%s ", flags[i].name);
    }
}

static void print_bash(void)
{
    size_t count = 0;
    size_t common_count = 0;
    const cli_verb *const *verbs = cli_verbs(&count);
    const cli_flag *common = cli_common_flags(&common_count);
    (void)fputs("_tapeout() {\n"
                "    local word=${COMP_WORDS[COMP_CWORD]} flags=\n"
                "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                "        COMPREPLY=($(compgen -W \"",
                stdout);
    put_verb_names();
    (void)fputs(" --help --version\" -- \"$word\"))\n"
                "        return\n"
                "    fi\n"
                "    case ${COMP_WORDS[1]} in\n",
                stdout);
    for (size_t i = 0; i < count; i++) {
        if (!verbs[i]->is_hidden && verbs[i]->flag_count > 0) {
            (void)printf("    %s) flags=\"", verbs[i]->name);
            put_flag_names(verbs[i]->flags, verbs[i]->flag_count);
            (void)fputs("\" ;;\n", stdout);
        }
    }
    (void)fputs("    esac\n"
                "    case $word in\n"
                "    -*) COMPREPLY=($(compgen -W \"$flags ",
                stdout);
    put_flag_names(common, common_count);
    (void)fputs("\" -- \"$word\")) ;;\n"
                "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
                "    esac\n"
                "}\n"
                "complete -o filenames -F _tapeout tapeout\n",
                stdout);
}

// -- zsh -----------------------------------------------------------------------------------------

// Inside single quotes, where a colon and brackets are the shell's own.
static void put_zsh(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\'') {
            (void)fputs("'\\''", stdout);
        } else {
            (void)printf(strchr(":[]\\", *c) != NULL ? "\\%c" : "%c", *c);
        }
    }
}

static void put_zsh_flags(const cli_flag *flags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)printf("            '%s--%s[", flags[i].repeats ? "*" : "", flags[i].name);
        put_zsh(flags[i].help);
        (void)fputc(']', stdout);
        if (flags[i].value != NULL) {
            (void)fputc(':', stdout);
            put_zsh(flags[i].value);
            (void)printf(":%s", strcmp(flags[i].value, "FILE") == 0 ? "_files" : "");
        }
        (void)fputs("' \\\n", stdout);
    }
}

static void print_zsh(void)
{
    size_t count = 0;
    size_t common_count = 0;
    const cli_verb *const *verbs = cli_verbs(&count);
    const cli_flag *common = cli_common_flags(&common_count);
    (void)fputs("#compdef tapeout\n"
                "_tapeout() {\n"
                "    local -a commands\n"
                "    commands=(\n",
                stdout);
    for (size_t i = 0; i < count; i++) {
        if (!verbs[i]->is_hidden) {
            (void)printf("        '%s:", verbs[i]->name);
            put_zsh(verbs[i]->summary);
            (void)fputs("'\n", stdout);
        }
    }
    (void)fputs("    )\n"
                "    if (( CURRENT == 2 )); then\n"
                "        _describe command commands\n"
                "        return\n"
                "    fi\n"
                "    case $words[2] in\n",
                stdout);
    for (size_t i = 0; i < count; i++) {
        if (!verbs[i]->is_hidden) {
            (void)printf("    %s)\n        _arguments \\\n", verbs[i]->name);
            put_zsh_flags(verbs[i]->flags, verbs[i]->flag_count);
            put_zsh_flags(common, common_count);
            (void)fputs("            '*:file:_files' ;;\n", stdout);
        }
    }
    (void)fputs("    esac\n}\n_tapeout \"$@\"\n", stdout);
}

// -- fish ----------------------------------------------------------------------------------------

// Inside single quotes.
static void put_fish(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        (void)printf(*c == '\'' || *c == '\\' ? "\\%c" : "%c", *c);
    }
}

static void put_fish_flags(const char *verb, const cli_flag *flags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)fputs("complete -c tapeout ", stdout);
        if (verb != NULL) {
            (void)printf("-n '__fish_seen_subcommand_from %s' ", verb);
        }
        (void)printf("-l %s %s-d '", flags[i].name, flags[i].value == NULL ? "" : "-r ");
        put_fish(flags[i].help);
        (void)fputs("'\n", stdout);
    }
}

static void print_fish(void)
{
    size_t count = 0;
    size_t common_count = 0;
    const cli_verb *const *verbs = cli_verbs(&count);
    const cli_flag *common = cli_common_flags(&common_count);
    for (size_t i = 0; i < count; i++) {
        if (!verbs[i]->is_hidden) {
            (void)printf("complete -c tapeout -n __fish_use_subcommand -a %s -d '", verbs[i]->name);
            put_fish(verbs[i]->summary);
            (void)fputs("'\n", stdout);
            put_fish_flags(verbs[i]->name, verbs[i]->flags, verbs[i]->flag_count);
        }
    }
    put_fish_flags(NULL, common, common_count);
}

static int run(cli *self)
{
    const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
        if (strcmp(shells[i].name, self->arguments[0]) == 0) {
            shells[i].print();
            return 0;
        }
    }
    return cli_usage(self, "\"%s\" is no shell that it knows: bash, zsh or fish",
                     self->arguments[0]);
}

const cli_verb cli_verb_completion = {
    .name = "completion",
    .arguments = "bash|zsh|fish",
    .summary = "print a script that completes commands and flags in a shell",
    .text = "For bash: source <(tapeout completion bash)",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
    .is_plain = true,
};
