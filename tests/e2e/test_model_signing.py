# SPDX-License-Identifier: Apache-2.0
"""OpenSSF Model Signing: the unmodified model-signing package reads what we sign, and we what it
signs. It checks a folder with the bundle in it: the only file of a model it calls "." where the
specification has its name, and we take both from it."""
import os
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT

OMS = ROOT / ".deps/oms"


def model_signing(*words):
    if not (OMS / "model_signing").exists():
        pytest.skip("model-signing is not there; run make setup")
    return subprocess.run([sys.executable, "-m", "model_signing", *map(str, words)],
                          env={**os.environ, "PYTHONPATH": str(OMS)}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=300, check=False)


@pytest.fixture
def folder(toy, tmp_path):
    place = tmp_path / "model"
    place.mkdir()
    shutil.copyfile(toy.bundle, place / "toy.tapeout")
    return place


@pytest.fixture
def foreign(tmp_path):
    """A key pair that OpenSSL made."""
    secret, public = tmp_path / "secret.pem", tmp_path / "public.pem"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out",
                    str(secret)], check=True)
    subprocess.run(["openssl", "ec", "-in", str(secret), "-pubout", "-out", str(public)],
                   check=True, stderr=subprocess.DEVNULL)
    return secret, public


def test_they_read_ours(tapeout, folder, tmp_path):
    bundle, signature, public = folder / "toy.tapeout", folder / "toy.tapeout.oms.sig", \
        tmp_path / "release.pem"
    tapeout.ok("keys", "new", "release", "--p256", "--no-passphrase")
    tapeout.ok("sign", bundle, "--oms", "--key", "release")
    public.write_text(tapeout.ok("keys", "export", "release", "--pem"))
    done = model_signing("verify", "key", folder, "--signature", signature, "--public_key", public)
    assert done.returncode == 0 and "succeeded" in done.stdout, done.stdout
    assert tapeout.json("verify", bundle, "--oms", "--key", public)["verified"]
    assert tapeout.json("verify", bundle, "--oms", "--key", "release")["verified"]
    assert "nobody here trusts" in tapeout.fails("verify", bundle, "--oms")
    # An Ed25519 key cannot.
    tapeout.ok("keys", "new", "ed", "--no-passphrase")
    assert "--p256" in tapeout.fails("sign", bundle, "--oms", "--key", "ed")
    # Both see a changed model.
    data = bytearray(bundle.read_bytes())
    data[2000] ^= 1
    bundle.write_bytes(data)
    done = model_signing("verify", "key", folder, "--signature", signature, "--public_key", public)
    assert done.returncode != 0 and "mismatch" in done.stdout
    tapeout.fails("verify", bundle, "--oms", "--key", "release")


def test_we_read_theirs(tapeout, folder, foreign, tmp_path):
    secret, public = foreign
    bundle = folder / "toy.tapeout"
    for model in (folder, bundle):
        signature = tmp_path / "their.sig"
        done = model_signing("sign", "key", model, "--signature", signature, "--private_key",
                             secret)
        assert done.returncode == 0, done.stdout
        verdict = tapeout.json("verify", bundle, "--oms", "--signature", signature, "--key", public)
        assert verdict["verified"], verdict
        text = signature.read_text()
        for old, new in (("sigstore.bundle", "sigstore.bungle"),
                         ('"payload":"eyJ', '"payload":"eyK'),
                         ('"payload": "eyJ', '"payload": "eyK'),
                         ('"sig":"ME', '"sig":"MF'), ('"sig": "ME', '"sig": "MF')):
            if old not in text:
                continue
            signature.write_text(text.replace(old, new))
            tapeout.fails("verify", bundle, "--oms", "--signature", signature, "--key", public)
        signature.write_text(text)


def test_other_files_are_not_passed_over(tapeout, folder, foreign, tmp_path):
    """A statement about more than the bundle is refused: we could answer for one of its files."""
    secret, public = foreign
    (folder / "more.txt").write_text("more")
    signature = tmp_path / "their.sig"
    done = model_signing("sign", "key", folder, "--signature", signature, "--private_key", secret)
    assert done.returncode == 0, done.stdout
    assert "other files" in tapeout.fails("verify", folder / "toy.tapeout", "--oms", "--signature",
                                          signature, "--key", public)
