// SPDX-License-Identifier: Apache-2.0
//
// The ways to make a grammar: from a JSON Schema, from nothing (any JSON object), from GBNF, from a
// regular expression; each between a literal prefix and a literal suffix.
#include "llm/grammar/grammar_priv.h"

#include "base/tp_error.h"

typedef enum source_kind {
    SOURCE_SCHEMA,
    SOURCE_OBJECT,
    SOURCE_GBNF,
    SOURCE_REGEX,
} source_kind;

static uint32_t build_regex(grammar_builder *b, tp_str pattern)
{
    static const grammar_lowering plain = {.spelling = GRAMMAR_PLAIN};
    const uint32_t rule = tp_grammar_rule(b);
    const uint32_t start = tp_grammar_lower(b, tp_regex_parse(b, pattern), &plain, GRAMMAR_DONE);
    if (b->status == TAPEOUT_OK) {
        b->rules[rule] = start;
    }
    return rule;
}

static uint32_t build_source(grammar_builder *b, source_kind kind, tp_str text,
                             const tp_grammar_options *options)
{
    const grammar_json_style style = {.is_compact = options->is_compact};
    switch (kind) {
    case SOURCE_SCHEMA:
        return tp_schema_build(b, text, style);
    case SOURCE_OBJECT:
        return tp_json_object_build(b, style);
    case SOURCE_GBNF:
        return tp_gbnf_build(b, text);
    case SOURCE_REGEX:
        return build_regex(b, text);
    }
    return 0;
}

static tapeout_status make(const tp_env *env, source_kind kind, tp_str text,
                           const tp_grammar_options *options, tp_grammar **ret, tapeout_error *err)
{
    static const tp_grammar_options none = {0};
    static const char *const names[] = {"schema", "JSON", "grammar", "pattern"};
    const tp_grammar_options *o = options == NULL ? &none : options;
    grammar_builder b;
    if (text.size > TP_MAX_GRAMMAR_TEXT_BYTES || o->prefix.size > TP_MAX_GRAMMAR_TEXT_BYTES ||
        o->suffix.size > TP_MAX_GRAMMAR_TEXT_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%s: %zu bytes with a prefix of %zu, at most %u each",
                       names[kind], text.size, o->prefix.size, TP_MAX_GRAMMAR_TEXT_BYTES);
    }
    tp_grammar_builder_init(&b, env, err);
    const uint32_t whole = tp_grammar_rule(&b);
    const uint32_t rule = build_source(&b, kind, text, o);
    const uint32_t call =
        tp_grammar_call(&b, rule, tp_grammar_literal(&b, o->suffix, GRAMMAR_DONE));
    const uint32_t start = tp_grammar_literal(&b, o->prefix, call);
    tapeout_status status = b.status;
    if (status == TAPEOUT_OK) {
        b.rules[whole] = start;
        status = tp_grammar_finish(&b, whole, ret, err);
    }
    tp_grammar_builder_deinit(&b);
    return status;
}

tapeout_status tp_grammar_from_json_schema(const tp_env *env, tp_str schema,
                                           const tp_grammar_options *options, tp_grammar **ret,
                                           tapeout_error *err)
{
    return make(env, SOURCE_SCHEMA, schema, options, ret, err);
}

tapeout_status tp_grammar_from_json_object(const tp_env *env, const tp_grammar_options *options,
                                           tp_grammar **ret, tapeout_error *err)
{
    return make(env, SOURCE_OBJECT, (tp_str){NULL, 0}, options, ret, err);
}

tapeout_status tp_grammar_from_gbnf(const tp_env *env, tp_str text,
                                    const tp_grammar_options *options, tp_grammar **ret,
                                    tapeout_error *err)
{
    return make(env, SOURCE_GBNF, text, options, ret, err);
}

tapeout_status tp_grammar_from_regex(const tp_env *env, tp_str pattern,
                                     const tp_grammar_options *options, tp_grammar **ret,
                                     tapeout_error *err)
{
    return make(env, SOURCE_REGEX, pattern, options, ret, err);
}
