// SPDX-License-Identifier: Apache-2.0
//
// tapeout predict: scores a file.
#include "cli/verbs.h"

#include <stdlib.h>
#include <string.h>
#include <tapeout/model.h>
#include <yyjson.h>

static const cli_flag flags[] = {
    {"out", "FILE", "write here instead of stdout; Parquet by its end", false},
    {"keep", "COLUMNS", "columns to carry into the result, separated by commas", true},
    {"explain", NULL, "a why_<column> each: what it adds to the margin (exact Shapley values)",
     false},
};

enum { MAX_KEEP = 1024 };

static tapeout_status write_stdout(void *user, const char *data, size_t size, tapeout_error *err)
{
    (void)user;
    if (fwrite(data, 1, size, stdout) == size) {
        return TAPEOUT_OK;
    }
    err->status = TAPEOUT_E_IO;
    (void)snprintf(err->message, sizeof(err->message), "standard output cannot be written");
    return TAPEOUT_E_IO;
}

static void print_remark(void *user, const char *sentence)
{
    (void)user;
    (void)fprintf(stderr, "note: %s\n", sentence);
}

// Cuts "a,b" into names inside `text`, whose commas become terminators.
static size_t split_names(char *text, const char **names, size_t most)
{
    size_t count = 0;
    for (char *name = text; name != NULL && *name != '\0' && count < most;) {
        char *comma = strchr(name, ',');
        if (comma != NULL) {
            *comma++ = '\0';
        }
        names[count++] = name;
        name = comma;
    }
    return count;
}

// With --out the rows are in the file; stdout still gets its one object.
static void print_out_json(const char *path)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    (void)yyjson_mut_obj_add_str(doc, root, "out", path);
    (void)yyjson_mut_write_fp(stdout, doc, YYJSON_WRITE_ALLOW_INVALID_UNICODE, NULL, NULL);
    (void)putchar('\n');
    yyjson_mut_doc_free(doc);
}

static int run(cli *self)
{
    static char text[1 << 16];
    static const char *names[MAX_KEEP];
    tapeout_model *model = NULL;
    tapeout_predict_options options;
    tapeout_predict_options_init(&options);
    int count = 0;
    const char *const *values = cli_values(self, "keep", &count);
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        const size_t size = strlen(values[i]);
        if (used + size + 1 > sizeof(text)) {
            return cli_usage(self, "--keep is too long");
        }
        memcpy(text + used, values[i], size + 1);
        options.keep_count +=
            split_names(text + used, names + options.keep_count, MAX_KEEP - options.keep_count);
        used += size + 1;
    }
    options.keep = names;
    options.out_path = cli_value(self, "out");
    options.json = self->is_json;
    options.explain = cli_has(self, "explain");
    options.write = write_stdout;
    options.remark = self->is_quiet ? NULL : print_remark;
    if (tapeout_model_open(self->context, self->arguments[0], &model, &self->err) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    const tapeout_status status =
        tapeout_model_predict(self->context, model, self->arguments[1], &options, &self->err);
    tapeout_model_close(model);
    if (status != TAPEOUT_OK) {
        return cli_failure(self);
    }
    if (self->is_json && options.out_path != NULL) {
        print_out_json(options.out_path);
    }
    return 0;
}

const cli_verb cli_verb_predict = {
    .name = "predict",
    .arguments = "MODEL DATA",
    .summary = "score a file: a line a row",
    .text =
        "MODEL is the path of a bundle or of an XGBoost, LightGBM or ONNX file, or a registered\n"
        "name, name:version or name@alias; DATA is CSV or Parquet, - is standard input.\n"
        "Columns: those kept, prediction, and for a classifier probability (of the positive\n"
        "class) or p_<class>.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 2,
    .max_arguments = 2,
    .run = run,
};
