# SPDX-License-Identifier: Apache-2.0
"""curl against /invocations: four JSON forms and CSV, plain, chunked and gzipped.

Every form must answer with the bits of `tapeout predict`; what is wrong must be refused with a
status of 400 or 415 and a sentence.
"""
import gzip
import json

import pytest

JSON = ("-H", "Content-Type: application/json")
CSV = ("-H", "Content-Type: text/csv")


@pytest.fixture(scope="module")
def server(toy):
    from conftest import Server
    with Server(toy.command, toy.bundle) as running:
        yield running


@pytest.fixture(scope="module")
def records(toy):
    return toy.records[:25]


@pytest.fixture(scope="module")
def truth(toy, records):
    return [{name: float(row[name]) for name in ("prediction", "probability")}
            for row in toy.predict(records)]


def forms(records):
    columns = list(records[0])
    rows = [[record[name] for name in columns] for record in records]
    return {
        "dataframe_records": {"dataframe_records": records},
        "dataframe_split": {"dataframe_split": {"columns": columns, "data": rows}},
        "dataframe_split with index": {"dataframe_split": {
            "columns": columns, "index": list(range(len(rows))), "data": rows}},
        "instances": {"instances": records},
        "inputs": {"inputs": {name: [record[name] for record in records] for name in columns}},
    }


def csv_body(records):
    from conftest import csv_text
    quote = lambda text: '"' + text.replace('"', '""') + '"' if '"' in text or "," in text else text
    lines = [",".join(records[0])]
    for record in records:
        lines.append(",".join("" if v is None else quote(csv_text(v)) for v in record.values()))
    return ("\n".join(lines) + "\n").encode()


def figures(answer):
    return [{name: float(row[name]) for name in ("prediction", "probability")}
            for row in answer["predictions"]]


FORMS = ["dataframe_records", "dataframe_split", "dataframe_split with index", "instances",
         "inputs"]


@pytest.mark.parametrize("form", FORMS)
def test_json_forms(server, records, truth, form):
    status, answer = server.post("/invocations", forms(records)[form])
    assert (status, figures(answer)) == (200, truth)


@pytest.mark.parametrize("words", [(), ("-H", "Transfer-Encoding: chunked")])
@pytest.mark.parametrize("zipped", [False, True])
def test_bodies_chunked_and_gzipped(server, records, truth, words, zipped):
    body = json.dumps(forms(records)["dataframe_records"]).encode()
    if zipped:
        body, words = gzip.compress(body), (*words, "-H", "Content-Encoding: gzip")
    status, _, answer = server.curl("/invocations", *JSON, *words, body=body)
    assert (status, figures(json.loads(answer))) == (200, truth)


def test_csv(server, records, truth):
    status, _, answer = server.curl("/invocations", *CSV, body=csv_body(records))
    assert (status, figures(json.loads(answer))) == (200, truth)


def test_score_is_the_same_route(server, records, truth):
    status, answer = server.post("/score", forms(records)["dataframe_records"])
    assert (status, figures(answer)) == (200, truth)


def test_a_single_raw_record_alone_has_the_same_bits(server, records, truth):
    for record, want in list(zip(records, truth))[:10]:
        status, answer = server.post("/invocations", {"dataframe_records": [record]})
        assert (status, figures(answer)) == (200, [want])


def test_columns_are_matched_by_name_and_not_by_place(server, records, truth):
    turned = [dict(reversed(record.items())) for record in records]
    status, answer = server.post("/invocations", forms(turned)["dataframe_split"])
    assert (status, figures(answer)) == (200, truth)


@pytest.mark.parametrize("value", [
    [], 1, "text", {}, {"dataframe_records": []  , "instances": []},
    {"dataframe_split": {"columns": ["age"], "data": [[1, 2]]}},
    {"dataframe_split": {"columns": ["age"], "data": [[1]], "extra": 1}},
    {"dataframe_split": {"columns": ["age", "age"], "data": [[1, 2]]}},
    {"dataframe_records": [1]}, {"dataframe_records": {"age": 1}},
    {"inputs": {"age": [1, 2], "income": [1]}},
    {"dataframe_records": [{"age": {"deep": 1}}]}, {"dataframe_records": [{"age": "forty"}]},
])
def test_what_is_wrong_is_refused_with_a_sentence(server, value):
    status, answer = server.post("/invocations", value)
    assert status == 400 and answer["error_code"] in ("BAD_REQUEST", "INVALID_PARAMETER_VALUE")
    assert len(answer["message"]) > 10


def test_a_key_twice_is_refused(server):
    body = b'{"dataframe_records": [{"age": 30, "age": 31}]}'
    status, _, answer = server.curl("/invocations", *JSON, body=body)
    assert status == 400 and b"age" in answer


def test_a_strange_content_type_is_415(server):
    status, _, _ = server.curl("/invocations", "-H", "Content-Type: image/png", body=b"x")
    assert status == 415


@pytest.mark.parametrize("path", ["/ping", "/livez", "/readyz", "/v2/health/live",
                                  "/v2/health/ready"])
def test_probes(server, path):
    assert server.curl(path)[0] == 200


def test_metrics_count_the_requests(server, records):
    server.post("/invocations", forms(records)["dataframe_records"])
    status, headers, body = server.curl("/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    assert b"# TYPE" in body and b"tapeout_" in body
