"""Whether both go by the same words, as seen inside their networks: integrated gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.intervals import clopper_pearson, not_measurable
from stillroom.metrics import Floats
from stillroom.probes import SECOND, SIDES, Exhibit, Heard, Sitting, _reasons
from stillroom.probes._reasons import MEASURES, Parted, Reasons, Weighed
from stillroom.table import STUDENT, TEACHER

if TYPE_CHECKING:
    from torch import Tensor

    from stillroom.students import Ids, Inside

#: Beyond so large a share of what is to be explained, the sum is not it.
_OFF = 0.05
_WHOLE = "what is put out for this task is not one answer to a text as a whole"
_CLOSED = "the network of the {} can't be looked into, or is not all that answers"


@final
class IntegratedGradients(Reasons):
    """Whether student and teacher go by the same words, by integrated gradients where both networks can be looked into.

    A word weighs what its tokens' vectors add to the logit of the label on the straight way from nothing (padding) to
    what they are (Sundararajan et al. 1703.01365), by captum, in Gauss–Legendre steps. Weights have to come to the
    logit less that of nothing: rows in which either side is off by more than 5 % are left out and counted. Compared as
    by `attribution`, with two teachers as the ceiling where `evaluate.teachers` asks for them. It asks nothing; of the
    student its network is seen, not what was exported from it.
    """

    title: ClassVar[str] = "Reasons, seen inside"
    lead: ClassVar[str] = (
        "Whether student and teacher go by the same words, by integrated gradients through both networks."
    )

    kind: Literal["integrated_gradients"] = "integrated_gradients"
    steps: int = Field(50, ge=10)
    """At how many points of the way gradients are taken."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Captum."""
        return ("captum",)

    @property
    def paths(self) -> tuple[str, ...]:
        """Agreement, chance, and of how many rows each side's weights are complete."""
        return (*_reasons.PAIR, *_reasons.BESIDE, *(f"complete.{side}" for side in SIDES))

    def texts(self, sitting: Sitting) -> Sequence[str]:
        """None."""
        return []

    def measure(self, sitting: Sitting, heard: Heard) -> dict[str, Any]:
        """What both have in common, and what chance would give."""
        if heard.unasked:
            return self.nothing(heard.unasked)
        drawn = _reasons.parted(sitting, rows=self.rows, pieces=len(max(sitting.texts, key=len)))
        rows = sitting.judged[[one.row for one in drawn]]
        weights: dict[str, list[Floats]] = {}
        complete: dict[str, NDArray[np.bool_]] = {}
        sides = [side for side in (*SIDES, SECOND) if side in sitting.said]
        for side in sides:
            if (column := sitting.task.form.column(sitting.said[side])) is None:
                return self.nothing(_WHOLE)
            if (network := sitting.look[side]() if side in sitting.look else None) is None:
                return self.nothing(_CLOSED.format(side))
            found = [_weigh(network, one, target=target, steps=self.steps)
                     for one, target in zip(drawn, column[rows].tolist(), strict=True)]  # fmt: skip
            weights[side] = [one for one, _ in found]
            complete[side] = np.array([off <= _OFF for _, off in found], dtype=np.bool_)
        task = sitting.task
        said = {side: task.form.take(sitting.said[side], rows) for side in sides}
        teachers = task.same(said[TEACHER], said[SECOND]) & complete.pop(SECOND) if SECOND in sides else None
        every = Weighed(drawn, weights, task.same(said[TEACHER], said[STUDENT]),
                        {side: task.shown(said[side]) for side in SIDES}, teachers=teachers)  # fmt: skip
        whole = every.take(np.flatnonzero(complete[TEACHER] & complete[STUDENT]).tolist())
        shares = {side: clopper_pearson(int(one.sum()), len(one), sitting.confidence).as_dict()
                  for side, one in complete.items()}  # fmt: skip
        return {
            "rows": len(whole.rows),
            "named_same": int(whole.same.sum()),
            "k": self.k,
            "complete": shares,
            **_reasons.Figures(sitting, whole, k=self.k).pair(rng=sitting.rng(self.kind, "floor")),
            "examples": _reasons.examples(whole, k=self.k, show_texts=self.show_texts),
        }

    def nothing(self, reason: str) -> dict[str, Any]:
        """Every figure, not measurable."""
        unknown = not_measurable(0, reason).as_dict()
        return {"rows": 0, "named_same": 0, "k": self.k, "complete": dict.fromkeys(SIDES, unknown),
                **dict.fromkeys(_reasons.PAIR, unknown),
                **{part: dict.fromkeys(MEASURES, unknown) for part in ("floor", "teachers")},
                "examples": []}  # fmt: skip

    @classmethod
    def exhibits(cls, found: Mapping[str, Any]) -> Sequence[Exhibit]:
        """What they have in common beside chance; how often it is little; how often the weights are whole."""
        k, same, rows = int(found["k"]), int(found["named_same"]), int(found["rows"])
        head = ("of their words", "rows", "student and teacher", "by chance", "two teachers")
        told = {"spearman": "rank correlation ρ", "top_k": f"{k} heaviest shared", "sign": "same sign"}
        rank, *shares = [(told[name], same, found[name], found["floor"][name], found["teachers"][name])
                         for name in MEASURES]  # fmt: skip
        ranks = [rank, ("the median ρ", same, found["spearman_median"], "–", "–")]
        other = f"same answer for other reasons: none of {k} shared, or ρ below 0"
        shares += [("rows with ρ below 0", same, found["negative"], "–", "–"),
                   (other, same, found["other_reasons"], "–", "–")]  # fmt: skip
        note = "Of rows in which the weights of both come to the logit that they explain, to within 5 %."
        complete = [(f"rows in which the {side}’s weights do", rows, found["complete"][side]) for side in SIDES]
        return [
            Exhibit("Whether the words weigh alike, where both answer the same", head, tuple(ranks), unit="signed"),
            Exhibit("The heaviest words, where both answer the same", head, tuple(shares), note=note),
            Exhibit("Whether weights come to the logit", ("of rows", "left", "share"), tuple(complete)),
        ]


def _weigh(network: Inside, row: Parted, *, target: int, steps: int) -> tuple[Floats, float]:
    """What each part weighs, and by which share of what is explained all of them together are off."""
    ids, places = network.read(row.text)
    tokens, rise = along(network, ids, places, target=target, steps=steps)
    there = places[:, 1] > places[:, 0]
    # By its last character: a token may begin with the blank before its word.
    owners = np.searchsorted([start for start, _ in row.parts], places[there, 1] - 1, side="right") - 1
    weights = np.bincount(np.maximum(owners, 0), weights=tokens[there], minlength=len(row.parts))
    return np.asarray(weights, dtype=np.float64), abs(float(tokens.sum()) - rise) / max(abs(rise), 1e-12)


def along(network: Inside, ids: Ids, places: NDArray[np.int32], *, target: int, steps: int) -> tuple[Floats, float]:
    """What each token's vector adds to a logit on the way from nothing, `[tokens]`; and by what the logit rises.

    Tokens without characters (those that were added around a text) are the same at both ends.
    """
    import torch
    from captum.attr import IntegratedGradients as Captum

    row = torch.from_numpy(ids.astype(np.int64))[None]
    mask = torch.ones_like(row, dtype=torch.bool)
    added = torch.from_numpy(places[:, 1] <= places[:, 0])[None]
    put: list[Tensor] = []
    seen: list[Tensor] = []

    def at_inlet(_module: Any, _inputs: Any, output: Tensor) -> Tensor | None:
        seen.append(output.detach())
        return put[-1] if put else None

    def answer(vectors: Tensor) -> Tensor:
        put.append(vectors)
        try:
            return network.answer(row.expand(len(vectors), -1), mask.expand(len(vectors), -1))
        finally:
            put.pop()

    hook = network.inlet.register_forward_hook(at_inlet)
    try:
        with torch.no_grad():
            network.answer(row, mask)
            vectors = seen[-1]
            blank = torch.zeros_like(vectors)
            if network.blank is not None:
                network.answer(torch.where(added, row, network.blank), mask)
                blank = seen[-1]
            nothing = torch.where(added.unsqueeze(-1), vectors, blank)
            rise = float((answer(vectors) - answer(nothing))[0, target])
        vectors.requires_grad_()
        found = Captum(answer).attribute(vectors, baselines=nothing, target=target, n_steps=steps,
                                         method="gausslegendre")  # fmt: skip
    finally:
        hook.remove()
    return found.sum(dim=-1)[0].detach().numpy().astype(np.float64), rise
