// SPDX-License-Identifier: Apache-2.0
//
// tapeout profile: what a table looks like, before anything is learned from it.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/table.h>
#include <yyjson.h>

static const cli_flag flags[] = {
    {"target", "COLUMN", "mark columns that give this one away", false},
    {"missing", "TEXT", "a marker that stands for a missing value, such as NA", true},
    {"delimiter", "CHAR", "instead of the one guessed from the first lines", false},
    {"type", "COLUMN=TYPE", "instead of the type inferred", true},
};

static void print_column(yyjson_val *column, uint64_t rows)
{
    const uint64_t missing = yyjson_get_uint(yyjson_obj_get(column, "missing"));
    (void)printf("%-24s %-12s %8.2f %% %12llu  ", cli_text(column, "name"),
                 cli_text(column, "type"), rows == 0 ? 0.0 : 100.0 * (double)missing / (double)rows,
                 (unsigned long long)yyjson_get_uint(yyjson_obj_get(column, "distinct")));
    size_t index = 0;
    size_t count = 0;
    yyjson_val *note = NULL;
    yyjson_arr_foreach(yyjson_obj_get(column, "notes"), index, count, note)
    {
        (void)printf("%s%s", index > 0 ? ", " : "", yyjson_get_str(note));
    }
    (void)putchar('\n');
}

static void print_profile(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const uint64_t rows = yyjson_get_uint(yyjson_obj_get(root, "rows"));
    size_t index = 0;
    size_t count = 0;
    yyjson_val *column = NULL;
    (void)printf("%llu rows\n%-24s %-12s %10s %12s  %s\n", (unsigned long long)rows, "column",
                 "type", "missing", "distinct", "notes");
    yyjson_arr_foreach(yyjson_obj_get(root, "columns"), index, count, column)
    {
        print_column(column, rows);
    }
    yyjson_doc_free(doc);
}

static int run(cli *self)
{
    tapeout_read_options options;
    tapeout_table *table = NULL;
    char *json = NULL;
    int count = 0;
    tapeout_read_options_init(&options);
    options.missing = cli_values(self, "missing", &count);
    options.missing_count = (size_t)count;
    options.type_names = cli_values(self, "type", &count);
    options.type_count = (size_t)count;
    if (cli_has(self, "delimiter")) {
        const char *text = cli_value(self, "delimiter");
        options.delimiter = strcmp(text, "\\t") == 0 ? '\t' : text[0];
        if (strlen(text) != 1 && options.delimiter != '\t') {
            return cli_usage(self, "--delimiter takes one byte, or \\t");
        }
    }
    tapeout_status status =
        tapeout_table_read(self->context, self->arguments[0], &options, &table, &self->err);
    if (status == TAPEOUT_OK) {
        status = tapeout_table_profile(self->context, table, cli_value(self, "target"), &json,
                                       &self->err);
    }
    tapeout_table_free(table);
    return cli_show(self, status, json, print_profile);
}

const cli_verb cli_verb_profile = {
    .name = "profile",
    .arguments = "DATA",
    .summary = "types, missing values, cardinality, ranges and suspicious columns of a table",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
