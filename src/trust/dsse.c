// SPDX-License-Identifier: Apache-2.0
//
// Envelopes: written in one way, read strictly. A reader of our own envelopes writes again what it
// understood and compares, as the bundle's reader does with manifests.
#include "trust/tp_dsse.h"

#include "base/tp_error.h"
#include "trust/key_priv.h"
#include "trust/tp_base64.h"

#include <string.h>

void tp_dsse_pae_append(tp_buffer *bytes, tp_str type, tp_str payload)
{
    tp_buffer_printf(bytes, "DSSEv1 %zu ", type.size);
    tp_buffer_append_str(bytes, type);
    tp_buffer_printf(bytes, " %zu ", payload.size);
    tp_buffer_append_str(bytes, payload);
}

void tp_dsse_append(tp_buffer *text, const tp_envelope *envelope)
{
    tp_buffer_append_text(text, "{\"payload\":\"");
    tp_base64_append(text, envelope->payload);
    tp_buffer_append_text(text, "\",\"payloadType\":");
    tp_json_append_str(text, envelope->type);
    tp_buffer_append_text(text, ",\"signatures\":[{\"keyid\":");
    if (envelope->has_key_id) {
        tp_key_id_append(text, &envelope->key_id);
    } else {
        tp_buffer_append_text(text, "\"\"");
    }
    tp_buffer_append_text(text, ",\"sig\":\"");
    tp_base64_append(text, envelope->signature);
    tp_buffer_append_text(text, "\"}]}");
}

tapeout_status tp_dsse_sign(const tp_signer *signer, tp_str type, tp_str payload, bool names_key,
                            tp_buffer *text, tapeout_error *err)
{
    uint8_t signature[TP_KEY_SIGNATURE_SIZE];
    size_t size = 0;
    tp_buffer bytes;
    tp_buffer_init(&bytes, text->alloc, 2 * TP_MAX_ENVELOPE_BYTES);
    tp_dsse_pae_append(&bytes, type, payload);
    tapeout_status status = tp_buffer_check(&bytes, "signature: what is to be signed", err);
    if (status == TAPEOUT_OK) {
        status = signer->sign(signer, tp_buffer_view(&bytes), signature, &size, err);
    }
    tp_buffer_deinit(&bytes);
    TP_TRY(status);
    tp_dsse_append(text, &(tp_envelope){.type = type,
                                        .payload = payload,
                                        .signature = {(const char *)signature, size},
                                        .has_key_id = names_key,
                                        .key_id = signer->key.id});
    return tp_buffer_check(text, "signature", err);
}

bool tp_dsse_verify(const tapeout_allocator *alloc, const tp_envelope *envelope,
                    const tp_public_key *key)
{
    tp_buffer bytes;
    tp_buffer_init(&bytes, alloc, 2 * TP_MAX_SIGNATURE_FILE_BYTES);
    tp_dsse_pae_append(&bytes, envelope->type, envelope->payload);
    const bool is_good = bytes.status == TAPEOUT_OK &&
                         tp_public_key_verify(key, tp_buffer_view(&bytes), envelope->signature);
    tp_buffer_deinit(&bytes);
    return is_good;
}

static tapeout_status malformed(tapeout_error *err, const char *what)
{
    return tp_fail(err, TAPEOUT_E_CORRUPT, "signature: %s", what);
}

tapeout_status tp_dsse_read(tp_arena *arena, yyjson_val *value, tp_envelope *ret_envelope,
                            tapeout_error *err)
{
    yyjson_val *signatures = yyjson_obj_get(value, "signatures");
    yyjson_val *first = yyjson_arr_get_first(signatures);
    yyjson_val *key_id = yyjson_obj_get(first, "keyid");
    const tp_str id = tp_json_str(key_id);
    if (yyjson_obj_size(value) != 3 || yyjson_arr_size(signatures) != 1 ||
        yyjson_obj_size(first) != (key_id == NULL ? 1u : 2u) ||
        (key_id != NULL && !yyjson_is_null(key_id) && id.data == NULL)) {
        return malformed(err, "no envelope with payload, payloadType and one signature");
    }
    tp_envelope envelope = {.type = tp_json_get_str(value, "payloadType")};
    envelope.type = tp_arena_str(arena, envelope.type);
    envelope.payload = tp_base64_decode(arena, tp_json_get_str(value, "payload"));
    envelope.signature = tp_base64_decode(arena, tp_json_get_str(first, "sig"));
    envelope.has_key_id = tp_key_id_parse(id, &envelope.key_id);
    TP_TRY(tp_arena_check(arena, "signature", err));
    if (envelope.type.data == NULL || envelope.payload.data == NULL ||
        envelope.signature.data == NULL) {
        return malformed(err, "payload or signature is no base64");
    }
    *ret_envelope = envelope;
    return TAPEOUT_OK;
}

static tapeout_status parse_own(tp_arena *arena, yyjson_val *root, tp_str text,
                                tp_envelope *ret_envelope, tapeout_error *err)
{
    tp_envelope envelope;
    tp_buffer again;
    TP_TRY(tp_dsse_read(arena, root, &envelope, err));
    tp_buffer_init(&again, arena->alloc, 2 * TP_MAX_ENVELOPE_BYTES);
    tp_dsse_append(&again, &envelope);
    tapeout_status status = tp_buffer_check(&again, "signature", err);
    if (status == TAPEOUT_OK &&
        (!envelope.has_key_id || !tp_str_equal(tp_buffer_view(&again), text))) {
        status = malformed(err, "not written as tapeout writes it");
    }
    tp_buffer_deinit(&again);
    if (status == TAPEOUT_OK) {
        *ret_envelope = envelope;
    }
    return status;
}

tapeout_status tp_dsse_parse(tp_arena *arena, tp_str text, tp_envelope *ret_envelope,
                             tapeout_error *err)
{
    yyjson_doc *doc = NULL;
    if (text.size > TP_MAX_ENVELOPE_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "signature: an envelope of %zu bytes, at most %u",
                       text.size, TP_MAX_ENVELOPE_BYTES);
    }
    TP_TRY(tp_json_parse(arena->alloc, text, "signature", &doc, err));
    const tapeout_status status =
        parse_own(arena, yyjson_doc_get_root(doc), text, ret_envelope, err);
    yyjson_doc_free(doc);
    return status;
}
