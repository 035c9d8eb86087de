// SPDX-License-Identifier: Apache-2.0
//
// tapeout verify: every byte of a bundle, and its signatures.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/trust.h>
#include <yyjson.h>

static const cli_flag flags[] = {
    {"key", "KEY", "believe this public key alone: a key of this home, or a file", false},
    {"trust", "FILE", "a trust list instead of this home's", false},
    {"oms", NULL, "check an OpenSSF Model Signing v1.0 bundle instead", false},
    {"signature", "FILE", "the signatures; default: beside the bundle, or in the registry", false},
};

static void print_verdict(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    size_t index = 0;
    size_t count = 0;
    yyjson_val *item = NULL;
    (void)printf("%s %s: %s\n", cli_text(root, "name"), cli_text(root, "sha256"),
                 yyjson_get_bool(yyjson_obj_get(root, "verified")) ? "verified" : "not verified");
    yyjson_arr_foreach(yyjson_obj_get(root, "signatures"), index, count, item)
    {
        (void)printf("  %-24s %-16s %.16s %s %s\n", cli_text(item, "state"), cli_text(item, "name"),
                     cli_text(item, "key_id"), cli_text(item, "signed"), cli_text(item, "why"));
    }
    yyjson_doc_free(doc);
}

static int run(cli *self)
{
    tapeout_verify_options options;
    char *json = NULL;
    tapeout_verify_options_init(&options);
    options.key = cli_value(self, "key");
    options.trust = cli_value(self, "trust");
    options.signature = cli_value(self, "signature");
    options.is_oms = cli_has(self, "oms");
    const tapeout_status status =
        tapeout_verify(self->context, self->arguments[0], &options, &json, &self->err);
    // What was checked is told of a bundle that is not trusted, too.
    if (json != NULL) {
        (void)cli_show(self, TAPEOUT_OK, json, print_verdict);
    }
    return status == TAPEOUT_OK ? 0 : cli_failure(self);
}

const cli_verb cli_verb_verify = {
    .name = "verify",
    .arguments = "MODEL",
    .summary = "check every byte of a bundle and who signed it",
    .text = "Needs no network and no server. The exit status is 0 when a trusted key's signature\n"
            "names exactly these bytes and no signature is broken, else 1.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
