// SPDX-License-Identifier: Apache-2.0
//
// The bill of materials of a model, made of what inspecting it says: a component with a model card,
// the data that it was made of by hash, and how it was made. What a bundle does not know is left
// out and never guessed.
#include "base/limits.h"
#include "base/tp_context.h"
#include "base/tp_error.h"
#include "pipeline/sbom_write.h"
#include "table/tp_json.h"

#include <string.h>
#include <tapeout/import.h>
#include <tapeout/model.h>
#include <tapeout/sbom.h>

static tp_str text_at(yyjson_val *object, const char *key)
{
    yyjson_val *value = yyjson_obj_get(object, key);
    return yyjson_is_str(value) ? (tp_str){yyjson_get_str(value), yyjson_get_len(value)}
                                : (tp_str){"", 0};
}

static bool is_llm(yyjson_val *root)
{
    return tp_str_equal(text_at(root, "kind"), TP_STR("llm"));
}

// -- the model card ------------------------------------------------------------------------------
static void append_parameters(tp_buffer *json, yyjson_val *root)
{
    yyjson_val *target = yyjson_obj_get(yyjson_obj_get(root, "schema"), "target");
    const tp_str learner = text_at(yyjson_obj_get(root, "learner"), "kind");
    tp_buffer_append_text(json, "\"modelParameters\":{");
    if (is_llm(root)) {
        const bool embeds = tp_str_equal(text_at(root, "architecture"), TP_STR("bert"));
        tp_sbom_text(json, "task", embeds ? TP_STR("embedding") : TP_STR("text generation"));
        tp_sbom_text(json, "architectureFamily", TP_STR("transformer"));
        tp_sbom_text(json, "modelArchitecture", text_at(root, "architecture"));
    } else {
        tp_buffer_append_text(json, "\"approach\":{\"type\":\"supervised\"}");
        tp_sbom_text(json, "task", text_at(target, "task"));
        tp_sbom_text(json, "architectureFamily",
                     tp_str_equal(learner, TP_STR("gbt")) ? TP_STR("gradient-boosted trees")
                                                          : TP_STR("linear"));
        tp_sbom_text(json, "modelArchitecture", learner);
    }
    if (text_at(yyjson_obj_get(root, "lineage"), "data_sha256").size > 0) {
        tp_buffer_append_text(json, ",\"datasets\":[{\"ref\":\"data\"}]");
    }
    tp_buffer_append_char(json, '}');
}

static void append_number_as_text(tp_buffer *json, const char *key, yyjson_val *value)
{
    tp_json_append_key(json, key);
    tp_buffer_append_char(json, '"');
    tp_json_append_f64(json, yyjson_get_num(value));
    tp_buffer_append_char(json, '"');
}

static void append_metrics(tp_buffer *json, yyjson_val *report)
{
    yyjson_val *intervals = yyjson_obj_get(report, "intervals");
    yyjson_val *name = NULL;
    yyjson_val *value = NULL;
    size_t index = 0;
    size_t count = 0;
    tp_buffer_append_text(json, ",\"quantitativeAnalysis\":{\"performanceMetrics\":[");
    yyjson_obj_foreach(yyjson_obj_get(report, "metrics"), index, count, name, value)
    {
        yyjson_val *interval = yyjson_obj_get(intervals, yyjson_get_str(name));
        tp_buffer_append_text(json, index == 0 ? "{" : ",{");
        tp_sbom_text(json, "type", (tp_str){yyjson_get_str(name), yyjson_get_len(name)});
        append_number_as_text(json, "value", value);
        tp_sbom_text(json, "slice", TP_STR("test"));
        if (yyjson_arr_size(interval) == 2) {
            tp_buffer_append_text(json, ",\"confidenceInterval\":{");
            append_number_as_text(json, "lowerBound", yyjson_arr_get(interval, 0));
            append_number_as_text(json, "upperBound", yyjson_arr_get(interval, 1));
            tp_buffer_append_char(json, '}');
        }
        tp_buffer_append_char(json, '}');
    }
    tp_buffer_append_text(json, "]}");
}

// A licence that is one word may be an SPDX identifier, but who wrote it may have meant another, so
// it stands as a name.
static void append_licence(tp_buffer *json, yyjson_val *root)
{
    tp_str licence = text_at(root, is_llm(root) ? "licence_text" : "licence");
    size_t size = 0;
    while (size < licence.size && licence.data[size] != '\n') {
        size++;
    }
    licence = tp_str_trim((tp_str){licence.data, size});
    if (licence.size > 0) {
        tp_buffer_append_text(json, ",\"licenses\":[{\"license\":{");
        tp_sbom_text(json, "name", licence);
        tp_buffer_append_text(json, "}}]");
    }
}

static void append_model(tp_buffer *json, yyjson_val *root)
{
    char version[24] = "";
    yyjson_val *number = yyjson_obj_get(root, "version");
    if (yyjson_is_uint(number)) {
        (void)snprintf(version, sizeof(version), "%llu",
                       (unsigned long long)yyjson_get_uint(number));
    }
    const sbom_component model = {.type = "machine-learning-model",
                                  .ref = "model",
                                  .name = text_at(root, "name"),
                                  .version = tp_str_from(version),
                                  .sha256 = text_at(root, "sha256")};
    tp_sbom_component_open(json, &model);
    append_licence(json, root);
    tp_buffer_append_text(json, ",\"modelCard\":{");
    append_parameters(json, root);
    yyjson_val *report = yyjson_obj_get(root, "report");
    if (yyjson_is_obj(yyjson_obj_get(report, "metrics"))) {
        append_metrics(json, report);
    }
    tp_buffer_append_text(json, "}}");
}

// -- where it comes from -------------------------------------------------------------------------
// What the lineage has a hash of; a table's data and a language model's source are data.
static const struct {
    const char *key;
    const char *ref;
    const char *type;
    const char *name;
} origins[] = {{"data_sha256", "data", "data", "training data"},
               {"source_sha256", "source", "machine-learning-model", "source of the import"},
               {"spec_sha256", "spec", "file", "specification of the training"},
               {"code_sha256", "code", "file", "sources of tapeout that trained it"}};

enum { ORIGIN_COUNT = sizeof(origins) / sizeof(origins[0]) };

static void append_origins(tp_buffer *json, yyjson_val *lineage)
{
    bool is_first = true;
    for (int i = 0; i < ORIGIN_COUNT; i++) {
        const sbom_component origin = {.type = origins[i].type,
                                       .ref = origins[i].ref,
                                       .name = tp_str_from(origins[i].name),
                                       .sha256 = text_at(lineage, origins[i].key)};
        if (origin.sha256.size == 2 * 32) {
            tp_buffer_append_text(json, is_first ? "" : ",");
            tp_sbom_component(json, &origin);
            is_first = false;
        }
    }
}

static void append_dependencies(tp_buffer *json, yyjson_val *lineage)
{
    bool is_first = true;
    tp_buffer_append_text(json, "],\"dependencies\":[{\"ref\":\"model\",\"dependsOn\":[");
    for (int i = 0; i < ORIGIN_COUNT; i++) {
        if (text_at(lineage, origins[i].key).size == 2 * 32) {
            tp_buffer_append_text(json, is_first ? "" : ",");
            tp_json_append_str(json, tp_str_from(origins[i].ref));
            is_first = false;
        }
    }
    tp_buffer_append_text(json, "]}]");
}

// How it was made: the program and what it was told.
static void append_formulation(tp_buffer *json, yyjson_val *root)
{
    yyjson_val *lineage = yyjson_obj_get(root, "lineage");
    yyjson_val *seed = yyjson_obj_get(lineage, "seed");
    const sbom_component program = {.type = "application",
                                    .ref = "tapeout",
                                    .name = TP_STR("tapeout"),
                                    .version = text_at(lineage, "tapeout"),
                                    .licence = "Apache-2.0"};
    tp_buffer_append_text(json, ",\"formulation\":[{\"components\":[");
    tp_sbom_component(json, &program);
    tp_buffer_append_text(json, "],\"workflows\":[{\"bom-ref\":\"making\",\"uid\":\"making\"");
    tp_sbom_text(json, "name", is_llm(root) ? TP_STR("import") : TP_STR("train"));
    tp_buffer_append_text(json, ",\"taskTypes\":[\"build\"]");
    if (yyjson_is_uint(seed)) {
        tp_buffer_printf(json, ",\"properties\":[{\"name\":\"seed\",\"value\":\"%llu\"}]",
                         (unsigned long long)yyjson_get_uint(seed));
    }
    tp_buffer_append_text(json, "}]}]}");
}

static tapeout_status inspect(tapeout_context *context, const char *name, char **ret_json,
                              tapeout_error *err)
{
    if (tapeout_is_llm(context, name)) {
        return tapeout_llm_inspect(context, name, ret_json, err);
    }
    tapeout_model *model = NULL;
    TP_TRY(tapeout_model_open(context, name, &model, err));
    const tapeout_status status = tapeout_model_inspect(context, model, ret_json, err);
    tapeout_model_close(model);
    return status;
}

tapeout_status tapeout_sbom_model(tapeout_context *context, const char *model, char **ret_json,
                                  tapeout_error *err)
{
    const tapeout_allocator *alloc = tp_context_env(context)->alloc;
    char *facts = NULL;
    tp_buffer json;
    TP_TRY(inspect(context, model, &facts, err));
    yyjson_doc *doc = NULL;
    const tapeout_status status = tp_json_parse(alloc, tp_str_from(facts), "inspect", &doc, err);
    if (status != TAPEOUT_OK) {
        tapeout_text_free(context, facts);
        return status;
    }
    yyjson_val *root = yyjson_doc_get_root(doc);
    tp_buffer_init(&json, alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    tp_sbom_begin(&json);
    append_model(&json, root);
    tp_buffer_append_text(&json, "},\"components\":[");
    append_origins(&json, yyjson_obj_get(root, "lineage"));
    append_dependencies(&json, yyjson_obj_get(root, "lineage"));
    append_formulation(&json, root);
    yyjson_doc_free(doc);
    tapeout_text_free(context, facts);
    return tp_text_from_buffer(&json, "sbom", ret_json, err);
}
