// SPDX-License-Identifier: Apache-2.0
//
// DSSE, the Dead Simple Signing Envelope v1: a payload with its type, and a signature over both as
// they are, so that nothing has to be made canonical or parsed before it is known to be signed.
// Ours hold one signature each and have one text: whatever reads the same and is written otherwise
// is refused, so that no byte of an envelope can change unnoticed.
#ifndef TP_DSSE_H
#define TP_DSSE_H

#include "base/tp_arena.h"
#include "table/tp_json.h"
#include "trust/tp_key.h"

// The payload type of in-toto statements.
#define TP_DSSE_IN_TOTO "application/vnd.in-toto+json"

typedef struct tp_envelope {
    tp_str type;      // of the payload
    tp_str payload;   // decoded
    tp_str signature; // decoded
    bool has_key_id;
    tp_sha256 key_id; // a hint at whose key to try; the key decides
} tp_envelope;

// What is signed: "DSSEv1 SIZE TYPE SIZE PAYLOAD".
void tp_dsse_pae_append(tp_buffer *bytes, tp_str type, tp_str payload);

// Signs and appends the envelope's text, without a line's end. `names_key`: with the key's id.
tapeout_status tp_dsse_sign(const tp_signer *signer, tp_str type, tp_str payload, bool names_key,
                            tp_buffer *text, tapeout_error *err);
// True when the signature over type and payload is the key's; false without memory too.
bool tp_dsse_verify(const tapeout_allocator *alloc, const tp_envelope *envelope,
                    const tp_public_key *key);

// An envelope as tp_dsse_sign writes it, to the byte. Texts are in the arena. E_CORRUPT.
tapeout_status tp_dsse_parse(tp_arena *arena, tp_str text, tp_envelope *ret_envelope,
                             tapeout_error *err);
// An envelope as others write it, with one signature: "keyid" may be absent, empty or null.
tapeout_status tp_dsse_read(tp_arena *arena, yyjson_val *value, tp_envelope *ret_envelope,
                            tapeout_error *err);
// With an empty "keyid" where the envelope has none.
void tp_dsse_append(tp_buffer *text, const tp_envelope *envelope);

#endif
