"""The teacher that picks sentences: nearest to the middle, or as people would, and told where that is no better."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom import corpus, loop, teach
from stillroom.core import plugins
from stillroom.core.artifact import Artifact, Store
from stillroom.core.errors import InputError
from stillroom.corpora.table import Table
from stillroom.tasks.text_to_text import TextToText
from tests.conftest import sentences

TASK = TextToText(goal="summary", shortest_ratio=0)
LINES = [text.capitalize() + "." for text, _ in sentences()]


def rows(folder: Path, *, gold: str) -> corpus.Corpus:
    """Five sentences each, of which people want the one with `great` in it, or the first nine words, or say nothing."""
    rng = np.random.default_rng(0)
    great, others = [one for one in LINES if "great" in one], [one for one in LINES if "great" not in one]
    told = []
    for _ in range(100):
        own = [*rng.choice(others, 4), str(rng.choice(great))]
        text = " ".join(rng.permutation(own))
        label = {"great": own[-1], "beginning": " ".join(text.split()[:9]), "none": None}[gold]
        told.append({"text": text, "label": label})
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(one) for one in told), encoding="utf-8")
    kept = {"label": ""} if gold == "none" else {}
    source = Table(labelled=str(folder / "rows.jsonl"), dev_share=0.3, test_share=0.2, **kept)
    return corpus.load(source, task=TASK, store=Store(folder / "work"))


def prepared(folder: Path, embedder: Path, *, gold: str, **settings: Any) -> tuple[Any, Artifact, corpus.Corpus]:
    teacher = plugins.build("teachers", {"kind": "salience", "model": str(embedder), **settings})
    known = rows(folder, gold=gold)
    store = Store(folder / "work")
    found = teach.prepare(teacher, task=TASK, corpus=known.learnable, fit=loop.fit, seed=2, store=store)
    return teacher.open(found.folder, task=TASK), found, known


def asked(loaded: Any, texts: list[str]) -> list[str]:
    said, _ = loaded.ask(texts, precision="fp32", tokens_per_batch=512)
    found: list[str] = said["sequence"].tolist()
    return found


def test_fitted_it_picks_what_people_would(tmp_path: Path, embedder_folder: Path) -> None:
    loaded, found, known = prepared(tmp_path, embedder_folder, gold="great", fitted=True)
    texts = known.test.table(["text"])["text"].to_pylist()
    assert np.mean(["great" in one for one in asked(loaded, texts)]) > 0.8
    facts = found.manifest["facts"]
    assert facts["dev_rouge1"] > max(facts["floors_dev_rouge1"].values())
    assert "warning" not in facts
    assert "fitted to references" in loaded.identify().name


def test_it_says_where_the_beginning_is_better(tmp_path: Path, embedder_folder: Path) -> None:
    """What people want begins in the first sentence and ends in the second: one sentence alone is not enough."""
    loaded, found, known = prepared(tmp_path, embedder_folder, gold="beginning", fitted=True)
    texts = known.test.table(["text"])["text"].to_pylist()
    first = [text.startswith(said) for text, said in zip(texts, asked(loaded, texts), strict=True)]
    assert np.mean(first) > 0.6, "it learned where the sentence stands that people begin with"
    facts = found.manifest["facts"]
    assert "does not beat the beginning of the source" in facts["warning"]
    assert facts["floors_dev_rouge1"]["the beginning of the source"] > facts["dev_rouge1"]


def test_unfitted_it_picks_what_is_nearest_to_the_middle(tmp_path: Path, embedder_folder: Path) -> None:
    loaded, found, known = prepared(tmp_path, embedder_folder, gold="none", sentences=2)
    assert set(found.manifest["inputs"]) == {"model"}
    text = known.test.table(["text"])["text"].to_pylist()[0]
    encoder = loaded._encoder
    pieces = [one if one.endswith(".") else f"{one}." for one in text.split(". ")]
    vectors = encoder.ask(pieces, precision="fp32", tokens_per_batch=512)[0]["embedding"]
    near = np.argsort(-(vectors @ vectors.sum(axis=0)))[:2]
    assert asked(loaded, [text, ""]) == [" ".join(pieces[place] for place in sorted(near.tolist())), ""]


def test_without_references_it_can_not_be_fitted(tmp_path: Path, embedder_folder: Path) -> None:
    with pytest.raises(InputError, match="no row with a reference"):
        prepared(tmp_path, embedder_folder, gold="none", fitted=True)


@pytest.mark.parametrize("other", [{"sentences": 3}, {"unit": "lines"}])
def test_who_picks_otherwise_is_another_teacher(other: dict[str, Any], tmp_path: Path, embedder_folder: Path) -> None:
    """What was asked of one is never taken for what the other would say."""
    (tmp_path / "a").mkdir()
    one, first, known = prepared(tmp_path / "a", embedder_folder, gold="none")
    teacher: Any = plugins.build("teachers", {"kind": "salience", "model": str(embedder_folder), **other})
    second = teach.prepare(teacher, task=TASK, corpus=known.learnable, fit=loop.fit, seed=2,
                           store=Store(tmp_path / "a" / "work"))  # fmt: skip
    assert first.digest != second.digest
    assert one.identify().weights != teacher.open(second.folder, task=TASK).identify().weights
