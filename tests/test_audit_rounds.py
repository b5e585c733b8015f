"""Questions in rounds: what was heard before stands beside what is heard now, and nobody is asked twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stillroom import audit
from stillroom.core.artifact import Store
from stillroom.core.progress import silent
from stillroom.probes import SECOND
from stillroom.table import STUDENT, TEACHER
from tests.probes import scenes


def length(text: str) -> float:
    return len(text) / 10


def test_what_is_heard_later_stands_behind_what_was_heard_before(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def of_student(bundle: Any, texts: Sequence[str], meter: Any, *, task: Any) -> Any:
        asked.extend(texts)
        return scenes.logits(texts, length)

    monkeypatch.setattr(audit.heard, "of_student", of_student)
    bundle: Any = None
    hearing = audit._Hearing(bundle, unasked="nobody paid", task=scenes.TASK, report=silent)
    lots: list[Any] = [SimpleNamespace(texts={STUDENT: ["a", "bb"]}, answers=None, seconds=None)]
    first = hearing.of(lots)
    lots.append(SimpleNamespace(texts={STUDENT: ["bb", "cccc", "ddddddd"]}, answers=None, seconds=None))
    told = hearing.of(lots)
    texts = ["ddddddd", "a", "cccc", "bb"]
    assert np.array_equal(told.of(STUDENT, texts), scenes.logits(texts, length))
    assert asked == ["a", "bb", "cccc", "ddddddd"]
    assert not first.known(STUDENT, ["cccc"]).any()
    assert TEACHER not in told.outputs


def test_what_is_asked_twice_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two probes may ask the same text, each in a set of its own."""
    told = {1: ["a", "bb"], 2: ["bb", "cccc"], 3: ["ddddddd"]}
    monkeypatch.setattr(audit.heard, "of_student", lambda bundle, texts, meter, *, task: scenes.logits(texts, length))
    monkeypatch.setattr(audit.heard, "told", lambda answers, task: SimpleNamespace(
        texts=told[answers], logits=scenes.logits(told[answers], length)))  # fmt: skip
    bundle: Any = None
    hearing = audit._Hearing(bundle, unasked="", task=scenes.TASK, report=silent)
    found = hearing.of(
        [SimpleNamespace(texts={STUDENT: some}, answers=number, seconds=None) for number, some in told.items()]
    )
    texts = ["cccc", "ddddddd", "a", "bb"]
    for side in (TEACHER, STUDENT):
        assert np.array_equal(found.of(side, texts), scenes.logits(texts, length))


def test_a_second_teacher_is_heard_where_it_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {1: ["a", "bb"], 2: ["bb", "a"], 3: ["cccc"]}
    monkeypatch.setattr(audit.heard, "of_student", lambda bundle, texts, meter, *, task: scenes.logits(texts, length))
    monkeypatch.setattr(audit.heard, "told", lambda answers, task: SimpleNamespace(
        texts=told[answers], logits=scenes.logits(told[answers], length)))  # fmt: skip
    bundle: Any = None
    hearing = audit._Hearing(bundle, unasked="", second=True, task=scenes.TASK, report=silent)
    lots: list[Any] = [SimpleNamespace(texts={STUDENT: ["a", "bb"]}, answers=1, seconds=2),
                       SimpleNamespace(texts={STUDENT: ["cccc"]}, answers=3, seconds=None)]  # fmt: skip
    found = hearing.of(lots)
    assert np.array_equal(found.of(SECOND, ["bb", "a"]), scenes.logits(["bb", "a"], length))
    assert found.known(SECOND, ["a", "cccc"]).tolist() == [True, False]
    assert found.known(TEACHER, ["a", "cccc"]).all()


def test_each_round_asks_what_is_new_and_says_whether_that_was_anything(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def ask(rows: Any) -> Any:
        asked.append([text for part in rows for text in part.texts()])
        return SimpleNamespace(artifact=SimpleNamespace(digest=f"answer {len(asked)}"))

    rounds: list[Mapping[str, Sequence[str]]] = [
        {TEACHER: ["a", "b", "a"], STUDENT: ["a", "b", "a"]},
        {TEACHER: ["b", "c"], STUDENT: ["d"]},
        {TEACHER: [], STUDENT: ["e"]},
        {TEACHER: ["c"], STUDENT: ["e"]},
    ]
    made: list[int] = []
    for again in range(2):
        asked.clear()
        inquiry = audit._Inquiry(Store(tmp_path), settings={}, inputs={}, ask=ask, task=scenes.TASK)
        found = []
        for number, one in enumerate(rounds):

            def choose(number: int = number, one: Mapping[str, Sequence[str]] = one) -> Mapping[str, Sequence[str]]:
                made.append(number)
                return one

            found.append(inquiry.put(choose))
        assert found == [True, True, True, False]
        assert asked == [["a", "b"], ["c"]]
        assert [one.texts[STUDENT] for one in inquiry.lots] == [["a", "b"], ["d"], ["e"], []]
        assert set(inquiry.digests) == {*(f"questions{one}" for one in ("", ".1", ".2", ".3")), "answers", "answers.1"}
        assert made == [0, 1, 2, 3], again
