// SPDX-License-Identifier: Apache-2.0
//
// From a verified bundle to something that answers: schema and target are read, the feature program
// is parsed against the schema and given its fitted state, the learner is validated against what
// the program puts out. Whatever does not fit is refused here, once, so that scoring checks
// nothing.
#include "bundle/scorer_priv.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_json.h"
#include "table/tp_value.h"

static tapeout_status damaged(tapeout_error *err, const char *section, const char *what)
{
    return tp_fail(err, TAPEOUT_E_CORRUPT, "bundle: section \"%s\": %s", section, what);
}

static tapeout_status read_field(tp_scorer *scorer, yyjson_val *value, tp_field *ret_field,
                                 tapeout_error *err)
{
    const tp_str name = tp_json_get_str(value, "name");
    if (name.data == NULL || !tp_type_from_name(tp_json_get_str(value, "type"), &ret_field->type)) {
        return damaged(err, "schema.json", "a column without a name or with an unknown type");
    }
    ret_field->name = tp_arena_str(&scorer->arena, name);
    return ret_field->name.data == NULL ? tp_fail_nomem(err) : TAPEOUT_OK;
}

static tapeout_status read_columns(tp_scorer *scorer, yyjson_val *columns, tapeout_error *err)
{
    const size_t count = yyjson_arr_size(columns);
    if (!yyjson_is_arr(columns) || count > TP_MAX_RAW_COLUMNS) {
        return damaged(err, "schema.json", "\"columns\" is not a list of allowed length");
    }
    tp_field *fields = tp_arena_array(&scorer->arena, count, sizeof(*fields));
    if (fields == NULL) {
        return tp_fail_nomem(err);
    }
    tp_dict names;
    tp_dict_init(&names, scorer->alloc);
    tapeout_status status = TAPEOUT_OK;
    yyjson_arr_iter iter = yyjson_arr_iter_with(columns);
    for (uint32_t i = 0; i < count && status == TAPEOUT_OK; i++) {
        uint32_t index = 0;
        status = read_field(scorer, yyjson_arr_iter_next(&iter), &fields[i], err);
        if (status == TAPEOUT_OK && tp_dict_add(&names, fields[i].name, &index) != TAPEOUT_OK) {
            status = tp_fail_nomem(err);
        } else if (status == TAPEOUT_OK && index != i) {
            status = damaged(err, "schema.json", "two columns have one name");
        }
    }
    tp_dict_deinit(&names);
    scorer->schema = (tp_schema){fields, (uint32_t)count};
    return status;
}

// A list of strings, copied.
static tapeout_status read_strings(tp_scorer *scorer, yyjson_val *list, tp_str **ret_items,
                                   tapeout_error *err)
{
    const size_t count = yyjson_arr_size(list);
    tp_str *items = tp_arena_array(&scorer->arena, count + 1, sizeof(*items));
    if (items == NULL) {
        return tp_fail_nomem(err);
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    for (size_t i = 0; i < count; i++) {
        const tp_str text = tp_json_str(yyjson_arr_iter_next(&iter));
        if (text.data == NULL) {
            return damaged(err, "schema.json", "a list holds something that is not a string");
        }
        items[i] = tp_arena_str(&scorer->arena, text);
        if (items[i].data == NULL) {
            return tp_fail_nomem(err);
        }
    }
    *ret_items = items;
    return TAPEOUT_OK;
}

static tapeout_status read_target(tp_scorer *scorer, yyjson_val *value, tapeout_error *err)
{
    tp_target *target = &scorer->target;
    yyjson_val *classes = yyjson_obj_get(value, "classes");
    const size_t count = yyjson_arr_size(classes);
    target->name = tp_arena_str(&scorer->arena, tp_json_get_str(value, "name"));
    if (!tp_type_from_name(tp_json_get_str(value, "type"), &target->type) ||
        !tp_task_from_name(tp_json_get_str(value, "task"), &target->task) ||
        !yyjson_is_arr(classes) || count > TP_MAX_CLASSES) {
        return damaged(err, "schema.json", "the target is not described as it should be");
    }
    const bool is_class = target->task == TP_TASK_BINARY || target->task == TP_TASK_MULTICLASS;
    if (is_class ? count < 2 || (target->task == TP_TASK_BINARY && count != 2) : count != 0) {
        return damaged(err, "schema.json", "the number of classes does not fit the task");
    }
    tp_str *names = NULL;
    TP_TRY(read_strings(scorer, classes, &names, err));
    if (target->name.data == NULL) {
        return tp_fail_nomem(err);
    }
    target->class_names = names;
    target->class_count = (uint32_t)count;
    target->classes_are_int = yyjson_get_bool(yyjson_obj_get(value, "classes_are_int"));
    return TAPEOUT_OK;
}

static tapeout_status read_schema(tp_scorer *scorer, tapeout_error *err)
{
    const tp_str text = tp_bundle_section_find(scorer->bundle, TP_STR("schema.json"));
    yyjson_doc *doc = NULL;
    TP_TRY(tp_json_parse(scorer->alloc, text, "bundle: section \"schema.json\"", &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    tapeout_status status = read_columns(scorer, yyjson_obj_get(root, "columns"), err);
    if (status == TAPEOUT_OK) {
        status = read_target(scorer, yyjson_obj_get(root, "target"), err);
    }
    yyjson_val *missing = yyjson_obj_get(root, "missing");
    if (status == TAPEOUT_OK && !yyjson_is_arr(missing)) {
        status = damaged(err, "schema.json", "\"missing\" is not a list");
    }
    if (status == TAPEOUT_OK) {
        scorer->missing_count = yyjson_arr_size(missing);
        status = read_strings(scorer, missing, &scorer->missing, err);
    }
    yyjson_doc_free(doc);
    return status;
}

static tapeout_status read_model(const tp_env *env, tp_scorer *scorer, tapeout_error *err)
{
    const tp_str text = tp_bundle_section_find(scorer->bundle, TP_STR("features.txt"));
    const tp_str state = tp_bundle_section_find(scorer->bundle, TP_STR("features.state"));
    const tp_str bytes = tp_bundle_section_find(scorer->bundle, TP_STR("model"));
    TP_TRY(tp_feature_load(env, text, &scorer->schema, state, &scorer->program, err));
    scorer->feature_count = tp_feature_output_count(scorer->program);
    scorer->features =
        tp_arena_array(&scorer->arena, scorer->feature_count, sizeof(*scorer->features));
    if (scorer->features == NULL) {
        return tp_fail_nomem(err);
    }
    for (uint32_t i = 0; i < scorer->feature_count; i++) {
        const tp_feature_output *output = tp_feature_output_at(scorer->program, i);
        scorer->features[i] = (tp_learn_feature){.name = output->name,
                                                 .is_category = output->is_category,
                                                 .category_count = output->category_count};
    }
    TP_TRY(tp_model_read(env, bytes, scorer->features, scorer->feature_count, &scorer->model, err));
    const tp_model_parts *parts = tp_model_view(scorer->model);
    if (parts->task != scorer->target.task || parts->class_count != scorer->target.class_count) {
        return damaged(err, "model", "learner and target disagree on the task");
    }
    return TAPEOUT_OK;
}

static tapeout_status open_parts(const tp_env *env, tp_scorer *scorer, tapeout_error *err)
{
    const tp_str kind = tp_bundle_kind(scorer->bundle);
    if (!tp_str_equal(kind, TP_STR("tabular"))) {
        return tp_fail(err, TAPEOUT_E_UNSUPPORTED, "a bundle of kind \"%.*s\", not a table's model",
                       TP_STR_ARGS(kind));
    }
    TP_TRY(read_schema(scorer, err));
    return read_model(env, scorer, err);
}

tapeout_status tp_scorer_open(const tp_env *env, const char *path, tp_scorer **ret_scorer,
                              tapeout_error *err)
{
    tp_bundle *bundle = NULL;
    TP_TRY(tp_bundle_open(env, path, &bundle, err));
    const tapeout_status status = tp_scorer_from_bundle(env, &bundle, ret_scorer, err);
    if (status == TAPEOUT_E_UNSUPPORTED) {
        tp_error_prefix(err, "%s", path);
    }
    return status;
}

tapeout_status tp_scorer_from_bundle(const tp_env *env, tp_bundle **bundle, tp_scorer **ret_scorer,
                                     tapeout_error *err)
{
    tp_scorer *scorer = tp_alloc_zero(env->alloc, sizeof(*scorer));
    if (scorer == NULL) {
        tp_bundle_close(bundle);
        return tp_fail_nomem(err);
    }
    scorer->alloc = env->alloc;
    scorer->bundle = *bundle;
    *bundle = NULL;
    tp_arena_init(&scorer->arena, env->alloc, TP_MAX_BUNDLE_SCHEMA_BYTES);
    const tapeout_status status = open_parts(env, scorer, err);
    if (status != TAPEOUT_OK) {
        tp_scorer_close(&scorer);
        return status;
    }
    *ret_scorer = scorer;
    return TAPEOUT_OK;
}

void tp_scorer_close(tp_scorer **scorer)
{
    if (*scorer == NULL) {
        return;
    }
    tp_model_free((*scorer)->model);
    tp_feature_program_free((*scorer)->program);
    tp_arena_deinit(&(*scorer)->arena);
    tp_bundle_close(&(*scorer)->bundle);
    tp_free((*scorer)->alloc, *scorer, sizeof(**scorer));
    *scorer = NULL;
}

const tp_bundle *tp_scorer_bundle(const tp_scorer *scorer)
{
    return scorer->bundle;
}

const tp_target *tp_scorer_target(const tp_scorer *scorer)
{
    return &scorer->target;
}

const tp_schema *tp_scorer_schema(const tp_scorer *scorer)
{
    return &scorer->schema;
}

const tp_feature_program *tp_scorer_program(const tp_scorer *scorer)
{
    return scorer->program;
}

const tp_model *tp_scorer_model(const tp_scorer *scorer)
{
    return scorer->model;
}

double tp_scorer_threshold(const tp_scorer *scorer)
{
    return tp_model_view(scorer->model)->threshold;
}

const tp_str *tp_scorer_missing(const tp_scorer *scorer, size_t *ret_count)
{
    *ret_count = scorer->missing_count;
    return scorer->missing;
}
