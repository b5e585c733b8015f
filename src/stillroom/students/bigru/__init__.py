"""A recurrent layer from both ends of a text over the teacher's token vectors: it reads the whole order of words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, Self, final

from pydantic import Field

from stillroom.students import Span
from stillroom.students._reading import Reading

if TYPE_CHECKING:
    from stillroom.students._readers import Body, Build


@final
class BiGru(Reading):
    """One recurrent layer from each end of a text over a vector a token; of its states the highest and the mean.

    The vectors start as those of `static` do, and are then trained. It is slower than `cnn`: each token waits for the
    one before it.
    """

    serves_itself: ClassVar[frozenset[str]] = frozenset()

    file: ClassVar[str] = "bigru.safetensors"

    kind: Literal["bigru"] = "bigru"
    units: int = Field(128, ge=1)
    """Of the recurrent layer, in each direction."""
    dimensions: int = Field(128, ge=1)
    dropout: float = Field(0.3, ge=0, lt=1)
    epochs: int = Field(4, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(2e-3, gt=0)

    @classmethod
    def ladder(cls, *, teacher_layers: int) -> tuple[Self, ...]:
        """Few units and many; where there are many classes, more epochs."""
        return cls(units=64), cls(), cls(epochs=12)

    def spans(self) -> Mapping[str, Span]:
        """The learning rate, the units and what is left out in training."""
        units = {"units": Span(max(1, self.units // 2), self.units * 2, log=True, whole=True)}
        return {**super().spans(), **units, "dropout": Span(0.1, 0.6), "token_dropout": Span(0.0, 0.3)}

    def body(self, shape: str) -> Build:
        """The recurrent layer: its highest and mean states over a text, or those at each token."""
        from stillroom.students.bigru import network

        bodies: Mapping[str, Callable[..., Body]] = {"pooled": network.BiGru, "tokens": network.LocalBiGru}
        return partial(bodies[shape], self.units)
