// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 through OpenSSL's libcrypto, which uses the processor's own instructions where it has
// them.
#include "bundle/tp_bundle.h"

#include "base/tp_error.h"
#include "base/tp_hex.h"

#include <openssl/evp.h>

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
    *ret_hash = tp_sha256_of(map.data, map.size);
    tp_map_close(&map);
    return TAPEOUT_OK;
}
