// SPDX-License-Identifier: Apache-2.0
//
// What the verbs share. Every verb is one row of a table: its name, its arguments, its flags and
// the function that runs it; --help, shell completion and the man pages are printed from the same
// rows, so they cannot say anything else than what is parsed.
#ifndef CLI_H
#define CLI_H

#include <signal.h>
#include <stdio.h>
#include <tapeout/context.h>

enum {
    CLI_MAX_FLAGS = 48, // of a verb, with the common ones
    CLI_MAX_ARGUMENTS = 256,
    CLI_EXIT_FAILURE = 1,
    CLI_EXIT_USAGE = 2,
    CLI_EXIT_SIGNAL = 128 // plus the signal's number, as a shell counts
};

typedef struct cli_flag {
    const char *name;  // long, without dashes
    const char *value; // what stands for the value in --help; NULL: a switch
    const char *help;
    bool repeats; // may be given more than once
} cli_flag;

typedef struct cli cli;

typedef struct cli_verb {
    const char *name;
    const char *arguments; // as in the usage line: "MODEL DATA"
    const char *summary;   // one line
    const char *text;      // paragraphs for --help and the man page
    const cli_flag *flags;
    size_t flag_count;
    int min_arguments;
    int max_arguments;
    int (*run)(cli *self); // the exit status
    bool is_hidden;        // from --help and completion
    bool is_plain;         // runs without a context: no threads, no home
} cli_verb;

// A parsed command line and the context that runs it.
struct cli {
    const cli_verb *verb;
    const char *arguments[CLI_MAX_ARGUMENTS];
    int argument_count;
    const char *values[CLI_MAX_FLAGS][CLI_MAX_ARGUMENTS]; // by index into the verb's flags
    int value_counts[CLI_MAX_FLAGS];
    bool is_json;
    bool is_quiet;
    tapeout_context_options options;
    tapeout_context *context; // made before `run`
    tapeout_error err;
    volatile sig_atomic_t signal_number; // that asked to stop; 0: none
    int progress_width;                  // of the bar on the terminal; 0: none drawn
    const char *progress_phase;
    uint64_t phase_start_ms;
    uint64_t progress_drawn_ms;
};

// All verbs, in the order of --help; `*ret_count` of them.
const cli_verb *const *cli_verbs(size_t *ret_count);
// Flags that every verb takes.
const cli_flag *cli_common_flags(size_t *ret_count);

// The last value of flag `name`, or NULL where it was not given.
const char *cli_value(const cli *self, const char *name);
bool cli_has(const cli *self, const char *name);
// All values of a flag that repeats.
const char *const *cli_values(const cli *self, const char *name, int *ret_count);
// A whole number; false after a usage message when the text is none.
bool cli_parse_number(const char *text, uint64_t *ret_value); // false for NULL and what is none
bool cli_number(cli *self, const char *name, uint64_t *ret_value);

// Prints "tapeout VERB: message" to stderr and returns CLI_EXIT_USAGE.
int cli_usage(const cli *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Prints self->err in one line to stderr and returns CLI_EXIT_FAILURE; 130 or 143 when a signal
// asked to stop, and 141 without a word when whoever read stdout has gone.
int cli_failure(cli *self);
// Whether stdout is a pipe that nobody reads any more.
bool cli_stdout_is_closed(void);
// Prints a line of JSON to stdout; the exit status.
int cli_print_json(cli *self, char *json);
// The end of a verb whose result is JSON: the failure, the JSON, or `print` of it for a person; the
// exit status. Frees `json`.
int cli_show(cli *self, tapeout_status status, char *json, void (*print)(const char *json));

// The name among those of the verbs, or of the verb's flags, that is nearest to a misspelt one;
// NULL where none is near.
const char *cli_nearest_verb(const char *name);
const char *cli_nearest_flag(const cli_verb *verb, const char *name, size_t size);

// The string under `key`, "" where there is none.
struct yyjson_val;
const char *cli_text(struct yyjson_val *object, const char *key);

// Progress for the context: a bar with the time left on a terminal, nothing elsewhere.
void cli_progress(void *user, const char *phase, double fraction);
void cli_progress_end(cli *self);

void cli_print_help(const cli_verb *verb, FILE *to); // NULL: of the program
// The same as a man page (roff), and as a chapter of docs/cli.md.
void cli_print_man(const cli_verb *verb, FILE *to); // NULL: of the program
void cli_print_markdown(const cli_verb *verb, FILE *to);

#endif
