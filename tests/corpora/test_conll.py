"""Files with a word and its tag a line: every scheme, what is wrong in them, and real ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from seqeval.scheme import IOB2, IOBES, Entities

from stillroom import corpus
from stillroom.core.artifact import Store
from stillroom.core.errors import CorpusError, Problem
from stillroom.core.tagging import Span
from stillroom.corpora import Row
from stillroom.corpora.table import Table, conll
from stillroom.tasks.token_labelling import TokenLabelling
from tests.conftest import sentences

SHARED = Path(__file__).parents[3] / "shared"
TASK = TokenLabelling(labels=("PER", "LOC"))
#: The same two texts in every scheme: Anna Lind and Bo meet in Oslo; two names that touch.
WRITTEN = {
    "IOB1": "Anna I-PER\nLind I-PER\nsaw O\nOslo I-LOC\n\nBo I-PER\nUwe B-PER\nFalk I-PER\n",
    "IOB2": "Anna B-PER\nLind I-PER\nsaw O\nOslo B-LOC\n\nBo B-PER\nUwe B-PER\nFalk I-PER\n",
    "BILOU": "Anna B-PER\nLind L-PER\nsaw O\nOslo U-LOC\n\nBo U-PER\nUwe B-PER\nFalk L-PER\n",
}
SPANS = [
    (Span(0, 9, "PER"), Span(14, 18, "LOC")),
    (Span(0, 2, "PER"), Span(3, 11, "PER")),
]


def read(folder: Path, text: str, name: str = "rows.conll", **settings: str) -> list[Row | Problem]:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    source = Table(train=str(path), dev=str(path), test=str(path), **settings)
    return list(next(iter(source.streams(TASK))).rows)


def rows(folder: Path, text: str, **settings: str) -> list[Row]:
    found = read(folder, text, **settings)
    assert all(isinstance(one, Row) for one in found), found
    return [one for one in found if isinstance(one, Row)]


def problem(folder: Path, text: str, **settings: str) -> Problem:
    found = [one for one in read(folder, text, **settings) if isinstance(one, Problem)]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("scheme", WRITTEN)
@pytest.mark.parametrize("named", [False, True], ids=["looked at", "named"])
def test_every_scheme_is_read(scheme: str, named: bool, tmp_path: Path) -> None:
    found = rows(tmp_path, WRITTEN[scheme], **({"scheme": scheme} if named else {}))
    assert [one.text for one in found] == ["Anna Lind saw Oslo", "Bo Uwe Falk"]
    assert [one.label for one in found] == SPANS
    assert [one.where[-6:] for one in found] == ["line 1", "line 6"]


def test_bilou_is_written_with_other_letters_too(tmp_path: Path) -> None:
    other = WRITTEN["BILOU"].replace("L-", "E-").replace("U-", "S-")
    assert [one.label for one in rows(tmp_path, other)] == SPANS


def test_without_any_beginning_names_that_touch_are_one(tmp_path: Path) -> None:
    found = rows(tmp_path, WRITTEN["IOB2"].replace("B-", "I-"))
    assert [one.label for one in found] == [SPANS[0], (Span(0, 11, "PER"),)]


@pytest.mark.parametrize(("ours", "theirs"), [("IOB2", IOB2), ("BILOU", IOBES)])
def test_they_are_the_spans_that_seqeval_reads(ours: conll.Scheme, theirs: type) -> None:
    for text in WRITTEN[ours].replace("L-", "E-").replace("U-", "S-").split("\n\n"):
        tags = [line.split()[1] for line in text.strip().splitlines()]
        places = [(4 * at, 4 * at + 3) for at in range(len(tags))]
        found = conll.spans(tags, places, scheme=ours)
        (expected,) = Entities([tags], theirs).entities
        assert found == tuple(Span(4 * one.start, 4 * one.end - 1, one.tag) for one in expected)


def test_columns_between_blank_documents_and_compression(tmp_path: Path) -> None:
    text = "-DOCSTART-\t-X-\tO\n\nAnna\tNNP\tB-PER\n\n\nsaw\tVBD\tO\n"
    for name in ("rows.conll", "rows.conll.gz", "rows.iob"):
        found = rows(tmp_path, text, name=name)
        assert [(one.text, one.label) for one in found] == [("Anna", (Span(0, 4, "PER"),)), ("saw", ())]


def test_of_unlabelled_files_words_are_read_alone(tmp_path: Path) -> None:
    plain = tmp_path / "more.conll"
    plain.write_text("Anna\nsaw\n\nOslo\n", encoding="utf-8")
    known = tmp_path / "rows.conll"
    known.write_text(WRITTEN["IOB2"], encoding="utf-8")
    source = Table(labelled=str(known), unlabelled=str(plain))
    found = {stream.split: list(stream.rows) for stream in source.streams(TASK)}["unlabelled"]
    assert [(one.text, one.label) for one in found if isinstance(one, Row)] == [("Anna saw", None), ("Oslo", None)]


@pytest.mark.parametrize(
    ("text", "settings", "where", "word"),
    [
        ("Anna\nsaw O\n", {}, "line 1", "one column"),
        ("Anna X-PER\n", {}, "line 1", "X-PER"),
        ("Anna B\n", {}, "line 1", "`B`"),
        ("\tO\nAnna\tB-PER\n", {}, "line 1", "without a word"),
        ("saw O\nAnna I-PER\n", {"scheme": "IOB2"}, "word 2", "goes on"),
        ("Anna B-PER\nOslo I-LOC\n", {}, "word 2", "goes on"),
        ("Anna B-PER\nsaw O\nBo U-PER\n", {}, "word 1", "does not end"),
        ("Anna B-PER\n", {"scheme": "BILOU"}, "word 1", "does not end"),
        ("Anna L-PER\n", {}, "word 1", "goes on"),
        ("Anna B-PER\n", {"scheme": "IO"}, "word 1", "the letter B"),
        ("Anna B-PER\nsaw\0 O\n", {}, "line 2", "NUL"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(
    text: str, settings: dict[str, str], where: str, word: str, tmp_path: Path
) -> None:
    found = problem(tmp_path, text, **settings)
    assert where in found.where
    assert word in found.found
    assert found.expected
    assert found.todo


def test_lines_without_a_word_can_be_left_out(tmp_path: Path) -> None:
    assert [one.text for one in rows(tmp_path, "Anna\tB-PER\n\tO\nsaw\tO\n", empty="drop")] == ["Anna saw"]
    assert "without a word" in problem(tmp_path, "Anna\tB-PER\n\tI-PER\n", empty="drop").found


def test_an_unknown_label_is_told_of_its_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.conll"
    path.write_text(WRITTEN["IOB2"].replace("LOC", "LCO"), encoding="utf-8")
    source = Table(train=str(path), dev=str(path), test=str(path))
    with pytest.raises(CorpusError) as refused:
        corpus.load(source, task=TASK, store=Store(tmp_path / "work"))
    assert "`LCO`" in refused.value.problems[0].found
    assert "`LOC`" in refused.value.problems[0].todo


def test_spans_of_json_lines_are_kept_as_they_are(tmp_path: Path) -> None:
    fillers = [text for text, _ in sentences()[::3]][:40]
    spans = [{"start": 0, "end": 4, "label": "PER"}, [9, 13, "LOC"]]
    lines = [json.dumps({"text": f"Anna saw Oslo {filler}", "spans": spans}) for filler in fillers]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([*lines, '{"text": "nobody at all", "spans": []}']), encoding="utf-8")
    source = Table(labelled=str(path), label="spans", dev_share=0.3, test_share=0.3)
    found = corpus.load(source, task=TASK, store=Store(tmp_path / "work"))
    table = found.train.table(["text", "label"])
    gold = dict(zip(table["text"].to_pylist(), TASK.gold(table["label"]), strict=True))
    assert set(gold.values()) <= {(Span(0, 4, "PER"), Span(9, 13, "LOC")), ()}
    assert sum(found.report["labels"][role]["PER"] for role in ("train", "dev", "test")) == 40


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data sets here")
def test_tweets_as_they_were_published() -> None:
    """The broad Twitter corpus: its sections are in IOB2, with a few lines that have a tag and no word."""
    folder = SHARED / "data" / "ner" / "broad_twitter_corpus"
    source = Table(train=str(folder / "g.conll.gz"), dev=str(folder / "e.conll"), test=str(folder / "f.conll"),
                   empty="drop")  # fmt: skip
    counts = {}
    for stream in source.streams(TokenLabelling(labels=("PER", "LOC", "ORG"))):
        found = list(stream.rows)
        assert not [one for one in found if isinstance(one, Problem)]
        counts[stream.split] = len(found)
    assert counts == {"train": 2138, "dev": 200, "test": 2001}
