// SPDX-License-Identifier: Apache-2.0
//
// tapeout alias: words that lead to a version, and where they led before.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/registry.h>
#include <unistd.h>
#include <yyjson.h>

static void print_moves(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    size_t index = 0;
    size_t count = 0;
    yyjson_val *move = NULL;
    (void)printf("%-20s %-10s %8s %8s  %s\n", "ALIAS", "KIND", "FROM", "TO", "WHO");
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "moves"), index, count, move)
    {
        (void)printf("%-20s %-10s %8lld %8lld  %s\n", cli_text(move, "alias"),
                     cli_text(move, "kind"),
                     (long long)yyjson_get_sint(yyjson_obj_get(move, "from")),
                     (long long)yyjson_get_sint(yyjson_obj_get(move, "to")), cli_text(move, "who"));
    }
    yyjson_doc_free(doc);
}

static int run_set(cli *self, const char *who)
{
    char model[TAPEOUT_MODEL_NAME_SIZE + 32];
    (void)snprintf(model, sizeof(model), "%s:%s", self->arguments[1], self->arguments[3]);
    const char *alias = self->arguments[2];
    if (tapeout_registry_alias_set(self->context, model, alias, who, &self->err) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    // Name, alias and version were parsed by the registry, so they need no escapes.
    (void)printf(self->is_json ? "{\"alias\":\"%s\",\"model\":\"%s\"}\n" : "%s is %s\n", alias,
                 model);
    return 0;
}

static int run_remove(cli *self, const char *who)
{
    const char *name = self->arguments[1];
    const char *alias = self->arguments[2];
    if (tapeout_registry_alias_remove(self->context, name, alias, who, &self->err) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    (void)printf(self->is_json ? "{\"removed\":\"%s@%s\"}\n" : "removed %s@%s\n", name, alias);
    return 0;
}

static int run(cli *self)
{
    const char *what = self->arguments[0];
    const int count = self->argument_count;
    char who[64];
    (void)snprintf(who, sizeof(who), "uid %ld", (long)getuid());
    if (count == 4 && strcmp(what, "set") == 0) {
        return run_set(self, who);
    }
    if (count == 3 && strcmp(what, "rm") == 0) {
        return run_remove(self, who);
    }
    if (count <= 3 && strcmp(what, "log") == 0) {
        char *json = NULL;
        const tapeout_status status = tapeout_registry_alias_history(
            self->context, self->arguments[1], count == 3 ? self->arguments[2] : NULL, &json,
            &self->err);
        return cli_show(self, status, json, print_moves);
    }
    return cli_usage(self, "it takes: set NAME ALIAS VERSION, rm NAME ALIAS or log NAME [ALIAS]");
}

const cli_verb cli_verb_alias = {
    .name = "alias",
    .arguments = "set NAME ALIAS VERSION | rm NAME ALIAS | log NAME [ALIAS]",
    .summary = "words that lead to a version, such as staging",
    .text = "NAME@ALIAS is a MODEL like any other. A version that an alias points to cannot be\n"
            "removed, and one that did not pass its gates cannot be pointed to. log prints every\n"
            "move that there was, oldest first.",
    .min_arguments = 2,
    .max_arguments = 4,
    .run = run,
};
