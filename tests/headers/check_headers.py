#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles every public header alone as C99, C17 and C++11, with warnings as errors.

A header that leans on another one's includes, uses a word of a later C or breaks C++ fails here and
not at a user's. It is included twice, so that a missing guard shows as well.
"""
import os
import pathlib
import subprocess
import sys

LANGUAGES = [
    ("c99", [os.environ.get("CC", "cc"), "-x", "c", "-std=c99"]),
    ("c17", [os.environ.get("CC", "cc"), "-x", "c", "-std=c17"]),
    ("c++11", [os.environ.get("CXX", "c++"), "-x", "c++", "-std=c++11"]),
]
FLAGS = ["-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wundef", "-"]


def main():
    include = pathlib.Path(sys.argv[1])
    headers = sorted(path.relative_to(include).as_posix() for path in include.rglob("*.h"))
    passed = failed = 0
    for header in headers:
        source = f"#include <{header}>\n#include <{header}>\nextern int tapeout_header_check;\n"
        for language, command in LANGUAGES:
            done = subprocess.run([*command, f"-I{include}", *FLAGS], input=source, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            good = done.returncode == 0
            passed += good
            failed += not good
            print(f"{'ok' if good else 'not ok'} {header} as {language}")
            if not good:
                print("  " + "\n  ".join(done.stdout.splitlines()[:5]))
    print(f"# {passed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not headers else 0


if __name__ == "__main__":
    sys.exit(main())
