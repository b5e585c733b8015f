"""Slices that nobody named: a planted one is found and confirmed, and where there is none nothing is."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillroom import discovery
from stillroom.metrics import Answers
from stillroom.table import Table

LABELS = ("a", "b", "c")


def table(*, rows: int = 1500, seed: int = 0, lost: float = 0.0, everywhere: float = 0.04) -> Table:
    """A student that loses rows here and there, and so many of those that are long and deny something in 2001."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 3, rows)
    teacher = np.eye(3)[np.where(rng.random(rows) < 0.9, gold, (gold + 1) % 3)]
    length, negation = rng.integers(5, 200, rows), rng.integers(0, 3, rows)
    year = rng.integers(2000, 2003, rows)
    planted = (length > 80) & (negation > 0) & (year == 2001)
    forgets = rng.random(rows) < np.where(planted, lost, everywhere)
    student = np.where(forgets[:, None], np.roll(teacher, 1, axis=1), teacher)
    said = {"teacher": teacher, "student": student}
    return Table(
        ids=tuple(f"r{row}" for row in range(rows)),
        domain=("films",) * rows,
        outside=np.zeros(rows, dtype=np.bool_),
        aspects={"length": length.astype(np.float64), "negation": negation.astype(np.float64)},
        said={name: Answers(gold, one, teacher, labels=LABELS) for name, one in said.items()},
        columns={"year": tuple(map(str, year))},
    )


def discover(some: Table, seed: int = 7) -> dict[str, Any]:
    return discovery.discover(some, confidence=0.95, seed=seed)


def test_a_planted_slice_is_found_by_what_it_is_and_confirmed() -> None:
    told = discover(table(lost=0.5))
    first = told["slices"][0]
    assert first["confirmed"]
    assert "year is 2001" in first["rule"]
    assert "negation ≥ 1" in first["rule"]
    assert "length ≥ 8" in first["rule"]
    assert first["lift"] > 4
    assert first["negative_flips"]["low"] > first["elsewhere"]
    assert first["n"] == first["negative_flips"]["n"] < told["halves"][1]


def test_numbers_of_a_column_are_limits_of_a_rule_and_rows_without_one_stand_below() -> None:
    some = table(lost=0.6)
    said = some.said["student"]
    assert isinstance(said, Answers)
    lost = said.teacher_right & ~said.right
    rng = np.random.default_rng(9)
    price = np.where(lost & (rng.random(1500) < 0.9), rng.uniform(80, 99, 1500), rng.uniform(-90, 85, 1500))
    values = tuple("" if row % 4 == 0 else f"{one:.2f}" for row, one in enumerate(price.tolist()))
    told = discover(Table(**{**vars(some), "aspects": {}, "columns": {"price": values, "key": some.ids}}))
    assert told["slices"][0]["rule"].startswith("price ≥ 8")
    assert told["slices"][0]["confirmed"]
    assert not any("key" in one["rule"] for one in told["slices"])
    names, features = discovery._features(Table(**{**vars(some), "columns": {"price": values, "key": some.ids}}))
    assert ("price", None) in names
    column = features[:, names.index(("price", None))]
    assert column[::4].max() < min(float(one) for one in values if one)


def test_where_nothing_is_planted_nothing_is_confirmed_more_often_than_stated() -> None:
    wrong = sum(any(one["confirmed"] for one in discover(table(seed=seed))["slices"]) for seed in range(60))
    assert wrong <= 8  # of 60 at 5 %: more than eight in 3 of 1,000 times


def test_what_the_tree_was_grown_on_confirms_nothing() -> None:
    """The fault that the held half is there for: on its own half, a tree finds slices in noise."""
    some = table(seed=3)
    said = some.said["student"]
    assert isinstance(said, Answers)
    lost = said.teacher_right & ~said.right
    names, features = discovery._features(some)
    rules = list(discovery._rules(features, lost, names, seed=1))
    itself = np.arange(len(lost))
    assert any(one.confirmed for one in discovery._confirmed(rules, features, lost, itself, confidence=0.95))


def test_few_lost_rows_are_not_searched_and_it_says_why() -> None:
    told = discover(table(everywhere=0.0))
    assert told["slices"] == []
    assert told["reason"] == "0 lost rows in the half that is searched; 10 are needed: 10 more"


def test_rows_of_one_text_are_in_one_half() -> None:
    ids = [f"{number}{end}" for number in range(200) for end in ("", "-2", "-3")]
    half = discovery._halves(ids, seed=5).reshape(200, 3)
    assert (half == half[:, :1]).all()
    assert half[:, 0].sum() == 100


def test_the_same_seed_finds_the_same() -> None:
    assert discover(table(lost=0.5)) == discover(table(lost=0.5))


def test_rows_that_were_not_measured_are_told_apart_and_break_nothing() -> None:
    some = table(lost=0.5)
    some.aspects["length"][::3] = np.nan
    assert discover(some)["slices"]
