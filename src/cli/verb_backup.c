// SPDX-License-Identifier: Apache-2.0
//
// tapeout backup, restore and gc: the upkeep of a registry.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/registry.h>
#include <yyjson.h>

static unsigned long long number(yyjson_doc *doc, const char *key)
{
    return (unsigned long long)yyjson_get_uint(yyjson_obj_get(yyjson_doc_get_root(doc), key));
}

static void print_copied(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    (void)printf("%llu blobs, %llu bytes, each checked against its hash\n", number(doc, "blobs"),
                 number(doc, "bytes"));
    yyjson_doc_free(doc);
}

static void print_collected(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    (void)printf("removed %llu blobs of %llu bytes that nobody names; %llu are kept\n",
                 number(doc, "removed"), number(doc, "removed_bytes"), number(doc, "kept"));
    yyjson_doc_free(doc);
}

static int run_backup(cli *self)
{
    char *json = NULL;
    const tapeout_status status =
        tapeout_registry_backup(self->context, self->arguments[0], &json, &self->err);
    return cli_show(self, status, json, print_copied);
}

const cli_verb cli_verb_backup = {
    .name = "backup",
    .arguments = "DIR",
    .summary = "copy the registry and the bytes of its models, while others use it",
    .text = "DIR may hold an earlier backup: bytes that are there already are not copied again.\n"
            "It is a backup once backup.json is there, which is written last. Keys and the audit\n"
            "log are files of the home and are not part of it.",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_backup,
};

static int run_restore(cli *self)
{
    char *json = NULL;
    const tapeout_status status =
        tapeout_registry_restore(self->context, self->arguments[0], &json, &self->err);
    return cli_show(self, status, json, print_copied);
}

const cli_verb cli_verb_restore = {
    .name = "restore",
    .arguments = "DIR",
    .summary = "put a backup into a home without a registry",
    .text = "Every byte is checked against its hash before the registry is there.",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_restore,
};

static const cli_flag collect_flags[] = {
    {"grace", "SECONDS", "keep what is younger; default: 3600", false},
};

static int run_collect(cli *self)
{
    uint64_t grace = 3600;
    if (cli_has(self, "grace") && !cli_number(self, "grace", &grace)) {
        return CLI_EXIT_USAGE;
    }
    char *json = NULL;
    const tapeout_status status = tapeout_registry_collect(self->context, grace, &json, &self->err);
    return cli_show(self, status, json, print_collected);
}

const cli_verb cli_verb_gc = {
    .name = "gc",
    .arguments = "",
    .summary = "remove bytes that no version names any more",
    .text = "What a crash or a failure left behind. It may run while others register.",
    .flags = collect_flags,
    .flag_count = sizeof(collect_flags) / sizeof(collect_flags[0]),
    .run = run_collect,
};
