// SPDX-License-Identifier: Apache-2.0
//
// tapeout list: what is registered.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/registry.h>
#include <yyjson.h>

static void print_version(const char *name, yyjson_val *version)
{
    char label[160];
    const char *hash = cli_text(version, "sha256");
    (void)snprintf(label, sizeof(label), "%s:%llu", name,
                   (unsigned long long)yyjson_get_uint(yyjson_obj_get(version, "version")));
    (void)printf("%-32s %.12s %10llu  %-25s %s\n", label, hash,
                 (unsigned long long)yyjson_get_uint(yyjson_obj_get(version, "size")),
                 cli_text(version, "created"),
                 yyjson_get_bool(yyjson_obj_get(version, "refused")) ? "refused" : "");
}

static void print_list(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    size_t index = 0;
    size_t count = 0;
    yyjson_val *model = NULL;
    (void)printf("%-32s %-12s %10s  %-25s %s\n", "NAME", "SHA256", "SIZE", "CREATED", "STATE");
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "models"), index, count, model)
    {
        size_t at = 0;
        size_t versions = 0;
        yyjson_val *version = NULL;
        yyjson_arr_foreach(yyjson_obj_get(model, "versions"), at, versions, version)
        {
            print_version(cli_text(model, "name"), version);
        }
    }
    yyjson_doc_free(doc);
}

static int run(cli *self)
{
    char *json = NULL;
    const tapeout_status status = tapeout_registry_list(self->context, &json, &self->err);
    return cli_show(self, status, json, print_list);
}

const cli_verb cli_verb_list = {
    .name = "list",
    .arguments = "",
    .summary = "what is registered",
    .run = run,
};
