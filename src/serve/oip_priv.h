// SPDX-License-Identifier: Apache-2.0
//
// Tensors of the Open Inference Protocol: their types, and one element on its way from JSON or from
// packed bytes into a column. docs/serve.md has the table of what converts to what.
#ifndef OIP_PRIV_H
#define OIP_PRIV_H

#include "base/tp_cursor.h"
#include "serve/serve_priv.h"

typedef enum oip_kind { OIP_BOOL, OIP_INT, OIP_UINT, OIP_FLOAT, OIP_BFLOAT, OIP_BYTES } oip_kind;

typedef struct oip_datatype {
    const char *name;
    oip_kind kind;
    uint32_t size; // bytes of an element; 0 for BYTES
} oip_datatype;

// NULL where the name is none.
const oip_datatype *tp_oip_datatype_find(tp_str name);
const char *tp_oip_datatype_of_column(tapeout_type type);

typedef struct oip_input {
    tp_str name;
    uint32_t column;
    const oip_datatype *datatype;
    uint64_t count;
    bool is_matrix;   // of shape [n, 1]
    yyjson_val *data; // JSON, or NULL and then
    tp_str raw;       // packed little-endian bytes
} oip_input;

// Appends all elements of the input to its column. E_DATA names the input and the element.
tapeout_status tp_oip_input_read(serve_batch *batch, const oip_input *input, tapeout_error *err);

#endif
