// SPDX-License-Identifier: Apache-2.0
//
// Key sets: what is taken has at least one key and at most as many as are allowed; what is not has
// a sentence. With a set that was taken a token of each key's kind can be asked about.
#include "base/limits.h"
#include "base/tp_alloc.h"
#include "trust/tp_jwt.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tapeout_allocator *alloc = tp_allocator_default();
    tp_jwks *jwks = NULL;
    yyjson_doc *claims = NULL;
    int64_t expires_s = 0;
    tapeout_error err = {0};
    if (tp_jwks_parse(alloc, (tp_str){(const char *)data, size}, TP_JWT_PS256, &jwks, &err) !=
        TAPEOUT_OK) {
        check(jwks == NULL && err.message[0] != '\0');
        return 0;
    }
    check(tp_jwks_count(jwks) >= 1 && tp_jwks_count(jwks) <= TP_MAX_JWKS_KEYS);
    const tp_jwt_policy policy = {.jwks = jwks, .algorithms = 15};
    const tp_str tokens[] = {TP_STR("eyJhbGciOiJFZERTQSJ9.e30.AAAA"),
                             TP_STR("eyJhbGciOiJFUzI1NiJ9.e30.AAAA"),
                             TP_STR("eyJhbGciOiJQUzI1NiJ9.e30.AAAA")};
    for (size_t i = 0; i < 3; i++) {
        check(tp_jwt_check(alloc, &policy, tokens[i], &claims, &expires_s, NULL) != TAPEOUT_OK);
    }
    tp_jwks_unref(jwks);
    return 0;
}
