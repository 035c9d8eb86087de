# SPDX-License-Identifier: Apache-2.0
"""Writes a C file with the SHA-256 of the program's sources, for the lineage of a bundle.

    source_hash.py OUT.c OUT.d ROOT

Over src/ and include/ in the order of their paths: each path and its file's own hash. OUT.d tells
the build which files it was made from.
"""
import hashlib
import pathlib
import sys


def main():
    out, depends, root = (pathlib.Path(word) for word in sys.argv[1:4])
    folders = (root / "src", root / "include")
    files = sorted(path for folder in folders for path in folder.rglob("*.[ch]"))
    whole = hashlib.sha256()
    for path in files:
        name = path.relative_to(root).as_posix()
        whole.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    out.write_text('#include "pipeline/pipeline_priv.h"\n\n'
                   f'const char tp_pipeline_source_sha256[] = "{whole.hexdigest()}";\n')
    depends.write_text(f"{out}: {' '.join(str(path) for path in files)}\n")


main()
