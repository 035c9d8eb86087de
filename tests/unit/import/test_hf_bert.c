// SPDX-License-Identifier: Apache-2.0
//
// A Hugging Face folder of a BERT model becomes GGUF metadata and tensors: a tiny one made here,
// with each of its parts spoiled in turn, and a real one where TAPEOUT_TEST_BERT names its folder.
#include "base/tp_alloc.h"
#include "base/tp_file.h"
#include "import/tp_hf_bert.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 512 };

static const char config[] =
    "{\"model_type\":\"bert\",\"hidden_act\":\"gelu\",\"hidden_size\":2,\"intermediate_size\":3,"
    "\"num_hidden_layers\":1,\"num_attention_heads\":1,\"max_position_embeddings\":4,"
    "\"type_vocab_size\":2,\"vocab_size\":7,\"layer_norm_eps\":1e-12}";
static const char tokenizer[] =
    "{\"added_tokens\":[{\"id\":0,\"content\":\"[PAD]\",\"special\":true}],"
    "\"normalizer\":{\"lowercase\":true,\"strip_accents\":null},"
    "\"model\":{\"type\":\"WordPiece\",\"continuing_subword_prefix\":\"##\",\"vocab\":{"
    "\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"[MASK]\":4,\"he\":5,\"##llo\":6}}}";
static const char pooling[] =
    "{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":false}";

static const char *path_in_temp(const char *name)
{
    static char paths[4][PATH_SIZE];
    static int next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, PATH_SIZE, "%s/%s", test_temp_dir(), name);
    return path;
}

static void write_bytes(const char *name, const void *data, size_t size)
{
    FILE *file = fopen(path_in_temp(name), "wb");
    ASSERT(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

static void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

// One tensor behind the others in a safetensors file that is being made.
static void add_tensor(tp_buffer *header, tp_buffer *data, const char *name, const char *dtype,
                       const uint32_t *shape)
{
    const uint32_t rows = shape[0];
    const uint32_t columns = shape[1];
    const size_t size = strcmp(dtype, "F32") == 0 ? 4 : 2;
    const size_t begin = data->size;
    for (uint32_t i = 0; i < rows * (columns == 0 ? 1 : columns); i++) {
        if (size == 4) {
            tp_buffer_append_u32le(data, 0x3f800000); // 1.0
        } else {
            tp_buffer_append(data, "\x00\x3c", 2); // 1.0 as F16
        }
    }
    tp_buffer_printf(header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%u",
                     header->size > 1 ? "," : "", name, dtype, rows);
    if (columns > 0) {
        tp_buffer_printf(header, ",%u", columns);
    }
    tp_buffer_printf(header, "],\"data_offsets\":[%zu,%zu]}", begin, data->size);
}

static const struct {
    const char *name;
    uint32_t shape[2];
} tensors[] = {
    {"embeddings.word_embeddings.weight", {7, 2}},
    {"embeddings.position_embeddings.weight", {4, 2}},
    {"embeddings.token_type_embeddings.weight", {2, 2}},
    {"embeddings.LayerNorm.weight", {2, 0}},
    {"embeddings.LayerNorm.bias", {2, 0}},
    {"encoder.layer.0.attention.self.query.weight", {2, 2}},
    {"encoder.layer.0.attention.self.query.bias", {2, 0}},
    {"encoder.layer.0.attention.self.key.weight", {2, 2}},
    {"encoder.layer.0.attention.self.key.bias", {2, 0}},
    {"encoder.layer.0.attention.self.value.weight", {2, 2}},
    {"encoder.layer.0.attention.self.value.bias", {2, 0}},
    {"encoder.layer.0.attention.output.dense.weight", {2, 2}},
    {"encoder.layer.0.attention.output.dense.bias", {2, 0}},
    {"encoder.layer.0.attention.output.LayerNorm.weight", {2, 0}},
    {"encoder.layer.0.attention.output.LayerNorm.bias", {2, 0}},
    {"encoder.layer.0.intermediate.dense.weight", {3, 2}},
    {"encoder.layer.0.intermediate.dense.bias", {3, 0}},
    {"encoder.layer.0.output.dense.weight", {2, 3}},
    {"encoder.layer.0.output.dense.bias", {2, 0}},
    {"encoder.layer.0.output.LayerNorm.weight", {2, 0}},
    {"encoder.layer.0.output.LayerNorm.bias", {2, 0}},
    {"pooler.dense.weight", {2, 2}},
};
enum { TENSOR_COUNT = sizeof(tensors) / sizeof(tensors[0]) };

// All tensors with `prefix` in front, without number `left_out`, and `more` where it is not NULL.
static void write_weights(const char *prefix, const char *dtype, size_t left_out, const char *more)
{
    tp_buffer header;
    tp_buffer data;
    tp_buffer file;
    tp_buffer_init(&header, tp_allocator_default(), 65536);
    tp_buffer_init(&data, tp_allocator_default(), 65536);
    tp_buffer_init(&file, tp_allocator_default(), 65536);
    tp_buffer_append_char(&header, '{');
    for (size_t i = 0; i < TENSOR_COUNT; i++) {
        char name[128];
        (void)snprintf(name, sizeof(name), "%s%s", prefix, tensors[i].name);
        if (i != left_out) {
            add_tensor(&header, &data, name, dtype, tensors[i].shape);
        }
    }
    if (more != NULL) {
        add_tensor(&header, &data, more, dtype, tensors[0].shape);
    }
    tp_buffer_append_char(&header, '}');
    tp_buffer_append_u64le(&file, header.size);
    tp_buffer_append(&file, header.data, header.size);
    tp_buffer_append(&file, data.data, data.size);
    write_bytes("model.safetensors", file.data, file.size);
    tp_buffer_deinit(&header);
    tp_buffer_deinit(&data);
    tp_buffer_deinit(&file);
}

static void write_folder(void)
{
    (void)mkdir(path_in_temp("1_Pooling"), 0777);
    write_text("config.json", config);
    write_text("tokenizer.json", tokenizer);
    write_text("1_Pooling/config.json", pooling);
    write_weights("", "F32", TENSOR_COUNT, NULL);
}

static void remove_folder(void)
{
    static const char *const names[] = {
        "config.json",       "tokenizer.json", "1_Pooling/config.json",
        "model.safetensors", "vocab.txt",      "tokenizer_config.json"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        ASSERT_OK(tp_file_remove(path_in_temp(names[i]), &test_err));
    }
    ASSERT_EQ_INT(rmdir(path_in_temp("1_Pooling")), 0);
}

static tapeout_status open_folder(void)
{
    const tp_env env = tp_env_plain();
    tp_hf_bert *model = NULL;
    test_err = (tapeout_error){0};
    const tapeout_status status = tp_hf_bert_open(&env, test_temp_dir(), &model, &test_err);
    ASSERT((status == TAPEOUT_OK) == (model != NULL));
    tp_hf_bert_close(&model);
    return status;
}

// Opens the folder and goes through what came out of it, by way of a GGUF file.
static void check_folder(uint64_t pooling_type)
{
    const tp_env env = tp_env_plain();
    tp_hf_bert *model = NULL;
    tp_gguf *gguf = NULL;
    tp_gguf_array tokens;
    uint64_t value = 0;
    const char *path = path_in_temp("out.gguf");
    ASSERT_OK(tp_hf_bert_open(&env, test_temp_dir(), &model, &test_err));
    ASSERT_OK(tp_gguf_write(&env, path, tp_hf_bert_builder(model), NULL, NULL, &test_err));
    tp_hf_bert_close(&model);
    ASSERT_OK(tp_gguf_open(&env, path, &gguf, &test_err));
    ASSERT_OK(tp_gguf_get_u64(gguf, "bert.feed_forward_length", 3, 3, &value, &test_err));
    ASSERT_OK(
        tp_gguf_get_u64(gguf, "bert.pooling_type", pooling_type, pooling_type, &value, &test_err));
    ASSERT_OK(tp_gguf_get_u64(gguf, "tokenizer.ggml.cls_token_id", 2, 2, &value, &test_err));
    ASSERT_OK(tp_gguf_get_array(gguf, "tokenizer.ggml.tokens", TP_GGUF_STRING, &tokens, &test_err));
    ASSERT(tp_str_equal(tp_gguf_array_str(&tokens, 3), TP_STR("[SEP]")));
    ASSERT(tp_str_equal(tp_gguf_array_str(&tokens, 5), TP_STR("\xe2\x96\x81he")));
    ASSERT(tp_str_equal(tp_gguf_array_str(&tokens, 6), TP_STR("llo")));
    const tp_gguf_tensor *down = tp_gguf_tensor_find(gguf, TP_STR("blk.0.ffn_down.weight"));
    ASSERT(down != NULL);
    ASSERT_EQ_UINT(down->dims[0], 3);
    ASSERT_EQ_UINT(down->dims[1], 2);
    const tp_gguf_tensor *bias = tp_gguf_tensor_find(gguf, TP_STR("blk.0.attn_output_norm.bias"));
    ASSERT(bias != NULL && bias->type == TP_TENSOR_F32);
    ASSERT_EQ_BYTES(bias->data.data, bias->data.size, "\0\0\x80\x3f\0\0\x80\x3f", 8);
    ASSERT_EQ_UINT(tp_gguf_tensor_count(gguf), TENSOR_COUNT - 1);
    tp_gguf_close(&gguf);
    ASSERT_OK(tp_file_remove(path, &test_err));
}

static void test_converts_a_folder(void)
{
    write_folder();
    check_folder(2);
    write_weights("bert.", "F16", TENSOR_COUNT, NULL); // vectors become float32
    ASSERT_OK(tp_file_remove(path_in_temp("1_Pooling/config.json"), &test_err));
    check_folder(1);
    ASSERT_OK(tp_file_remove(path_in_temp("tokenizer.json"), &test_err));
    write_text("vocab.txt", "[PAD]\n[UNK]\n[CLS]\r\n[SEP]\n[MASK]\nhe\n##llo");
    write_text("tokenizer_config.json", "{\"do_lower_case\":false}");
    check_folder(1);
    remove_folder();
}

// Opens the folder with `name` replaced by `text`, and puts it back.
static tapeout_status open_with(const char *name, const char *text, const char *usual)
{
    write_text(name, text);
    const tapeout_status status = open_folder();
    const tapeout_error err = test_err;
    write_text(name, usual);
    test_err = err;
    return status;
}

static void test_what_is_wrong_is_named(void)
{
    write_folder();
    ASSERT_EQ_INT(open_with("config.json", "{\"model_type\":\"roberta\"}", config),
                  TAPEOUT_E_UNSUPPORTED);
    test_assert_message(__FILE__, __LINE__, &test_err, "\"roberta\"");
    ASSERT_EQ_INT(
        open_with("config.json", "{\"model_type\":\"bert\",\"hidden_act\":\"gelu\"}", config),
        TAPEOUT_E_CORRUPT);
    test_assert_message(__FILE__, __LINE__, &test_err, "max_position_embeddings");
    ASSERT_EQ_INT(open_with("1_Pooling/config.json", "{\"pooling_mode_max_tokens\":true}", pooling),
                  TAPEOUT_E_UNSUPPORTED);
    ASSERT_EQ_INT(open_with("tokenizer.json", "{\"model\":{\"type\":\"BPE\"}}", tokenizer),
                  TAPEOUT_E_UNSUPPORTED);
    ASSERT_EQ_INT(open_with("tokenizer.json",
                            "{\"model\":{\"continuing_subword_prefix\":\"##\",\"vocab\":{\"a\":0,"
                            "\"b\":0}}}",
                            tokenizer),
                  TAPEOUT_E_CORRUPT);
    test_assert_message(__FILE__, __LINE__, &test_err, "ids must be 0 to 1, each once");
    ASSERT_EQ_INT(
        open_with("tokenizer.json",
                  "{\"model\":{\"continuing_subword_prefix\":\"##\",\"vocab\":{\"a\":0}}}",
                  tokenizer),
        TAPEOUT_E_CORRUPT);
    test_assert_message(__FILE__, __LINE__, &test_err, "lacks [PAD]");
    for (size_t i = 0; i + 1 < TENSOR_COUNT; i++) {
        write_weights("", "F32", i, NULL);
        ASSERT_FAILS(open_folder(), TAPEOUT_E_CORRUPT, tensors[i].name);
    }
    write_weights("", "F32", TENSOR_COUNT, "encoder.layer.1.output.dense.weight");
    ASSERT_FAILS(open_folder(), TAPEOUT_E_UNSUPPORTED, "1 tensors are not part of a BERT encoder");
    ASSERT_OK(tp_file_remove(path_in_temp("model.safetensors"), &test_err));
    ASSERT_FAILS(open_folder(), TAPEOUT_E_NOT_FOUND, "model.safetensors");
    remove_folder();
}

static tapeout_status open_without_memory(const tapeout_allocator *alloc, void *user,
                                          tapeout_error *err)
{
    tp_env env = tp_env_plain();
    env.alloc = alloc;
    tp_hf_bert *model = NULL;
    const tapeout_status status = tp_hf_bert_open(&env, user, &model, err);
    tp_hf_bert_close(&model);
    return status;
}

static void test_out_of_memory_at_every_allocation(void)
{
    write_folder();
    test_out_of_memory(open_without_memory, (void *)(uintptr_t)test_temp_dir());
    remove_folder();
}

static void test_a_real_model(void)
{
    const char *folder = getenv("TAPEOUT_TEST_BERT");
    const tp_env env = tp_env_plain();
    tp_hf_bert *model = NULL;
    tp_gguf *gguf = NULL;
    tp_buffer metadata;
    if (folder == NULL) {
        test_skip("TAPEOUT_TEST_BERT does not name the folder of a BERT model");
    }
    ASSERT_OK(tp_hf_bert_open(&env, folder, &model, &test_err));
    tp_buffer_init(&metadata, env.alloc, (size_t)64 << 20);
    ASSERT_OK(tp_gguf_builder_render(tp_hf_bert_builder(model), &metadata, &test_err));
    ASSERT_OK(tp_gguf_parse_metadata(&env, tp_buffer_view(&metadata), &gguf, &test_err));
    ASSERT(tp_gguf_tensor_find(gguf, TP_STR("blk.0.attn_q.weight")) != NULL);
    tp_gguf_close(&gguf);
    tp_buffer_deinit(&metadata);
    tp_hf_bert_close(&model);
}

TEST_MAIN(TEST(test_converts_a_folder), TEST(test_what_is_wrong_is_named),
          TEST(test_out_of_memory_at_every_allocation), TEST(test_a_real_model))
