"""A vector of length one for each text, `[texts, dimensions]`: what is alike lies near."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.shapes import Aim
from stillroom.shapes._whole import Whole

if TYPE_CHECKING:
    from stillroom.core.edits import Edit
    from stillroom.core.words import Traced


@final
class Vectors(Whole):
    """A vector of length one for each text, `[texts, dimensions]`: what is alike lies near."""

    axes: ClassVar[tuple[str, ...]] = ("row", "width")
    answer: ClassVar[str] = "embedding"
    answering: ClassVar[frozenset[str]] = frozenset({"embedding"})
    head: ClassVar[str] = "AutoModel"
    graph_runner: ClassVar[str] = "onnx"

    kind: Literal["vectors"] = "vectors"

    def heard(self, said: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Its vectors."""
        return said["embedding"]

    def alike(self, one: Any, other: Any) -> NDArray[np.float64]:
        """Their cosine."""
        return np.asarray(np.einsum("tw,tw->t", one, other), dtype=np.float64)

    def swayed(self, said: Any, changed: Any, edits: Sequence[Sequence[Edit]]) -> NDArray[np.float64]:
        """1 − cosine of the two vectors."""
        return 1.0 - self.alike(said, changed)

    def aim(self, said: Any, read: Traced) -> Aim:
        """The cosine with what was said, which is held fixed: what `swayed` takes from one."""
        return Aim((np.arange(said.shape[1]),), said[0].astype(np.float32))

    def drift(self, one: Any, other: Any) -> float:
        """The largest 1 − cosine."""
        return float(1.0 - self.alike(one, other).min(initial=1.0))

    def named(self, values: NDArray[Any]) -> NDArray[Any]:
        """A vector names nothing but itself."""
        return values
