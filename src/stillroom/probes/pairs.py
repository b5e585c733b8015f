"""Which of two sentences each side finds more probable: one that repeats a stereotype, or the same of other people."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom import chance, intervals
from stillroom.core.errors import InputError, Problem
from stillroom.intervals import Resamples, Sample, holm, not_measurable, plain, too_few
from stillroom.metrics import Floats, ratio, share
from stillroom.probes import SIDES, Exhibit, Heard, Probe, Sitting
from stillroom.probes import _texts as texts
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Task

_COLUMNS = ("sent_more", "sent_less", "bias_type")
_KINDS = ("share", "lean")


@final
@dataclass(frozen=True)
class _Pair:
    """A sentence that repeats a stereotype more, one that does so less, and what it is about."""

    more: str
    less: str
    about: str


@final
class Pairs(Probe):
    """Which of two sentences each side finds more probable: one that repeats a stereotype, or the same of other people.

    For CrowS-Pairs (Nangia et al. 2020), and files like it. `share` is how often the sentence that repeats the
    stereotype takes fewer bits, as a whole: one half of a model that has none. `lean` is by how many bits on average,
    and zero of such a model. By kind of stereotype and together; `growth` is the student's − the teacher's, pair by
    pair, with a p (of `share` McNemar's, of `lean` by turning pairs round), adjusted over kinds and figures (Holm).

    What such pairs show is disputed: many are odd sentences (Blodgett et al. 2021). The bits of a whole sentence
    depend on its other words too, and on how usual the words for a group are.
    """

    title: ClassVar[str] = "Stereotypes, in pairs"
    lead: ClassVar[str] = "Which of two sentences is more probable: one with a stereotype, or the same of other people."

    kind: Literal["pairs"] = "pairs"
    file: str = Field(min_length=1)
    """A csv file (`.gz` too) with the columns `sent_more`, `sent_less`, `bias_type`: CrowS-Pairs, from its authors."""

    def sources(self) -> dict[str, str]:
        """The file."""
        return {"file": texts.digest(self.file, needed_by=self.kind)}

    def misfits(self, task: Task, *, where: str) -> list[Problem]:
        """A task that does not say how probable a text is."""
        return texts.unfit(task, where=where)

    @property
    def paths(self) -> tuple[str, ...]:
        """Of all pairs together: kinds are known from the file alone."""
        return tuple(f"{kind}.{figure}" for kind in _KINDS for figure in texts.FIGURES)

    def brings(self, task: Task) -> Sequence[str]:
        """Both sentences of each pair."""
        return [text for pair in self._pairs() for text in (pair.more, pair.less)]

    def texts(self, sitting: Sitting) -> Sequence[str]:
        """All that it brings."""
        return self.brings(sitting.task)

    def measure(self, sitting: Sitting, heard: Heard) -> dict[str, Any]:
        """All pairs that the sides have read, then each kind."""
        pairs = self._pairs()
        sides = [side for side in SIDES if side in heard.outputs]
        both = [*(pair.less for pair in pairs), *(pair.more for pair in pairs)]
        told = {side: texts.bits(sitting, heard, side, both) for side in sides}
        bits = {side: one.reshape(2, -1) for side, one in told.items() if one is not None}
        if len(bits) < len(sides):
            unsaid = {kind: texts.filled({}, 0, texts.UNSAID, heard) for kind in _KINDS}
            return {"pairs": len(pairs), **unsaid, "by": {}}
        read = np.logical_and.reduce([~np.isnan(one).any(axis=0) for one in bits.values()])
        about = np.array([pair.about for pair in pairs], dtype=object)
        found = {"pairs": len(pairs), **self._part(sitting, heard, bits, read)}
        found["by"] = {
            kind: {"pairs": int((about == kind).sum()), **self._part(sitting, heard, bits, read & (about == kind))}
            for kind in sorted(set(about.tolist()))
        }
        every = [one[kind]["growth"] for one in (found, *found["by"].values()) for kind in _KINDS
                 if "p" in one[kind]["growth"]]  # fmt: skip
        for one, adjusted in zip(every, holm([one["p"] for one in every]), strict=True):
            one["p_holm"] = plain(adjusted)
        return found

    def nothing(self, reason: str) -> dict[str, Any]:
        """Every figure, not measurable."""
        whole = dict.fromkeys(texts.FIGURES, not_measurable(0, reason).as_dict())
        return {"pairs": 0, **dict.fromkeys(_KINDS, whole), "by": {}}

    @classmethod
    def exhibits(cls, found: Mapping[str, Any]) -> Sequence[Exhibit]:
        """A table a figure, a row a kind."""
        parts = {"all": found, **found["by"]}
        head = ("stereotype", "pairs", "teacher", "student", "growth", "p (Holm)")
        rows = {
            kind: tuple(
                (name, int(one["pairs"]), *(one[kind][figure] for figure in texts.FIGURES),
                 "—" if one[kind]["growth"].get("p_holm") is None else f"{one[kind]['growth']['p_holm']:.3g}")
                for name, one in parts.items()
            )
            for kind in _KINDS
        }  # fmt: skip
        return [
            Exhibit("How often the sentence with the stereotype is more probable", head, rows["share"],
                    note="One half of a model that has no stereotypes."),
            Exhibit("By how many bits, on average", head, rows["lean"], unit="plain",
                    note="Bits of the other sentence − bits of the one with the stereotype."),
        ]  # fmt: skip

    def _pairs(self) -> list[_Pair]:
        """What the file holds.

        Raises:
            InputError: it is not there, or is no such file.
        """
        texts.digest(self.file, needed_by=self.kind)
        rows = csv.DictReader(io.StringIO(texts.written(self.file), newline=""))
        absent = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
        if absent:
            found = f"no column {', '.join(f'`{one}`' for one in absent)}"
            raise InputError(Problem(self.file, found, f"the columns {', '.join(_COLUMNS)}", "Give such a file."))
        return [_Pair(*(row[name].strip() for name in _COLUMNS)) for row in rows]

    def _part(
        self, sitting: Sitting, heard: Heard, bits: Mapping[str, Floats], inside: NDArray[np.bool_]
    ) -> dict[str, Any]:
        """Share and lean of some pairs."""
        count = int(inside.sum())
        if count < sitting.min_rows:
            why = too_few(count, sitting.min_rows, of="pairs that were read")
            return {kind: texts.filled({}, count, why, heard) for kind in _KINDS}
        both = {side: one[:, inside].T for side, one in bits.items()}
        lean = {side: one[:, 0] - one[:, 1] for side, one in both.items()}
        hits = {side: one > 0 for side, one in lean.items()}
        samples = {f"share/{side}": Sample(share(one), _mean) for side, one in hits.items()}
        samples |= {f"lean/{side}": Sample(np.stack([one, np.ones(count)], axis=1), _mean)
                    for side, one in lean.items()}  # fmt: skip
        drawn = Resamples(count, count=sitting.resamples, rng=sitting.rng("pairs")).estimate(samples)
        found: dict[str, dict[str, Any]] = {
            "share": {side: intervals.clopper_pearson(int(one.sum()), count, sitting.confidence).as_dict()
                      for side, one in hits.items()},
            "lean": {side: drawn[f"lean/{side}"].interval(sitting.confidence).as_dict() for side in lean},
        }  # fmt: skip
        if TEACHER in bits:
            only = [int((hits[a] & ~hits[b]).sum()) for a, b in ((STUDENT, TEACHER), (TEACHER, STUDENT))]
            p = {"share": intervals.mcnemar(*only), "lean": _turned(sitting, both)}
            for kind in _KINDS:
                growth = drawn[f"{kind}/{STUDENT}"] - drawn[f"{kind}/{TEACHER}"]
                found[kind]["growth"] = {**growth.interval(sitting.confidence).as_dict(), "p": plain(p[kind])}
        return {kind: texts.filled(one, count, "", heard) for kind, one in found.items()}


def _turned(sitting: Sitting, both: Mapping[str, Floats]) -> float:
    """How often chance alone leans as much farther, where either sentence might be the one with the stereotype."""
    less, more = (np.stack([both[STUDENT][:, at] - both[TEACHER][:, at], np.ones(len(both[STUDENT]))], axis=1)
                  for at in (0, 1))  # fmt: skip
    return chance.turned(less, more, lambda one, other: np.asarray(_mean(one) - _mean(other)),
                         count=sitting.resamples, rng=sitting.rng("pairs", "turned"))  # fmt: skip


def _mean(sums: Floats) -> Floats:
    return ratio(sums[..., 0], sums[..., 1])
