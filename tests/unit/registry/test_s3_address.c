// SPDX-License-Identifier: Apache-2.0
//
// Addresses of blobs in S3: what each part becomes, and what is refused.
#include "registry/s3_address.h"

#include "test.h"

static s3_address parse(const char *text, const char *region)
{
    s3_address address;
    ASSERT_OK(tp_s3_address_parse(tp_str_from(text), region, &address, &test_err));
    return address;
}

static void test_amazon(void)
{
    s3_address address = parse("s3://models", NULL);
    ASSERT_EQ_STR(address.bucket, "models");
    ASSERT_EQ_STR(address.prefix, "");
    ASSERT_EQ_STR(address.scheme, "https");
    ASSERT_EQ_STR(address.host, "models.s3.us-east-1.amazonaws.com");
    ASSERT(!address.has_path_style);
    ASSERT_EQ_UINT(address.part_bytes, 64u << 20);
    ASSERT_EQ_UINT(address.copies_bytes, UINT64_C(10) << 30);
    address = parse("s3://models/a/b.c/?part_mib=5&copies_mib=7", "eu-west-1");
    ASSERT_EQ_STR(address.prefix, "a/b.c");
    ASSERT_EQ_STR(address.host, "models.s3.eu-west-1.amazonaws.com");
    ASSERT_EQ_UINT(address.part_bytes, 5u << 20);
    ASSERT_EQ_UINT(address.copies_bytes, 7u << 20);
    address = parse("s3://models?region=eu-central-1", "eu-west-1");
    ASSERT_EQ_STR(address.host, "models.s3.eu-central-1.amazonaws.com");
    // A certificate for *.s3.… does not hold for two names in front.
    address = parse("s3://a.b.c", NULL);
    ASSERT(address.has_path_style);
    ASSERT_EQ_STR(address.host, "s3.us-east-1.amazonaws.com");
}

static void test_elsewhere(void)
{
    s3_address address = parse("s3://models/p?endpoint=http://127.0.0.1:9000", NULL);
    ASSERT_EQ_STR(address.scheme, "http");
    ASSERT_EQ_STR(address.host, "127.0.0.1:9000");
    ASSERT(address.has_path_style);
    address = parse("s3://models?style=host&endpoint=https://objects.example.org:443/", NULL);
    ASSERT_EQ_STR(address.host, "models.objects.example.org");
    ASSERT_EQ_STR(address.scheme, "https");
}

static void test_refused(void)
{
    static const char *const bad[][2] = {
        {"", "s3://BUCKET/PREFIX"},
        {"https://models", "s3://BUCKET/PREFIX"},
        {"s3://", "is no bucket"},
        {"s3://ab", "is no bucket"},
        {"s3://Models", "is no bucket"},
        {"s3://a..b", "is no bucket"},
        {"s3://-ab", "is no bucket"},
        {"s3://models/../x", "prefix"},
        {"s3://models//x", "prefix"},
        {"s3://models/a b", "prefix"},
        {"s3://models/a%2fb", "prefix"},
        {"s3://models?regio=x", "the parameters are"},
        {"s3://models?region=", "no region"},
        {"s3://models?region=a/b", "no region"},
        {"s3://models?style=other", "style is path or host"},
        {"s3://models?part_mib=4", "from 5 to 5120"},
        {"s3://models?part_mib=5121", "from 5 to 5120"},
        {"s3://models?copies_mib=0", "copies_mib is a number from 1 to"},
        {"s3://models?copies_mib=1073741825", "copies_mib is a number from 1 to"},
        {"s3://models?endpoint=http://example.org", "without TLS"},
        {"s3://models?endpoint=https://a:b@example.org", "no name and password"},
        {"s3://models?endpoint=https://example.org/path", "without a path"},
        {"s3://models?endpoint=ftp://example.org", "https://"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s3_address address;
        ASSERT_FAILS(tp_s3_address_parse(tp_str_from(bad[i][0]), NULL, &address, &test_err),
                     TAPEOUT_E_INVALID, bad[i][1]);
    }
}

TEST_MAIN(TEST(test_amazon), TEST(test_elsewhere), TEST(test_refused))
