"""How often people make which mistakes: what was planted comes back, and nothing that is to be judged is counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from stillroom.core.english import Topic
from stillroom.core.errors import InputError
from stillroom.corpora import Row, _habits, _mistakes, share
from stillroom.corpora.corrupted import Corrupted
from stillroom.corpora.table import Table
from stillroom.tasks.proofreading import Proofreading
from tests.corpora.test_corrupted import CLEAN, TASK

RATES: Mapping[Topic, float] = {"spelling": 60.0, "article": 40.0, "capitals": 20.0}
PAIRS = [
    ("We have recieved it .", ["We have received it ."]),
    ("He went to the school .", ["He went to school .", "He went to the school ."]),
]


def written(path: Path, pairs: list[tuple[str, list[str]]]) -> str:
    path.write_text("\n".join(json.dumps({"text": text, "label": some}) for text, some in pairs), encoding="utf-8")
    return str(path)


def corrupted(folder: Path, *, corrections: Table, real: Table | None = None) -> Corrupted:
    rows = "\n".join(json.dumps({"text": f"{one} {number}."}) for number in range(30) for one in CLEAN)
    (folder / "clean.jsonl").write_text(rows, encoding="utf-8")
    clean = Table(labelled=str(folder / "clean.jsonl"), label="")
    return Corrupted(clean=clean, corrections=corrections, real=real)


def test_rates_and_shares_that_were_planted_come_back() -> None:
    """A hundredth of the texts' words is wrong in one kind, and so on; half of the texts are right, others dense."""
    shares = (0.0, 0.0, 0.12, 0.36)
    mistakes = _mistakes.Mistakes(RATES, {}, clean=0.0, shares=shares)
    rng = np.random.default_rng(0)
    found = _habits.measured((mistakes.into(text, rng=rng), [text]) for text in CLEAN * 40)
    wanted = {topic: 1000 * np.mean(shares) * rate / sum(RATES.values()) for topic, rate in RATES.items()}
    words = 40 * sum(len(one.split()) for one in CLEAN)
    for topic, rate in wanted.items():
        error = 1000 * np.sqrt(rate / 1000 * words) / words
        assert found.rates[topic] == pytest.approx(rate, abs=4 * error)
    assert sum(found.rates.get(topic, 0.0) for topic in _mistakes.RATES if topic not in RATES) < 0.1 * sum(
        wanted.values()
    )
    assert np.mean(np.array(found.shares) == 0) == pytest.approx(0.5, abs=0.15)
    assert np.quantile(found.shares, [0.65, 0.95]) == pytest.approx([0.12, 0.36], abs=0.06)


def test_what_is_made_is_what_was_measured(tmp_path: Path) -> None:
    """Real corrections of one kind alone: no other kind is made, and as many texts stay right as there."""
    source = corrupted(
        tmp_path, corrections=Table(labelled=written(tmp_path / "real.jsonl", PAIRS[:1]), test_share=0.01)
    )
    assert source.habits(TASK) == _habits.Habits({"spelling": 250.0}, (0.25,))
    rows = [row for stream in source.streams(TASK) for row in stream.rows if isinstance(row, Row)]
    assert all(row.text != row.label for row in rows)
    found = _habits.measured((row.text, [str(row.label)]) for row in rows)
    assert found.rates["spelling"] == pytest.approx(sum(found.rates.values()), rel=0.05)


def test_each_of_several_corrections_counts_as_a_text() -> None:
    found = _habits.measured(PAIRS[1:])
    assert found.rates == {"article": 100.0}
    assert found.shares == (0.0, 0.2)


def test_what_was_written_anew_is_no_mistake() -> None:
    told = ("It gave much stuff to people .", "It has brought people a great many things .")
    assert _habits.mistakes(*told) == []
    assert _habits.mistakes("It were givn much .", "It was given much .") == ["agreement", "spelling"]


def test_what_is_tested_on_is_not_measured(tmp_path: Path) -> None:
    """Neither the test of the corrections themselves, nor what `real` gives to the test."""
    path = written(
        tmp_path / "real.jsonl", [(f"{number} {text}", some) for number in range(40) for text, some in PAIRS]
    )
    half = Table(labelled=path, test_share=0.49)
    measured = len(corrupted(tmp_path, corrections=half).habits(TASK).shares)
    assert 0.3 < measured / 120 < 0.7
    whole = Table(labelled=path, test_share=0.01)
    assert len(corrupted(tmp_path, corrections=whole, real=half).habits(TASK).shares) == measured
    with pytest.raises(InputError, match=r"corpus\.corrections"):
        corrupted(tmp_path, corrections=Table(test=path)).habits(TASK)


def test_rates_in_a_recipe_stand_beside_those_that_are_measured(tmp_path: Path) -> None:
    table = Table(labelled=written(tmp_path / "real.jsonl", PAIRS[:1]), test_share=0.01)
    source = corrupted(tmp_path, corrections=table).model_copy(update={"rates": {"spelling": 0.0, "capitals": 9.0}})
    rows = [row for stream in source.streams(Proofreading()) for row in stream.rows if isinstance(row, Row)]
    found = _habits.measured((row.text, [str(row.label)]) for row in rows)
    assert set(found.rates) == {"capitals"}


def test_what_is_taken_where_nothing_is_measured_was_measured() -> None:
    """On those of JFLEG's sentences that no bench judges by; whoever changes how it is measured has to look again."""
    folder = Path(__file__).parents[3] / "shared" / "data" / "proofreading" / "jfleg"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    names = ("src", "ref0", "ref1", "ref2", "ref3")
    lines = [(folder / f"dev.{name}.txt").read_text(encoding="utf-8").splitlines() for name in names]
    pairs = [(text, some) for text, *some in zip(*lines, strict=True) if share(text, use="split") >= 0.49]
    found = _habits.measured(pairs)
    assert len(pairs) == 378
    assert {topic: round(rate, 1) for topic, rate in found.rates.items()} == dict(_mistakes.RATES)
    wrong = np.array([one for one in found.shares if one])
    assert round(1 - len(wrong) / len(found.shares), 1) == 0.2
    assert np.quantile(wrong, [1 / 6, 1 / 2, 5 / 6]).round(2).tolist() == [0.09, 0.19, 0.34]
