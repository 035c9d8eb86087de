// SPDX-License-Identifier: Apache-2.0
//
// Policies: whatever is read has its parts in order, and held against nothing known it passes only
// when it asks for nothing.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "pipeline/tp_gate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static bool asks(const tp_policy *policy)
{
    return policy->metrics.count > 0 || policy->cohorts.count > 0 || policy->latency_us > 0 ||
           policy->size_mb > 0 || policy->licences.count > 0 || policy->signatures > 0 ||
           policy->exports.classification.count > 0 || policy->exports.destination.count > 0 ||
           policy->exports.basis || policy->exports.screening.count > 0;
}

static void check_gate(const tp_policy *policy)
{
    const tp_env env = tp_env_plain();
    const tp_gate_facts facts = {
        .size_bytes = UINT64_MAX, .row_us = (double)NAN, .is_signed = true};
    tp_buffer json;
    tapeout_error err;
    bool passed = false;
    tp_buffer_init(&json, env.alloc, 64u << 20);
    check(tp_gate_check(&env, policy, &facts, &json, &passed, &err) == TAPEOUT_OK);
    check(passed == !asks(policy));
    yyjson_doc *doc = yyjson_read(json.data, json.size, 0);
    check(yyjson_is_arr(yyjson_doc_get_root(doc)));
    yyjson_doc_free(doc);
    tp_buffer_deinit(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tp_policy *policy = NULL;
    tapeout_error err = {0};
    const tapeout_status status = tp_policy_parse(
        tp_allocator_default(), (tp_str){(const char *)data, size}, "p", &policy, &err);
    if (status != TAPEOUT_OK) {
        check(policy == NULL && err.message[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < policy->gated.count; i++) {
        check(tp_policy_gates(policy, policy->gated.items[i]));
    }
    // No list is opened that a fuzzer named.
    if (policy->exports.screening.count == 0) {
        check_gate(policy);
    }
    tp_policy_free(policy);
    return 0;
}
