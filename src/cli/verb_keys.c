// SPDX-License-Identifier: Apache-2.0
//
// tapeout keys: makes signing keys and shows what is there.
#include "cli/cli_passphrase.h"
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/trust.h>
#include <yyjson.h>

static const cli_flag flags[] = {
    {"person", "TEXT", "whose key it is, as \"Ada Lovelace <ada@example.org>\"", false},
    {"p256", NULL, "ECDSA over P-256 instead of Ed25519, for sign --oms", false},
    {"no-passphrase", NULL, "leave the secret open in its file, which its owner alone may read",
     false},
    {"passphrase-file", "FILE", "the first line of FILE (or TAPEOUT_PASSPHRASE) instead of asking",
     false},
    {"pem", NULL, "export as PEM, for other programs", false},
};

static void print_key(yyjson_val *key)
{
    (void)printf("%-20s %-10s %.16s  %-9s %s\n", cli_text(key, "name"), cli_text(key, "algorithm"),
                 cli_text(key, "key_id"),
                 yyjson_get_bool(yyjson_obj_get(key, "sealed")) ? "sealed" : "open",
                 cli_text(key, "person"));
}

static void print_one(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    print_key(yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
}

static void print_list(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    size_t index = 0;
    size_t count = 0;
    yyjson_val *key = NULL;
    (void)printf("%-20s %-10s %-16s  %-9s %s\n", "NAME", "ALGORITHM", "KEY ID", "SECRET", "PERSON");
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "keys"), index, count, key)
    {
        print_key(key);
    }
    yyjson_doc_free(doc);
}

static int run_new(cli *self, const char *name)
{
    cli_passphrase passphrase;
    tapeout_key_options options;
    char *json = NULL;
    tapeout_key_options_init(&options);
    options.name = name;
    options.person = cli_value(self, "person");
    options.is_p256 = cli_has(self, "p256");
    if (!cli_has(self, "no-passphrase")) {
        if (!cli_passphrase_read(self, name, true, &passphrase)) {
            return CLI_EXIT_FAILURE;
        }
        options.passphrase = passphrase.text;
    }
    const tapeout_status status = tapeout_key_new(self->context, &options, &json, &self->err);
    if (options.passphrase != NULL) {
        cli_passphrase_wipe(&passphrase);
    }
    return cli_show(self, status, json, print_one);
}

static int run_export(cli *self, const char *name)
{
    char *text = NULL;
    if (tapeout_key_export(self->context, name, cli_has(self, "pem"), &text, &self->err) !=
        TAPEOUT_OK) {
        return cli_failure(self);
    }
    (void)fputs(text, stdout);
    tapeout_text_free(self->context, text);
    return 0;
}

static int run(cli *self)
{
    const char *what = self->arguments[0];
    const char *name = self->argument_count > 1 ? self->arguments[1] : NULL;
    char *json = NULL;
    tapeout_status status = TAPEOUT_OK;
    if (strcmp(what, "list") == 0 && name == NULL) {
        status = tapeout_key_list(self->context, &json, &self->err);
        return cli_show(self, status, json, print_list);
    }
    if (name != NULL && strcmp(what, "new") == 0) {
        return run_new(self, name);
    }
    if (name != NULL && strcmp(what, "export") == 0) {
        return run_export(self, name);
    }
    if (name != NULL && strcmp(what, "show") == 0) {
        status = tapeout_key_show(self->context, name, &json, &self->err);
        return cli_show(self, status, json, print_one);
    }
    return cli_usage(self, "it takes: new NAME, list, show NAME or export NAME");
}

const cli_verb cli_verb_keys = {
    .name = "keys",
    .arguments = "new NAME | list | show NAME | export NAME",
    .summary = "make keys that sign models, and show them",
    .text = "A key lies in the home as keys/NAME.key, which its owner alone may read, and\n"
            "keys/NAME.pub, which may go anywhere. Its secret is sealed under a passphrase. The\n"
            "key \"home\" is made by itself: it signs what is trained and imported here. A new\n"
            "key is trusted by nobody until somebody says so: see tapeout trust.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 1,
    .max_arguments = 2,
    .run = run,
};
