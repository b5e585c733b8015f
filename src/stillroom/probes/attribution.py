"""Whether both go by the same words: what each says less where a word is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, final

import numpy as np
from pydantic import Field

from stillroom.core.edits import Edit, applied
from stillroom.intervals import not_measurable
from stillroom.metrics import Floats
from stillroom.probes import SECOND, SIDES, Exhibit, Heard, Sitting, _reasons
from stillroom.probes._reasons import MEASURES, Parted, Reasons, Weighed
from stillroom.table import STUDENT, TEACHER

_NEUTRAL = "_"
_PAIR = (*_reasons.PAIR, "over_ceiling")
_SILENT = "what is put out for this task has no number that a word could move"
_NAMED = "the teacher names labels and does not say how sure it is"


@final
class Attribution(Reasons):
    """Whether student and teacher go by the same words: what each says less of its answer where a word is left out.

    A word weighs what the log-odds of what was named fall by without it (of vectors: 1 − cosine), so both can be black
    boxes. Where both name the same: Spearman's ρ of their words, Jaccard index of the k heaviest, share of these with
    the same sign (Krishna et al. 2202.01602). Beside it chance, with one side's words shuffled, and as ceilings what
    two teachers have in common that differ by their seed (`evaluate.teachers = 2`), and what each side has in common
    with itself where words are replaced instead. Costs at most 2 × `rows` × `pieces` texts, of each teacher.
    """

    title: ClassVar[str] = "Reasons"
    lead: ClassVar[str] = (
        "Whether student and teacher go by the same words, seen by what each says less of its answer without a word."
    )

    kind: Literal["attribution"] = "attribution"
    pieces: int = Field(40, ge=5)
    """Into how many parts a text is cut at most; of a longer one, several neighbouring words are a part."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Agreement, chance and ceiling."""
        ceiling = (f"ceiling.{measure}.{side}" for measure in MEASURES for side in SIDES)
        return (*_PAIR, *_reasons.BESIDE, *ceiling)

    def texts(self, sitting: Sitting) -> Sequence[str]:
        """Each drawn text without each of its parts, and with a sign in its place."""
        if _barred(sitting):
            return []
        return [applied(one.text, [edit]) for one in self._drawn(sitting) for edit in (*_without(one), *_replaced(one))]

    def measure(self, sitting: Sitting, heard: Heard) -> dict[str, Any]:
        """What both have in common, what chance would give, and what each has in common with itself."""
        if reason := _barred(sitting):
            return self.nothing(reason)
        drawn = self._drawn(sitting)
        weighed = _weighed(sitting, heard, drawn)
        within, asked = _reasons.Figures(sitting, weighed, k=self.k), TEACHER in heard.outputs
        found = self.nothing(heard.unasked)
        if asked:
            found |= within.pair(rng=sitting.rng(self.kind, "floor"))
            found["examples"] = _reasons.examples(weighed, k=self.k, show_texts=self.show_texts)
        counts = {"rows": len(weighed.rows), "named_same": int(weighed.same.sum()),
                  "texts": 2 * sum(len(one.parts) for one in drawn)}  # fmt: skip
        return {**found, **counts, "ceiling": within.ceiling(unasked=heard.unasked)}

    def nothing(self, reason: str) -> dict[str, Any]:
        """Every figure, not measurable."""
        unknown = not_measurable(0, reason).as_dict()
        ceiling = {measure: dict.fromkeys(SIDES, unknown) for measure in MEASURES}
        counts = {"rows": 0, "named_same": 0, "k": self.k, "texts": 0}
        beside = {part: dict.fromkeys(MEASURES, unknown) for part in ("floor", "teachers")}
        return {**counts, **dict.fromkeys(_PAIR, unknown), **beside, "ceiling": ceiling, "examples": []}

    @classmethod
    def exhibits(cls, found: Mapping[str, Any]) -> Sequence[Exhibit]:
        """What they have in common between chance and ceiling; then how often it is little."""
        k, same = int(found["k"]), int(found["named_same"])
        told = {"spearman": "rank correlation ρ", "top_k": f"{k} heaviest shared", "sign": "same sign"}
        head = (
            "of their words",
            "rows",
            "student and teacher",
            "by chance",
            "two teachers",
            "teacher and itself",
            "student and itself",
        )
        ranks, *shares = (
            (
                told[name],
                same,
                found[name],
                found["floor"][name],
                found["teachers"][name],
                *(found["ceiling"][name][side] for side in SIDES),
            )
            for name in MEASURES
        )
        none = ("–",) * 4
        note = (
            "A word weighs what the log-odds of the answer fall by without it. By chance: one side’s words shuffled. "
            "Two teachers: they differ by their seed, and no student can be expected to be nearer. "
            "And itself: its words left out beside its words replaced by a sign, as alike as this can tell."
        )
        negative = ("rows with ρ below 0", same, found["negative"], *none)
        other = (
            f"same answer for other reasons: none of {k} shared, or ρ below 0",
            same,
            found["other_reasons"],
            *none,
        )
        median = ("the median ρ", same, found["spearman_median"], *none)
        return [
            Exhibit("Whether the words weigh alike, where both answer the same", head, (ranks, median), unit="signed"),
            Exhibit("The heaviest words, where both answer the same", head, (*shares, negative, other), note=note),
        ]

    def _drawn(self, sitting: Sitting) -> list[Parted]:
        return _reasons.parted(sitting, rows=self.rows, pieces=self.pieces)


def _barred(sitting: Sitting) -> str:
    """Why nothing can be measured, whatever is asked."""
    form = sitting.task.form
    none = form.take(sitting.said[STUDENT], np.zeros(0, dtype=np.int64))
    if form.swayed(none, none, []) is None:
        return _SILENT
    return _NAMED if TEACHER in sitting.named else ""


def _without(row: Parted) -> list[Edit]:
    """Each part left out, with the blank before it, or behind it at the beginning; what it parted stays parted."""
    found, text = [], row.text
    for start, end in row.parts:
        first = len(text[:start].rstrip())
        if first == 0:
            found.append(Edit(0, end + len(text[end:]) - len(text[end:].lstrip()), ""))
            continue
        joins = first == start and text[start - 1].isalnum() and text[end : end + 1].isalnum()
        found.append(Edit(first, end, " " if joins else ""))
    return found


def _replaced(row: Parted) -> list[Edit]:
    """A sign in the place of each part, apart from the letters that it touches."""
    found, text = [], row.text
    for start, end in row.parts:
        before, after = (" " if one.isalnum() else "" for one in (text[:start][-1:], text[end : end + 1]))
        found.append(Edit(start, end, f"{before}{_NEUTRAL}{after}"))
    return found


def _weighed(sitting: Sitting, heard: Heard, drawn: Sequence[Parted]) -> Weighed:
    """What every part weighs to every side that was asked, in the rows that all of them answered in both forms."""
    form, task = sitting.task.form, sitting.task
    sides = [side for side in (*SIDES, SECOND) if side in heard.outputs]
    edits = {one.row: (_without(one), _replaced(one)) for one in drawn}
    answered = [
        one
        for one in drawn
        if all(
            heard.known(side, [applied(one.text, [edit]) for edit in some]).all()
            for side in sides
            for some in edits[one.row]
        )
    ]
    rows = sitting.judged[[one.row for one in answered]]
    said = {side: form.take(sitting.said[side], rows) for side in sides}
    weights, again = (
        {side: weights_of(sitting, heard, side, answered, [edits[one.row][at] for one in answered]) for side in sides}
        for at in (0, 1)
    )
    same = task.same(said[TEACHER], said[STUDENT]) if TEACHER in sides else np.zeros(len(rows), dtype=np.bool_)
    again.pop(SECOND, None)
    teachers = task.same(said[TEACHER], said[SECOND]) if SECOND in sides else None
    found = Weighed(answered, weights, same, {side: task.shown(said[side]) for side in sides}, again, teachers)
    every = (*weights.values(), *again.values())
    return found.take([at for at in range(len(answered)) if all(np.isfinite(one[at]).all() for one in every)])


def weights_of(
    sitting: Sitting, heard: Heard, side: str, rows: Sequence[Parted], edits: Sequence[Sequence[Edit]]
) -> list[Floats]:
    """What one side says less of its answers under each edit of each row, `[rows][edits]`."""
    form, counts = sitting.task.form, [len(one) for one in edits]
    if not counts:
        return []
    texts = [applied(row.text, [edit]) for row, some in zip(rows, edits, strict=True) for edit in some]
    said = form.take(sitting.said[side], np.repeat(sitting.judged[[one.row for one in rows]], counts))
    found = form.swayed(said, heard.of(side, texts), [[edit] for some in edits for edit in some])
    if found is None:
        raise AssertionError("a side that does not say how sure it is was barred before")
    return np.split(found, np.cumsum(counts)[:-1])
