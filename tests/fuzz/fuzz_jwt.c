// SPDX-License-Identifier: Apache-2.0
//
// Tokens against a set of one key of each kind: whatever comes, nothing crashes, a refusal has a
// sentence, and a token that nobody signed is never taken (the fuzzer has no private key).
#include "base/tp_alloc.h"
#include "trust/tp_jwt.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

// The public keys of RFC 8037 (A.2), RFC 7515 (A.3) and RFC 7517 (A.1).
static const char keys[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"ed\","
                           "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
                           "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"ec\","
                           "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                           "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static tp_jwks *jwks;
    const tapeout_allocator *alloc = tp_allocator_default();
    const tp_str token = {(const char *)data, size};
    char name[512];
    if (jwks == NULL) {
        check(tp_jwks_parse(alloc, tp_str_from(keys), TP_JWT_RS256, &jwks, NULL) == TAPEOUT_OK);
    }
    const tp_jwt_policy policy = {.jwks = jwks,
                                  .issuer = TP_STR("joe"),
                                  .audience = TP_STR("tapeout"),
                                  .algorithms = 15,
                                  .leeway_s = 60,
                                  .now_s = 1300819300};
    yyjson_doc *claims = NULL;
    int64_t expires_s = 0;
    tapeout_error err = {0};
    const tapeout_status status = tp_jwt_check(alloc, &policy, token, &claims, &expires_s, &err);
    check(status == TAPEOUT_E_DENIED || status == TAPEOUT_E_NOT_FOUND);
    check(err.message[0] != '\0');
    const tp_str issuer = tp_jwt_issuer(alloc, token, name, sizeof(name));
    check(issuer.size == 0 || tp_jwt_is_token(token));
    return 0;
}
