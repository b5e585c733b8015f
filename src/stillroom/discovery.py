"""Looks for slices that nobody thought of: where a student loses what its teacher has right, by several things at once.

A shallow tree over what is known of each row finds candidates on one half of the rows; the other half, which the tree
has not seen, confirms them or does not. What is confirmed holds for several candidates together (Holm).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom import columns as theirs
from stillroom import intervals
from stillroom.core import seeds
from stillroom.core.errors import missing_extra
from stillroom.metrics import Floats
from stillroom.table import STUDENT, TEACHER, Table

DEPTH = 3
FEWEST_FLIPS = 10
"""Lost rows, in the half that candidates are looked for in, below which there is nothing to look for."""
_FEWEST_ROWS = 20  # of a candidate, in that half


@final
@dataclass(frozen=True)
class Discovered:
    """A candidate: its rule, and how often rows that follow it are lost, in rows that it was not found on."""

    rule: str
    lost: intervals.Interval
    elsewhere: float
    p: float
    confirmed: bool

    def as_dict(self) -> dict[str, Any]:
        """The candidate as a program reads it."""
        lift = self.lost.value / self.elsewhere if self.lost.value is not None and self.elsewhere else None
        return {
            "rule": self.rule,
            "n": self.lost.n,
            "negative_flips": self.lost.as_dict(),
            "elsewhere": intervals.plain(self.elsewhere),
            "lift": intervals.plain(lift),
            "p_holm": intervals.plain(self.p),
            "confirmed": self.confirmed,
        }


def discover(table: Table, *, confidence: float, seed: int) -> dict[str, Any]:
    """The candidates with the most lost rows first, and why there are none where there can't be any.

    A test repeats a text under ids with a number behind them: such rows are in the same half.
    """
    test = table.test
    said = table.said[STUDENT].take(test)
    if said.right is None or said.teacher_right is None:
        return nothing("its answers are neither right nor wrong")
    lost = said.teacher_right & ~said.right
    names, features = _features(table)
    half = _halves([table.ids[row] for row in test.tolist()], seed=seed)
    found, held = np.flatnonzero(half), np.flatnonzero(~half)
    if not names:
        return nothing("nothing is known of the rows by which they differ")
    if lost[found].sum() < FEWEST_FLIPS:
        count = int(lost[found].sum())
        return nothing(intervals.too_few(count, FEWEST_FLIPS, of="lost rows in the half that is searched"))
    rules = list(_rules(features[found], lost[found], names, seed=seed))
    told = _confirmed(rules, features, lost, held, confidence=confidence)
    ranked = sorted(told, key=lambda one: (not one.confirmed, -(one.lost.value or 0.0), one.rule))
    reason = "" if ranked else "the tree found no part of the rows that is lost more often than the rest"
    return {
        "halves": [len(found), len(held)],
        "slices": [one.as_dict() for one in ranked],
        "confirmed": {"value": sum(one.confirmed for one in ranked), "n": len(held)},
        **({"reason": reason} if reason else {}),
    }


def nothing(reason: str) -> dict[str, Any]:
    """The same where nothing can be looked for."""
    return {"slices": [], "confirmed": {"value": None, "n": 0, "reason": reason}, "reason": reason}


def _halves(ids: Sequence[str], *, seed: int) -> NDArray[np.bool_]:
    """Which rows are searched."""
    own = [one.partition("-")[0] for one in ids]
    known = {one: place for place, one in enumerate(dict.fromkeys(own))}
    coins = seeds.generator(seed, "evaluate/discovery").permutation(len(known)) % 2 == 0
    return np.array([coins[known[one]] for one in own], dtype=np.bool_)


def _features(table: Table) -> tuple[list[tuple[str, str | None]], Floats]:
    """What is known of each test row: a name with the value that it stands for (None: it is a number), `[rows, k]`."""
    test, teacher = table.test, table.said[TEACHER].take(table.test)
    numbers: dict[str, Floats] = {name: amounts[test] for name, amounts in table.aspects.items()}
    if (confidence := teacher.confidence) is not None:
        numbers["teacher_confidence"] = np.asarray(confidence, dtype=np.float64)
    words: dict[str, Sequence[str]] = dict(teacher.kinds())
    for name, own in theirs.of_test(table.columns, test.tolist()).items():
        if (known := theirs.amounts(own)) is not None:
            numbers[f"column {name}" if name in numbers else name] = known
        elif not theirs.unfit(own):
            words[name] = own
    names: list[tuple[str, str | None]] = []
    columns: list[Floats] = []
    for name, amounts in numbers.items():
        # Rows that were not measured stand below all others: a rule that is about them says so by its limit.
        column = np.nan_to_num(amounts, nan=min(0.0, np.min(amounts, initial=0.0, where=~np.isnan(amounts))) - 1)
        if len(np.unique(column)) > 1:
            names.append((name, None))
            columns.append(column)
    for name, said in words.items():
        given = sorted(set(said) - {""})
        if len(given) > 1:
            names += [(name, value) for value in given]
            columns += [np.array([one == value for one in said], dtype=np.float64) for value in given]
    return names, np.stack(columns, axis=1) if columns else np.zeros((len(test), 0))


@final
@dataclass(frozen=True)
class _Rule:
    """Limits that hold together: a feature's place, whether it is above, and the limit."""

    limits: tuple[tuple[int, bool, float], ...]
    told: str

    def holds(self, features: Floats) -> NDArray[np.bool_]:
        """For which rows it does."""
        inside = np.ones(len(features), dtype=np.bool_)
        for place, above, limit in self.limits:
            inside &= (features[:, place] > limit) == above
        return inside


def _rules(
    features: Floats, lost: NDArray[np.bool_], names: Sequence[tuple[str, str | None]], *, seed: int
) -> Iterator[_Rule]:
    """The leaves of a tree in which more rows are lost than in all."""
    try:
        from sklearn.tree import DecisionTreeClassifier
    except ImportError as error:
        raise missing_extra("train", package="scikit-learn", needed_by="evaluate") from error
    tree = DecisionTreeClassifier(
        max_depth=DEPTH, min_samples_leaf=_FEWEST_ROWS, random_state=seeds.derive(seed, "evaluate/discovery") % 2**32
    )
    grown = tree.fit(features, lost).tree_

    def below(node: int, limits: tuple[tuple[int, bool, float], ...]) -> Iterator[_Rule]:
        left, right = grown.children_left[node], grown.children_right[node]
        if left != right:
            place, limit = int(grown.feature[node]), float(grown.threshold[node])
            yield from below(left, (*limits, (place, False, limit)))
            yield from below(right, (*limits, (place, True, limit)))
            return
        rule = _Rule(limits, " and ".join(_told(names, features, limits)))
        if limits and lost[rule.holds(features)].mean() > lost.mean():
            yield rule

    yield from below(0, ())


def _told(
    names: Sequence[tuple[str, str | None]], features: Floats, limits: Sequence[tuple[int, bool, float]]
) -> Iterator[str]:
    """Each feature of a rule once, in words: the tightest of its limits, by the values that rows have."""
    for place in dict.fromkeys(place for place, *_ in limits):
        name, value = names[place]
        low = max((limit for at, above, limit in limits if at == place and above), default=None)
        high = min((limit for at, above, limit in limits if at == place and not above), default=None)
        if value is not None:
            yield f"{name} is {value}" if low is not None else f"{name} is not {value}"
            continue
        column = features[:, place]
        least = None if low is None else float(column[column > low].min())
        most = None if high is None else float(column[column <= high].max())
        if least is not None and most is not None:
            yield f"{name} {least:.4g}" if least == most else f"{name} {least:.4g}–{most:.4g}"
        else:
            yield f"{name} ≥ {least:.4g}" if least is not None else f"{name} ≤ {most:.4g}"


def _confirmed(
    rules: Sequence[_Rule],
    features: Floats,
    lost: NDArray[np.bool_],
    held: NDArray[np.int64],
    *,
    confidence: float,
) -> list[Discovered]:
    inside = [rule.holds(features[held]) for rule in rules]
    ps = [intervals.more_often(lost[held], one) for one in inside]
    return [
        Discovered(
            rule.told,
            intervals.clopper_pearson(int(lost[held][one].sum()), int(one.sum()), confidence),
            float(lost[held][~one].mean()) if (~one).any() else 0.0,
            p,
            p <= 1 - confidence,
        )
        for rule, one, p in zip(rules, inside, intervals.holm(ps), strict=True)
    ]
