"""One answer to a text as a whole: logits `[texts, outputs]`, or the positions of what is named, `[texts]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import signals
from stillroom.shapes import Reader, Shape

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.core.words import Words
    from stillroom.students import Ids


@final
class _Sheet:
    """A table with a line a text."""

    def __init__(self, texts: int, outputs: int) -> None:
        self.outputs = np.empty((texts, outputs), dtype=np.float32)

    def put(self, rows: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
        """Write the lines."""
        self.outputs[rows] = logits


@final
class Pooled(Shape):
    """One answer to a text as a whole: logits `[texts, outputs]`, or the positions of what is named, `[texts]`."""

    axes: ClassVar[tuple[str, ...]] = ("row", "class")
    head: ClassVar[str] = "AutoModelForSequenceClassification"
    graph_runner: ClassVar[str] = "onnx"

    kind: Literal["pooled"] = "pooled"

    def join(self, parts: Sequence[Any], *, outputs: int) -> NDArray[Any]:
        """One after the other."""
        return np.concatenate(list(parts)) if parts else np.empty((0, outputs), dtype=np.float32)

    def take(self, said: Any, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The lines of these texts."""
        return np.asarray(said[rows])

    def values(self, said: Any) -> NDArray[Any]:
        """They are nothing else."""
        return np.asarray(said)

    def with_values(self, said: Any, values: NDArray[Any]) -> NDArray[Any]:
        """These."""
        return values

    def unfit(self, said: Any, *, texts: int, outputs: int) -> tuple[str, str] | None:
        """Another number of rows or columns."""
        shape = np.asarray(said).shape
        expected = f"[{texts}, {outputs}]: one row an id, one column a label"
        return None if shape == (texts, outputs) else (f"logits of shape {list(shape)}", expected)

    def finite(self, said: Any) -> NDArray[np.bool_]:
        """Lines of numbers."""
        return np.asarray(np.isfinite(said).all(axis=1))

    def gap(self, one: Any, other: Any) -> float:
        """Of any logit."""
        return float(np.abs(one - other).max(initial=0.0))

    def lines(self, said: Any) -> list[dict[str, Any]]:
        """Its logits."""
        return [{"logits": [round(float(one), 6) for one in row]} for row in said]

    def of_lines(self, lines: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """A table of them."""
        return np.array([line["logits"] for line in lines], dtype=np.float32)

    def heard(self, said: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Its logits, or its labels."""
        return said["logits"] if "logits" in said else said["label"]

    def said(self, outputs: Any) -> dict[str, NDArray[Any]]:
        """The logits."""
        return {"logits": outputs}

    def columns(self, said: Mapping[str, NDArray[Any]]) -> dict[str, pa.Array]:
        """A list of so many numbers a text, or a position."""
        import pyarrow as pa

        if "logits" not in said:
            return {"label": pa.array(said["label"], type=pa.int32())}
        half = said["logits"]
        flat = pa.array(half.reshape(-1), type=pa.float16())
        return {"logits": pa.FixedSizeListArray.from_arrays(flat, half.shape[1])}

    def answers(self, shard: pa.Table) -> NDArray[Any]:
        """Logits `[texts, outputs]`, or labels `[texts]`."""
        return signals.answers(shard)

    def keep(self, said: Mapping[str, NDArray[Any]], texts: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """Their lines."""
        return {name: one[texts] for name, one in said.items() if name in signals.ANSWERS}

    def read(self, network: Reader, texts: Sequence[str]) -> tuple[list[Ids], None]:
        """As it encodes them."""
        return network.encode(texts), None

    def sheet(self, texts: int, *, outputs: int, words: Words | None) -> _Sheet:
        """A line a text."""
        return _Sheet(texts, outputs)

    def aligned(self, said: Any, words: Words | None) -> NDArray[Any]:
        """A text as a whole is the same to everybody."""
        return np.asarray(said)

    def spread(self, values: NDArray[Any], words: Words | None) -> NDArray[Any]:
        """The same."""
        return values
