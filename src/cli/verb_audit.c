// SPDX-License-Identifier: Apache-2.0
//
// tapeout audit: reads, checks and proves what happened.
#include "cli/verbs.h"

#include <errno.h>
#include <string.h>
#include <tapeout/audit.h>
#include <yyjson.h>

static const cli_flag flags[] = {
    {"since", "SEQ", "list: from this entry on", false},
    {"kind", "K", "list: only entries of this kind, such as model or model.promoted", false},
    {"limit", "N", "list: at most so many entries", false},
    {"checkpoint", "FILE", "verify, prove: compare with this checkpoint, kept elsewhere", true},
    {"key", "FILE", "verify, prove: the log's public key as it was kept (HOME/audit/key.pub)",
     false},
    {"size", "N", "prove: in the tree of the first N entries; default: all", false},
    {"from", "M", "prove: and that this tree begins with the first M entries", false},
    {"out", "FILE", "checkpoint: write it here instead of to stdout", false},
};

// The number of a flag, or what stands there already.
static bool read_number(cli *self, const char *name, uint64_t *value)
{
    return !cli_has(self, name) || cli_number(self, name, value);
}

// -- list ----------------------------------------------------------------------------------------
static void print_entry(const char *line, size_t size)
{
    yyjson_doc *doc = yyjson_read(line, size, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    // As it is stored: between `,"what":`, which no string can hold, and `,"leaf":"<16>"}`.
    const char *what = strstr(line, ",\"what\":") + strlen(",\"what\":");
    const size_t end = size - strlen(",\"leaf\":\"0123456789abcdef\"}");
    (void)printf("%8llu  %s  %-18s %-16s %.*s\n",
                 (unsigned long long)yyjson_get_uint(yyjson_obj_get(root, "seq")),
                 cli_text(root, "time"), cli_text(root, "kind"), cli_text(root, "who"),
                 (int)(end - (size_t)(what - line)), what);
    yyjson_doc_free(doc);
}

static tapeout_status write_line(void *user, const char *line, size_t size, tapeout_error *err)
{
    const cli *self = user;
    if (self->is_json) {
        (void)fwrite(line, 1, size, stdout);
    } else {
        print_entry(line, size - 1);
    }
    if (ferror(stdout) != 0) {
        (void)snprintf(err->message, sizeof(err->message), "standard output cannot be written");
        return err->status = TAPEOUT_E_IO;
    }
    return TAPEOUT_OK;
}

static int run_list(cli *self)
{
    tapeout_audit_list_options options;
    tapeout_audit_list_options_init(&options);
    options.kind = cli_value(self, "kind");
    if (!read_number(self, "since", &options.since) ||
        !read_number(self, "limit", &options.limit)) {
        return CLI_EXIT_USAGE;
    }
    const tapeout_status status =
        tapeout_audit_list(self->context, &options, write_line, self, &self->err);
    return status == TAPEOUT_OK ? 0 : cli_failure(self);
}

// -- verify --------------------------------------------------------------------------------------
static void print_result(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *checkpoints = yyjson_obj_get(root, "checkpoints");
    const unsigned long long tail = yyjson_get_uint(yyjson_obj_get(root, "unfinished_bytes"));
    const bool is_good = yyjson_get_bool(yyjson_obj_get(root, "ok"));
    (void)printf("%llu %sentries, %llu a second\nroot  %s\n",
                 (unsigned long long)yyjson_get_uint(yyjson_obj_get(root, "entries")),
                 is_good ? "" : "good ",
                 (unsigned long long)yyjson_get_uint(yyjson_obj_get(root, "records_per_second")),
                 cli_text(root, "root"));
    if (tail > 0) {
        (void)printf("%llu bytes behind them that a crash left; the next entry replaces them\n",
                     tail);
    }
    size_t index = 0;
    size_t count = 0;
    yyjson_val *checkpoint = NULL;
    yyjson_arr_foreach(checkpoints, index, count, checkpoint)
    {
        const bool holds = yyjson_get_bool(yyjson_obj_get(checkpoint, "ok"));
        (void)printf("%s  %s, %llu entries%s%s\n", holds ? "holds" : "FAILS",
                     cli_text(checkpoint, "file"),
                     (unsigned long long)yyjson_get_uint(yyjson_obj_get(checkpoint, "size")),
                     holds ? "" : ": ", cli_text(checkpoint, "reason"));
    }
    (void)puts(is_good ? "the log is what was written" : "THE LOG IS NOT WHAT WAS WRITTEN");
    yyjson_doc_free(doc);
}

static int run_verify(cli *self)
{
    tapeout_audit_verify_options options;
    tapeout_audit_verify_options_init(&options);
    int count = 0;
    options.checkpoints = cli_values(self, "checkpoint", &count);
    options.checkpoint_count = (size_t)count;
    options.key = cli_value(self, "key");
    char *json = NULL;
    const tapeout_status status = tapeout_audit_verify(self->context, &options, &json, &self->err);
    cli_progress_end(self);
    if (json != NULL && self->is_json) {
        (void)cli_print_json(self, json);
    } else if (json != NULL) {
        print_result(json);
        tapeout_text_free(self->context, json);
    }
    return status == TAPEOUT_OK ? 0 : cli_failure(self);
}

// -- prove ---------------------------------------------------------------------------------------
static int run_prove(cli *self)
{
    tapeout_audit_prove_options options;
    tapeout_audit_prove_options_init(&options);
    const char *text = self->argument_count > 1 ? self->arguments[1] : "";
    if (!cli_parse_number(text, &options.sequence)) {
        return cli_usage(self, "prove needs the number of an entry, not \"%s\"", text);
    }
    if (!read_number(self, "size", &options.size) || !read_number(self, "from", &options.from)) {
        return CLI_EXIT_USAGE;
    }
    options.checkpoint = cli_value(self, "checkpoint");
    options.key = cli_value(self, "key");
    char *json = NULL;
    if (tapeout_audit_prove(self->context, &options, &json, &self->err) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    return cli_print_json(self, json);
}

// -- checkpoint ----------------------------------------------------------------------------------
static int write_out(const cli *self, const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    bool is_written = file != NULL && fputs(text, file) != EOF;
    is_written = file != NULL && fclose(file) == 0 && is_written;
    if (!is_written) {
        (void)fprintf(stderr, "tapeout: %s: cannot be written: %s\n", path, strerror(errno));
        return CLI_EXIT_FAILURE;
    }
    if (self->is_json) {
        (void)puts("{\"ok\":true}");
    }
    return 0;
}

static void print_text(const char *text)
{
    (void)fputs(text, stdout);
}

static void print_text_as_json(const char *text)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    (void)yyjson_mut_obj_add_str(doc, root, "checkpoint", text);
    (void)yyjson_mut_write_fp(stdout, doc, 0, NULL, NULL); // stdout is looked at by the caller
    (void)putchar('\n');
    yyjson_mut_doc_free(doc);
}

static int run_checkpoint(cli *self)
{
    char *text = NULL;
    const char *out = cli_value(self, "out");
    if (tapeout_audit_checkpoint(self->context, &text, &self->err) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    cli_progress_end(self);
    int status = 0;
    if (out != NULL) {
        status = write_out(self, out, text);
    } else if (self->is_json) {
        print_text_as_json(text);
    } else {
        print_text(text);
    }
    tapeout_text_free(self->context, text);
    return status;
}

static int run(cli *self)
{
    static const struct {
        const char *name;
        int (*run)(cli *self);
        int arguments;
    } actions[] = {{"list", run_list, 1},
                   {"verify", run_verify, 1},
                   {"prove", run_prove, 2},
                   {"checkpoint", run_checkpoint, 1}};
    const char *name = self->argument_count > 0 ? self->arguments[0] : "list";
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(name, actions[i].name) == 0) {
            return self->argument_count > actions[i].arguments
                       ? cli_usage(self, "%s takes no \"%s\"", name,
                                   self->arguments[actions[i].arguments])
                       : actions[i].run(self);
        }
    }
    return cli_usage(self, "\"%s\" is none of list, verify, prove and checkpoint", name);
}

const cli_verb cli_verb_audit = {
    .name = "audit",
    .arguments = "[list|verify|prove SEQ|checkpoint]",
    .summary = "what happened, provably",
    .text =
        "list prints the entries of HOME's log, with --json as they are stored. verify checks all "
        "of\n"
        "them and exits 1 at the first that is not what was written; an end that was cut off or\n"
        "rewritten shows against a checkpoint that was kept elsewhere. checkpoint signs the log\n"
        "as it is; prove writes the hashes by which anybody can check that an entry stands in it.\n"
        "docs/audit.md says more.",
    .flags = flags,
    .flag_count = sizeof(flags) / sizeof(flags[0]),
    .min_arguments = 0,
    .max_arguments = 2,
    .run = run,
};
