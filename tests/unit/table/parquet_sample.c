// SPDX-License-Identifier: Apache-2.0
//
// See parquet_sample.h. Integers are written as i64 fields, which readers of the compact form
// cannot tell from the narrower ones.
#include "parquet_sample.h"

#include <string.h>

enum { I64 = 6, BINARY = 8, LIST = 9, STRUCT = 12, TRUE_FIELD = 1 };

typedef struct out {
    uint8_t *bytes;
    size_t size;
    int last_id;
} out;

static void put(out *o, uint8_t byte)
{
    o->bytes[o->size++] = byte;
}

static void put_varint(out *o, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) {
        put(o, (uint8_t)(value | 0x80));
    }
    put(o, (uint8_t)value);
}

static void put_field(out *o, int id, int type)
{
    put(o, (uint8_t)((id - o->last_id) << 4 | type));
    o->last_id = id;
}

static void put_number(out *o, int id, int64_t value)
{
    put_field(o, id, I64);
    put_varint(o, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}

static void put_name(out *o, int id, const char *name)
{
    put_field(o, id, BINARY);
    put_varint(o, strlen(name));
    while (*name != '\0') {
        put(o, (uint8_t)*name++);
    }
}

// Opens a struct in field `id`; returns what close_struct wants.
static int open_struct(out *o, int id)
{
    put_field(o, id, STRUCT);
    o->last_id = 0;
    return id;
}

static void close_struct(out *o, int outer)
{
    put(o, 0);
    o->last_id = outer;
}

static int open_list(out *o, int id, unsigned count)
{
    put_field(o, id, LIST);
    put(o, (uint8_t)(count << 4 | STRUCT));
    o->last_id = 0;
    return id;
}

parquet_sample parquet_sample_sound(void)
{
    return (parquet_sample){
        .type = 1,
        .children = 1,
        .rows = 12,
        .group_rows = 12,
        .chunk_type = 1,
        .codec = 0,
        .values = 12,
        .stored_size = 66,
        .data_offset = 25,
        .dictionary_offset = 4,
        .dict_kind = 2,
        .dict_unpacked = 8,
        .dict_stored = 8,
        .dict_values = 2,
        .v2_unpacked = 3,
        .v2_stored = 3,
        .v2_values = 8,
        .v2_rows = 8,
        .v2_encoding = 8,
        .v2_packed = 1,
        .v1_unpacked = 3,
        .v1_stored = 3,
        .v1_values = 4,
        .v1_encoding = 8,
        .index_bits = 1,
    };
}

static void write_pages(const parquet_sample *s, out *o)
{
    put_number(o, 1, s->dict_kind);
    put_number(o, 2, s->dict_unpacked);
    put_number(o, 3, s->dict_stored);
    const int dict = open_struct(o, 7);
    put_number(o, 1, s->dict_values);
    put_number(o, 2, s->dict_encoding);
    close_struct(o, dict);
    close_struct(o, 0);
    static const uint8_t entries[8] = {7, 0, 0, 0, 9, 0, 0, 0};
    memcpy(o->bytes + o->size, entries, sizeof(entries));
    o->size += sizeof(entries);

    put_number(o, 1, 3);
    put_number(o, 2, s->v2_unpacked);
    put_number(o, 3, s->v2_stored);
    const int v2 = open_struct(o, 8);
    put_number(o, 1, s->v2_values);
    put_number(o, 2, s->v2_nulls);
    put_number(o, 3, s->v2_rows);
    put_number(o, 4, s->v2_encoding);
    put_number(o, 5, s->v2_def);
    put_number(o, 6, s->v2_rep);
    put_field(o, 7, (int)s->v2_packed);
    close_struct(o, v2);
    close_struct(o, 0);
    put(o, (uint8_t)s->index_bits);
    put(o, 8 << 1); // one run of eight
    put(o, 1);

    put_number(o, 1, s->v1_kind);
    put_number(o, 2, s->v1_unpacked);
    put_number(o, 3, s->v1_stored);
    const int v1 = open_struct(o, 5);
    put_number(o, 1, s->v1_values);
    put_number(o, 2, s->v1_encoding);
    put_number(o, 3, 3);
    put_number(o, 4, 3);
    close_struct(o, v1);
    close_struct(o, 0);
    put(o, (uint8_t)s->index_bits);
    put(o, 4 << 1);
    put(o, 0);
}

static void write_footer(const parquet_sample *s, out *o)
{
    put_number(o, 1, 1);
    int outer = open_list(o, 2, 2);
    put_name(o, 4, "schema");
    put_number(o, 5, s->children);
    close_struct(o, 0);
    put_number(o, 1, s->type);
    put_number(o, 3, s->repetition);
    put_name(o, 4, "x");
    close_struct(o, outer);
    put_number(o, 3, s->rows);
    outer = open_list(o, 4, 1);
    const int chunks = open_list(o, 1, 1);
    put_number(o, 2, 0);
    const int meta = open_struct(o, 3);
    put_number(o, 1, s->chunk_type);
    put_number(o, 4, s->codec);
    put_number(o, 5, s->values);
    put_number(o, 7, s->stored_size);
    put_number(o, 9, s->data_offset);
    put_number(o, 11, s->dictionary_offset);
    const int statistics = open_struct(o, 12);
    put_number(o, 3, s->nulls);
    close_struct(o, statistics);
    close_struct(o, meta);
    close_struct(o, chunks);
    put_number(o, 3, s->group_rows);
    close_struct(o, outer);
    close_struct(o, 0);
}

size_t parquet_sample_write(const parquet_sample *sample, uint8_t bytes[1024])
{
    out o = {.bytes = bytes};
    memcpy(bytes, "PAR1", 4);
    o.size = 4;
    write_pages(sample, &o);
    const size_t begin = o.size;
    write_footer(sample, &o);
    const uint32_t size =
        sample->footer_size != 0 ? (uint32_t)sample->footer_size : (uint32_t)(o.size - begin);
    for (unsigned i = 0; i < 4; i++) {
        put(&o, (uint8_t)(size >> (8 * i)));
    }
    memcpy(bytes + o.size, "PAR1", 4);
    return o.size + 4;
}
