// SPDX-License-Identifier: Apache-2.0
//
// The table of verbs, and what they share: values of flags, messages, progress, help.
#include "cli/cli.h"

#include "cli/verbs.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

static const cli_verb *const verbs[] = {
    &cli_verb_profile, &cli_verb_train, &cli_verb_predict, &cli_verb_evaluate, &cli_verb_inspect,
    &cli_verb_list,    &cli_verb_rm,    &cli_verb_serve,   &cli_verb_version,
};

const cli_verb *const *cli_verbs(size_t *ret_count)
{
    *ret_count = sizeof(verbs) / sizeof(verbs[0]);
    return verbs;
}

static int flag_index(const cli *self, const char *name)
{
    size_t common_count = 0;
    const cli_flag *common = cli_common_flags(&common_count);
    for (size_t i = 0; i < self->verb->flag_count; i++) {
        if (strcmp(self->verb->flags[i].name, name) == 0) {
            return (int)i;
        }
    }
    for (size_t i = 0; i < common_count; i++) {
        if (strcmp(common[i].name, name) == 0) {
            return (int)(self->verb->flag_count + i);
        }
    }
    return -1;
}

bool cli_has(const cli *self, const char *name)
{
    const int index = flag_index(self, name);
    return index >= 0 && self->value_counts[index] > 0;
}

const char *cli_value(const cli *self, const char *name)
{
    return cli_has(self, name) ? self->values[flag_index(self, name)][0] : NULL;
}

const char *const *cli_values(const cli *self, const char *name, int *ret_count)
{
    const int index = flag_index(self, name);
    *ret_count = self->value_counts[index];
    return self->values[index];
}

bool cli_number(cli *self, const char *name, uint64_t *ret_value)
{
    const char *text = cli_value(self, name);
    uint64_t value = 0;
    bool ok = text != NULL && text[0] != '\0';
    for (const char *c = text; ok && *c != '\0'; c++) {
        const uint64_t digit = (uint64_t)(*c - '0');
        ok = *c >= '0' && *c <= '9' && !__builtin_mul_overflow(value, 10, &value) &&
             !__builtin_add_overflow(value, digit, &value);
    }
    if (!ok) {
        (void)cli_usage(self, "--%s takes a whole number", name);
        return false;
    }
    *ret_value = value;
    return true;
}

int cli_usage(const cli *self, const char *format, ...)
{
    va_list args;
    (void)fprintf(stderr, "tapeout %s: ", self->verb->name);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fprintf(stderr, "; see tapeout %s --help\n", self->verb->name);
    return CLI_EXIT_USAGE;
}

int cli_failure(cli *self)
{
    cli_progress_end(self);
    if (self->err.status == TAPEOUT_E_CANCELLED) {
        (void)fputs("tapeout: interrupted; nothing was written\n", stderr);
        return 130;
    }
    (void)fprintf(stderr, "tapeout: %s\n", self->err.message);
    return CLI_EXIT_FAILURE;
}

int cli_print_json(cli *self, char *json)
{
    cli_progress_end(self);
    (void)puts(json);
    tapeout_text_free(self->context, json);
    return 0;
}

// -- progress
const char *cli_text(struct yyjson_val *object, const char *key)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    return text == NULL ? "" : text;
}

// --------------------------------------------------------------------------------------

void cli_progress(void *user, const char *phase, double fraction)
{
    cli *self = user;
    if (fraction < 0) {
        self->progress_width = fprintf(stderr, "\r\033[K%s ...", phase);
        return;
    }
    char bar[31];
    const int filled = (int)(fraction * 30 + 0.5);
    for (int i = 0; i < 30; i++) {
        bar[i] = i < filled ? '#' : '.';
    }
    bar[30] = '\0';
    self->progress_width =
        fprintf(stderr, "\r\033[K%-9s [%s] %3d %%", phase, bar, (int)(fraction * 100 + 0.5));
}

void cli_progress_end(cli *self)
{
    if (self->progress_width > 0) {
        (void)fputs("\r\033[K", stderr);
        self->progress_width = 0;
    }
}

// -- help
// ------------------------------------------------------------------------------------------

static void print_flag(const cli_flag *flag, FILE *to)
{
    char left[40];
    (void)snprintf(left, sizeof(left), "--%s%s%s", flag->name, flag->value == NULL ? "" : " ",
                   flag->value == NULL ? "" : flag->value);
    (void)fprintf(to, "  %-22s %s\n", left, flag->help);
}

static void print_program_help(FILE *to)
{
    (void)fputs("tapeout: data to a secured production endpoint, in one program\n\n"
                "usage: tapeout COMMAND [ARGUMENTS] [FLAGS]\n\ncommands:\n",
                to);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
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
