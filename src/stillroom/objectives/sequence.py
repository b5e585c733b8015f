"""The teacher's text, token by token: each of its tokens as probable as can be, given those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from stillroom.objectives import Objective, Target

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


@final
class Sequence(Objective):
    """The teacher's text, token by token: each of its tokens as probable as can be, given those before it.

    Of one text for each source it makes a student simpler than gold would, which has many ways to say a thing.
    """

    weighs: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"sequence"})
    formula: ClassVar[str] = (
        "mean over tokens of −(1 − ε) log q(y_t | y_<t, x) − ε mean over the vocabulary of log q(· | y_<t, x), y the "
        "teacher's text; of what can't be written (a logit of −∞) nothing counts"
    )
    source: ClassVar[str] = (
        "Kim and Rush, sequence-level distillation, arXiv 1606.07947; smoothing: Szegedy et al., arXiv 1512.00567"
    )
    lowest: ClassVar[str] = "towards 0 where the student is sure of each token; with smoothing, above"

    kind: Literal["sequence"] = "sequence"
    smoothing: float = Field(0.0, ge=0, lt=1)
    """ε: the share that all tokens have alike."""

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the tokens that count."""
        import torch
        from torch.nn.functional import cross_entropy

        logits, written = student["sequence"][target.mask], target.signals["sequence"][target.mask]
        if not len(logits):
            return student["sequence"].sum() * 0.0
        possible = torch.isfinite(logits)
        if not self.smoothing or bool(possible.all()):
            losses = cross_entropy(logits, written, label_smoothing=self.smoothing, reduction="none")
        else:
            said = logits.log_softmax(dim=-1).masked_fill(~possible, 0.0)
            alike = said.sum(dim=-1) / possible.sum(dim=-1)
            own = said.gather(-1, written[:, None]).squeeze(-1)
            losses = -((1.0 - self.smoothing) * own + self.smoothing * alike)
        return target.mean(losses.new_zeros(target.mask.shape).masked_scatter(target.mask, losses))
