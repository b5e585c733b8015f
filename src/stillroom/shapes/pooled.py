"""One answer to a text as a whole: logits `[texts, outputs]`, or the positions of what is named, `[texts]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import signals
from stillroom.core.probabilities import log_odds
from stillroom.shapes import Aim
from stillroom.shapes._whole import Whole

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.core.edits import Edit
    from stillroom.core.words import Traced


@final
class Pooled(Whole):
    """One answer to a text as a whole: logits `[texts, outputs]`, or the positions of what is named, `[texts]`."""

    axes: ClassVar[tuple[str, ...]] = ("row", "class")
    head: ClassVar[str] = "AutoModelForSequenceClassification"
    graph_runner: ClassVar[str] = "onnx"

    kind: Literal["pooled"] = "pooled"

    def heard(self, said: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Its logits, or its labels."""
        return said["logits"] if "logits" in said else said["label"]

    def alike(self, one: Any, other: Any) -> NDArray[np.float64]:
        """All or nothing: whether they name the same."""
        return np.asarray(signals.named(one) == signals.named(other), dtype=np.float64)

    def aim(self, said: Any, read: Traced) -> Aim:
        """The logit of the label that it names."""
        return Aim((signals.named(said),), np.ones(1, dtype=np.float32))

    def swayed(self, said: Any, changed: Any, edits: Sequence[Sequence[Edit]]) -> NDArray[np.float64] | None:
        """By what the log-odds of the label fall that it named first; None where labels are all there is."""
        if said.ndim < 2 or changed.ndim < 2:
            return None
        named = signals.named(said)
        return log_odds(said, named) - log_odds(changed, named)

    def columns(self, said: Mapping[str, NDArray[Any]]) -> dict[str, pa.Array]:
        """A list of so many numbers a text, or a position."""
        import pyarrow as pa

        return super().columns(said) if "logits" in said else {"label": pa.array(said["label"], type=pa.int32())}

    def of_texts(self, said: NDArray[Any]) -> NDArray[np.int64]:
        """Its likeliest label, or the one that was named."""
        return signals.named(said)

    def answers(self, shard: pa.Table) -> NDArray[Any]:
        """Logits `[texts, outputs]`, or labels `[texts]`."""
        return signals.answers(shard)
