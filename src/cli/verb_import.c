// SPDX-License-Identifier: Apache-2.0
//
// tapeout import: a model that another program made becomes a bundle.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/import.h>
#include <yyjson.h>

static const cli_flag flags[] = {
    {"name", "NAME", "what it is served as, instead of the file's name", false},
    {"out", "FILE", "write the bundle there as well as into the registry", false},
};

static void print_bundle(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    (void)printf("%s:%llu  %s  %s\n", cli_text(root, "name"),
                 (unsigned long long)yyjson_get_uint(yyjson_obj_get(root, "version")),
                 cli_text(root, "architecture"), cli_text(root, "bundle"));
    yyjson_doc_free(doc);
}

static int run(cli *self)
{
    tapeout_import_options options;
    char *json = NULL;
    tapeout_import_options_init(&options);
    options.name = cli_value(self, "name");
    options.out_path = cli_value(self, "out");
    const tapeout_status status =
        tapeout_import(self->context, self->arguments[0], &options, &json, &self->err);
    return cli_show(self, status, json, print_bundle);
}

const cli_verb cli_verb_import = {
    .name = "import",
    .arguments = "FILE",
    .summary = "make a bundle of a model that another program made",
    .text =
        "FILE is a model of XGBoost (JSON or UBJSON), LightGBM (text) or ONNX (trees and linear "
        "models with their scalers and encoders), whose predictions stay the same to the bit; or a "
        "GGUF model, the first file of one that is split, or a folder "
        "with config.json, tokenizer.json and model.safetensors of a BERT sentence model, whose "
        "weights are packed once into the form that is computed with. What it is, its content "
        "says. Pickles are never opened.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
