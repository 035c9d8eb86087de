// SPDX-License-Identifier: Apache-2.0
//
// GGUF files: whatever the bytes, parsing ends with a file or a refusal that says something; of a
// file every value, item and byte of data can be visited, and its keys and tensors copied into a
// new one render as metadata that parses to the same.
#include "base/tp_alloc.h"
#include "llm/gguf/tp_gguf_write.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink;

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void visit_array(const tp_gguf_array *array)
{
    for (uint64_t i = 0; i < array->count && i < 65536; i++) {
        if (array->kind == TP_GGUF_STRING) {
            const tp_str text = tp_gguf_array_str(array, i);
            sink += text.size > 0 ? (uint64_t)text.data[0] + (uint64_t)text.data[text.size - 1] : 0;
        } else if (array->kind == TP_GGUF_F32 || array->kind == TP_GGUF_F64) {
            sink += tp_gguf_array_f64(array, i) > 0;
        } else if (array->kind == TP_GGUF_BOOL) {
            sink += tp_gguf_array_bool(array, i);
        } else {
            sink += tp_gguf_array_u64(array, i);
        }
    }
}

static void visit_tensor(const tp_gguf_tensor *tensor, bool has_data)
{
    float values[256];
    const tp_tensor_layout *layout = tp_tensor_layout_of((uint32_t)tensor->type);
    check(has_data == (tensor->data.data != NULL));
    if (has_data) {
        check(tensor->data.size == tensor->size_bytes);
        tp_tensor_dequantize(tensor->type,
                             (const uint8_t *)tensor->data.data + tensor->data.size -
                                 layout->block_bytes,
                             layout->block_length, values);
        sink += values[0] > 0;
    }
}

static void check_copy(const tp_env *env, const tp_gguf *gguf)
{
    tp_gguf_builder builder;
    tp_buffer bytes;
    tp_gguf *again = NULL;
    tp_gguf_builder_init(&builder, env->alloc);
    tp_buffer_init(&bytes, env->alloc, (size_t)1 << 30);
    for (size_t i = 0; i < tp_gguf_kv_count(gguf); i++) {
        const tp_gguf_kv *kv = tp_gguf_kv_at(gguf, i);
        if (!tp_str_equal(kv->key, TP_STR("general.alignment"))) {
            tp_gguf_builder_copy(&builder, kv);
        }
    }
    for (size_t i = 0; i < tp_gguf_tensor_count(gguf); i++) {
        tp_gguf_builder_tensor(&builder, tp_gguf_tensor_at(gguf, i));
    }
    check(tp_gguf_builder_render(&builder, &bytes, NULL) == TAPEOUT_OK);
    check(tp_gguf_parse_metadata(env, tp_buffer_view(&bytes), &again, NULL) == TAPEOUT_OK);
    check(tp_gguf_tensor_count(again) == tp_gguf_tensor_count(gguf));
    tp_gguf_close(&again);
    tp_buffer_deinit(&bytes);
    tp_gguf_builder_deinit(&builder);
}

// Every getter is asked for the value; the ones of its kind give what is there or say why not.
static void ask(const tp_gguf *gguf, const tp_gguf_kv *kv)
{
    char key[256];
    uint64_t whole = 0;
    double real = 0;
    bool flag = false;
    tp_str text = {NULL, 0};
    tp_gguf_array array;
    if (kv->key.size >= sizeof(key) || memchr(kv->key.data, 0, kv->key.size) != NULL) {
        return;
    }
    memcpy(key, kv->key.data, kv->key.size);
    key[kv->key.size] = '\0';
    check(tp_gguf_has(gguf, key) && tp_gguf_kind_name(kv->value.kind)[0] != '\0');
    const bool is_whole = tp_gguf_get_u64(gguf, key, 1, 1000, &whole, NULL) == TAPEOUT_OK;
    const bool is_real = tp_gguf_get_f64(gguf, key, &real, NULL) == TAPEOUT_OK;
    const bool is_flag = tp_gguf_get_bool(gguf, key, &flag, NULL) == TAPEOUT_OK;
    const bool is_text = tp_gguf_get_str(gguf, key, &text, NULL) == TAPEOUT_OK;
    const bool is_list =
        tp_gguf_get_array(gguf, key, kv->value.array.kind, &array, NULL) == TAPEOUT_OK;
    check(is_whole + is_real + is_flag + is_text + is_list <= 1);
    check(is_list == (kv->value.kind == TP_GGUF_ARRAY));
    check(is_flag == (kv->value.kind == TP_GGUF_BOOL));
    check(is_text == (kv->value.kind == TP_GGUF_STRING));
    if (is_list) {
        (void)tp_gguf_get_array(gguf, key, TP_GGUF_STRING, &array, NULL); // mostly another kind
    }
}

static void visit(const tp_env *env, const tp_gguf *gguf, bool has_data)
{
    uint64_t number = 0;
    for (size_t i = 0; i < tp_gguf_kv_count(gguf); i++) {
        const tp_gguf_kv *kv = tp_gguf_kv_at(gguf, i);
        check(tp_gguf_kv_find(gguf, kv->key) == kv);
        ask(gguf, kv);
        if (kv->value.kind == TP_GGUF_ARRAY) {
            visit_array(&kv->value.array);
        }
    }
    (void)tp_gguf_get_u64(gguf, "general.alignment", 8, 65536, &number, NULL); // absent or checked
    for (size_t i = 0; i < tp_gguf_tensor_count(gguf); i++) {
        const tp_gguf_tensor *tensor = tp_gguf_tensor_at(gguf, i);
        check(tp_gguf_tensor_find(gguf, tensor->name) == tensor);
        visit_tensor(tensor, has_data);
    }
    check_copy(env, gguf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_env env = tp_env_plain();
    const tp_str bytes = {(const char *)data, size};
    for (int has_data = 0; has_data < 2; has_data++) {
        tp_gguf *gguf = NULL;
        tapeout_error err = {0};
        const tapeout_status status = has_data ? tp_gguf_parse(&env, bytes, &gguf, &err)
                                               : tp_gguf_parse_metadata(&env, bytes, &gguf, &err);
        check((status == TAPEOUT_OK) == (gguf != NULL));
        check(status == TAPEOUT_OK || strlen(err.message) > 10);
        if (gguf != NULL) {
            visit(&env, gguf, has_data != 0);
        }
        tp_gguf_close(&gguf);
    }
    return 0;
}
