"""The teacher's distributions on texts that the student writes itself, beside those on texts that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from pydantic import Field

from stillroom.core import plugins
from stillroom.objectives import Objective, Target, Writing

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


@final
class OnPolicy(Objective):
    """The teacher's distributions on texts that the student writes itself, beside those on texts that are there.

    A student that only meets other people's texts never learns how to go on after a mistake of its own. Its teacher is
    no part of training here, so it does not write at each step, but in rounds: after the first fit, which is on texts
    that are there, it writes behind beginnings of them, the teacher scores what it wrote, and it is fitted further from
    where it stood (`stillroom.rehearsal`). In a round each text comes once, a share λ of them with an end of its own.
    No gradient goes through the writing. What rounds cost: within a round the student moves away from the one that
    wrote, so that from the first step on these texts are a little off policy. More rounds of fewer steps cost less.

    The mean is over texts and then over the tokens of each, so that λ means the same however long they are. What the
    student was handed to go on with does not count. In a round this objective counts alone: nobody should learn by
    heart what the student has made up, as others of the mixture would.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits", "token_logprobs"})
    formula: ClassVar[str] = (
        "(1 − λ) · mean over texts y that are there of D(y) + λ · mean over texts y that the student wrote of D(y), "
        "D(y) = mean over tokens of y of D(p(· | y_<t, x) ‖ q(· | y_<t, x)), D `divergence` with τ = 1"
    )
    source: ClassVar[str] = "Agarwal et al., GKD, arXiv 2306.13649 (there the student writes at each step)"
    lowest: ClassVar[str] = "0 where student and teacher say the same of each token"

    kind: Literal["on_policy"] = "on_policy"
    divergence: Literal["forward_kl", "reverse_kl", "jensen_shannon"] = "forward_kl"
    """D: the objective of this name, at a temperature of 1."""
    share: float = Field(0.5, ge=0, le=1)
    """λ: the share of a round's texts whose end the student writes; 0: none, to see what rounds do by themselves."""
    rounds: int = Field(1, ge=1)
    """How often it writes, and is then fitted further for as long as at first."""
    writes: int = Field(32, ge=1)
    """How many tokens it writes behind a beginning, at most."""
    temperature: float = Field(1.0, ge=0)
    """How far what it writes is left to chance; 0: the likeliest token at each step."""

    @property
    def writing(self) -> Writing:
        """So much, so often."""
        return Writing(self.rounds, self.share, self.writes, self.temperature)

    @property
    def heats(self) -> frozenset[float]:
        """None: its temperature is that of writing."""
        return frozenset({1.0})

    def decides(self) -> dict[str, Any]:
        """Its divergence: a fit takes what was written as it comes."""
        return self.model_dump(mode="json", exclude={"share", "rounds", "writes", "temperature"})

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the texts that count."""
        import torch

        divergence: Objective = plugins.build("objectives", {"kind": self.divergence, "temperature": 1.0})
        logits, told = student["logits"], target.logits
        texts = [
            divergence.loss({"logits": logits[row]}, Target({"logits": told[row]}, target.gold[row], target.mask[row]))
            for row in range(len(logits))
        ]
        counted = target.mask.flatten(1).any(dim=1) if target.mask.dim() > 1 else target.mask
        return torch.stack(texts).sum() / counted.sum().clamp(min=1)
