"""How much of its score each side keeps where texts come with slips, odd signs and other words for the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from stillroom.core import languages, plugins
from stillroom.core.artifact import text_id
from stillroom.core.edits import applied
from stillroom.intervals import Estimate, Sample, mean, not_measurable, too_few
from stillroom.metrics import Answered, Floats
from stillroom.perturbations import Perturbation
from stillroom.probes import SIDES, Exhibit, Heard, Probe, Sitting
from stillroom.table import STUDENT, TEACHER

_FIGURES = ("teacher", "student", "relative")


def _standard() -> tuple[Perturbation, ...]:
    return tuple(plugins.free("perturbations"))


@final
@dataclass(frozen=True)
class _Changed:
    """The judged rows that a perturbation changes, as positions among them, with their new texts and gold."""

    rows: NDArray[np.int64]
    texts: list[str]
    gold: list[Any]
    foreign: int = 0
    """How many rows it was not put to, because they are in a language that it does not know."""

    def only(self, known: NDArray[np.bool_]) -> _Changed:
        """Some of them."""
        places = np.flatnonzero(known).tolist()
        return _Changed(self.rows[places], [self.texts[at] for at in places], [self.gold[at] for at in places],
                        self.foreign)  # fmt: skip

    def few(self, count: int, needed: int) -> str:
        """Why that is not measured."""
        why = too_few(count, needed, of="rows that it changes, with gold that stays what it was")
        return f"{why}: it knows English, and {self.foreign:,} rows are not" if self.foreign else why


@final
class _Worst:
    """Of each judged row the statistics of the form in which it went worst, for one side."""

    def __init__(self, sitting: Sitting) -> None:
        self._value = sitting.metric.value
        self._lowest = np.full(len(sitting.judged), math.inf)
        self._table: Floats | None = None

    def add(self, sample: Sample) -> None:
        """One more form of some rows."""
        if self._table is None:
            self._table = np.zeros((len(self._lowest), sample.statistics.shape[1]))
        rows = np.arange(len(self._lowest)) if sample.members is None else sample.members
        # A row that alone has no score is nobody's worst.
        own = np.nan_to_num(self._value(sample.statistics), nan=math.inf)
        worse = own < self._lowest[rows]
        self._table[rows[worse]], self._lowest[rows[worse]] = sample.statistics[worse], own[worse]

    def of(self, rows: NDArray[np.int64]) -> Floats:
        """The worst of these."""
        if self._table is None:
            raise AssertionError("no form of any row was added")
        return self._table[rows]


@final
class Robustness(Probe):
    """How much of its score each side keeps where texts come with slips, odd signs and other words for the same.

    For each perturbation M(perturbed) / M(clean) of the rows that it changes, for teacher and student, and the
    student's share beside the teacher's; then the mean over those perturbations that change enough rows. `worst_case`
    takes of each row the form that went worst, its clean text among them (as HELM does, Liang et al. 2211.09110). Rows
    whose gold a perturbation might change are left out, and so are texts in another language where it knows English
    alone: `not_english` counts them.
    """

    title: ClassVar[str] = "Robustness"
    lead: ClassVar[str] = (
        "How much of its score each side keeps where texts come with slips, odd signs and other words."
    )

    kind: Literal["robustness"] = "robustness"
    perturbations: tuple[Perturbation, ...] = Field(default_factory=_standard)
    """Names (or tables) from the family `perturbations`; else all of them."""

    @field_validator("perturbations", mode="before")
    @classmethod
    def _members(cls, value: Any) -> Any:
        return plugins.built("perturbations", value)

    @property
    def paths(self) -> tuple[str, ...]:
        """Of all perturbations together, and of each row's worst."""
        under = ("worst_case", *(f"by.{one.kind}" for one in self.perturbations))
        return (*_FIGURES, *(f"{one}.{figure}" for one in under for figure in _FIGURES))

    def texts(self, sitting: Sitting) -> Sequence[str]:
        """Each judged text under each perturbation that changes it."""
        english = languages.english(sitting.texts)
        return [text for one in self.perturbations for text in self._changed(sitting, one, english=english).texts]

    def measure(self, sitting: Sitting, heard: Heard) -> dict[str, Any]:
        """Each perturbation, the mean of all, and each row's worst."""
        sides = [side for side in SIDES if side in heard.outputs]
        clean = {side: sitting.answered(side) for side in sides}
        worst = {side: _Worst(sitting) for side in sides}
        known = {side: sitting.sample(clean[side]) for side in sides}
        for side, sample in known.items():
            worst[side].add(sample)
        by: dict[str, Any] = {}
        few: dict[int, str] = {}
        measured: list[dict[str, Estimate]] = []
        english = languages.english(sitting.texts)
        for one in self.perturbations:
            changed = self._changed(sitting, one, english=english)
            changed = changed.only(np.logical_and.reduce([heard.known(side, changed.texts) for side in sides]))
            pairs = {side: self._pair(sitting, heard, side, changed, clean[side]) for side in sides}
            for side, (perturbed, _) in pairs.items():
                worst[side].add(perturbed)
            count = len(pairs[STUDENT][0].statistics)
            if (needed := max(sitting.min_rows, sitting.metric.min_rows)) > count:
                few[count] = changed.few(count, needed)
                figures = not_measured(count, few[count], heard)
            else:
                measured.append(_kept(sitting, pairs))
                figures = _told(measured[-1], sitting, heard)
            by[one.kind] = {"told": one.told, "rows": count, "not_english": changed.foreign, **figures}
        return {
            "metric": sitting.metric.kind,
            "rows": len(sitting.judged),
            **self._mean(measured, sitting, heard, few=few),
            "worst_case": self._worst_case(known, worst, sitting, heard),
            "by": by,
        }

    @classmethod
    def exhibits(cls, found: Mapping[str, Any]) -> Sequence[Exhibit]:
        """A row a perturbation, then the mean and each row's worst."""
        by = [(one["told"], int(one["rows"]), *(one[name] for name in _FIGURES)) for one in found["by"].values()]
        rows = int(found["rows"])
        whole = [("mean of those measured", rows, *(found[name] for name in _FIGURES)),
                 ("each text’s worst form", rows, *(found["worst_case"][name] for name in _FIGURES))]  # fmt: skip
        head = ("what comes with the text", "rows", "teacher keeps", "student keeps", "student beside teacher")
        note = "Shares of the score on the same rows as they were. Beside its teacher: its share ÷ the teacher’s."
        if foreign := max((int(one["not_english"]) for one in found["by"].values()), default=0):
            note += f" {foreign:,} rows are not English: what puts English words into texts was not put to them."
        return [Exhibit(f"{found['metric'] or 'score'} where texts are changed", head, (*by, *whole), note=note)]

    def nothing(self, reason: str) -> dict[str, Any]:
        """Every figure, not measurable."""
        unknown = not_measurable(0, reason).as_dict()
        whole = dict.fromkeys(_FIGURES, unknown)
        by = {one.kind: {"told": one.told, "rows": 0, "not_english": 0, **whole} for one in self.perturbations}
        return {"metric": None, "rows": 0, **whole, "worst_case": whole, "by": by}

    def _changed(self, sitting: Sitting, one: Perturbation, *, english: NDArray[np.bool_]) -> _Changed:
        rows, texts, gold = [], [], []
        for place, row in enumerate(sitting.judged.tolist()):
            if one.is_english and not english[place]:
                continue
            text = sitting.rows.texts[row]
            edits = one.edits(text, rng=sitting.rng(one.kind, text_id(text)))
            moved = sitting.task.moved(sitting.gold[row], edits) if edits else None
            if moved is not None and (new := applied(text, edits)) != text and new.strip():
                rows.append(place)
                texts.append(new)
                gold.append(moved)
        foreign = int((~english).sum()) if one.is_english else 0
        return _Changed(np.array(rows, dtype=np.int64), texts, gold, foreign)

    def _pair(
        self, sitting: Sitting, heard: Heard, side: str, changed: _Changed, clean: Answered
    ) -> tuple[Sample, Sample]:
        """What the metric is made of, of the rows that were changed: as they are now, and as they were."""
        perturbed = sitting.instead(side, changed.rows, heard.of(side, changed.texts), changed.gold)
        return sitting.sample(perturbed, changed.rows), sitting.sample(clean, changed.rows)

    def _mean(
        self, measured: Sequence[Mapping[str, Estimate]], sitting: Sitting, heard: Heard, *, few: Mapping[int, str]
    ) -> dict[str, Any]:
        """The mean share kept under those perturbations that can be measured; `few` tells of the others, by rows."""
        if not measured:
            nearest = f"; of what changes most: {few[max(few)]}" if few else ""
            return not_measured(len(sitting.judged), f"no perturbation changes enough of these rows{nearest}", heard)
        return _told({side: mean([one[side] for one in measured]) for side in measured[0]}, sitting, heard)

    def _worst_case(
        self, known: Mapping[str, Sample], worst: Mapping[str, _Worst], sitting: Sitting, heard: Heard
    ) -> dict[str, Any]:
        """The score of each row's worst form, beside that of its clean text."""
        count = len(known[STUDENT].statistics)
        if not sitting.metric.exact:
            return not_measured(count, f"a row alone has no score by {sitting.metric.kind}", heard)
        if count < sitting.metric.min_rows:
            return not_measured(
                count, too_few(count, sitting.metric.min_rows, of=f"rows for {sitting.metric.kind}"), heard
            )
        every = np.arange(len(sitting.judged))
        pairs = {}
        for side, sample in known.items():
            rows = every if sample.members is None else sample.members
            pairs[side] = (Sample(worst[side].of(rows), sample.value, sample.members), sample)
        return _told(_kept(sitting, pairs), sitting, heard)


def _kept(sitting: Sitting, pairs: Mapping[str, tuple[Sample, Sample]]) -> dict[str, Estimate]:
    """What each side keeps of its score."""
    samples = {f"{side}/{number}": one for side, pair in pairs.items() for number, one in enumerate(pair)}
    found = sitting.drawn().estimate(samples)
    return {side: found[f"{side}/0"] / found[f"{side}/1"] for side in pairs}


def _told(kept: Mapping[str, Estimate], sitting: Sitting, heard: Heard) -> dict[str, Any]:
    """Each side's share, and the student's beside the teacher's."""
    every = dict(kept)
    if TEACHER in kept:
        every["relative"] = kept[STUDENT] / kept[TEACHER]
    found = {name: one.interval(sitting.confidence, within=(0.0, math.inf)).as_dict() for name, one in every.items()}
    return {name: found.get(name) or not_measurable(kept[STUDENT].n, heard.unasked).as_dict() for name in _FIGURES}


def not_measured(rows: int, reason: str, heard: Heard) -> dict[str, Any]:
    """No figure, and why; the teacher's own reason goes before."""
    told = {name: reason if name == STUDENT else heard.unasked or reason for name in _FIGURES}
    return {name: not_measurable(rows, one).as_dict() for name, one in told.items()}
