// SPDX-License-Identifier: Apache-2.0
//
// What the configuration says of callers besides those that the registry keeps: issuers of tokens,
// and names of client certificates (docs/access.md).
#ifndef SERVE_ACCESS_CONFIG_H
#define SERVE_ACCESS_CONFIG_H

#include "base/tp_arena.h"
#include "pipeline/tp_yaml.h"
#include "trust/tp_issuer.h"

// A client whose certificate has that name (tp_tls.h).
typedef struct serve_certificate {
    tp_str name;
    tp_str tenant;
    tp_str roles;
    tp_str limits;
} serve_certificate;

typedef struct serve_access_config {
    tp_issuer issuers[TP_MAX_ISSUERS];
    uint32_t issuer_count;
    serve_certificate certificates[TP_MAX_CERTIFICATE_NAMES];
    uint32_t certificate_count;
} serve_access_config;

// Reads `access:` of the file of that name. Texts live in `arena`.
tapeout_status tp_serve_access_config_bind(serve_access_config *config, tp_arena *arena,
                                           tp_yaml *yaml, tp_yaml_node node, const char *file,
                                           tapeout_error *err);

#endif
