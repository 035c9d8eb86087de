// SPDX-License-Identifier: Apache-2.0
//
// tapeout tokenize: the ids of a text.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/llm.h>
#include <yyjson.h>

static const cli_flag flags[] = {
    {"special", NULL, "recognise control tokens that are written in the text", false},
    {"bos", NULL, "add what the model wants at start and end", false},
};

// The ids in one line, with spaces between them.
static void print_ids(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    size_t index = 0;
    size_t count = 0;
    yyjson_val *id = NULL;
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "ids"), index, count, id)
    {
        (void)printf(index > 0 ? " %llu" : "%llu", (unsigned long long)yyjson_get_uint(id));
    }
    (void)putchar('\n');
    yyjson_doc_free(doc);
}

static int run(cli *self)
{
    tapeout_tokenize_options options;
    char *json = NULL;
    tapeout_tokenize_options_init(&options);
    options.path = "-";
    options.special = cli_has(self, "special");
    options.add = cli_has(self, "bos");
    if (tapeout_llm_tokenize(self->context, self->arguments[0], &options, &json, &self->err) !=
        TAPEOUT_OK) {
        return cli_failure(self);
    }
    if (self->is_json) {
        return cli_print_json(self, json);
    }
    print_ids(json);
    tapeout_text_free(self->context, json);
    return 0;
}

const cli_verb cli_verb_tokenize = {
    .name = "tokenize",
    .arguments = "MODEL",
    .summary = "the ids of a text by a language model's tokenizer",
    .text = "MODEL is a GGUF file, a bundle or a registered name; the text is standard input, its\n"
            "bytes as they are, the last newline too. Nothing is added, and what looks like a\n"
            "control token is text, unless the flags say otherwise. With --json: {\"ids\": [...]}.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
