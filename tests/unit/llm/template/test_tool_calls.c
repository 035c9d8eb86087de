// SPDX-License-Identifier: Apache-2.0
//
// Tool calls out of text: each family, whole and byte by byte with the same result, and what only
// looks like a call.
#include "test.h"

#include "base/tp_error.h"
#include "llm/template/tp_tool_calls.h"
#include "table/tp_json.h"

#include <string.h>

// What came out, in one line: text, ~reasoning~, [index name arguments].
typedef struct log {
    tp_buffer text;
    tp_tool_delta_kind last;
    bool is_held; // calls are, and arguments come in fragments: no bracket behind them
    bool is_once; // only the first is
    size_t fragments;
} log;

static tapeout_status note(void *user, const tp_tool_delta *delta, tapeout_error *err)
{
    log *l = user;
    (void)err; // nothing fails here but memory
    if (l->last == TP_DELTA_REASONING && delta->kind != TP_DELTA_REASONING) {
        tp_buffer_append_text(&l->text, "~");
    }
    if (delta->kind == TP_DELTA_REASONING && l->last != TP_DELTA_REASONING) {
        tp_buffer_append_text(&l->text, "~");
    }
    l->last = delta->kind;
    if (delta->kind == TP_DELTA_CALL) {
        tp_buffer_printf(&l->text, "[%u %.*s ", delta->index, TP_STR_ARGS(delta->name));
        return delta->id.size == 29 ? TAPEOUT_OK : TAPEOUT_E_INTERNAL;
    }
    tp_buffer_append_str(&l->text, delta->text);
    tp_buffer_append_text(&l->text, delta->kind == TP_DELTA_ARGUMENTS && !l->is_held ? "]" : "");
    l->fragments += delta->kind == TP_DELTA_ARGUMENTS;
    return tp_buffer_check(&l->text, "log", err);
}

static tapeout_status parse(const tp_env *env, const char *template, const char *output,
                            size_t piece, log *l, tapeout_error *err)
{
    tp_tool_parser *parser;
    const tp_tool_parser_options options = {.parse_calls = true,
                                            .calls_are_held = l->is_held,
                                            .held_once = l->is_once,
                                            .id_seed = 7,
                                            .sink = note,
                                            .sink_user = l};
    const size_t size = strlen(output);
    TP_TRY(
        tp_tool_parser_new(env, tp_tool_format_of(tp_str_from(template)), &options, &parser, err));
    tapeout_status status = TAPEOUT_OK;
    for (size_t at = 0; at < size && status == TAPEOUT_OK; at += piece) {
        const size_t left = size - at;
        status =
            tp_tool_parser_push(parser, (tp_str){output + at, left < piece ? left : piece}, err);
    }
    status = status == TAPEOUT_OK ? tp_tool_parser_finish(parser, err) : status;
    tp_tool_parser_free(parser);
    return status;
}

static const char hermes[] = "tools <tool_call> <think>";
static const char llama3[] = "tools <|python_tag|>";
static const char mistral[] = "tools [TOOL_CALLS]";

static void check_log(const char *template, const char *output, const char *want, bool is_held)
{
    const tp_env env = tp_env_plain();
    for (size_t piece = 1; piece < 40; piece += 2) {
        log l = {.last = TP_DELTA_CONTENT, .is_held = is_held};
        tp_buffer_init(&l.text, env.alloc, 1u << 16);
        ASSERT_OK(parse(&env, template, output, piece, &l, &test_err));
        tp_buffer_append_char(&l.text, 0);
        ASSERT_EQ_STR(l.text.data, want);
        ASSERT(!is_held || piece > 1 || strstr(want, "f {\"") == NULL || l.fragments > 4);
        tp_buffer_deinit(&l.text);
    }
}

static void check(const char *template, const char *output, const char *want)
{
    check_log(template, output, want, false);
}

static void check_held(const char *template, const char *output, const char *want)
{
    check_log(template, output, want, true);
}

static void test_hermes(void)
{
    check(hermes, "Hello", "Hello");
    check(hermes, "<think>\nhm\n</think>\n\nHi", "~\nhm\n~\n\nHi");
    check(hermes, "ok <tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}\"}}\n</tool_call>",
          "ok [0 f {\"a\":\"}\"}]");
    check(hermes,
          "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n"
          "<tool_call>{\"name\":\"g\"}</tool_call>\n",
          "[0 f {}][1 g {}]");
    check(hermes, "a <tool_cal b", "a <tool_cal b");
    check(hermes, "<tool_call>{broken}</tool_call>", "<tool_call>{broken}</tool_call>");
    check(hermes, "<tool_call>{\"name\": \"f\", ", "<tool_call>{\"name\": \"f\", ");
    check(hermes, "{\"name\": \"f\"}", "{\"name\": \"f\"}");
}

static void test_other_families(void)
{
    check(llama3, "{\"name\": \"f\", \"parameters\": {\"x\": 1}}", "[0 f {\"x\":1}]");
    check(llama3, "<|python_tag|>{\"name\":\"f\",\"parameters\":{}}; {\"name\":\"g\"}",
          "[0 f {}][1 g {}]");
    check(llama3, "{\"x\": 1} is JSON", "{\"x\": 1} is JSON");
    check(mistral, "[TOOL_CALLS][{\"name\":\"f\",\"arguments\":{}},{\"name\":\"g\"}]",
          "[0 f {}][1 g {}]");
    check(mistral, "[TOOL_X]", "[TOOL_X]");
    check("", "[{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}]", "[0 f {\"a\": 1}]");
    check("", "plain {text}", "plain {text}");
}

// Blanks go only where another call or the end follows, however the text is cut.
static void test_blanks(void)
{
    check(mistral, "[TOOL_CALLS][{\"name\":\"f\"}] [TOOL_CALLS][{\"name\":\"g\"}] \n",
          "[0 f {}][1 g {}]");
    check(hermes, "<tool_call>{\"name\":\"f\"}</tool_call>\n\n<tool_x", "[0 f {}]\n\n<tool_x");
    check(hermes, "<tool_call>{\"name\":\"f\"}</tool_call> a  \n", "[0 f {}] a  \n");
    check(hermes, "<tool_call>{\"name\":\"f\"}</tool_call>a <tool_call>{\"name\":\"g\"}",
          "[0 f {}]a [1 g {}]");
}

// Arguments as they come, byte for byte; a call that breaks off has those that came.
static void test_held(void)
{
    check_held(
        hermes,
        "ok <tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}\\\"{\"}}\n</tool_call>",
        "ok [0 f {\"a\": \"}\\\"{\"}");
    check_held(hermes,
               "<tool_call>{\"name\":\"f\",\"arguments\":{\"b\":[{}, 1]}}</tool_call>\n"
               "<tool_call>{\"name\":\"g\",\"arguments\":{}}</tool_call>\n",
               "[0 f {\"b\":[{}, 1]}[1 g {}");
    check_held(hermes, "<tool_call>{\"name\":\"f\",\"arguments\":{\"ab\": 12345",
               "[0 f {\"ab\": 12345");
    check_held(hermes, "<tool_call>{\"name\":\"f\",\"argum", "<tool_call>{\"name\":\"f\",\"argum");
    check_held(mistral,
               "[TOOL_CALLS][{\"name\":\"f\",\"arguments\":{\"x\": {}}} , "
               "{\"name\":\"g\", \"arguments\": {}}] \n",
               "[0 f {\"x\": {}}[1 g {}");
    check_held(llama3,
               "{\"name\": \"f\", \"parameters\": {\"x\": 1}}; {\"name\":\"g\",\"parameters\":{}}",
               "[0 f {\"x\": 1}[1 g {}");
    // What has another form than the grammar's is seen whole.
    check_held(hermes, "<tool_call>{\"name\":\"f\",\"arguments\":null}</tool_call>", "[0 f null");
    check_held(hermes, "<tool_call>{\"name\":\"f\"}</tool_call>", "[0 f {}");
    check_held(hermes, "<tool_call>{\"x\":{}}</tool_call>", "<tool_call>{\"x\":{}}</tool_call>");
}

// Behind the one call that the grammar held the text is free: a call there is told once it is
// whole, its arguments in one piece, and what is none is content to the byte.
static void check_once(const char *template, const char *output, const char *want)
{
    const tp_env env = tp_env_plain();
    const size_t first = (size_t)(strrchr(output, ';') - output);
    for (size_t piece = 1; piece < 40; piece += 2) {
        log l = {.last = TP_DELTA_CONTENT, .is_held = true, .is_once = true};
        log one = l;
        char head[128];
        tp_buffer_init(&l.text, env.alloc, 1u << 16);
        tp_buffer_init(&one.text, env.alloc, 1u << 16);
        (void)snprintf(head, sizeof(head), "%.*s", (int)first, output);
        ASSERT_OK(parse(&env, template, head, piece, &one, &test_err));
        ASSERT_OK(parse(&env, template, output, piece, &l, &test_err));
        tp_buffer_append_char(&l.text, 0);
        ASSERT_EQ_STR(l.text.data, want);
        ASSERT(l.fragments <= one.fragments + 1);
        tp_buffer_deinit(&one.text);
        tp_buffer_deinit(&l.text);
    }
}

static void test_held_once(void)
{
    check_once(
        llama3,
        "{\"name\":\"f\",\"parameters\":{\"x\": 1}}; {\"name\":\"g\",\"parameters\":{\"y\": 2}}",
        "[0 f {\"x\": 1}[1 g {\"y\":2}");
    check_once(llama3,
               "{\"name\":\"f\",\"parameters\":{}}; {\"name\":\"g\",\"parameters\":{\"y\": 2",
               "[0 f {}{\"name\":\"g\",\"parameters\":{\"y\": 2");
    check_once(hermes,
               "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>;"
               "<tool_call>{\"name\":\"g\",\"arguments\":{\"y\": [2, }}</tool_call>",
               "[0 f {};<tool_call>{\"name\":\"g\",\"arguments\":{\"y\": [2, }}</tool_call>");
    check_once(mistral,
               "[TOOL_CALLS][{\"name\":\"f\",\"arguments\":{\"x\": 1}}];"
               "[TOOL_CALLS][{\"name\":\"g\",\"arguments\":{\"y\": 2}}, 3]",
               "[0 f {\"x\": 1};[TOOL_CALLS][{\"name\":\"g\",\"arguments\":{\"y\": 2}}, 3]");
}

// A list is calls or content, never both.
static void test_list_with_other_things(void)
{
    check("", "[{\"name\": \"f\"}, 3]", "[{\"name\": \"f\"}, 3]");
    check(mistral, "[TOOL_CALLS][{\"name\":\"f\"},{}]", "[TOOL_CALLS][{\"name\":\"f\"},{}]");
}

static tapeout_status scenario(const tapeout_allocator *alloc, void *user, tapeout_error *err)
{
    tp_env env = tp_env_plain();
    log l = {.last = TP_DELTA_CONTENT, .is_held = *(const bool *)user};
    env.alloc = alloc;
    tp_buffer_init(&l.text, alloc, 1u << 16);
    const tapeout_status status = parse(
        &env, hermes, "x <tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>", 5, &l, err);
    tp_buffer_deinit(&l.text);
    return status;
}

static void test_every_allocation(void)
{
    for (int held = 0; held < 2; held++) {
        test_out_of_memory(scenario, &(bool){held != 0});
    }
}

static void test_force(void)
{
    const tp_env env = tp_env_plain();
    yyjson_doc *doc;
    tp_tool_force force;
    ASSERT_OK(tp_json_parse(env.alloc,
                            TP_STR("[{\"function\":{\"name\":\"f\",\"parameters\":{\"type\":"
                                   "\"object\"}}},{\"function\":{\"name\":\"g\"}}]"),
                            "tools", &doc, &test_err));
    tp_tool_choice choice = {.tools = yyjson_doc_get_root(doc), .name = TP_STR("f")};
    ASSERT_OK(tp_tool_force_make(&env, tp_tool_format_of(tp_str_from(hermes)), &choice, &force,
                                 &test_err));
    tp_buffer_append_char(&force.schema, 0);
    ASSERT_EQ_STR(force.schema.data,
                  "{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"name\":{\"const\":\"f\"},"
                  "\"arguments\":{\"type\":\"object\"}},\"required\":[\"name\",\"arguments\"],"
                  "\"additionalProperties\":false}]}");
    ASSERT(tp_str_equal(tp_buffer_view(&force.prefix), TP_STR("<tool_call>\n")));
    tp_tool_force_deinit(&force);
    choice.name = TP_STR("nope");
    ASSERT_FAILS(tp_tool_force_make(&env, tp_tool_format_of(tp_str_from(mistral)), &choice, &force,
                                    &test_err),
                 TAPEOUT_E_INVALID, "no tool is named 'nope'");
    yyjson_doc_free(doc);
}

// With "auto" only a strict tool is held to its parameters; what marks a call is told apart.
static void test_force_strict_alone(void)
{
    const tp_env env = tp_env_plain();
    const tp_tool_format format = tp_tool_format_of(tp_str_from(hermes));
    yyjson_doc *doc;
    tp_tool_force force;
    ASSERT_OK(tp_json_parse(env.alloc,
                            TP_STR("[{\"function\":{\"name\":\"f\",\"strict\":true,\"parameters\":"
                                   "{\"type\":\"null\"}}},{\"function\":{\"name\":\"g\","
                                   "\"parameters\":{\"type\":\"null\"}}}]"),
                            "tools", &doc, &test_err));
    const tp_tool_choice choice = {.tools = yyjson_doc_get_root(doc), .strict_alone = true};
    ASSERT_OK(tp_tool_force_make(&env, format, &choice, &force, &test_err));
    tp_buffer_append_char(&force.schema, 0);
    const char *schema = force.schema.data;
    ASSERT(strstr(schema, "\"f\"},\"arguments\":{\"type\":\"null\"}") != NULL);
    ASSERT(strstr(schema, "\"g\"},\"arguments\":{\"type\":\"object\"}") != NULL);
    ASSERT(tp_str_equal(tp_tool_format_marker(format), tp_buffer_view(&force.trigger)));
    tp_tool_force_deinit(&force);
    yyjson_doc_free(doc);
}

TEST_MAIN(TEST(test_force_strict_alone), TEST(test_hermes), TEST(test_other_families),
          TEST(test_blanks), TEST(test_held), TEST(test_held_once),
          TEST(test_list_with_other_things), TEST(test_every_allocation), TEST(test_force))
