// SPDX-License-Identifier: Apache-2.0
//
// A signature as a row, for the two files that write such rows.
#ifndef SIGNATURE_PRIV_H
#define SIGNATURE_PRIV_H

#include "registry/tp_signature_store.h"
#include "registry/tp_store.h"

extern const tp_store_schema tp_signature_schema;

typedef struct signature_row {
    tp_str sha256;
    tp_str envelope;
    char key_id[TP_SHA256_HEX_SIZE + 1];
} signature_row;

// The row of an envelope's text, which is borrowed. E_CORRUPT where it is none.
tapeout_status tp_signature_row_of(tp_arena *arena, tp_str sha256, tp_str envelope,
                                   signature_row *ret_row, tapeout_error *err);
// Whether a home may have signatures in files.
bool tp_signatures_are_in(const char *home);
// Within a transaction. `is_new`: in place of an earlier one by the same key; else that one stays.
tapeout_status tp_signatures_put(tp_store *store, const signature_row *row, bool is_new,
                                 tapeout_error *err);

#endif
