// SPDX-License-Identifier: Apache-2.0
//
// Reading a training spec: the table of spec_keys.c binds what a table can say, and the rest (the
// forms of `features`, `threshold`, `gates` and so on) is read here.
#include "pipeline/tp_spec.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "bundle/tp_bundle.h"
#include "pipeline/spec_priv.h"
#include "table/tp_value.h"

#include <math.h>
#include <string.h>

static bool is_word(tp_str text, const char *word)
{
    return tp_str_equal(text, tp_str_from(word));
}

static tapeout_status read_features(tp_spec *spec, tapeout_error *err)
{
    const tp_str text = tp_yaml_text(spec->yaml, spec->features_node);
    if (text.data == NULL) {
        return tp_yaml_fail(
            spec->yaml, spec->features_node, err,
            "features is needed: \"auto\", or a program, one \"name = expression\" a "
            "line");
    }
    spec->features_auto = is_word(tp_str_trim(text), "auto");
    spec->features = text;
    return TAPEOUT_OK;
}

static tapeout_status read_types(tp_spec *spec, tapeout_error *err)
{
    const tp_yaml_node node = spec->data.types_node;
    if (node == 0) {
        return TAPEOUT_OK;
    }
    if (!tp_yaml_is_mapping(spec->yaml, node)) {
        return tp_yaml_fail(spec->yaml, node, err, "types is a mapping of column: type");
    }
    const size_t count = tp_yaml_count(spec->yaml, node);
    spec->data.types = tp_arena_array(&spec->arena, count, sizeof(*spec->data.types));
    if (spec->data.types == NULL && count > 0) {
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < count; i++) {
        const tp_yaml_node value = tp_yaml_pair_value(spec->yaml, node, i);
        tp_field *field = &spec->data.types[i];
        field->name = tp_yaml_text(spec->yaml, tp_yaml_pair_key(spec->yaml, node, i));
        if (!tp_type_from_name(tp_yaml_text(spec->yaml, value), &field->type)) {
            return tp_yaml_fail(spec->yaml, value, err,
                                "a type is one of bool, int64, float64, date, timestamp, "
                                "timestamptz, string");
        }
    }
    spec->data.type_count = count;
    return TAPEOUT_OK;
}

static tapeout_status read_split(tp_spec *spec, tapeout_error *err)
{
    tp_spec_data *data = &spec->data;
    const tp_str by = data->split.by;
    const bool has_split =
        by.data != NULL || data->split.test > 0 || data->split.column.data != NULL;
    if (data->test.data != NULL) {
        data->split_by = TP_SPLIT_FILE;
        return has_split ? tp_yaml_fail(spec->yaml, tp_yaml_root(spec->yaml), err,
                                        "data: give a test file or a split, not both")
                         : TAPEOUT_OK;
    }
    if (data->split.test <= 0) {
        data->split.test = 0.2;
    }
    if (by.data == NULL || is_word(by, "random")) {
        data->split_by = TP_SPLIT_RANDOM;
        return TAPEOUT_OK;
    }
    if (!is_word(by, "time") && !is_word(by, "group")) {
        return tp_yaml_fail(spec->yaml, tp_yaml_root(spec->yaml), err,
                            "data: split by \"%.*s\" is not known; use random, time or group",
                            TP_STR_ARGS(by));
    }
    if (data->split.column.data == NULL) {
        return tp_yaml_fail(spec->yaml, tp_yaml_root(spec->yaml), err,
                            "data: split by %.*s needs a column", TP_STR_ARGS(by));
    }
    data->split_by = is_word(by, "time") ? TP_SPLIT_TIME : TP_SPLIT_GROUP;
    return TAPEOUT_OK;
}

static tapeout_status read_data(tp_spec *spec, tapeout_error *err)
{
    tp_spec_data *data = &spec->data;
    const tp_yaml_node root = tp_yaml_root(spec->yaml);
    if ((data->query.data == NULL) == (data->train.data == NULL)) {
        return tp_yaml_fail(spec->yaml, root, err,
                            "data: give either query (one SELECT over files) or train (a file)");
    }
    if (data->delimiter.data != NULL && is_word(data->delimiter, "\\t")) {
        data->delimiter = TP_STR("\t");
    }
    if (data->delimiter.data != NULL && data->delimiter.size != 1) {
        return tp_yaml_fail(spec->yaml, root, err, "data: delimiter must be one byte");
    }
    TP_TRY(read_types(spec, err));
    return read_split(spec, err);
}

static tapeout_status read_pairs(tp_spec *spec, tp_yaml_node node, const char *what,
                                 tp_spec_pairs *ret_pairs, tapeout_error *err)
{
    if (!tp_yaml_is_mapping(spec->yaml, node)) {
        return tp_yaml_fail(spec->yaml, node, err, "%s is a mapping of name: number", what);
    }
    const size_t count = tp_yaml_count(spec->yaml, node);
    tp_spec_pair *items = tp_arena_array(&spec->arena, count, sizeof(*items));
    if (items == NULL && count > 0) {
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < count; i++) {
        items[i].node = tp_yaml_pair_key(spec->yaml, node, i);
        items[i].name = tp_yaml_text(spec->yaml, items[i].node);
        TP_TRY(
            tp_yaml_f64(spec->yaml, tp_yaml_pair_value(spec->yaml, node, i), &items[i].value, err));
    }
    *ret_pairs = (tp_spec_pairs){items, count};
    return TAPEOUT_OK;
}

static tapeout_status read_interactions(tp_spec *spec, tapeout_error *err)
{
    const tp_yaml *yaml = spec->yaml;
    const tp_yaml_node node = spec->model.interactions_node;
    if (!tp_yaml_is_list(yaml, node)) {
        return tp_yaml_fail(yaml, node, err, "interactions is a list of lists of feature names");
    }
    const size_t count = tp_yaml_count(yaml, node);
    spec->model.interactions = tp_arena_array(&spec->arena, count + 1, sizeof(tp_yaml_strings));
    if (spec->model.interactions == NULL) {
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < count; i++) {
        const tp_yaml_node group = tp_yaml_item(yaml, node, i);
        const size_t size = tp_yaml_count(yaml, group);
        tp_str *names = tp_arena_array(&spec->arena, size + 1, sizeof(*names));
        if (names == NULL) {
            return tp_fail_nomem(err);
        }
        for (size_t j = 0; tp_yaml_is_list(yaml, group) && j < size; j++) {
            names[j] = tp_yaml_text(yaml, tp_yaml_item(yaml, group, j));
        }
        spec->model.interactions[i] = (tp_yaml_strings){names, size};
    }
    spec->model.interaction_count = count;
    return TAPEOUT_OK;
}

static tapeout_status read_model(tp_spec *spec, tapeout_error *err)
{
    tp_spec_model *model = &spec->model;
    if (model->learner.data == NULL) {
        model->learner = TP_STR("gbt");
    }
    if (!is_word(model->learner, "gbt") && !is_word(model->learner, "linear")) {
        return tp_yaml_fail(spec->yaml, tp_yaml_root(spec->yaml), err,
                            "model: learner \"%.*s\" is not known; use gbt or linear",
                            TP_STR_ARGS(model->learner));
    }
    if (model->class_weights_node != 0) {
        model->balanced = is_word(tp_yaml_text(spec->yaml, model->class_weights_node), "balanced");
        if (!model->balanced) {
            TP_TRY(read_pairs(spec, model->class_weights_node, "class_weights",
                              &model->class_weights, err));
        }
    }
    if (model->monotone_node != 0) {
        TP_TRY(read_pairs(spec, model->monotone_node, "monotone", &model->monotone, err));
    }
    return model->interactions_node == 0 ? TAPEOUT_OK : read_interactions(spec, err);
}

static tapeout_status read_threshold_rule(tp_spec *spec, tp_str key, tp_yaml_node value,
                                          tapeout_error *err)
{
    tp_threshold_rule *rule = &spec->threshold;
    const tp_str word = tp_yaml_text(spec->yaml, value);
    if (is_word(key, "maximize") && is_word(word, "f1")) {
        rule->kind = TP_THRESHOLD_MAX_F1;
    } else if (is_word(key, "maximize") && is_word(word, "accuracy")) {
        rule->kind = TP_THRESHOLD_MAX_ACCURACY;
    } else if (is_word(key, "maximize") && is_word(word, "youden")) {
        rule->kind = TP_THRESHOLD_MAX_YOUDEN;
    } else if (is_word(key, "min_precision") || is_word(key, "min_recall")) {
        rule->kind =
            is_word(key, "min_recall") ? TP_THRESHOLD_MIN_RECALL : TP_THRESHOLD_MIN_PRECISION;
        return tp_yaml_f64(spec->yaml, value, &rule->value, err);
    } else {
        return tp_yaml_fail(spec->yaml, value, err,
                            "threshold is a number, {maximize: f1 | accuracy | youden}, "
                            "{min_precision: x} or {min_recall: x}");
    }
    return TAPEOUT_OK;
}

static tapeout_status read_threshold(tp_spec *spec, tapeout_error *err)
{
    const tp_yaml_node node = spec->threshold_node;
    spec->has_threshold = node != 0;
    if (tp_yaml_is_mapping(spec->yaml, node) && tp_yaml_count(spec->yaml, node) == 1) {
        return read_threshold_rule(spec,
                                   tp_yaml_text(spec->yaml, tp_yaml_pair_key(spec->yaml, node, 0)),
                                   tp_yaml_pair_value(spec->yaml, node, 0), err);
    }
    spec->threshold.kind = TP_THRESHOLD_FIXED;
    spec->threshold.value = 0.5;
    if (node == 0) {
        return TAPEOUT_OK;
    }
    if (!tp_parse_f64(tp_yaml_text(spec->yaml, node), &spec->threshold.value)) {
        return read_threshold_rule(spec, TP_STR(""), node, err);
    }
    return spec->threshold.value >= 0 && spec->threshold.value <= 1
               ? TAPEOUT_OK
               : tp_yaml_fail(spec->yaml, node, err, "threshold must lie between 0 and 1");
}

// ">= 0.70" or "<= 50".
static tapeout_status read_gate(tp_spec *spec, tp_yaml_node name, tp_yaml_node value,
                                tp_spec_gate *gate, tapeout_error *err)
{
    gate->name = tp_yaml_text(spec->yaml, name);
    gate->text = tp_yaml_text(spec->yaml, value);
    const tp_str text = tp_str_trim(gate->text);
    const bool is_minimum = tp_str_has_prefix(text, TP_STR(">="));
    if (!is_minimum && !tp_str_has_prefix(text, TP_STR("<="))) {
        return tp_yaml_fail(spec->yaml, value, err, "a gate reads \">= number\" or \"<= number\"");
    }
    gate->is_minimum = is_minimum;
    if (!tp_parse_f64(tp_str_trim((tp_str){text.data + 2, text.size - 2}), &gate->bound)) {
        return tp_yaml_fail(spec->yaml, value, err, "a gate reads \">= number\" or \"<= number\"");
    }
    tp_metric metric;
    if (tp_metric_from_word(gate->name, &metric) || is_word(gate->name, "single_row_us")) {
        return TAPEOUT_OK;
    }
    tp_str known[TP_METRIC_COUNT + 1];
    for (int i = 0; i < TP_METRIC_COUNT; i++) {
        known[i] = tp_str_from(tp_metric_word((tp_metric)i));
    }
    known[TP_METRIC_COUNT] = TP_STR("single_row_us");
    const int nearest = tp_str_nearest(gate->name, known, sizeof(known) / sizeof(known[0]));
    return tp_yaml_fail(spec->yaml, name, err, "unknown gate \"%.*s\"%s%s%s",
                        TP_STR_ARGS(gate->name), nearest >= 0 ? "; did you mean \"" : "",
                        nearest >= 0 ? known[nearest].data : "", nearest >= 0 ? "\"?" : "");
}

static tapeout_status read_gates(tp_spec *spec, tapeout_error *err)
{
    const tp_yaml_node node = spec->gates_node;
    if (node == 0) {
        return TAPEOUT_OK;
    }
    if (!tp_yaml_is_mapping(spec->yaml, node)) {
        return tp_yaml_fail(spec->yaml, node, err, "gates is a mapping of figure: \">= number\"");
    }
    const size_t count = tp_yaml_count(spec->yaml, node);
    spec->gates = tp_arena_array(&spec->arena, count + 1, sizeof(*spec->gates));
    if (spec->gates == NULL) {
        return tp_fail_nomem(err);
    }
    for (size_t i = 0; i < count; i++) {
        TP_TRY(read_gate(spec, tp_yaml_pair_key(spec->yaml, node, i),
                         tp_yaml_pair_value(spec->yaml, node, i), &spec->gates[i], err));
    }
    spec->gate_count = count;
    return TAPEOUT_OK;
}

static tapeout_status read_calibration(tp_spec *spec, tapeout_error *err)
{
    const tp_str method = spec->calibration.method;
    if (method.data == NULL || is_word(method, "none")) {
        return TAPEOUT_OK;
    }
    spec->calibration_method = is_word(method, "platt") ? 1 : is_word(method, "isotonic") ? 2 : 0;
    return spec->calibration_method != 0
               ? TAPEOUT_OK
               : tp_yaml_fail(
                     spec->yaml, tp_yaml_root(spec->yaml), err,
                     "calibration: method \"%.*s\" is not known; use platt, isotonic or none",
                     TP_STR_ARGS(method));
}

static tapeout_status check_required(tp_spec *spec, tapeout_error *err)
{
    const tp_yaml_node root = tp_yaml_root(spec->yaml);
    if (spec->name.data == NULL) {
        return tp_yaml_fail(spec->yaml, root, err, "name is needed");
    }
    if (!tp_model_name_is_valid(spec->name)) {
        return tp_yaml_fail(spec->yaml, root, err,
                            "name \"%.*s\" must match [A-Za-z0-9][A-Za-z0-9._-]* and have at most "
                            "%u bytes",
                            TP_STR_ARGS(spec->name), TP_MAX_MODEL_NAME_BYTES);
    }
    if (spec->target.column.data == NULL) {
        return tp_yaml_fail(spec->yaml, root, err, "target: {column: ...} is needed");
    }
    if (spec->task.data != NULL && spec->target.task.data != NULL) {
        return tp_yaml_fail(spec->yaml, root, err, "task stands twice: keep one");
    }
    if (spec->task.data == NULL) {
        spec->task = spec->target.task;
    }
    return TAPEOUT_OK;
}

static tapeout_status read_all(tp_spec *spec, tapeout_error *err)
{
    TP_TRY(tp_yaml_parse(&spec->arena, spec->text, spec->path, &spec->yaml, err));
    if (tp_yaml_root(spec->yaml) == 0) {
        return tp_yaml_fail(spec->yaml, 0, err, "the spec is empty");
    }
    TP_TRY(tp_yaml_bind(spec->yaml, tp_yaml_root(spec->yaml), &tp_spec_table, spec, err));
    TP_TRY(check_required(spec, err));
    TP_TRY(read_data(spec, err));
    TP_TRY(read_features(spec, err));
    TP_TRY(read_model(spec, err));
    TP_TRY(read_threshold(spec, err));
    TP_TRY(read_calibration(spec, err));
    return read_gates(spec, err);
}

static void set_defaults(tp_spec *spec)
{
    tp_gbt_options_init(&spec->model.gbt, TP_OBJECTIVE_SQUARED);
    tp_linear_options_init(&spec->model.linear, TP_OBJECTIVE_SQUARED);
    spec->model.hold_out = 0.1;
    spec->evaluate.bootstrap = 200;
    spec->seed = 1;
}

tapeout_status tp_spec_read(const tapeout_allocator *alloc, const char *path, tp_spec **ret_spec,
                            tapeout_error *err)
{
    tp_spec *spec = tp_alloc_zero(alloc, sizeof(*spec));
    if (spec == NULL) {
        return tp_fail_nomem(err);
    }
    tp_arena_init(&spec->arena, alloc, TP_MAX_SPEC_BYTES * 16);
    set_defaults(spec);
    spec->path = path;
    tp_str text = {NULL, 0};
    tapeout_status status = tp_file_read(alloc, path, TP_MAX_SPEC_BYTES, &text, err);
    if (status == TAPEOUT_OK) {
        spec->text = tp_arena_str(&spec->arena, text);
        char *directory = tp_path_directory(alloc, path);
        if (directory != NULL) {
            spec->directory = tp_arena_str(&spec->arena, tp_str_from(directory)).data;
            tp_free(alloc, directory, strlen(directory) + 1);
        }
        tp_free(alloc, (char *)(uintptr_t)text.data, text.size + 1);
        status = spec->text.data == NULL || spec->directory == NULL ? tp_fail_nomem(err)
                                                                    : read_all(spec, err);
    }
    if (status != TAPEOUT_OK) {
        tp_spec_free(spec);
        return status;
    }
    *ret_spec = spec;
    return TAPEOUT_OK;
}

void tp_spec_free(tp_spec *spec)
{
    if (spec == NULL) {
        return;
    }
    const tapeout_allocator *alloc = spec->arena.alloc;
    tp_yaml_free(spec->yaml);
    tp_arena_deinit(&spec->arena);
    tp_free(alloc, spec, sizeof(*spec));
}
