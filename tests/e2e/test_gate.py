# SPDX-License-Identifier: Apache-2.0
"""What becomes prod, from outside: promotions and rollbacks under load, and ways round the gate.

Forty moves while requests come without a pause, 1,000 over 1,000,000 requests with --full. Every
answer names its version and must be that version's to the bit, and no version may answer that the
gate did not let through.
"""
import json
import random
import socket
import threading
import time

import linear
from conftest import FULL, TOY_COLUMNS, TOY_SPEC, toy_rows, write_csv

MOVES = 1000 if FULL else 40
REQUESTS = 1_000_000 if FULL else 20_000
BATCH = 50
RECORD = {"age": 40, "income": 30000.0, "city": "Oslo", "joined": "2020-02-02", "member": True}


def train_versions(tapeout, folder, seeds):
    write_csv(folder / "toy.csv", TOY_COLUMNS, toy_rows(800, seed=1))
    (folder / "toy.yaml").write_text(TOY_SPEC, encoding="utf-8")
    return [tapeout.json("train", folder / "toy.yaml", "--seed", seed)["version"]
            for seed in seeds]


class Asker(threading.Thread):
    """Sends the record over one connection, BATCH at a time, until told to stop."""

    def __init__(self, address):
        super().__init__(daemon=True)
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        body = json.dumps(RECORD).encode()
        self.request = (b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                        b"Content-Length: %d\r\n\r\n" % len(body)) + body
        self.seen = {}
        self.failed = []
        self.count = 0
        self.is_stopped = False

    def run(self):
        rest = b""
        while not self.is_stopped:
            self.socket.sendall(self.request * BATCH)
            for _ in range(BATCH):
                while b"\r\n\r\n" not in rest:
                    rest += self.socket.recv(65536)
                head, rest = rest.split(b"\r\n\r\n", 1)
                size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                            if line.lower().startswith(b"content-length"))
                while len(rest) < size:
                    rest += self.socket.recv(65536)
                body, rest = rest[:size], rest[size:]
                self.count += 1
                if not head.startswith(b"HTTP/1.1 200"):
                    self.failed.append((head, body))
                    continue
                answer = json.loads(body)
                pair = answer["version"], answer["sha256"], answer["probability"]
                self.seen[pair] = self.seen.get(pair, 0) + 1
        self.socket.close()


def test_moves_under_load(tapeout, serve, tmp_path):
    train_versions(tapeout, tmp_path, (1, 2, 3))
    tapeout.ok("promote", "toy:1", "prod")
    expected = {}
    for version in ("1", "2"):
        with serve(f"toy:{version}", "--quiet-requests") as server:
            answer = server.post("/score", RECORD)[1]
            expected[version] = answer["version"], answer["sha256"], answer["probability"]
    assert expected["1"] != expected["2"]
    with serve("toy@prod", "--quiet-requests") as server:
        askers = [Asker(server.address) for _ in range(2)]
        for asker in askers:
            asker.start()
        path = "/registry/models/toy/aliases/prod/"
        for move in range(MOVES):
            # An even share of the requests falls between any two moves.
            while sum(a.count for a in askers) < REQUESTS * move // MOVES:
                time.sleep(0.001)
            if move % 2 == 0:
                status, answer = server.post(path + "promote", {"version": 2})
                assert (status, answer.get("from")) == (200, 1), answer
            else:
                status, answer = server.post(path + "rollback", {"reason": "test"})
                assert (status, answer.get("version")) == (200, 1), answer
        for asker in askers:
            asker.is_stopped = True
        for asker in askers:
            asker.join(timeout=60)
    assert not [asker.failed[:2] for asker in askers if asker.failed]
    seen = {pair for asker in askers for pair in asker.seen}
    assert seen == set(expected.values())
    assert sum(asker.count for asker in askers) >= REQUESTS * (MOVES - 1) // MOVES
    history = tapeout.json("list")["models"][0]["versions"]
    assert [v["aliases"] for v in history] == [["prod"] if MOVES % 2 == 0 else [], [], []]


def test_a_version_that_is_kept_out_is_told_why(tapeout, serve, tmp_path):
    train_versions(tapeout, tmp_path, (1, 2))
    policy = tmp_path / "policy.yaml"
    policy.write_text("metrics: {auc: '>= 0.999'}\n", encoding="utf-8")
    tapeout.ok("promote", "toy:1", "prod")
    tapeout.ok("policy", "set", policy)
    with serve("toy@prod", "--quiet-requests") as server:
        path = "/registry/models/toy/aliases/prod/promote"
        status, answer = server.post(path, {"version": 2})
        assert status == 403 and "metrics.auc wants >= 0.999" in answer["error"]
        assert answer["passed"] is False
        assert {"name": "metrics.auc", "want": ">= 0.999"}.items() <= answer["checks"][1].items()
        for body, words in (({"version": 7}, "no version 7"), ({}, '"version" is needed'),
                            ({"version": "2"}, "has a wrong value"), ([1], "wants {"),
                            ({"version": 2, "force": True}, '"force" is not known')):
            status, answer = server.post(path, body)
            assert status in (400, 404) and words in answer["error"], answer
        status, answer = server.post("/score", RECORD)
        assert status == 200 and answer["version"] == "1"


def test_going_back_is_no_promotion(tapeout, tmp_path):
    """M7: who may promote may not bring an older version back with it."""
    train_versions(tapeout, tmp_path, (1, 2))
    tapeout.ok("promote", "toy:2", "prod")
    assert "is a rollback" in tapeout.fails("promote", "toy:1", "prod")
    assert "nothing to go back to" in tapeout.fails("rollback", "toy", "prod")
    assert "nothing to go back to" in tapeout.fails("rollback", "toy:1", "prod")


def test_nothing_leads_back_to_what_never_passed(tapeout, tmp_path):
    """An alias that was free led to version 1; since it is gated, only the gate's own are a way."""
    train_versions(tapeout, tmp_path, (1, 2, 3))
    policy = tmp_path / "policy.yaml"
    policy.write_text("gated: []\n", encoding="utf-8")
    tapeout.ok("policy", "set", policy)
    tapeout.ok("promote", "toy:1", "prod")  # nothing is asked of it
    policy.write_text("gated: [prod]\n", encoding="utf-8")
    tapeout.ok("policy", "set", policy)
    tapeout.ok("promote", "toy:2", "prod")
    for way in ("toy", "toy:1"):
        assert "toy:1 was never promoted to prod through the gate" in tapeout.fails(
            "rollback", way, "prod")
    tapeout.ok("promote", "toy:3", "prod")
    tapeout.ok("rollback", "toy", "prod")
    versions = tapeout.json("list")["models"][0]["versions"]
    assert [version["aliases"] for version in versions] == [[], ["prod"], []]


# -- many at once ----------------------------------------------------------------------------------
VERSIONS = 12
CALLERS = 4
CALLS = 250 if FULL else 60


class Caller(threading.Thread):
    """Promotes, goes back, deletes and looks, as a seed has it, and keeps what came of it."""

    def __init__(self, server, seed):
        super().__init__(daemon=True)
        self.server = server
        self.pick = random.Random(seed)
        self.calls = []
        self.failed = []

    def run(self):
        for _ in range(CALLS):
            kind = self.pick.choices(["promote", "rollback", "delete", "read"], [9, 5, 2, 4])[0]
            version = self.pick.randint(1, VERSIONS) if kind in ("promote", "delete") else None
            begin = time.monotonic()
            status, answer = self.ask(kind, version)
            end = time.monotonic()
            told = self.tell(kind, status, answer)
            if told is None:
                self.failed.append((kind, version, status, answer))
            else:
                self.calls.append(linear.Call(begin, end, kind, version, *told))

    def ask(self, kind, version):
        path = "/registry/models/toy/aliases/prod/"
        if kind == "promote":
            return self.server.post(path + "promote", {"version": version})
        if kind == "rollback":
            return self.server.post(path + "rollback", {})
        api = "/api/2.0/mlflow/"
        if kind == "delete":
            return self.server.post(api + "model-versions/delete",
                                    {"name": "toy", "version": str(version)}, "-X", "DELETE")
        status, _, body = self.server.curl(api + "registered-models/alias?name=toy&alias=prod")
        return status, json.loads(body)

    @staticmethod
    def tell(kind, status, answer):
        words = answer.get("error") or answer.get("message") or ""
        if status == 200 and kind in ("promote", "rollback"):
            return "done", (answer["from"] or 0, answer["version"])
        if status == 200 and kind == "read":
            return "done", (int(answer["model_version"]["version"]),)
        if status == 200:
            return "done", ()
        if kind == "read" and "alias prod not found" in words:
            return "done", (0,)
        if kind == "promote" and "is a rollback" in words:
            return "backwards", ()
        if kind == "rollback" and status == 404:
            return "nothing", ()
        if kind == "delete" and ("leads to" in words or "alias" in words):
            return "in-use", ()
        if status == 404:
            return "gone", ()
        return ("busy", ()) if status == 503 else None


def test_moves_and_deletions_at_once_are_linearizable(tapeout, serve, tmp_path):
    train_versions(tapeout, tmp_path, range(1, VERSIONS + 1))
    with serve("toy:1", "--quiet-requests") as server:
        callers = [Caller(server, seed) for seed in range(CALLERS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(timeout=600)
    assert not [caller.failed[:3] for caller in callers if caller.failed]
    calls = [call for caller in callers for call in caller.calls]
    assert len(calls) == CALLERS * CALLS
    done = {kind: sum(call.kind == kind and call.outcome == "done" for call in calls)
            for kind in ("promote", "rollback", "delete", "read")}
    assert all(count > 0 for count in done.values()), done
    assert linear.order_of(calls) is not None
    # The history that the registry kept is the one that was answered.
    told = [(call.kind, *call.answer) for call in calls
            if call.outcome == "done" and call.kind in ("promote", "rollback")]
    kept = tapeout.json("alias", "log", "toy")["moves"]
    assert sorted(told) == sorted((move["kind"], move["from"], move["to"]) for move in kept)
    assert [move["to"] for move in kept[:-1]] == [move["from"] for move in kept[1:]]


def test_the_checker_knows_a_history_that_is_none():
    call = linear.Call
    good = [call(0, 1, "promote", 1, "done", (0, 1)), call(2, 9, "promote", 2, "done", (1, 2)),
            call(3, 4, "read", None, "done", (1,)), call(5, 6, "read", None, "done", (2,))]
    assert linear.order_of(good) is not None
    for bad in (call(7, 8, "read", None, "done", (1,)),              # back again by itself
                call(7, 8, "promote", 3, "done", (1, 3)),            # from where it was no more
                call(7, 8, "promote", 1, "done", (2, 1)),            # backwards
                call(7, 8, "promote", 3, "backwards"),               # though it is forwards
                call(7, 8, "promote", 1, "gone"),                    # nobody deleted it
                call(7, 8, "delete", 1, "gone"),
                call(7, 8, "delete", 1, "in-use"),                   # nothing leads to it
                call(10, 11, "delete", 2, "done"),                   # of what it leads to
                call(7, 8, "rollback", None, "nothing")):            # though there is a way
        assert linear.order_of(good + [bad]) is None
    gone = good + [call(10, 11, "delete", 3, "done")]
    assert linear.order_of(gone + [call(12, 13, "delete", 3, "gone")]) is not None
    assert linear.order_of(gone + [call(12, 13, "delete", 3, "done")]) is None
    assert linear.order_of(gone + [call(12, 13, "promote", 3, "done", (2, 3))]) is None
    gone = good + [call(10, 11, "delete", 1, "done")]
    assert linear.order_of(gone + [call(12, 13, "rollback", None, "done", (2, 1))]) is None
    assert linear.order_of(gone + [call(12, 13, "rollback", None, "nothing")]) is not None
