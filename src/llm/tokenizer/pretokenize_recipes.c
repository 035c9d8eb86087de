// SPDX-License-Identifier: Apache-2.0
//
// Which pre-tokenizer a name of tokenizer.ggml.pre means. The names and what they stand for are
// llama.cpp's (llama-vocab.cpp); where it approximates the model's own pattern because std::regex
// lacks classes of case (gpt-4o, tekken), the model's own pattern is taken. What is not here is
// refused by name: a wrong cut into words gives text that looks right and a model that is worse.
#include "llm/tokenizer/pretokenize.h"

#define GPT2                                                                                       \
    {                                                                                              \
        TP_PRE_GPT2                                                                                \
    }
#define DIGIT_GPT2                                                                                 \
    {                                                                                              \
        TP_PRE_DIGIT, TP_PRE_GPT2                                                                  \
    }
#define LLAMA3                                                                                     \
    {                                                                                              \
        TP_PRE_LLAMA3                                                                              \
    }
#define QWEN2                                                                                      \
    {                                                                                              \
        TP_PRE_QWEN2                                                                               \
    }
#define GPT4O                                                                                      \
    {                                                                                              \
        TP_PRE_GPT4O                                                                               \
    }
#define DEEPSEEK3                                                                                  \
    {                                                                                              \
        TP_PRE_DIGITS3, TP_PRE_CJK, TP_PRE_DEEPSEEK3                                               \
    }

static const tp_pre_recipe recipes[] = {
    {"default",
     {TP_PRE_PUNCTUATION, TP_PRE_GPT2, TP_PRE_NUMBERS, TP_PRE_ASCII_DIGITS},
     false,
     false},
    {"gpt-2", GPT2, false, false},
    {"phi-2", GPT2, false, false},
    {"mpt", GPT2, false, false},
    {"olmo", GPT2, false, false},
    {"jais", GPT2, false, false},
    {"exaone4", GPT2, false, false},
    {"gigachat", GPT2, false, false},
    {"a.x-4.0", GPT2, false, false},
    {"mellum", GPT2, false, false},
    {"modern-bert", GPT2, false, false},
    {"jina-es", GPT2, false, false},
    {"jina-de", GPT2, false, false},
    {"jina-v2-es", GPT2, false, false},
    {"jina-v2-de", GPT2, false, false},
    {"trillion", GPT2, false, false},
    {"granite-docling", GPT2, false, false},
    {"smollm", DIGIT_GPT2, false, false},
    {"starcoder", DIGIT_GPT2, false, false},
    {"refact", DIGIT_GPT2, false, false},
    {"command-r", DIGIT_GPT2, false, false},
    {"codeshell", DIGIT_GPT2, false, false},
    {"exaone", DIGIT_GPT2, false, false},
    {"minerva-7b", DIGIT_GPT2, false, false},
    {"mellum2", DIGIT_GPT2, false, false},
    {"llama3", LLAMA3, true, true},
    {"llama-v3", LLAMA3, true, true},
    {"llama-bpe", LLAMA3, true, true},
    {"falcon3", LLAMA3, true, true},
    {"falcon-h1", LLAMA3, true, true},
    {"pixtral", LLAMA3, true, true},
    {"midm-2.0", LLAMA3, true, true},
    {"lfm2", LLAMA3, true, true},
    {"jina-v5-nano", LLAMA3, true, true},
    {"dbrx", LLAMA3, false, false},
    {"smaug-bpe", LLAMA3, false, false},
    {"grok-2", LLAMA3, false, false},
    {"chatglm-bpe", LLAMA3, false, false},
    {"glm4", LLAMA3, true, false},
    {"glm5", LLAMA3, true, false},
    {"qwen2", QWEN2, false, false},
    {"deepseek-r1-qwen", QWEN2, false, false},
    {"kormo", QWEN2, false, false},
    {"f2llmv2", QWEN2, false, false},
    {"megrez", QWEN2, false, false},
    {"stablelm2", QWEN2, false, false},
    {"hunyuan", QWEN2, false, false},
    {"solar-open", QWEN2, false, false},
    {"qwen35", {TP_PRE_QWEN35}, false, false},
    {"ufakzeka", {TP_PRE_PLAIN}, false, false},
    {"seed-coder", {TP_PRE_SEED_CODER}, false, false},
    {"bailingmoe", QWEN2, false, false},
    {"bailingmoe2", QWEN2, false, false},
    {"llada-moe", QWEN2, false, false},
    {"minicpm5", {TP_PRE_DIGITS3, TP_PRE_LLAMA3}, true, false},
    {"gpt-4o", GPT4O, false, false},
    {"llama4", GPT4O, false, false},
    {"kanana2", GPT4O, false, false},
    {"talkie", GPT4O, false, false},
    {"minimax-m2", GPT4O, false, false},
    {"tekken", {TP_PRE_TEKKEN}, true, true},
    {"deepseek-v3", DEEPSEEK3, false, false},
    {"hunyuan-dense", DEEPSEEK3, false, false},
    {"joyai-llm", DEEPSEEK3, false, false},
    {"hy_v4", DEEPSEEK3, false, false},
    {"deepseek-coder",
     {TP_PRE_CODER_LINE_END, TP_PRE_CODER_LETTERS, TP_PRE_CODER_PUNCTUATION, TP_PRE_CODER_CJK,
      TP_PRE_DIGIT},
     false,
     false},
    {"falcon", {TP_PRE_PUNCTUATION_FALCON, TP_PRE_GPT2, TP_PRE_ASCII_DIGITS}, false, false},
    {"poro-chat", {TP_PRE_BLOOM}, false, false},
    {"bloom", {TP_PRE_BLOOM}, false, false},
    {"gpt3-finnish", {TP_PRE_BLOOM}, false, false},
    {"viking", {TP_PRE_BLOOM, TP_PRE_DIGIT}, false, false},
};

const tp_pre_recipe *tp_pre_recipe_find(tp_str name)
{
    if (name.size == 0) {
        return &recipes[0];
    }
    for (size_t i = 0; i < sizeof(recipes) / sizeof(recipes[0]); i++) {
        if (tp_str_equal(name, tp_str_from(recipes[i].name))) {
            return &recipes[i];
        }
    }
    return NULL;
}
