#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes pretokenize_cases.jsonl: words that the patterns of real tokenizer.json files cut.

The patterns are run by Hugging Face's `tokenizers` (0.23.3), whose regular expressions are those
that the models were trained with. One object a line: recipe, text, and the words' lengths in bytes.

    python make_pretokenize_cases.py > pretokenize_cases.jsonl
"""
import json
import random

from tokenizers import Regex, pre_tokenizers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CASE = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
SPACE = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
WORD = r"|[^\r\n\p{L}\p{N}]?\p{L}+"
SIGN = r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LEAD = r"[^\r\n\p{L}\p{N}]?"
SLASH = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"
RECIPES = {
    "gpt-2": [GPT2],
    "smollm": [r"\p{N}", GPT2],
    "llama-bpe": [CASE + WORD + r"|\p{N}{1,3}" + SIGN + SPACE],
    "qwen2": [CASE + WORD + r"|\p{N}" + SIGN + SPACE],
    "qwen35": [CASE + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
               r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + SPACE],
    "ufakzeka": [r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + SIGN + SPACE],
    "seed-coder": [CASE + WORD + r"|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+" + SPACE],
    "bailingmoe": [r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])" + WORD + r"|\p{N}" + SIGN +
                   r"|\s*[\r\n]|\s+(?!\S)|\s+"],
    "minicpm5": [r"\p{N}{1,3}", CASE + WORD + r"|\p{N}+" + SIGN + SPACE],
    "gpt-4o": [f"{LEAD}{UPPER}*{LOWER}+{CASE}?|{LEAD}{UPPER}+{LOWER}*{CASE}?" + r"|\p{N}{1,3}" +
               SLASH + SPACE],
    "tekken": [f"{LEAD}{UPPER}*{LOWER}+|{LEAD}{UPPER}+{LOWER}*" + r"|\p{N}" + SLASH + SPACE],
    "deepseek-v3": [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
                    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
                    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*" + SPACE],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+",
                       "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", r"\p{N}"],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, r"[0-9][0-9][0-9]"],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"],
    "bloom": [" ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"],
    "viking": [" ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+", r"\p{N}"],
}
TEXTS = [
    "Hello, world!", "I'll say it's DON'T and we'VE, they're o'clock 'sup 'x' '", "a  b   c    ",
    "x = 12345 + 6.789e10 // 100", "line\n\n  next\r\n\ttab\n \n end \n", "  lead", "trail  ",
    " ", "\n", "\u4f60\u597d\uff0c\u4e16\u754c123abc", "\xdcberGr\xf6\xdfe HTMLParser camelCase",
    "na\u0308ive cafe\u0301 \u0301x \u0939\u093f\u0928\u094d\u0926\u0940", "\xa0\u3000 x\u2003y",
    "\U0001f600\U0001f468\u200d\U0001f469 \u2192\u20ac$+<=>^`|~", "a/b/c\n//x /\r\n/",
    "\u0661\u0662\u0663\u0664 \xbd \u2167 \xb2", "\u01c5\u02b0\u10d0 ABCdefGHI \u4e2dABC\u6587d",
    "\uc548\ub155\u3053\u3093\u306b\u3061\u306f \u30c6\u30b9\u30c8", "(a|b).c,d!e?f\u2026\u3002g",
    "#include <stdio.h>\nint main(void) {\n\treturn 0;\n}\n", "\x00\x01\x7f\x85x\u2028y",
]
PARTS = [
    "a", "b", "z", "A", "B", "Z", "0", "1", "9", "'", "s", "S", "t", "T", "r", "R", "e", "E", "v",
    "V", "l", "L", "d", "D", "m", "M", " ", " ", " ", "\t", "\n", "\r", "/", ".", ",", "!", "-",
    "_", "$", "+", "`", "|", "\xe9", "\xc9", "\xdf", "\u0301", "\u4e2d", "\u3042", "\uac00",
    "\xa0", "\u2003", "\u0661", "\xb2", "\u01c5", "\u02b0", "\u20ac", "\u2014", "\u200d", "\x00",
    "\U0001f600", "\u0e81",
]


def texts():
    rng = random.Random(4)
    yield from TEXTS
    for _ in range(120):
        yield "".join(rng.choice(PARTS) for _ in range(rng.randint(1, 14)))


def main():
    for name, patterns in RECIPES.items():
        cut = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns])
        for text in texts():
            words = [len(word.encode()) for word, _ in cut.pre_tokenize_str(text)]
            print(json.dumps({"recipe": name, "text": text, "words": words}))


if __name__ == "__main__":
    main()
