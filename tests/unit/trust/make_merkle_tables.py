#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes merkle_tables.h: roots and proofs by the recursive definitions of RFC 9162, section 2.1,
with hashlib and nothing of ours.

The first tree is the one of eight leaves that implementations of Certificate Transparency share.
The others are of leaves that are their numbers in decimal; of their proofs a hash over all of them
stands for the whole.
"""
import hashlib
import pathlib

KNOWN = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f")]
LARGEST = 70


def sha(data):
    return hashlib.sha256(data).digest()


def split(count):
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def root(leaves):
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return sha(b"\0" + leaves[0])
    k = split(len(leaves))
    return sha(b"\1" + root(leaves[:k]) + root(leaves[k:]))


def path(m, leaves):
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return path(m, leaves[:k]) + [root(leaves[k:])]
    return path(m - k, leaves[k:]) + [root(leaves[:k])]


def subproof(m, leaves, whole):
    if m == len(leaves):
        return [] if whole else [root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return subproof(m, leaves[:k], whole) + [root(leaves[k:])]
    return subproof(m - k, leaves[k:], False) + [root(leaves[:k])]


def literal(data):
    return '"' + data.hex() + '"'


def main():
    numbers = [str(i).encode() for i in range(LARGEST)]
    inclusion = hashlib.sha256()
    consistency = hashlib.sha256()
    for size in range(1, LARGEST + 1):
        for m in range(size):
            inclusion.update(b"".join(path(m, numbers[:size])))
        for m in range(1, size + 1):
            consistency.update(b"".join(subproof(m, numbers[:size], True)))
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        "// Written by make_merkle_tables.py.",
        f"enum {{ MERKLE_LARGEST = {LARGEST} }};",
        "static const char *const merkle_known_leaves[8] = {",
        *[f"    {literal(leaf)}," for leaf in KNOWN], "};",
        "static const char *const merkle_known_roots[9] = {",
        *[f"    {literal(root(KNOWN[:n]))}," for n in range(9)], "};",
        "static const char *const merkle_roots[] = {",
        *[f"    {literal(root(numbers[:n]))}," for n in range(LARGEST + 1)], "};",
        "// PATH(5, D[7]) and PROOF(3, D[7]) of the known leaves.",
        "static const char *const merkle_path_5_7[] = {",
        *[f"    {literal(h)}," for h in path(5, KNOWN[:7])], "};",
        "static const char *const merkle_proof_3_7[] = {",
        *[f"    {literal(h)}," for h in subproof(3, KNOWN[:7], True)], "};",
        "// SHA-256 over all proofs of all sizes in turn.",
        f"static const char merkle_all_inclusion[] = {literal(inclusion.digest())};",
        f"static const char merkle_all_consistency[] = {literal(consistency.digest())};",
    ]
    place = pathlib.Path(__file__).with_name("merkle_tables.h")
    place.write_text("\n".join(lines) + "\n")


main()
