# SPDX-License-Identifier: Apache-2.0
"""The unmodified tritonclient over HTTP: binary and JSON tensors, numbers, strings, missing values.

The truth is `tapeout predict` on the same records: every figure must be equal to the last bit.
"""
import math

import numpy
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

NUMBERS, STRINGS = ("age", "income"), ("city", "joined")


def tensors(records, binary, leave_out=()):
    """The raw columns as inputs: NaN and the empty string stand for missing."""
    made = []
    for name in NUMBERS + STRINGS + ("member",):
        if name in leave_out:
            continue
        values = [record[name] for record in records]
        if name in STRINGS:
            array = numpy.array(["" if v is None else v for v in values], dtype=object)
            kind = "BYTES"
        else:
            array = numpy.array([math.nan if v is None else float(v) for v in values])
            kind = "FP64"
        tensor = triton.InferInput(name, [len(records)], kind)
        tensor.set_data_from_numpy(array, binary_data=binary)
        made.append(tensor)
    return made


def without_missing(records):
    return [record for record in records if None not in record.values()]


@pytest.fixture(scope="module")
def client(toy, request):
    from conftest import Server
    with Server(toy.command, toy.bundle) as server:
        made = triton.InferenceServerClient(server.address)
        yield made
        made.close()


def expected(toy, records):
    rows = toy.predict(records)
    return ([float(row["prediction"]) for row in rows], [float(row["probability"]) for row in rows])


def test_statistics(client, toy):
    client.infer(toy.name, tensors(without_missing(toy.records)[:3], True))
    of_one = client.get_inference_statistics(toy.name)["model_stats"]
    assert client.get_inference_statistics()["model_stats"] == of_one  # there is no other
    assert [one["name"] for one in of_one] == [toy.name] and of_one[0]["inference_count"] >= 3
    assert of_one[0]["inference_stats"]["success"]["count"] >= 1
    with pytest.raises(InferenceServerException):
        client.get_inference_statistics("nobody")


def test_health_and_metadata(client, toy):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(toy.name)
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    model = client.get_model_metadata(toy.name)
    assert model["name"] == toy.name
    assert {column["name"] for column in model["inputs"]} == set(NUMBERS + STRINGS + ("member",))
    assert all(column["shape"] == [-1] for column in model["inputs"])
    assert [(out["name"], out["datatype"]) for out in model["outputs"]] == [
        ("prediction", "FP64"), ("probability", "FP64")]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_numbers_and_strings(client, toy, binary_in, binary_out):
    records = without_missing(toy.records)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary_out)
               for name in ("prediction", "probability")]
    answer = client.infer(toy.name, tensors(records, binary_in), outputs=outputs)
    prediction, probability = expected(toy, records)
    assert answer.as_numpy("prediction").tolist() == prediction
    assert answer.as_numpy("probability").tolist() == probability


def test_missing_values_as_nan_and_empty_text(client, toy):
    answer = client.infer(toy.name, tensors(toy.records, True))
    prediction, probability = expected(toy, toy.records)
    assert answer.as_numpy("prediction").tolist() == prediction
    assert answer.as_numpy("probability").tolist() == probability


def test_an_absent_input_is_missing_in_every_row(client, toy):
    answer = client.infer(toy.name, tensors(toy.records, True, leave_out=("income", "city")))
    holes = [{**record, "income": None, "city": None} for record in toy.records]
    assert answer.as_numpy("probability").tolist() == expected(toy, holes)[1]


def test_one_by_one_has_the_bits_of_the_batch(client, toy):
    _, probability = expected(toy, toy.records[:40])
    one_by_one = [client.infer(toy.name, tensors([record], True)).as_numpy("probability")[0]
                  for record in toy.records[:40]]
    assert one_by_one == probability


def test_mixed_json_and_binary_inputs(client, toy):
    records = without_missing(toy.records)[:7]
    inputs = tensors(records, True)[:2] + tensors(records, False)[2:]
    answer = client.infer(toy.name, inputs)
    assert answer.as_numpy("probability").tolist() == expected(toy, records)[1]


@pytest.mark.parametrize("how", ["gzip", "deflate"])
def test_compressed_both_ways(client, toy, how):
    records = without_missing(toy.records)
    answer = client.infer(toy.name, tensors(records, True), request_compression_algorithm=how,
                          response_compression_algorithm=how)
    assert answer.as_numpy("probability").tolist() == expected(toy, records)[1]


def test_request_id_comes_back(client, toy):
    answer = client.infer(toy.name, tensors(toy.records[:1], True), request_id="a/1 ü")
    assert answer.get_response()["id"] == "a/1 ü"


def test_an_unknown_input_is_refused_by_name(client, toy):
    odd = triton.InferInput("shoe_size", [1], "FP64")
    odd.set_data_from_numpy(numpy.array([43.0]))
    with pytest.raises(InferenceServerException, match="shoe_size"):
        client.infer(toy.name, tensors(toy.records[:1], True) + [odd])


def test_an_unknown_model_is_not_found(client, toy):
    with pytest.raises(InferenceServerException) as refusal:
        client.infer("nothing", tensors(toy.records[:1], True))
    assert refusal.value.status() == "404"
