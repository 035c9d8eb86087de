// SPDX-License-Identifier: Apache-2.0
//
// What each notation takes, what texts then follow it, and what is refused by which words.
#include "grammar_vocab.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

typedef enum notation {
    SCHEMA,
    GBNF,
    REGEX,
} notation;

static tapeout_status make(notation kind, const char *text, tp_grammar **ret)
{
    static tp_env env;
    env = tp_env_plain();
    const tp_grammar_options options = {.is_compact = true};
    test_err = (tapeout_error){0};
    if (kind == SCHEMA) {
        return tp_grammar_from_json_schema(&env, tp_str_from(text), &options, ret, &test_err);
    }
    if (kind == GBNF) {
        return tp_grammar_from_gbnf(&env, tp_str_from(text), &options, ret, &test_err);
    }
    return tp_grammar_from_regex(&env, tp_str_from(text), &options, ret, &test_err);
}

// Texts that begin with '+' follow the grammar, those with '-' do not.
static void follows(notation kind, const char *grammar_text, const char *const *texts)
{
    const tp_env env = tp_env_plain();
    tp_grammar *grammar = NULL;
    grammar_vocab vocab;
    test_assert_status(__FILE__, __LINE__, make(kind, grammar_text, &grammar), TAPEOUT_OK,
                       &test_err);
    grammar_vocab_init(&vocab);
    grammar_vocab_index(&vocab);
    for (size_t i = 0; texts[i] != NULL; i++) {
        tp_constraint *c = NULL;
        bool is_complete = false;
        ASSERT_OK(tp_constraint_new(&env, grammar, vocab.index, &c, &test_err));
        (void)grammar_vocab_accept(&vocab, c, tp_str_from(texts[i] + 1), i, &is_complete);
        if (is_complete != (texts[i][0] == '+')) {
            test_fail(__FILE__, __LINE__, "'%s': text '%s' is %s", grammar_text, texts[i] + 1,
                      is_complete ? "taken" : "not taken");
        }
        tp_constraint_free(c);
    }
    grammar_vocab_deinit(&vocab);
    tp_grammar_unref(grammar);
}
#define FOLLOWS(kind, text, ...) follows(kind, text, (const char *const[]){__VA_ARGS__, NULL})

static void refuses(notation kind, const char *text, tapeout_status status, const char *part)
{
    tp_grammar *grammar = NULL;
    test_assert_status(__FILE__, __LINE__, make(kind, text, &grammar), status, &test_err);
    test_assert_message(__FILE__, __LINE__, &test_err, part);
    ASSERT(grammar == NULL);
}

static void test_regex(void)
{
    FOLLOWS(REGEX, "a[b-d]+e?|x{2,4}", "+abcd", "+abe", "-ae", "+xxxx", "-x", "-xxxxx");
    FOLLOWS(REGEX, "\\d{3,}\\s\\w\\.", "+1234 _.", "-12 a.", "-123 .a");
    FOLLOWS(REGEX, "[^a-y\\n]\\u00e9\\u{1F600}.", "+zé😀日", "-zé😀\n", "-aé😀b");
    FOLLOWS(REGEX, "^(?:a|(?<n>b))*$", "+", "+abba", "-c");
    FOLLOWS(REGEX, "(^a|b)c($|d)", "+ac", "+acd", "+bcd", "-bacd");
    FOLLOWS(REGEX, "a{2}{", "+aa{", "-a{");
    FOLLOWS(REGEX, "[\\]\\-a-]+\\x41\\cA\\0?", "+]-aA\x01", "-bA\x01");
    FOLLOWS(REGEX, "(a?){5}b", "+b", "+aaaaab", "-aaaaaab");
    FOLLOWS(REGEX, "((ab){4,6}c){4,5}", "+ababababcababababcababababababcababababc", "-ababababc");
}

static void test_regex_refused(void)
{
    refuses(REGEX, "(a)\\1", TAPEOUT_E_UNSUPPORTED, "backreference");
    refuses(REGEX, "(?=a)", TAPEOUT_E_UNSUPPORTED, "lookahead");
    refuses(REGEX, "(?<!a)", TAPEOUT_E_UNSUPPORTED, "lookbehind");
    refuses(REGEX, "(?i)a", TAPEOUT_E_UNSUPPORTED, "(?:");
    refuses(REGEX, "a\\b", TAPEOUT_E_UNSUPPORTED, "word boundary");
    refuses(REGEX, "\\p{L}", TAPEOUT_E_UNSUPPORTED, "Unicode property");
    refuses(REGEX, "a**", TAPEOUT_E_INVALID, "byte 2: nothing to repeat");
    refuses(REGEX, "^*", TAPEOUT_E_INVALID, "anchor");
    refuses(REGEX, "(a", TAPEOUT_E_INVALID, "( without )");
    refuses(REGEX, "a)", TAPEOUT_E_INVALID, ") without (");
    refuses(REGEX, "[a", TAPEOUT_E_INVALID, "[ without ]");
    refuses(REGEX, "[b-a]", TAPEOUT_E_INVALID, "backwards");
    refuses(REGEX, "a{3,2}", TAPEOUT_E_INVALID, "at least more");
    refuses(REGEX, "\\q", TAPEOUT_E_INVALID, "escape");
    refuses(REGEX, "\\ud800", TAPEOUT_E_INVALID, "no character");
    refuses(REGEX, "\\", TAPEOUT_E_INVALID, "backslash");
    refuses(REGEX, "a{999999999}", TAPEOUT_E_LIMIT, "repeats");
    refuses(REGEX, "a[]b", TAPEOUT_E_INVALID, "no text can follow");
    refuses(REGEX, "\xff", TAPEOUT_E_INVALID, "UTF-8");
    refuses(REGEX, "(((a?){1000}){1000}){1000}", TAPEOUT_E_LIMIT, "repeats");
}

// Each is worked on in time linear in the text, whatever a backtracking matcher would do.
static void test_adversarial(void)
{
    static const char *const patterns[] = {"(a*)*b",       "(a|aa)+$",     "((a+)+)+b",
                                           "(a|a|a|aa)*b", "(((a*)*)*)*b", "(.*a){12}b"};
    const tp_env env = tp_env_plain();
    grammar_vocab vocab;
    grammar_vocab_init(&vocab);
    grammar_vocab_index(&vocab);
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        tp_grammar *grammar = NULL;
        tp_constraint *c = NULL;
        ASSERT_OK(make(REGEX, patterns[i], &grammar));
        ASSERT_OK(tp_constraint_new(&env, grammar, vocab.index, &c, &test_err));
        for (int k = 0; k < 100000; k++) {
            ASSERT_OK(tp_constraint_accept(c, VOCAB_FIRST_BYTE + 'a', &test_err));
        }
        tp_constraint_free(c);
        tp_grammar_unref(grammar);
    }
    grammar_vocab_deinit(&vocab);
}

static char *repeat(const char *part, size_t count)
{
    const size_t size = strlen(part);
    char *text = test_guarded(size * count + 1);
    for (size_t i = 0; i < count; i++) {
        memcpy(text + i * size, part, size);
    }
    text[size * count] = '\0';
    return text;
}

static void test_nesting_is_bounded(void)
{
    refuses(REGEX, repeat("(", 100000), TAPEOUT_E_LIMIT, "nest deeper than 100");
    refuses(GBNF,
            "root ::= ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((("
            "((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((\"a\"",
            TAPEOUT_E_LIMIT, "nest deeper");
    refuses(SCHEMA, repeat("{\"items\":", 100000), TAPEOUT_E_INVALID, "schema");
    refuses(SCHEMA, repeat("[", 100000), TAPEOUT_E_INVALID, "schema");
}

static void test_gbnf(void)
{
    FOLLOWS(GBNF, "# a list\nroot ::= item (\", \" item)* # more\nitem ::= [a-z]+ |\n  \"\\x41\"\n",
            "+ab, A, c", "-ab,c", "-");
    FOLLOWS(GBNF, "root ::= (\n \"é\" | [^é] . \n ){2,3}\n", "+éé", "+éxyé", "-é");
    FOLLOWS(GBNF,
            "root ::= x{4,6} y{2} z{1,}\nx::=\"a\"\ny ::= \"b\" ws\nws ::= [ \\t]*\nz ::= \"c\"",
            "+aaaabb c", "-aaabbc", "+aaaaaab bcc");
    // Forty deep, where each level could read what it has in any of three rounds.
    FOLLOWS(GBNF, "root ::= (\"(\" root \")\" | \"b\" | \"\"){1,3}", "+", "+b(b)",
            "+((((((((((((((((((((((((((((((((((((((((bbb))))))))))))))))))))))))))))))))))))))))",
            "-bbbb", "-(()()()())");
    FOLLOWS(GBNF, "root ::= (\"a\"? \"b\"? \"\"{0} (\"c\"{0,2}){2,3}){2} \"d\"", "+d", "+acbcccd",
            "+ababd", "-ababad", "+ccccccccccccd", "-cccccccccccccd");
    FOLLOWS(GBNF, "root ::= ws{5,9} \"x\"\nws ::= [ ]?", "+x", "+      x", "-          x");
    FOLLOWS(GBNF, "root ::= \"(\" root? \")\" | \"\\\"\\u00e9\\U0001F600\\n\"", "+(())",
            "+(\"é😀\n)", "-(");
    FOLLOWS(GBNF, "root ::= \"a\" root | \"\"", "+aaaaa", "+", "-b");
}

static void test_gbnf_refused(void)
{
    refuses(GBNF, "", TAPEOUT_E_INVALID, "no rule 'root'");
    refuses(GBNF, "root ::= x", TAPEOUT_E_INVALID, "'x' is not defined");
    refuses(GBNF, "root ::= \"a\"\nroot ::= \"b\"", TAPEOUT_E_INVALID, "defined twice");
    refuses(GBNF, "root ::= root \"a\" | \"b\"", TAPEOUT_E_INVALID, "left recursion");
    refuses(GBNF, "root ::= e root \"a\" | \"b\"\ne ::= \"\"", TAPEOUT_E_INVALID, "left recursion");
    refuses(GBNF, "root ::= \"a\" root", TAPEOUT_E_INVALID, "no text can follow");
    refuses(GBNF, "root ::= \"a", TAPEOUT_E_INVALID, "line 1");
    refuses(GBNF, "root ::= [a", TAPEOUT_E_INVALID, "[ without ]");
    refuses(GBNF, "root ::= [b-a]", TAPEOUT_E_INVALID, "backwards");
    refuses(GBNF, "root ::= (\"a\"", TAPEOUT_E_INVALID, "( without )");
    refuses(GBNF, "root ::= \"a\"{3,2}", TAPEOUT_E_INVALID, "at least more");
    refuses(GBNF, "root ::= \"a\"{x}", TAPEOUT_E_INVALID, "number");
    refuses(GBNF, "root ::= \"\\q\"", TAPEOUT_E_INVALID, "escape");
    refuses(GBNF, "root ::= \"a\")", TAPEOUT_E_INVALID, "end of the line");
    refuses(GBNF, "root = \"a\"", TAPEOUT_E_INVALID, "::=");
    refuses(GBNF, "::= \"a\"", TAPEOUT_E_INVALID, "rule's name");
    refuses(GBNF, "root ::= <[5]>", TAPEOUT_E_INVALID, "expected a literal");
}

// What it was made from, whatever becomes of the caller's bytes, makes it again.
static void test_source_is_kept(void)
{
    const tp_env env = tp_env_plain();
    char text[] = "[a-c]{2}";
    char around[] = "<>";
    const tp_grammar_options options = {.prefix = {around, 1}, .suffix = {around + 1, 1}};
    tp_grammar *grammar = NULL;
    tp_grammar *again = NULL;
    ASSERT_OK(tp_grammar_from_regex(&env, tp_str_from(text), &options, &grammar, &test_err));
    memset(text, 'x', sizeof(text) - 1);
    memset(around, 'x', sizeof(around) - 1);
    const tp_grammar_source source = tp_grammar_source_of(grammar);
    ASSERT(source.kind == TP_GRAMMAR_REGEX && !source.options.is_compact);
    ASSERT(tp_str_equal(source.text, TP_STR("[a-c]{2}")));
    ASSERT(tp_str_equal(source.options.prefix, TP_STR("<")));
    ASSERT(tp_str_equal(source.options.suffix, TP_STR(">")));
    ASSERT_OK(tp_grammar_from(&env, &source, &again, &test_err));
    tp_grammar_unref(grammar);
    ASSERT(tp_str_equal(tp_grammar_source_of(again).text, TP_STR("[a-c]{2}")));
    tp_grammar_unref(again);
}

TEST_MAIN(TEST(test_source_is_kept), TEST(test_regex), TEST(test_regex_refused),
          TEST(test_adversarial), TEST(test_nesting_is_bounded), TEST(test_gbnf),
          TEST(test_gbnf_refused))
