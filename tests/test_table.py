from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from stillroom import comparison
from stillroom import table as tables
from stillroom.core.errors import DiskFull, InputError
from stillroom.core.probabilities import softmax
from stillroom.core.recipe import Evaluate
from stillroom.metrics import Answers
from stillroom.table import Table
from stillroom.tasks.classification import Classification

LABELS = ("no", "yes")
TASK = Classification(labels=LABELS)
IDS = [f"row{number}" for number in range(6)]


def rows(**changes: Any) -> pa.Table:
    columns: dict[str, Any] = {
        "id": IDS,
        "text": ["a secret", "ab", "abc", "ä", "", "abcdef"],
        "label": [0, 1, 0, 1, 0, 1],
        "domain": ["films"] * 4 + ["tweets"] * 2,
        "role": ["test"] * 4 + ["outside"] * 2,
        "column.year": ["1", None, "2", "2", "1", "1"],
    }
    return pa.table({**columns, **changes})


def logits(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(6, 2)).astype(np.float32)


def labels(table: Table, system: str) -> Answers:
    said = table.said[system]
    assert isinstance(said, Answers)
    return said


def lengths(texts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    return {"length": np.array([len(text) for text in texts], dtype=np.float64)}


def found(error: pytest.ExceptionInfo[InputError]) -> str:
    return "\n".join(f"{problem.where}: {problem.found}" for problem in error.value.problems)


def test_joins_by_id_whatever_the_order() -> None:
    said = logits()
    order = [3, 1, 5, 0, 2, 4]
    table = tables.align(
        rows(), {"teacher": (IDS, said), "student": ([IDS[at] for at in order], said[order])}, task=TASK
    )
    assert table.ids == tuple(IDS)
    for system in ("teacher", "student"):
        np.testing.assert_array_equal(labels(table, system).probabilities, softmax(said))


def test_holds_what_the_rows_say() -> None:
    table = tables.align(rows(), {"teacher": (IDS, logits())}, task=TASK, aspects=lengths)
    assert labels(table, "teacher").gold.tolist() == [0, 1, 0, 1, 0, 1]
    assert table.aspects["length"].tolist() == [8, 2, 3, 1, 0, 6]
    assert table.test.tolist() == [0, 1, 2, 3]
    assert table.columns == {"year": ("1", "", "2", "2", "1", "1")}
    assert table.domain == ("films",) * 4 + ("tweets",) * 2


def test_all_problems_are_told_at_once_and_no_text_is() -> None:
    broken = logits()
    broken[2, 0] = np.nan
    answers = {
        "teacher": (IDS[:5], logits()[:5]),
        "student": ([*IDS[:5], IDS[0]], logits()),
        "undistilled": ([*IDS[:5], "stranger"], logits()),
        "baseline": (IDS, broken),
    }
    with pytest.raises(InputError) as error:
        tables.align(rows(label=[0, 2, None, 1, 0, 1]), answers, task=TASK)
    told = found(error)
    assert "rows, label: no known label in 2 rows (row1, row2)" in told
    assert "answers of the teacher: nothing on 1 row (row5)" in told
    assert "answers of the student: 1 id more than once (row0)" in told
    assert "answers of the student: nothing on 1 row (row5)" in told
    assert "answers of the undistilled: answers to 1 row not among them (stranger)" in told
    assert "answers of the baseline: NaN or infinity in 1 row (row2)" in told
    assert "secret" not in str(error.value)


def test_many_ids_are_counted_and_few_are_named() -> None:
    with pytest.raises(InputError) as error:
        tables.align(rows(), {"teacher": ([], np.zeros((0, 2), dtype=np.float32))}, task=TASK)
    assert "nothing on 6 rows (row0, row1, row2, …)" in found(error)


@pytest.mark.parametrize("shape", [(6, 3), (5, 2), (6,)])
def test_logits_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="outputs of shape"):
        tables.align(rows(), {"teacher": (IDS, np.zeros(shape, dtype=np.float32))}, task=TASK)


def test_doubled_rows_are_refused() -> None:
    with pytest.raises(InputError, match="more than once"):
        tables.align(rows(id=["row0", *IDS[:5]]), {"teacher": (IDS[:5], logits()[:5])}, task=TASK)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="also domain, role"):
        tables.align(rows().drop_columns(["domain", "role"]), {}, task=TASK)


def test_without_any_gold_what_the_teacher_named_stands_for_it() -> None:
    none = rows(label=pa.array([None] * 6, pa.int32()))
    table = tables.align(none, {"teacher": (IDS, logits(1)), "student": (IDS, logits(2))}, task=TASK)
    assert not table.has_gold
    assert tables.align(rows(), {"teacher": (IDS, logits(1))}, task=TASK).has_gold
    student = labels(table, "student")
    assert student.gold.tolist() == logits(1).argmax(axis=1).tolist()
    np.testing.assert_array_equal(student.right, student.agrees)
    told = comparison.compare(table, metrics=("accuracy",), settings=Evaluate(resamples=200), seed=1)
    assert told["gold"] == "teacher"
    assert told["verdict"]["sentence"].startswith("No row has gold")


def test_only_test_and_outside_rows_are_taken() -> None:
    with pytest.raises(InputError, match="neither in 1 row"):
        tables.align(rows(role=["train"] + ["test"] * 5), {"teacher": (IDS, logits())}, task=TASK)
    with pytest.raises(InputError, match="no `test` row"):
        tables.align(rows(role=["outside"] * 6), {"teacher": (IDS, logits())}, task=TASK)


def test_a_table_of_unequal_parts_is_refused() -> None:
    with pytest.raises(InputError, match="5 rows"):
        Table(
            ids=tuple(IDS),
            domain=("films",) * 6,
            outside=np.zeros(6, dtype=np.bool_),
            aspects={"length": np.zeros(6)},
            said={"teacher": Answers(np.zeros(5, dtype=np.int64), softmax(logits()[:5]), softmax(logits()[:5]))},
            columns={},
        )


def test_is_written_without_texts_and_the_same_each_time(tmp_path: Path) -> None:
    table = tables.align(rows(), {"teacher": (IDS, logits(1)), "student": (IDS, logits(2))}, task=TASK)
    tables.write_table(table, tmp_path / "a.parquet")
    tables.write_table(table, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    read = pq.read_table(tmp_path / "a.parquet")
    expected = ["id", "gold", "domain", "outside", "column.year"]
    assert read.column_names == [*expected, "probabilities.teacher", "probabilities.student"]
    assert read["gold"].to_pylist() == ["no", "yes", "no", "yes", "no", "yes"]
    np.testing.assert_allclose(read["probabilities.student"].to_pylist(), softmax(logits(2)), rtol=1e-6)
    assert read.schema.metadata[b"labels"] == b'["no", "yes"]'
    assert b"secret" not in (tmp_path / "a.parquet").read_bytes()


def test_a_full_disk_is_told_in_our_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    table = tables.align(rows(), {"teacher": (IDS, logits())}, task=TASK)
    with pytest.raises(DiskFull):
        tables.write_table(table, tmp_path / "a.parquet")


def test_probabilities_of_huge_logits_are_finite() -> None:
    np.testing.assert_allclose(softmax(np.array([[1e4, -1e4]], dtype=np.float32)), [[1.0, 0.0]])
