// SPDX-License-Identifier: Apache-2.0
//
// tapeout evaluate: a model's metrics on other data that has the target.
#include "cli/verbs.h"

#include <string.h>
#include <tapeout/model.h>
#include <yyjson.h>

static void print_metrics(const char *json)
{
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *intervals = yyjson_obj_get(root, "intervals");
    size_t index = 0;
    size_t count = 0;
    yyjson_val *key = NULL;
    yyjson_val *value = NULL;
    (void)printf("%llu rows\n", (unsigned long long)yyjson_get_uint(yyjson_obj_get(root, "rows")));
    yyjson_obj_foreach(yyjson_obj_get(root, "metrics"), index, count, key, value)
    {
        yyjson_val *interval = yyjson_obj_get(intervals, yyjson_get_str(key));
        (void)printf("  %-20s %10.5f   [%.5f, %.5f]\n", yyjson_get_str(key), yyjson_get_num(value),
                     yyjson_get_num(yyjson_arr_get_first(interval)),
                     yyjson_get_num(yyjson_arr_get_last(interval)));
    }
    yyjson_doc_free(doc);
}

static int run(cli *self)
{
    tapeout_model *model = NULL;
    char *json = NULL;
    if (tapeout_model_open(self->context, self->arguments[0], &model, &self->err) != TAPEOUT_OK) {
        return cli_failure(self);
    }
    const tapeout_status status =
        tapeout_model_evaluate(self->context, model, self->arguments[1], &json, &self->err);
    tapeout_model_close(model);
    return cli_show(self, status, json, print_metrics);
}

const cli_verb cli_verb_evaluate = {
    .name = "evaluate",
    .arguments = "MODEL DATA",
    .summary = "the metrics of a model on other data with the target",
    .min_arguments = 2,
    .max_arguments = 2,
    .run = run,
};
