// SPDX-License-Identifier: Apache-2.0
//
// tapeout inspect: what is in a bundle.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/import.h>
#include <tapeout/model.h>
#include <yyjson.h>

static void print_columns(yyjson_val *schema)
{
    size_t index = 0;
    size_t count = 0;
    yyjson_val *column = NULL;
    yyjson_val *target = yyjson_obj_get(schema, "target");
    (void)printf("target   %s (%s, %s)\ncolumns\n", cli_text(target, "name"),
                 cli_text(target, "task"), cli_text(target, "type"));
    yyjson_arr_foreach(yyjson_obj_get(schema, "columns"), index, count, column)
    {
        (void)printf("  %-24s %s\n", cli_text(column, "name"), cli_text(column, "type"));
    }
}

static void print_model(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *learner = yyjson_obj_get(root, "learner");
    (void)printf("name     %s\nkind     %s\nsha256   %s\n", cli_text(root, "name"),
                 cli_text(root, "kind"), cli_text(root, "sha256"));
    (void)printf("signed   %s\n", cli_text(root, "signed"));
    (void)printf("learner  %s, %s", cli_text(learner, "kind"), cli_text(learner, "objective"));
    if (yyjson_obj_get(learner, "trees") != NULL) {
        (void)printf(", %llu trees, %llu leaves",
                     (unsigned long long)yyjson_get_uint(yyjson_obj_get(learner, "trees")),
                     (unsigned long long)yyjson_get_uint(yyjson_obj_get(learner, "leaves")));
    }
    (void)putchar('\n');
    print_columns(yyjson_obj_get(root, "schema"));
    (void)printf("features\n%s\n", cli_text(root, "program"));
    yyjson_doc_free(doc);
}

static void print_llm(const char *json)
{
    static const struct {
        const char *label;
        const char *key;
    } numbers[] = {{"parameters", "parameters"},
                   {"context", "context_length"},
                   {"layers", "layers"},
                   {"width", "width"},
                   {"bytes", "weight_bytes"}};
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *tokenizer = yyjson_obj_get(root, "tokenizer");
    const char *remark = cli_text(root, "remark");
    (void)printf("name         %s\nkind         %s\nsha256       %s\n", cli_text(root, "name"),
                 cli_text(root, "kind"), cli_text(root, "sha256"));
    const char *signer = cli_text(root, "signed");
    (void)printf("signed       %s\narchitecture %s%s%s\n", signer[0] == 0 ? "unsigned" : signer,
                 cli_text(root, "architecture"), remark[0] == 0 ? "" : ", ", remark);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        (void)printf("%-12s %llu\n", numbers[i].label,
                     (unsigned long long)yyjson_get_uint(yyjson_obj_get(root, numbers[i].key)));
    }
    (void)printf("types       ");
    size_t index = 0;
    size_t count = 0;
    yyjson_val *key = NULL;
    yyjson_val *value = NULL;
    yyjson_obj_foreach(yyjson_obj_get(root, "tensor_types"), index, count, key, value)
    {
        (void)printf(" %s x %llu", yyjson_get_str(key), (unsigned long long)yyjson_get_uint(value));
    }
    (void)printf("\ntokenizer    %s %s\nlicence      %s\n", cli_text(tokenizer, "model"),
                 cli_text(tokenizer, "pre"), cli_text(root, "license"));
    yyjson_doc_free(doc);
}

static int run_llm(cli *self)
{
    char *json = NULL;
    if (tapeout_llm_inspect(self->context, self->arguments[0], &json, &self->err) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    if (self->is_json) {
        return cli_print_json(self, json);
    }
    print_llm(json);
    tapeout_text_free(self->context, json);
    return 0;
}

static int run(cli *self)
{
    if (tapeout_is_llm(self->context, self->arguments[0])) {
        return run_llm(self);
    }
    tapeout_model *model = NULL;
    char *json = NULL;
    if (tapeout_model_open(self->context, self->arguments[0], &model, &self->err) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    const tapeout_status status = tapeout_model_inspect(self->context, model, &json, &self->err);
    tapeout_model_close(model);
    return cli_show(self, status, json, print_model);
}

const cli_verb cli_verb_inspect = {
    .name = "inspect",
    .arguments = "MODEL",
    .summary = "what is in a bundle or model file: schema or architecture, lineage, hashes",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
