// SPDX-License-Identifier: Apache-2.0
//
// tapeout promote, tapeout rollback and tapeout policy: what becomes production.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/gate.h>
#include <yyjson.h>

static void print_value(yyjson_val *value)
{
    if (yyjson_is_str(value)) {
        (void)printf("%-20s ", yyjson_get_str(value));
    } else if (yyjson_is_num(value)) {
        (void)printf("%-20.6g ", yyjson_get_num(value));
    } else {
        (void)printf("%-20s ", "not known");
    }
}

static void print_check(yyjson_val *check)
{
    yyjson_val *cohort = yyjson_obj_get(check, "cohort");
    yyjson_obj_iter at = yyjson_obj_iter_with(cohort);
    yyjson_val *column = yyjson_obj_iter_next(&at);
    (void)printf("  %-24s %-24s ", cli_text(check, "name"), cli_text(check, "want"));
    print_value(yyjson_obj_get(check, "got"));
    (void)printf("%s", yyjson_get_bool(yyjson_obj_get(check, "passed")) ? "passed" : "FAILED");
    if (column != NULL) {
        (void)printf("   %s=%s", yyjson_get_str(column),
                     yyjson_get_str(yyjson_obj_iter_get_val(column)));
    }
    (void)putchar('\n');
}

static unsigned long long version_of(yyjson_val *root, const char *key)
{
    return (unsigned long long)yyjson_get_uint(yyjson_obj_get(root, key));
}

static void print_decision(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *from = yyjson_obj_get(root, "from");
    size_t index = 0;
    size_t count = 0;
    yyjson_val *check = NULL;
    (void)printf("%s:%llu", cli_text(root, "model"), version_of(root, "version"));
    yyjson_val *passed = yyjson_obj_get(root, "passed");
    if (yyjson_obj_get(root, "alias") != NULL) {
        (void)printf("%s %s", yyjson_is_false(passed) ? " stays out of" : " ->",
                     cli_text(root, "alias"));
    }
    if (yyjson_is_uint(from)) {
        (void)printf(" (it led to %llu)", version_of(root, "from"));
    }
    (void)putchar('\n');
    yyjson_arr_foreach(yyjson_obj_get(root, "checks"), index, count, check)
    {
        print_check(check);
    }
    yyjson_doc_free(doc);
}

static int show_decision(cli *self, tapeout_status status, char *json)
{
    if (json != NULL && self->is_json) {
        (void)cli_print_json(self, json);
    } else if (json != NULL) {
        print_decision(json);
        tapeout_text_free(self->context, json);
    }
    return status == TAPEOUT_OK ? 0 : cli_failure(self);
}

static tapeout_decision read_decision(const cli *self)
{
    tapeout_decision decision;
    tapeout_decision_init(&decision);
    decision.model = self->arguments[0];
    decision.alias = self->arguments[1];
    decision.by = cli_value(self, "by");
    decision.reason = cli_value(self, "reason");
    return decision;
}

static const cli_flag decision_flags[] = {
    {"by", "PERSON", "who decides; default: the user that runs the command", false},
    {"reason", "TEXT", "why, for whoever reads the record", false},
};

static int run_promote(cli *self)
{
    const tapeout_decision decision = read_decision(self);
    char *json = NULL;
    const tapeout_status status = tapeout_promote(self->context, &decision, &json, &self->err);
    return show_decision(self, status, json);
}

const cli_verb cli_verb_promote = {
    .name = "promote",
    .arguments = "NAME:VERSION ALIAS",
    .summary = "let an alias such as prod lead to a version, through the gate",
    .text =
        "Holds the policy against the version, keeps what was found as evidence, and moves the\n"
        "alias. Where a check fails nothing moves and the exit status is 1. docs/gate.md says\n"
        "what a policy can ask.",
    .flags = decision_flags,
    .flag_count = sizeof(decision_flags) / sizeof(decision_flags[0]),
    .min_arguments = 2,
    .max_arguments = 2,
    .run = run_promote,
};

static int run_rollback(cli *self)
{
    const tapeout_decision decision = read_decision(self);
    char *json = NULL;
    const tapeout_status status = tapeout_rollback(self->context, &decision, &json, &self->err);
    return show_decision(self, status, json);
}

const cli_verb cli_verb_rollback = {
    .name = "rollback",
    .arguments = "NAME ALIAS",
    .summary = "lead an alias back to where it pointed before",
    .flags = decision_flags,
    .flag_count = sizeof(decision_flags) / sizeof(decision_flags[0]),
    .min_arguments = 2,
    .max_arguments = 2,
    .run = run_rollback,
};

// -- policy --------------------------------------------------------------------------------------
static const cli_flag policy_flags[] = {
    {"by", "PERSON", "who sets it; default: the user that runs the command", false},
};

static void print_policy(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    (void)printf("# set %s by %s, sha256 %.12s\n%s", cli_text(root, "set"), cli_text(root, "by"),
                 cli_text(root, "sha256"), cli_text(root, "policy"));
    yyjson_doc_free(doc);
}

static int run_policy(cli *self)
{
    const char *what = self->arguments[0];
    const char *file = self->argument_count > 1 ? self->arguments[1] : NULL;
    char *json = NULL;
    tapeout_status status = TAPEOUT_OK;
    if (strcmp(what, "show") == 0 && file == NULL) {
        status = tapeout_policy_show(self->context, &json, &self->err);
    } else if (strcmp(what, "set") == 0 && file != NULL) {
        status = tapeout_policy_set(self->context, file, cli_value(self, "by"), &json, &self->err);
    } else if (strcmp(what, "check") == 0 && file != NULL) {
        status = tapeout_gate_check(self->context, file, &json, &self->err);
        return cli_show(self, status, json, print_decision);
    } else {
        return cli_usage(self, "wants show, set FILE or check NAME:VERSION");
    }
    return cli_show(self, status, json, print_policy);
}

const cli_verb cli_verb_policy = {
    .name = "policy",
    .arguments = "show | set FILE | check NAME:VERSION",
    .summary = "what a version must show before it is promoted",
    .text =
        "set makes a file the policy of the home, show prints the one in force, and check holds\n"
        "it against a version and moves nothing. docs/gate.md says what a policy can ask.",
    .flags = policy_flags,
    .flag_count = sizeof(policy_flags) / sizeof(policy_flags[0]),
    .min_arguments = 1,
    .max_arguments = 2,
    .run = run_policy,
};
