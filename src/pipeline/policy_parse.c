// SPDX-License-Identifier: Apache-2.0
//
// Reading a policy: the tables bind what they can say, bounds on metrics are read here.
#include "pipeline/tp_policy.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_value.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// The file, as far as tables can say it.
typedef struct policy_file {
    tp_policy *policy;
    tp_yaml *yaml;
    tp_yaml_strings gated;
    tp_yaml_node metrics;
    tp_yaml_node cohorts;
    double latency_us;
    double size_mb;
    tp_yaml_strings licences;
    uint32_t signatures;
    tp_str drift;
    tp_yaml_strings classification;
    tp_yaml_strings destination;
    tp_str basis;
    tp_yaml_strings screening;
} policy_file;

#define PLACE(field) offsetof(policy_file, field)

static const tp_yaml_key export_keys[] = {
    {.name = "classification", .kind = TP_YAML_STR_LIST, .offset = PLACE(classification)},
    {.name = "destination", .kind = TP_YAML_STR_LIST, .offset = PLACE(destination)},
    {.name = "basis", .kind = TP_YAML_STR, .offset = PLACE(basis)},
    {.name = "screening", .kind = TP_YAML_STR_LIST, .offset = PLACE(screening)},
};
static const tp_yaml_table export_table = {export_keys, COUNT(export_keys)};

static const tp_yaml_key policy_keys[] = {
    {.name = "gated", .kind = TP_YAML_STR_LIST, .offset = PLACE(gated)},
    {.name = "metrics", .kind = TP_YAML_NODE, .offset = PLACE(metrics)},
    {.name = "worst_cohort", .kind = TP_YAML_NODE, .offset = PLACE(cohorts)},
    {.name = "latency_us",
     .kind = TP_YAML_F64,
     .offset = PLACE(latency_us),
     .minimum = 0.001,
     .maximum = 1e12},
    {.name = "size_mb",
     .kind = TP_YAML_F64,
     .offset = PLACE(size_mb),
     .minimum = 0.001,
     .maximum = 1e9},
    {.name = "licences", .kind = TP_YAML_STR_LIST, .offset = PLACE(licences)},
    {.name = "signatures",
     .kind = TP_YAML_U32,
     .offset = PLACE(signatures),
     .minimum = 1,
     .maximum = TP_MAX_POLICY_SIGNATURES},
    {.name = "drift", .kind = TP_YAML_STR, .offset = PLACE(drift)},
    {.name = "export", .kind = TP_YAML_MAP, .table = &export_table},
};
static const tp_yaml_table policy_table = {policy_keys, COUNT(policy_keys)};

static tapeout_status read_metric(const tp_yaml *yaml, tp_yaml_node node, tp_metric *ret_metric,
                                  tapeout_error *err)
{
    const tp_str word = tp_yaml_text(yaml, node);
    if (tp_metric_from_word(word, ret_metric)) {
        return TAPEOUT_OK;
    }
    tp_str known[TP_METRIC_COUNT];
    for (int i = 0; i < TP_METRIC_COUNT; i++) {
        known[i] = tp_str_from(tp_metric_word((tp_metric)i));
    }
    const int nearest = tp_str_nearest(word, known, COUNT(known));
    return tp_yaml_fail(yaml, node, err, "unknown metric \"%.*s\"%s%s%s", TP_STR_ARGS(word),
                        nearest >= 0 ? "; did you mean \"" : "",
                        nearest >= 0 ? known[nearest].data : "", nearest >= 0 ? "\"?" : "");
}

static tapeout_status read_bound(const tp_yaml *yaml, tp_yaml_node node, tp_policy_bound *ret_bound,
                                 tapeout_error *err)
{
    const tp_str text = tp_str_trim(tp_yaml_text(yaml, node));
    ret_bound->text = text;
    ret_bound->is_minimum = tp_str_has_prefix(text, TP_STR(">="));
    if ((!ret_bound->is_minimum && !tp_str_has_prefix(text, TP_STR("<="))) ||
        !tp_parse_f64(tp_str_trim((tp_str){text.data + 2, text.size - 2}), &ret_bound->bound)) {
        return tp_yaml_fail(yaml, node, err, "a bound reads \">= number\" or \"<= number\"");
    }
    return TAPEOUT_OK;
}

static tapeout_status read_bounds(policy_file *file, const char *key, tp_yaml_node node,
                                  tp_policy_bounds *ret_bounds, tapeout_error *err)
{
    const tp_yaml *yaml = file->yaml;
    if (node == 0) {
        return TAPEOUT_OK;
    }
    if (!tp_yaml_is_mapping(yaml, node)) {
        return tp_yaml_fail(yaml, node, err, "%s is a mapping of metric: \">= number\"", key);
    }
    ret_bounds->count = tp_yaml_count(yaml, node);
    ret_bounds->items =
        tp_arena_array(&file->policy->arena, ret_bounds->count + 1, sizeof(*ret_bounds->items));
    if (ret_bounds->items == NULL) {
        return tp_arena_check(&file->policy->arena, "policy", err);
    }
    for (size_t i = 0; i < ret_bounds->count; i++) {
        tp_policy_bound *bound = &ret_bounds->items[i];
        TP_TRY(read_metric(yaml, tp_yaml_pair_key(yaml, node, i), &bound->metric, err));
        TP_TRY(read_bound(yaml, tp_yaml_pair_value(yaml, node, i), bound, err));
        bound->text = tp_arena_str(&file->policy->arena, bound->text);
    }
    return tp_arena_check(&file->policy->arena, "policy", err);
}

// "required" where it must be said, "none" for an alarm: words that a table cannot check.
static tapeout_status read_word(const policy_file *file, const char *key, tp_str word,
                                const char *only, bool *ret_is_set, tapeout_error *err)
{
    *ret_is_set = word.data != NULL;
    if (word.data == NULL || tp_str_equal(word, tp_str_from(only))) {
        return TAPEOUT_OK;
    }
    return tp_yaml_fail(file->yaml, tp_yaml_root(file->yaml), err,
                        "%s may only say \"%s\", not \"%.*s\"", key, only, TP_STR_ARGS(word));
}

static tapeout_status read_file(policy_file *file, tapeout_error *err)
{
    static const tp_str prod = {"prod", 4};
    tp_policy *policy = file->policy;
    const tp_yaml_node root = tp_yaml_root(file->yaml);
    if (root == 0) {
        return tp_yaml_fail(file->yaml, 0, err, "the policy is empty");
    }
    TP_TRY(tp_yaml_bind(file->yaml, root, &policy_table, file, err));
    TP_TRY(read_bounds(file, "metrics", file->metrics, &policy->metrics, err));
    TP_TRY(read_bounds(file, "worst_cohort", file->cohorts, &policy->cohorts, err));
    TP_TRY(read_word(file, "drift", file->drift, "none", &policy->no_alarm, err));
    TP_TRY(read_word(file, "export: basis", file->basis, "required", &policy->exports.basis, err));
    policy->gated = file->gated.items == NULL ? (tp_yaml_strings){&prod, 1} : file->gated;
    policy->latency_us = file->latency_us;
    policy->size_mb = file->size_mb;
    policy->licences = file->licences;
    policy->signatures = file->signatures;
    policy->exports.classification = file->classification;
    policy->exports.destination = file->destination;
    policy->exports.screening = file->screening;
    return TAPEOUT_OK;
}

tapeout_status tp_policy_parse(const tapeout_allocator *alloc, tp_str text, const char *name,
                               tp_policy **ret_policy, tapeout_error *err)
{
    *ret_policy = NULL;
    if (text.size > TP_MAX_POLICY_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%s: a policy may have %u bytes, this one has %zu",
                       name, TP_MAX_POLICY_BYTES, text.size);
    }
    policy_file file = {.policy = tp_alloc_zero(alloc, sizeof(tp_policy))};
    if (file.policy == NULL) {
        return tp_fail_nomem(err);
    }
    tp_arena_init(&file.policy->arena, alloc, (size_t)TP_MAX_POLICY_BYTES * 8);
    tapeout_status status = tp_yaml_parse(&file.policy->arena, text, name, &file.yaml, err);
    if (status == TAPEOUT_OK) {
        status = read_file(&file, err);
    }
    tp_yaml_free(file.yaml);
    if (status != TAPEOUT_OK) {
        tp_policy_free(file.policy);
        return status;
    }
    *ret_policy = file.policy;
    return TAPEOUT_OK;
}

void tp_policy_free(tp_policy *policy)
{
    if (policy != NULL) {
        const tapeout_allocator *alloc = policy->arena.alloc;
        tp_arena_deinit(&policy->arena);
        tp_free(alloc, policy, sizeof(*policy));
    }
}

bool tp_policy_gates(const tp_policy *policy, tp_str alias)
{
    for (size_t i = 0; i < policy->gated.count; i++) {
        if (tp_str_equal(policy->gated.items[i], alias)) {
            return true;
        }
    }
    return false;
}
