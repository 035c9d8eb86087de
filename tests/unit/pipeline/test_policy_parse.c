// SPDX-License-Identifier: Apache-2.0
//
// Policies: what is read, what is assumed, and what a mistake is told with.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "pipeline/tp_policy.h"
#include "test.h"

#include <string.h>

static tapeout_status parse(const char *text, tp_policy **ret_policy)
{
    return tp_policy_parse(tp_allocator_default(), tp_str_from(text), "policy.yaml", ret_policy,
                           &test_err);
}

static void test_reads_all_of_it(void)
{
    tp_policy *policy = NULL;
    ASSERT_OK(parse("gated: [prod, live]\n"
                    "metrics: {auc: '>= 0.85', log_loss: '<= 0.4'}\n"
                    "worst_cohort: {auc: '>=0.7'}\n"
                    "latency_us: 50\n"
                    "size_mb: 100\n"
                    "licences: [Apache-2.0, MIT]\n"
                    "signatures: 2\n"
                    "drift: none\n"
                    "export:\n"
                    "  classification: [EAR99]\n"
                    "  basis: required\n"
                    "  destination: [DE, FR]\n"
                    "  screening: [denied.txt]\n",
                    &policy));
    ASSERT(tp_policy_gates(policy, TP_STR("prod")) && tp_policy_gates(policy, TP_STR("live")));
    ASSERT(!tp_policy_gates(policy, TP_STR("staging")) && !tp_policy_gates(policy, TP_STR("")));
    ASSERT_EQ_UINT(policy->metrics.count, 2);
    ASSERT_EQ_INT(policy->metrics.items[1].metric, TP_METRIC_LOG_LOSS);
    ASSERT(policy->metrics.items[0].is_minimum && !policy->metrics.items[1].is_minimum);
    ASSERT_EQ_F64(policy->metrics.items[1].bound, 0.4);
    ASSERT_EQ_UINT(policy->cohorts.count, 1);
    ASSERT_EQ_F64(policy->cohorts.items[0].bound, 0.7);
    ASSERT_EQ_F64(policy->latency_us, 50);
    ASSERT_EQ_F64(policy->size_mb, 100);
    ASSERT(tp_str_equal(policy->licences.items[1], TP_STR("MIT")));
    ASSERT_EQ_UINT(policy->signatures, 2);
    ASSERT(policy->no_alarm && policy->exports.basis);
    ASSERT_EQ_UINT(policy->exports.destination.count, 2);
    ASSERT(tp_str_equal(policy->exports.classification.items[0], TP_STR("EAR99")));
    ASSERT(tp_str_equal(policy->exports.screening.items[0], TP_STR("denied.txt")));
    tp_policy_free(policy);
}

static void test_asks_for_nothing_by_itself(void)
{
    tp_policy *policy = NULL;
    ASSERT_OK(parse("signatures: 1\n", &policy));
    ASSERT(tp_policy_gates(policy, TP_STR("prod")) && !tp_policy_gates(policy, TP_STR("staging")));
    ASSERT_EQ_UINT(policy->metrics.count + policy->cohorts.count + policy->licences.count, 0);
    ASSERT(policy->latency_us == 0 && policy->size_mb == 0);
    ASSERT(!policy->no_alarm && !policy->exports.basis);
    tp_policy_free(policy);
    ASSERT_OK(parse("gated: []\n", &policy)); // nothing at all is gated
    ASSERT(!tp_policy_gates(policy, TP_STR("prod")));
    tp_policy_free(policy);
}

static void test_mistakes_are_told(void)
{
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"", "policy.yaml"},
        {"metrics: {auk: '>= 0.8'}\n", "policy.yaml:1:11: unknown metric \"auk\"; did you mean "
                                       "\"auc\"?"},
        {"metrics: {auc: '> 0.8'}\n", "policy.yaml:1:16: a bound reads"},
        {"metrics: {auc: '>= x'}\n", "a bound reads"},
        {"metrics: {auc: 0.8}\n", "a bound reads"},
        {"metrics: [auc]\n", "metrics is a mapping"},
        {"worst_cohort: auc\n", "worst_cohort is a mapping"},
        {"signature: 1\n", "did you mean \"signatures\"?"},
        {"signatures: 0\n", "must lie between 1 and 64"},
        {"signatures: 65\n", "must lie between 1 and 64"},
        {"latency_us: 0\n", "must lie between"},
        {"drift: some\n", "drift may only say \"none\", not \"some\""},
        {"export: {basis: maybe}\n", "basis may only say \"required\""},
        {"export: {country: DE}\n", "unknown key \"country\""},
        {"signatures: 1\nsignatures: 2\n", "stands twice"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tp_policy *policy = NULL;
        ASSERT_FAILS(parse(cases[i].text, &policy), TAPEOUT_E_INVALID, cases[i].says);
        ASSERT(policy == NULL);
    }
}

static void test_size_has_a_limit(void)
{
    static char text[TP_MAX_POLICY_BYTES + 2];
    tp_policy *policy = NULL;
    memset(text, '\n', sizeof(text) - 1);
    ASSERT_FAILS(parse(text, &policy), TAPEOUT_E_LIMIT, "a policy may have");
}

static tapeout_status read_again(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_policy *policy = NULL;
    const tapeout_status status =
        tp_policy_parse(alloc, tp_str_from(user), "policy.yaml", &policy, err);
    tp_policy_free(policy);
    return status;
}

static void test_every_allocation(void)
{
    static char text[] = "gated: [a, b]\nmetrics: {auc: '>= 1'}\nexport: {destination: [DE]}\n";
    test_out_of_memory(read_again, text);
}

TEST_MAIN(TEST(test_reads_all_of_it), TEST(test_asks_for_nothing_by_itself),
          TEST(test_mistakes_are_told), TEST(test_size_has_a_limit), TEST(test_every_allocation))
