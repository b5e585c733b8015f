"""What every source of rows promises, held over every member that is found."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from stillroom import corpus
from stillroom.core import plugins, progress
from stillroom.core.artifact import Store
from stillroom.corpora import Row, Source, Split
from stillroom.corpora.beir import Beir
from stillroom.corpora.corrupted import Corrupted
from stillroom.corpora.generated import Generated
from stillroom.corpora.sample import Sample
from stillroom.corpora.table import Table
from stillroom.corpora.vocabulary import Vocabulary
from stillroom.tasks import Task
from stillroom.tasks.embeddings import Embeddings
from stillroom.tasks.proofreading import Proofreading
from tests.corpora import examples
from tests.corpora.examples import TASK

NAMES = plugins.names("corpora")


def make_table(folder: Path, request: pytest.FixtureRequest) -> Source:
    rows = examples.write_csv(folder / "rows.csv", examples.pairs(90))
    more = examples.write_csv(folder / "more.csv", examples.pairs(20, seed=1))
    other = examples.write_csv(folder / "other.csv", examples.pairs(20, seed=2))
    return Table(labelled=rows, unlabelled=more, outside={"elsewhere": other}, dev_share=0.2)


def make_sample(folder: Path, request: pytest.FixtureRequest) -> Source:
    examples.write_archive(folder, request.getfixturevalue("monkeypatch"))
    return Sample(name="reviews")


def make_vocabulary(folder: Path, request: pytest.FixtureRequest) -> Source:
    tokenizer = str(request.getfixturevalue("encoder_folder"))
    return Vocabulary(tokenizer=tokenizer, runs=100, dev_share=0.2, real=make_table(folder, request))


def make_generated(folder: Path, request: pytest.FixtureRequest) -> Source:
    request.getfixturevalue("monkeypatch").setenv("STILLROOM_CACHE", str(folder / "cache"))
    model = str(request.getfixturevalue("generator_folder"))
    return Generated(model=model, count=40, max_tokens=12, dev_share=0.2, real=make_table(folder, request))


def make_beir(folder: Path, request: pytest.FixtureRequest) -> Source:
    return Beir(folder=str(examples.write_beir(folder / "beir")), beside=make_pairs(folder))


def make_pairs(folder: Path) -> Source:
    """Pairs to test on, some of another domain."""
    rows = [(f"the film number {one}", f"a picture, number {one}", one % 5) for one in range(30)]
    for name, some in (("dev", rows[:10]), ("test", rows[10:20]), ("more", rows[20:])):
        lines = [json.dumps({"text": text, "other": other, "label": score}) for text, other, score in some]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    paths = {name: str(folder / f"{name}.jsonl") for name in ("dev", "test")}
    return Table(**paths, train=paths["dev"], outside={"elsewhere": str(folder / "more.jsonl")}, other="other")


def make_corrupted(folder: Path, request: pytest.FixtureRequest) -> Source:
    """Clean sentences without a split, and a handful that people corrected."""
    clean = [f"The {colour} ships came home in {month}, and everyone was there." for colour in ("red", "green", "old")
             for month in ("January", "May", "June", "July", "August", "March", "April", "October")]  # fmt: skip
    (folder / "clean.jsonl").write_text("\n".join(json.dumps({"text": one}) for one in clean), encoding="utf-8")
    rows = [{"text": f"She recieved {one} letters .", "label": [f"She received {one} letters ."]} for one in range(20)]
    (folder / "real.jsonl").write_text("\n".join(json.dumps(one) for one in rows), encoding="utf-8")
    (folder / "loose.jsonl").write_text(json.dumps({"text": "Nobody has read this sentence yet."}), encoding="utf-8")
    clean_rows, loose = (str(folder / f"{name}.jsonl") for name in ("clean", "loose"))
    source = Table(labelled=clean_rows, unlabelled=loose, label="", dev_share=0.3)
    outside = {"elsewhere": str(folder / "more.jsonl")}
    (folder / "more.jsonl").write_text(json.dumps({"text": "Fine.", "label": "Fine."}), encoding="utf-8")
    return Corrupted(clean=source, real=Table(test=str(folder / "real.jsonl"), outside=outside))


#: A source that can be read here, for each member; a new one adds its line.
MAKERS: dict[str, Callable[[Path, pytest.FixtureRequest], Source]] = {
    "table": make_table,
    "sample": make_sample,
    "vocabulary": make_vocabulary,
    "generated": make_generated,
    "beir": make_beir,
    "corrupted": make_corrupted,
}
#: The task of a source whose labels are of another kind; the others are of `TASK`.
TASKS: dict[str, Task] = {"beir": Embeddings(dimensions=4), "corrupted": Proofreading()}


@pytest.fixture(params=NAMES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    assert request.param in MAKERS, f"MAKERS has no example of `{request.param}`"
    return MAKERS[request.param](tmp_path, request)


def of(source: Source) -> Task:
    """A task that reads its labels."""
    return TASKS.get(source.kind, TASK)


def test_there_are_members() -> None:
    assert {"table", "sample", "vocabulary", "generated"} <= set(NAMES)


def test_is_its_own_settings(source: Source) -> None:
    assert type(source).__doc__
    assert plugins.member("corpora", source.kind) is type(source)
    assert type(source).model_validate(source.model_dump(mode="json")) == source
    found, problems = plugins.check(type(source), {**source.model_dump(), "license": "MIT"}, where="corpus")
    assert found is None
    assert problems[0].todo == "Did you mean `licence`?"


def test_its_digests_are_known_before_its_rows(source: Source) -> None:
    digests = source.digests()
    assert digests == source.digests()
    assert digests
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests.values())


def test_its_rows_are_rows(source: Source) -> None:
    seen: list[list[object]] = []
    for _ in range(2):
        seen.append([])
        for stream in source.streams(of(source)):
            assert stream.split in get_args(Split)
            for row in stream.rows:
                assert isinstance(row, Row)
                assert row.text
                assert row.where
                assert set(row.columns) <= set(source.extras())
                assert (row.label is None) == (stream.split == "unlabelled" or not stream.gold)
                seen[-1].append((stream.split, stream.domain, row))
    assert seen[0], "it has rows"
    assert seen[0] == seen[1], "and has them again"


def test_makes_the_same_corpus_each_time(source: Source, tmp_path: Path) -> None:
    one, other = (corpus.load(source, task=of(source), store=Store(tmp_path / name)) for name in ("one", "other"))
    assert one.artifact.digest == other.artifact.digest
    assert min(one.unlabelled.count, one.dev.count, one.test.count, one.outside.count) > 0
    assert (one.train.count > 0) == (not source.makes_texts and source.kind != "beir")
    assert one.made == source.makes_texts
    assert one.rights["inputs"] == source.digests()


def test_prepares_the_same_rows_as_it_gives_unprepared(source: Source) -> None:
    events: list[progress.Event] = []
    task = of(source)
    before = [row for stream in source.streams(task) for row in stream.rows]
    source.prepare(task, report=events.append)
    assert [row for stream in source.streams(task) for row in stream.rows] == before
    assert bool(source.account(task)) == source.makes_texts


def test_its_rights_and_those_inside_it_are_recorded(source: Source, tmp_path: Path) -> None:
    made = corpus.load(source, task=of(source), store=Store(tmp_path / "work"))
    for name, inside in source.inside.items():
        assert made.rights[name]["licence"] == inside.licence
        assert (f"`{name}.licence` is not stated" in made.rights["gaps"]) == (not inside.licence)
