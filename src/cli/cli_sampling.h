// SPDX-License-Identifier: Apache-2.0
//
// What the verbs of language models share: flags of sampling and of opening a model.
#ifndef CLI_SAMPLING_H
#define CLI_SAMPLING_H

#include "cli/cli.h"

#include <tapeout/llm.h>

// Rows of a table of flags.
#define CLI_SAMPLING_FLAGS                                                                         \
    {"temperature", "X", "0: always the likeliest token; 1: the model's own odds", false},         \
        {"top-k", "N", "draw from the N likeliest", false},                                        \
        {"top-p", "X", "draw from the likeliest that together have probability X", false},         \
        {"min-p", "X", "draw from those at least X times as likely as the likeliest", false},      \
        {"typical-p", "X", "draw from the most typical that together have X", false},              \
        {"repeat-penalty", "X", "above 1: tokens of the last 64 become less likely", false},       \
        {"presence-penalty", "X", "taken off the logit of what was said", false},                  \
        {"frequency-penalty", "X", "the same, for each time", false},                              \
        {"seed", "N", "of the draws", false},                                                      \
    {                                                                                              \
        "stop", "TEXT", "ends the answer; may be given several times", true                        \
    }
#define CLI_LLM_FLAGS                                                                              \
    {"context", "N", "tokens of prompt and answer together", false},                               \
        {"kv-bytes", "N", "memory of the key/value cache", false},                                 \
    {                                                                                              \
        "kv", "TYPE", "of the numbers in it: f16, or q8 in half the memory", false                 \
    }

// 0, or the exit status after a usage message.
int cli_sampling_read(cli *self, tapeout_generate_options *options);
bool cli_llm_options_read(cli *self, tapeout_llm_options *options);
// A flag's value as a number; false after a usage message. Left alone where it was not given.
bool cli_real(cli *self, const char *name, double *ret_value);

// The text of the file that a flag names, for tapeout_text_free; NULL where it was not given.
// False: self->err says why.
bool cli_text_flag(cli *self, const char *name, char **ret_text);

#endif
