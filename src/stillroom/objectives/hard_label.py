"""The gold labels, as cross-entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from stillroom.objectives import Objective, Target

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


@final
class HardLabel(Objective):
    """The gold labels, as cross-entropy at temperature 1; rows without gold do not count."""

    needs: ClassVar[frozenset[str]] = frozenset({"gold"})
    formula: ClassVar[str] = "mean over rows with gold y of −log softmax(v)_y"
    source: ClassVar[str] = "maximum likelihood"
    lowest: ClassVar[str] = "0 in the limit of a student that is certain of every gold label"

    kind: Literal["hard_label"] = "hard_label"

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the rows that count."""
        from torch.nn.functional import log_softmax

        counts = target.mask & (target.gold >= 0)
        gold = target.gold.clamp(min=0).unsqueeze(-1)
        rows = -log_softmax(student["logits"], dim=-1).gather(-1, gold).squeeze(-1).masked_fill(~counts, 0.0)
        return rows.sum() / counts.sum().clamp(min=1)
