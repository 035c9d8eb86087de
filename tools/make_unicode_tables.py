#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/llm/tokenizer/unicode_tables.c: what pre-tokenizers ask of characters.

The classes are of Unicode 15.1, in a table of our own and not by utf8proc: ids must not change with
the version of a system library. Needs a Python whose unicodedata is of that version (3.13):

    python3.13 tools/make_unicode_tables.py > src/llm/tokenizer/unicode_tables.c
"""
import sys
import unicodedata

VERSION = "15.1.0"
BLOCK = 256
SPACES = {*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029,
          0x202F, 0x205F, 0x3000}  # White_Space
KINDS = {"L": 1, "N": 2, "M": 8, "P": 16, "S": 32}
CASES = {"Lu": 64, "Lt": 64, "Ll": 128}


def class_of(code):
    category = unicodedata.category(chr(code))
    space = 4 if code in SPACES else 0
    return KINDS.get(category[0], 0) | CASES.get(category, 0) | space


def rows(values, per_line):
    for at in range(0, len(values), per_line):
        print("    " + ", ".join(str(v) for v in values[at:at + per_line]) + ",")


def main():
    if unicodedata.unidata_version != VERSION:
        sys.exit(f"this Python knows Unicode {unicodedata.unidata_version}, not {VERSION}")
    blocks = {}
    index = []
    for begin in range(0, 0x110000, BLOCK):
        block = tuple(class_of(code) for code in range(begin, begin + BLOCK))
        index.append(blocks.setdefault(block, len(blocks)))
    print("// SPDX-License-Identifier: Apache-2.0\n//\n"
          "// Made by tools/make_unicode_tables.py from Unicode 15.1; the bits are named in\n"
          "// unicode_class.h. Which block of 256 classes a code point's upper bits mean, and the\n"
          "// blocks.\n"
          '#include "llm/tokenizer/unicode_class.h"\n\n// clang-format off')
    print(f"const uint8_t tp_unicode_blocks[{len(index)}] = {{")
    rows(index, 32)
    print(f"}};\n\nconst uint8_t tp_unicode_classes[{len(blocks)}][{BLOCK}] = {{")
    for block in blocks:
        print("    {")
        rows(block, 32)
        print("    },")
    print("};\n// clang-format on")


if __name__ == "__main__":
    main()
