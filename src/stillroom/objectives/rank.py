"""How the teacher ranks classes in a row, and rows in a class, as Pearson correlation: blind to scale and shift."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from stillroom.objectives import Objective, Target

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


_TINY = 1e-8  # where a side does not vary there is a slope, and where both do not they agree


@final
class Rank(Objective):
    """How the teacher ranks classes in a row, and rows in a class, as Pearson correlation: blind to scale and shift.

    With two classes the first part is flat (two numbers always lie on a line): only the second teaches.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    formula: ClassVar[str] = (
        "τ² · (inter · mean over rows of (1 − ρ(q_i, p_i)) + intra · mean over classes of (1 − ρ(q_·c, p_·c))), ρ "
        "Pearson with 1e-8 added to covariance and both sums of squares"
    )
    source: ClassVar[str] = "Huang et al., DIST, arXiv 2205.10536 (there 1e-8 is added to the product of lengths)"
    lowest: ClassVar[str] = (
        "0 where each row and each column of softmax(v/τ) is a positive linear function of softmax(z/τ)"
    )

    kind: Literal["rank"] = "rank"
    inter: float = Field(1.0, ge=0)
    """The weight of the classes of each row."""
    intra: float = Field(1.0, ge=0)
    """The weight of the rows of each class."""
    temperature: float = Field(1.0, gt=0)
    """τ; the gradient is scaled by τ², so that the weight means the same at every temperature."""
    temperature_end: float | None = Field(None, gt=0)
    """τ at the end of training, reached in a straight line; None: it stays."""

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the rows, and over the classes."""
        from torch.nn.functional import softmax

        p = softmax(target.logits.to(student["logits"].dtype)[target.mask] / self.temperature, dim=-1)
        q = softmax(student["logits"][target.mask] / self.temperature, dim=-1)
        if not len(q):
            return student["logits"].sum() * 0.0
        inter, intra = _apart(p, q), _apart(p.T, q.T)
        return self.temperature**2 * (self.inter * inter + self.intra * intra)


def _apart(p: Float[Tensor, "sets values"], q: Float[Tensor, "sets values"]) -> Float[Tensor, ""]:
    """One minus the Pearson correlation of each set, averaged."""
    p, q = (one - one.mean(dim=-1, keepdim=True) for one in (p, q))
    alike = (p * q).sum(dim=-1) + _TINY
    spread = (p.square().sum(dim=-1) + _TINY) * (q.square().sum(dim=-1) + _TINY)
    return (1 - alike / spread.sqrt()).mean()
