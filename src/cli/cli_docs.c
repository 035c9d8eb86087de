// SPDX-License-Identifier: Apache-2.0
//
// The table of verbs as documents: man pages in roff, built and installed by Meson, and the
// chapters of docs/cli.md, which a test compares with what is printed here.
#include "cli/cli.h"

#include <string.h>

// -- man pages -----------------------------------------------------------------------------------

// Roff reads a backslash, a dash and a dot or quote at the start of a line as its own.
static void put_roff(const char *text, FILE *to)
{
    bool at_start = true;
    for (const char *c = text; *c != '\0'; c++) {
        if (at_start && (*c == '.' || *c == '\'')) {
            (void)fputs("\\&", to);
        }
        if (*c == '\\') {
            (void)fputs("\\e", to);
        } else if (*c == '-') {
            (void)fputs("\\-", to);
        } else {
            (void)fputc(*c, to);
        }
        at_start = *c == '\n';
    }
}

static void put_flags(const cli_flag *flags, size_t count, FILE *to)
{
    for (size_t i = 0; i < count; i++) {
        (void)fputs(".TP\n\\fB\\-\\-", to);
        put_roff(flags[i].name, to);
        (void)fputs("\\fR", to);
        if (flags[i].value != NULL) {
            (void)fputs(" \\fI", to);
            put_roff(flags[i].value, to);
            (void)fputs("\\fR", to);
        }
        (void)fputc('\n', to);
        put_roff(flags[i].help, to);
        (void)fputs(flags[i].repeats ? "; may be given more than once.\n" : ".\n", to);
    }
}

static void put_statuses(FILE *to)
{
    (void)fputs(".SH EXIT STATUS\n"
                ".TP\n0\nSuccess.\n.TP\n1\nA failure; one line on standard error says what.\n"
                ".TP\n2\nWrong usage.\n.TP\n130, 143\nInterrupted by SIGINT or SIGTERM.\n"
                ".TP\n141\nNobody reads standard output any more.\n",
                to);
}

static void put_environment(FILE *to)
{
    (void)fputs(
        ".SH ENVIRONMENT\n"
        ".TP\nTAPEOUT_HOME\nWhere registry and blobs live, unless \\fB\\-\\-home\\fR says "
        "so.\n"
        ".TP\nTAPEOUT_STORE\nThe registry's database, unless \\fB\\-\\-store\\fR says so.\n"
        ".TP\nTAPEOUT_BLOBS\nWhere the bytes of models are, s3://BUCKET/PREFIX?...; else in "
        "the home.\n"
        ".TP\nTAPEOUT_DUCKDB\nThe path of libduckdb.so, for queries and Parquet.\n"
        ".TP\nTAPEOUT_CPU\nref, avx2 or avx512: the kernels to use.\n",
        to);
}

static void print_program_man(FILE *to)
{
    size_t count = 0;
    const cli_verb *const *verbs = cli_verbs(&count);
    (void)fprintf(to, ".TH TAPEOUT 1 \"\" \"tapeout %s\" \"tapeout\"\n", tapeout_version());
    (void)fputs(".SH NAME\ntapeout \\- data to a secured production endpoint, in one program\n"
                ".SH SYNOPSIS\n\\fBtapeout\\fR \\fICOMMAND\\fR [\\fIARGUMENTS\\fR] "
                "[\\fIFLAGS\\fR]\n.SH COMMANDS\n",
                to);
    for (size_t i = 0; i < count; i++) {
        if (!verbs[i]->is_hidden) {
            (void)fprintf(to, ".TP\n\\fBtapeout\\-%s\\fR(1)\n", verbs[i]->name);
            put_roff(verbs[i]->summary, to);
            (void)fputs(".\n", to);
        }
    }
    put_statuses(to);
    put_environment(to);
}

void cli_print_man(const cli_verb *verb, FILE *to)
{
    if (verb == NULL) {
        print_program_man(to);
        return;
    }
    size_t common_count = 0;
    const cli_flag *common = cli_common_flags(&common_count);
    (void)fprintf(to, ".TH TAPEOUT\\-%s 1 \"\" \"tapeout %s\" \"tapeout\"\n", verb->name,
                  tapeout_version());
    (void)fprintf(to, ".SH NAME\ntapeout\\-%s \\- ", verb->name);
    put_roff(verb->summary, to);
    (void)fprintf(to, "\n.SH SYNOPSIS\n\\fBtapeout %s\\fR ", verb->name);
    put_roff(verb->arguments, to);
    (void)fputs(" [\\fIFLAGS\\fR]\n", to);
    if (verb->text != NULL) {
        (void)fputs(".SH DESCRIPTION\n", to);
        put_roff(verb->text, to);
        (void)fputc('\n', to);
    }
    (void)fputs(".SH OPTIONS\n", to);
    put_flags(verb->flags, verb->flag_count, to);
    put_flags(common, common_count, to);
    put_statuses(to);
    (void)fputs(".SH SEE ALSO\n\\fBtapeout\\fR(1)\n", to);
}

// -- docs/cli.md ---------------------------------------------------------------------------------

static void put_rows(const cli_flag *flags, size_t count, FILE *to)
{
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(to, "| `--%s%s%s` | %s%s |\n", flags[i].name,
                      flags[i].value == NULL ? "" : " ",
                      flags[i].value == NULL ? "" : flags[i].value, flags[i].help,
                      flags[i].repeats ? "; may be given more than once" : "");
    }
}

void cli_print_markdown(const cli_verb *verb, FILE *to)
{
    size_t common_count = 0;
    const cli_flag *common = cli_common_flags(&common_count);
    if (verb == NULL) {
        (void)fputs("## Flags of every command\n\n| flag | what |\n|---|---|\n", to);
        put_rows(common, common_count, to);
        return;
    }
    (void)fprintf(to, "\n## tapeout %s\n\n`tapeout %s%s%s [FLAGS]`: %s.\n", verb->name, verb->name,
                  verb->arguments[0] == '\0' ? "" : " ", verb->arguments, verb->summary);
    if (verb->text != NULL) {
        (void)fprintf(to, "\n%s\n", verb->text);
    }
    if (verb->flag_count > 0) {
        (void)fputs("\n| flag | what |\n|---|---|\n", to);
        put_rows(verb->flags, verb->flag_count, to);
    }
}
