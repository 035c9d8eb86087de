#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes data/minilm_ids.jsonl: WordPiece ids as Hugging Face's `tokenizers` has them.

    make_minilm_ids.py FOLDER >data/minilm_ids.jsonl

FOLDER holds the tokenizer.json of all-MiniLM-L6-v2 (Apache-2.0); made with tokenizers 0.23.3 (PyPI,
Apache-2.0), truncation and padding off. A line is {"text", "ids"}, [CLS] and [SEP] included. The
texts were written for this purpose; those with "random" in the script come from a seed.
"""
import json
import random
import sys

from tokenizers import Tokenizer

TEXTS = [
    "", " ", "a", "The cat sat on the mat.", "A feline rested on a rug!",
    "The stock market fell sharply on Tuesday.", "Der Zug nach Köln hat Verspätung.",
    "Ça va très bien, merci; et toi?", "İstanbul'da ırmak ÇĞÖŞÜ", "naïve café résumé coöperate",
    "cafe\u0301 e\u0301\u0327 a\u0308", "Москва — столица России", "Ελληνικά: Ἀθῆναι",
    "東京は日本の首都です。", "北京欢迎你", "한국어 문장입니다", "שלום עולם", "مرحبا بالعالم",
    "नमस्ते दुनिया", "สวัสดีชาวโลก", "👍🏽 emoji 👨\u200d👩\u200d👧\u200d👦 family 🇧🇪", "x²+y²=z² ½ ⅓ ①",
    "e-mail: someone@example.org, http://example.org/a?b=c#d", "don't won't it's O'Neill's",
    "tabs\tand\nnew\r\nlines\x0b\x0c", "non\u00a0breaking\u2003space\u3000wide",
    "zero\u200bwidth\u200djoiner\ufeffbom", "soft\u00adhyphen", "nul\x00byte bell\x07 \x7f del",
    "replacement \ufffd char", "private \ue000 use", "$100,000.00 (approx.) 50% #1 @home & more",
    "snake_case camelCase PascalCase kebab-case", "a" * 99, "a" * 100, "a" * 101,
    "word " + "antidisestablishmentarianism" * 4, "antidisestablishmentarianism",
    "[CLS] inside [SEP] text [MASK] [UNK] [PAD]", "[cls] lower", "[ CLS ]", "[MASK][MASK]",
    "``quoted'' \"double\" ‘single’ “curly” «guillemets»", "…ellipsis... dots", "—em–en-hyphen",
    "1234567890 12.5e-3 0x1F 1,2", "ﬁne ligature ﬀ", "ＦＵＬＬＷＩＤＴＨ ｔｅｘｔ", "ǅ ǆ ẞ ß",
    "\U0001d54f\U0001d550 math letters", "𠀀𠀁 rare han", "㐀 extension a", "豈 compatibility",
    "々〆 iteration", "ｱｲｳ half width", "~`!@#$%^&*()-_=+[]{}|;:'\",.<>/?\\", "+ < = > | ~ ^ $ ¢ €",
    "mixed中文and日本語text",
    "form\x0cfeed next\x85line \x0b tab",
    "not assigned: \u0378 \ufae7 a\u0c57",
    "\u0300 lone mark", "a\u0300\u0301\u0302\u0303b",
]


def random_texts():
    pick = random.Random(7)
    pools = ["abcdefghijklmnopqrstuvwxyz ", "aeiou\u0300\u0301\u0308 nstr",
             "ÀÉÎÕÜßçñøåæœ ABC", "的一是不 了在人ab ", "0123456789.,-$% x", "[]CLSEPMASK "]
    for number in range(60):
        pool = pools[number % len(pools)]
        yield "".join(pick.choice(pool) for _ in range(pick.randint(1, 60)))
    for _ in range(40):
        yield "".join(chr(pick.choice([pick.randrange(0x20, 0x250), pick.randrange(0x250, 0x3100),
                                       pick.randrange(0x3100, 0xd800),
                                       pick.randrange(0xf900, 0x10000),
                                       pick.randrange(0x1f300, 0x1f700)])) for _ in range(16))


def main():
    tokenizer = Tokenizer.from_file(f"{sys.argv[1]}/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    for text in [*TEXTS, *random_texts()]:
        print(json.dumps({"text": text, "ids": tokenizer.encode(text).ids}))


main()
