// SPDX-License-Identifier: Apache-2.0
//
// The wire format of Protocol Buffers: a message is fields, one behind the other, each with a
// number and one of four forms. Everything that is read is a view into the bytes.
#ifndef PROTOBUF_PRIV_H
#define PROTOBUF_PRIV_H

#include "base/tp_cursor.h"

typedef enum tp_protobuf_wire {
    TP_PROTOBUF_VARINT = 0,
    TP_PROTOBUF_FIXED64 = 1,
    TP_PROTOBUF_BYTES = 2, // a text, a message or a packed list
    TP_PROTOBUF_FIXED32 = 5
} tp_protobuf_wire;

typedef struct tp_protobuf_field {
    uint32_t number;
    tp_protobuf_wire wire;
    uint64_t value; // of VARINT, or the bits of a fixed one
    tp_str bytes;   // of BYTES
} tp_protobuf_field;

// A varint of at most ten bytes; the cursor fails where there is none.
uint64_t tp_protobuf_varint(tp_cursor *cursor);

// The next field of a message, false at its end. E_CORRUPT where it is cut short, longer than the
// message, or of a form that does not exist; groups are refused among these.
tapeout_status tp_protobuf_next(tp_cursor *message, tp_protobuf_field *ret_field, bool *ret_any,
                                tapeout_error *err);

// How many numbers a field of a repeated number holds: one, or those of a packed list, each of the
// form `wire`. E_CORRUPT where the field is no such thing.
tapeout_status tp_protobuf_count(const tp_protobuf_field *field, tp_protobuf_wire wire,
                                 uint32_t *ret_count, tapeout_error *err);
// The bits of these, in order, into `ret_values` [count]; only after tp_protobuf_count.
void tp_protobuf_values(const tp_protobuf_field *field, tp_protobuf_wire wire,
                        uint64_t *ret_values);

float tp_protobuf_f32(uint64_t bits);
double tp_protobuf_f64(uint64_t bits);

#endif
