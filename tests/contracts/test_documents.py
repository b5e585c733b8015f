"""What every document promises, held over every member that is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stillroom.core import plugins
from stillroom.documents import Document, Evidence

NAMES = plugins.names("documents")
SCORES = {"accuracy": {"value": 0.87654, "low": 0.861, "high": 0.8905, "n": 1234}}
SUMMARY: dict[str, Any] = {
    "name": "contract",
    "teacher": {"scores": SCORES},
    "student": {"kind": "bag", "scores": SCORES},
    "retention": {"accuracy": {"value": 0.93125, "low": 0.918, "high": 0.944, "n": 1234}},
    "stages": {"evaluate": {"key": "ab" * 12, "digest": "0123456789ab" + "cd" * 26, "seconds": 1.0, "reused": False}},
}


@pytest.fixture(params=NAMES)
def document(request: pytest.FixtureRequest) -> Document:
    built: Document = plugins.build("documents", request.param)
    return built


def test_there_are_members() -> None:
    assert {"report", "model_card"} <= set(NAMES)


def test_no_two_are_the_same_file() -> None:
    files = [plugins.build("documents", kind).name for kind in NAMES]
    assert len(set(files)) == len(files)


def test_says_what_it_is(document: Document) -> None:
    assert document.kind in NAMES
    assert Path(document.name).name == document.name
    assert Path(document.name).suffix
    assert type(document).__doc__


def test_tells_a_figure_with_its_interval_and_its_source(document: Document) -> None:
    told = document.render(Evidence(SUMMARY))
    for part in ("93.1", "91.8–94.4", "87.7", "86.1–89.0", "1,234", "0123456789ab"):
        assert part in told


def test_says_what_was_not_measured(document: Document) -> None:
    assert "not measured" in document.render(Evidence({}))


def test_is_a_function_of_the_evidence(document: Document) -> None:
    again = plugins.build("documents", document.kind)
    assert document.render(Evidence(SUMMARY)) == again.render(Evidence(dict(SUMMARY)))


def test_names_are_words_and_not_markup(document: Document) -> None:
    hostile = {**SUMMARY, "name": "<script>x</script>", "labels": ["<img src=x onerror=y>"]}
    told = document.render(Evidence(hostile))
    assert "<script>x" not in told
    assert "<img" not in told


def test_is_in_the_docs(document: Document) -> None:
    if type(document).__module__.startswith("stillroom."):
        page = Path(__file__).parents[2] / "docs" / "stages" / "dossier.md"
        assert f"| `{document.kind}` | `{document.name}` |" in page.read_text(encoding="utf-8")
