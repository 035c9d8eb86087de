// SPDX-License-Identifier: Apache-2.0
//
// The gate's checks: each passes and fails by what it is meant to look at, and says what it found.
#include "base/tp_alloc.h"
#include "pipeline/tp_gate.h"
#include "test.h"

#include <math.h>
#include <string.h>

#define REPORT                                                                                     \
    "{\"metrics\":{\"auc\":0.9,\"log_loss\":0.3},\"cohorts\":{\"carrier\":{"                       \
    "\"AA\":{\"rows\":50,\"metrics\":{\"auc\":0.8,\"log_loss\":0.5}},"                             \
    "\"UA\":{\"rows\":50,\"metrics\":{\"auc\":0.7,\"log_loss\":0.2}},"                             \
    "\"XX\":{\"rows\":50,\"metrics\":{\"auc\":null}}}}}"

static tp_gate_facts facts;
static tp_gate_tag tags[8];
static tp_str signers[4];
static tp_buffer json;

static void begin(void)
{
    facts = (tp_gate_facts){.report_json = TP_STR(REPORT),
                            .licence = TP_STR("MIT"),
                            .size_bytes = 2500000,
                            .row_us = 12.5,
                            .is_signed = true,
                            .signers = {signers, 0},
                            .tags = tags};
    tp_buffer_init(&json, tp_allocator_default(), 1 << 20);
}

static void tag(const char *key, const char *value)
{
    tags[facts.tag_count++] = (tp_gate_tag){tp_str_from(key), tp_str_from(value)};
}

static bool holds(const char *text)
{
    const tp_env env = tp_env_plain();
    tp_policy *policy = NULL;
    bool passed = false;
    ASSERT_OK(tp_policy_parse(tp_allocator_default(), tp_str_from(text), "p", &policy, &test_err));
    tp_buffer_clear(&json);
    ASSERT_OK(tp_gate_check(&env, policy, &facts, &json, &passed, &test_err));
    tp_buffer_append_char(&json, '\0');
    tp_policy_free(policy);
    return passed;
}

#define ASSERT_SAYS(part) ASSERT(strstr(json.data, (part)) != NULL)

static void test_metrics(void)
{
    begin();
    ASSERT(holds("metrics: {auc: '>= 0.9', log_loss: '<= 0.3'}\n"));
    ASSERT_EQ_STR(
        json.data,
        "[{\"name\":\"signed\",\"want\":\"a trusted signature\",\"got\":\"trusted\","
        "\"passed\":true},{\"name\":\"metrics.auc\",\"want\":\">= 0.9\",\"got\":0.9,\"passed\":"
        "true},{\"name\":\"metrics.log_loss\",\"want\":\"<= 0.3\",\"got\":0.3,"
        "\"passed\":true}]");
    ASSERT(!holds("metrics: {auc: '>= 0.91', log_loss: '<= 0.3'}\n"));
    ASSERT(!holds("metrics: {auc: '>= 0.9', log_loss: '<= 0.29'}\n"));
    ASSERT(!holds("metrics: {rmse: '<= 100'}\n")); // not known is not passed
    ASSERT_SAYS("\"got\":null,\"passed\":false");
    facts.report_json = (tp_str){NULL, 0};
    ASSERT(!holds("metrics: {auc: '>= 0.1'}\n"));
    tp_buffer_deinit(&json);
}

static void test_worst_cohort(void)
{
    begin();
    ASSERT(holds("worst_cohort: {auc: '>= 0.7'}\n"));
    ASSERT_SAYS("\"got\":0.7,\"cohort\":{\"carrier\":\"UA\"},\"cohorts_without_it\":1");
    ASSERT(!holds("worst_cohort: {auc: '>= 0.75'}\n"));
    ASSERT(!holds("worst_cohort: {log_loss: '<= 0.45'}\n"));
    ASSERT_SAYS("\"cohort\":{\"carrier\":\"AA\"}");
    ASSERT(!holds("worst_cohort: {rmse: '<= 1'}\n"));
    ASSERT_SAYS("no cohort with that figure");
    tp_buffer_deinit(&json);
}

static void test_latency_and_size(void)
{
    begin();
    ASSERT(holds("latency_us: 12.5\nsize_mb: 2.5\n"));
    ASSERT(!holds("latency_us: 12.4\n"));
    ASSERT(!holds("size_mb: 2.4\n"));
    facts.row_us = NAN;
    ASSERT(!holds("latency_us: 1000000\n"));
    tp_buffer_deinit(&json);
}

static void test_licence(void)
{
    begin();
    ASSERT(holds("licences: [Apache-2.0, mit]\n"));
    ASSERT(!holds("licences: [Apache-2.0, MIT-0]\n"));
    facts.licence = (tp_str){NULL, 0};
    ASSERT(!holds("licences: [MIT]\n"));
    tag("licence", "MIT");
    ASSERT(holds("licences: [MIT]\n"));
    facts.licence = TP_STR("GPL-3.0"); // what the bundle says is not talked over
    ASSERT(!holds("licences: [MIT]\n"));
    tp_buffer_deinit(&json);
}

static void test_signatures_are_of_distinct_people(void)
{
    begin();
    signers[0] = signers[1] = TP_STR("ada");
    ASSERT(!holds("signatures: 1\n"));
    facts.signers.count = 2;
    ASSERT(holds("signatures: 1\n") && !holds("signatures: 2\n"));
    signers[2] = TP_STR("bob");
    facts.signers.count = 3;
    ASSERT(holds("signatures: 2\n") && !holds("signatures: 3\n"));
    ASSERT_SAYS("\"got\":2,\"people\":[\"ada\",\"ada\",\"bob\"]");
    tp_buffer_deinit(&json);
}

static void test_a_trusted_signature_is_always_asked(void)
{
    begin();
    ASSERT(holds("gated: [prod]\n"));
    facts.is_signed = false;
    ASSERT(!holds("gated: [prod]\n"));
    ASSERT_SAYS("\"got\":\"none that is trusted\",\"passed\":false");
    tp_buffer_deinit(&json);
}

static void test_open_alarm(void)
{
    begin();
    ASSERT(holds("drift: none\n"));
    tag("alarm.drift", "open");
    ASSERT(!holds("drift: none\n"));
    tags[0].value = TP_STR("closed");
    ASSERT(holds("drift: none\n"));
    tp_buffer_deinit(&json);
}

static void test_export_fields(void)
{
    begin();
    const char *policy =
        "export: {classification: [EAR99, 5D992.c], basis: required, destination: [DE, FR]}\n";
    ASSERT(!holds(policy));
    tag("export.classification", "ear99");
    tag("export.basis", "published");
    tag("export.destination", "FR, DE");
    ASSERT(holds(policy));
    tags[2].value = TP_STR("FR, KP");
    ASSERT(!holds(policy));
    tags[2].value = TP_STR(" , ");
    ASSERT(!holds(policy));
    tags[2].value = TP_STR("FR");
    tags[1].value = TP_STR("  ");
    ASSERT(!holds(policy));
    tags[1].value = TP_STR("published");
    tags[0].value = TP_STR("4E091");
    ASSERT(!holds(policy));
    tp_buffer_deinit(&json);
}

static void test_screening(void)
{
    char policy[640];
    char path[512];
    begin();
    (void)snprintf(path, sizeof(path), "%s/denied.txt", test_temp_dir());
    (void)snprintf(policy, sizeof(policy), "export: {screening: ['%s']}\n", path);
    tag("export.party", "Acme GmbH, Globex");
    ASSERT(!holds(policy)); // no list, no passing
    FILE *file = fopen(path, "wb");
    ASSERT(file != NULL && fputs("# parties\nInitech\r\n#Globex\n  Acme  \n", file) >= 0 &&
           fclose(file) == 0);
    ASSERT(holds(policy));
    ASSERT_SAYS("\"got\":\"not listed\",\"list_sha256\":\"");
    tags[0].value = TP_STR("Acme GmbH, initech");
    ASSERT(!holds(policy));
    ASSERT_SAYS("\"got\":\"initech\"");
    facts.tag_count = 0;
    ASSERT(!holds(policy));
    ASSERT_SAYS("no party is named");
    (void)remove(path);
    tp_buffer_deinit(&json);
}

TEST_MAIN(TEST(test_metrics), TEST(test_worst_cohort), TEST(test_latency_and_size),
          TEST(test_licence), TEST(test_signatures_are_of_distinct_people),
          TEST(test_a_trusted_signature_is_always_asked), TEST(test_open_alarm),
          TEST(test_export_fields), TEST(test_screening))
