# SPDX-License-Identifier: Apache-2.0
"""The same bits everywhere: any number of threads, any instruction set, batch, row and HTTP.

`==` throughout, no tolerance: one definition of every number is what the project promises.
"""
import json

import pytest

WAYS = [("1", {}), ("2", {}), ("7", {}), ("2", {"TAPEOUT_CPU": "ref"})]


@pytest.fixture(scope="module")
def bundles(toy):
    """SHA-256 of the toy's bundle, trained again in each way."""
    made = {}
    for threads, env in WAYS:
        out = toy.folder / f"again-{threads}-{env.get('TAPEOUT_CPU', 'best')}.tapeout"
        answer = toy.command.json("train", toy.folder / "toy.yaml", "--threads", threads,
                                  "--out", out, env=env)
        made[threads, env.get("TAPEOUT_CPU", "best")] = (answer["sha256"], out.read_bytes())
    return made


def test_training_gives_the_same_file_in_every_way(bundles, toy):
    assert {sha for sha, _ in bundles.values()} == {toy.json["sha256"]}
    assert len({data for _, data in bundles.values()}) == 1


def test_another_seed_gives_another_file(toy):
    answer = toy.command.json("train", toy.folder / "toy.yaml", "--seed", "99",
                              "--out", toy.folder / "seed.tapeout")
    assert answer["sha256"] != toy.json["sha256"]


def test_the_hash_is_that_of_the_file(toy):
    import hashlib
    assert hashlib.sha256(toy.bundle.read_bytes()).hexdigest() == toy.json["sha256"]


def test_predict_is_the_same_for_threads_cpu_and_one_by_one(toy):
    from conftest import write_csv, csv_text
    records = toy.records
    columns = list(records[0])
    lines = [["" if r[c] is None else csv_text(r[c]) for c in columns] for r in records]
    whole = write_csv(toy.folder / "whole.csv", columns, lines)
    outputs = [toy.command.ok("predict", toy.bundle, whole, "--threads", threads, env=env)
               for threads, env in WAYS]
    assert len(set(outputs)) == 1
    rows = outputs[0].splitlines()[1:]
    for index in (0, 1, 17, len(records) - 1):
        one = write_csv(toy.folder / "one.csv", columns, [lines[index]])
        assert toy.command.ok("predict", toy.bundle, one).splitlines()[1:] == [rows[index]]


def test_http_has_the_bits_of_the_command(toy, serve):
    rows = toy.predict(toy.records)
    for env in ({}, {"TAPEOUT_CPU": "ref"}):
        with serve(toy.bundle, command=toy.command, env=env) as server:
            status, batch = server.post("/invocations", {"instances": toy.records})
            assert status == 200
            got = [row["probability"] for row in batch["predictions"]]
            assert got == [float(row["probability"]) for row in rows]
            for record, row in list(zip(toy.records, rows))[:20]:
                _, answer = server.post("/invocations", {"instances": [record]})
                assert answer["predictions"][0]["probability"] == float(row["probability"])


def test_numbers_are_the_shortest_that_read_back(toy):
    for row in toy.predict(toy.records[:50]):
        assert repr(float(row["probability"])) in (row["probability"],
                                                   row["probability"].replace("e-", "e-0"))


def test_an_instruction_set_that_is_no_one_s_is_an_error(toy):
    line = toy.command.fails("predict", toy.bundle, toy.folder / "toy.csv",
                             env={"TAPEOUT_CPU": "abacus"})
    assert "abacus" in line and "ref" in line


def test_flights_have_the_same_file_in_every_way(flights):
    made = {flights.json["sha256"]}
    for threads, env in WAYS:
        made.add(flights.command.json("train", flights.folder / "flights.yaml", "--threads",
                                      threads, "--out", flights.folder / "again.tapeout",
                                      env=env)["sha256"])
    assert len(made) == 1


def test_flights_over_http_one_by_one(flights, serve):
    """A raw record as a person would write it, and the same row through `predict`."""
    from conftest import read_csv
    schema = flights.command.json("inspect", flights.bundle)
    assert json.dumps(schema)
    record = {"carrier": "UA", "origin": "EWR", "dest": "IAH", "distance": 1400,
              "time_hour": "2013-01-01T10:00:00Z", "dep_delay": 2}
    asked = flights.folder / "record.csv"
    asked.write_text(",".join(record) + "\n" + ",".join(map(str, record.values())) + "\n")
    row, = read_csv(flights.command.ok("predict", flights.bundle, asked))
    with serve(flights.bundle, command=flights.command) as server:
        status, answer = server.post("/invocations", {"dataframe_records": [record]})
    assert status == 200
    assert answer["predictions"][0]["probability"] == float(row["probability"])
