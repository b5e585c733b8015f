"""A trace tells where the time of a request went, and nothing of its text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient

from stillroom.serve import app, traces
from tests.serve.conftest import serving

TEXT = "the secret of Mrs Dalloway"


def test_a_request_is_traced_without_its_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = InMemorySpanExporter()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("opentelemetry.sdk.trace.export.BatchSpanProcessor", lambda sent: SimpleSpanProcessor(kept))
    found: list[TracerProvider] = []
    monkeypatch.setattr(trace, "set_tracer_provider", found.append)
    monkeypatch.setattr(trace, "get_tracer", lambda name, *more, **told: found[0].get_tracer(name))
    with TestClient(app.make(serving(folder))) as client:
        assert client.post("/predict", json={"texts": [TEXT, "a"]}).status_code == 200
        assert client.post("/predict", json={"text": TEXT, "stream": True}).status_code == 200
    streamed, whole = (one for one in reversed(kept.get_finished_spans()) if one.name == "stillroom.answer")
    assert (streamed.attributes or {})["stillroom.characters"] == len(TEXT)
    assert (streamed.attributes or {})["stillroom.waited_ms"] >= 0
    assert streamed.parent is not None
    assert whole.parent is not None
    assert streamed.parent.trace_id != whole.parent.trace_id
    kept_first = [one for one in kept.get_finished_spans() if one.context.trace_id == whole.context.trace_id]
    spans = {one.name: one for one in kept_first}
    answer = spans["stillroom.answer"]
    assert answer.attributes is not None
    assert answer.attributes["stillroom.texts"] == 2
    assert answer.attributes["stillroom.model"] == "toy"
    assert answer.attributes["stillroom.waited_ms"] >= 0
    request = spans["POST /predict"] if "POST /predict" in spans else spans["POST"]
    assert answer.parent is not None
    assert answer.parent.span_id == request.context.span_id
    assert "Dalloway" not in json.dumps([json.loads(one.to_json()) for one in kept.get_finished_spans()])


def test_what_goes_wrong_is_told_by_its_kind_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    with pytest.raises(ValueError, match="Dalloway"), traces.answering("toy", "a", [TEXT]):
        raise ValueError(TEXT)
    (span,) = kept.get_finished_spans()
    assert span.status.description == "ValueError"
    assert "Dalloway" not in span.to_json()


def test_where_nobody_collects_them_nothing_is_loaded(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "get_tracer", lambda name: pytest.fail("asked for"))
    assert client.post("/predict", json={"text": TEXT}).status_code == 200
