// SPDX-License-Identifier: Apache-2.0
//
// tapeout replay: runs a recorded prediction again and compares the bits.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/replay.h>
#include <yyjson.h>

static const cli_flag flags[] = {
    {"bundle", "FILE",
     "the bundle or model file, where it is not registered under the receipt's name", false},
    {"input", "FILE",
     "the rows, a JSON array of objects, where the receipt has their hash alone; "
     "of a language model the generation, as other receipts have it",
     false},
};

static void print_answer(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const bool is_same = yyjson_get_bool(yyjson_obj_get(root, "same"));
    yyjson_val *choices = yyjson_obj_get(root, "choices");
    yyjson_val *count = choices != NULL ? choices : yyjson_obj_get(root, "rows");
    (void)printf("%s:%s  %llu %s of %s\n%s\n", cli_text(root, "model"), cli_text(root, "version"),
                 (unsigned long long)yyjson_get_uint(count), choices != NULL ? "answers" : "rows",
                 cli_text(root, "time"), is_same ? "the same bits" : "DIFFERENT BITS");
    yyjson_doc_free(doc);
}

static int run(cli *self)
{
    tapeout_replay_options options;
    tapeout_replay_options_init(&options);
    options.receipt = self->arguments[0];
    options.bundle = cli_value(self, "bundle");
    options.input = cli_value(self, "input");
    char *json = NULL;
    const tapeout_status status = tapeout_replay(self->context, &options, &json, &self->err);
    if (json != NULL && self->is_json) {
        (void)cli_print_json(self, json);
    } else if (json != NULL) {
        print_answer(json);
        tapeout_text_free(self->context, json);
    }
    return status == TAPEOUT_OK ? 0 : cli_failure(self);
}

const cli_verb cli_verb_replay = {
    .name = "replay",
    .arguments = "RECEIPT",
    .summary = "run a recorded prediction again and compare the bits",
    .text = "RECEIPT is the number of an entry of kind prediction in HOME's audit log, or a file "
            "with\n"
            "one. A server writes such entries with serve --receipts. Exits 1 where the bits "
            "differ.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
