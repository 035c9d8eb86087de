// SPDX-License-Identifier: Apache-2.0
//
// The ways to make a grammar: from a JSON Schema, from nothing (any JSON object), from GBNF, from a
// regular expression; each between a literal prefix and a literal suffix, and all kept beside it.
#include "llm/grammar/grammar_priv.h"

#include "base/tp_alloc.h"
#include "base/tp_error.h"

#include <string.h>

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

static uint32_t build_source(grammar_builder *b, const tp_grammar_source *source)
{
    const grammar_json_style style = {.is_compact = source->options.is_compact};
    switch (source->kind) {
    case TP_GRAMMAR_JSON_SCHEMA:
        return tp_schema_build(b, source->text, style);
    case TP_GRAMMAR_JSON_OBJECT:
        return tp_json_object_build(b, style);
    case TP_GRAMMAR_GBNF:
        return tp_gbnf_build(b, source->text);
    case TP_GRAMMAR_REGEX:
        return build_regex(b, source->text);
    }
    return 0;
}

static tapeout_status build(const tp_env *env, const tp_grammar_source *source, tp_grammar **ret,
                            tapeout_error *err)
{
    grammar_builder b;
    tp_grammar_builder_init(&b, env, err);
    const uint32_t whole = tp_grammar_rule(&b);
    const uint32_t rule = build_source(&b, source);
    const uint32_t call =
        tp_grammar_call(&b, rule, tp_grammar_literal(&b, source->options.suffix, GRAMMAR_DONE));
    const uint32_t start = tp_grammar_literal(&b, source->options.prefix, call);
    tapeout_status status = b.status;
    if (status == TAPEOUT_OK) {
        b.rules[whole] = start;
        status = tp_grammar_finish(&b, whole, ret, err);
    }
    tp_grammar_builder_deinit(&b);
    return status;
}

static tp_str keep_text(char **at, tp_str text)
{
    const tp_str kept = {*at, text.size};
    if (text.size > 0) {
        memcpy(*at, text.data, text.size);
        *at += text.size;
    }
    return kept;
}

// So that who records an answer can say what it was held to.
static tapeout_status keep_source(tp_grammar *grammar, const tp_grammar_source *source,
                                  tapeout_error *err)
{
    const tp_grammar_options *options = &source->options;
    const size_t size = source->text.size + options->prefix.size + options->suffix.size + 1;
    char *at = tp_alloc(grammar->alloc, size);
    if (at == NULL) {
        return tp_fail_nomem(err);
    }
    grammar->texts = at;
    grammar->texts_size = size;
    grammar->source.kind = source->kind;
    grammar->source.text = keep_text(&at, source->text);
    grammar->source.options.prefix = keep_text(&at, options->prefix);
    grammar->source.options.suffix = keep_text(&at, options->suffix);
    grammar->source.options.is_compact = options->is_compact;
    return TAPEOUT_OK;
}

tapeout_status tp_grammar_from(const tp_env *env, const tp_grammar_source *source, tp_grammar **ret,
                               tapeout_error *err)
{
    static const char *const names[] = {"schema", "JSON", "grammar", "pattern"};
    const tp_str prefix = source->options.prefix;
    tp_grammar *grammar = NULL;
    if (source->text.size > TP_MAX_GRAMMAR_TEXT_BYTES || prefix.size > TP_MAX_GRAMMAR_TEXT_BYTES ||
        source->options.suffix.size > TP_MAX_GRAMMAR_TEXT_BYTES) {
        return tp_fail(err, TAPEOUT_E_LIMIT, "%s: %zu bytes with a prefix of %zu, at most %u each",
                       names[source->kind], source->text.size, prefix.size,
                       TP_MAX_GRAMMAR_TEXT_BYTES);
    }
    TP_TRY(build(env, source, &grammar, err));
    const tapeout_status status = keep_source(grammar, source, err);
    if (status != TAPEOUT_OK) {
        tp_grammar_unref(grammar);
        return status;
    }
    *ret = grammar;
    return TAPEOUT_OK;
}

tp_grammar_source tp_grammar_source_of(const tp_grammar *grammar)
{
    return grammar->source;
}

static tapeout_status make(const tp_env *env, tp_grammar_source source,
                           const tp_grammar_options *options, tp_grammar **ret, tapeout_error *err)
{
    if (options != NULL) {
        source.options = *options;
    }
    return tp_grammar_from(env, &source, ret, err);
}

tapeout_status tp_grammar_from_json_schema(const tp_env *env, tp_str schema,
                                           const tp_grammar_options *options, tp_grammar **ret,
                                           tapeout_error *err)
{
    return make(env, (tp_grammar_source){.kind = TP_GRAMMAR_JSON_SCHEMA, .text = schema}, options,
                ret, err);
}

tapeout_status tp_grammar_from_json_object(const tp_env *env, const tp_grammar_options *options,
                                           tp_grammar **ret, tapeout_error *err)
{
    return make(env, (tp_grammar_source){.kind = TP_GRAMMAR_JSON_OBJECT}, options, ret, err);
}

tapeout_status tp_grammar_from_gbnf(const tp_env *env, tp_str text,
                                    const tp_grammar_options *options, tp_grammar **ret,
                                    tapeout_error *err)
{
    return make(env, (tp_grammar_source){.kind = TP_GRAMMAR_GBNF, .text = text}, options, ret, err);
}

tapeout_status tp_grammar_from_regex(const tp_env *env, tp_str pattern,
                                     const tp_grammar_options *options, tp_grammar **ret,
                                     tapeout_error *err)
{
    return make(env, (tp_grammar_source){.kind = TP_GRAMMAR_REGEX, .text = pattern}, options, ret,
                err);
}
