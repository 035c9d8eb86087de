# SPDX-License-Identifier: Apache-2.0
"""Bills of materials: CycloneDX 1.6 by its schema, true to what runs, and the same each time."""
import hashlib
import importlib.util
import json
import pathlib
import subprocess

import jsonschema
import pytest
import referencing


@pytest.fixture(scope="module")
def check():
    """Validates a document by the schema that the pinned package carries; nothing of it is run."""
    spec = importlib.util.find_spec("cyclonedx")
    if spec is None:
        pytest.skip("cyclonedx-python-lib is not there; run make setup")
    folder = pathlib.Path(spec.submodule_search_locations[0]) / "schema/_res"
    names = [f"{name}.SNAPSHOT.schema.json" for name in ("bom-1.6", "spdx", "jsf-0.82")]
    schemas = [json.loads((folder / name).read_text()) for name in names]
    known = referencing.Registry().with_resources(
        ("http://cyclonedx.org/schema/" + name, referencing.Resource.from_contents(schema))
        for name, schema in zip(names, schemas))
    judge = jsonschema.Draft7Validator(schemas[0], registry=known)
    assert list(judge.iter_errors({"bomFormat": "other", "specVersion": "1.6"}))

    def run(document):
        errors = [f"{list(error.absolute_path)}: {error.message[:200]}"
                  for error in judge.iter_errors(document)]
        assert not errors, errors[:5]
        refs = [document["metadata"]["component"]["bom-ref"]]
        refs += [part["bom-ref"] for part in document.get("components", [])]
        assert len(refs) == len(set(refs))
        for edge in document["dependencies"]:
            assert {edge["ref"], *edge["dependsOn"]} <= set(refs)
        return document

    return run


def test_program(tapeout, binary, check):
    text = tapeout.ok("sbom")
    document = check(json.loads(text))
    assert tapeout.ok("sbom", "--json") == text, "the same bytes each time"
    own = document["metadata"]["component"]
    assert own["name"] == "tapeout"
    assert own["version"] == tapeout.json("version")["version"]
    assert own["hashes"][0]["content"] == hashlib.sha256(binary.read_bytes()).hexdigest()
    parts = {part["name"]: part for part in document["components"]}
    loaded = {}
    for line in subprocess.run(["ldd", binary], check=True, stdout=subprocess.PIPE,
                               text=True).stdout.splitlines():
        if "=>" in line:
            name, _, path = line.strip().partition(" => ")
            loaded[name] = path.split(" (")[0]
    libraries = {"libuv": "libuv.so", "openssl": "libcrypto.so", "sqlite": "libsqlite3.so",
                 "libseccomp": "libseccomp.so", "libsodium": "libsodium.so", "zlib": "libz.so"}
    for name, begin in libraries.items():
        path, = [path for library, path in loaded.items() if library.startswith(begin)]
        digest = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
        assert parts[name]["hashes"][0]["content"] == digest
        assert parts[name]["properties"][0]["value"] == "dynamic"
        assert parts[name]["version"]
    for name in ("yyjson", "llhttp"):
        assert parts[name]["version"]
    # What is looked for while it runs stands there where the loader finds it.
    known = subprocess.run(["ldconfig", "-p"], check=False, stdout=subprocess.PIPE,
                           text=True).stdout
    for name, library in (("libcurl", "libcurl.so.4"), ("libpq", "libpq.so.5")):
        paths = [line.split(" => ")[1] for line in known.splitlines() if library + " " in line]
        if paths:
            digests = {hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
                       for path in paths}
            assert parts[name]["hashes"][0]["content"] in digests
            assert parts[name]["properties"][0]["value"] == "run time"
            assert parts[name]["scope"] == "optional" and parts[name]["version"][0].isdigit()


def test_every_library_is_named(tapeout, binary):
    """What NOTICE says is linked stands in the document, and nothing is missing there."""
    names = {part["name"].lower() for part in json.loads(tapeout.ok("sbom"))["components"]}
    notice = (pathlib.Path(__file__).resolve().parents[2] / "NOTICE").read_text()
    linked = notice.split("Linked from the system:")[1].split("\n\n")[0]
    said = {line.split()[0].lower() for line in linked.strip().splitlines()}
    # The command's line editor belongs to the command, not to the library that is described.
    assert said - {"libedit"} <= names


def test_table_model(toy, check):
    text = toy.command.ok("sbom", toy.bundle)
    assert toy.command.ok("sbom", toy.bundle) == text
    document = check(json.loads(text))
    model = document["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"][0]["content"] == hashlib.sha256(toy.bundle.read_bytes()).hexdigest()
    card = model["modelCard"]
    assert card["modelParameters"]["task"] == "binary"
    assert card["modelParameters"]["architectureFamily"] == "gradient-boosted trees"
    metrics = {entry["type"]: float(entry["value"])
               for entry in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert metrics["auc"] == toy.json["metrics"]["auc"]
    lineage = toy.command.json("inspect", toy.bundle)["lineage"]
    parts = {part["bom-ref"]: part for part in document["components"]}
    for ref in ("data", "spec", "code"):
        assert parts[ref]["hashes"][0]["content"] == lineage[f"{ref}_sha256"]
    work = document["formulation"][0]["workflows"][0]
    assert work["name"] == "train"
    assert {"name": "seed", "value": str(lineage["seed"])} in work["properties"]


def test_language_model(tapeout, smollm, check):
    made = tapeout.json("import", smollm)
    document = check(json.loads(tapeout.ok("sbom", made["name"])))
    model = document["metadata"]["component"]
    assert model["hashes"][0]["content"] == made["sha256"]
    assert model["modelCard"]["modelParameters"]["task"] == "text generation"
    assert model["licenses"][0]["license"]["name"] == "apache-2.0"
    source, = document["components"]
    assert source["hashes"][0]["content"] == hashlib.sha256(smollm.read_bytes()).hexdigest()


def test_what_is_no_model(tapeout, tmp_path):
    assert "nothing" in tapeout.fails("sbom", tmp_path / "nothing")
