# SPDX-License-Identifier: Apache-2.0
"""The unmodified kserve client, V1 and V2, against `tapeout predict` on the same records."""
import asyncio
import math

import pytest

kserve = pytest.importorskip("kserve")


@pytest.fixture(scope="module")
def server(toy):
    from conftest import Server
    with Server(toy.command, toy.bundle) as running:
        yield running


def ask(server, toy, protocol, request):
    async def talk():
        client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol=protocol))
        try:
            return await client.infer(server.url, request, model_name=toy.name)
        finally:
            await client.close()
    return asyncio.run(talk())


def test_v1_predicts_instances(server, toy):
    records = toy.records[:50]
    answer = ask(server, toy, "v1", {"instances": records})
    rows = toy.predict(records)
    assert [row["probability"] for row in answer["predictions"]] == [
        float(row["probability"]) for row in rows]
    assert [row["prediction"] for row in answer["predictions"]] == [
        float(row["prediction"]) for row in rows]


@pytest.mark.parametrize("as_binary", [True, False])
def test_v2_infers_tensors(server, toy, as_binary):
    import numpy
    records = [record for record in toy.records if None not in record.values()][:50]
    inputs = []
    for name in records[0]:
        values = [record[name] for record in records]
        text = isinstance(values[0], str)
        array = numpy.array(values, dtype=object if text else "float64")
        tensor = kserve.InferInput(name, [len(values)], "BYTES" if text else "FP64")
        tensor.set_data_from_numpy(array, binary_data=as_binary)
        inputs.append(tensor)
    answer = ask(server, toy, "v2", kserve.InferRequest(model_name=toy.name, infer_inputs=inputs))
    got = {output.name: output.as_numpy().tolist() for output in answer.outputs}
    rows = toy.predict(records)
    assert answer.model_name == toy.name
    assert got["probability"] == [float(row["probability"]) for row in rows]
    assert got["prediction"] == [float(row["prediction"]) for row in rows]


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_readiness(server, toy, protocol):
    async def talk():
        client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol=protocol))
        try:
            ready = await client.is_model_ready(server.url, toy.name)
            live = protocol == "v1" or await client.is_server_live(server.url)
            return ready, live
        finally:
            await client.close()
    assert asyncio.run(talk()) == (True, True)


def test_missing_values_of_v1_are_null(server, toy):
    holes = [{**record, "age": None} for record in toy.records[:10]]
    answer = ask(server, toy, "v1", {"instances": holes})
    assert not any(math.isnan(row["probability"]) for row in answer["predictions"])
    assert [row["probability"] for row in answer["predictions"]] == [
        float(row["probability"]) for row in toy.predict(holes)]
