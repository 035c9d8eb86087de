// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 through OpenSSL's libcrypto, which uses the processor's own instructions where it has
// them.
#include "bundle/tp_bundle.h"

#include "base/tp_error.h"
#include "base/tp_hex.h"

#include <openssl/evp.h>

enum { FILE_STEP_BYTES = 8 << 20 };

tp_sha256 tp_sha256_of(const void *data, size_t size)
{
    tp_sha256 hash = {{0}};
    // Fails only for lack of memory inside libcrypto; a hash of zeros then matches nothing.
    (void)EVP_Digest(data, size, hash.bytes, NULL, EVP_sha256(), NULL);
    return hash;
}

void tp_sha256_hex(const tp_sha256 *hash, char ret_hex[TP_SHA256_HEX_SIZE + 1])
{
    tp_hex_write(hash->bytes, TP_SHA256_SIZE, ret_hex);
}

tapeout_status tp_sha256_file(const char *path, tp_sha256 *ret_hash, tapeout_error *err)
{
    tp_map map;
    TP_TRY(tp_map_open(path, &map, err));
    tp_map_advise_sequential(&map);
    EVP_MD_CTX *hasher = EVP_MD_CTX_new();
    bool is_good = hasher != NULL && EVP_DigestInit_ex(hasher, EVP_sha256(), NULL) == 1;
    for (size_t at = 0; at < map.size && is_good; at += FILE_STEP_BYTES) {
        const size_t left = map.size - at;
        const size_t step = left < FILE_STEP_BYTES ? left : FILE_STEP_BYTES;
        is_good = EVP_DigestUpdate(hasher, map.data + at, step) == 1;
        tp_map_release(&map, at, step); // a large file is never in memory whole
    }
    is_good = is_good && EVP_DigestFinal_ex(hasher, ret_hash->bytes, NULL) == 1;
    EVP_MD_CTX_free(hasher);
    tp_map_close(&map);
    return is_good ? TAPEOUT_OK : tp_fail_nomem(err);
}
