// SPDX-License-Identifier: Apache-2.0
//
// tapeout embed: a vector for each line of text.
#include "cli/verbs.h"

#include "cli/cli_sampling.h"

#include <stdlib.h>
#include <string.h>
#include <tapeout/llm.h>
#include <yyjson.h>

static const cli_flag flags[] = {
    {"text", "TEXT", "what to embed; may be given several times. Else lines of standard input",
     true},
};

enum { MAX_TEXTS = 4096, MAX_INPUT_BYTES = 16 << 20 };

static size_t split_lines(char *text, const char **lines)
{
    size_t count = 0;
    for (char *line = text; *line != '\0' && count < MAX_TEXTS;) {
        char *end = strchr(line, '\n');
        lines[count++] = line;
        if (end == NULL) {
            break;
        }
        *end = '\0';
        line = end + 1;
    }
    return count;
}

// One vector a line, as JSON.
static void print_vectors(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *vectors = yyjson_obj_get(yyjson_doc_get_root(doc), "embeddings");
    size_t i = 0;
    size_t count = 0;
    yyjson_val *vector = NULL;
    yyjson_arr_foreach(vectors, i, count, vector)
    {
        (void)yyjson_val_write_fp(stdout, vector, 0, NULL, NULL);
        (void)putchar('\n');
    }
    yyjson_doc_free(doc);
}

static int embed(cli *self, const char *const *texts, size_t count)
{
    tapeout_llm *llm = NULL;
    tapeout_llm_options options;
    char *json = NULL;
    tapeout_llm_options_init(&options);
    if (tapeout_llm_open(self->context, self->arguments[0], &options, &llm, &self->err) !=
        TAPEOUT_OK) {
        return cli_failure(self);
    }
    const tapeout_status status =
        tapeout_llm_embed(self->context, llm, texts, count, &json, &self->err);
    tapeout_llm_close(llm);
    if (status != TAPEOUT_OK) {
        return cli_failure(self);
    }
    if (self->is_json) {
        return cli_print_json(self, json);
    }
    print_vectors(json);
    tapeout_text_free(self->context, json);
    return 0;
}

static int run(cli *self)
{
    static const char *lines[MAX_TEXTS];
    int count = 0;
    const char *const *texts = cli_values(self, "text", &count);
    char *input = NULL;
    if (count > 0) {
        return embed(self, texts, (size_t)count);
    }
    if (tapeout_text_read(self->context, "-", MAX_INPUT_BYTES, &input, &self->err) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    const size_t size = strlen(input);
    const size_t line_count = split_lines(input, lines);
    const int status = line_count == 0
                           ? cli_usage(self, "no text; give --text or lines on standard input")
                           : embed(self, lines, line_count);
    for (size_t i = 0; i < size; i++) {
        input[i] = input[i] == '\0' ? '\n' : input[i]; // whole again, as it is given back
    }
    tapeout_text_free(self->context, input);
    return status;
}

const cli_verb cli_verb_embed = {
    .name = "embed",
    .arguments = "MODEL",
    .summary = "a vector of length one for each text",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
