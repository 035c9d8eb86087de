// SPDX-License-Identifier: Apache-2.0
//
// ONNX files from lines of text, so that a test can say what is in one and change it:
//
//   opset DOMAIN VERSION              "-" is the domain of ONNX itself
//   input NAME TYPE COLUMNS           output NAME
//   tensor NAME TYPE DIMS : VALUES    DIMS as 1,2 or "-" for none
//   node OP DOMAIN INPUTS OUTPUTS     names with commas between; its attributes follow:
//   f|i|s NAME VALUE                  a single float, whole number or text
//   F|I|S|P|T NAME VALUES             floats, ints, texts, packed ints, a tensor of doubles
//
// Words are parted by blanks; "~" in a word is a blank.
#ifndef ONNX_BUILDER_H
#define ONNX_BUILDER_H

#include "base/tp_alloc.h"
#include "base/tp_buffer.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { ONNX_CASE_BYTES = 65536 };

static inline void onnx_varint(tp_buffer *to, uint64_t value)
{
    while (value >= 0x80) {
        tp_buffer_append_char(to, (char)(value | 0x80));
        value >>= 7;
    }
    tp_buffer_append_char(to, (char)value);
}

static inline void onnx_number(tp_buffer *to, uint32_t field, uint64_t value)
{
    onnx_varint(to, (uint64_t)field << 3);
    onnx_varint(to, value);
}

static inline void onnx_bytes(tp_buffer *to, uint32_t field, tp_str bytes)
{
    onnx_varint(to, (uint64_t)field << 3 | 2);
    onnx_varint(to, bytes.size);
    tp_buffer_append_str(to, bytes);
}

static inline void onnx_float(tp_buffer *to, uint32_t field, float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    onnx_varint(to, (uint64_t)field << 3 | 5);
    tp_buffer_append_u32le(to, bits);
}

// The next word of a line, its "~" made blanks; empty at its end.
static inline tp_str onnx_word(const char **at)
{
    static char words[8][4096];
    static unsigned turn;
    char *word = words[turn++ % 8];
    size_t size = 0;
    while (**at == ' ') {
        (*at)++;
    }
    for (; **at != '\0' && **at != ' ' && **at != '\n' && size < 4095; (*at)++) {
        word[size++] = (char)(**at == '~' ? ' ' : **at);
    }
    word[size] = '\0';
    return (tp_str){word, size};
}

static inline void onnx_names(tp_buffer *to, uint32_t field, tp_str names)
{
    const char *at = names.data;
    while (*at != '\0') {
        const size_t size = strcspn(at, ",");
        onnx_bytes(to, field, (tp_str){at, size});
        at += at[size] == ',' ? size + 1 : size;
    }
}

static inline uint64_t onnx_type_of(tp_str word)
{
    static const char *const names[] = {"",      "float", "uint8",  "int8", "uint16", "int16",
                                        "int32", "int64", "string", "bool", "half",   "double"};
    for (uint64_t i = 1; i < 12; i++) {
        if (strcmp(word.data, names[i]) == 0) {
            return i;
        }
    }
    return 99;
}

typedef struct onnx_case {
    tp_buffer model;
    tp_buffer graph;
    tp_buffer node;
    tp_buffer part;
    tp_buffer inner;
    bool has_node;
} onnx_case;

static inline void onnx_end_node(onnx_case *c)
{
    if (c->has_node) {
        onnx_bytes(&c->graph, 1, tp_buffer_view(&c->node));
    }
    tp_buffer_clear(&c->node);
    c->has_node = false;
}

// The values behind a name, as fields of TensorProto.
static inline void onnx_values(tp_buffer *to, uint64_t type, const char **at)
{
    for (tp_str word = onnx_word(at); word.size > 0; word = onnx_word(at)) {
        if (type == 8) {
            onnx_bytes(to, 6, word);
        } else if (type == 1) {
            onnx_float(to, 4, strtof(word.data, NULL));
        } else if (type == 11) {
            const double value = strtod(word.data, NULL);
            uint64_t bits = 0;
            memcpy(&bits, &value, sizeof(bits));
            onnx_varint(to, 10 << 3 | 1);
            tp_buffer_append_u64le(to, bits);
        } else {
            onnx_number(to, type == 7 ? 7 : 5, (uint64_t)strtoll(word.data, NULL, 10));
        }
    }
}

static inline void onnx_tensor_line(onnx_case *c, const char *at)
{
    const tp_str name = onnx_word(&at);
    tp_buffer_clear(&c->part);
    onnx_bytes(&c->part, 8, name);
    const uint64_t type = onnx_type_of(onnx_word(&at));
    onnx_number(&c->part, 2, type);
    const tp_str dims = onnx_word(&at);
    for (const char *dim = dims.data; dims.data[0] != '-' && *dim != '\0';) {
        onnx_number(&c->part, 1, (uint64_t)strtoll(dim, NULL, 10));
        dim += strcspn(dim, ",");
        dim += *dim == ',' ? 1 : 0;
    }
    (void)onnx_word(&at); // ":"
    onnx_values(&c->part, type, &at);
    onnx_bytes(&c->graph, 5, tp_buffer_view(&c->part));
}

// What is in the buffer becomes one field of a message.
static inline void onnx_wrap(tp_buffer *buffer, uint32_t field)
{
    char inner[512];
    const size_t size = buffer->size;
    ASSERT(size < sizeof(inner));
    memcpy(inner, buffer->data, size);
    tp_buffer_clear(buffer);
    onnx_bytes(buffer, field, (tp_str){inner, size});
}

// A type: rows, whose number is open, of so many columns; "-" for a shape of one dimension.
static inline void onnx_port_line(onnx_case *c, uint32_t field, const char *at)
{
    const tp_str name = onnx_word(&at);
    const tp_str type = onnx_word(&at);
    const tp_str columns = onnx_word(&at);
    tp_buffer_clear(&c->part);
    tp_buffer_clear(&c->inner);
    onnx_bytes(&c->part, 1, name);
    if (type.size > 0) {
        const bool is_row = columns.data[0] == '-';
        onnx_number(&c->inner, 1, is_row ? 1 : (uint64_t)strtoll(columns.data, NULL, 10));
        onnx_wrap(&c->inner, 1);
        if (!is_row) {
            onnx_bytes(&c->inner, 1, TP_STR("")); // the open one, which must come first:
            char dims[64];
            const size_t size = c->inner.size;
            memcpy(dims, c->inner.data, size);
            tp_buffer_clear(&c->inner);
            tp_buffer_append(&c->inner, dims + size - 2, 2);
            tp_buffer_append(&c->inner, dims, size - 2);
        }
        onnx_wrap(&c->inner, 2);
        onnx_number(&c->inner, 1, onnx_type_of(type));
        onnx_wrap(&c->inner, 1);
        onnx_bytes(&c->part, 2, tp_buffer_view(&c->inner));
    }
    onnx_bytes(&c->graph, field, tp_buffer_view(&c->part));
}

static inline void onnx_attribute_line(onnx_case *c, char kind, const char *at)
{
    tp_buffer_clear(&c->part);
    tp_buffer_clear(&c->inner);
    onnx_bytes(&c->part, 1, onnx_word(&at));
    if (kind == 'T') {
        const char *rest = at;
        uint64_t count = 0;
        while (onnx_word(&rest).size > 0) {
            count++;
        }
        onnx_number(&c->inner, 1, count);
        onnx_number(&c->inner, 2, 11);
        onnx_values(&c->inner, 11, &at);
        onnx_bytes(&c->part, 5, tp_buffer_view(&c->inner));
    }
    for (tp_str word = onnx_word(&at); word.size > 0; word = onnx_word(&at)) {
        switch (kind) {
        case 'f':
        case 'F':
            onnx_float(&c->part, kind == 'f' ? 2 : 7, strtof(word.data, NULL));
            break;
        case 'i':
        case 'I':
            onnx_number(&c->part, kind == 'i' ? 3 : 8, (uint64_t)strtoll(word.data, NULL, 10));
            break;
        case 'P':
            onnx_varint(&c->inner, (uint64_t)strtoll(word.data, NULL, 10));
            break;
        default:
            onnx_bytes(&c->part, kind == 's' ? 4 : 9, word);
            break;
        }
    }
    if (kind == 'P') {
        onnx_bytes(&c->part, 8, tp_buffer_view(&c->inner));
    }
    onnx_bytes(&c->node, 5, tp_buffer_view(&c->part));
}

static inline void onnx_node_line(onnx_case *c, const char *at)
{
    onnx_end_node(c);
    c->has_node = true;
    onnx_bytes(&c->node, 4, onnx_word(&at));
    const tp_str domain = onnx_word(&at);
    if (domain.data[0] != '-') {
        onnx_bytes(&c->node, 7, domain);
    }
    onnx_names(&c->node, 1, onnx_word(&at));
    onnx_names(&c->node, 2, onnx_word(&at));
}

static inline void onnx_line(onnx_case *c, const char *line)
{
    const char *at = line;
    const tp_str verb = onnx_word(&at);
    if (strcmp(verb.data, "node") == 0) {
        onnx_node_line(c, at);
    } else if (strcmp(verb.data, "tensor") == 0) {
        onnx_tensor_line(c, at);
    } else if (strcmp(verb.data, "input") == 0) {
        onnx_port_line(c, 11, at);
    } else if (strcmp(verb.data, "output") == 0) {
        onnx_port_line(c, 12, at);
    } else if (strcmp(verb.data, "opset") == 0) {
        const tp_str domain = onnx_word(&at);
        tp_buffer_clear(&c->part);
        onnx_bytes(&c->part, 1, domain.data[0] == '-' ? TP_STR("") : domain);
        onnx_number(&c->part, 2, (uint64_t)strtoll(onnx_word(&at).data, NULL, 10));
        onnx_bytes(&c->model, 8, tp_buffer_view(&c->part));
    } else if (verb.size == 1) {
        onnx_attribute_line(c, verb.data[0], at);
    }
}

// The file that `text` says, in one of a few buffers.
static inline tp_str onnx_file(const char *text)
{
    static char files[2][ONNX_CASE_BYTES];
    static unsigned turn;
    char *file = files[turn++ % 2];
    onnx_case c;
    tp_buffer *const buffers[] = {&c.model, &c.graph, &c.node, &c.part, &c.inner};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        tp_buffer_init(buffers[i], tp_allocator_default(), ONNX_CASE_BYTES);
    }
    c.has_node = false;
    onnx_number(&c.model, 1, 8);
    onnx_bytes(&c.model, 2, TP_STR("by hand"));
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        onnx_line(&c, line);
    }
    onnx_end_node(&c);
    onnx_bytes(&c.model, 7, tp_buffer_view(&c.graph));
    const size_t size = c.model.size;
    ASSERT(c.model.status == TAPEOUT_OK && c.graph.status == TAPEOUT_OK && size > 0);
    memcpy(file, c.model.data, size);
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        tp_buffer_deinit(buffers[i]);
    }
    return (tp_str){file, size};
}

#endif
