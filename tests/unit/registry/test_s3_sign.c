// SPDX-License-Identifier: Apache-2.0
//
// Signatures as in the examples of Amazon's documentation ("Signature Calculations for the
// Authorization Header", examplebucket, 24 May 2013), and queries in their canonical form.
#include "base/tp_alloc.h"
#include "registry/s3_sign.h"
#include "test.h"

#include <string.h>

static const s3_credentials example = {.key_id = "AKIAIOSFODNN7EXAMPLE",
                                       .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
static const char nothing[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static s3_signing signing_of(const char *query)
{
    return (s3_signing){.method = "GET",
                        .host = "examplebucket.s3.amazonaws.com",
                        .region = "us-east-1",
                        .path = TP_STR("/"),
                        .query = tp_str_from(query),
                        .payload_hash = nothing,
                        .now_s = 1369353600};
}

static void test_examples(void)
{
    static const char *const cases[][2] = {
        {"lifecycle=", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
        {"max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    };
    for (size_t i = 0; i < 2; i++) {
        const s3_signing signing = signing_of(cases[i][0]);
        char want[512];
        s3_headers headers;
        tp_s3_sign(&signing, &example, &headers);
        (void)snprintf(want, sizeof(want),
                       "authorization: AWS4-HMAC-SHA256 "
                       "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
                       "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=%s",
                       cases[i][1]);
        ASSERT_EQ_STR(headers.authorization, want);
        ASSERT_EQ_STR(headers.date, "x-amz-date: 20130524T000000Z");
        ASSERT_EQ_STR(headers.host, "host: examplebucket.s3.amazonaws.com");
        ASSERT(strncmp(headers.payload_hash, "x-amz-content-sha256: e3b0", 26) == 0);
        ASSERT_EQ_STR(headers.token, "");
    }
}

// What is signed: everything that the request has.
static void test_every_part_counts(void)
{
    s3_headers first;
    s3_signing signing = signing_of("");
    tp_s3_sign(&signing, &example, &first);
    for (int i = 0; i < 8; i++) {
        s3_credentials credentials = example;
        s3_headers other;
        signing = signing_of("");
        signing.method = i == 0 ? "PUT" : signing.method;
        signing.host = i == 1 ? "other.s3.amazonaws.com" : signing.host;
        signing.region = i == 2 ? "eu-west-1" : signing.region;
        signing.path = i == 3 ? TP_STR("/a") : signing.path;
        signing.query = i == 4 ? TP_STR("a=") : signing.query;
        signing.now_s += i == 5 ? 1 : 0;
        (void)snprintf(credentials.secret, sizeof(credentials.secret), "%s", i == 6 ? "x" : "y");
        credentials = i == 6 ? credentials : example;
        (void)snprintf(credentials.token, sizeof(credentials.token), "%s", i == 7 ? "t" : "");
        tp_s3_sign(&signing, &credentials, &other);
        ASSERT(strcmp(strstr(first.authorization, "Signature="),
                      strstr(other.authorization, "Signature=")) != 0);
        ASSERT_EQ_STR(other.token, i == 7 ? "x-amz-security-token: t" : "");
        ASSERT_EQ_INT(strstr(other.authorization, ";x-amz-security-token,") != NULL, i == 7);
    }
}

static void test_query(void)
{
    tp_buffer query;
    tp_buffer_init(&query, tp_allocator_default(), 1000);
    tp_s3_query_add(&query, "a", TP_STR("Az09-._~"));
    tp_s3_query_add(&query, "b", TP_STR("/ +=&%\xc3\xa4"));
    tp_s3_query_add(&query, "c", TP_STR(""));
    static const char want[] = "a=Az09-._~&b=%2F%20%2B%3D%26%25%C3%A4&c=";
    ASSERT_EQ_BYTES(query.data, query.size, want, sizeof(want) - 1);
    tp_buffer_deinit(&query);
}

TEST_MAIN(TEST(test_examples), TEST(test_every_part_counts), TEST(test_query))
