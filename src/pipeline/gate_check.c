// SPDX-License-Identifier: Apache-2.0
//
// A policy against the facts, one check after another. What cannot be found out does not pass, and
// the evidence says why.
#include "pipeline/tp_gate.h"

#include "base/limits.h"
#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "base/tp_file.h"
#include "bundle/tp_bundle.h"
#include "table/tp_json.h"
#include "table/tp_value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <yyjson.h>

typedef struct gate {
    const tp_env *env;
    const tp_policy *policy;
    const tp_gate_facts *facts;
    yyjson_val *report; // NULL: none
    tp_buffer *json;
    uint32_t check_count;
    bool passed;
} gate;

// -- evidence ------------------------------------------------------------------------------------
static void begin_check(gate *self, const char *name, const char *part, tp_str want)
{
    char full[96];
    (void)snprintf(full, sizeof(full), "%s%s%s", name, *part == '\0' ? "" : ".", part);
    tp_buffer_append_text(self->json, self->check_count++ > 0 ? ",{" : "{");
    tp_json_append_key(self->json, "name");
    tp_json_append_str(self->json, tp_str_from(full));
    tp_json_append_key(self->json, "want");
    tp_json_append_str(self->json, want);
    tp_json_append_key(self->json, "got");
}

static void end_check(gate *self, bool passed)
{
    tp_json_append_key(self->json, "passed");
    tp_buffer_append_text(self->json, passed ? "true}" : "false}");
    self->passed = self->passed && passed;
}

static void end_number(gate *self, double got, bool passed)
{
    if (isnan(got)) {
        tp_buffer_append_text(self->json, "null");
    } else {
        tp_json_append_f64(self->json, got);
    }
    end_check(self, passed);
}

static void end_text(gate *self, tp_str got, bool passed)
{
    tp_json_append_str(self->json, got);
    end_check(self, passed);
}

static void check_at_most(gate *self, const char *name, double most, double got)
{
    char want[48];
    if (most > 0) {
        (void)snprintf(want, sizeof(want), "<= %g", most);
        begin_check(self, name, "", tp_str_from(want));
        end_number(self, got, got <= most);
    }
}

// -- figures -------------------------------------------------------------------------------------
static double number_of(yyjson_val *metrics, tp_metric metric)
{
    yyjson_val *value = yyjson_obj_get(metrics, tp_metric_word(metric));
    return yyjson_is_num(value) ? yyjson_get_num(value) : NAN;
}

static bool keeps(const tp_policy_bound *bound, double got)
{
    return bound->is_minimum ? got >= bound->bound : got <= bound->bound; // false for NaN
}

static void check_metrics(gate *self)
{
    yyjson_val *metrics = yyjson_obj_get(self->report, "metrics");
    for (size_t i = 0; i < self->policy->metrics.count; i++) {
        const tp_policy_bound *bound = &self->policy->metrics.items[i];
        const double got = number_of(metrics, bound->metric);
        begin_check(self, "metrics", tp_metric_word(bound->metric), bound->text);
        end_number(self, got, keeps(bound, got));
    }
}

typedef struct worst {
    const char *column;
    const char *value;
    double got;
    uint32_t unknown_count; // cohorts for which the figure is not defined
} worst;

static void look_at_cohort(const tp_policy_bound *bound, yyjson_val *column, yyjson_val *value,
                           yyjson_val *cohort, worst *ret)
{
    const double got = number_of(yyjson_obj_get(cohort, "metrics"), bound->metric);
    ret->unknown_count += isnan(got) ? 1 : 0;
    if (isnan(ret->got) || (bound->is_minimum ? got < ret->got : got > ret->got)) {
        *ret = (worst){yyjson_get_str(column), yyjson_get_str(value), got, ret->unknown_count};
    }
}

static worst worst_cohort(const gate *self, const tp_policy_bound *bound)
{
    worst ret = {.got = NAN};
    yyjson_val *columns = yyjson_obj_get(self->report, "cohorts");
    yyjson_obj_iter columns_at = yyjson_obj_iter_with(columns);
    for (yyjson_val *column = NULL; (column = yyjson_obj_iter_next(&columns_at)) != NULL;) {
        yyjson_obj_iter values_at = yyjson_obj_iter_with(yyjson_obj_iter_get_val(column));
        for (yyjson_val *value = NULL; (value = yyjson_obj_iter_next(&values_at)) != NULL;) {
            look_at_cohort(bound, column, value, yyjson_obj_iter_get_val(value), &ret);
        }
    }
    return ret;
}

static void check_cohorts(gate *self)
{
    for (size_t i = 0; i < self->policy->cohorts.count; i++) {
        const tp_policy_bound *bound = &self->policy->cohorts.items[i];
        const worst found = worst_cohort(self, bound);
        begin_check(self, "worst_cohort", tp_metric_word(bound->metric), bound->text);
        if (isnan(found.got)) {
            end_text(self, TP_STR("the report has no cohort with that figure"), false);
            continue;
        }
        tp_json_append_f64(self->json, found.got);
        tp_json_append_key(self->json, "cohort");
        tp_buffer_append_char(self->json, '{');
        tp_json_append_key(self->json, found.column);
        tp_json_append_str(self->json, tp_str_from(found.value));
        tp_buffer_append_char(self->json, '}');
        tp_json_append_key(self->json, "cohorts_without_it");
        tp_json_append_u64(self->json, found.unknown_count);
        end_check(self, keeps(bound, found.got));
    }
}

// -- words ---------------------------------------------------------------------------------------
static tp_str tag_of(const gate *self, const char *key)
{
    for (size_t i = 0; i < self->facts->tag_count; i++) {
        if (tp_str_equal(self->facts->tags[i].key, tp_str_from(key))) {
            return self->facts->tags[i].value;
        }
    }
    return (tp_str){NULL, 0};
}

static bool is_same_word(tp_str a, tp_str b)
{
    return a.size == b.size && a.size > 0 && strncasecmp(a.data, b.data, a.size) == 0;
}

static bool is_among(tp_yaml_strings words, tp_str word)
{
    for (size_t i = 0; i < words.count; i++) {
        if (is_same_word(words.items[i], word)) {
            return true;
        }
    }
    return false;
}

// The next of a list with commas, trimmed; false at its end.
static bool next_word(tp_str *list, tp_str *ret_word)
{
    if (list->size == 0) {
        return false;
    }
    const char *comma = memchr(list->data, ',', list->size);
    const size_t size = comma == NULL ? list->size : (size_t)(comma - list->data);
    *ret_word = tp_str_trim((tp_str){list->data, size});
    const size_t used = comma == NULL ? size : size + 1;
    *list = (tp_str){list->data + used, list->size - used};
    return true;
}

static bool all_are_among(tp_yaml_strings words, tp_str list)
{
    tp_str word;
    bool any = false;
    while (next_word(&list, &word)) {
        if (!is_among(words, word)) {
            return false;
        }
        any = true;
    }
    return any;
}

static void begin_words(gate *self, const char *name, const char *part, tp_yaml_strings words)
{
    tp_buffer want;
    tp_buffer_init(&want, self->env->alloc, TP_MAX_POLICY_BYTES * 2);
    tp_buffer_append_text(&want, "one of ");
    for (size_t i = 0; i < words.count; i++) {
        tp_buffer_append_text(&want, i > 0 ? ", " : "");
        tp_buffer_append_str(&want, words.items[i]);
    }
    begin_check(self, name, part, tp_buffer_view(&want));
    tp_buffer_deinit(&want);
}

static void check_licence(gate *self)
{
    if (self->policy->licences.count > 0) {
        const tp_str tag = tag_of(self, TP_TAG_LICENCE);
        const tp_str licence = self->facts->licence.size > 0 ? self->facts->licence : tag;
        begin_words(self, "licence", "", self->policy->licences);
        end_text(self, licence, is_among(self->policy->licences, licence));
    }
}

static void check_alarm(gate *self)
{
    if (self->policy->no_alarm) {
        const tp_str alarm = tag_of(self, TP_TAG_ALARM);
        const bool is_open = is_same_word(alarm, TP_STR("open"));
        begin_check(self, "drift", "", TP_STR("no open alarm"));
        end_text(self, is_open ? alarm : TP_STR("none"), !is_open);
    }
}

static void check_signatures(gate *self)
{
    const tp_yaml_strings signers = self->facts->signers;
    begin_check(self, "signed", "", TP_STR("a trusted signature"));
    end_text(self, self->facts->is_signed ? TP_STR("trusted") : TP_STR("none that is trusted"),
             self->facts->is_signed);
    if (self->policy->signatures == 0) {
        return;
    }
    uint32_t people = 0;
    for (size_t i = 0; i < signers.count; i++) {
        people += is_among((tp_yaml_strings){signers.items, i}, signers.items[i]) ? 0 : 1;
    }
    char want[48];
    (void)snprintf(want, sizeof(want), ">= %u people", self->policy->signatures);
    begin_check(self, "signatures", "", tp_str_from(want));
    tp_json_append_u64(self->json, people);
    tp_json_append_key(self->json, "people");
    tp_buffer_append_char(self->json, '[');
    for (size_t i = 0; i < signers.count; i++) {
        tp_buffer_append_text(self->json, i > 0 ? "," : "");
        tp_json_append_str(self->json, signers.items[i]);
    }
    tp_buffer_append_char(self->json, ']');
    end_check(self, people >= self->policy->signatures);
}

// -- export --------------------------------------------------------------------------------------
// Whether a line of the list is one of the parties. Lines that begin with # are remarks.
static bool list_names(tp_str list, tp_str parties, tp_str *ret_party)
{
    while (list.size > 0) {
        const char *end = memchr(list.data, '\n', list.size);
        const size_t size = end == NULL ? list.size : (size_t)(end - list.data);
        const tp_str line = tp_str_trim((tp_str){list.data, size});
        tp_str rest = parties;
        while (line.size > 0 && line.data[0] != '#' && next_word(&rest, ret_party)) {
            if (is_same_word(line, *ret_party)) {
                return true;
            }
        }
        const size_t used = end == NULL ? size : size + 1;
        list = (tp_str){list.data + used, list.size - used};
    }
    return false;
}

static void screen(gate *self, tp_str path)
{
    tapeout_error why;
    tp_str list = {NULL, 0};
    tp_str party = {NULL, 0};
    char name[TP_MAX_PATH_BYTES];
    begin_check(self, "export", "screening", path);
    const tp_str parties = tag_of(self, TP_TAG_PARTY);
    if (parties.size == 0) {
        end_text(self, TP_STR("no party is named in the tag " TP_TAG_PARTY), false);
        return;
    }
    (void)snprintf(name, sizeof(name), "%.*s", TP_STR_ARGS(path));
    if (tp_file_read(self->env->alloc, name, TP_MAX_SCREENING_BYTES, &list, &why) != TAPEOUT_OK) {
        end_text(self, tp_str_from(why.message), false);
        return;
    }
    char hex[TP_SHA256_HEX_SIZE + 1];
    const tp_sha256 hash = tp_sha256_of(list.data, list.size);
    tp_sha256_hex(&hash, hex);
    const bool is_listed = list_names(list, parties, &party);
    tp_json_append_str(self->json, is_listed ? party : TP_STR("not listed"));
    tp_json_append_key(self->json, "list_sha256");
    tp_json_append_str(self->json, tp_str_from(hex));
    tp_free(self->env->alloc, (void *)(uintptr_t)list.data, list.size + 1);
    end_check(self, !is_listed);
}

static void check_export(gate *self)
{
    const tp_policy *policy = self->policy;
    if (policy->exports.classification.count > 0) {
        const tp_str got = tag_of(self, TP_TAG_CLASSIFICATION);
        begin_words(self, "export", "classification", policy->exports.classification);
        end_text(self, got, is_among(policy->exports.classification, got));
    }
    if (policy->exports.destination.count > 0) {
        const tp_str got = tag_of(self, TP_TAG_DESTINATION);
        begin_words(self, "export", "destination", policy->exports.destination);
        end_text(self, got, all_are_among(policy->exports.destination, got));
    }
    if (policy->exports.basis) {
        const tp_str got = tp_str_trim(tag_of(self, TP_TAG_BASIS));
        begin_check(self, "export", "basis", TP_STR("something is said"));
        end_text(self, got, got.size > 0);
    }
    for (size_t i = 0; i < policy->exports.screening.count; i++) {
        screen(self, policy->exports.screening.items[i]);
    }
}

tapeout_status tp_gate_check(const tp_env *env, const tp_policy *policy, const tp_gate_facts *facts,
                             tp_buffer *json, bool *ret_passed, tapeout_error *err)
{
    yyjson_doc *doc = NULL; // without a report nothing that it would say is known
    if (facts->report_json.size > 0) {
        TP_TRY(tp_json_parse(env->alloc, facts->report_json, "report of the bundle", &doc, err));
    }
    gate self = {.env = env,
                 .policy = policy,
                 .facts = facts,
                 .report = yyjson_doc_get_root(doc),
                 .json = json,
                 .passed = true};
    tp_buffer_append_char(json, '[');
    check_signatures(&self);
    check_metrics(&self);
    check_cohorts(&self);
    check_at_most(&self, "latency_us", policy->latency_us, facts->row_us);
    check_at_most(&self, "size_mb", policy->size_mb, (double)facts->size_bytes * 1e-6);
    check_licence(&self);
    check_alarm(&self);
    check_export(&self);
    tp_buffer_append_char(json, ']');
    yyjson_doc_free(doc);
    *ret_passed = self.passed && json->status == TAPEOUT_OK;
    return tp_buffer_check(json, "evidence", err);
}
