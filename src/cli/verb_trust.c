// SPDX-License-Identifier: Apache-2.0
//
// tapeout trust: whose signatures are believed here.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/trust.h>
#include <yyjson.h>

static const cli_flag flags[] = {
    {"name", "NAME", "what the key is called here, instead of what its file says", false},
    {"person", "TEXT", "whose key it is, instead of what its file says", false},
    {"from", "DATE", "trust it from then on; default: when it was made", false},
    {"until", "DATE", "trust it until then; default: without end", false},
    {"reason", "TEXT", "why a key is revoked", false},
};

static void print_trust(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    size_t index = 0;
    size_t count = 0;
    yyjson_val *key = NULL;
    (void)printf("%-16s %-16s %-20s %-20s %-24s %s\n", "NAME", "KEY ID", "FROM", "UNTIL", "PERSON",
                 "REVOKED");
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "keys"), index, count, key)
    {
        const char *until = cli_text(key, "valid_until");
        const char *revoked = cli_text(key, "revoked");
        (void)printf("%-16s %.16s %-20s %-20s %-24s %s%s%s\n", cli_text(key, "name"),
                     cli_text(key, "key_id"), cli_text(key, "valid_from"),
                     until[0] == '\0' ? "-" : until, cli_text(key, "person"), revoked,
                     revoked[0] == '\0' ? "" : ": ", cli_text(key, "reason"));
    }
    yyjson_doc_free(doc);
}

static int run_add(cli *self, const char *key)
{
    tapeout_trust_options options;
    char *json = NULL;
    tapeout_trust_options_init(&options);
    options.key = key;
    options.name = cli_value(self, "name");
    options.person = cli_value(self, "person");
    options.from = cli_value(self, "from");
    options.until = cli_value(self, "until");
    const tapeout_status status = tapeout_trust_add(self->context, &options, &json, &self->err);
    return cli_show(self, status, json, print_trust);
}

static int run(cli *self)
{
    const char *what = self->arguments[0];
    const char *key = self->argument_count > 1 ? self->arguments[1] : NULL;
    const char *reason = cli_value(self, "reason");
    char *json = NULL;
    tapeout_status status = TAPEOUT_OK;
    if (key == NULL && strcmp(what, "list") == 0) {
        status = tapeout_trust_show(self->context, &json, &self->err);
        return cli_show(self, status, json, print_trust);
    }
    if (key != NULL && strcmp(what, "add") == 0) {
        return run_add(self, key);
    }
    if (key != NULL && strcmp(what, "revoke") == 0) {
        if (reason == NULL) {
            return cli_usage(self, "revoke wants --reason, for those who ask later");
        }
        status = tapeout_trust_revoke(self->context, key, reason, &json, &self->err);
        return cli_show(self, status, json, print_trust);
    }
    return cli_usage(self, "it takes: add KEY, list or revoke KEY");
}

const cli_verb cli_verb_trust = {
    .name = "trust",
    .arguments = "add KEY | list | revoke KEY",
    .summary = "say whose signatures are believed here",
    .text = "KEY is a key of this home by name, or the file of a public key: what tapeout keys\n"
            "export printed, or PEM. A revoked key stays on the list: what it signed, whenever,\n"
            "is refused from then on. A running server asks again when it reloads.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 1,
    .max_arguments = 2,
    .run = run,
};
