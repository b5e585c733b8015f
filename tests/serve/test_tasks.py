"""Students of other tasks, several at once, asked by the clients that people have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

import stillroom
from stillroom import pipeline
from stillroom.core import recipe
from tests.conftest import phrases, sentences
from tests.serve.processes import Served, served

pytestmark = pytest.mark.slow


def _lines(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def runs(
    embedder_folder: Path, encoder_folder: Path, speaker_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A student of each task that others' clients ask for, hardly fitted."""
    folder = tmp_path_factory.mktemp("served")
    texts = [{"text": text} for text, _ in sentences()]
    some = {name: _lines(folder / f"{name}.jsonl", texts[start::3])
            for start, name in enumerate(("dev", "test", "unlabelled"))}  # fmt: skip
    said = [{"text": text} for text in phrases()]
    spoken = {name: _lines(folder / f"said-{name}.jsonl", said[start::3])
              for start, name in enumerate(("dev", "test", "unlabelled"))}  # fmt: skip
    wrong = [{"text": text.replace("dull", "dulll"), "corrected": text} for text, _ in sentences()]
    parts: dict[str, dict[str, Any]] = {
        "vectors": {
            "task": {"kind": "embeddings", "dimensions": 24, "prefixes": [8]},
            "corpus": {"kind": "table", "label": "", "near_twins": "keep", **some},
            "teacher": {"kind": "sentence_transformer", "model": str(embedder_folder)},
            "student": {"kind": "static", "epochs": 2, "batch_size": 16},
        },
        "writer": {
            "task": {"kind": "generation", "kept": 8, "writes": 12},
            "corpus": {"kind": "table", "label": "", "near_twins": "keep", **spoken},
            "teacher": {"kind": "huggingface", "model": str(speaker_folder)},
            "student": {"kind": "decoder", "layers": 2, "epochs": 4, "batch_size": 16, "learning_rate": 1e-2},
            "export": {"formats": ["onnx_causal"]},
        },
        "proofs": {
            "task": {"kind": "proofreading", "least_sure": 0.05},
            "corpus": {"kind": "table", "labelled": _lines(folder / "wrong.jsonl", wrong), "label": "corrected",
                       "dev_share": 0.2, "test_share": 0.3, "near_twins": "keep"},
            "teacher": {"kind": "harper"},
            "student": {"kind": "cnn", "start": str(encoder_folder), "dimensions": 16, "channels": 16, "epochs": 14,
                        "batch_size": 8, "learning_rate": 1e-2},
            "export": {"formats": ["onnx"]},
        },
    }  # fmt: skip
    for name, one in parts.items():
        pipeline.run(recipe.parse({"name": name, "seed": 3, **one}), work=folder / "work", until="export")
    return {name: folder / "work" / "runs" / name for name in parts}


@pytest.fixture(scope="module")
def server(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    more = [f"{name}={runs[name]}" for name in ("writer", "proofs")]
    with served(runs["vectors"], *more, log=tmp_path_factory.mktemp("log") / "log", name="vectors") as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.at}/v1", api_key="none", max_retries=0)


def test_vectors_come_as_they_are_whole_and_short(client: openai.OpenAI, runs: dict[str, Path]) -> None:
    texts = ["the film was dull today", "we found it great"]
    own = np.array([one.vector for one in stillroom.load(runs["vectors"]).predict(texts)])
    for more in ({}, {"encoding_format": "float"}):
        told = client.embeddings.create(model="vectors", input=texts, **more)  # type: ignore[call-overload]
        np.testing.assert_allclose([one.embedding for one in told.data], own, atol=1e-5)
    assert told.usage.prompt_tokens > 8
    short = np.array(client.embeddings.create(model="vectors", input=texts[0], dimensions=8).data[0].embedding)
    np.testing.assert_allclose(short, own[0, :8] / np.linalg.norm(own[0, :8]), atol=1e-5)
    with pytest.raises(openai.UnprocessableEntityError, match="8, 24"):
        client.embeddings.create(model="vectors", input="a", dimensions=7)


def test_a_text_comes_piece_by_piece_and_is_the_same(client: openai.OpenAI, runs: dict[str, Path]) -> None:
    prompt = phrases()[0][:12]
    own = stillroom.load(runs["writer"]).predict([prompt])[0].text
    assert own
    assert client.completions.create(model="writer", prompt=prompt).choices[0].text == own
    pieces = list(client.completions.create(model="writer", prompt=prompt, stream=True))
    assert "".join(one.choices[0].text for one in pieces) == own
    assert len(pieces) > 2
    assert pieces[-1].choices[0].finish_reason in ("stop", "length")
    said = client.chat.completions.create(model="writer", messages=[{"role": "user", "content": prompt}])
    assert said.choices[0].message.content == own
    assert said.usage is not None
    assert said.usage.completion_tokens > 1
    streamed = client.chat.completions.create(
        model="writer", messages=[{"role": "user", "content": prompt}], stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    chunks = list(streamed)
    assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == own
    assert chunks[-1].usage == said.usage


def test_it_stops_where_it_is_told(client: openai.OpenAI) -> None:
    prompt = phrases()[0][:12]
    full = client.completions.create(model="writer", prompt=prompt)
    whole = full.choices[0].text
    assert full.usage is not None
    short = client.completions.create(model="writer", prompt=prompt, max_tokens=2).choices[0]
    assert whole.startswith(short.text)
    assert short.finish_reason == "length"
    letter = whole.strip()[1]
    ended = client.completions.create(model="writer", prompt=prompt, stop=letter).choices[0]
    assert ended.text == whole.partition(letter)[0]
    assert ended.finish_reason == "stop"
    told = client.completions.create(model="writer", prompt=prompt, stop=[letter, "never"])
    assert told.usage is not None
    assert told.usage.prompt_tokens == full.usage.prompt_tokens
    assert 0 < told.usage.completion_tokens < full.usage.completion_tokens
    several = whole.strip()[1:4]
    streamed = list(client.completions.create(model="writer", prompt=prompt, stop=several, stream=True))
    assert "".join(one.choices[0].text for one in streamed) == whole.partition(several)[0]
    twice = [client.completions.create(model="writer", prompt=prompt, temperature=1.5, seed=5).choices[0].text
             for _ in range(2)]  # fmt: skip
    assert twice[0] == twice[1]


def test_corrections_stand_where_browsers_count(server: Served, runs: dict[str, Path]) -> None:
    text = "\N{GRINNING FACE} the film was dulll today"
    own = stillroom.load(runs["proofs"]).predict([text])[0]
    assert own.corrections
    told = httpx.post(f"{server.at}/v1/proofread", json={"text": text}).json()
    assert told["correctedInput"] == own.corrected
    units = text.encode("utf-16-le")
    for found, one in zip(told["corrections"], own.corrections, strict=True):
        assert units[2 * found["startIndex"] : 2 * found["endIndex"]].decode("utf-16-le") == one.text
        assert found["correction"] == one.replacement
    assert httpx.post(f"{server.at}/v1/proofread", json={"text": text, "model": "vectors"}).status_code == 404


def test_a_long_file_is_corrected_to_its_end(server: Served) -> None:
    paragraph = "The film was fine today. We found it great at last.\n\n"
    text = paragraph * 400 + "the film was dulll today"
    told = httpx.post(f"{server.at}/v1/proofread", json={"text": text}, timeout=120).json()
    assert any(one["startIndex"] > len(paragraph) * 400 for one in told["corrections"])


def test_an_asynchronous_client_is_answered_too(server: Served) -> None:
    async def ask() -> int:
        async with openai.AsyncOpenAI(base_url=f"{server.at}/v1", api_key="none") as client:
            found = await asyncio.gather(*(client.embeddings.create(model="vectors", input="a") for _ in range(20)))
            return sum(len(one.data) for one in found)

    assert asyncio.run(ask()) == 20
