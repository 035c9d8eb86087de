// SPDX-License-Identifier: Apache-2.0
//
// Strings: any, by length, by pattern, by format. A string without pattern takes every spelling
// that JSON knows for a character; one with a pattern or a format the plain one, escaped where it
// must be. Lengths count characters, as JSON Schema does. Formats are patterns written out here; a
// format that is not among them is refused.
#include "llm/grammar/schema_priv.h"

#include <string.h>

#define DATE_YEAR "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
#define DATE_LEAP                                                                                  \
    "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)-02-29"
#define DATE                                                                                       \
    "(" DATE_YEAR "-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|"                                   \
    "(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|" DATE_LEAP ")"
#define TIME                                                                                       \
    "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9]" \
    ")"
#define LABEL "[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?"
#define HOST LABEL "(\\." LABEL "){0,3}"
#define OCTET "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4 OCTET "(\\." OCTET "){3}"
#define H16 "[0-9A-Fa-f]{1,4}"
#define IPV6                                                                                       \
    "(" H16 ":){7}" H16 "|(" H16 ":){1,7}:|(" H16 ":){1,6}:" H16 "|(" H16 ":){1,5}(:" H16          \
    "){1,2}|(" H16 ":){1,4}(:" H16 "){1,3}|(" H16 ":){1,3}(:" H16 "){1,4}|(" H16 ":){1,2}(:" H16   \
    "){1,5}|" H16 ":(:" H16 "){1,6}|:((:" H16 "){1,7}|:)"
#define ATOM "[-A-Za-z0-9!#$%&'*+/=?^_`{|}~]{1,64}"
#define URI_CHAR "([-A-Za-z0-9._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})"

static const struct {
    const char *name;
    const char *pattern;
} formats[] = {
    {"date", DATE},
    {"time", TIME},
    {"date-time", DATE "T" TIME},
    {"duration",
     "P([0-9]{1,9}W|(([0-9]{1,9}Y([0-9]{1,9}M)?([0-9]{1,9}D)?|[0-9]{1,9}M([0-9]{1,9}D)?|"
     "[0-9]{1,9}D)(T([0-9]{1,9}H([0-9]{1,9}M([0-9]{1,9}S)?)?|[0-9]{1,9}M([0-9]{1,9}S)?|"
     "[0-9]{1,9}S))?|T([0-9]{1,9}H([0-9]{1,9}M([0-9]{1,9}S)?)?|"
     "[0-9]{1,9}M([0-9]{1,9}S)?|[0-9]{1,9}S)))"},
    {"uuid", "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"},
    {"email", ATOM "(\\." ATOM "){0,3}@" HOST},
    {"hostname", HOST},
    {"ipv4", IPV4},
    {"ipv6", IPV6},
    {"uri", "[A-Za-z][-A-Za-z0-9+.]{0,31}://" HOST "(:[0-9]{1,5})?(/" URI_CHAR
            "{0,1000})?(\\?" URI_CHAR "{0,1000})?(#" URI_CHAR "{0,1000})?"},
};

uint32_t tp_schema_regex(schema_compiler *c, const char *pattern, uint32_t next)
{
    static const grammar_lowering plain = {.spelling = GRAMMAR_PLAIN};
    return tp_grammar_lower(c->b, tp_regex_parse(c->b, tp_str_from(pattern)), &plain, next);
}

// A rule that is made when it is first wanted.
static uint32_t shared_rule(schema_compiler *c, uint32_t *rule,
                            uint32_t (*build)(schema_compiler *c, uint32_t next))
{
    if (*rule == UINT32_MAX) {
        *rule = tp_grammar_rule(c->b);
        const uint32_t level = c->b->level;
        c->b->level = 0;
        const uint32_t start = build(c, GRAMMAR_DONE);
        c->b->level = level;
        if (c->b->status == TAPEOUT_OK) {
            c->b->rules[*rule] = start;
        }
    }
    return *rule;
}

// One character in any spelling; a surrogate only as a pair.
static uint32_t build_character(schema_compiler *c, uint32_t next)
{
    static const char escaped[] =
        "\\\\([\"\\\\/bfnrt]|u([0-9A-CEFa-cef][0-9A-Fa-f]{3}|[Dd][0-7][0-9A-Fa-f]{2}|"
        "[Dd][89ABab][0-9A-Fa-f]{2}\\\\u[Dd][C-Fc-f][0-9A-Fa-f]{2}))";
    grammar_range controls[] = {{0, 0x1f}, {'"', '"'}, {'\\', '\\'}};
    const uint32_t plain = tp_grammar_set(c->b, controls, 3, true);
    return tp_grammar_split(c->b, tp_grammar_set_char(c->b, plain, GRAMMAR_PLAIN, next),
                            tp_schema_regex(c, escaped, next));
}

static uint32_t any_character(schema_compiler *c, uint32_t next)
{
    return tp_grammar_call(c->b, shared_rule(c, &c->character, build_character), next);
}

static uint32_t build_text(schema_compiler *c, uint32_t next)
{
    const uint32_t loop =
        tp_grammar_split(c->b, GRAMMAR_DEAD, tp_grammar_bytes(c->b, '"', '"', next));
    tp_grammar_add(c->b, loop, any_character(c, loop));
    return loop;
}

uint32_t tp_schema_text_end(schema_compiler *c, uint32_t next)
{
    return tp_grammar_call(c->b, shared_rule(c, &c->text, build_text), next);
}

static const char *find_format(schema_compiler *c, yyjson_val *format)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (tp_str_equal(tp_json_str(format), tp_str_from(formats[i].name))) {
            return formats[i].pattern;
        }
    }
    tp_schema_fail(c, TAPEOUT_E_UNSUPPORTED, format,
                   "this format is not supported; those that are: date, time, date-time, duration, "
                   "uuid, email, hostname, ipv4, ipv6, uri");
    return NULL;
}

uint32_t tp_schema_string(schema_compiler *c, const schema_facts *facts, uint32_t next)
{
    grammar_builder *b = c->b;
    const bool has_length = facts->min_length > 0 || facts->max_length != GRAMMAR_NO_MAX;
    const uint32_t quote = tp_grammar_bytes(b, '"', '"', next);
    if (facts->pattern != NULL && facts->format != NULL) {
        tp_schema_fail(c, TAPEOUT_E_UNSUPPORTED, facts->format, "format beside pattern");
    } else if (facts->pattern != NULL || facts->format != NULL) {
        const tp_str pattern = facts->pattern != NULL ? tp_json_str(facts->pattern)
                                                      : tp_str_from(find_format(c, facts->format));
        const grammar_lowering how = {.spelling = GRAMMAR_JSON,
                                      .is_search = facts->pattern != NULL,
                                      .has_length = has_length,
                                      .min = facts->min_length,
                                      .max = facts->max_length};
        next = tp_grammar_lower(b, tp_regex_parse(b, pattern), &how, quote);
        return tp_grammar_bytes(b, '"', '"', next);
    }
    if (!has_length) {
        return tp_grammar_bytes(b, '"', '"', tp_schema_text_end(c, next));
    }
    if (facts->max_length < facts->min_length) {
        return GRAMMAR_DEAD;
    }
    const grammar_count count =
        tp_grammar_count_open(b, facts->min_length, facts->max_length, quote);
    const uint32_t body = any_character(c, count.loop);
    return tp_grammar_bytes(b, '"', '"', tp_grammar_count_close(b, &count, body));
}
