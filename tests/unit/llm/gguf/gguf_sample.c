// SPDX-License-Identifier: Apache-2.0
//
// The sample: every kind of value, three tensors, alignment 64, its last byte a tensor's.
#include "gguf_sample.h"

#include "base/tp_alloc.h"
#include "test.h"

#include <string.h>

enum { KIND_U16 = 2, KIND_U32 = 4, KIND_BOOL = 7, KIND_STRING = 8, KIND_ARRAY = 9, ALIGNMENT = 64 };

static void text(tp_buffer *out, const char *value)
{
    tp_buffer_append_u64le(out, strlen(value));
    tp_buffer_append_text(out, value);
}

static void key(tp_buffer *out, const char *name, uint32_t kind)
{
    text(out, name);
    tp_buffer_append_u32le(out, kind);
}

static void number(tp_buffer *out, const char *name, uint32_t kind, uint64_t value, size_t size)
{
    key(out, name, kind);
    for (size_t i = 0; i < size; i++) {
        tp_buffer_append_char(out, (char)(value >> (8 * i)));
    }
}

static void mark(gguf_sample *sample, sample_field field, size_t back)
{
    sample->at[field] = sample->bytes.size - back;
}

static void add_texts(gguf_sample *sample)
{
    tp_buffer *out = &sample->bytes;
    mark(sample, AT_KEY_LENGTH, 0);
    key(out, "general.architecture", KIND_STRING);
    sample->at[AT_KEY] = sample->at[AT_KEY_LENGTH] + 8;
    mark(sample, AT_KEY_KIND, 4);
    mark(sample, AT_STRING_LENGTH, 0);
    text(out, "llama");
    number(out, "general.alignment", KIND_U32, ALIGNMENT, 4);
    mark(sample, AT_ALIGNMENT, 4);
    mark(sample, AT_ALIGNMENT_KIND, 8);
    key(out, "words", KIND_ARRAY);
    mark(sample, AT_ITEM_KIND, 0);
    tp_buffer_append_u32le(out, KIND_STRING);
    mark(sample, AT_ITEM_COUNT, 0);
    tp_buffer_append_u64le(out, 3);
    mark(sample, AT_ITEM_LENGTH, 0);
    text(out, "one");
    text(out, "");
    text(out, "three");
}

static void add_numbers(gguf_sample *sample)
{
    tp_buffer *out = &sample->bytes;
    number(out, "u8", 0, 200, 1);
    number(out, "i8", 1, (uint64_t)-100, 1);
    number(out, "u16", KIND_U16, 60000, 2);
    number(out, "i16", 3, (uint64_t)-30000, 2);
    number(out, "i32", 5, (uint64_t)-2000000000, 4);
    number(out, "f32", 6, 0x3fc00000, 4); // 1.5
    number(out, "bool", KIND_BOOL, 1, 1);
    mark(sample, AT_BOOL, 1);
    number(out, "u64", 10, UINT64_MAX, 8);
    number(out, "i64", 11, (uint64_t)INT64_MIN, 8);
    number(out, "f64", 12, 0xc004000000000000u, 8); // -2.5
    number(out, "nan", 12, 0x7ff8000000000000u, 8);
    key(out, "bools", KIND_ARRAY);
    tp_buffer_append_u32le(out, KIND_BOOL);
    tp_buffer_append_u64le(out, 2);
    tp_buffer_append(out, "\1\0", 2);
    mark(sample, AT_BOOL_ITEM, 1);
    key(out, "numbers", KIND_ARRAY);
    tp_buffer_append_u32le(out, 3); // i16
    mark(sample, AT_NUMBERS_COUNT, 0);
    tp_buffer_append_u64le(out, 2);
    tp_buffer_append(out, "\xff\xff\5\0", 4);
    key(out, "floats", KIND_ARRAY);
    tp_buffer_append_u32le(out, 6);
    tp_buffer_append_u64le(out, 1);
    tp_buffer_append_u32le(out, 0x3fc00000);
    key(out, "doubles", KIND_ARRAY);
    tp_buffer_append_u32le(out, 12);
    tp_buffer_append_u64le(out, 1);
    tp_buffer_append_f64le(out, 0.1);
    number(out, "twin_a", 0, 1, 1);
    number(out, "twin_b", 0, 2, 1);
    mark(sample, AT_TWIN_KEY, 6);
}

static void info(tp_buffer *out, const char *name, uint64_t columns, uint64_t rows)
{
    text(out, name);
    tp_buffer_append_u32le(out, rows > 0 ? 2 : 1);
    tp_buffer_append_u64le(out, columns);
    if (rows > 0) {
        tp_buffer_append_u64le(out, rows);
    }
}

static void add_infos(gguf_sample *sample)
{
    tp_buffer *out = &sample->bytes;
    char name[64];
    memset(name, 'n', 63);
    name[63] = '\0';
    mark(sample, AT_NAME_LENGTH, 0);
    info(out, name, 32, 3);
    sample->at[AT_NAME] = sample->at[AT_NAME_LENGTH] + 8;
    mark(sample, AT_DIM_COUNT, 20);
    mark(sample, AT_DIM_0, 16);
    mark(sample, AT_DIM_1, 8);
    mark(sample, AT_TYPE, 0);
    tp_buffer_append_u32le(out, 8); // Q8_0: 3 × 34 bytes
    mark(sample, AT_OFFSET, 0);
    tp_buffer_append_u64le(out, 0);
    info(out, "blk.0.a", 4, 0);
    mark(sample, AT_SECOND_DIM_0, 8);
    mark(sample, AT_SECOND_TYPE, 0);
    tp_buffer_append_u32le(out, 0); // F32
    mark(sample, AT_SECOND_OFFSET, 0);
    tp_buffer_append_u64le(out, 128);
    info(out, "blk.0.b", 2, 0);
    mark(sample, AT_TWIN_NAME, 13);
    tp_buffer_append_u32le(out, 1); // F16
    tp_buffer_append_u64le(out, 192);
}

static void align(tp_buffer *out, size_t alignment)
{
    tp_buffer_append_zeros(out, (0 - out->size) & (alignment - 1));
}

void sample_init(gguf_sample *sample)
{
    tp_buffer *out = &sample->bytes;
    tp_buffer_init(out, tp_allocator_default(), 65536);
    mark(sample, AT_MAGIC, 0);
    tp_buffer_append_text(out, "GGUF");
    mark(sample, AT_VERSION, 0);
    tp_buffer_append_u32le(out, 3);
    mark(sample, AT_TENSOR_COUNT, 0);
    tp_buffer_append_u64le(out, 3);
    mark(sample, AT_KV_COUNT, 0);
    tp_buffer_append_u64le(out, 20);
    add_texts(sample);
    add_numbers(sample);
    add_infos(sample);
    align(out, ALIGNMENT);
    mark(sample, AT_DATA, 0);
    for (int i = 0; i < 102; i++) {
        tp_buffer_append_char(out, (char)i);
    }
    align(out, ALIGNMENT);
    tp_buffer_append_zeros(out, 16);
    align(out, ALIGNMENT);
    tp_buffer_append(out, "\0\x3c\0\xc0", 4); // 1, -2
    ASSERT_EQ_INT(out->status, TAPEOUT_OK);
}

void sample_deinit(gguf_sample *sample)
{
    tp_buffer_deinit(&sample->bytes);
}

void sample_patch(gguf_sample *sample, sample_field field, size_t size, uint64_t value)
{
    for (size_t i = 0; i < size; i++) {
        sample->bytes.data[sample->at[field] + i] = (char)(value >> (8 * i));
    }
}

void sample_part(tp_buffer *out, uint32_t part, uint32_t count, const char *tensor)
{
    tp_buffer_append_text(out, "GGUF");
    tp_buffer_append_u32le(out, 3);
    tp_buffer_append_u64le(out, 1);
    tp_buffer_append_u64le(out, 3);
    number(out, "split.no", KIND_U16, part, 2);
    number(out, "split.count", KIND_U16, count, 2);
    number(out, "split.tensors.count", 5, count, 4);
    info(out, tensor, 2, 0);
    tp_buffer_append_u32le(out, 0);
    tp_buffer_append_u64le(out, 0);
    align(out, 32);
    tp_buffer_append_u32le(out, part);
    tp_buffer_append_u32le(out, 0);
}
