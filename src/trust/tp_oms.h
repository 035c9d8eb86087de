// SPDX-License-Identifier: Apache-2.0
//
// OpenSSF Model Signing v1.0 for a bundle, which is a model of one file: a Sigstore bundle with a
// DSSE envelope by a key of ECDSA over P-256. Other files, certificates and Sigstore's own keyless
// method are refused by name. For those who check models with tools of that world; what decides
// whether tapeout loads a model are its own signatures.
#ifndef TP_OMS_H
#define TP_OMS_H

#include "trust/tp_trust.h"

// The Sigstore bundle's text. `file_name` is the bundle's name without folder. E_INVALID for a key
// that is not P-256's.
tapeout_status tp_oms_sign(const tp_signer *signer, tp_str file_name, const tp_sha256 *file,
                           tp_buffer *text, tapeout_error *err);
// A verdict on the one signature in `text`. `inquiry->what->file` is needed and decides, with
// `file_name`.
tapeout_status tp_oms_check(tp_arena *arena, tp_str text, tp_str file_name,
                            const tp_inquiry *inquiry, tp_verdict *ret_verdict, tapeout_error *err);

#endif
