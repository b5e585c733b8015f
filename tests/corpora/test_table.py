"""Rows in files: every format gives the same ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillroom.corpora.table import Table
from tests.corpora import examples
from tests.corpora.examples import TASK, write_csv
from tests.corpora.tables import PAIRS, one, refused, rows, write


def write_as(folder: Path, form: str) -> str:
    columns = {"text": [text for text, _ in PAIRS], "label": [label for _, label in PAIRS]}
    lines = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in PAIRS)
    path = folder / f"rows.{form}"
    match form:
        case "csv":
            return write_csv(path, PAIRS)
        case "csv.gz":
            write_csv(folder / "rows.csv", PAIRS)
            return write(path, gzip.compress((folder / "rows.csv").read_bytes()))
        case "jsonl":
            return write(path, lines)
        case "ndjson.gz":
            return write(path, gzip.compress(lines.encode()))
        case "parquet":
            pq.write_table(pa.table(columns), path)
            return str(path)
        case _:
            return examples.write_dataset(path, PAIRS)


@pytest.mark.parametrize("form", ["csv", "csv.gz", "jsonl", "ndjson.gz", "parquet", "datasets"])
def test_every_format_gives_the_same_rows(tmp_path: Path, form: str) -> None:
    found = rows(Table(labelled=write_as(tmp_path, form)))
    assert [(row.text, row.label) for row in found] == PAIRS
    assert all(str(tmp_path) in row.where for row in found)


def test_in_tsv_quotes_are_only_characters(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.tsv", 'label\ttext\nnegative\t"unclosed\npositive\tall "good"\n')
    assert [row.text for row in rows(Table(labelled=path))] == ['"unclosed', 'all "good"']
    path = write(tmp_path / "quoted.tsv", 'label\ttext\nnegative\t"a\tb"\n')
    assert [row.text for row in rows(Table(labelled=path, quoting="yes"))] == ["a\tb"]


@pytest.mark.parametrize("strange", ["\x85", "\u2028", "\x0b", "\x0c", "\x1c"])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, strange: str) -> None:
    text = f"one{strange}two"
    path = write(tmp_path / "rows.csv", f"\ufefftext,label\r\n{text},positive\r\n\r\nthree,negative\r\n")
    assert [(row.text, row.where[-6:]) for row in rows(Table(labelled=path))] == [(text, "line 2"), ("three", "line 4")]
    path = write(tmp_path / "rows.jsonl", json.dumps({"text": text, "label": "positive"}, ensure_ascii=False))
    assert [row.text for row in rows(Table(labelled=path))] == [text]


def test_a_row_over_several_lines_stands_where_it_begins(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", 'text,label\n"one\ntwo",positive\nthree,negative\n')
    found = rows(Table(labelled=path))
    assert [(row.text, row.where) for row in found] == [("one\ntwo", f"{path}, line 2"), ("three", f"{path}, line 4")]


def test_an_encoding_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "text,label\ncafé\x85,positive\n".encode("latin-1"))
    assert [row.text for row in rows(Table(labelled=path, encoding="latin-1"))] == ["café\x85"]


def test_labels_are_compared_as_strings(tmp_path: Path) -> None:
    parquet = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["a", "b", "c"], "label": [0.0, 1.0, None]}), parquet)
    jsonl = write(tmp_path / "rows.jsonl", '{"text": "d", "label": 1}\n{"text": "e", "label": true}\n')
    found = rows(Table(labelled=[parquet, jsonl]))
    assert [row.label for row in found] == ["0", "1", None, "1", "true"]


def test_globs_lists_and_domains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.csv", "a.csv", "c [1].csv"):
        write_csv(Path(name), [(f"text of {name}", "positive")])
    table = Table(labelled=["?.csv", "c [1].csv"], outside={"else": "a.csv"}, domain="main")
    assert [row.where for row in rows(table)] == ["a.csv, line 2", "b.csv, line 2", "c [1].csv, line 2"]
    assert {(s.split, s.domain) for s in table.streams(TASK)} == {("labelled", "main"), ("outside", "else")}
    assert list(table.digests()) == ["a.csv", "b.csv", "c [1].csv"]


def test_a_remote_path(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    local = write_csv(tmp_path / "rows.csv", PAIRS)
    memory.pipe("/table/one.csv", Path(local).read_bytes())
    memory.pipe("/table/two.csv.gz", gzip.compress(Path(local).read_bytes()))
    table = Table(labelled="memory://table/*.csv*")
    assert [(row.text, row.label) for row in rows(table)] == [*PAIRS, *PAIRS]
    assert table.digests()["memory:///table/one.csv"] == Table(labelled=local).digests()[local]


def test_a_folder_of_datasets_with_splits(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    for split in ("train", "validation", "test"):
        examples.write_dataset(folder / split, [(f"text of {split}", "negative"), *PAIRS], shards=2)
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "validation", "test"]}))
    table = Table(train=folder, dev=f"{folder}/", test=folder, unlabelled=f"{folder}/train")
    assert [row.text for row in rows(table, "dev")] == ["text of validation", PAIRS[1][0], PAIRS[0][0], PAIRS[2][0]]
    assert {row.label for row in rows(table, "train")} == set(examples.LABELS)
    assert {row.label for row in rows(table, "unlabelled")} == {None}
    problem = one(refused(tmp_path, labelled=folder))
    assert "train, validation, test" in problem.found
    assert f"{folder}/validation" in problem.todo


def test_class_names_are_part_of_the_digest(tmp_path: Path) -> None:
    one_way = examples.write_dataset(tmp_path / "a", PAIRS, names=("negative", "positive"))
    before = Table(labelled=one_way).digests()
    info = tmp_path / "a" / "dataset_info.json"
    info.write_text(info.read_text().replace('["negative", "positive"]', '["positive", "negative"]'))
    assert Table(labelled=one_way).digests() != before


def test_further_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "year,text,label\n1999,one,positive\n")
    bare = write(tmp_path / "bare.csv", "text\ntwo\n")
    table = Table(labelled=path, unlabelled=bare, columns=["year"])
    assert [row.columns for row in rows(table)] == [{"year": "1999"}]
    assert [row.columns for row in rows(table, "unlabelled")] == [{}]
