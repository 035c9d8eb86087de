#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rows of weights and the squared error with which llama.cpp quantises them.

Writes quantize.rows (float32 [ROWS, 256]) and quantize.errors (float64 [TYPES, ROWS], types in the
order of TYPES) and adds them to manifest.json. Our quantisers must not do worse on any row. Needs
numpy, gguf and llama-cpp-python.
"""
import ctypes
import hashlib
import importlib.metadata
import json
import pathlib

import gguf
import llama_cpp
import numpy

HERE = pathlib.Path(__file__).resolve().parent
TYPES = ("Q8_0", "Q4_0", "Q4_K", "Q6_K")


def rows():
    random = numpy.random.default_rng(7)
    made = [
        random.standard_normal(256) * 0.02,
        random.standard_normal(256),
        random.standard_t(3, 256) * 0.05,  # heavy tails
        random.uniform(-1, 1, 256),
        random.uniform(0, 1, 256),  # one-sided
        random.uniform(-3, -2, 256),  # far from zero
        numpy.zeros(256),
        numpy.where(numpy.arange(256) % 32 == 5, 4.0, 0.001 * random.standard_normal(256)),
        numpy.full(256, -0.25),
        random.standard_normal(256) * numpy.repeat(2.0 ** numpy.arange(-8, 0), 32),
        random.standard_normal(256) * 1e-6,
        random.integers(-7, 8, 256) * 0.125,
    ]
    return numpy.array(made, "<f4")


def main():
    library = pathlib.Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"
    quantize = ctypes.CDLL(str(library)).ggml_quantize_chunk
    quantize.restype = ctypes.c_size_t
    data = rows()
    errors = numpy.zeros((len(TYPES), len(data)), "<f8")
    for t, name in enumerate(TYPES):
        kind = gguf.GGMLQuantizationType[name]
        for r, row in enumerate(data):
            length, size = gguf.GGML_QUANT_SIZES[kind]
            out = numpy.zeros(256 // length * size, numpy.uint8)
            quantize(int(kind), row.ctypes.data_as(ctypes.c_void_p),
                     out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(0), ctypes.c_int64(1),
                     ctypes.c_int64(256), None)
            miss = gguf.dequantize(out, kind).astype(numpy.float64) - row
            errors[t, r] = (miss * miss).sum()
    manifest = json.loads((HERE / "manifest.json").read_text())
    for name, content in (("quantize.rows", data.tobytes()), ("quantize.errors", errors.tobytes())):
        (HERE / name).write_bytes(content)
        manifest["sha256"][name] = hashlib.sha256(content).hexdigest()
    manifest["quantize"] = ("ggml_quantize_chunk without an importance matrix, llama-cpp-python "
                            + importlib.metadata.version("llama-cpp-python")
                            + " (PyPI, MIT); made by make_quantize.py after make_fixtures.py")
    (HERE / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(errors)


if __name__ == "__main__":
    main()
