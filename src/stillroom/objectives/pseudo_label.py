"""The label that the teacher names, as cross-entropy: all that can be learned of one that says no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from stillroom.objectives import Objective, Target

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


@final
class PseudoLabel(Objective):
    """The label that the teacher names first, as cross-entropy at temperature 1; how sure it was is not heard."""

    needs: ClassVar[frozenset[str]] = frozenset({"label"})
    formula: ClassVar[str] = "mean over rows of −log softmax(v)_t, t the label that the teacher names"
    source: ClassVar[str] = "Lee, Pseudo-Label, ICML 2013 workshop (there with the model's own labels)"
    lowest: ClassVar[str] = "0 in the limit of a student that is certain of every label that the teacher names"

    kind: Literal["pseudo_label"] = "pseudo_label"

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the rows that count."""
        from torch.nn.functional import log_softmax

        named = target.signals["label"].unsqueeze(-1)
        rows = -log_softmax(student["logits"], dim=-1).gather(-1, named).squeeze(-1).masked_fill(~target.mask, 0.0)
        return rows.sum() / target.mask.sum().clamp(min=1)
