"""Rows in files: every format gives the same ones, and every kind of broken input one clear error."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillroom import corpus
from stillroom.core import plugins
from stillroom.core.artifact import Store
from stillroom.core.errors import CorpusError, Problem
from stillroom.corpora import Row
from stillroom.corpora.table import Table
from tests.corpora import examples
from tests.corpora.examples import TASK, pairs, write_csv


def read(table: Table, split: str = "labelled") -> list[Row | Problem]:
    return [row for stream in table.streams(TASK) if stream.split == split for row in stream.rows]


def rows(table: Table, split: str = "labelled") -> list[Row]:
    found = read(table, split)
    assert not [row for row in found if isinstance(row, Problem)]
    return [row for row in found if isinstance(row, Row)]


def refused(tmp_path: Path, **settings: Any) -> CorpusError:
    """The error of a load that can't work, after checking what all of them promise."""
    store = tmp_path / "work"
    with pytest.raises(CorpusError) as caught:
        corpus.load(Table(**settings), task=TASK, store=Store(store))
    error = caught.value
    assert error.exit_code == 2
    assert [path for path in store.rglob("*") if path.name != "corpus" and ".locks" not in path.parts] == []
    for problem in error.problems:
        assert all((problem.where, problem.found, problem.expected, problem.todo)), problem
    return error


def one(error: CorpusError) -> Problem:
    assert len(error.problems) == 1, error
    return error.problems[0]


def write(path: Path, data: str | bytes) -> str:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


# --- what can be read ---------------------------------------------------------------------------------------------

PAIRS = [('it is, "so to speak", fine', "positive"), ("dull\tand long", "negative"), ("naïve – café", "positive")]


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


# --- what can't ---------------------------------------------------------------------------------------------------


def test_a_missing_column(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "sentence,lable\none,positive\n")
    problems = refused(tmp_path, labelled=path).problems
    assert [problem.where for problem in problems] == [f"{path}, line 1"] * 2
    assert problems[0].found == "the columns `sentence`, `lable`"
    assert problems[1].expected == "one column `label`"
    assert "Did you mean `lable`?" in problems[1].todo


def test_a_missing_column_of_parquet_and_jsonl(tmp_path: Path) -> None:
    parquet = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"texts": ["a"], "label": ["positive"]}), parquet)
    jsonl = write(tmp_path / "rows.jsonl", '{"text": "a", "label": "positive"}\n{"label": "positive"}\n')
    first, second = refused(tmp_path, labelled=[parquet, jsonl]).problems
    assert first.where == str(parquet)
    assert "Did you mean `texts`?" in first.todo
    assert second.where == f"{jsonl}, line 2"


def test_a_column_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "text,label,text\na,positive,b\n")
    assert one(refused(tmp_path, labelled=path)).found == "the column `text` 2 times"


def test_a_row_in_place_of_the_header_is_not_shown_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", f"{'a secret story ' * 9},positive\n")
    assert "a secret story a secret story a secret story" not in str(refused(tmp_path, labelled=path))


def test_an_unknown_label(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", [("one", "positive"), ("two", "postive")])
    problem = one(refused(tmp_path, labelled=path))
    assert problem.where == f"{path}, line 3"
    assert problem.found == "the label `postive`"
    assert problem.expected == "one of `negative`, `positive`"
    assert "Did you mean `positive`?" in problem.todo


def test_no_label(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", [("one", "")])
    problem = one(refused(tmp_path, labelled=path))
    assert (problem.where, problem.found) == (f"{path}, line 2", "no label")
    assert "`unlabelled`" in problem.todo


def test_an_empty_text(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", [("one", "positive"), (" \t", "positive")])
    problem = one(refused(tmp_path, labelled=path))
    assert (problem.where, problem.found, problem.expected) == (f"{path}, line 3", "an empty text", "a text")
    assert '`empty = "drop"`' in problem.todo


@pytest.mark.parametrize(("name", "data"), [("rows.csv", ""), ("rows.csv", "text,label\n"), ("rows.jsonl", "\n\n")])
def test_an_empty_file(tmp_path: Path, name: str, data: str) -> None:
    path = write(tmp_path / name, data)
    problem = one(refused(tmp_path, labelled=path))
    assert (problem.where, problem.found, problem.expected) == (path, "no rows", "at least one")
    assert "take it out of the recipe" in problem.todo


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
def test_nul_bytes(tmp_path: Path, name: str) -> None:
    comma = "," if name == "rows.csv" else "\t"
    path = write(tmp_path / name, f"text{comma}label\nfine{comma}positive\nbro\0ken{comma}positive\n")
    problem = one(refused(tmp_path, labelled=path))
    assert problem.where == f"{path}, line 3 (byte 28)"
    assert problem.found == "a NUL byte"
    assert problem.expected == "text without NUL bytes"
    assert "Remove it" in problem.todo


def test_a_nul_in_a_value(tmp_path: Path) -> None:
    parquet = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["a\0b"], "label": ["positive"]}), parquet)
    jsonl = write(tmp_path / "rows.jsonl", '{"text": "a\\u0000b", "label": "positive"}\n')
    places = [problem.where for problem in refused(tmp_path, labelled=[parquet, jsonl]).problems]
    assert places == [f"{parquet}, row 1", f"{jsonl}, line 1"]


def test_latin_1_read_as_utf_8(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "text,label\nfine,positive\ncafé au lait,positive\n".encode("latin-1"))
    problem = one(refused(tmp_path, labelled=path))
    assert problem.where == f"{path}, line 3 (byte 28)"
    assert problem.found == "the byte 0xe9, which is not utf-8 here"
    assert problem.expected == "text encoded as utf-8"
    assert '`encoding = "latin-1"`' in problem.todo


def test_utf_16(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "text,label\nfine,positive\n".encode("utf-16"))
    assert "UTF-16: save it as UTF-8" in one(refused(tmp_path, labelled=path)).todo


@pytest.mark.parametrize("size", [1_000_001, 5_000_000])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_line_of_megabytes(tmp_path: Path, form: str, size: int) -> None:
    text = "x" * size
    head = "text,label\nfine,positive\n" if form == "csv" else '{"text": "fine", "label": "positive"}\n'
    line = f"{text},positive\n" if form == "csv" else f'{{"text": "{text}", "label": "positive"}}\n'
    wrong = head.replace("fine", "also").replace("positive", "wrong").removeprefix("text,label\n")
    path = write(tmp_path / f"rows.{form}", head + line + wrong)
    first, second = refused(tmp_path, labelled=path).problems
    number = head.count("\n") + 1
    assert first.where == f"{path}, line {number}"
    assert first.found.startswith("a line of ")
    assert first.expected == "at most 1,000,000 characters"
    assert "raise `max_characters`" in first.todo
    assert second.where == f"{path}, line {number + 1}", "reading goes on behind it"


def test_a_text_that_is_too_long(tmp_path: Path) -> None:
    parquet = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["ab" * 30], "label": ["positive"]}), parquet)
    problem = one(refused(tmp_path, labelled=parquet, max_characters=50))
    assert (problem.where, problem.found) == (f"{parquet}, row 1", "a text of 60 characters")


@pytest.mark.parametrize("line", ['{"text": "a", ', "[1, 2]", "nothing", '"text"'])
def test_malformed_json(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "rows.jsonl", '{"text": "a", "label": "positive"}\n' + line + "\n")
    problem = one(refused(tmp_path, labelled=path))
    assert problem.where.startswith(f"{path}, line 2")
    assert problem.expected == "a JSON object"


def test_a_lone_surrogate(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", '{"text": "a \\ud800", "label": "positive"}\n')
    assert one(refused(tmp_path, labelled=path)).found == "a text with a lone surrogate"


def test_a_text_that_is_a_number(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", '{"text": 7, "label": "positive"}\n')
    assert one(refused(tmp_path, labelled=path)).found == "a value of type int in the column `text`"


def test_a_missing_file(tmp_path: Path) -> None:
    write_csv(tmp_path / "reviews.csv", PAIRS)
    problems = refused(tmp_path, labelled=tmp_path / "review.csv", unlabelled=tmp_path / "nowhere" / "a.csv").problems
    assert problems[0].where == str(tmp_path / "review.csv")
    assert (problems[0].found, problems[0].expected) == ("no such file", "a file")
    assert problems[0].todo == "Did you mean `reviews.csv`?"
    assert problems[1].where == str(tmp_path / "nowhere" / "a.csv")


def test_a_glob_without_a_match(tmp_path: Path) -> None:
    problem = one(refused(tmp_path, labelled=tmp_path / "*.tsv"))
    assert (problem.where, problem.found) == (str(tmp_path / "*.tsv"), "no file that matches")


@pytest.mark.parametrize("name", ["rows.txt", "rows.json", "rows.parquet.gz", "rows"])
def test_an_unknown_format(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "text,label\na,positive\n")
    problem = one(refused(tmp_path, labelled=path))
    assert problem.where == path
    assert problem.found == f"the ending `{Path(name).suffix}`"
    assert "format = one of csv, tsv, jsonl, parquet" in problem.todo


def test_a_format_that_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.txt", "text,label\na,positive\n")
    assert [row.text for row in rows(Table(labelled=path, format="csv"))] == ["a"]


def test_a_plain_folder(tmp_path: Path) -> None:
    assert f'"{tmp_path}/*.csv"' in one(refused(tmp_path, labelled=tmp_path)).todo


def test_an_unknown_place(tmp_path: Path) -> None:
    assert one(refused(tmp_path, labelled="nosuch://a/b.csv")).where == "nosuch://a/b.csv"


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_uneven_rows(tmp_path: Path, form: str) -> None:
    comma = "," if form == "csv" else "\t"
    path = write(tmp_path / f"rows.{form}", f"text{comma}label\none{comma} two{comma}positive\n")
    problem = one(refused(tmp_path, labelled=path))
    assert (problem.where, problem.found) == (f"{path}, line 2", "3 fields")


def test_a_quote_that_never_closes(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", 'text,label\nfine,positive\n"one,positive\ntwo,positive\n' * 2)
    problem = one(refused(tmp_path, labelled=path))
    assert problem.where == f"{path}, line 3"
    assert 'quoting = "no"' in problem.todo


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.parquet"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".gz"):
        many = "text,label\n" + "".join(f"{text},positive\n" for text, _ in pairs(500))
        path.write_bytes(gzip.compress(many.encode())[:2000])
    else:
        pq.write_table(pa.table({"text": ["a"], "label": ["positive"]}), path)
        path.write_bytes(path.read_bytes()[:-20])
    problems = refused(tmp_path, labelled=path).problems
    assert problems[-1].found.startswith("data that can't be read")


def test_a_damaged_folder_of_datasets(tmp_path: Path) -> None:
    folder = Path(examples.write_dataset(tmp_path / "rows", PAIRS))
    (folder / "data-00000-of-00001.arrow").write_bytes(b"no arrow stream")
    assert one(refused(tmp_path, labelled=folder)).expected == "an Arrow stream"
    (folder / "dataset_info.json").write_text("{")
    assert one(refused(tmp_path, labelled=folder)).where == f"{folder}/dataset_info.json"


def test_all_problems_at_once_and_alike_ones_in_short(tmp_path: Path) -> None:
    many = write_csv(tmp_path / "many.csv", [(text, "what") for text, _ in pairs(300)])
    jsonl = write(tmp_path / "rows.jsonl", '{"text": "", "label": "positive"}\nnothing\n')
    wrong = write(tmp_path / "wrong.csv", "texts,label\na,positive\n")
    problems = refused(tmp_path, train=many, dev=jsonl, test=wrong).problems
    assert [problem.where for problem in problems[:5]] == [f"{many}, line {n}" for n in range(2, 7)]
    assert {problem.where for problem in problems[5:8]} == {
        f"{jsonl}, line 1",
        f"{jsonl}, line 2, column 1",
        f"{wrong}, line 1",
    }
    assert problems[8].found == "295 more problems like these"
    assert len(problems) == 9


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"train": "a.csv"}, "`labelled`, or both `dev` and `test`"),
        ({"dev": "a.csv", "test": "b.csv"}, "`train`, `labelled` or `unlabelled`"),
        ({"labelled": "a.csv", "encoding": "utf-16"}, "an encoding in which a line ends with one byte"),
        ({"labelled": "a.csv", "encoding": "nonsense"}, "an encoding that Python knows"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], said: str) -> None:
    found, problems = plugins.check(Table, settings, where="corpus")
    assert found is None
    assert said in problems[0].expected
