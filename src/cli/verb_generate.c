// SPDX-License-Identifier: Apache-2.0
//
// tapeout generate: a language model's answer to one prompt.
#include "cli/verbs.h"

#include "cli/cli_sampling.h"

#include <string.h>
#include <tapeout/llm.h>

static const cli_flag flags[] = {
    {"prompt", "TEXT", "what to answer; - or left out: standard input", false},
    {"system", "TEXT", "the system's message in front of it", false},
    {"raw", NULL, "go on with the prompt as it is: no chat template", false},
    {"max-tokens", "N", "at most so many tokens; else to the end of the context", false},
    CLI_SAMPLING_FLAGS,
    {"json-schema", "FILE", "the answer is JSON that follows the schema", false},
    {"grammar", "FILE", "the answer follows a GBNF grammar", false},
    {"regex", "PATTERN", "the answer matches a regular expression", false},
    {"json-object", NULL, "the answer is some JSON object", false},
    CLI_LLM_FLAGS,
};

enum { MAX_PROMPT_BYTES = 16 << 20 };

static bool print_text(void *user, const char *text, size_t size)
{
    (void)user;
    return fwrite(text, 1, size, stdout) == size && fflush(stdout) == 0;
}

// Texts that came from files.
typedef struct texts {
    char *prompt;
    char *schema;
    char *grammar;
} texts;

static int read_options(cli *self, tapeout_generate_options *options, texts *files)
{
    uint64_t max_tokens = 0;
    const char *prompt = cli_value(self, "prompt");
    if (cli_has(self, "max-tokens") && !cli_number(self, "max-tokens", &max_tokens)) {
        return CLI_EXIT_USAGE;
    }
    options->max_tokens = max_tokens > UINT32_MAX ? UINT32_MAX : (uint32_t)max_tokens;
    options->system = cli_value(self, "system");
    options->is_raw = cli_has(self, "raw");
    options->regex = cli_value(self, "regex");
    options->json = cli_has(self, "json-object");
    if (options->is_raw && options->system != NULL) {
        return cli_usage(self, "--system needs the chat template, --raw goes without");
    }
    const int status = cli_sampling_read(self, options);
    if (status != 0) {
        return status;
    }
    if (!cli_text_flag(self, "json-schema", &files->schema) ||
        !cli_text_flag(self, "grammar", &files->grammar)) {
        return cli_failure(self);
    }
    options->json_schema = files->schema;
    options->grammar = files->grammar;
    if ((prompt == NULL || strcmp(prompt, "-") == 0) &&
        tapeout_text_read(self->context, "-", MAX_PROMPT_BYTES, &files->prompt, &self->err) !=
            TAPEOUT_OK) {
        return cli_failure(self);
    }
    options->prompt = files->prompt != NULL ? files->prompt : prompt;
    options->prompt_size = strlen(options->prompt);
    return 0;
}

static int generate(cli *self, tapeout_generate_options *options)
{
    tapeout_llm *llm = NULL;
    tapeout_llm_options llm_options;
    char *json = NULL;
    if (!cli_llm_options_read(self, &llm_options)) {
        return CLI_EXIT_USAGE;
    }
    if (tapeout_llm_open(self->context, self->arguments[0], &llm_options, &llm, &self->err) !=
        TAPEOUT_OK) {
        return cli_failure(self);
    }
    options->on_text = self->is_json ? NULL : print_text;
    const tapeout_status status =
        tapeout_llm_generate(self->context, llm, options, &json, &self->err);
    tapeout_llm_close(llm);
    if (status != TAPEOUT_OK) {
        return cli_failure(self);
    }
    if (self->is_json) {
        return cli_print_json(self, json);
    }
    tapeout_text_free(self->context, json);
    (void)putchar('\n');
    return 0;
}

static int run(cli *self)
{
    texts files = {0};
    tapeout_generate_options options;
    tapeout_generate_options_init(&options);
    int status = read_options(self, &options, &files);
    if (status == 0) {
        status = generate(self, &options);
    }
    tapeout_text_free(self->context, files.prompt);
    tapeout_text_free(self->context, files.schema);
    tapeout_text_free(self->context, files.grammar);
    return status;
}

const cli_verb cli_verb_generate = {
    .name = "generate",
    .arguments = "MODEL",
    .summary = "text from a language model",
    .text = "MODEL is a GGUF file, a bundle or a registered name. The prompt is a user's message "
            "that the\n"
            "model's chat template wraps, unless --raw. The same prompt, options and seed give the "
            "same\n"
            "text on every machine and with any number of threads; temperature 0, the default, "
            "takes the\n"
            "likeliest token each time.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
