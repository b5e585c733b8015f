"""Rows in files that can't be read: every kind of broken input gives one clear error."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillroom.core import plugins
from stillroom.corpora.table import Table
from tests.corpora import examples
from tests.corpora.examples import pairs, write_csv
from tests.corpora.tables import PAIRS, one, refused, rows, write


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
