// SPDX-License-Identifier: Apache-2.0
//
// tapeout train: carries a spec through and says what came out.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/train.h>
#include <yyjson.h>

static const cli_flag flags[] = {
    {"out", "FILE", "write the bundle here as well as into the registry", false},
    {"seed", "N", "instead of the spec's seed", false},
};

static void print_group(yyjson_val *object, yyjson_val *intervals)
{
    size_t index = 0;
    size_t count = 0;
    yyjson_val *key = NULL;
    yyjson_val *value = NULL;
    yyjson_obj_foreach(object, index, count, key, value)
    {
        yyjson_val *interval = yyjson_obj_get(intervals, yyjson_get_str(key));
        const char *name = yyjson_get_str(key);
        (void)fprintf(stderr, "  %-20s %10.5f", name == NULL ? "" : name, yyjson_get_num(value));
        if (interval != NULL) {
            (void)fprintf(stderr, "   [%.5f, %.5f]", yyjson_get_num(yyjson_arr_get_first(interval)),
                          yyjson_get_num(yyjson_arr_get_last(interval)));
        }
        (void)fputc('\n', stderr);
    }
}

static void print_gates(yyjson_val *gates)
{
    size_t index = 0;
    size_t count = 0;
    yyjson_val *gate = NULL;
    yyjson_arr_foreach(gates, index, count, gate)
    {
        const bool passed = yyjson_get_bool(yyjson_obj_get(gate, "passed"));
        (void)fprintf(stderr, "  gate %-15s %10.5f   %s %s\n", cli_text(gate, "name"),
                      yyjson_get_num(yyjson_obj_get(gate, "got")), cli_text(gate, "want"),
                      passed ? "passed" : "FAILED");
    }
}

// The table for people; on stdout stands the bundle's path alone, for the next command.
static void print_summary(const char *json, bool is_refused)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *version = yyjson_obj_get(root, "version");
    (void)fprintf(stderr, "%s", cli_text(root, "name"));
    if (version != NULL) {
        (void)fprintf(stderr, ":%llu", (unsigned long long)yyjson_get_uint(version));
    }
    (void)fprintf(stderr, "   trained on %llu rows, tested on %llu\n",
                  (unsigned long long)yyjson_get_uint(yyjson_obj_get(root, "rows_train")),
                  (unsigned long long)yyjson_get_uint(yyjson_obj_get(root, "rows_test")));
    print_group(yyjson_obj_get(root, "metrics"), yyjson_obj_get(root, "intervals"));
    print_gates(yyjson_obj_get(root, "gates"));
    (void)fprintf(stderr, "  bundle  %s\n  sha256  %s\n", cli_text(root, "bundle"),
                  cli_text(root, "sha256"));
    const char *notes = cli_text(root, "notes");
    if (notes != NULL && notes[0] != '\0') {
        (void)fprintf(stderr, "notes:\n%s\n", notes);
    }
    if (!is_refused) {
        (void)puts(cli_text(root, "bundle"));
    }
    yyjson_doc_free(doc);
}

static int run(cli *self)
{
    tapeout_train_options options;
    uint64_t seed = 0;
    char *json = NULL;
    tapeout_train_options_init(&options);
    options.out_path = cli_value(self, "out");
    if (cli_has(self, "seed")) {
        if (!cli_number(self, "seed", &seed)) {
            return CLI_EXIT_USAGE;
        }
        options.seed = &seed;
    }
    const tapeout_status status =
        tapeout_train(self->context, self->arguments[0], &options, &json, &self->err);
    cli_progress_end(self);
    if (json != NULL && self->is_json) {
        (void)cli_print_json(self, json);
    } else if (json != NULL) {
        print_summary(json, status != TAPEOUT_OK);
        tapeout_text_free(self->context, json);
    }
    return status == TAPEOUT_OK ? 0 : cli_failure(self);
}

const cli_verb cli_verb_train = {
    .name = "train",
    .arguments = "SPEC.yaml",
    .summary = "prepare, train, evaluate, write the bundle and register it",
    .text = "The spec says where the data is, what to learn and what must hold (docs/spec.md). The "
            "bundle's\n"
            "path goes to stdout, or all figures with --json; a table for people goes to stderr. A "
            "gate\n"
            "that fails makes it exit 1, with --json after the figures; the version is then "
            "registered\n"
            "as refused, cannot be promoted and is not what the bare name means.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
