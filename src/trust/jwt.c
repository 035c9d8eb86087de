// SPDX-License-Identifier: Apache-2.0
//
// Tokens: three parts of strict base64url, a header that must agree with the key, a signature, and
// only then the claims. JSON is strict: a name that stands twice could be read in two ways.
#include "trust/tp_jwt.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"
#include "table/tp_json.h"
#include "trust/jwt_priv.h"

#include <string.h>

typedef struct jwt_parts {
    tp_str header; // still encoded, as the others
    tp_str payload;
    tp_str signature;
    tp_str signed_text; // header, dot, payload
} jwt_parts;

static bool split(tp_str token, jwt_parts *ret_parts)
{
    if (token.size == 0 || token.size > TP_MAX_JWT_BYTES) {
        return false;
    }
    const char *end = token.data + token.size;
    const char *first = memchr(token.data, '.', token.size);
    const char *second = first == NULL ? NULL : memchr(first + 1, '.', (size_t)(end - first - 1));
    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL) {
        return false;
    }
    ret_parts->header = (tp_str){token.data, (size_t)(first - token.data)};
    ret_parts->payload = (tp_str){first + 1, (size_t)(second - first - 1)};
    ret_parts->signature = (tp_str){second + 1, (size_t)(end - second - 1)};
    ret_parts->signed_text = (tp_str){token.data, (size_t)(second - token.data)};
    return true;
}

bool tp_jwt_is_token(tp_str text)
{
    jwt_parts parts;
    return split(text, &parts);
}

// A part as a JSON object.
static tapeout_status read_part(const tapeout_allocator *alloc, tp_str part, const char *what,
                                yyjson_doc **ret_doc, tapeout_error *err)
{
    uint8_t data[TP_MAX_JWT_BYTES];
    size_t size = 0;
    if (!tp_base64url_decode(part, data, sizeof(data), &size)) {
        return tp_fail(err, TAPEOUT_E_DENIED, "%s is no base64url", what);
    }
    yyjson_doc *doc = NULL;
    const tapeout_status status =
        tp_json_parse(alloc, (tp_str){(const char *)data, size}, what, &doc, err);
    if (status != TAPEOUT_OK) {
        return status == TAPEOUT_E_NOMEM ? status : TAPEOUT_E_DENIED;
    }
    if (!yyjson_is_obj(yyjson_doc_get_root(doc))) {
        yyjson_doc_free(doc);
        return tp_fail(err, TAPEOUT_E_DENIED, "%s is no object", what);
    }
    *ret_doc = doc;
    return TAPEOUT_OK;
}

// -- the header ----------------------------------------------------------------------------------
static bool is_known_type(tp_str type)
{
    return tp_str_equal_ignore_case(type, TP_STR("JWT")) ||
           tp_str_equal_ignore_case(type, TP_STR("at+jwt")) ||
           tp_str_equal_ignore_case(type, TP_STR("application/at+jwt"));
}

// The key that the header names; without a name the only one there is.
static tapeout_status find_key(const tp_jwks *jwks, yyjson_val *header, const jwk **ret_key,
                               tapeout_error *err)
{
    yyjson_val *kid = yyjson_obj_get(header, "kid");
    if (kid == NULL) {
        *ret_key = &jwks->keys[0];
        return jwks->count == 1 ? TAPEOUT_OK
                                : tp_fail(err, TAPEOUT_E_DENIED, "no kid, and several keys");
    }
    const tp_str name = tp_json_str(kid);
    for (uint32_t i = 0; i < jwks->count; i++) {
        if (yyjson_is_str(kid) && tp_str_equal(name, tp_str_from(jwks->keys[i].kid))) {
            *ret_key = &jwks->keys[i];
            return TAPEOUT_OK;
        }
    }
    return yyjson_is_str(kid) ? tp_fail(err, TAPEOUT_E_NOT_FOUND, "unknown kid")
                              : tp_fail(err, TAPEOUT_E_DENIED, "kid is no text");
}

static tapeout_status check_header(const tp_jwt_policy *policy, yyjson_val *header,
                                   const jwk **ret_key, tapeout_error *err)
{
    static const char *const refused[] = {"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip"};
    yyjson_val *type = yyjson_obj_get(header, "typ");
    tp_jwt_algorithm algorithm = TP_JWT_ALGORITHM_COUNT;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (yyjson_obj_get(header, refused[i]) != NULL) {
            return tp_fail(err, TAPEOUT_E_DENIED, "the header has %s", refused[i]);
        }
    }
    if (type != NULL && !is_known_type(tp_json_str(type))) {
        return tp_fail(err, TAPEOUT_E_DENIED, "typ is neither JWT nor at+jwt");
    }
    TP_TRY(find_key(policy->jwks, header, ret_key, err));
    if (!tp_jwt_algorithm_from_name(tp_json_get_str(header, "alg"), &algorithm) ||
        algorithm != (*ret_key)->algorithm || (policy->algorithms >> algorithm & 1) == 0) {
        return tp_fail(err, TAPEOUT_E_DENIED, "alg is not that of the key");
    }
    return TAPEOUT_OK;
}

// -- the claims ----------------------------------------------------------------------------------
// A time in whole or broken seconds that a calendar can have. False where it is none.
static bool read_time(yyjson_val *value, int64_t *ret_s)
{
    const double seconds = yyjson_is_num(value) ? yyjson_get_num(value) : -1;
    if (!(seconds >= 0 && seconds <= TP_MAX_JWT_TIME_S)) {
        return false;
    }
    *ret_s = (int64_t)seconds;
    return true;
}

static bool has_audience(yyjson_val *audience, tp_str wanted)
{
    yyjson_val *item = NULL;
    size_t index = 0;
    size_t count = 0;
    if (yyjson_is_str(audience)) {
        return tp_str_equal(tp_json_str(audience), wanted);
    }
    bool found = false;
    bool is_texts = yyjson_is_arr(audience);
    yyjson_arr_foreach(audience, index, count, item)
    {
        is_texts = is_texts && yyjson_is_str(item);
        found = found || tp_str_equal(tp_json_str(item), wanted);
    }
    return found && is_texts;
}

static tapeout_status check_times(const tp_jwt_policy *policy, yyjson_val *claims,
                                  int64_t *ret_expires_s, tapeout_error *err)
{
    static const char *const not_before[] = {"nbf", "iat"};
    int64_t time_s = 0;
    if (!read_time(yyjson_obj_get(claims, "exp"), &time_s)) {
        return tp_fail(err, TAPEOUT_E_DENIED, "exp is missing, or no time");
    }
    if (policy->now_s >= time_s + policy->leeway_s) {
        return tp_fail(err, TAPEOUT_E_DENIED, "expired");
    }
    *ret_expires_s = time_s + policy->leeway_s;
    for (size_t i = 0; i < 2; i++) {
        yyjson_val *value = yyjson_obj_get(claims, not_before[i]);
        if (value != NULL && !read_time(value, &time_s)) {
            return tp_fail(err, TAPEOUT_E_DENIED, "%s is no time", not_before[i]);
        }
        if (value != NULL && time_s > policy->now_s + policy->leeway_s) {
            return tp_fail(err, TAPEOUT_E_DENIED, "%s is not yet", not_before[i]);
        }
    }
    return TAPEOUT_OK;
}

static tapeout_status check_claims(const tp_jwt_policy *policy, yyjson_val *claims,
                                   int64_t *ret_expires_s, tapeout_error *err)
{
    yyjson_val *issuer = yyjson_obj_get(claims, "iss");
    const tp_str subject = tp_json_get_str(claims, "sub");
    if (!yyjson_is_str(issuer) || !tp_str_equal(tp_json_str(issuer), policy->issuer)) {
        return tp_fail(err, TAPEOUT_E_DENIED, "iss is another");
    }
    if (!has_audience(yyjson_obj_get(claims, "aud"), policy->audience)) {
        return tp_fail(err, TAPEOUT_E_DENIED, "aud is missing or another");
    }
    if (subject.size == 0 || subject.size > TP_MAX_JWT_SUBJECT_BYTES) {
        return tp_fail(err, TAPEOUT_E_DENIED, "sub is missing or too long");
    }
    return check_times(policy, claims, ret_expires_s, err);
}

// -- all of it -----------------------------------------------------------------------------------
static tapeout_status check_signature(const tapeout_allocator *alloc, const tp_jwt_policy *policy,
                                      const jwt_parts *parts, tapeout_error *err)
{
    uint8_t signature[TP_MAX_JWT_SIGNATURE_BYTES];
    size_t size = 0;
    yyjson_doc *header = NULL;
    const jwk *key = NULL;
    TP_TRY(read_part(alloc, parts->header, "token's header", &header, err));
    const tapeout_status status = check_header(policy, yyjson_doc_get_root(header), &key, err);
    yyjson_doc_free(header);
    TP_TRY(status);
    return tp_base64url_decode(parts->signature, signature, sizeof(signature), &size) &&
                   tp_jwk_verify(key, parts->signed_text, signature, size)
               ? TAPEOUT_OK
               : tp_fail(err, TAPEOUT_E_DENIED, "wrong signature");
}

tapeout_status tp_jwt_check(const tapeout_allocator *alloc, const tp_jwt_policy *policy,
                            tp_str token, yyjson_doc **ret_claims, int64_t *ret_expires_s,
                            tapeout_error *err)
{
    jwt_parts parts;
    yyjson_doc *claims = NULL;
    if (!split(token, &parts)) {
        return tp_fail(err, TAPEOUT_E_DENIED, "not a token of three parts");
    }
    TP_TRY(check_signature(alloc, policy, &parts, err));
    TP_TRY(read_part(alloc, parts.payload, "token's claims", &claims, err));
    const tapeout_status status =
        check_claims(policy, yyjson_doc_get_root(claims), ret_expires_s, err);
    if (status != TAPEOUT_OK) {
        yyjson_doc_free(claims);
        return status;
    }
    *ret_claims = claims;
    return TAPEOUT_OK;
}

tp_str tp_jwt_issuer(const tapeout_allocator *alloc, tp_str token, char *place, size_t size)
{
    jwt_parts parts;
    yyjson_doc *claims = NULL;
    tp_str issuer = {place, 0};
    if (!split(token, &parts) ||
        read_part(alloc, parts.payload, "token's claims", &claims, NULL) != TAPEOUT_OK) {
        return issuer;
    }
    const tp_str said = tp_json_get_str(yyjson_doc_get_root(claims), "iss");
    if (said.size <= size && said.size > 0) {
        memcpy(place, said.data, said.size);
        issuer.size = said.size;
    }
    yyjson_doc_free(claims);
    return issuer;
}
