# SPDX-License-Identifier: Apache-2.0
"""A server under mixed load for TAPEOUT_SOAK_SECONDS (600): memory, descriptors and threads stay
flat, and no request that should succeed fails.

Good requests, bad ones and clients that go away in the middle take turns. The first fifth of the
time warms it up; after that the resident memory may grow by 1 MB an hour, with 2 MB for noise.
"""
import json
import os
import random
import socket
import threading
import time

from conftest import Server

SECONDS = int(os.environ.get("TAPEOUT_SOAK_SECONDS", "600"))


def facts(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    return (int(lines["VmRSS"].split()[0]), len(os.listdir(f"/proc/{pid}/fd")),
            int(lines["Threads"]))


def exchange(address, data, read=True):
    with socket.create_connection(address, timeout=30) as link:
        link.sendall(data)
        if not read:
            return None
        got = link.recv(65536)
        return int(got.split(b" ", 2)[1]) if got else None


def request(body, kind="application/json"):
    return (f"POST /invocations HTTP/1.1\r\nHost: here\r\nContent-Type: {kind}\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


def load(address, records, until, seed, tally):
    pick = random.Random(seed)
    while time.monotonic() < until:
        some = [pick.choice(records) for _ in range(pick.randint(1, 50))]
        body = json.dumps({"dataframe_records": some}).encode()
        what = pick.random()
        if what < 0.8:
            tally["good"].append(exchange(address, request(body)))
        elif what < 0.9:
            tally["bad"].append(exchange(address, request(body[:pick.randrange(len(body))])))
        else:
            exchange(address, request(body)[:pick.randrange(40, 200)], read=False)
        time.sleep(0.002)


def test_soak(toy):
    with Server(toy.command, toy.bundle) as server:
        host, port = server.address.rsplit(":", 1)
        until = time.monotonic() + SECONDS
        tally = {"good": [], "bad": []}
        threads = [threading.Thread(target=load, args=((host, int(port)), toy.records, until,
                                                       seed, tally)) for seed in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(SECONDS / 5)
        early, start = facts(server.process.pid), time.monotonic()
        for thread in threads:
            thread.join()
        time.sleep(1)
        late, hours = facts(server.process.pid), (time.monotonic() - start) / 3600
    assert set(tally["good"]) == {200} and set(tally["bad"]) == {400}
    assert late[0] - early[0] <= 1024 * hours + 2048, f"memory in kB: {early[0]} to {late[0]}"
    assert late[1] <= early[1] and late[2] == early[2], f"descriptors, threads: {early} to {late}"
