// SPDX-License-Identifier: Apache-2.0
//
// Tokens and key sets: every algorithm with its own keys and against all others; J1 to J4; times by
// a clock that the test sets (R6); the vectors of RFC 7515 (A.2, A.3) and RFC 8037 (A.4).
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "jwt_cases.h"
#include "mutant.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1800000000
#define ISSUER "https://idp.example/"
#define CLAIMS                                                                                     \
    "{\"iss\":\"" ISSUER "\",\"aud\":\"tapeout\",\"sub\":\"ann\",\"exp\":1800000060,"              \
    "\"iat\":1800000000}"

static const char *const headers[TP_JWT_ALGORITHM_COUNT] = {
    "{\"alg\":\"RS256\",\"kid\":\"k\",\"typ\":\"JWT\"}", "{\"alg\":\"PS256\",\"kid\":\"k\"}",
    "{\"alg\":\"ES256\",\"kid\":\"k\"}", "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"at+jwt\"}"};

static tp_jwks *read_set(const char *keys, tp_jwt_algorithm rsa)
{
    static char text[65536];
    tp_jwks *jwks = NULL;
    (void)snprintf(text, sizeof(text), "{\"keys\":[%s]}", keys);
    ASSERT_OK(tp_jwks_parse(tp_allocator_default(), tp_str_from(text), rsa, &jwks, &test_err));
    return jwks;
}

static tapeout_status check_at(const tp_jwks *jwks, const char *token, int64_t now_s)
{
    yyjson_doc *claims = NULL;
    int64_t expires_s = 0;
    const tp_jwt_policy policy = {.jwks = jwks,
                                  .issuer = TP_STR(ISSUER),
                                  .audience = TP_STR("tapeout"),
                                  .algorithms = 15,
                                  .leeway_s = 30,
                                  .now_s = now_s};
    test_err = (tapeout_error){0};
    const tapeout_status status = tp_jwt_check(tp_allocator_default(), &policy, tp_str_from(token),
                                               &claims, &expires_s, &test_err);
    if (status == TAPEOUT_OK) {
        ASSERT_EQ_STR(yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(claims), "sub")), "ann");
        yyjson_doc_free(claims);
    }
    return status;
}

static void expect_denied(const tp_jwks *jwks, const char *token, const char *part)
{
    const tapeout_status status = check_at(jwks, token, NOW);
    if (status != TAPEOUT_E_DENIED || strstr(test_err.message, part) == NULL) {
        test_fail(__FILE__, __LINE__, "want denied with \"%s\", got %s: %s", part,
                  tapeout_status_name(status), test_err.message);
    }
}

static void test_every_algorithm(void)
{
    jwt_case_key keys[TP_JWT_ALGORITHM_COUNT];
    for (int i = 0; i < TP_JWT_ALGORITHM_COUNT; i++) {
        jwt_case_key_make(&keys[i], (tp_jwt_algorithm)i);
    }
    for (int i = 0; i < TP_JWT_ALGORITHM_COUNT; i++) {
        tp_jwks *jwks = read_set(jwt_case_jwk(&keys[i], "k", ""),
                                 i == TP_JWT_PS256 ? TP_JWT_PS256 : TP_JWT_RS256);
        ASSERT_EQ_INT(check_at(jwks, jwt_case_token(&keys[i], headers[i], CLAIMS), NOW),
                      TAPEOUT_OK);
        for (int k = 0; k < TP_JWT_ALGORITHM_COUNT; k++) {
            if (k != i) { // another's algorithm, with its own signature or with ours
                expect_denied(jwks, jwt_case_token(&keys[k], headers[k], CLAIMS), "alg is not");
                expect_denied(jwks, jwt_case_token(&keys[k], headers[i], CLAIMS),
                              "wrong signature");
                expect_denied(jwks, jwt_case_token(&keys[i], headers[k], CLAIMS), "alg is not");
            }
        }
        jwt_case_key stranger;
        jwt_case_key_make(&stranger, (tp_jwt_algorithm)i);
        expect_denied(jwks, jwt_case_token(&stranger, headers[i], CLAIMS), "wrong signature");
        jwt_case_key_free(&stranger);
        tp_jwks_unref(jwks);
    }
    for (int i = 0; i < TP_JWT_ALGORITHM_COUNT; i++) {
        jwt_case_key_free(&keys[i]);
    }
}

// J1: no signature, in every way to say so; dots too few and too many; every byte changed.
static void test_no_signature(void)
{
    jwt_case_key key;
    jwt_case_key_make(&key, TP_JWT_EDDSA);
    tp_jwks *jwks = read_set(jwt_case_jwk(&key, "k", ""), TP_JWT_RS256);
    static const char *const nones[] = {"none",  "None",  "NONE",   "nOnE", "",
                                        "eddsa", "EDDSA", "EdDSA ", "HS256"};
    char header[128];
    for (size_t i = 0; i < sizeof(nones) / sizeof(nones[0]); i++) {
        (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k\"}", nones[i]);
        expect_denied(jwks, jwt_case_token(&key, header, CLAIMS), "alg is not");
    }
    expect_denied(jwks, jwt_case_token(&key, "{\"kid\":\"k\"}", CLAIMS), "alg is not");
    expect_denied(jwks, jwt_case_token(&key, "{\"alg\":[\"EdDSA\"],\"kid\":\"k\"}", CLAIMS), "alg");
    char token[4096];
    char changed[4200];
    (void)snprintf(token, sizeof(token), "%s", jwt_case_token(&key, headers[3], CLAIMS));
    const size_t last_dot = (size_t)(strrchr(token, '.') - token);
    (void)snprintf(changed, sizeof(changed), "%.*s.", (int)last_dot, token);
    expect_denied(jwks, changed, "wrong signature");
    (void)snprintf(changed, sizeof(changed), "%.*s", (int)last_dot, token);
    expect_denied(jwks, changed, "three parts");
    (void)snprintf(changed, sizeof(changed), "%s.", token);
    expect_denied(jwks, changed, "three parts");
    (void)snprintf(changed, sizeof(changed), ".%s", token);
    expect_denied(jwks, changed, "three parts");
    (void)snprintf(changed, sizeof(changed), "%s=", token);
    expect_denied(jwks, changed, "wrong signature");
    (void)snprintf(changed, sizeof(changed), "%s ", token);
    expect_denied(jwks, changed, "wrong signature");
    for (size_t i = 0; token[i] != '\0'; i++) {
        static const char others[] = "AQgw_-+/=. \n";
        for (size_t k = 0; k < sizeof(others) - 1; k++) {
            memcpy(changed, token, strlen(token) + 1);
            changed[i] = others[k];
            ASSERT(changed[i] == token[i] || check_at(jwks, changed, NOW) != TAPEOUT_OK);
        }
    }
    for (int c = 0x80; c < 0x100; c++) { // which are characters of base64 to some
        memcpy(changed, token, strlen(token) + 1);
        changed[last_dot + 9] = (char)c;
        expect_denied(jwks, changed, "wrong signature");
    }
    ASSERT_EQ_INT(check_at(jwks, token, NOW), TAPEOUT_OK);
    tp_jwks_unref(jwks);
    jwt_case_key_free(&key);
}

static void expect_no_hmac(const tp_jwks *jwks, const void *secret, size_t size)
{
    static const char *const algorithms[] = {"HS256", "RS256", "EdDSA"};
    for (size_t i = 0; i < 3; i++) {
        char header[128];
        (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k\"}", algorithms[i]);
        ASSERT_EQ_INT(check_at(jwks, jwt_case_hmac_token(secret, size, header, CLAIMS), NOW),
                      TAPEOUT_E_DENIED);
    }
}

// J2: the public key as if it were a shared secret, in every form that it is known by.
static void test_public_key_as_secret(void)
{
    jwt_case_key rsa;
    jwt_case_key ed;
    jwt_case_key_make(&rsa, TP_JWT_RS256);
    jwt_case_key_make(&ed, TP_JWT_EDDSA);
    const jwt_case_key *keys[] = {&rsa, &ed};
    for (int i = 0; i < 2; i++) {
        tp_jwks *jwks = read_set(jwt_case_jwk(keys[i], "k", ""), TP_JWT_RS256);
        BIO *pem = BIO_new(BIO_s_mem());
        BIO *der = BIO_new(BIO_s_mem());
        char *text = NULL;
        char padded[4096] = " \n";
        ASSERT(PEM_write_bio_PUBKEY(pem, keys[i]->key) == 1 &&
               i2d_PUBKEY_bio(der, keys[i]->key) == 1);
        long size = BIO_get_mem_data(pem, &text);
        expect_no_hmac(jwks, text, (size_t)size);
        expect_no_hmac(jwks, text, (size_t)size - 1);
        memcpy(padded + 2, text, (size_t)size);
        expect_no_hmac(jwks, padded, (size_t)size + 2);
        size = BIO_get_mem_data(der, &text);
        expect_no_hmac(jwks, text, (size_t)size);
        const char *jwk = jwt_case_jwk(keys[i], "k", "");
        expect_no_hmac(jwks, jwk, strlen(jwk));
        BIO_free(pem);
        BIO_free(der);
        tp_jwks_unref(jwks);
    }
    jwt_case_key_free(&rsa);
    jwt_case_key_free(&ed);
}

// J3: claims. A line is what stands in the token instead of, or beside, the good ones.
static void test_claims(void)
{
    static const struct {
        const char *claims;
        const char *part;
    } wrong[] = {
        {"{}", "iss"},
        {"[]", "no object"},
        {"{\"iss\":\"https://idp.example\",\"aud\":\"tapeout\",\"sub\":\"ann\",\"exp\":1800000060}",
         "iss"},
        {"{\"iss\":\"" ISSUER "/\",\"aud\":\"tapeout\",\"sub\":\"ann\",\"exp\":1800000060}", "iss"},
        {"{\"iss\":[\"" ISSUER "\"],\"aud\":\"tapeout\",\"sub\":\"ann\",\"exp\":1800000060}",
         "iss"},
        {"{\"iss\":\"" ISSUER "\",\"sub\":\"ann\",\"exp\":1800000060}", "aud"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":\"other\",\"sub\":\"ann\",\"exp\":1800000060}", "aud"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":[],\"sub\":\"ann\",\"exp\":1800000060}", "aud"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":[\"other\"],\"sub\":\"ann\",\"exp\":1800000060}", "aud"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":[\"tapeout\",1],\"sub\":\"ann\",\"exp\":1800000060}",
         "aud"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":{\"tapeout\":1},\"sub\":\"ann\",\"exp\":1800000060}",
         "aud"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":\"tapeout\",\"exp\":1800000060}", "sub"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":\"tapeout\",\"sub\":\"\",\"exp\":1800000060}", "sub"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":\"tapeout\",\"sub\":7,\"exp\":1800000060}", "sub"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":\"tapeout\",\"sub\":\"ann\"}", "exp"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":\"tapeout\",\"sub\":\"ann\",\"exp\":\"1800000060\"}",
         "exp"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":\"tapeout\",\"sub\":\"ann\",\"exp\":1e300}", "exp"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":\"tapeout\",\"sub\":\"ann\",\"exp\":-1}", "exp"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":\"tapeout\",\"sub\":\"ann\",\"exp\":null}", "exp"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":\"tapeout\",\"sub\":\"ann\",\"exp\":1e400}", "claims"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":\"tapeout\",\"sub\":\"ann\",\"exp\":1800000060,"
         "\"nbf\":\"now\"}",
         "nbf"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":\"tapeout\",\"sub\":\"ann\",\"exp\":1800000060,"
         "\"iat\":1e300}",
         "iat"},
        // Twice: the second would be read by some and the first by others.
        {"{\"iss\":\"" ISSUER "\",\"aud\":\"tapeout\",\"sub\":\"ann\",\"exp\":1800000060,"
         "\"sub\":\"bob\"}",
         "claims"},
        {"{\"iss\":\"" ISSUER "\",\"aud\":\"tapeout\",\"sub\":\"ann\",\"exp\":1800000060} x",
         "claims"},
    };
    jwt_case_key key;
    jwt_case_key_make(&key, TP_JWT_ES256);
    tp_jwks *jwks = read_set(jwt_case_jwk(&key, "k", ""), TP_JWT_RS256);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        expect_denied(jwks, jwt_case_token(&key, headers[2], wrong[i].claims), wrong[i].part);
    }
    const char *list = "{\"iss\":\"" ISSUER "\",\"aud\":[\"other\",\"tapeout\"],\"sub\":\"ann\","
                       "\"exp\":1800000060.5}";
    ASSERT_EQ_INT(check_at(jwks, jwt_case_token(&key, headers[2], list), NOW), TAPEOUT_OK);
    tp_jwks_unref(jwks);
    jwt_case_key_free(&key);
}

// R6: a clock that is wrong by a day or a year lets nothing in that is not within the leeway of it.
static void test_times(void)
{
    jwt_case_key key;
    jwt_case_key_make(&key, TP_JWT_EDDSA);
    tp_jwks *jwks = read_set(jwt_case_jwk(&key, "k", ""), TP_JWT_RS256);
    char token[2048];
    (void)snprintf(token, sizeof(token), "%s",
                   jwt_case_token(&key, headers[3],
                                  "{\"iss\":\"" ISSUER "\",\"aud\":\"tapeout\",\"sub\":\"ann\","
                                  "\"exp\":1800000060,\"nbf\":1800000000}"));
    static const struct {
        int64_t now_s;
        tapeout_status status;
    } times[] = {
        {NOW - 31, TAPEOUT_E_DENIED},
        {NOW - 30, TAPEOUT_OK},
        {NOW, TAPEOUT_OK},
        {NOW + 60, TAPEOUT_OK},
        {NOW + 89, TAPEOUT_OK},
        {NOW + 90, TAPEOUT_E_DENIED},
        {NOW - 86400, TAPEOUT_E_DENIED},
        {NOW + 31536000, TAPEOUT_E_DENIED},
        {0, TAPEOUT_E_DENIED},
        {INT64_MAX, TAPEOUT_E_DENIED},
    };
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        ASSERT_EQ_INT(check_at(jwks, token, times[i].now_s), times[i].status);
    }
    tp_jwks_unref(jwks);
    jwt_case_key_free(&key);
}

// J4: headers that name a key elsewhere, or one by a path, a query, a URL.
static void test_headers(void)
{
    static const struct {
        const char *header;
        tapeout_status status;
    } wrong[] = {
        {"{\"alg\":\"EdDSA\",\"kid\":\"../../k\"}", TAPEOUT_E_NOT_FOUND},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k' OR '1'='1\"}", TAPEOUT_E_NOT_FOUND},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k\\u0000\"}", TAPEOUT_E_NOT_FOUND},
        {"{\"alg\":\"EdDSA\",\"kid\":\"\"}", TAPEOUT_E_NOT_FOUND},
        {"{\"alg\":\"EdDSA\",\"kid\":\"https://evil.example/k\"}", TAPEOUT_E_NOT_FOUND},
        {"{\"alg\":\"EdDSA\",\"kid\":7}", TAPEOUT_E_DENIED},
        {"{\"alg\":\"EdDSA\",\"kid\":null}", TAPEOUT_E_DENIED},
        {"{\"alg\":\"EdDSA\"}", TAPEOUT_E_DENIED}, // which of two?
        {"{\"alg\":\"EdDSA\",\"kid\":\"k\",\"jku\":\"https://evil.example\"}", TAPEOUT_E_DENIED},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k\",\"x5u\":\"https://evil.example\"}", TAPEOUT_E_DENIED},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k\",\"jwk\":{\"kty\":\"OKP\"}}", TAPEOUT_E_DENIED},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k\",\"x5c\":[\"AA\"]}", TAPEOUT_E_DENIED},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k\",\"crit\":[\"exp\"]}", TAPEOUT_E_DENIED},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k\",\"b64\":false}", TAPEOUT_E_DENIED},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k\",\"zip\":\"DEF\"}", TAPEOUT_E_DENIED},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"JWE\"}", TAPEOUT_E_DENIED},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k\",\"alg\":\"EdDSA\"}", TAPEOUT_E_DENIED},
        {"\"EdDSA\"", TAPEOUT_E_DENIED},
        {"", TAPEOUT_E_DENIED},
    };
    jwt_case_key key;
    jwt_case_key other;
    char keys[4096];
    jwt_case_key_make(&key, TP_JWT_EDDSA);
    jwt_case_key_make(&other, TP_JWT_EDDSA);
    (void)snprintf(keys, sizeof(keys), "%s,%s", jwt_case_jwk(&key, "k", ""),
                   jwt_case_jwk(&other, "other", ""));
    tp_jwks *jwks = read_set(keys, TP_JWT_RS256);
    ASSERT_EQ_UINT(tp_jwks_count(jwks), 2);
    ASSERT_EQ_INT(check_at(jwks, jwt_case_token(&key, headers[3], CLAIMS), NOW), TAPEOUT_OK);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ASSERT_EQ_INT(check_at(jwks, jwt_case_token(&key, wrong[i].header, CLAIMS), NOW),
                      wrong[i].status);
    }
    tp_jwks_unref(jwks);
    // Without a name the one key there is.
    jwks = read_set(jwt_case_jwk(&key, "k", ""), TP_JWT_RS256);
    ASSERT_EQ_INT(check_at(jwks, jwt_case_token(&key, "{\"alg\":\"EdDSA\"}", CLAIMS), NOW),
                  TAPEOUT_OK);
    tp_jwks_unref(jwks);
    jwt_case_key_free(&key);
    jwt_case_key_free(&other);
}

static tapeout_status parse(const char *json)
{
    tp_jwks *jwks = NULL;
    test_err = (tapeout_error){0};
    const tapeout_status status =
        tp_jwks_parse(tp_allocator_default(), tp_str_from(json), TP_JWT_RS256, &jwks, &test_err);
    tp_jwks_unref(jwks);
    return status;
}

static void test_sets(void)
{
    jwt_case_key ed;
    jwt_case_key ec;
    char text[8192];
    jwt_case_key_make(&ed, TP_JWT_EDDSA);
    jwt_case_key_make(&ec, TP_JWT_ES256);
    static const char *const broken[] = {
        "", "{}", "[]", "{\"keys\":{}}", "{\"keys\":1}", "nonsense", "{\"keys\":[],\"keys\":[]}"};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        ASSERT_EQ_INT(parse(broken[i]), TAPEOUT_E_CORRUPT);
    }
    // None that is of use.
    static const char *const useless[] = {
        "",
        "1",
        "{}",
        "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
        "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}"};
    for (size_t i = 0; i < sizeof(useless) / sizeof(useless[0]); i++) {
        (void)snprintf(text, sizeof(text), "{\"keys\":[%s]}", useless[i]);
        ASSERT_EQ_INT(parse(text), TAPEOUT_E_INVALID);
    }
    static const char *const uses[] = {",\"use\":\"enc\"",   ",\"key_ops\":[\"sign\"]",
                                       ",\"key_ops\":[]",    ",\"alg\":\"HS256\"",
                                       ",\"alg\":\"RS256\"", ",\"use\":[\"sig\"]"};
    for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
        (void)snprintf(text, sizeof(text), "{\"keys\":[%s]}", jwt_case_jwk(&ed, "k", uses[i]));
        ASSERT_EQ_INT(parse(text), TAPEOUT_E_INVALID);
    }
    (void)snprintf(text, sizeof(text), "{\"keys\":[%s]}",
                   jwt_case_jwk(&ed, "k",
                                ",\"use\":\"sig\",\"key_ops\":[\"verify\"],"
                                "\"alg\":\"EdDSA\",\"x5t\":\"a\""));
    ASSERT_EQ_INT(parse(text), TAPEOUT_OK);
    (void)snprintf(text, sizeof(text), "{\"keys\":[%s,%s]}", jwt_case_jwk(&ed, "k", ""),
                   jwt_case_jwk(&ec, "k", ""));
    ASSERT_EQ_INT(parse(text), TAPEOUT_E_CORRUPT);
    // A point that is not on the curve.
    (void)snprintf(text, sizeof(text), "{\"keys\":[%s]}", jwt_case_jwk(&ec, "k", ""));
    char *y = strstr(text, "\"y\":\"") + 5;
    y[0] = y[0] == 'A' ? 'B' : 'A';
    ASSERT_EQ_INT(parse(text), TAPEOUT_E_INVALID);
    jwt_case_key_free(&ed);
    jwt_case_key_free(&ec);
}

static void test_limits(void)
{
    static char large[TP_MAX_JWKS_BYTES + 64];
    char name[TP_MAX_JWT_KID_BYTES + 2];
    memset(large, ' ', sizeof(large) - 1);
    ASSERT_EQ_INT(parse(large), TAPEOUT_E_LIMIT);
    size_t at = (size_t)snprintf(large, sizeof(large), "{\"keys\":[{}");
    for (uint32_t i = 0; i < TP_MAX_JWKS_KEYS; i++) {
        at += (size_t)snprintf(large + at, sizeof(large) - at, ",{}");
    }
    (void)snprintf(large + at, sizeof(large) - at, "]}");
    ASSERT_EQ_INT(parse(large), TAPEOUT_E_LIMIT);
    memset(name, 'k', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    (void)snprintf(large, sizeof(large), "{\"keys\":[{\"kid\":\"%s\"}]}", name);
    ASSERT_EQ_INT(parse(large), TAPEOUT_E_LIMIT);
    static char token[TP_MAX_JWT_BYTES + 16];
    memset(token, 'A', sizeof(token) - 1);
    token[4] = token[8] = '.';
    ASSERT(!tp_jwt_is_token(tp_str_from(token)));
    token[TP_MAX_JWT_BYTES] = '\0';
    ASSERT(tp_jwt_is_token(tp_str_from(token)));
}

// RFC 8037, A.4, and RFC 7515, A.3: the signatures are right, so it is the claims that are not.
static void test_vectors(void)
{
    tp_jwks *jwks = read_set("{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
                             "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
                             TP_JWT_RS256);
    expect_denied(jwks,
                  "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
                  "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_"
                  "MuM0KAg",
                  "claims");
    tp_jwks_unref(jwks);
    jwks = read_set("{\"kty\":\"EC\",\"crv\":\"P-256\","
                    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
                    TP_JWT_RS256);
    expect_denied(jwks,
                  "eyJhbGciOiJFUzI1NiJ9."
                  "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19y"
                  "b290Ijp0cnVlfQ."
                  "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-"
                  "Kg6NU1Q",
                  "iss is another");
    tp_jwks_unref(jwks);
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    const char *const *texts = user;
    tp_jwks *jwks = NULL;
    yyjson_doc *claims = NULL;
    int64_t expires_s = 0;
    tapeout_status status = tp_jwks_parse(alloc, tp_str_from(texts[0]), TP_JWT_RS256, &jwks, err);
    if (status == TAPEOUT_OK) {
        const tp_jwt_policy policy = {jwks, TP_STR(ISSUER), TP_STR("tapeout"), 15, 30, NOW};
        status = tp_jwt_check(alloc, &policy, tp_str_from(texts[1]), &claims, &expires_s, err);
    }
    yyjson_doc_free(claims);
    tp_jwks_unref(jwks);
    return status;
}

static void test_without_memory(void)
{
    jwt_case_key key;
    static char set[4096];
    static char token[4096];
    jwt_case_key_make(&key, TP_JWT_EDDSA);
    (void)snprintf(set, sizeof(set), "{\"keys\":[%s]}", jwt_case_jwk(&key, "k", ""));
    (void)snprintf(token, sizeof(token), "%s", jwt_case_token(&key, headers[3], CLAIMS));
    const char *texts[] = {set, token};
    test_out_of_memory(scenario, texts);
    jwt_case_key_free(&key);
}

// -- mutations -----------------------------------------------------------------------------------
// Of a good token, with pieces of another by a key that is not in the set: none is let in.
static void check_mutants(const tp_jwks *jwks, const char *good, const char *donor, size_t count)
{
    char data[8192];
    size_t changed = 0;
    for (size_t i = 0; i < count; i++) {
        mutant self = {.data = data, .size = strlen(good), .round = i};
        memcpy(data, good, self.size);
        for (size_t k = 1 + mutant_draw(&self, 3); k > 0 && self.size > 0; k--) {
            mutant_change(&self, tp_str_from(donor));
        }
        data[self.size] = '\0';
        if (strcmp(data, good) == 0 || strlen(data) != self.size) {
            continue; // a header ends at its NUL
        }
        changed++;
        if (check_at(jwks, data, NOW) == TAPEOUT_OK) {
            test_fail(__FILE__, __LINE__, "mutant %zu is let in: %s", i, data);
        }
    }
    ASSERT(changed > count * 8 / 10);
}

static void test_mutated_tokens(void)
{
    const size_t count = getenv("TAPEOUT_TEST_FULL") != NULL ? 32000 : 1000;
    for (int i = 0; i < TP_JWT_ALGORITHM_COUNT; i++) {
        jwt_case_key key;
        jwt_case_key other;
        char good[4096];
        char donor[4096];
        jwt_case_key_make(&key, (tp_jwt_algorithm)i);
        jwt_case_key_make(&other, (tp_jwt_algorithm)i);
        const tp_jwt_algorithm rsa = i == TP_JWT_PS256 ? TP_JWT_PS256 : TP_JWT_RS256;
        tp_jwks *jwks = read_set(jwt_case_jwk(&key, "k", ""), rsa);
        (void)snprintf(good, sizeof(good), "%s", jwt_case_token(&key, headers[i], CLAIMS));
        (void)snprintf(donor, sizeof(donor), "%s", jwt_case_token(&other, headers[i], CLAIMS));
        ASSERT_EQ_INT(check_at(jwks, good, NOW), TAPEOUT_OK);
        ASSERT_EQ_INT(check_at(jwks, donor, NOW), TAPEOUT_E_DENIED);
        check_mutants(jwks, good, donor, count);
        (void)printf("# %zu rounds of mutated tokens, algorithm %d: none let in\n", count, i);
        tp_jwks_unref(jwks);
        jwt_case_key_free(&key);
        jwt_case_key_free(&other);
    }
}

TEST_MAIN(TEST(test_every_algorithm), TEST(test_no_signature), TEST(test_public_key_as_secret),
          TEST(test_claims), TEST(test_times), TEST(test_headers), TEST(test_sets),
          TEST(test_limits), TEST(test_vectors), TEST(test_without_memory),
          TEST_SLOW(test_mutated_tokens, 600))
