#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Blocks of every tensor type and what the format's authors read from them.

Writes <TYPE>.blocks (bytes as in a GGUF file: random ones, and the extremes of scales and codes)
and <TYPE>.values (little-endian float32, by gguf.dequantize), and manifest.json. Scales are finite:
what a NaN times a code is differs between processors. Needs numpy and gguf.
"""
import hashlib
import importlib.metadata
import json
import pathlib

import gguf
import numpy

HERE = pathlib.Path(__file__).resolve().parent
# Type -> bytes of a block, places of half-precision scales in it.
TYPES = {
    "F32": (4, None), "F16": (2, None), "BF16": (2, None),
    "Q4_0": (18, [0]), "Q4_1": (20, [0, 2]), "Q5_0": (22, [0]), "Q5_1": (24, [0, 2]),
    "Q8_0": (34, [0]), "Q2_K": (84, [80, 82]), "Q3_K": (110, [108]), "Q4_K": (144, [0, 2]),
    "Q5_K": (176, [0, 2]), "Q6_K": (210, [208]), "IQ4_NL": (18, [0]), "IQ4_XS": (136, [0]),
    "MXFP4": (17, []),
}
SCALES = (0.0, -0.0, 65504.0, -65504.0, 6e-8, -6e-8, 6.1e-5, 1.0)


def with_scales(block, places, values):
    for place, value in zip(places, values):
        block[place:place + 2] = numpy.frombuffer(numpy.float16(value).tobytes(), numpy.uint8)
    return block


def blocks_of(random, size, places, is_half):
    if places is None:  # plain floats: special values, and some of everywhere
        if size == 4:
            special = numpy.array([0, 0x80000000, 1, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000,
                                   0x3f800000], "<u4").view(numpy.uint8)
            rest = random.standard_normal(56).astype("<f4").view(numpy.uint8)
            return numpy.concatenate([special, rest])
        bits = numpy.concatenate([
            numpy.array([0, 0x8000, 1, 0x3ff, 0x400, 0x7bff, 0x7c00, 0xfc00, 0x7f7f, 0x7f80]),
            numpy.arange(0, 65536, 397)]).astype("<u2")
        top = 0x7c00 if is_half else 0x7f80
        return bits[(bits & 0x7fff) <= top].view(numpy.uint8)  # no NaN
    blocks = []
    for i in range(4):  # random codes under ordinary and extreme scales
        block = random.integers(0, 256, size, dtype=numpy.uint8)
        blocks.append(with_scales(block, places, random.standard_normal(2) if i == 0 else
                                  random.choice(SCALES, 2)))
    for byte in (0, 255):
        block = numpy.full(size, byte, numpy.uint8)
        blocks.append(with_scales(block, places, (-0.37, 12.5)))
    if not places:  # MXFP4: the exponent is a byte; 255 would be NaN in the standard, not here
        for i, exponent in enumerate((127, 0, 1, 2, 128, 254)):
            blocks[i][0] = exponent
    return numpy.concatenate(blocks)


def main():
    random = numpy.random.default_rng(4)
    files = {}
    for name, (size, places) in TYPES.items():
        data = blocks_of(random, size, places, name == "F16")
        values = gguf.dequantize(data, gguf.GGMLQuantizationType[name]) if name != "F32" \
            else data.view("<f4")
        for suffix, content in (("blocks", data.tobytes()),
                                ("values", values.astype("<f4").tobytes())):
            (HERE / f"{name}.{suffix}").write_bytes(content)
            files[f"{name}.{suffix}"] = hashlib.sha256(content).hexdigest()
    manifest = {
        "source": f"gguf {importlib.metadata.version('gguf')} (PyPI), gguf.dequantize",
        "licence": "our own random bytes; the package is under the MIT licence",
        "made_by": "make_fixtures.py",
        "sha256": files,
    }
    (HERE / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
