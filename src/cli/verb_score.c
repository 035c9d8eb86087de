// SPDX-License-Identifier: Apache-2.0
//
// tapeout score: the log-probabilities that a language model gives to tokens.
#include "cli/verbs.h"

#include "cli/cli_sampling.h"

#include <stdlib.h>
#include <string.h>
#include <tapeout/llm.h>
#include <yyjson.h>

static const cli_flag flags[] = {
    {"ids", "FILE", "the tokens: a JSON array of numbers; - is standard input", false},
    {"top", "K", "with the K likeliest tokens for each place, at most 1000", false},
    CLI_LLM_FLAGS,
};

enum { MAX_IDS_BYTES = 16 << 20, MAX_IDS = 1 << 20 };

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

static int refuse_ids(cli *self, const char *path, size_t index)
{
    (void)snprintf(self->err.message, sizeof(self->err.message),
                   "%s: item %zu is no token id; a whole number from 0 is expected", path, index);
    return cli_failure(self);
}

static int refuse_text(cli *self, const char *path)
{
    (void)snprintf(self->err.message, sizeof(self->err.message),
                   "%s: a JSON array of at most %u whole numbers is expected", path, MAX_IDS);
    return cli_failure(self);
}

static int read_ids(cli *self, uint32_t *ids, size_t *ret_count)
{
    const char *path = cli_value(self, "ids");
    char *text = NULL;
    size_t index = 0;
    size_t count = 0;
    yyjson_val *item = NULL;
    if (tapeout_text_read(self->context, path, MAX_IDS_BYTES, &text, &self->err) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    yyjson_doc *doc = yyjson_read(text, strlen(text), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    tapeout_text_free(self->context, text);
    int status =
        yyjson_is_arr(root) && yyjson_arr_size(root) <= MAX_IDS ? 0 : refuse_text(self, path);
    yyjson_arr_foreach(root, index, count, item)
    {
        if (status == 0 && (!yyjson_is_uint(item) || yyjson_get_uint(item) > UINT32_MAX)) {
            status = refuse_ids(self, path, index);
        }
        if (status != 0) {
            break;
        }
        ids[index] = (uint32_t)yyjson_get_uint(item);
    }
    *ret_count = count;
    yyjson_doc_free(doc);
    return status;
}

static int run(cli *self)
{
    static uint32_t ids[MAX_IDS];
    tapeout_llm *llm = NULL;
    tapeout_llm_options llm_options;
    tapeout_score_options options;
    uint64_t top = 0;
    tapeout_score_options_init(&options);
    if (!cli_has(self, "ids")) {
        return cli_usage(self, "--ids FILE says which tokens");
    }
    if ((cli_has(self, "top") && !cli_number(self, "top", &top)) ||
        !cli_llm_options_read(self, &llm_options)) {
        return CLI_EXIT_USAGE;
    }
    const int status = read_ids(self, ids, &options.id_count);
    if (status != 0) {
        return status;
    }
    options.ids = ids;
    options.top_count = top > UINT32_MAX ? UINT32_MAX : (uint32_t)top;
    options.write = write_stdout;
    if (tapeout_llm_open(self->context, self->arguments[0], &llm_options, &llm, &self->err) !=
        TAPEOUT_OK) {
        return cli_failure(self);
    }
    const tapeout_status scored = tapeout_llm_score(self->context, llm, &options, &self->err);
    tapeout_llm_close(llm);
    return scored == TAPEOUT_OK ? 0 : cli_failure(self);
}

const cli_verb cli_verb_score = {
    .name = "score",
    .arguments = "MODEL",
    .summary = "log-probabilities of given tokens, a JSON line a place",
    .text = "For pos = 1 ... n-1 the natural logarithm of the probability of ids[pos] after "
            "ids[0 ... pos-1],\n"
            "with --top the likeliest tokens there; last pos = n, whose id is null. Nothing is "
            "added to the\n"
            "ids. The figures are the same bits with any number of threads.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
