// SPDX-License-Identifier: Apache-2.0
//
// The table of verbs, and what they share: the values of flags, messages and exit statuses.
#include "cli/cli.h"

#include "cli/verbs.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yyjson.h>

static const cli_verb *const verbs[] = {
    &cli_verb_profile,    &cli_verb_train,    &cli_verb_predict,    &cli_verb_evaluate,
    &cli_verb_inspect,    &cli_verb_import,   &cli_verb_quantize,   &cli_verb_generate,
    &cli_verb_chat,       &cli_verb_score,    &cli_verb_embed,      &cli_verb_tokenize,
    &cli_verb_list,       &cli_verb_alias,    &cli_verb_tag,        &cli_verb_rm,
    &cli_verb_backup,     &cli_verb_restore,  &cli_verb_gc,         &cli_verb_sbom,
    &cli_verb_promote,    &cli_verb_rollback, &cli_verb_policy,     &cli_verb_serve,
    &cli_verb_access,     &cli_verb_bench,    &cli_verb_keys,       &cli_verb_trust,
    &cli_verb_sign,       &cli_verb_verify,   &cli_verb_audit,      &cli_verb_replay,
    &cli_verb_doctor,     &cli_verb_version,  &cli_verb_completion, &cli_verb_man,
    &cli_verb_bench_part,
};

const cli_verb *const *cli_verbs(size_t *ret_count)
{
    *ret_count = sizeof(verbs) / sizeof(verbs[0]);
    return verbs;
}

static int flag_index(const cli *self, const char *name)
{
    size_t common_count = 0;
    const cli_flag *common = cli_common_flags(&common_count);
    for (size_t i = 0; i < self->verb->flag_count; i++) {
        if (strcmp(self->verb->flags[i].name, name) == 0) {
            return (int)i;
        }
    }
    for (size_t i = 0; i < common_count; i++) {
        if (strcmp(common[i].name, name) == 0) {
            return (int)(self->verb->flag_count + i);
        }
    }
    return -1;
}

bool cli_has(const cli *self, const char *name)
{
    const int index = flag_index(self, name);
    return index >= 0 && self->value_counts[index] > 0;
}

const char *cli_value(const cli *self, const char *name)
{
    return cli_has(self, name) ? self->values[flag_index(self, name)][0] : NULL;
}

const char *const *cli_values(const cli *self, const char *name, int *ret_count)
{
    const int index = flag_index(self, name);
    *ret_count = self->value_counts[index];
    return self->values[index];
}

bool cli_parse_number(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    bool ok = text != NULL && text[0] != '\0';
    for (const char *c = text; ok && *c != '\0'; c++) {
        const uint64_t digit = (uint64_t)(*c - '0');
        ok = *c >= '0' && *c <= '9' && !__builtin_mul_overflow(value, 10, &value) &&
             !__builtin_add_overflow(value, digit, &value);
    }
    *ret_value = ok ? value : *ret_value;
    return ok;
}

bool cli_number(cli *self, const char *name, uint64_t *ret_value)
{
    if (!cli_parse_number(cli_value(self, name), ret_value)) {
        (void)cli_usage(self, "--%s takes a whole number", name);
        return false;
    }
    return true;
}

int cli_usage(const cli *self, const char *format, ...)
{
    va_list args;
    (void)fprintf(stderr, "tapeout %s: ", self->verb->name);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fprintf(stderr, "; see tapeout %s --help\n", self->verb->name);
    return CLI_EXIT_USAGE;
}

int cli_failure(cli *self)
{
    cli_progress_end(self);
    if (self->err.status == TAPEOUT_E_CANCELLED) {
        (void)fputs("tapeout: interrupted; nothing was written\n", stderr);
        return CLI_EXIT_SIGNAL + (self->signal_number != 0 ? (int)self->signal_number : SIGINT);
    }
    if (cli_stdout_is_closed()) {
        return CLI_EXIT_SIGNAL + SIGPIPE; // whoever read has seen enough
    }
    (void)fprintf(stderr, "tapeout: %s\n", self->err.message);
    return CLI_EXIT_FAILURE;
}

bool cli_stdout_is_closed(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    struct stat about;
    return fstat(STDOUT_FILENO, &about) == 0 && S_ISFIFO(about.st_mode) && poll(&out, 1, 0) == 1 &&
           (out.revents & POLLERR) != 0;
}

int cli_print_json(cli *self, char *json)
{
    cli_progress_end(self);
    (void)puts(json);
    tapeout_text_free(self->context, json);
    return 0;
}

int cli_show(cli *self, tapeout_status status, char *json, void (*print)(const char *json))
{
    if (status != TAPEOUT_OK) {
        return cli_failure(self);
    }
    if (self->is_json) {
        return cli_print_json(self, json);
    }
    cli_progress_end(self);
    print(json);
    tapeout_text_free(self->context, json);
    return 0;
}

const char *cli_text(struct yyjson_val *object, const char *key)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    return text == NULL ? "" : text;
}
