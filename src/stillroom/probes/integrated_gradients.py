"""Whether both go by the same words, as seen inside their networks: integrated gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from pydantic import Field

from stillroom.intervals import clopper_pearson, not_measurable
from stillroom.metrics import Floats
from stillroom.probes import SECOND, SIDES, Exhibit, Heard, Sitting, _reasons
from stillroom.probes._reasons import MEASURES, Parted, Reasons, Weighed
from stillroom.table import STUDENT, TEACHER

if TYPE_CHECKING:
    from torch import Tensor

    from stillroom.core.words import Traced
    from stillroom.shapes import Aim, Outputs, Shape
    from stillroom.students import Inside

#: Beyond so large a share of what is to be explained, the sum is not it.
_OFF = 0.05
#: So many numbers of a network's answers at once: of a language model these are many.
_AT_ONCE = 1 << 24
_CLOSED = "the network of the {} can't be looked into, or is not all that answers"


@final
class IntegratedGradients(Reasons):
    """Whether student and teacher go by the same words, by integrated gradients where both networks can be looked into.

    A word weighs what its tokens' vectors add to what is explained on the straight way from nothing (padding) to what
    they are (Sundararajan et al. 1703.01365), by captum, in Gauss–Legendre steps. Explained is the logit of the label;
    the mean logit of the tags of words that are in spans or to be corrected; the cosine with the vector of the text;
    the log-probability of a text that goes on. Weights have to come to that less what it is of nothing: rows in which
    either side is off by more than 5 % are left out and counted, and so are those without a span. Compared as by
    `attribution`, with two teachers as the ceiling where `evaluate.teachers` asks for them. It asks nothing; of the
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
        task, form = sitting.task, sitting.task.form
        if reason := heard.unasked or form.unexplained:
            return self.nothing(reason)
        drawn = _reasons.parted(sitting, rows=self.rows, pieces=len(max(sitting.texts, key=len)))
        rows = sitting.judged[[one.row for one in drawn]]
        said = {side: form.take(sitting.said[side], rows) for side in (*SIDES, SECOND) if side in sitting.said}
        weights: dict[str, list[Floats]] = {}
        off: dict[str, Floats] = {}
        for side in said:
            if (network := sitting.look[side]() if side in sitting.look else None) is None:
                return self.nothing(_CLOSED.format(side))
            named = task.explained(said[side])
            found = [_weigh(network, one, form=form, said=form.take(named, np.array([at])), steps=self.steps)
                     for at, one in enumerate(drawn)]  # fmt: skip
            weights[side] = [one for one, _ in found]
            off[side] = np.array([one for _, one in found], dtype=np.float64)
        teachers = task.same(said[TEACHER], said[SECOND]) & (off[SECOND] <= _OFF) if SECOND in said else None
        every = Weighed(drawn, weights, task.same(said[TEACHER], said[STUDENT]),
                        {side: task.shown(said[side]) for side in SIDES}, teachers=teachers)  # fmt: skip
        told = np.isfinite(off[TEACHER]) & np.isfinite(off[STUDENT])
        complete = {side: off[side][told] <= _OFF for side in SIDES}
        whole = every.take(np.flatnonzero(told)[complete[TEACHER] & complete[STUDENT]].tolist())
        shares = {side: clopper_pearson(int(one.sum()), len(one), sitting.confidence).as_dict()
                  for side, one in complete.items()}  # fmt: skip
        return {
            "rows": len(whole.rows),
            "silent": int((~told).sum()),
            "named_same": int(whole.same.sum()),
            "k": self.k,
            "complete": shares,
            **_reasons.Figures(sitting, whole, k=self.k).pair(rng=sitting.rng(self.kind, "floor")),
            "examples": _reasons.examples(whole, k=self.k, show_texts=self.show_texts),
        }

    def nothing(self, reason: str) -> dict[str, Any]:
        """Every figure, not measurable."""
        unknown = not_measurable(0, reason).as_dict()
        return {"rows": 0, "silent": 0, "named_same": 0, "k": self.k, "complete": dict.fromkeys(SIDES, unknown),
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
        note = "Of rows in which the weights of both come to what they explain, to within 5 %."
        complete = [(f"rows in which the {side}’s weights do", rows, found["complete"][side]) for side in SIDES]
        complete.append(("rows of which either says nothing that could be explained", int(found["silent"]), "–"))
        return [
            Exhibit("Whether the words weigh alike, where both answer the same", head, tuple(ranks), unit="signed"),
            Exhibit("The heaviest words, where both answer the same", head, tuple(shares), note=note),
            Exhibit("Whether weights come to what they explain", ("of rows", "left", "share"), tuple(complete)),
        ]


def _weigh(network: Inside, row: Parted, *, form: Shape, said: Outputs, steps: int) -> tuple[Floats, float]:
    """What each part weighs, and by which share of what is explained all of them are off together; NaN: nothing is."""
    read = network.read(row.text)
    aim = form.aim(said, read)
    if not len(aim.weights):
        return np.zeros(len(row.parts)), np.nan
    tokens, rise = along(network, read, aim, steps=steps)
    there = read.places[:, 1] > read.places[:, 0]
    # By its last character: a token may begin with the blank before its word.
    owners = np.searchsorted([start for start, _ in row.parts], read.places[there, 1] - 1, side="right") - 1
    weights = np.bincount(np.maximum(owners, 0), weights=tokens[there], minlength=len(row.parts))
    return np.asarray(weights, dtype=np.float64), abs(float(tokens.sum()) - rise) / max(abs(rise), 1e-12)


def along(network: Inside, read: Traced, aim: Aim, *, steps: int) -> tuple[Floats, float]:
    """What each token's vector adds to what is explained on the way from nothing, `[tokens]`; and by what that rises.

    Tokens without characters (those that were added around a text) are the same at both ends.
    """
    import torch
    from captum.attr import IntegratedGradients as Captum

    row = torch.from_numpy(read.ids.astype(np.int64))[None]
    mask = torch.ones_like(row, dtype=torch.bool)
    added = torch.from_numpy(read.places[:, 1] <= read.places[:, 0])[None, :, None]
    at: tuple[Any, ...] = (slice(None), *(torch.from_numpy(one) for one in aim.at))
    weights = torch.from_numpy(aim.weights)
    put: list[Tensor] = []
    seen: list[Tensor] = []

    def at_inlet(_module: Any, _inputs: Any, output: Tensor) -> Tensor | None:
        if put:
            return put[-1]
        seen.append(output.detach())
        return None

    def explained(vectors: Tensor) -> Tensor:
        put.append(vectors)
        try:
            told = network.answer(row.expand(len(vectors), -1), mask.expand(len(vectors), -1))
        finally:
            put.pop()
        return told[at] @ weights

    hook = network.inlet.register_forward_hook(at_inlet)
    try:
        with torch.no_grad():
            numbers = network.answer(row, mask).numel()
            vectors = seen[-1]
            nothing = torch.where(added, vectors, network.blank)
            rise = float(explained(vectors) - explained(nothing))
        vectors.requires_grad_()
        found = Captum(explained).attribute(vectors, baselines=nothing, n_steps=steps, method="gausslegendre",
                                            internal_batch_size=max(1, min(steps, _AT_ONCE // numbers)))  # fmt: skip
    finally:
        hook.remove()
    return found.sum(dim=-1)[0].detach().numpy().astype(np.float64), rise
