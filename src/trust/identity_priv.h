// SPDX-License-Identifier: Apache-2.0
//
// Identities inside: the texts of grants and rates as lists. Their views point into the text.
#ifndef IDENTITY_PRIV_H
#define IDENTITY_PRIV_H

#include "trust/tp_identity.h"

// At most TP_MAX_GRANTS, at least one.
tapeout_status tp_grants_parse(tp_str text, tp_grant *ret_grants, uint32_t *ret_count,
                               tapeout_error *err);
// At most TP_MAX_RATES; none for an empty text.
tapeout_status tp_rates_parse(tp_str text, tp_rate *ret_rates, uint32_t *ret_count,
                              tapeout_error *err);

#endif
