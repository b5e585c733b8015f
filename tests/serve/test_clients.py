"""Clients that others wrote are answered as they expect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import requests
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

import stillroom
from stillroom.core import objects
from stillroom.serve.protocols import proofread
from tests.serve.processes import Served, served

TEXTS = ["the film was dull today", "we found it great at last"]


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(folder, log=tmp_path_factory.mktemp("clients") / "log") as found:
        yield found


def test_a_plain_client(server: Served) -> None:
    found = requests.post(f"{server.at}/predict", json={"texts": TEXTS}, timeout=30)
    assert [one["label"] for one in found.json()["predictions"]] == ["negative", "positive"]


def test_a_client_of_triton(server: Served, folder: Path) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("toy")
        assert client.get_server_metadata()["name"] == "stillroom"
        told = client.get_model_metadata("toy")
        assert {one["name"]: one["datatype"] for one in told["outputs"]} == {
            "label": "BYTES", "score": "FP32", "scores": "FP32", "notes": "BYTES",
        }  # fmt: skip
        given = triton.InferInput("text", [len(TEXTS)], "BYTES")
        given.set_data_from_numpy(objects.array(TEXTS), binary_data=False)
        wanted = [triton.InferRequestedOutput(name, binary_data=False) for name in ("label", "scores")]
        found = client.infer("toy", [given], outputs=wanted, request_id="7")
        assert found.get_response()["id"] == "7"
        assert found.as_numpy("label").tolist() == ["negative", "positive"]
        own = [list(one.scores.values()) for one in stillroom.load(folder).predict(TEXTS)]
        np.testing.assert_allclose(found.as_numpy("scores"), own, atol=1e-6)
        version = told["versions"][0]
        assert client.infer("toy", [given], model_version=version).as_numpy("score").shape == (2,)
        for model, message in (("nobody", "no model of that name"), ("toy", "binary")):
            if model == "toy":
                given.set_data_from_numpy(objects.array(TEXTS), binary_data=True)
            with pytest.raises(InferenceServerException, match=message):
                client.infer(model, [given])


def test_a_client_of_openai_is_told_what_is_wrong(server: Served) -> None:
    client = openai.OpenAI(base_url=f"{server.at}/v1", api_key="none", max_retries=0)
    assert [one.id for one in client.models.list()] == ["toy"]
    with pytest.raises(openai.NotFoundError, match="no model of that name"):
        client.embeddings.create(model="nobody", input="a")
    with pytest.raises(openai.UnprocessableEntityError, match="embeds"):
        client.embeddings.create(model="toy", input="a")
    with pytest.raises(openai.UnprocessableEntityError, match="writes"):
        client.chat.completions.create(model="toy", messages=[{"role": "user", "content": "a"}])
    with pytest.raises(openai.UnprocessableEntityError, match="tools"):
        client.chat.completions.create(
            model="toy", messages=[{"role": "user", "content": "a"}],
            tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}],
        )  # fmt: skip


@pytest.mark.parametrize(("unit", "places"), [("code-points", (2, 5)), ("utf-16", (3, 6)), ("utf-8", (5, 9))])
def test_places_are_counted_as_is_asked(unit: Any, places: tuple[int, int]) -> None:
    text = "\N{GRINNING FACE} tèh end"
    place = proofread._places(text, unit)
    assert (place(2), place(5)) == places
    plain = proofread._places("teh end", unit)
    assert (plain(0), plain(3)) == (0, 3)
