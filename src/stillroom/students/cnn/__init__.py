"""Convolutions over the teacher's token vectors: short phrases in their order, at nearly the speed of a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, final

import numpy as np
from pydantic import Field, field_validator

from stillroom.runtime.runners.cnn import FILE
from stillroom.runtime.runners.cnn import Cnn as CnnRunner
from stillroom.students import Span
from stillroom.students._reading import Reading

if TYPE_CHECKING:
    from stillroom.students._readers import Body, Build

_SAME = 1e-3  # of a logit: what sums in another order may differ by


@final
class Cnn(Reading):
    """Convolutions of a few window sizes over a vector a token, the highest answer of each, and a linear head.

    After Kim (2014). The vectors start as those of `static` do, and are then trained. What `static` can't see, the
    order of neighbouring words, it does.
    """

    file: ClassVar[str] = FILE

    kind: Literal["cnn"] = "cnn"
    windows: tuple[Annotated[int, Field(ge=1)], ...] = Field((2, 3, 4, 5), min_length=1)
    """How many tokens a convolution sees at a time, one size after the other."""
    channels: int = Field(64, ge=1)
    """Of the convolutions of each window size."""
    dimensions: int = Field(256, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1)
    epochs: int = Field(6, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(2e-3, gt=0)

    @field_validator("windows")
    @classmethod
    def _smallest_first(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("different windows, the smallest first")
        return value

    @classmethod
    def ladder(cls, *, teacher_layers: int) -> tuple[Self, ...]:
        """Few channels and many; where there are many classes, more epochs."""
        return cls(dimensions=128, channels=32), cls(), cls(channels=128, epochs=12)

    def spans(self) -> Mapping[str, Span]:
        """The learning rate, the channels and what is left out in training."""
        channels = {"channels": Span(max(1, self.channels // 2), self.channels * 2, log=True, whole=True)}
        return {**super().spans(), **channels, "dropout": Span(0.2, 0.6), "token_dropout": Span(0.0, 0.3)}

    def body(self, shape: str) -> Build:
        """Convolutions of each window: their highest answers over a text, or those at each token."""
        from stillroom.students.cnn import network

        bodies: Mapping[str, Callable[..., Body]] = {
            "pooled": network.Convolutions,
            "tokens": network.LocalConvolutions,
        }
        return partial(bodies[shape], self.windows, self.channels)

    def runner(self, folder: Path, *, texts: Sequence[str]) -> CnnRunner:
        """Numpy; by chunks where on these texts that gives what reading them whole gives."""
        from stillroom.students import _vocabulary

        quick, plain = (
            CnnRunner(encoder=_vocabulary.ENCODER, windows=self.windows, by_chunks=by_chunks)
            for by_chunks in (True, False)
        )
        found, expected = (one.open(folder)(texts) for one in (quick, plain))
        return quick if np.allclose(found, expected, atol=_SAME) else plain
