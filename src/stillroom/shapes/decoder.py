"""A text that is written for each text, `[texts]`: what a decoder puts out, a token at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import objects, signals
from stillroom.shapes import Reader, Shape, Sift

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.core.words import Words
    from stillroom.students import Ids, Network, Writes

Texts = NDArray[np.object_]


@final
class _Sheet:
    """A line a text."""

    def __init__(self, texts: int) -> None:
        self.outputs = objects.array([""] * texts)

    def put(self, rows: NDArray[np.int64], logits: Any) -> None:
        """Write the lines."""
        self.outputs[rows] = logits


@final
class Decoder(Shape):
    """A text that is written for each text, `[texts]`.

    A network that writes reads what it is to write behind what it reads: the ids of a text are the source's and then
    those of the target, which is how a fit knows what comes next (`students.Writes`).
    """

    axes: ClassVar[tuple[str, ...]] = ("row",)
    answer: ClassVar[str] = "sequence"
    answering: ClassVar[frozenset[str]] = frozenset({"sequence"})
    writes: ClassVar[bool] = True
    may_write: ClassVar[bool] = True
    head: ClassVar[str] = "AutoModelForSeq2SeqLM"
    graph_runner: ClassVar[str] = "ctranslate2"

    kind: Literal["decoder"] = "decoder"

    def join(self, parts: Sequence[Any], *, outputs: int) -> Texts:
        """One after the other."""
        return np.concatenate(list(parts)) if parts else objects.array([])

    def take(self, said: Any, rows: NDArray[np.int64]) -> Texts:
        """The lines of these texts."""
        return np.asarray(said)[rows]

    def values(self, said: Any) -> NDArray[Any]:
        """They are nothing else."""
        return np.asarray(said)

    def with_values(self, said: Any, values: NDArray[Any]) -> Texts:
        """These."""
        return values

    def unfit(self, said: Any, *, texts: int, outputs: int) -> tuple[str, str] | None:
        """Another number of texts."""
        return None if np.shape(said) == (texts,) else (f"{len(said)} texts", f"{texts} texts: one an id")

    def finite(self, said: Any) -> NDArray[np.bool_]:
        """What is a text at all."""
        return np.array([isinstance(one, str) for one in said], dtype=np.bool_)

    def alike(self, one: Any, other: Any) -> NDArray[np.float64]:
        """All or nothing: whether they write the same."""
        return np.array([a == b for a, b in zip(one, other, strict=True)], dtype=np.float64)

    def gap(self, one: Any, other: Any) -> float:
        """The share of texts that are not the same."""
        return float(1.0 - self.alike(one, other).mean()) if len(one) else 0.0

    def drift(self, one: Any, other: Any) -> float:
        """The share of texts that are not the same."""
        return self.gap(one, other)

    def named(self, values: NDArray[Any]) -> NDArray[Any]:
        """A text names nothing but itself."""
        return values

    def kept(self, said: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """As it is."""
        return dict(said)

    def lines(self, said: Any) -> list[dict[str, Any]]:
        """The text."""
        return [{self.answer: one} for one in said]

    def of_lines(self, lines: Sequence[Mapping[str, Any]]) -> Texts:
        """The texts."""
        found = [line[self.answer] for line in lines]
        if not all(isinstance(one, str) for one in found):
            raise ValueError("a text on each line")
        return objects.array(found)

    def heard(self, said: Mapping[str, NDArray[Any]]) -> Texts:
        """What it wrote."""
        return said[self.answer]

    def chosen(
        self, said: Mapping[str, NDArray[Any]], sift: Sift
    ) -> tuple[Mapping[str, NDArray[Any]], NDArray[np.object_]]:
        """Of several candidates the best that nothing is said against; where all are objected to, the first is told."""
        if signals.CANDIDATES not in said:
            return said, sift(self.heard(said))
        written, candidates = self.heard(said).copy(), said[signals.CANDIDATES]
        objections = objects.array(["…"] * len(written))
        for rank in range(max((len(one) for one in candidates), default=1) or 1):
            own = [one[rank] if rank < len(one) else ("", np.nan) for one in candidates]
            texts = objects.array([text for text, _ in own])
            found = sift(texts, scores=np.array([score for _, score in own], dtype=np.float64))
            better = (objections != "") & (found == "")
            written[better], objections[better] = texts[better], ""
            objections = np.where((objections != "") & (rank == 0), found, objections)
            if not (objections != "").any():
                break
        return {**said, self.answer: written}, objections

    def said(self, outputs: Any) -> dict[str, NDArray[Any]]:
        """What it wrote, by its name."""
        return {self.answer: outputs}

    def columns(self, said: Mapping[str, NDArray[Any]]) -> dict[str, pa.Array]:
        """A text a row."""
        import pyarrow as pa

        return {self.answer: pa.array(said[self.answer].tolist(), type=pa.string())}

    def answers(self, shard: pa.Table) -> Texts:
        """The texts."""
        return objects.array(shard[self.answer].to_pylist())

    def keep(self, said: Mapping[str, NDArray[Any]], texts: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """Their lines."""
        return {name: one[texts] for name, one in said.items() if name in self.answering}

    def read(self, network: Reader, texts: Sequence[str]) -> tuple[list[Ids], None]:
        """As it encodes them."""
        return network.encode(texts), None

    def written(self, said: Any) -> Sequence[str]:
        """All of it."""
        return list(said)

    def taught(self, network: Reader, texts: Sequence[str], said: Any) -> tuple[list[Ids], None, Any]:
        """With what is to be written behind what is read."""
        ids, _ = self.read(network, texts)
        targets = cast("Writes", network).encode_target(said, read=ids)
        return [np.concatenate(both) for both in zip(ids, targets, strict=True)], None, said

    def told(
        self, network: Network, ids: Any, mask: Any, said: Mapping[str, Any] | None = None, *, texts: Sequence[str] = ()
    ) -> Texts:
        """What it writes, whatever stands behind what it reads."""
        return objects.array(cast("Writes", network).generate(ids, mask, texts=texts))

    def sheet(self, texts: int, *, outputs: int, words: Words | None) -> _Sheet:
        """A line a text."""
        return _Sheet(texts)

    def aligned(self, said: Any, words: Words | None) -> NDArray[Any]:
        """A text as a whole is the same to everybody."""
        return np.asarray(said)

    def spread(self, values: NDArray[Any], words: Words | None) -> NDArray[Any]:
        """The same."""
        return values
