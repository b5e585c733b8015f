"""What every probe promises, held over every member that is found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom.core import plugins
from stillroom.metrics import Metric
from stillroom.probes import SIDES, Heard, Probe, Sitting
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Rows
from stillroom.tasks.classification import Classification

NAMES = plugins.names("probes")
#: What those have to be told that work with nothing else.
FILES = Path(__file__).parents[1] / "probes"
TOLD: Mapping[str, Mapping[str, Any]] = {
    "attack": {"vectors": str(FILES / "vectors.txt")},
    "bbq": {"files": (str(FILES / "bbq.jsonl"),)},
    "behaviour": {"suites": [str(FILES / "suite.jsonl")]},
    "groups": {"columns": ("side", "absent"), "favourable": ("good",)},
    "pairs": {"file": str(FILES / "pairs.csv")},
}
TASK = Classification(labels=("bad", "good"))
#: Why there is no figure, where no number of rows would make one.
UNSETTLED = {
    "it does not say how probable a text is",
    "one teacher; one that is fitted here can be fitted with two seeds: set evaluate.teachers = 2",
    "the corpus has no such column: name it there too",
    "the network of the teacher can't be looked into, or is not all that answers",
}


def built(name: str) -> Probe:
    found: Probe = plugins.build("probes", {"kind": name, **TOLD.get(name, {})})
    return found


def words(number: int) -> str:
    return (
        "She does not find that the seven rooms were clean" if number % 2 else "We all think it was a fine stay"
    ) + (f" on day {number}.")


def sitting(rows: int = 40) -> Sitting:
    """Rows on which both are always right."""
    gold = np.arange(rows) % 2
    said = np.where(np.arange(2) == gold[:, None], 0.0, 3.0).astype(np.float32)
    metric: Metric = plugins.build("metrics", "accuracy")
    about = Rows([words(row) for row in range(rows)], [f"id{row}" for row in range(rows)], [""] * rows,
                 np.zeros(rows, dtype=np.bool_))  # fmt: skip
    gold = said.argmax(axis=1)
    columns = {"side": [("left", "right")[row % 3 == 0] for row in range(rows)]}
    return Sitting(TASK, about, gold, np.arange(rows), {TEACHER: said, STUDENT: said}, metric, frozenset(), columns,
                   confidence=0.95, resamples=200, min_rows=10, seed=0)  # fmt: skip


def heard(texts: list[str], *, unasked: str = "") -> Heard:
    """Both say the same of every text: what its last letters have in common with nothing."""
    told = np.array([[len(text) % 3, 1.0] for text in texts], dtype=np.float32).reshape(-1, 2)
    sides = [side for side in SIDES if side == STUDENT or not unasked]
    places = {text: place for place, text in enumerate(texts)}
    return Heard(TASK, dict.fromkeys(sides, places), dict.fromkeys(sides, told), unasked)


def figures(found: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, part in found.items():
        if isinstance(part, Mapping):
            if "value" in part:
                yield f"{where}{name}", part
            else:
                yield from figures(part, f"{where}{name}.")


@pytest.mark.parametrize("name", NAMES)
class TestEach:
    def test_people_can_read_what_it_is(self, name: str) -> None:
        member = built(name)
        assert type(member).__doc__
        assert member.title
        assert member.lead

    def test_every_path_is_a_figure_whatever_can_be_measured(self, name: str) -> None:
        member, here = built(name), sitting()
        texts = list(dict.fromkeys(member.texts(here)))
        for found in (
            member.measure(here, heard(texts)),
            member.measure(here, heard(texts, unasked="nobody paid")),
            member.measure(here, heard([])),
            member.nothing("no rows"),
        ):
            json.dumps(found, allow_nan=False)
            known = dict(figures(found))
            assert set(member.paths) <= set(known)
            for figure in known.values():
                assert "n" in figure
                assert (figure["value"] is None) == ("reason" in figure)
            assert all(one.head and all(len(row) == len(one.head) for row in one.rows) for one in
                       member.exhibits(found))  # fmt: skip

    def test_where_rows_are_too_few_it_says_how_many_more_there_have_to_be(self, name: str) -> None:
        member, here = built(name), replace(sitting(12), min_rows=1000)
        found = member.measure(here, heard(list(dict.fromkeys(member.texts(here)))))
        reasons = {figure["reason"] for _, figure in figures(found) if figure["value"] is None}
        assert {one for one in reasons if not re.search(r"\d more", one)} <= UNSETTLED
        for one in (one for one in reasons if "needed" in one):
            told = re.search(r"(\d+) .*; (\d+) .*(?:is|are) needed: (\d+) more", one)
            assert told is not None, one
            count, needed, more = map(int, told.groups())
            assert more == needed - count

    def test_what_it_asks_comes_to_an_end(self, name: str) -> None:
        member, here = built(name), sitting()
        asked = list(dict.fromkeys(member.texts(here)))
        for _ in range(20):
            further = member.further(here, heard(asked))
            assert set(further) <= set(SIDES)
            assert member.interactive or not further
            new = [text for texts in further.values() for text in texts if text not in asked]
            asked += dict.fromkeys(new)
            if not new:
                break
        else:
            pytest.fail("it asks for ever")
        known = dict(figures(member.measure(here, heard(asked))))
        assert set(member.paths) <= set(known)

    def test_the_same_every_time(self, name: str) -> None:
        member, here = built(name), sitting()
        texts = member.texts(here)
        assert list(texts) == list(member.texts(sitting()))
        told = heard(list(dict.fromkeys(texts)))
        assert member.measure(here, told) == member.measure(sitting(), told)

    def test_without_a_teacher_its_figures_say_why(self, name: str) -> None:
        member, here = built(name), sitting()
        found = member.measure(here, heard(list(dict.fromkeys(member.texts(here))), unasked="nobody paid"))
        asked = bool(member.texts(here))
        told = [figure.get("reason") for path, figure in figures(found) if asked and path.rpartition(".")[2] == TEACHER]
        assert all(reason == "nobody paid" for reason in told)
