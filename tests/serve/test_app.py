"""What is asked is answered as the student answers; what is wrong is told before it costs anything; no text is told."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from starlette.testclient import TestClient

import stillroom
from stillroom.core import plugins
from stillroom.serve import app, keys, openapi
from stillroom.tasks import Task
from tests.serve.conftest import serving

TEXT = "the film was dull today"


def _ask(client: TestClient, **told: Any) -> Any:
    return client.post("/predict", json=told)


def test_the_server_says_what_the_predictor_says(client: TestClient, folder: Path) -> None:
    texts = [TEXT, "we found it great at last", ""]
    found = _ask(client, texts=texts)
    assert found.status_code == 200
    own = stillroom.load(folder).predict(texts)
    for told, one in zip(found.json()["predictions"], own, strict=True):
        assert told["label"] == one.label
        assert told["score"] == pytest.approx(one.score, abs=1e-6)
    assert found.json()["version"] == stillroom.load(folder).digest[:12]
    assert _ask(client, text=TEXT).json()["predictions"] == found.json()["predictions"][:1]


def test_a_version_is_found_by_its_first_letters(client: TestClient) -> None:
    version = client.get("/models").json()["models"][0]["version"]
    assert _ask(client, text=TEXT, model="toy", version=version[:6]).status_code == 200
    assert _ask(client, text=TEXT, model="toy", version="ffff").json()["error"]["code"] == "unknown_model"
    assert _ask(client, text=TEXT, model="nobody").status_code == 404


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b'{"text": "\xff"}', 400, "invalid_json"),
        (b'{"text": "\\ud800"}', 400, "invalid_json"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b"{}", 422, "invalid_request"),
        (b"[]", 422, "invalid_request"),
        (b'{"text": 3}', 422, "invalid_request"),
        (b'{"text": "a", "texts": ["b"]}', 422, "invalid_request"),
        (b'{"texts": []}', 422, "invalid_request"),
        (b'{"text": "a", "txet": "b"}', 422, "invalid_request"),
        (b'{"text": "a", "deadline_ms": -1}', 422, "invalid_request"),
        (b'{"text": "a", "deadline_ms": NaN}', 422, "invalid_request"),
    ],
)
def test_a_wrong_body_is_told_in_words(client: TestClient, content: bytes, status: int, code: str) -> None:
    found = client.post("/predict", content=content)
    assert (found.status_code, found.json()["error"]["code"]) == (status, code)
    assert found.json()["error"]["problems"]


def test_what_is_too_large_is_refused_before_it_is_read(folder: Path) -> None:
    limits = {"body_mb": 0.001, "texts": 2, "characters": 100}
    with TestClient(app.make(serving(folder, limits=limits))) as client:
        assert client.post("/predict", content=b"x" * 1001).json()["error"]["code"] == "body_too_large"
        assert _ask(client, texts=["a"] * 3).json()["error"]["code"] == "too_many_texts"
        assert _ask(client, text="a" * 101).json()["error"]["code"] == "text_too_long"
        packed = client.post("/predict", content=b"x", headers={"content-encoding": "gzip"})
        assert packed.json()["error"]["code"] == "encoded_body"


def test_an_address_or_a_method_that_there_is_not_is_told(client: TestClient) -> None:
    assert client.get("/nowhere").status_code == 404
    found = client.get("/predict")
    assert (found.status_code, found.headers["allow"]) == (405, "POST")
    assert client.get("/v1/nowhere").json()["error"]["type"] == "not_found_error"
    assert isinstance(client.get("/v2/nowhere").json()["error"], str)


def test_every_answer_is_numbered_and_safe(client: TestClient) -> None:
    for found in (client.get("/health"), client.get("/nowhere"), client.get("/")):
        assert found.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in found.headers["content-security-policy"]
        assert len(found.headers["x-request-id"]) == 16
    assert client.get("/health", headers={"x-request-id": "mine-7"}).headers["x-request-id"] == "mine-7"
    assert client.get("/health", headers={"x-request-id": "a b\tc"}).headers["x-request-id"] != "a b\tc"


def test_pages_from_elsewhere_may_ask_only_where_they_are_named(folder: Path, client: TestClient) -> None:
    asks = {"origin": "https://example.org", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in client.post("/predict", json={"text": TEXT}, headers=asks).headers
    assert client.options("/predict", headers=asks).status_code == 405
    with TestClient(app.make(serving(folder, origins=["https://example.org"]))) as other:
        found = other.options("/predict", headers=asks)
        assert (found.status_code, found.headers["access-control-allow-origin"]) == (204, "https://example.org")
        assert other.options("/predict", headers={**asks, "origin": "https://evil.example"}).status_code == 405


def test_a_key_is_needed_where_there_are_keys(folder: Path, tmp_path: Path) -> None:
    secret, key = keys.make("anna")
    file = tmp_path / "keys"
    file.write_text(key.line(), encoding="utf-8")
    with TestClient(app.make(serving(folder, keys=file))) as client:
        assert _ask(client, text=TEXT).status_code == 401
        assert client.get("/v1/models").json()["error"]["type"] == "authentication_error"
        for headers in ({"authorization": f"Bearer {secret}"}, {"x-api-key": secret}):
            assert client.post("/predict", json={"text": TEXT}, headers=headers).status_code == 200
            assert client.get("/metrics", headers=headers).status_code == 401  # it was not made for that
        for at in ("/health", "/ready", "/", "/v2/health/ready"):
            assert client.get(at).status_code == 200


def test_more_requests_than_are_allowed_wait(folder: Path) -> None:
    with TestClient(app.make(serving(folder, limits={"rate": "2/minute"}))) as client:
        assert [_ask(client, text=TEXT).status_code for _ in range(3)] == [200, 200, 429]
        assert int(_ask(client, text=TEXT).headers["retry-after"]) >= 1
        assert client.get("/health").status_code == 200


def test_no_text_is_told_to_anybody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []

    class Keeps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append({"event": record.getMessage(), **getattr(record, "told", {}), "exc": str(record.exc_info)})

    log = logging.getLogger("stillroom.serve")
    keeps = Keeps()
    log.addHandler(keeps)
    before = log.level
    log.setLevel(logging.INFO)  # not by its attribute alone: a logger remembers what it is asked to tell
    try:
        monkeypatch.setattr(
            "stillroom.runtime.Predictor.predict", lambda self, texts: (_ for _ in ()).throw(ValueError(texts))
        )
        with TestClient(app.make(serving(folder, log="all"))) as client:
            broken = "the secret of Mrs Dalloway"
            found = _ask(client, text=broken)
            _ask(client, text=broken, nobody="knows")
    finally:
        log.removeHandler(keeps)
        log.setLevel(before)
    assert found.status_code == 500
    assert broken not in found.text
    assert [one["event"] for one in told if one["event"] in ("failed", "request")] == ["failed", "request", "request"]
    assert "Dalloway" not in json.dumps(told)
    assert told[-2]["characters"] == len(broken)  # what may be told of it
    assert len(told[-2]["sha256"]) == 16


def test_meters_count_by_address_and_no_text(client: TestClient) -> None:
    _ask(client, text=TEXT)
    client.get("/somewhere/else")
    told = client.get("/metrics").text
    assert 'stillroom_texts_total{model="toy"}' in told
    assert 'stillroom_requests_total{path="other",status="404"}' in told
    assert "/somewhere" not in told


def test_a_long_text_is_told_part_by_part(client: TestClient) -> None:
    with client.stream("POST", "/predict", json={"text": TEXT, "stream": True}) as found:
        assert found.headers["content-type"].startswith("text/event-stream")
        events = [one.split("\n")[0] for one in found.read().decode().strip().split("\n\n")]
    assert events == ["event: part", "event: prediction"]


def test_what_is_described_is_what_is_answered(client: TestClient) -> None:
    told = client.get("/openapi.json").json()
    answer = _ask(client, texts=[TEXT, "a"]).json()
    schema = {**told["components"]["schemas"]["Answer"], "components": told["components"]}
    jsonschema_rs.validate(schema, answer)
    broken = {**answer, "predictions": [{"label": 3}]}
    assert not jsonschema_rs.is_valid(schema, broken)


@pytest.mark.parametrize("kind", plugins.names("tasks"))
def test_each_task_describes_its_predictions(kind: str) -> None:
    task: type[Task] = plugins.member("tasks", kind)  # type: ignore[assignment]  # a member of that family
    told = task.prediction
    assert set(told["required"]) == set(told["properties"])
    jsonschema_rs.meta.validate({"type": "object", **told})


def test_what_was_done_to_a_text_is_told_at_every_address(folder: Path) -> None:
    guard = {"*": {"input": [{"detector": "personal", "action": "flag"}]}}
    infer: dict[str, Any] = {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES",
                                         "data": ["dull", "dull, says ann@example.org"]}]}  # fmt: skip
    with TestClient(app.make(serving(folder, guard=guard))) as client:
        own = client.post("/predict", json={"texts": infer["inputs"][0]["data"]}).json()["predictions"]
        told = client.post("/v2/models/toy/infer", json=infer).json()["outputs"]
        (notes,) = [one for one in told if one["name"] == "notes"]
        assert [json.loads(one) for one in notes["data"]] == [{}, {"flags": own[1]["flags"]}]
        infer["inputs"][0] |= {"shape": [1], "data": ["dull"]}
        told = client.post("/v2/models/toy/infer", json=infer).json()["outputs"]
        assert "notes" not in {one["name"] for one in told}
        asked = client.post("/v2/models/toy/infer", json={**infer, "outputs": [{"name": "notes"}]}).json()["outputs"]
        assert asked == [{"name": "notes", "datatype": "BYTES", "shape": [1], "data": ["{}"]}]


def test_its_description_is_made_once(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    first = client.get("/openapi.json")
    monkeypatch.setattr(openapi, "describe", lambda *given, **told: pytest.fail("again"))
    assert client.get("/openapi.json").content == first.content
