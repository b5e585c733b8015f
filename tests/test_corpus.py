"""The corpus stage: stable splits, no twins across them, the same bytes each time, and nothing half written."""

from __future__ import annotations

import dataclasses
import json
import resource
import tomllib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillroom import corpora, corpus, intake
from stillroom.core import progress
from stillroom.core.artifact import Store
from stillroom.core.errors import CorpusError, DiskFull
from stillroom.corpora.table import Table
from stillroom.corpus import Corpus, Rows
from stillroom.tasks.classification import Classification
from tests.corpora.examples import LABELS, TASK, Pairs, pairs, sentences, write_csv


def load(folder: Path, *, report: progress.Report = progress.silent, **settings: Any) -> Corpus:
    return corpus.load(Table(**settings), task=TASK, store=Store(folder / "work"), report=report)


def split(folder: Path, **files: Pairs) -> Corpus:
    """A corpus from rows a split, with enough rows of other words in dev and test."""
    files = {"dev": pairs(3, seed=101), "test": pairs(3, seed=102), **files}
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Any] = {name: write_csv(folder / f"{name}.csv", rows) for name, rows in files.items()}
    return load(folder, **paths)


def texts(rows: Rows[Any]) -> list[str]:
    return list(rows.texts())


# --- splits -------------------------------------------------------------------------------------------------------


def test_shares_are_about_what_was_asked(tmp_path: Path) -> None:
    made = load(tmp_path, labelled=write_csv(tmp_path / "rows.csv", pairs(2000)), dev_share=0.1, test_share=0.3)
    assert made.dev.count + made.test.count + made.train.count == 2000
    assert 140 <= made.dev.count <= 260
    assert 520 <= made.test.count <= 680


@given(text=st.text(), dev=st.floats(0.01, 0.4), test=st.floats(0.01, 0.4))
def test_a_split_depends_on_the_text_alone(text: str, dev: float, test: float) -> None:
    found = corpora.role_of(text, dev_share=dev, test_share=test)
    assert found == corpora.role_of(text, dev_share=dev, test_share=test)
    more = corpora.role_of(text, dev_share=dev, test_share=min(0.49, test + 0.05))
    assert found != "test" or more == "test", "a greater share takes rows and gives none back"
    assert corpora.role_of(text, dev_share=dev, test_share=test, given={"test", "dev"}) == "train"


@given(before=st.integers(1, 40), more=st.integers(0, 40), order=st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_new_row_never_moves_an_old_one(
    tmp_path_factory: pytest.TempPathFactory, before: int, more: int, order: Any
) -> None:
    folder = tmp_path_factory.mktemp("moves")
    base = [(text, LABELS[len(text) % 2]) for text in sentences(40 + before, seed=1)]
    extended = base + [(text, LABELS[len(text) % 2]) for text in sentences(more, seed=2)]
    order.shuffle(extended)
    shares: dict[str, Any] = {"dev_share": 0.2, "test_share": 0.3}
    first = load(folder / "a", labelled=write_csv(folder / "a.csv", base), **shares)
    second = load(folder / "b", labelled=write_csv(folder / "b.csv", extended), **shares)
    homes = {text: rows.role for rows in (second.train, second.dev, second.test) for text in rows.texts()}
    for rows in (first.train, first.dev, first.test):
        assert all(homes[text] == rows.role for text in rows.texts())


def test_labelled_rows_fill_the_splits_that_are_not_given(tmp_path: Path) -> None:
    made = split(tmp_path, labelled=pairs(300))
    assert (made.train.count, made.dev.count, made.test.count) == (300, 3, 3)


def test_the_same_text_is_never_in_two_splits(tmp_path: Path) -> None:
    shared = sentences(4, seed=5)
    made = split(
        tmp_path,
        test=[(shared[0], "positive")],
        dev=[(text, "positive") for text in shared[:2]],
        train=[(text, "positive") for text in shared[:3]],
        unlabelled=[(text, "") for text in shared],
    )
    assert [texts(rows) for rows in (made.test, made.dev, made.train, made.unlabelled)] == [[t] for t in shared]
    dropped = made.report["duplicates"]["dropped"]
    assert dropped["dev"]["exact"] == {"test": 1, "outside": 0}
    assert dropped["train"]["exact"] == {"test": 1, "outside": 0, "dev": 1}
    assert dropped["unlabelled"]["exact"] == {"test": 1, "outside": 0, "dev": 1, "train": 1}


def test_a_near_twin_of_a_test_row_leaves_train_and_never_test(tmp_path: Path) -> None:
    test, dev = (text + " with a longer end than before" for text in sentences(2, seed=6))
    made = split(
        tmp_path,
        test=[(test, "positive"), (test.title() + ".", "positive")],
        dev=[(dev, "positive"), (f"{test}!", "positive")],
        train=[(f"  {test.upper()}", "positive"), (f"{dev}?", "negative"), ("another text", "negative")],
        unlabelled=[(f"{test}…", ""), (f"{dev}…", ""), ("yet a different sentence", "")],
    )
    assert texts(made.test) == [test, test.title() + "."]
    assert texts(made.dev) == [dev]
    assert texts(made.train) == ["another text"]
    assert texts(made.unlabelled) == ["yet a different sentence"]
    found = made.report["duplicates"]
    assert found["dropped"]["dev"]["near"] == {"test": 1, "outside": 0}
    assert found["dropped"]["train"]["near"] == {"test": 1, "outside": 0, "dev": 1}
    assert found["dropped"]["unlabelled"]["near"] == {"test": 1, "outside": 0, "dev": 1}
    assert found["near_inside"]["test"] == 1
    assert any("2 were dropped as twins" in note for note in made.report["notes"])


def test_twins_of_rows_outside_leave_train_too(tmp_path: Path) -> None:
    shared = sentences(2, seed=7)
    write_csv(tmp_path / "rows.csv", [*pairs(60), (shared[0], "positive")])
    outside = write_csv(tmp_path / "else.csv", [(shared[0], "positive"), (shared[1], "negative")])
    made = load(tmp_path, labelled=tmp_path / "rows.csv", outside={"elsewhere": outside}, dev_share=0.2)
    assert shared[0] not in texts(made.train) + texts(made.dev)
    assert made.report["domains"]["outside"] == {"elsewhere": 2}


# --- repeats ------------------------------------------------------------------------------------------------------


def test_repeats_collapse_in_train_and_are_numbered_in_test(tmp_path: Path) -> None:
    one, two, three = sentences(3, seed=8)
    made = split(
        tmp_path,
        train=[(one, "positive"), (one, "negative"), (one, "positive")],
        test=[(two, "positive"), (three, "negative"), (two, "positive"), (two, "negative")],
    )
    assert made.train.table(["text", "label"]).to_pylist() == [{"text": one, "label": 1}]
    ids = made.test.table(["id"]).column(0).to_pylist()
    plain = corpus.text_id(two)
    assert ids == [plain, corpus.text_id(three), f"{plain}-2", f"{plain}-3"]
    assert len(plain) == 32
    found = made.report["duplicates"]
    assert (found["exact_inside"]["train"], found["exact_inside"]["test"]) == (2, 2)
    conflicts = found["conflicting_labels"]
    assert conflicts["texts"] == 2
    places = {example["id"]: example["where"] for example in conflicts["examples"]}
    assert places[corpus.text_id(one)] == [f"{tmp_path}/train.csv, line {n}" for n in (2, 3, 4)]
    assert one not in json.dumps(made.report), "places, never texts"


def test_ids_are_unique_over_test_and_outside(tmp_path: Path) -> None:
    text = sentences(1, seed=9)[0]
    rows = write_csv(tmp_path / "test.csv", [(text, "positive"), (text, "positive")])
    files: dict[str, Any] = {
        name: write_csv(tmp_path / f"{name}.csv", pairs(3, seed=n)) for n, name in enumerate(("train", "dev"))
    }
    made = load(tmp_path, test=rows, outside={"elsewhere": rows}, **files)
    ids = [made.test.table(["id"]).column(0).to_pylist(), made.outside.table(["id"]).column(0).to_pylist()]
    plain = corpus.text_id(text)
    assert ids == [[plain, f"{plain}-2"], [f"{plain}-3", f"{plain}-4"]]


# --- what is written ----------------------------------------------------------------------------------------------


def test_rows_as_others_read_them(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        "text,label,year\n" + "".join(f"{t},{label},{1990 + n}\n" for n, (t, label) in enumerate(pairs(80)))
    )
    made = load(tmp_path, labelled=path, domain="films", columns=["year"], dev_share=0.2, test_share=0.3)
    table = made.train.table()
    assert table.schema == pa.schema(
        [("id", "string"), ("text", "string"), ("label", "int32"), ("domain", "string"), ("column.year", "string")]
    )
    assert table.num_rows == made.train.count
    assert [len(batch) for batch in made.train.batches(10)][:2] == [10, 10]
    assert pa.Table.from_batches(made.train.batches(7)).equals(table)
    assert list(made.train.texts()) == table.column("text").to_pylist()
    assert set(table.column("domain").to_pylist()) == {"films"}
    by_text = {text: (LABELS.index(label), str(1990 + n)) for n, (text, label) in enumerate(pairs(80))}
    for row in table.to_pylist():
        assert (row["label"], row["column.year"]) == by_text[row["text"]]
    assert made.train.digest == made.artifact.file_digest("train.parquet")
    assert {path.name for path in made.artifact.folder.iterdir()} == {
        *(f"{name}.parquet" for name in ("train", "unlabelled", "dev", "test", "outside")),
        "report.json",
        "rights.json",
        "manifest.json",
    }
    assert (made.outside.count, made.outside.table().schema) == (0, table.schema)


def test_labels_of_unlabelled_rows_are_ignored(tmp_path: Path) -> None:
    made = split(tmp_path, unlabelled=[("a text", "no such label"), ("", "")])
    assert made.unlabelled.table(["text", "label"]).to_pylist() == [{"text": "a text", "label": None}]
    assert made.report["dropped_empty"]["unlabelled"] == 1
    assert made.train.count == 0
    assert any("No labelled rows to train on" in note for note in made.report["notes"])


def test_empty_texts_may_be_dropped(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", [*pairs(90), ("  ", "positive"), ("", "negative")])
    made = load(tmp_path, labelled=path, empty="drop", dev_share=0.2)
    assert made.train.count + made.dev.count + made.test.count == 90
    assert sum(made.report["dropped_empty"].values()) == 2
    assert "Rows dropped because their text is empty: 2." in made.report["notes"]


def test_the_report(tmp_path: Path) -> None:
    train = [("a" * n, "positive") for n in range(20, 40)]
    made = split(tmp_path, train=train)
    report = made.report
    assert report["rows"] == {"test": 3, "outside": 0, "dev": 3, "train": 20, "unlabelled": 0}
    assert report["labels"]["train"] == {"negative": 0, "positive": 20}
    assert report["characters"]["train"] == {"min": 20, "median": 29, "p95": 38, "max": 39}
    assert "The label `negative` does not occur in train." in report["notes"]
    assert any(note.startswith("The split dev has only 3 rows") for note in report["notes"])


def test_rights_and_their_gaps(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", pairs(90))
    stated: dict[str, Any] = {"source": "S", "licence": "MIT", "basis": "licence", "retrieved": "2026-01-02"}
    whole = load(tmp_path, labelled=path, dev_share=0.2, **stated).rights
    assert whole == {
        **stated,
        "purpose": "training and evaluation",
        "inputs": Table(labelled=path).digests(),
        "gaps": [],
    }
    bare = load(tmp_path, labelled=path, dev_share=0.2, source="S", purpose="evaluation").rights
    assert bare["gaps"] == [
        "`licence` is not stated",
        "`retrieved` is not stated",
        "`basis` is not stated",
        "`purpose` is evaluation, yet there are rows to train on",
    ]


def test_the_same_rows_give_the_same_digests(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", [*pairs(500), *pairs(40)])
    one, other = (load(tmp_path / name, labelled=path, dev_share=0.2) for name in ("a", "b"))
    assert one.artifact.digest == other.artifact.digest
    assert one.artifact.key == other.artifact.key == corpus.key(Table(labelled=path, dev_share=0.2), task=TASK)


def test_row_groups_do_not_depend_on_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "rows.csv", pairs(700))
    before = load(tmp_path / "a", labelled=path, dev_share=0.2).artifact.digest
    monkeypatch.setattr(intake, "_BATCH_ROWS", 64)
    assert load(tmp_path / "b", labelled=path, dev_share=0.2).artifact.digest == before
    monkeypatch.setattr(corpus, "_GROUP_ROWS", 100)
    made = load(tmp_path / "c", labelled=path, dev_share=0.2)
    assert pq.ParquetFile(made.train.path).num_row_groups > 2
    assert texts(made.train) == texts(load(tmp_path / "a", labelled=path, dev_share=0.2).train)


def test_a_finished_corpus_is_not_made_again(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", pairs(90))
    events: list[progress.Event] = []
    load(tmp_path, labelled=path, report=events.append, dev_share=0.2)
    assert {(event.stage, event.unit) for event in events} == {("corpus", "rows")}
    assert events[-1].done == 90
    events.clear()
    load(tmp_path, labelled=path, report=events.append, dev_share=0.2)
    assert events == []


def test_the_key_follows_what_goes_in(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", pairs(10))
    keys = {
        corpus.key(Table(labelled=path), task=TASK),
        corpus.key(Table(labelled=path, test_share=0.2), task=TASK),
        corpus.key(Table(labelled=path), task=Classification(labels=LABELS[::-1])),
    }
    write_csv(tmp_path / "rows.csv", pairs(11))
    assert len(keys | {corpus.key(Table(labelled=path), task=TASK)}) == 4


# --- what can't be used -------------------------------------------------------------------------------------------


def test_splits_without_rows(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", [("only one", "positive")])
    with pytest.raises(CorpusError) as caught:
        load(tmp_path, labelled=path)
    assert {problem.where for problem in caught.value.problems} < {
        "the split `dev`",
        "the split `test`",
        "the splits `train` and `unlabelled`",
    }
    assert all(problem.found == "no rows" for problem in caught.value.problems)
    assert "dev_share" in caught.value.problems[0].todo
    assert list((tmp_path / "work" / "corpus").iterdir()) == []


def test_a_split_of_twins_alone(tmp_path: Path) -> None:
    same = pairs(3, seed=102)
    with pytest.raises(CorpusError, match="All of its 3 rows have a twin in a split that comes before"):
        split(tmp_path, train=pairs(5), dev=same, test=same)


@pytest.mark.slow
def test_a_full_disk(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", pairs(9000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DiskFull) as caught:
            load(tmp_path, labelled=path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.exit_code == 4
    assert list((tmp_path / "work" / "corpus").iterdir()) == []
    assert load(tmp_path, labelled=path).train.count > 5000


# --- roles --------------------------------------------------------------------------------------------------------


def test_training_refuses_rows_of_the_test(tmp_path: Path) -> None:
    made = split(tmp_path, train=pairs(5), unlabelled=pairs(5, seed=3))
    for allowed in (made.train, made.unlabelled, made.dev):
        corpus.refuse_test(allowed)
    for forbidden in (made.test, made.outside):
        with pytest.raises(TypeError, match="for the evaluation only"):
            corpus.refuse_test(forbidden)


def test_what_fits_sees_no_test(tmp_path: Path) -> None:
    made = split(tmp_path, train=pairs(5), unlabelled=pairs(5, seed=3))
    seen = made.learnable
    assert (seen.train, seen.unlabelled, seen.dev) == (made.train, made.unlabelled, made.dev)
    assert [one.role for one in seen.held_out] == ["test", "outside"]
    assert list(seen.held_out[0].ids()) == made.test.table(["id"])["id"].to_pylist()
    assert not [one for one in seen.held_out if hasattr(one, "texts") or hasattr(one, "table")]
    peek: Any = made.test
    for split_ in ("train", "unlabelled", "dev"):
        with pytest.raises(TypeError, match="for the evaluation only"):
            dataclasses.replace(seen, **{split_: peek})


def test_the_type_checker_reads_what_it_is_to_refuse() -> None:
    """The mistakes themselves stand in `tests/typed/`: mypy complains of one that it did not notice."""
    root = Path(__file__).parent.parent
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert "tests/typed" in settings["files"]
    assert settings["strict"]
    assert "warn_unused_ignores" not in settings
    refused = (root / "tests" / "typed" / "roles.py").read_text(encoding="utf-8").count("# type: ignore[")
    assert refused >= 8
