# SPDX-License-Identifier: Apache-2.0
"""An S3 server of one's own: moto's, from its package, in a process on loopback. It checks every
signature with botocore's signer once `guard` was called. Between it and its clients stands a
proxy that can be told to spoil what goes through.

    with s3_server.Server() as s3:
        s3.url("bucket", "prefix")     # s3://…, with the bucket made
        s3.faults.append(("PUT", s3_server.answer(500)))
"""
import collections
import http.client
import http.server
import importlib
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import pytest

from conftest import ROOT

MOTO = ROOT / ".deps/moto"
PAGE_KEYS = 50  # of a list; 1000 would take a test as many requests before there are two pages
KEY, SECRET = "AKIAFORTHETESTS00000", "secret-of-the-tests"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answer(status, body=b""):
    """A fault: this instead of what the server says."""
    return lambda *_: (status, {}, body)


def shorten(status, headers, body):
    """A fault: the connection ends before the body does."""
    return status, {**headers, "Content-Length": str(len(body))}, body[:len(body) // 2]


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        owner = self.server.owner
        if owner.is_gone:
            self.close_connection = True  # also on connections that were kept
            return
        owner.seen.append((self.command, self.path, dict(self.headers), size))
        fault = owner.take_fault(self.command)
        link = http.client.HTTPConnection("127.0.0.1", owner.moto_port, timeout=60)
        link.request(self.command, self.path, body, dict(self.headers))
        reply = link.getresponse()
        status, headers, data = reply.status, dict(reply.getheaders()), reply.read()
        link.close()
        if fault is not None:
            status, headers, data = fault(status, headers, data)
        if self.command != "HEAD" or fault is not None:
            headers.setdefault("Content-Length", str(len(data)))
        for name in ("Connection", "Transfer-Encoding", "Server", "Date"):
            headers.pop(name, None)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        if int(headers.get("Content-Length", len(data))) != len(data) and self.command != "HEAD":
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

    def log_message(self, *_):
        pass


class Threads(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients of these tests hang up


class Server:
    def __init__(self):
        if not (MOTO / "moto").exists():
            pytest.skip("moto is not there; run make setup")
        if str(MOTO) not in sys.path:
            sys.path.append(str(MOTO))  # behind the environment: boto3 alone is new to it
        self.seen, self.faults, self.made = [], collections.deque(), set()
        self.is_gone = False
        self.lock = threading.Lock()
        self.environment = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        self.moto_port = free_port()
        self.moto = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.moto_port)],
            env={**os.environ, "PYTHONPATH": str(MOTO), **self.environment,
                 "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE_KEYS)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._await_moto()
        self.proxy = Threads(("127.0.0.1", 0), Proxy)
        self.proxy.owner = self
        threading.Thread(target=self.proxy.serve_forever, daemon=True).start()

    def _await_moto(self):
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", self.moto_port), 1).close()
                return
            except OSError:
                assert self.moto.poll() is None, "moto ended at once"
                time.sleep(0.1)
        self.moto.kill()
        raise RuntimeError("moto did not start")

    def take_fault(self, method):
        with self.lock:
            if self.faults and self.faults[0][0] == method:
                return self.faults.popleft()[1]
        return None

    def client(self, service="s3"):
        """boto3's, past the proxy."""
        return importlib.import_module("boto3").client(
            service, endpoint_url=f"http://127.0.0.1:{self.moto_port}", region_name="us-east-1",
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"])

    def guard(self):
        """From now on every request is checked, signature and rights, for a user made for it."""
        iam = self.client("iam")
        iam.create_user(UserName="tapeout")
        iam.put_user_policy(UserName="tapeout", PolicyName="all", PolicyDocument=(
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*",'
            '"Resource":"*"}]}'))
        made = iam.create_access_key(UserName="tapeout")["AccessKey"]
        self.environment = {"AWS_ACCESS_KEY_ID": made["AccessKeyId"],
                            "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}
        link = http.client.HTTPConnection("127.0.0.1", self.moto_port)
        link.request("POST", "/moto-api/reset-auth", "0")
        assert link.getresponse().status == 200

    def url(self, bucket="models", prefix="", more=""):
        if bucket not in self.made:
            self.client().create_bucket(Bucket=bucket)
            self.made.add(bucket)
        place = f"{bucket}/{prefix}" if prefix else bucket
        return f"s3://{place}?endpoint=http://127.0.0.1:{self.proxy.server_port}{more}"

    def env(self, *words, **more):
        """What a command needs to keep its blobs here."""
        return {**self.environment, "TAPEOUT_BLOBS": self.url(*words, **more)}

    def keys(self, bucket="models"):
        """The keys of all objects, with their sizes."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}

    def go(self):
        """Nobody answers any more."""
        self.is_gone = True
        self.proxy.shutdown()
        self.proxy.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.go()
        self.moto.terminate()
        self.moto.wait(30)
