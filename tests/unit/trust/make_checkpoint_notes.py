#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes checkpoint_tables.h and the seeds of fuzz/corpus/checkpoint: a key and notes signed with
it by Ed25519 as RFC 8032, section 5.1, says it, in plain numbers and with nothing of ours.
"""
import base64
import hashlib
import pathlib

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    e, f = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    g, h = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    u, v, w, s = f - e, h - g, h + g, f + e
    return u * v % P, w * s % P, v * w % P, u * s % P


def multiply(count, point):
    result = (0, 1, 1, 0)
    while count > 0:
        if count & 1:
            result = add(result, point)
        point = add(point, point)
        count >>= 1
    return result


def base_point():
    y = 4 * pow(5, P - 2, P) % P
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P != 0:
        x = x * pow(2, (P - 1) // 4, P) % P
    x = P - x if x & 1 else x
    return x, y, 1, x * y % P


def encode(point):
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    x, y = x * inverse % P, y * inverse % P
    return int.to_bytes(y | (x & 1) << 255, 32, "little")


def number(data):
    return int.from_bytes(data, "little")


def expand(seed):
    digest = hashlib.sha512(seed).digest()
    return (number(digest[:32]) & (1 << 254) - 8) | 1 << 254, digest[32:]


def public_key(seed):
    return encode(multiply(expand(seed)[0], base_point()))


def sign(seed, message):
    secret, prefix = expand(seed)
    nonce = number(hashlib.sha512(prefix + message).digest()) % Q
    point = encode(multiply(nonce, base_point()))
    hashed = number(hashlib.sha512(point + public_key(seed) + message).digest()) % Q
    return point + int.to_bytes((nonce + hashed * secret) % Q, 32, "little")


def key_hash(name, public):
    return hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def note(name, seed, body):
    blob = key_hash(name, public_key(seed)) + sign(seed, body.encode())
    return f"\u2014 {name} {base64.b64encode(blob).decode()}\n"


def literal(text):
    return '"' + "".join(
        "\\n" if b == 10 else chr(b) if 32 <= b < 127 and b not in (34, 92) else f"\\{b:03o}"
        for b in text.encode()) + '"'


def main():
    seed, witness = bytes(range(32)), bytes(range(32, 64))
    assert public_key(bytes.fromhex(  # RFC 8032, section 7.1, test 1
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")).hex() == \
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    name, public = "example.org/log", public_key(seed)
    key = f"{name}+{key_hash(name, public).hex()}+{base64.b64encode(bytes([1]) + public).decode()}"
    body = f"{name}\n510100\n{base64.b64encode(bytes(range(32))).decode()}\n"
    other = body.replace("log\n", "log2\n", 1)
    good = body + "\n" + note(name, seed, body)
    notes = {
        "note_key": key,
        "note_good": good,
        "note_with_witness": good + note("witness", witness, body),
        "note_other_origin": other + "\n" + note(name, seed, other),
    }
    here = pathlib.Path(__file__).resolve().parent
    lines = ["// SPDX-License-Identifier: Apache-2.0", "// Written by make_checkpoint_notes.py."]
    lines += [f"static const char {what}[] = {literal(text)};" for what, text in notes.items()]
    (here / "checkpoint_tables.h").write_text("\n".join(lines) + "\n")
    corpus = here.parents[1] / "fuzz/corpus/checkpoint"
    corpus.mkdir(parents=True, exist_ok=True)
    for what, text in notes.items():
        (corpus / what).write_bytes(text.encode())
    (corpus / "no_signature").write_bytes(body.encode() + b"\n")
    (corpus / "two_breaks").write_bytes(good.replace("\n\n", "\n\n\n").encode())
    (corpus / "leading_zero").write_bytes(good.replace("510100", "0510100").encode())


main()
