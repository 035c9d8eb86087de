// SPDX-License-Identifier: Apache-2.0
//
// JSON Schema: what texts follow one, keyword by keyword, and what is refused by which words. The
// wide test, against an independent validator, is tests/conformance/test_grammar.py.
#include "grammar_vocab.h"
#include "test.h"

static tapeout_status make(const char *text, tp_grammar **ret)
{
    static tp_env env;
    env = tp_env_plain();
    const tp_grammar_options options = {.is_compact = true};
    test_err = (tapeout_error){0};
    return tp_grammar_from_json_schema(&env, tp_str_from(text), &options, ret, &test_err);
}

// Texts that begin with '+' follow the schema, those with '-' do not.
static void follows(const char *schema, const char *const *texts)
{
    const tp_env env = tp_env_plain();
    tp_grammar *grammar = NULL;
    grammar_vocab vocab;
    test_assert_status(__FILE__, __LINE__, make(schema, &grammar), TAPEOUT_OK, &test_err);
    grammar_vocab_init(&vocab);
    grammar_vocab_index(&vocab);
    for (size_t i = 0; texts[i] != NULL; i++) {
        tp_constraint *c = NULL;
        bool is_complete = false;
        ASSERT_OK(tp_constraint_new(&env, grammar, vocab.index, &c, &test_err));
        (void)grammar_vocab_accept(&vocab, c, tp_str_from(texts[i] + 1), i, &is_complete);
        if (is_complete != (texts[i][0] == '+')) {
            test_fail(__FILE__, __LINE__, "'%s': text '%s' is %s", schema, texts[i] + 1,
                      is_complete ? "taken" : "not taken");
        }
        tp_constraint_free(c);
    }
    grammar_vocab_deinit(&vocab);
    tp_grammar_unref(grammar);
}
#define FOLLOWS(schema, ...) follows(schema, (const char *const[]){__VA_ARGS__, NULL})

static void refuses(const char *schema, tapeout_status status, const char *part)
{
    tp_grammar *grammar = NULL;
    test_assert_status(__FILE__, __LINE__, make(schema, &grammar), status, &test_err);
    test_assert_message(__FILE__, __LINE__, &test_err, part);
    ASSERT(grammar == NULL);
}

static void test_objects(void)
{
    FOLLOWS("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"},\"b\":true,"
            "\"c\":false},\"required\":[\"a\"]}",
            "+{\"a\":null}", "+{\"a\":null,\"b\":[1]}", "-{\"b\":1}", "-{\"a\":null,\"c\":1}",
            "-{\"a\":null,}", "-{\"b\":1,\"a\":null}", "-{\"a\":null,\"d\":1}");
    FOLLOWS("{\"properties\":{\"ab\":{\"type\":\"null\"}},\"additionalProperties\":{\"type\":"
            "\"boolean\"}}",
            "+{}", "+{\"ab\":null,\"a\":true,\"abc\":true}", "-{\"ab\":true}", "+{\"\":true}",
            "+{\"x\\u00e9\":false}", "-{\"\\u0061b\":true}");
    FOLLOWS("{\"type\":\"object\"}", "+{\"a\":{\"b\":[]}}", "-[]");
    FOLLOWS("{\"required\":[\"z\"]}", "+{\"z\":1}", "-{}");
}

static void test_arrays(void)
{
    FOLLOWS("{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"minItems\":2,\"maxItems\":5}",
            "-[null]", "+[null,null]", "+[null,null,null,null,null]",
            "-[null,null,null,null,null,null]");
    FOLLOWS("{\"prefixItems\":[{\"type\":\"null\"},{\"type\":\"boolean\"}],\"items\":false}", "+[]",
            "+[null]", "+[null,true]", "-[true]", "-[null,true,1]");
    FOLLOWS("{\"prefixItems\":[{\"type\":\"null\"}],\"items\":{\"type\":\"boolean\"},"
            "\"minItems\":3}",
            "-[null,true]", "+[null,true,true]");
    FOLLOWS("{\"type\":\"array\",\"maxItems\":0}", "+[]", "-[1]");
    FOLLOWS("{\"type\":\"array\",\"maxItems\":1,\"uniqueItems\":false}", "+[]", "+[1]", "-[1,1]");
}

static void test_strings(void)
{
    FOLLOWS("{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", "+\"ab\"", "+\"é😀日\"",
            "+\"\\ud83d\\ude00x\"", "-\"\\ud83dx\"", "-\"a\"", "-\"abcd\"");
    FOLLOWS("{\"pattern\":\"^a+\\\"$\"}", "+\"aa\\\"\"", "-\"aa\"");
    FOLLOWS("{\"pattern\":\"b\"}", "+\"abc\"", "+\"b\"", "-\"ac\"");
    FOLLOWS("{\"pattern\":\"^(abc)+$\",\"minLength\":4,\"maxLength\":8}", "+\"abcabc\"", "-\"abc\"",
            "-\"abcabcabc\"");
    FOLLOWS("{\"format\":\"date\"}", "+\"2024-02-29\"", "-\"2023-02-29\"", "+\"2026-11-25\"",
            "-\"0000-01-01\"", "-\"2026-11-31\"");
    FOLLOWS("{\"format\":\"ipv4\"}", "+\"255.0.10.1\"", "-\"256.0.0.1\"", "-\"1.2.3\"");
    FOLLOWS("{\"format\":\"uuid\"}", "+\"123e4567-e89b-12d3-a456-426614174000\"", "-\"123\"");
    FOLLOWS("{\"format\":\"date-time\"}", "+\"2026-11-25T10:00:00.5+01:00\"", "-\"2026-11-25\"");
}

static void test_numbers(void)
{
    FOLLOWS("{\"type\":\"integer\",\"minimum\":-5,\"exclusiveMaximum\":120}", "+-5", "-1.0", "-120",
            "+119", "+0", "-00", "--6");
    FOLLOWS("{\"type\":\"number\",\"exclusiveMinimum\":0.5,\"maximum\":12.25}", "-0.5", "+0.51",
            "+0.500001", "+12.25", "+12.2500", "-12.26", "+7", "-1e0");
    FOLLOWS("{\"type\":\"number\"}", "+-0.5e-10", "+123", "-.5", "-01");
    FOLLOWS("{\"type\":\"integer\",\"multipleOf\":6,\"minimum\":0}", "+0", "+6", "+126", "-8");
    FOLLOWS("{\"type\":\"number\",\"multipleOf\":0.25}", "+1.25", "+3.5", "+7", "-1.3", "+-0.75");
    FOLLOWS("{\"minimum\":9007199254740993,\"type\":\"integer\"}", "+9007199254740993",
            "-9007199254740992");
}

static void test_choices(void)
{
    FOLLOWS("{\"enum\":[1,\"a\",null,{\"x\":[1.5]}]}", "+1", "+\"a\"", "+null", "+{\"x\":[1.5]}",
            "-2");
    FOLLOWS("{\"const\":\"q\\\"\",\"enum\":[\"q\\\"\",\"r\"]}", "+\"q\\\"\"", "-\"r\"");
    FOLLOWS("{\"type\":\"integer\",\"enum\":[1,5,9,\"x\"],\"minimum\":4,\"multipleOf\":3}", "+9",
            "-5", "-1");
    FOLLOWS("{\"type\":\"integer\",\"enum\":[88888900000000000000,0.5]}", "+88888900000000000000.0",
            "-0.5");
    FOLLOWS("{\"type\":\"string\",\"enum\":[\"a\",\"bcd\"],\"maxLength\":2}", "+\"a\"", "-\"bcd\"");
    FOLLOWS("{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"boolean\"}]}", "+null", "+true", "-1");
    FOLLOWS("{\"type\":[\"integer\",\"null\"]}", "+1", "+null", "-\"a\"");
    FOLLOWS("{\"type\":\"integer\",\"nullable\":true}", "+1", "+null", "-true");
    FOLLOWS("{\"allOf\":[{\"type\":\"integer\",\"minimum\":3},{\"maximum\":5}]}", "+3", "+5", "-6",
            "-2");
    FOLLOWS("{\"minimum\":3,\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"null\"}]}", "+3", "-2",
            "+null");
    FOLLOWS("{\"allOf\":[{\"properties\":{\"a\":{\"minimum\":1}}},{\"properties\":{\"a\":{"
            "\"type\":\"integer\"},\"b\":{}}}]}",
            "+{\"a\":1,\"b\":0}", "-{\"a\":0}", "-{\"a\":1.5}");
}

static void test_references(void)
{
    FOLLOWS("{\"$ref\":\"#/$defs/n\",\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"k\":"
            "{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/n\"}}}}}}",
            "+{\"k\":[{\"k\":[]},{}]}", "-{\"k\":[1]}");
    FOLLOWS("{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}", "+[[],[[]]]", "-[1]");
    refuses("{\"$ref\":\"#\"}", TAPEOUT_E_LIMIT, "back to themselves");
    refuses("{\"$ref\":\"#/$defs/x\"}", TAPEOUT_E_INVALID, "not there");
    refuses("{\"$ref\":\"http://x/y\"}", TAPEOUT_E_UNSUPPORTED, "another document");
    refuses("{\"$ref\":\"#name\"}", TAPEOUT_E_UNSUPPORTED, "anchor");
    refuses("{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}",
            TAPEOUT_E_INVALID, "no text can follow");
}

static void test_refused(void)
{
    static const char *const keywords[] = {"not",
                                           "if",
                                           "contains",
                                           "uniqueItems",
                                           "patternProperties",
                                           "propertyNames",
                                           "minProperties",
                                           "maxProperties",
                                           "dependentSchemas",
                                           "unknown",
                                           "$dynamicRef",
                                           "unevaluatedProperties",
                                           "additionalItems",
                                           "dependentRequired"};
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        char schema[200];
        snprintf(schema, sizeof(schema), "{\"properties\":{\"p\":{\"%s\":[1]}}}", keywords[i]);
        refuses(schema, TAPEOUT_E_UNSUPPORTED, keywords[i]);
        refuses(schema, TAPEOUT_E_UNSUPPORTED, "#/properties/p/");
    }
    refuses("{\"format\":\"regex\"}", TAPEOUT_E_UNSUPPORTED, "format");
    refuses("{\"items\":[]}", TAPEOUT_E_UNSUPPORTED, "prefixItems");
    refuses("{\"multipleOf\":1000}", TAPEOUT_E_UNSUPPORTED, "multipleOf");
    refuses("{\"minimum\":1e30}", TAPEOUT_E_UNSUPPORTED, "1e19");
    refuses("{\"type\":\"thing\"}", TAPEOUT_E_INVALID, "type must be");
    refuses("{\"minLength\":-1}", TAPEOUT_E_INVALID, "whole number");
    refuses("{\"minLength\":1e12}", TAPEOUT_E_LIMIT, "counted");
    refuses("{\"anyOf\":[]}", TAPEOUT_E_INVALID, "anyOf");
    refuses("{\"enum\":1}", TAPEOUT_E_INVALID, "enum");
    refuses("{\"required\":1}", TAPEOUT_E_INVALID, "required");
    refuses("{\"properties\":[]}", TAPEOUT_E_INVALID, "properties");
    refuses("{\"items\":3}", TAPEOUT_E_INVALID, "a schema must be");
    refuses("{\"allOf\":3}", TAPEOUT_E_INVALID, "allOf");
    refuses("{\"allOf\":[{\"pattern\":\"a\"},{\"pattern\":\"b\"}]}", TAPEOUT_E_UNSUPPORTED,
            "two patterns");
    refuses("{\"pattern\":\"(?=a)\"}", TAPEOUT_E_UNSUPPORTED, "lookahead");
    refuses("{\"type\":\"integer\",\"minimum\":5,\"maximum\":4}", TAPEOUT_E_INVALID, "no text");
    refuses("{\"additionalProperties\":false,\"required\":[\"a\"]}", TAPEOUT_E_UNSUPPORTED,
            "\"a\"");
    refuses("false", TAPEOUT_E_INVALID, "no text");
    refuses("{", TAPEOUT_E_INVALID, "not JSON");
}

TEST_MAIN(TEST(test_objects), TEST(test_arrays), TEST(test_strings), TEST(test_numbers),
          TEST(test_choices), TEST(test_references), TEST(test_refused))
