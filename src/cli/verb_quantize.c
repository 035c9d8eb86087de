// SPDX-License-Identifier: Apache-2.0
//
// tapeout quantize: a GGUF model with smaller weights.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/import.h>
#include <yyjson.h>

static const cli_flag flags[] = {
    {"type", "TYPE", "of the matrices: Q8_0, Q4_0, Q4_K, Q6_K, F16, BF16 or F32", false},
    {"output", "TYPE", "of token embedding and output matrix, instead of Q8_0", false},
    {"out", "FILE", "the GGUF file to write", false},
};

static void print_tensors(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const uint64_t fallbacks = yyjson_get_uint(yyjson_obj_get(root, "fallbacks"));
    (void)printf("%s: %llu tensors\n", cli_text(root, "path"),
                 (unsigned long long)yyjson_get_uint(yyjson_obj_get(root, "tensors")));
    if (fallbacks > 0) {
        (void)fprintf(stderr,
                      "%llu tensors have rows that are no whole blocks of the type and became the "
                      "nearest type with smaller blocks\n",
                      (unsigned long long)fallbacks);
    }
    yyjson_doc_free(doc);
}

static int run(cli *self)
{
    tapeout_quantize_options options;
    char *json = NULL;
    tapeout_quantize_options_init(&options);
    options.type = cli_value(self, "type");
    options.output = cli_value(self, "output");
    options.out_path = cli_value(self, "out");
    if (options.type == NULL || options.out_path == NULL) {
        return cli_usage(self, "--type TYPE and --out FILE are needed");
    }
    const tapeout_status status =
        tapeout_llm_quantize(self->context, self->arguments[0], &options, &json, &self->err);
    return cli_show(self, status, json, print_tensors);
}

const cli_verb cli_verb_quantize = {
    .name = "quantize",
    .arguments = "FILE",
    .summary = "write a GGUF model with weights of another type",
    .text =
        "Vectors stay float32. Codes and scales are chosen by squared error, so a file made from "
        "wider weights is better than one made from weights that were quantised before.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
