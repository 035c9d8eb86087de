// SPDX-License-Identifier: Apache-2.0
//
// The scanners behind the pre-tokenizers. A stage's match function gets a position and returns
// where the match that begins there ends, or the position itself where none does. It sees its
// segment alone, so that "not followed by" means the segment's end too, as in the regular
// expressions, which run on what the stage before has left. Each looks a bounded number of times at
// any character.
#include "llm/tokenizer/pretokenize.h"

#include "llm/tokenizer/unicode_class.h"

typedef struct scan {
    const uint8_t *text;
    size_t end; // of the segment
} scan;

typedef struct character {
    uint32_t code; // TP_UNICODE_END behind the end, and for a byte that is no UTF-8
    uint8_t class;
    uint8_t size; // 0 behind the end
} character;

typedef size_t (*match_fn)(const scan *s, size_t at);

static inline character look(const scan *s, size_t at)
{
    if (at < s->end && s->text[at] < 0x80) {
        const uint8_t byte = s->text[at];
        return (character){byte, tp_unicode_classes[0][byte], 1};
    }
    character c = {0};
    c.size = (uint8_t)tp_unicode_decode(s->text + at, s->end - at, &c.code);
    c.class = tp_unicode_class(c.code);
    return c;
}

// Past all characters that have one of the classes.
static size_t skip(const scan *s, size_t at, uint8_t classes)
{
    for (character c = look(s, at); (c.class & classes) != 0; c = look(s, at)) {
        at += c.size;
    }
    return at;
}

// Past all characters that have none of the classes.
static size_t skip_others(const scan *s, size_t at, uint8_t classes)
{
    for (character c = look(s, at); c.size > 0 && (c.class & classes) == 0; c = look(s, at)) {
        at += c.size;
    }
    return at;
}

static bool is_line_end(uint32_t code)
{
    return code == '\r' || code == '\n';
}

static size_t skip_line_ends(const scan *s, size_t at)
{
    while (at < s->end && is_line_end(s->text[at])) {
        at++;
    }
    return at;
}

// 's 't 'm 'd 're 've 'll at an apostrophe.
static size_t match_contraction(const scan *s, size_t at, bool any_case)
{
    const size_t left = s->end - at;
    if (left < 2 || s->text[at] != '\'') {
        return at;
    }
    const uint8_t fold = any_case ? 0x20 : 0;
    const uint8_t a = s->text[at + 1] | fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') {
        return at + 2;
    }
    const uint8_t b = left > 2 ? s->text[at + 2] | fold : 0;
    const bool is_pair = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
    return is_pair ? at + 3 : at;
}

// \s+(?!\S)|\s+ : all but the last space before a word, which goes with the word.
static size_t match_space(const scan *s, size_t at)
{
    size_t last = at;
    size_t count = 0;
    size_t end = at;
    for (character c = look(s, end); (c.class & TP_UNICODE_SPACE) != 0; c = look(s, end)) {
        last = end;
        end += c.size;
        count++;
    }
    return count > 1 && end < s->end ? last : end;
}

// \s*[\r\n]+ : to the last line end of the run of space.
static size_t match_line_ends(const scan *s, size_t at)
{
    size_t end = at;
    for (character c = look(s, at); (c.class & TP_UNICODE_SPACE) != 0; c = look(s, at)) {
        at += c.size;
        if (is_line_end(c.code)) {
            end = at;
        }
    }
    return end;
}

static size_t match_gpt2(const scan *s, size_t at)
{
    const size_t contraction = match_contraction(s, at, false);
    if (contraction > at) {
        return contraction;
    }
    const size_t word = at + (s->text[at] == ' ');
    const character c = look(s, word);
    if ((c.class & TP_UNICODE_LETTER) != 0) {
        return skip(s, word, TP_UNICODE_LETTER);
    }
    if ((c.class & TP_UNICODE_NUMBER) != 0) {
        return skip(s, word, TP_UNICODE_NUMBER);
    }
    if (c.size > 0 && (c.class & TP_UNICODE_SPACE) == 0) {
        return skip_others(s, word, TP_UNICODE_SPACE | TP_UNICODE_LETTER | TP_UNICODE_NUMBER);
    }
    return match_space(s, at);
}

// What tells the descendants of llama3's pattern apart.
typedef struct word_rules {
    uint8_t letters;     // classes of a word
    uint8_t digits_most; // of one number
    bool has_contractions;
    bool takes_line_ends; // behind punctuation
} word_rules;

static size_t match_digits(const scan *s, size_t at, unsigned most)
{
    for (unsigned i = 0; i < most; i++) {
        const character c = look(s, at);
        if ((c.class & TP_UNICODE_NUMBER) == 0) {
            break;
        }
        at += c.size;
    }
    return at;
}

static size_t match_words(const scan *s, size_t at, const word_rules *rules)
{
    if (rules->has_contractions) {
        const size_t contraction = match_contraction(s, at, true);
        if (contraction > at) {
            return contraction;
        }
    }
    const character first = look(s, at);
    const size_t next = at + first.size;
    if ((first.class & TP_UNICODE_NUMBER) != 0) {
        return match_digits(s, at, rules->digits_most);
    }
    if (!is_line_end(first.code) &&
        ((first.class & rules->letters) != 0 || (look(s, next).class & rules->letters) != 0)) {
        return skip(s, next, rules->letters);
    }
    const uint8_t others = (uint8_t)(TP_UNICODE_SPACE | TP_UNICODE_NUMBER | rules->letters);
    const size_t word = first.code == ' ' ? next : at;
    const size_t end = skip_others(s, word, others);
    if (end > word) {
        return rules->takes_line_ends ? skip_line_ends(s, end) : end;
    }
    const size_t lines = match_line_ends(s, at);
    return lines > at ? lines : match_space(s, at);
}

static size_t match_llama3(const scan *s, size_t at)
{
    static const word_rules rules = {TP_UNICODE_LETTER, 3, true, true};
    return match_words(s, at, &rules);
}

static size_t match_qwen2(const scan *s, size_t at)
{
    static const word_rules rules = {TP_UNICODE_LETTER, 1, true, true};
    return match_words(s, at, &rules);
}

static size_t match_qwen35(const scan *s, size_t at)
{
    static const word_rules rules = {TP_UNICODE_LETTER | TP_UNICODE_MARK, 1, true, true};
    return match_words(s, at, &rules);
}

static size_t match_plain(const scan *s, size_t at)
{
    static const word_rules rules = {TP_UNICODE_LETTER, 1, false, true};
    return match_words(s, at, &rules);
}

static size_t match_seed_coder(const scan *s, size_t at)
{
    static const word_rules rules = {TP_UNICODE_LETTER, 1, true, false};
    return match_words(s, at, &rules);
}

// Letters without case and marks count as upper and as lower.
static bool is_upper(character c)
{
    return (c.class & TP_UNICODE_MARK) != 0 ||
           ((c.class & TP_UNICODE_LETTER) != 0 && (c.class & TP_UNICODE_LOWER) == 0);
}

static bool is_lower(character c)
{
    return (c.class & TP_UNICODE_MARK) != 0 ||
           ((c.class & TP_UNICODE_LETTER) != 0 && (c.class & TP_UNICODE_UPPER) == 0);
}

// [upper]*[lower]+ at a position. The upper run gives back what is lower too, from its end, where
// no lower character follows it. `ret_upper_end` is where the upper run ends.
static size_t match_lower_end(const scan *s, size_t at, size_t *ret_upper_end)
{
    const size_t begin = at;
    size_t both_end = begin; // behind the last character of the run that is lower as well
    for (character c = look(s, at); is_upper(c); c = look(s, at)) {
        at += c.size;
        both_end = is_lower(c) ? at : both_end;
    }
    *ret_upper_end = at;
    size_t end = at;
    for (character c = look(s, end); is_lower(c); c = look(s, end)) {
        end += c.size;
    }
    return end > at ? end : both_end;
}

// A word by case, with one character that is no letter, number or line end in front of it.
static size_t match_cased_word(const scan *s, size_t at)
{
    const character first = look(s, at);
    const bool has_prefix = first.size > 0 && !is_line_end(first.code) &&
                            (first.class & (TP_UNICODE_LETTER | TP_UNICODE_NUMBER)) == 0;
    const size_t word = at + first.size;
    size_t prefixed_upper = word;
    size_t upper = at;
    size_t end = has_prefix ? match_lower_end(s, word, &prefixed_upper) : word;
    if (has_prefix && end > word) {
        return end;
    }
    end = match_lower_end(s, at, &upper);
    if (end > at) {
        return end;
    }
    return has_prefix && prefixed_upper > word ? prefixed_upper : upper;
}

static size_t match_cased(const scan *s, size_t at, unsigned digits_most, bool has_contractions)
{
    const size_t word = match_cased_word(s, at);
    if (word > at) {
        return has_contractions ? match_contraction(s, word, true) : word;
    }
    const character first = look(s, at);
    if ((first.class & TP_UNICODE_NUMBER) != 0) {
        return match_digits(s, at, digits_most);
    }
    const size_t begin = first.code == ' ' ? at + 1 : at;
    size_t end = skip_others(s, begin, TP_UNICODE_SPACE | TP_UNICODE_LETTER | TP_UNICODE_NUMBER);
    if (end > begin) {
        while (end < s->end && (is_line_end(s->text[end]) || s->text[end] == '/')) {
            end++;
        }
        return end;
    }
    end = match_line_ends(s, at);
    return end > at ? end : match_space(s, at);
}

static size_t match_gpt4o(const scan *s, size_t at)
{
    return match_cased(s, at, 3, true);
}

static size_t match_tekken(const scan *s, size_t at)
{
    return match_cased(s, at, 1, false);
}

static bool is_ascii_letter(uint8_t byte)
{
    return (uint8_t)((byte | 0x20) - 'a') < 26;
}

static bool is_ascii_punctuation(uint32_t code)
{
    return code < 0x80 &&
           (tp_unicode_classes[0][code] & (TP_UNICODE_PUNCTUATION | TP_UNICODE_SYMBOL)) != 0;
}

static size_t match_deepseek3(const scan *s, size_t at)
{
    static const uint8_t letters = TP_UNICODE_LETTER | TP_UNICODE_MARK;
    static const uint8_t signs = TP_UNICODE_PUNCTUATION | TP_UNICODE_SYMBOL;
    const character first = look(s, at);
    const size_t next = at + first.size;
    if (is_ascii_punctuation(first.code) && next < s->end && is_ascii_letter(s->text[next])) {
        size_t end = next;
        while (end < s->end && is_ascii_letter(s->text[end])) {
            end++;
        }
        return end;
    }
    const bool can_lead =
        !is_line_end(first.code) && (first.class & (TP_UNICODE_LETTER | signs)) == 0;
    if ((first.class & letters) != 0 || (can_lead && (look(s, next).class & letters) != 0)) {
        return skip(s, next, letters);
    }
    const size_t begin = first.code == ' ' ? next : at;
    const size_t end = skip(s, begin, signs);
    if (end > begin) {
        return skip_line_ends(s, end);
    }
    const size_t lines = match_line_ends(s, at);
    return lines > at ? lines : match_space(s, at);
}

static size_t match_digit(const scan *s, size_t at)
{
    return match_digits(s, at, 1);
}

static size_t match_digits3(const scan *s, size_t at)
{
    return match_digits(s, at, 3);
}

static size_t match_numbers(const scan *s, size_t at)
{
    return skip(s, at, TP_UNICODE_NUMBER);
}

static size_t match_ascii_digits(const scan *s, size_t at)
{
    for (size_t i = 0; i < 3; i++) {
        if (at + i >= s->end || (uint8_t)(s->text[at + i] - '0') > 9) {
            return at;
        }
    }
    return at + 3;
}

static size_t match_punctuation_and(const scan *s, size_t at, bool with_backquote)
{
    for (;;) {
        const character c = look(s, at);
        const bool is_sign = c.code == '`' ? with_backquote : is_ascii_punctuation(c.code);
        if (!is_sign && (c.class & TP_UNICODE_PUNCTUATION) == 0) {
            return at;
        }
        at += c.size;
    }
}

static size_t match_punctuation(const scan *s, size_t at)
{
    return match_punctuation_and(s, at, false);
}

static size_t match_punctuation_falcon(const scan *s, size_t at)
{
    return match_punctuation_and(s, at, true);
}

static size_t match_cjk(const scan *s, size_t at)
{
    for (;;) {
        const character c = look(s, at);
        const bool is_han = c.code >= 0x4e00 && c.code <= 0x9fa5;
        const bool is_kana = c.code >= 0x3040 && c.code <= 0x30ff;
        if (!is_han && !is_kana) {
            return at;
        }
        at += c.size;
    }
}

static size_t match_coder_line_end(const scan *s, size_t at)
{
    return is_line_end(s->text[at]) ? at + 1 : at;
}

// \s? and one or more of a class.
static size_t match_spaced(const scan *s, size_t at, uint8_t class)
{
    const character first = look(s, at);
    const size_t begin = (first.class & TP_UNICODE_SPACE) != 0 ? at + first.size : at;
    const size_t end = skip(s, begin, class);
    return end > begin ? end : at;
}

static size_t match_coder_letters(const scan *s, size_t at)
{
    return match_spaced(s, at, TP_UNICODE_LETTER);
}

static size_t match_coder_punctuation(const scan *s, size_t at)
{
    return match_spaced(s, at, TP_UNICODE_PUNCTUATION);
}

static size_t match_coder_cjk(const scan *s, size_t at)
{
    for (;;) {
        const character c = look(s, at);
        const bool is_hangul = c.code >= 0xac00 && c.code <= 0xd7ff;
        if (!is_hangul && (c.code < 0x800 || c.code > 0x9fa5)) {
            return at;
        }
        at += c.size;
    }
}

static size_t match_bloom(const scan *s, size_t at)
{
    static const uint32_t signs[] = {'(',    ')',    '|',    '.',    ',',    '!',   '?',
                                     0x2026, 0x3002, 0xff0c, 0x3001, 0x0964, 0x6d4, 0x60c};
    const size_t begin = at + (s->text[at] == ' ');
    size_t end = begin;
    for (character c = look(s, end); c.size > 0 && (c.class & TP_UNICODE_SPACE) == 0;
         c = look(s, end)) {
        for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
            if (c.code == signs[i]) {
                return end > begin ? end : at;
            }
        }
        end += c.size;
    }
    return end > begin ? end : at;
}

static const match_fn stages[] = {
    [TP_PRE_GPT2] = match_gpt2,
    [TP_PRE_LLAMA3] = match_llama3,
    [TP_PRE_QWEN2] = match_qwen2,
    [TP_PRE_QWEN35] = match_qwen35,
    [TP_PRE_PLAIN] = match_plain,
    [TP_PRE_SEED_CODER] = match_seed_coder,
    [TP_PRE_GPT4O] = match_gpt4o,
    [TP_PRE_TEKKEN] = match_tekken,
    [TP_PRE_DEEPSEEK3] = match_deepseek3,
    [TP_PRE_DIGIT] = match_digit,
    [TP_PRE_DIGITS3] = match_digits3,
    [TP_PRE_NUMBERS] = match_numbers,
    [TP_PRE_ASCII_DIGITS] = match_ascii_digits,
    [TP_PRE_PUNCTUATION] = match_punctuation,
    [TP_PRE_PUNCTUATION_FALCON] = match_punctuation_falcon,
    [TP_PRE_CJK] = match_cjk,
    [TP_PRE_CODER_LINE_END] = match_coder_line_end,
    [TP_PRE_CODER_LETTERS] = match_coder_letters,
    [TP_PRE_CODER_PUNCTUATION] = match_coder_punctuation,
    [TP_PRE_CODER_CJK] = match_coder_cjk,
    [TP_PRE_BLOOM] = match_bloom,
};

typedef struct split {
    const tp_pre_recipe *recipe;
    const uint8_t *text;
    tp_pre_word_fn word;
    void *user;
} split;

// Matches of a stage, and what lies between them, are segments of the next one; behind the last
// stage they are words. A recursion no deeper than a recipe is long.
static tapeout_status run_stage(const split *p, unsigned stage, size_t begin, size_t end)
{
    if (begin == end) {
        return TAPEOUT_OK;
    }
    if (p->recipe->stages[stage] == TP_PRE_END) {
        return p->word(p->user, p->text + begin, end - begin);
    }
    const match_fn match = stages[p->recipe->stages[stage]];
    const scan s = {p->text, end};
    size_t gap = begin;
    for (size_t at = begin; at < end;) {
        const size_t next = match(&s, at);
        if (next == at) {
            at += look(&s, at).size;
            continue;
        }
        tapeout_status status = run_stage(p, stage + 1, gap, at);
        status = status == TAPEOUT_OK ? run_stage(p, stage + 1, at, next) : status;
        if (status != TAPEOUT_OK) {
            return status;
        }
        gap = at = next;
    }
    return run_stage(p, stage + 1, gap, end);
}

tapeout_status tp_pre_split(const tp_pre_recipe *recipe, tp_str text, tp_pre_word_fn word,
                            void *user)
{
    const split p = {recipe, (const uint8_t *)text.data, word, user};
    return run_stage(&p, 0, 0, text.size);
}
