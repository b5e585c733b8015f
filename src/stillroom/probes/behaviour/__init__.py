"""Whether each side does what suites of cases expect, capability by capability."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from stillroom import intervals
from stillroom.core.errors import Problem
from stillroom.intervals import Interval, not_measurable, plain
from stillroom.probes import SIDES, Exhibit, Heard, Probe, Shown, Sitting
from stillroom.probes.behaviour.cases import Case, texts
from stillroom.probes.behaviour.suites import Suite, slug
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Task

NEWLY = "newly_failing"
_FIGURES = (TEACHER, STUDENT, NEWLY)
_LISTED, _SHOWN = 50, 10
_PROBLEMS = 20
_CHARACTERS = 200
_FOREIGN = "all of its cases speak of labels that the task does not have"
_UNTOLD = "no case that the answers tell something of"


@final
@dataclass(frozen=True)
class _Answered:
    """How one side did in each case."""

    failing: Sequence[Sequence[int] | None]
    """The numbers of the texts at fault; None where its answers can't tell."""

    @property
    def told(self) -> NDArray[np.bool_]:
        """In which cases it can be told."""
        return np.array([one is not None for one in self.failing], dtype=np.bool_)

    @property
    def fails(self) -> NDArray[np.bool_]:
        """Which cases fail."""
        return np.array([bool(one) for one in self.failing], dtype=np.bool_)


@final
class Behaviour(Probe):
    """Whether each side does what suites of cases expect, capability by capability.

    A case of `minimum` functionality fails where a text gets a wrong label; one of `invariance` where another label is
    named and the first one's probability has moved by more than 0.1; one of `direction` where a probability moves the
    wrong way by more than that (CheckList, Ribeiro et al. 2005.04118). Newly failing is what the teacher passes.
    """

    title: ClassVar[str] = "Behaviour"
    lead: ClassVar[str] = "Whether each side does what suites of cases expect, and what the student no longer does."

    kind: Literal["behaviour"] = "behaviour"
    suites: tuple[Suite, ...] = Field(min_length=1)
    """Files of cases: paths, or tables with `file`, `form` (`"cases"`) and `labels`."""
    cases: int = Field(100, ge=1)
    """How many of each test at most, drawn by chance."""

    @field_validator("suites", mode="before")
    @classmethod
    def _tables(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return tuple({"file": one} if isinstance(one, str) else one for one in value)

    @property
    def paths(self) -> tuple[str, ...]:
        """Of all cases, of each capability and of each of its tests."""
        under = [""]
        for capability, tests in self._tests().items():
            under += [f"by.{capability}.", *(f"by.{capability}.tests.{test}." for test in tests)]
        return tuple(f"{one}{figure}" for one in under for figure in _FIGURES)

    def sources(self) -> dict[str, str]:
        """The files."""
        return {one.file: one.digest for one in self.suites}

    def misfits(self, task: Task, *, where: str) -> list[Problem]:
        """What is wrong with the suites, or that the task has no labels to expect."""
        if reason := _unfit(task):
            return [Problem(where, reason, "a task of labels", "Take it out.")]
        found = [problem for one in self.suites for problem in one.read(task).problems]
        left = len(found) - _PROBLEMS
        more = Problem(self.suites[0].file, f"{left} more problems like these", "none", "Correct these first.")
        return [*found[:_PROBLEMS], *([more] if left > 0 else [])]

    def brings(self, task: Task) -> Sequence[str]:
        """Those of all cases, also of such as are not drawn."""
        return [text for one in self.suites for text in texts(one.read(task).cases)]

    def texts(self, sitting: Sitting) -> Sequence[str]:
        """Those of the cases that are drawn."""
        return [] if _unfit(sitting.task) else texts(self._drawn(sitting)[0])

    def measure(self, sitting: Sitting, heard: Heard) -> dict[str, Any]:
        """How often each fails, by capability and test, and what fails newly."""
        if reason := _unfit(sitting.task):
            return self.nothing(reason)
        cases, left_out = self._drawn(sitting)
        sides = {side: _answered(cases, sitting, heard, side) for side in SIDES if side in heard.outputs}
        places = {
            test: np.array(list(group), dtype=np.int64)
            for test, group in groupby(range(len(cases)), key=lambda place: _test(cases[place].capability,
                                                                                 cases[place].test))
        }  # fmt: skip
        by: dict[str, Any] = {}
        for capability, tests in self._tests().items():
            own = {test: (capability, test) for test in tests}
            by[capability] = {
                "told": next(iter(tests.values()))[0],
                **_found(_all(places, own.values()), sides, sitting, heard,
                         left_out=sum(left_out.get(one, 0) for one in own.values())),
                "tests": {
                    test: {"told": tests[test][1],
                           **_found(_all(places, [one]), sides, sitting, heard, left_out=left_out.get(one, 0))}
                    for test, one in own.items()
                },
            }  # fmt: skip
        tested = [one["mcnemar"] for one in by.values() if one["mcnemar"]]
        for one, adjusted in zip(tested, intervals.benjamini_hochberg([one["p"] for one in tested]), strict=True):
            one["p_bh"] = plain(adjusted)
        every = np.arange(len(cases))
        whole = _found(every, sides, sitting, heard, left_out=sum(left_out.values()))
        return {**whole, "by": by, "listed": _listed(cases, sides)}

    @classmethod
    def exhibits(cls, found: Mapping[str, Any]) -> Sequence[Exhibit]:
        """Each capability, each test, and some of the cases that fail newly."""
        figures = ("cases", *_FIGURES)
        whole: tuple[Shown, ...] = ("all of them", *(found[name] for name in figures), _p(found["mcnemar"], "p"))
        by = found["by"].values()
        capabilities = [(one["told"], *(one[name] for name in figures), _p(one["mcnemar"], "p_bh")) for one in by]
        tests = [(one["told"], test["told"], *(test[name] for name in figures)) for one in by
                 for test in one["tests"].values() if test["cases"]]  # fmt: skip
        head = ("cases", "teacher fails", "student fails", "student fails, teacher does not")
        left = int(found["left_out"])
        note = (
            "Exact intervals (Clopper and Pearson). p: McNemar’s exact test of student against teacher, over "
            "capabilities as Benjamini and Hochberg adjust it. Cases of a test resemble each other: figures speak of "
            "such cases, and not of all that people write."
        )
        note += f" {left} cases speak of labels that the task does not have, and are left out." if left else ""
        shown = [
            Exhibit("cases that fail, by capability", ("capability", *head, "p"), (*capabilities, whole), note=note),
            Exhibit("cases that fail, by test", ("capability", "test", *head), tuple(tests)),
        ]
        if listed := found["listed"]:
            rows = tuple((one["test"], one["case"], " ⟶ ".join(one["texts"])) for one in listed[:_SHOWN])
            caption = f"{len(rows)} of the cases that the student fails and the teacher does not"
            shown.append(Exhibit(caption, ("test", "case", "texts"), rows))
        return shown

    def nothing(self, reason: str) -> dict[str, Any]:
        """Every figure, not measurable."""
        unknown: dict[str, Any] = {"cases": 0, "left_out": 0}
        unknown |= {**dict.fromkeys(_FIGURES, not_measurable(0, reason).as_dict()), "mcnemar": {}}
        by = {
            capability: {
                "told": next(iter(tests.values()))[0], **unknown,
                "tests": {test: {"told": told[1], **unknown} for test, told in tests.items()},
            }
            for capability, tests in self._tests().items()
        }  # fmt: skip
        return {**unknown, "by": by, "listed": []}

    def _tests(self) -> dict[str, dict[str, tuple[str, str]]]:
        """The tests of each capability, as figures and as people call them."""
        found: dict[str, dict[str, tuple[str, str]]] = {}
        for one in self.suites:
            for told in one.read().tests:
                capability, test = _test(*told)
                found.setdefault(capability, {}).setdefault(test, told)
        return found

    def _drawn(self, sitting: Sitting) -> tuple[list[Case], dict[tuple[str, str], int]]:
        """The cases that both are asked about, test by test; and how many of each test are left out."""
        by: dict[tuple[str, str], list[Case]] = {}
        left_out: dict[tuple[str, str], int] = {}
        for suite in self.suites:
            found = suite.read(sitting.task)
            for one in found.cases:
                by.setdefault(_test(one.capability, one.test), []).append(one)
            for told, count in found.left_out.items():
                left_out[_test(*told)] = left_out.get(_test(*told), 0) + count
        drawn = []
        for test, cases in sorted(by.items()):
            rng = sitting.rng(self.kind, *test)
            chosen = rng.choice(len(cases), size=min(self.cases, len(cases)), replace=False)
            drawn += [cases[place] for place in np.sort(chosen).tolist()]
        return drawn, left_out


def _test(capability: str, test: str) -> tuple[str, str]:
    return slug(capability), slug(test)


def _unfit(task: Task) -> str:
    """Why a suite says nothing of a task; "": it does."""
    return "" if task.names else f"{task.kind}, whose answers are no labels: suites say which are right"


def _all(places: Mapping[tuple[str, str], NDArray[np.int64]], tests: Iterable[tuple[str, str]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, dtype=np.int64), *(places[one] for one in tests if one in places)])


def _answered(cases: Sequence[Case], sitting: Sitting, heard: Heard, side: str) -> _Answered:
    named = side in sitting.named
    return _Answered(
        [
            one.expected.failing(sitting.task, heard.of(side, one.texts), named=named)
            if heard.known(side, one.texts).all()
            else None
            for one in cases
        ]
    )


def _found(
    places: NDArray[np.int64], sides: Mapping[str, _Answered], sitting: Sitting, heard: Heard, *, left_out: int
) -> dict[str, Any]:
    """The figures of some of the cases."""
    reason = _FOREIGN if left_out and not len(places) else _UNTOLD
    told = {side: one.told[places] for side, one in sides.items()}
    fails = {side: one.fails[places] for side, one in sides.items()}

    def share(hits: NDArray[np.bool_], of: NDArray[np.bool_]) -> Interval:
        n = int(of.sum())
        found = intervals.clopper_pearson(int((hits & of).sum()), n, sitting.confidence)
        return found if n else not_measurable(0, reason)

    figures = {side: share(fails[side], told[side]) for side in sides}
    mcnemar: dict[str, Any] = {}
    if TEACHER in sides:
        both = told[STUDENT] & told[TEACHER]
        newly, mended = fails[STUDENT] & ~fails[TEACHER], fails[TEACHER] & ~fails[STUDENT]
        figures[NEWLY] = share(newly, both)
        if both.any():
            b, c = int((newly & both).sum()), int((mended & both).sum())
            mcnemar = {"b": b, "c": c, "p": plain(intervals.mcnemar(b, c))}
    unasked = not_measurable(len(places), heard.unasked)
    told_as = {name: figures.get(name, unasked).as_dict() for name in _FIGURES}
    return {"cases": len(places), "left_out": left_out, **told_as, "mcnemar": mcnemar}


def _listed(cases: Sequence[Case], sides: Mapping[str, _Answered]) -> list[dict[str, Any]]:
    """Cases that fail newly, of each test the first ones first."""
    if TEACHER not in sides:
        return []
    newly, ranks, seen = [], {}, dict[tuple[str, str], int]()
    for place, (own, its) in enumerate(zip(sides[STUDENT].failing, sides[TEACHER].failing, strict=True)):
        if own and its is not None and not its:
            test = cases[place].capability, cases[place].test
            seen[test] = ranks[place] = seen.get(test, 0) + 1
            newly.append((place, own[0]))
    newly.sort(key=lambda one: (ranks[one[0]], one[0]))
    return [
        {
            "capability": cases[place].capability,
            "test": cases[place].test,
            "case": cases[place].id,
            "texts": [cases[place].texts[number][:_CHARACTERS] for number in dict.fromkeys((0, fault))],
        }
        for place, fault in newly[:_LISTED]
    ]


def _p(mcnemar: Mapping[str, Any], name: str) -> str:
    return f"{mcnemar[name]:.2g}" if name in mcnemar else "–"
