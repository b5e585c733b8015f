"""The teacher's hidden states, token by token, as squared distance after a learned projection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, final

from stillroom.core import signals
from stillroom.objectives import Objective, Target, Wanted, _layers
from stillroom.objectives._projection import projection

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


@final
class Hidden(Objective):
    """The teacher's hidden states, token by token, as squared distance after a learned projection."""

    needs: ClassVar[frozenset[str]] = frozenset({"hidden"})
    formula: ClassVar[str] = (
        "mean over tokens of (1/d) ‖W h_S − h_T‖², d the teacher's width (normalised: ‖W h_S/‖W h_S‖ − "
        "h_T/‖h_T‖‖²), mean over the matched layers; `emd`: Σ_ml f_ml of it, f the cheapest transport of 1/S of "
        "each layer of the student to 1/L of each of the teacher"
    )
    source: ClassVar[str] = (
        "FitNets, arXiv 1412.6550; TinyBERT, arXiv 1909.10351 (one W for all layers, the input not matched here); "
        "normalised: PKD, arXiv 1908.09355; emd: BERT-EMD, arXiv 2010.06133 (there with learned layer weights)"
    )
    lowest: ClassVar[str] = (
        "0 where every W h_S equals its h_T; `emd`: where every layer has an equal on the other side, in balance, "
        "and above 0 where the student has too few for that"
    )

    kind: Literal["hidden"] = "hidden"
    layers: Literal["even", "last", "emd"] = "even"
    """Layer m of S with layer round(m · L / S) of L; the last alone; or all with all, by optimal transport."""
    normalise: bool = False
    """Compare directions alone."""

    def wants(self, *, student_layers: int, teacher_layers: int) -> Wanted:
        """The layers that are matched, of each side.

        Raises:
            MismatchError: the student shows no layers.
        """
        _layers.refuse_none(self.kind, student_layers)
        own, told = list(range(1, student_layers + 1)), list(range(1, teacher_layers + 1))
        if self.layers != "emd":
            pairs = _pairs(self.layers, student_layers, teacher_layers)
            own, told = [one for one, _ in pairs], [other for _, other in pairs]
        return Wanted(
            student=signals.LOGITS | {signals.of_layer("hidden", one) for one in own},
            teacher=frozenset(signals.of_layer("hidden", one) for one in told),
        )

    def learned(self, *, student: Mapping[str, int], teacher: Mapping[str, int]) -> nn.Module | None:
        """W."""
        own, told = signals.layers(student, "hidden")[-1], signals.layers(teacher, "hidden")[-1]
        return projection(student[own], teacher[told], name=self.kind)

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the tokens that count, and over the matched layers."""
        import torch

        student_layers, teacher_layers = (
            signals.layer(signals.layers(one, "hidden")[-1]) for one in (student, target.signals)
        )
        if not (counts := target.counted).any():
            return student["logits"].sum() * 0.0

        def apart(one: int, other: int) -> Tensor:
            own = student[signals.of_layer("hidden", one)][counts]
            own = own if learned is None else learned(own)
            return self._apart(own, target.signals[signals.of_layer("hidden", other)][counts].to(own.dtype))

        if self.layers != "emd":
            pairs = _pairs(self.layers, student_layers, teacher_layers)
            return torch.stack([apart(one, other) for one, other in pairs]).mean()
        whole = [[apart(one, other) for other in range(1, teacher_layers + 1)] for one in range(1, student_layers + 1)]
        costs = torch.stack([torch.stack(row) for row in whole])
        return (costs * _flow(costs.detach())).sum()

    def _apart(self, own: Float[Tensor, "tokens width"], told: Float[Tensor, "tokens width"]) -> Float[Tensor, ""]:
        from torch.nn.functional import normalize

        if self.normalise:
            return (normalize(own, dim=-1) - normalize(told, dim=-1)).square().sum(dim=-1).mean()
        return (own - told).square().mean()


def _pairs(layers: str, student: int, teacher: int) -> list[tuple[int, int]]:
    return _layers.even(student, teacher) if layers == "even" else _layers.last(student, teacher)


def _flow(costs: Float[Tensor, "student teacher"]) -> Float[Tensor, "student teacher"]:
    """The cheapest way to carry the layers of one side, all of one weight, to those of the other."""
    import numpy as np
    import torch
    from scipy.optimize import linprog

    own, told = costs.shape
    leaves = np.kron(np.eye(own), np.ones(told))
    arrives = np.kron(np.ones(own), np.eye(told))
    shares = np.concatenate([np.full(own, 1 / own), np.full(told, 1 / told)])
    found = linprog(costs.cpu().double().numpy().ravel(), A_eq=np.concatenate([leaves, arrives]), b_eq=shares)
    return torch.from_numpy(found.x.reshape(own, told)).to(costs)
