// SPDX-License-Identifier: Apache-2.0
//
// tapeout sign: puts a signature to a bundle.
#include "cli/cli_passphrase.h"
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/trust.h>
#include <yyjson.h>

static const cli_flag flags[] = {
    {"key", "KEY", "who signs: a key of this home, or the file of a secret key", false},
    {"passphrase-file", "FILE", "the first line of FILE (or TAPEOUT_PASSPHRASE) instead of asking",
     false},
    {"oms", NULL, "write an OpenSSF Model Signing v1.0 bundle, MODEL.oms.sig, with a P-256 key",
     false},
    {"out", "FILE", "write the signature there; default: beside the bundle, or in the registry",
     false},
};

static void print_signature(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    (void)printf("%s %.12s signed by %s (%.16s): %s\n", cli_text(root, "name"),
                 cli_text(root, "sha256"), cli_text(root, "key"), cli_text(root, "key_id"),
                 cli_text(root, "signature"));
    yyjson_doc_free(doc);
}

// Whether the key's file says that it has a passphrase; false after a failure.
static bool read_sealed(cli *self, const char *key, bool *ret_is_sealed)
{
    char *json = NULL;
    if (tapeout_key_show(self->context, key, &json, &self->err) != TAPEOUT_OK) {
        return false;
    }
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    *ret_is_sealed = yyjson_get_bool(yyjson_obj_get(yyjson_doc_get_root(doc), "sealed"));
    yyjson_doc_free(doc);
    tapeout_text_free(self->context, json);
    return true;
}

static int run(cli *self)
{
    cli_passphrase passphrase;
    tapeout_sign_options options;
    bool is_sealed = false;
    char *json = NULL;
    tapeout_sign_options_init(&options);
    options.key = cli_value(self, "key");
    options.out_path = cli_value(self, "out");
    options.is_oms = cli_has(self, "oms");
    if (options.key == NULL) {
        return cli_usage(self, "needs --key: who signs");
    }
    if (!read_sealed(self, options.key, &is_sealed)) {
        return cli_failure(self);
    }
    if (is_sealed) {
        if (!cli_passphrase_read(self, options.key, false, &passphrase)) {
            return CLI_EXIT_FAILURE;
        }
        options.passphrase = passphrase.text;
    }
    const tapeout_status status =
        tapeout_sign(self->context, self->arguments[0], &options, &json, &self->err);
    if (is_sealed) {
        cli_passphrase_wipe(&passphrase);
    }
    return cli_show(self, status, json, print_signature);
}

const cli_verb cli_verb_sign = {
    .name = "sign",
    .arguments = "MODEL",
    .summary = "sign a bundle: its bytes, and what they were made of",
    .text = "The signature is a DSSE envelope around an in-toto statement that names the bundle's\n"
            "SHA-256, the hashes of data, spec and code, parameters, metrics and licence. It\n"
            "lies beside the bundle as MODEL.sig, or in the registry for a registered model. More\n"
            "than one key may sign; each has one signature.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
