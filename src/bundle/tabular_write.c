// SPDX-License-Identifier: Apache-2.0
//
// What a bundle of kind "tabular" holds, section by section: the schema of raw columns and target,
// the feature program as text with its fitted state, the learner, and for people and for monitoring
// the report, the drift baseline, the lineage and the spec. docs/formats/bundle.md has the bytes.
#include "bundle/scorer_priv.h"

#include "base/limits.h"
#include "base/tp_error.h"
#include "table/tp_json.h"

static void append_strings(tp_buffer *text, const tp_str *items, size_t count)
{
    tp_buffer_append_char(text, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            tp_buffer_append_char(text, ',');
        }
        tp_json_append_str(text, items[i]);
    }
    tp_buffer_append_char(text, ']');
}

static void append_fields(tp_buffer *text, const tp_schema *schema)
{
    tp_buffer_append_char(text, '[');
    for (uint32_t i = 0; i < schema->count; i++) {
        tp_buffer_append_text(text, i > 0 ? ",{" : "{");
        tp_json_append_key(text, "name");
        tp_json_append_str(text, schema->fields[i].name);
        tp_json_append_key(text, "type");
        tp_json_append_str(text, tp_str_from(tapeout_type_name(schema->fields[i].type)));
        tp_buffer_append_char(text, '}');
    }
    tp_buffer_append_char(text, ']');
}

static void schema_write(const tp_tabular *tabular, tp_buffer *text)
{
    const tp_target *target = tabular->target;
    tp_buffer_append_char(text, '{');
    tp_json_append_key(text, "columns");
    append_fields(text, tp_feature_schema(tabular->program));
    tp_json_append_key(text, "missing");
    append_strings(text, tabular->missing, tabular->missing_count);
    tp_json_append_key(text, "target");
    tp_buffer_append_char(text, '{');
    tp_json_append_key(text, "classes");
    append_strings(text, target->class_names, target->class_count);
    tp_json_append_key(text, "classes_are_int");
    tp_buffer_append_text(text, target->classes_are_int ? "true" : "false");
    tp_json_append_key(text, "name");
    tp_json_append_str(text, target->name);
    tp_json_append_key(text, "task");
    tp_json_append_str(text, tp_str_from(tp_task_name(target->task)));
    tp_json_append_key(text, "type");
    tp_json_append_str(text, tp_str_from(tapeout_type_name(target->type)));
    tp_buffer_append_text(text, "}}");
}

tapeout_status tp_tabular_write(const tp_env *env, const char *path, const tp_tabular *tabular,
                                tp_sha256 *ret_hash, tapeout_error *err)
{
    tp_buffer schema;
    tp_buffer state;
    tp_buffer model;
    tp_buffer_init(&schema, env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    tp_buffer_init(&state, env->alloc, TP_MAX_BUNDLE_STATE_BYTES);
    tp_buffer_init(&model, env->alloc, TP_MAX_BUNDLE_MODEL_BYTES);
    schema_write(tabular, &schema);
    tp_feature_state_write(tabular->program, &state);
    tp_model_write(tabular->model, &model);
    const tp_bundle_section sections[] = {
        {TP_STR("schema.json"), tp_buffer_view(&schema), 64},
        {TP_STR("features.txt"), tp_feature_text(tabular->program), 64},
        {TP_STR("features.state"), tp_buffer_view(&state), 64},
        {TP_STR("model"), tp_buffer_view(&model), 64},
        {TP_STR("report.json"), tabular->report_json, 64},
        {TP_STR("sketch.json"), tabular->sketch_json, 64},
        {TP_STR("lineage.json"), tabular->lineage_json, 64},
        {TP_STR("spec.yaml"), tabular->spec_text, 64},
    };
    const tp_bundle_content content = {.kind = TP_STR("tabular"),
                                       .name = tabular->name,
                                       .sections = sections,
                                       .section_count = sizeof(sections) / sizeof(sections[0])};
    tapeout_status status = tp_buffer_check(&schema, "bundle schema", err);
    if (status == TAPEOUT_OK) {
        status = tp_buffer_check(&state, "bundle feature state", err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_buffer_check(&model, "bundle model", err);
    }
    if (status == TAPEOUT_OK) {
        status = tp_bundle_write(env, path, &content, ret_hash, err);
    }
    tp_buffer_deinit(&model);
    tp_buffer_deinit(&state);
    tp_buffer_deinit(&schema);
    return status;
}
