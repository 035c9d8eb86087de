// SPDX-License-Identifier: Apache-2.0
//
// Flags of sampling and of models.
#include "cli/cli_sampling.h"

#include <string.h>
#include <yyjson.h>

enum { MAX_TEXT_BYTES = 1 << 20 };

bool cli_real(cli *self, const char *name, double *ret_value)
{
    const char *text = cli_value(self, name);
    yyjson_val value;
    if (text == NULL) {
        return true;
    }
    const char *end = yyjson_read_number(text, &value, 0, NULL, NULL);
    if (end == NULL || *end != '\0') {
        (void)cli_usage(self, "--%s takes a number", name);
        return false;
    }
    *ret_value = yyjson_get_num(&value);
    return true;
}

static bool read_u32(cli *self, const char *name, uint32_t *ret_value)
{
    uint64_t value = 0;
    if (!cli_has(self, name)) {
        return true;
    }
    if (!cli_number(self, name, &value)) {
        return false;
    }
    if (value > UINT32_MAX) {
        (void)cli_usage(self, "--%s is too large", name);
        return false;
    }
    *ret_value = (uint32_t)value;
    return true;
}

int cli_sampling_read(cli *self, tapeout_generate_options *options)
{
    int stop_count = 0;
    options->stops = cli_values(self, "stop", &stop_count);
    options->stop_count = (size_t)stop_count;
    const bool is_good = cli_real(self, "temperature", &options->temperature) &&
                         read_u32(self, "top-k", &options->top_k) &&
                         cli_real(self, "top-p", &options->top_p) &&
                         cli_real(self, "min-p", &options->min_p) &&
                         cli_real(self, "typical-p", &options->typical_p) &&
                         cli_real(self, "repeat-penalty", &options->repeat_penalty) &&
                         cli_real(self, "presence-penalty", &options->presence_penalty) &&
                         cli_real(self, "frequency-penalty", &options->frequency_penalty) &&
                         (!cli_has(self, "seed") || cli_number(self, "seed", &options->seed));
    return is_good ? 0 : CLI_EXIT_USAGE;
}

bool cli_llm_options_read(cli *self, tapeout_llm_options *options)
{
    const char *kv = cli_has(self, "kv") ? cli_value(self, "kv") : "f16";
    tapeout_llm_options_init(options);
    options->kv_is_q8 = strcmp(kv, "q8") == 0;
    if (!options->kv_is_q8 && strcmp(kv, "f16") != 0) {
        (void)cli_usage(self, "--kv is f16 or q8");
        return false;
    }
    return read_u32(self, "context", &options->context_length) &&
           (!cli_has(self, "kv-bytes") || cli_number(self, "kv-bytes", &options->kv_bytes));
}

bool cli_text_flag(cli *self, const char *name, char **ret_text)
{
    const char *path = cli_value(self, name);
    return path == NULL || tapeout_text_read(self->context, path, MAX_TEXT_BYTES, ret_text,
                                             &self->err) == TAPEOUT_OK;
}
