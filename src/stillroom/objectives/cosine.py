"""The angle between the student's vector of a text and the teacher's, blind to their lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, final

from stillroom.objectives import Objective, Target
from stillroom.objectives._projection import projection

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


@final
class Cosine(Objective):
    """The angle between the student's vector of a text and the teacher's, blind to their lengths."""

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    formula: ClassVar[str] = (
        "mean over rows of 1 − cos(W h_S, h_T), and its mean over prefixes of both where some are named; W is learned "
        "where the widths differ, else it is left out"
    )
    source: ClassVar[str] = (
        "Sanh et al., DistilBERT, arXiv 1910.01108 (there per token, widths equal); prefixes: Kusupati et al., "
        "Matryoshka, arXiv 2205.13147"
    )
    lowest: ClassVar[str] = "0 where W h_S is a positive multiple of h_T"

    kind: Literal["cosine"] = "cosine"
    prefixes: tuple[int, ...] = ()
    """How many first dimensions are to point the same way by themselves, beside all of them."""

    def learned(self, *, student: Mapping[str, int], teacher: Mapping[str, int]) -> nn.Module | None:
        """W, where the widths differ."""
        wide, wanted = student["embedding"], teacher["embedding"]
        return None if wide == wanted else projection(wide, wanted, name=self.kind)

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the rows that count."""
        import torch
        from torch.nn.functional import cosine_similarity

        own = student["embedding"] if learned is None else learned(student["embedding"])
        told = target.signals["embedding"].to(own.dtype)
        sides = [(own, told), *((own[:, :first], told[:, :first]) for first in self.prefixes)]
        rows = torch.stack([1 - cosine_similarity(*both, dim=-1) for both in sides]).mean(dim=0)
        return rows.masked_fill(~target.mask, 0.0).sum() / target.mask.sum().clamp(min=1)
