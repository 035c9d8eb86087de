// SPDX-License-Identifier: Apache-2.0
//
// Protocol Buffers as they lie in a file (protobuf.dev, "Encoding"). A schema is the caller's
// business: it walks the fields of a message and takes those that it knows, so there is no
// generated code, no recursion and no memory here. Groups, which the format itself has given up,
// are refused.
#include "import/protobuf_priv.h"

#include "base/tp_error.h"

#include <string.h>

uint64_t tp_protobuf_varint(tp_cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t byte = tp_cursor_u8(cursor);
        if (shift == 63 && byte > 1) {
            break;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return cursor->failed ? 0 : value;
        }
    }
    cursor->failed = true;
    return 0;
}

static tapeout_status corrupt(const tp_cursor *message, const char *what, tapeout_error *err)
{
    return tp_fail_at(err, TAPEOUT_E_CORRUPT, message->position, "protobuf: %s at byte %zu of %zu",
                      what, message->position, message->size);
}

static tapeout_status read_value(tp_cursor *message, tp_protobuf_field *field, tapeout_error *err)
{
    switch (field->wire) {
    case TP_PROTOBUF_VARINT:
        field->value = tp_protobuf_varint(message);
        break;
    case TP_PROTOBUF_FIXED64:
        field->value = tp_cursor_u64(message);
        break;
    case TP_PROTOBUF_FIXED32:
        field->value = tp_cursor_u32(message);
        break;
    case TP_PROTOBUF_BYTES: {
        const uint64_t size = tp_protobuf_varint(message);
        if (!message->failed && size <= tp_cursor_left(message)) {
            field->bytes = tp_cursor_bytes(message, (size_t)size);
            return TAPEOUT_OK;
        }
        return corrupt(message, "a length that exceeds its message", err);
    }
    default:
        return corrupt(message, "a field of a form that does not exist, or a group,", err);
    }
    return message->failed ? corrupt(message, "a field that is cut short", err) : TAPEOUT_OK;
}

tapeout_status tp_protobuf_next(tp_cursor *message, tp_protobuf_field *ret_field, bool *ret_any,
                                tapeout_error *err)
{
    *ret_any = tp_cursor_left(message) > 0;
    if (!*ret_any) {
        return TAPEOUT_OK;
    }
    const uint64_t tag = tp_protobuf_varint(message);
    if (message->failed || tag >> 3 == 0 || tag > UINT32_MAX) {
        return corrupt(message, "a field without a number", err);
    }
    *ret_field =
        (tp_protobuf_field){.number = (uint32_t)(tag >> 3), .wire = (tp_protobuf_wire)(tag & 7)};
    return read_value(message, ret_field, err);
}

// -- lists of numbers ----------------------------------------------------------------------------

static size_t fixed_size(tp_protobuf_wire wire)
{
    return wire == TP_PROTOBUF_FIXED32 ? 4 : 8;
}

tapeout_status tp_protobuf_count(const tp_protobuf_field *field, tp_protobuf_wire wire,
                                 uint32_t *ret_count, tapeout_error *err)
{
    tp_cursor packed;
    tp_cursor_init(&packed, field->bytes.data, field->bytes.size);
    *ret_count = 1;
    if (field->wire == wire) {
        return TAPEOUT_OK;
    }
    if (field->wire != TP_PROTOBUF_BYTES || field->bytes.size > UINT32_MAX) {
        return corrupt(&packed, "a field that is no list of numbers", err);
    }
    if (wire != TP_PROTOBUF_VARINT) {
        *ret_count = (uint32_t)(field->bytes.size / fixed_size(wire));
        return field->bytes.size % fixed_size(wire) == 0
                   ? TAPEOUT_OK
                   : corrupt(&packed, "a packed list with a part of a number", err);
    }
    for (*ret_count = 0; tp_cursor_left(&packed) > 0 && !packed.failed; (*ret_count)++) {
        (void)tp_protobuf_varint(&packed);
    }
    return packed.failed ? corrupt(&packed, "a packed list that is cut short", err) : TAPEOUT_OK;
}

void tp_protobuf_values(const tp_protobuf_field *field, tp_protobuf_wire wire, uint64_t *ret_values)
{
    tp_cursor packed;
    tp_cursor_init(&packed, field->bytes.data, field->bytes.size);
    if (field->wire == wire) {
        *ret_values = field->value;
        return;
    }
    while (tp_cursor_left(&packed) > 0) {
        *ret_values++ = wire == TP_PROTOBUF_VARINT    ? tp_protobuf_varint(&packed)
                        : wire == TP_PROTOBUF_FIXED32 ? tp_cursor_u32(&packed)
                                                      : tp_cursor_u64(&packed);
    }
}

float tp_protobuf_f32(uint64_t bits)
{
    const uint32_t narrow = (uint32_t)bits;
    float value = 0;
    memcpy(&value, &narrow, sizeof(value));
    return value;
}

double tp_protobuf_f64(uint64_t bits)
{
    double value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}
