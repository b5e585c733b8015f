"""Folders as BEIR has them, whole and broken, and pairs in tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stillroom import corpus
from stillroom.core import plugins
from stillroom.core.artifact import Store, text_id
from stillroom.core.errors import CorpusError, RecipeError
from stillroom.corpora.beir import Beir
from stillroom.corpora.table import Table
from stillroom.tasks.embeddings import Embeddings
from tests.corpora.examples import write_beir

TASK = Embeddings(dimensions=4)


def test_documents_are_learned_from_and_searched_and_judged_queries_are_the_test(tmp_path: Path) -> None:
    made = corpus.load(Beir(folder=str(write_beir(tmp_path / "beir"))), task=TASK, store=Store(tmp_path / "work"))
    documents, test = made.unlabelled.table(), made.test.table()
    found = dict(zip(documents["text"].to_pylist(), documents["domain"].to_pylist(), strict=True))
    assert found["It is not much (Smith et al. 1999)!"] == "", "a sentence is learned from and not searched"
    assert found["All that is known of birds."] == ""
    assert found["A title that is long enough"] == ""
    assert sum(domain == "documents" for domain in found.values()) == 7
    assert "rivers All that is known of rivers. It is not much (Smith et al. 1999)!" in documents["text"].to_pylist(), (
        "the title stands before the text"
    )
    assert "A title that is long enough rivers in winter" in documents["text"].to_pylist()
    assert sorted(test["text"].to_pylist())[0] == "where are birds?"
    assert test.num_rows == 4
    assert sorted(made.dev.table()["text"].to_pylist()) == ["where are harbours?", "where are letters?"]
    gold = dict(zip(test["text"].to_pylist(), TASK.gold(test["label"]), strict=True))
    assert gold["where are rivers?"].among == "documents"
    assert dict(gold["where are rivers?"].others) == {
        text_id("rivers All that is known of rivers. It is not much (Smith et al. 1999)!"): 1.0,
        text_id("A title that is long enough rivers in winter"): 2.0,
    }
    assert len(gold["where are metals?"].others) == 1, "a score of 0 is no answer"
    assert TASK.beside(TASK.gold(test["label"])) == {"documents"}


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        ("qrels/test.tsv", "q1\tgone\t1", "the document `gone`"),
        ("qrels/test.tsv", "gone\td1\t1", "the query `gone`"),
        ("qrels/test.tsv", "q1\td1\tmuch", "the score `much`"),
        ("corpus.jsonl", "{", "broken JSON"),
        ("corpus.jsonl", '{"_id": "d9", "title": "none"}', "one column `text`"),
        ("queries.jsonl", '{"text": "who?"}', "one column `_id`"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, file: str, line: str, told: str) -> None:
    folder = write_beir(tmp_path / "beir")
    with (folder / file).open("a", encoding="utf-8") as lines:
        lines.write(f"\n{line}")
    with pytest.raises(CorpusError, match=told) as error:
        corpus.load(Beir(folder=str(folder)), task=TASK, store=Store(tmp_path / "work"))
    assert file.rpartition("/")[2] in str(error.value)
    assert not list((tmp_path / "work").glob("corpus/[!.]*")), "nothing half written"


def test_files_that_are_not_there_are_all_told(tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as error:
        Beir(folder=str(tmp_path)).digests()
    assert len(error.value.problems) == 3


class TestPairs:
    def write(self, folder: Path, *lines: dict[str, object]) -> str:
        path = folder / "pairs.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
        return str(path)

    def test_both_texts_are_in_the_split_and_one_is_judged(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, {"text": "a cat", "other": "a kitten", "label": 4.5},
                          {"text": "a cat", "other": "a stone", "label": "0"})  # fmt: skip
        dev = tmp_path / "dev.jsonl"
        dev.write_text(json.dumps({"text": "rain", "other": "snow", "label": 1}), encoding="utf-8")
        more = tmp_path / "more.jsonl"
        more.write_text(json.dumps({"text": "wind"}), encoding="utf-8")
        source = Table(dev=str(dev), test=path, unlabelled=str(more), other="other")
        made = corpus.load(source, task=TASK, store=Store(tmp_path / "work"))
        table = made.test.table()
        assert sorted(table["text"].to_pylist()) == ["a cat", "a cat", "a kitten", "a stone"]
        gold = [one for one in TASK.gold(table["label"]) if one is not None]
        assert [one.others for one in gold] == [((text_id("a kitten"), 4.5),), ((text_id("a stone"), 0.0),)]
        assert made.dev.count == 2
        assert made.unlabelled.table()["text"].to_pylist() == ["wind"]

    def test_a_text_of_the_test_is_learned_by_nobody(self, tmp_path: Path) -> None:
        """The second text of a pair too."""
        path = self.write(tmp_path, {"text": "a cat", "other": "a kitten", "label": 4})
        dev = tmp_path / "dev.jsonl"
        dev.write_text(json.dumps({"text": "rain", "other": "a kitten", "label": 1}), encoding="utf-8")
        more = tmp_path / "more.jsonl"
        more.write_text("\n".join(json.dumps({"text": one}) for one in ("a kitten", "wind")), encoding="utf-8")
        source = Table(dev=str(dev), test=path, unlabelled=str(more), other="other")
        made = corpus.load(source, task=TASK, store=Store(tmp_path / "work"))
        assert made.unlabelled.table()["text"].to_pylist() == ["wind"]
        assert made.dev.table()["text"].to_pylist() == ["rain"]

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ({"text": "a", "label": 1}, "one column `other`"),
            ({"text": "a", "other": "b", "label": "near"}, "near"),
            ({"text": "a", "other": "", "label": 1}, "an empty text as the other one"),
        ],
    )
    def test_a_pair_that_is_none_is_told(self, tmp_path: Path, line: dict[str, object], told: str) -> None:
        path = self.write(tmp_path, {"text": "x", "other": "y", "label": 2}, line)
        with pytest.raises(CorpusError, match=told):
            corpus.load(Table(dev=path, test=path, train=path, other="other"), task=TASK, store=Store(tmp_path / "w"))

    def test_pairs_are_not_split_by_the_hash_of_one_of_their_texts(self) -> None:
        with pytest.raises(RecipeError, match="both texts of a pair"):
            plugins.build("corpora", {"kind": "table", "labelled": "x.csv", "other": "other"})
