# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end and conformance tests share: the command, a server, models to ask.

Everything runs the program as a user would: commands by their contract, servers on a free port of
loopback, homes in folders that are gone afterwards. No test starts a second thing that another
relies on; what is costly (the flights model) is made once a session and only read.
"""
import csv
import dataclasses
import json
import os
import pathlib
import queue
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / ".deps/data"
MODELS = pathlib.Path(os.environ.get("TAPEOUT_TEST_MODELS", ROOT / ".deps/models"))
FULL = os.environ.get("TAPEOUT_TEST_FULL") == "1"
START_TIMEOUT_S = 30


@dataclasses.dataclass
class Command:
    """The program with a home of its own."""
    binary: pathlib.Path
    home: pathlib.Path

    def environment(self, **extra):
        names = ("PATH", "LANG", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS",
                 "TAPEOUT_DUCKDB", "TSAN_OPTIONS")
        env = {name: os.environ[name] for name in names if name in os.environ}
        return {**env, "TAPEOUT_HOME": str(self.home), "LC_ALL": "C.UTF-8", **extra}

    def __call__(self, *words, stdin=b"", env=None, cwd=None, timeout=600):
        """Runs it and hands back what came: returncode, stdout and stderr as text."""
        done = subprocess.run([str(self.binary), *map(str, words)], input=stdin, cwd=cwd,
                              env=self.environment(**(env or {})), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=timeout, check=False)
        done.stdout = done.stdout.decode("utf-8")
        done.stderr = done.stderr.decode("utf-8")
        return done

    def ok(self, *words, **options):
        done = self(*words, **options)
        assert done.returncode == 0, f"{words}: status {done.returncode}: {done.stderr[-2000:]}"
        return done.stdout

    def json(self, *words, **options):
        """The one object that --json promises on stdout."""
        return json.loads(self.ok(*words, "--json", **options))

    def fails(self, *words, status=1, **options):
        """One line on stderr and the status; hands the line back."""
        done = self(*words, **options)
        assert done.returncode == status, f"{words}: {done.returncode}: {done.stderr[-2000:]}"
        lines = done.stderr.rstrip("\n").split("\n")
        errors = [line for line in lines if line.startswith("tapeout")]
        assert len(errors) == 1 and lines[-1] == errors[0], f"not one error line: {done.stderr!r}"
        return errors[0]


class Server:
    """`tapeout serve`, from its first log line to its end; use it with `with`."""

    def __init__(self, command, *words, env=None, auth=False):
        self.command = command
        self.words = ["serve", *map(str, words), "--listen", "127.0.0.1:0"]
        self.words += [] if auth else ["--no-auth"]
        self.told = []  # what is for a person alone: an administrator's first key
        self.env = env or {}
        self.log = []
        self.url = None

    def __enter__(self):
        self.process = subprocess.Popen(
            [str(self.command.binary), *self.words], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.command.environment(**self.env))
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.url is None:
            try:
                event = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                self.process.kill()
                pytest.fail(f"the server did not say where it listens: {self.log}")
            if event is None:
                pytest.fail(f"the server ended at once: {self.log}")
            if event.get("event") == "listening":
                self.url = event["url"].rstrip("/")
        return self

    def _read(self):
        for line in self.process.stderr:
            if line.startswith(("tapeout: an administrator", "  ")):
                self.told.append(line)
                continue
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                event = {"event": "not json", "line": line}
            self.log.append(event)
            self.lines.put(event)
        self.lines.put(None)

    @property
    def address(self):
        """host:port, as tritonclient wants it."""
        return self.url.split("//", 1)[1]

    def curl(self, path, *words, body=None):
        """(status, headers, body) of one request made by curl."""
        command = ["curl", "--silent", "--show-error", "--include", "--max-time", "60", *words]
        if body is not None:
            command += ["--data-binary", "@-"]
        done = subprocess.run([*command, self.url + path], input=body or b"",
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100"):
            head, _, rest = rest.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(lines[0].split()[1]), headers, rest

    def post(self, path, value, *words):
        """(status, decoded JSON) of a JSON request."""
        status, _, body = self.curl(path, "-H", "Content-Type: application/json", *words,
                                    body=json.dumps(value).encode())
        return status, json.loads(body)

    def wait_until_ready(self):
        """Large models take longer than the line that says where it listens."""
        deadline = time.monotonic() + 120
        while self.curl("/readyz")[0] != 200:
            assert time.monotonic() < deadline, "the models are not loaded after two minutes"
            time.sleep(0.1)

    def stop(self):
        """SIGTERM, and what a drained server owes: status 0 and only JSON in its log."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=30)
        self.reader.join(timeout=5)
        return status

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            status = self.stop()
            if kind is None:
                assert status == 0, f"the server ended with {status}: {self.log[-5:]}"
        strange = [event for event in self.log if event["event"] == "not json"]
        self.process.stdout.close()
        if kind is None:
            assert not strange, f"log lines that are not JSON: {strange[:3]}"


@pytest.fixture(scope="session")
def binary():
    path = ROOT / os.environ.get("BUILD", "build") / "tapeout"
    assert path.exists(), f"{path} is not built; run make"
    return path


@pytest.fixture
def tapeout(binary, tmp_path):
    return Command(binary, tmp_path / "home")


@pytest.fixture
def serve(tapeout):
    """Makes a server over the test's own home."""
    return lambda *words, command=tapeout, env=None: Server(command, *words, env=env)


def write_csv(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path


def read_csv(text):
    return list(csv.DictReader(text.splitlines()))


TOY_COLUMNS = ["age", "income", "city", "joined", "member", "bought"]
TOY_CITIES = ["Ghent", "Kraków", "Lima", "Oslo", "Pune, \"old town\""]
TOY_SPEC = """
name: toy
data:
  train: toy.csv
  split: {by: random, test: 0.25}
target: {column: bought, positive: 1}
features: |
  age    = impute(age, median)
  income = log1p(income)
  city   = category(city, min_count = 5)
  month  = month(joined)
  member = if(member, 1, 0)
model: {learner: gbt, trees: 30, leaves: 7, learning_rate: 0.2}
"""


def toy_rows(count, seed):
    """People who buy or not: every type a column can have, and holes in most of them."""
    pick = random.Random(seed)
    for _ in range(count):
        age, income = pick.randint(18, 90), round(pick.lognormvariate(10, 1), 2)
        city, member = pick.choice(TOY_CITIES), pick.random() < 0.3
        joined = f"20{pick.randint(10, 24)}-{pick.randint(1, 12):02}-{pick.randint(1, 28):02}"
        weight = (age - 50) / 20 + member + TOY_CITIES.index(city) / 2 - 1.5
        bought = int(pick.random() < 1 / (1 + 2.718281828 ** -weight))
        row = [age, income, city, joined, str(member).lower(), bought]
        for hole in range(5):
            if pick.random() < 0.05:
                row[hole] = ""
        yield row


@pytest.fixture(scope="session")
def toy(binary, tmp_path_factory):
    """A small binary classifier, trained once: .command, .folder, .bundle, .json, .rows."""
    folder = tmp_path_factory.mktemp("toy")
    rows = list(toy_rows(2000, 1))
    write_csv(folder / "toy.csv", TOY_COLUMNS, rows)
    (folder / "toy.yaml").write_text(TOY_SPEC)
    command = Command(binary, folder / "home")
    made = command.json("train", folder / "toy.yaml")
    shutil.copytree(command.home, folder / "trained")  # servers of other tests change the home
    records = [typed_record(row) for row in toy_rows(300, 2)]
    return Model(command, folder, pathlib.Path(made["bundle"]), made, records)


@pytest.fixture
def own(toy, tmp_path):
    """A copy of the toy's home, to be changed."""
    return toy.own(tmp_path / "own")


@dataclasses.dataclass
class Model:
    """A trained model: where it is, what `train --json` said, and records to ask it about."""
    command: Command
    folder: pathlib.Path
    bundle: pathlib.Path
    json: dict
    records: list

    @property
    def name(self):
        return self.json["name"]

    def own(self, home):
        """The command over a new home, which is as this one was right after the training."""
        shutil.copytree(self.folder / "trained", home)
        return Command(self.command.binary, home)

    def predict(self, records, *words):
        """`tapeout predict` over the records, as rows of text."""
        columns = list(records[0])
        path = write_csv(self.folder / f"ask-{len(records)}-{os.getpid()}.csv", columns,
                         [["" if r[c] is None else csv_text(r[c]) for c in columns]
                          for r in records])
        return read_csv(self.command.ok("predict", self.bundle, path, *words))


def csv_text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def typed_record(row):
    """A row of the toy as a person would write it in JSON; the target is left out."""
    age, income, city, joined, member = row[:5]
    return {"age": None if age == "" else age, "income": None if income == "" else income,
            "city": city or None, "joined": joined or None,
            "member": None if member == "" else member == "true"}


@pytest.fixture(scope="session")
def flights(binary, tmp_path_factory):
    """The model of examples/flights, trained once on all 336,776 flights."""
    if not (DATA / "flights.csv").exists():
        pytest.skip("the flights are not there; run make setup")
    folder = tmp_path_factory.mktemp("flights")
    for name in ("flights.csv", "weather.csv"):
        os.link(DATA / name, folder / name)
    spec = folder / "flights.yaml"
    spec.write_text((ROOT / "examples/flights/flights.yaml").read_text())
    command = Command(binary, folder / "home")
    made = command.json("train", spec)
    return Model(command, folder, pathlib.Path(made["bundle"]), made, [])


@pytest.fixture(scope="session")
def smollm():
    """A real language model of 135 million weights."""
    path = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not path.exists():
        pytest.skip("the language model is not there; run make setup")
    return path


LLM_CONFIG = """
llm: {context: 2048, running: 8, queue: 64}
metrics: [vllm, llamacpp]
"""


@pytest.fixture(scope="session")
def chat_server(binary, smollm, tmp_path_factory):
    """One server over it for all tests that only ask; .model is the name to ask for."""
    folder = tmp_path_factory.mktemp("llm")
    (folder / "serve.yaml").write_text(LLM_CONFIG)
    with Server(Command(binary, folder / "home"), smollm, "--config",
                folder / "serve.yaml") as server:
        server.model = "SmolLM2-135M-Instruct.Q4_1"
        server.wait_until_ready()
        yield server


def metric(server, name, **labels):
    """The value of one series of /metrics; None where there is none."""
    _, _, body = server.curl("/metrics")
    for line in body.decode().splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name and all(f'{key}="{text}"' in series
                                                    for key, text in labels.items()):
            return float(value)
    return None
