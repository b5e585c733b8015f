"""Texts that went astray, side by side, and no more of them than may be shown."""

from __future__ import annotations

import numpy as np
import pytest

from stillroom import flips
from stillroom.metrics import Answers
from stillroom.table import Table
from tests.conftest import Travelled

GOLD = np.array([0, 0, 1, 1, 0])
#: The student has the first wrong, hardly sure, and the third and fourth, of which the teacher has the third wrong too.
TEACHER = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.05, 0.95], [0.9, 0.1]])
STUDENT = np.array([[0.4, 0.6], [0.9, 0.1], [0.9, 0.1], [0.8, 0.2], [0.6, 0.4]])
TEXTS = ["Ann wrote to ann@example.com", "b", "c", "we paid 300 for a bad room", "e"]


@pytest.fixture
def table() -> Table:
    said = {name: Answers(GOLD, one, TEACHER, labels=("bad", "good")) for name, one in
            (("teacher", TEACHER), ("student", STUDENT))}  # fmt: skip
    return Table(tuple("vwxyz"), ("",) * 5, np.zeros(5, dtype=np.bool_), {}, said, {})


def test_by_hand(table: Table) -> None:
    found = flips.examples(table, TEXTS, show_texts=True)
    assert [one["id"] for one in found] == ["y", "v"]
    assert found[0] == {"id": "y", "text": "we paid xxx for a bad room", "teacher": "good", "teacher_confidence": 0.95,
                        "student": "bad", "student_confidence": 0.8}  # fmt: skip
    assert found[1]["text"] == "xxx wrote to xxx@xxxxxxx.xxx"


def test_texts_are_put_out_unless_somebody_says_so(table: Table) -> None:
    told = [one["text"] for one in flips.examples(table, TEXTS, show_texts=False)]
    assert told == ["xx xxxx xxx xxx x xxx xxxx", "xxx xxxxx xx xxx@xxxxxxx.xxx"]


def test_a_long_text_is_cut(table: Table) -> None:
    (first, _) = flips.examples(table, ["a"] * 3 + ["word " * 100] + ["e"], show_texts=True)
    assert len(first["text"]) == 280
    assert first["text"].endswith("…")


def test_the_report_has_them_and_no_word_of_the_test(travelled: Travelled) -> None:
    page = (travelled.run.folder / "dossier" / "report.html").read_text(encoding="utf-8")
    assert "gets right and the student wrong" in page
