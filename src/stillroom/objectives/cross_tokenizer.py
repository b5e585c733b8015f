"""What a teacher that cuts texts otherwise says, where a token ends for both: of what comes next, and of what came."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from stillroom.objectives import Objective, Target, Wanted

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said

_CERTAIN = -1e-6  # the logarithm of a probability that is as good as one: nothing is left for all else to divide


@final
class CrossTokenizer(Objective):
    """What a teacher that cuts texts otherwise says, where a token ends for both: of what comes next, and of what came.

    By spans, both are compared over the tokens that both have, byte for byte, all others together; and where the bytes
    up to the next such place are not one token for both, by how probable they are in all, on either side a product.
    With the same tokens that is `forward_kl` at a temperature of 1. A token that one of them would have gone on with,
    as a part of a longer one, is not quite the same outcome for both; a span is. By rank, the likeliest of one is laid
    beside the likeliest of the other: it needs no token in common, and does not see which ones are meant. What is
    compared says nothing between two shared places: give `sequence` beside it.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits", "spans"})
    across_tokens: ClassVar[bool] = True
    formula: ClassVar[str] = (
        "mean over shared boundaries of Σ_c p_c (log p_c − log q_c) over common tokens and the rest, + KL between "
        "{P, 1 − P} and {Q, 1 − Q}, P and Q of the span from there to the next, where it is not one token for both; "
        "by rank, of Σ_i |p_(i) − q_(i)| over the likeliest in order, and the rest"
    )
    source: ClassVar[str] = (
        "spans: Minixhofer, Vulić and Ponti, arXiv 2503.20083, and GOLD in TRL; rank: Boizard et al., ULD, arXiv "
        "2402.12030 (there over whole vocabularies, the shorter one padded with zeros)"
    )
    lowest: ClassVar[str] = "0 where q equals p and Q equals P; by rank, where both are as probable in order"

    kind: Literal["cross_tokenizer"] = "cross_tokenizer"
    by: Literal["spans", "rank"] = "spans"
    """What is laid side by side: tokens and spans of the same bytes, or probabilities in their order."""

    def wants(self, *, student_layers: int, teacher_layers: int) -> Wanted:
        """Both of both."""
        return Wanted(student=self.needs, teacher=self.needs)

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the shared boundaries that count."""
        told = target.signals["spans"]
        counts = target.mask & told[..., 0].isfinite()
        own, its = student["spans"][counts], told[counts].to(student["spans"].dtype)
        if not len(own):
            return (student["spans"] * 0.0).sum() + (student["logits"] * 0.0).sum()
        if self.by == "rank":
            return (own[:, 1:].exp() - its[:, 1:].exp()).abs().sum(dim=-1).mean()
        p = target.logits[counts].to(own.dtype).log_softmax(dim=-1)
        q = student["logits"][counts].log_softmax(dim=-1)
        rows = (p.exp() * (p - q)).sum(dim=-1) + _either(its[:, 0], own[:, 0])
        return rows.mean()


def _either(p: Float[Tensor, " rows"], q: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
    """The divergence between two ways to say whether something comes, from the logarithms of its probability."""
    p, q = (one.clamp(max=_CERTAIN) for one in (p, q))
    not_p, not_q = (one.expm1().neg().log() for one in (p, q))
    return p.exp() * (p - q) + not_p.exp() * (not_p - not_q)
