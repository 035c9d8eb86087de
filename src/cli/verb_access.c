// SPDX-License-Identifier: Apache-2.0
//
// tapeout access: API keys and users of the server. A password is read from standard input or the
// environment, never from the command line, which others can see.
#include "cli/verbs.h"

#include <stdlib.h>
#include <string.h>
#include <tapeout/access.h>
#include <yyjson.h>

enum { DAY_S = 86400, HOUR_S = 3600, MAX_PASSWORD = 4096 };

static const cli_flag flags[] = {
    {"role", "ROLES",
     "viewer, scorer, publisher, approver or admin, for all models; ROLE:MODEL for one; several "
     "with commas",
     false},
    {"tenant", "NAME", "the world that it lives in; default: the operator's own", false},
    {"limit", "LIMITS",
     "so many in so many seconds, such as requests=600/60,tokens=100000/86400; of requests, rows, "
     "tokens",
     false},
    {"days", "N", "when it expires; default: never", false},
    {"overlap", "HOURS", "rotate: how long the old key still holds; default 24", false},
};

static void print_time(const char *text)
{
    (void)printf(" %-20s", text[0] == '\0' ? "-" : text);
}

static void print_identity(yyjson_val *item)
{
    const bool is_key = cli_text(item, "prefix")[0] != '\0';
    (void)printf("%-20s %-12s %-12s %-28s", cli_text(item, "name"),
                 is_key ? cli_text(item, "prefix") : "-", cli_text(item, "tenant"),
                 cli_text(item, "roles"));
    print_time(cli_text(item, "created"));
    print_time(cli_text(item, "expires"));
    print_time(cli_text(item, "revoked"));
    (void)printf(" %s\n", cli_text(item, "limits"));
}

static void print_list(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *item = NULL;
    size_t index = 0;
    size_t count = 0;
    (void)printf("%-20s %-12s %-12s %-28s %-20s %-20s %-20s %s\n", "NAME", "PREFIX", "TENANT",
                 "ROLES", "CREATED", "EXPIRES", "REVOKED", "LIMITS");
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "identities"), index, count, item)
    {
        print_identity(item);
    }
    yyjson_doc_free(doc);
}

// The key alone on stdout, so that it can be taken by $(...).
static void print_one(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *key = cli_text(root, "key");
    const bool is_revoked = cli_text(root, "revoked")[0] != '\0';
    if (key[0] != '\0') {
        (void)fprintf(stderr, "The key of %s, which is told only now:\n", cli_text(root, "name"));
        (void)printf("%s\n", key);
    } else {
        (void)printf("%s %s\n", cli_text(root, "name"), is_revoked ? "is revoked" : "is set");
    }
    yyjson_doc_free(doc);
}

// One line of standard input, or TAPEOUT_PASSWORD.
static bool read_password(char *ret_password, size_t size)
{
    const char *given = getenv("TAPEOUT_PASSWORD");
    if (given != NULL) {
        const size_t length = strlen(given);
        if (length + 1 > size) {
            return false;
        }
        memcpy(ret_password, given, length + 1);
        return true;
    }
    if (fgets(ret_password, (int)size, stdin) == NULL) {
        return false;
    }
    ret_password[strcspn(ret_password, "\r\n")] = '\0';
    return true;
}

static int make(cli *self, tapeout_access_kind kind, const char *name)
{
    char password[MAX_PASSWORD];
    uint64_t days = 0;
    char *json = NULL;
    tapeout_access_spec spec;
    tapeout_access_spec_init(&spec);
    if (!cli_has(self, "role")) {
        return cli_usage(self, "--role says what %s may", name);
    }
    if (cli_has(self, "days") && !cli_number(self, "days", &days)) {
        return CLI_EXIT_USAGE;
    }
    if (kind == TAPEOUT_ACCESS_USER && !read_password(password, sizeof(password))) {
        return cli_usage(self, "the password is one line of standard input, or TAPEOUT_PASSWORD");
    }
    spec.kind = kind;
    spec.name = name;
    spec.tenant = cli_value(self, "tenant");
    spec.roles = cli_value(self, "role");
    spec.limits = cli_value(self, "limit");
    spec.valid_s = days > UINT32_MAX ? UINT64_MAX : days * DAY_S;
    spec.password = kind == TAPEOUT_ACCESS_USER ? password : NULL;
    const tapeout_status status = tapeout_access_new(self->context, &spec, &json, &self->err);
    return cli_show(self, status, json, print_one);
}

static int rotate(cli *self, const char *name)
{
    uint64_t hours = 24;
    char *json = NULL;
    if (cli_has(self, "overlap") && !cli_number(self, "overlap", &hours)) {
        return CLI_EXIT_USAGE;
    }
    const uint64_t overlap_s = hours > UINT32_MAX ? UINT64_MAX : hours * HOUR_S;
    const tapeout_status status =
        tapeout_access_rotate(self->context, name, overlap_s, &json, &self->err);
    return cli_show(self, status, json, print_one);
}

static int set_password(cli *self, const char *name)
{
    char password[MAX_PASSWORD];
    char *json = NULL;
    if (!read_password(password, sizeof(password))) {
        return cli_usage(self, "the password is one line of standard input, or TAPEOUT_PASSWORD");
    }
    const tapeout_status status =
        tapeout_access_password(self->context, name, password, &json, &self->err);
    return cli_show(self, status, json, print_one);
}

static int run(cli *self)
{
    const bool is_user = strcmp(self->arguments[0], "user") == 0;
    const tapeout_access_kind kind = is_user ? TAPEOUT_ACCESS_USER : TAPEOUT_ACCESS_KEY;
    const char *action = self->arguments[1];
    const char *name = self->argument_count > 2 ? self->arguments[2] : NULL;
    const bool is_list = strcmp(action, "list") == 0;
    char *json = NULL;
    if (!is_user && strcmp(self->arguments[0], "key") != 0) {
        return cli_usage(self, "key or user was expected, not \"%s\"", self->arguments[0]);
    }
    if (is_list == (name != NULL)) {
        return cli_usage(self, is_list ? "list takes no name" : "%s needs a name", action);
    }
    if (is_list) {
        const tapeout_status status = tapeout_access_list(self->context, kind, &json, &self->err);
        return cli_show(self, status, json, print_list);
    }
    if (strcmp(action, "new") == 0) {
        return make(self, kind, name);
    }
    if (strcmp(action, "revoke") == 0) {
        const tapeout_status status =
            tapeout_access_revoke(self->context, kind, name, &json, &self->err);
        return cli_show(self, status, json, print_one);
    }
    if (strcmp(action, "rotate") == 0 && !is_user) {
        return rotate(self, name);
    }
    if (strcmp(action, "password") == 0 && is_user) {
        return set_password(self, name);
    }
    return cli_usage(self,
                     "new, list, revoke, rotate (of a key) or password (of a user) was "
                     "expected, not \"%s\"",
                     action);
}

const cli_verb cli_verb_access = {
    .name = "access",
    .arguments = "key|user new|list|rotate|password|revoke [NAME]",
    .summary = "who may use the server: API keys and users",
    .text =
        "  tapeout access key new NAME --role ROLES    prints the key, once\n"
        "  tapeout access key rotate NAME              another key; the old one holds for a day\n"
        "  tapeout access user new NAME --role ROLES   reads the password from standard input\n"
        "Programs send a key as \"Authorization: Bearer tpk_...\", people a name and a password\n"
        "(Basic). What is revoked is refused within a second, without a restart.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 2,
    .max_arguments = 3,
    .run = run,
};
