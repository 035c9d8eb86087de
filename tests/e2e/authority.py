# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates of the tests' own making, by openssl's command."""
import subprocess


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def new_key(path):
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
    return path


class Authority:
    """A folder with a certificate authority and what it has signed."""

    def __init__(self, folder, name="authority"):
        self.folder = folder
        self.key = new_key(folder / f"{name}.key")
        self.cert = folder / f"{name}.crt"
        openssl("req", "-x509", "-new", "-key", self.key, "-subj", f"/CN={name}", "-days", "10",
                "-out", self.cert)

    def sign(self, name, names="DNS:localhost,IP:127.0.0.1", days=5):
        """(certificate, key) of a new pair."""
        key, cert = new_key(self.folder / f"{name}.key"), self.folder / f"{name}.crt"
        request, extra = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extra.write_text(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\n" if names else
                         "basicConstraints=CA:FALSE\n")
        openssl("req", "-new", "-key", key, "-subj", f"/O=Tests/CN={name}", "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key,
                "-CAcreateserial", "-days", days, "-extfile", extra, "-out", cert)
        return cert, key
