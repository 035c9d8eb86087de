// SPDX-License-Identifier: Apache-2.0
//
// The program: finds the verb, reads its flags from the verb's table, makes the context, runs it.
// Results go to stdout and everything for people to stderr; the exit status is 0, 1 for a failure,
// 2 for wrong usage, 130 when interrupted, 141 when nobody reads stdout any more.
#include "cli/cli.h"

#include <assert.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const cli_flag common_flags[] = {
    {"json", NULL, "print exactly one JSON object (or JSON lines) on stdout", false},
    {"threads", "N", "how many threads; default: as many as processors", false},
    {"home", "DIR", "where registry, blobs and keys live (or TAPEOUT_HOME)", false},
    {"store", "URL",
     "the registry's database, postgresql://... (or TAPEOUT_STORE); default: in the home", false},
    {"allow-unsigned", NULL, "use registered models that no trusted key has signed", false},
    {"quiet", NULL, "no progress and no remarks on stderr", false},
    {"help", NULL, "print this and exit", false},
};

const cli_flag *cli_common_flags(size_t *ret_count)
{
    *ret_count = sizeof(common_flags) / sizeof(common_flags[0]);
    return common_flags;
}

// What Ctrl-C cancels.
static cli *running;

static void on_interrupt(int signal_number)
{
    running->signal_number = signal_number;
    tapeout_context_cancel(running->context);
}

static const cli_verb *find_verb(const char *name)
{
    size_t count = 0;
    const cli_verb *const *verbs = cli_verbs(&count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(verbs[i]->name, name) == 0) {
            return verbs[i];
        }
    }
    return NULL;
}

// The flag's index among the verb's own; common ones follow behind them.
static int find_flag(const cli_verb *verb, const char *name, size_t size, const cli_flag **ret_flag)
{
    for (size_t i = 0; i < verb->flag_count; i++) {
        if (strlen(verb->flags[i].name) == size && strncmp(verb->flags[i].name, name, size) == 0) {
            *ret_flag = &verb->flags[i];
            return (int)i;
        }
    }
    const int common_count = (int)(sizeof(common_flags) / sizeof(common_flags[0]));
    for (int i = 0; i < common_count; i++) {
        if (strlen(common_flags[i].name) == size &&
            strncmp(common_flags[i].name, name, size) == 0) {
            *ret_flag = &common_flags[i];
            return (int)verb->flag_count + i;
        }
    }
    return -1;
}

static int take_flag(cli *self, int argc, char **argv, int *at)
{
    const char *text = argv[*at] + 2;
    const char *equals = strchr(text, '=');
    const size_t size = equals == NULL ? strlen(text) : (size_t)(equals - text);
    const cli_flag *flag = NULL;
    const int index = find_flag(self->verb, text, size, &flag);
    if (index < 0) {
        const char *nearest = cli_nearest_flag(self->verb, text, size);
        return nearest == NULL ? cli_usage(self, "unknown flag --%.*s", (int)size, text)
                               : cli_usage(self, "unknown flag --%.*s (did you mean --%s?)",
                                           (int)size, text, nearest);
    }
    const char *value = "";
    if (flag->value == NULL && equals != NULL) {
        return cli_usage(self, "--%s takes no value", flag->name);
    }
    if (flag->value != NULL) {
        value = equals != NULL ? equals + 1 : *at + 1 < argc ? argv[++*at] : NULL;
    }
    if (value == NULL) {
        return cli_usage(self, "--%s needs a value: %s", flag->name, flag->value);
    }
    int *count = &self->value_counts[index];
    if (*count > 0 && !flag->repeats) {
        return cli_usage(self, "--%s stands twice", flag->name);
    }
    if (*count == CLI_MAX_ARGUMENTS) {
        return cli_usage(self, "--%s stands too often", flag->name);
    }
    self->values[index][(*count)++] = value;
    return 0;
}

static int parse(cli *self, int argc, char **argv)
{
    bool flags_end = false;
    for (int i = 0; i < argc; i++) {
        const char *text = argv[i];
        if (!flags_end && strcmp(text, "--") == 0) {
            flags_end = true;
        } else if (!flags_end && strncmp(text, "--", 2) == 0) {
            const int status = take_flag(self, argc, argv, &i);
            if (status != 0) {
                return status;
            }
        } else if (!flags_end && strcmp(text, "-h") == 0) {
            size_t common = 0;
            (void)cli_common_flags(&common);
            self->value_counts[self->verb->flag_count + common - 1] = 1;
        } else if (!flags_end && text[0] == '-' && text[1] != '\0') {
            return cli_usage(self, "unknown flag %s", text);
        } else if (self->argument_count == CLI_MAX_ARGUMENTS) {
            return cli_usage(self, "too many arguments");
        } else {
            self->arguments[self->argument_count++] = text;
        }
    }
    return 0;
}

static int check_arguments(cli *self)
{
    const cli_verb *verb = self->verb;
    if (self->argument_count < verb->min_arguments) {
        return cli_usage(self, "%s needed: %s",
                         verb->min_arguments > 1 ? "arguments are" : "an argument is",
                         verb->arguments);
    }
    if (self->argument_count > verb->max_arguments) {
        return cli_usage(self, "too many arguments; it takes: %s",
                         verb->arguments[0] == '\0' ? "none" : verb->arguments);
    }
    return 0;
}

static int open_context(cli *self)
{
    uint64_t threads = 0;
    tapeout_context_options_init(&self->options);
    if (cli_has(self, "threads")) {
        if (!cli_number(self, "threads", &threads)) {
            return CLI_EXIT_USAGE;
        }
        if (threads == 0 || threads > 256) {
            return cli_usage(self, "--threads takes a number from 1 to 256");
        }
    }
    self->options.thread_count = (uint32_t)threads;
    self->options.home = cli_value(self, "home");
    self->options.store = cli_value(self, "store");
    self->options.allow_unsigned = cli_has(self, "allow-unsigned");
    if (!self->is_quiet && isatty(STDERR_FILENO)) {
        self->options.progress = cli_progress;
        self->options.progress_user = self;
    }
    if (tapeout_context_new(&self->options, &self->context, &self->err) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    running = self;
    // A second signal ends the process at once.
    const struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    return 0;
}

// What could not be written out was not printed: a full disk must not look like success. A reader
// that has seen enough (`| head`) is no failure to talk about.
static int finish_output(int status)
{
    if ((fflush(stdout) == 0 && ferror(stdout) == 0) || status != 0) {
        return status;
    }
    if (cli_stdout_is_closed()) {
        return CLI_EXIT_SIGNAL + SIGPIPE;
    }
    (void)fputs("tapeout: standard output cannot be written\n", stderr);
    return CLI_EXIT_FAILURE;
}

static int run_verb(cli *self, int argc, char **argv)
{
    size_t common_count = 0;
    (void)cli_common_flags(&common_count);
    assert(self->verb->flag_count + common_count <= CLI_MAX_FLAGS);
    int status = parse(self, argc, argv);
    if (status != 0) {
        return status;
    }
    if (cli_has(self, "help")) {
        cli_print_help(self->verb, stdout);
        return finish_output(0);
    }
    status = check_arguments(self);
    self->is_json = cli_has(self, "json");
    self->is_quiet = cli_has(self, "quiet");
    if (status == 0 && !self->verb->is_plain) {
        status = open_context(self);
    }
    if (status == 0) {
        status = self->verb->run(self);
    }
    cli_progress_end(self);
    tapeout_context_free(self->context);
    return finish_output(status);
}

static int unknown_verb(const char *name)
{
    const char *nearest = cli_nearest_verb(name);
    (void)fprintf(stderr, "tapeout: unknown command \"%s\"; ", name);
    if (nearest != NULL) {
        (void)fprintf(stderr, "did you mean %s? ", nearest);
    }
    (void)fputs("see tapeout --help\n", stderr);
    return CLI_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static cli self;
    // A reader that goes away is noticed where stdout is written; the process ends in its own way.
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); // a limit on files is a write that fails
    const char *name = argc > 1 ? argv[1] : "--help";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        const cli_verb *verb = argc > 2 ? find_verb(argv[2]) : NULL;
        cli_print_help(verb, argc > 1 ? stdout : stderr);
        return argc > 1 ? finish_output(0) : CLI_EXIT_USAGE;
    }
    if (strcmp(name, "--version") == 0) {
        (void)printf("tapeout %s\n", tapeout_version());
        return finish_output(0);
    }
    self.verb = find_verb(name);
    if (self.verb == NULL) {
        return unknown_verb(name);
    }
    return run_verb(&self, argc - 2, argv + 2);
}
