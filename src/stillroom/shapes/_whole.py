"""One answer to a text as a whole, `[texts, outputs]`: what shapes of such answers share."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

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


class Whole(Shape, ABC):
    """A line of numbers for each text."""

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
        expected = f"[{texts}, {outputs}]: one row an id, one column an output"
        return None if shape == (texts, outputs) else (f"outputs of shape {list(shape)}", expected)

    def finite(self, said: Any) -> NDArray[np.bool_]:
        """Lines of numbers."""
        return np.asarray(np.isfinite(said).all(axis=1))

    def gap(self, one: Any, other: Any) -> float:
        """Of any number."""
        return float(np.abs(one - other).max(initial=0.0))

    def lines(self, said: Any) -> list[dict[str, Any]]:
        """Its numbers."""
        return [{self.answer: [round(float(one), 6) for one in row]} for row in said]

    def of_lines(self, lines: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """A table of them."""
        return np.array([line[self.answer] for line in lines], dtype=np.float32)

    def said(self, outputs: Any) -> dict[str, NDArray[Any]]:
        """The numbers, by their name."""
        return {self.answer: outputs}

    def columns(self, said: Mapping[str, NDArray[Any]]) -> dict[str, pa.Array]:
        """A list of so many numbers a text."""
        import pyarrow as pa

        half = said[self.answer]
        flat = pa.array(half.reshape(-1), type=pa.float16())
        return {self.answer: pa.FixedSizeListArray.from_arrays(flat, half.shape[1])}

    def answers(self, shard: pa.Table) -> NDArray[Any]:
        """Numbers `[texts, outputs]`."""
        return signals.rows(shard, self.answer)

    def keep(self, said: Mapping[str, NDArray[Any]], texts: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """Their lines."""
        return {name: one[texts] for name, one in said.items() if name in self.answering}

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
