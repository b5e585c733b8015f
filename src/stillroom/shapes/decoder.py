"""A text that is written for each text, `[texts]`: what a decoder puts out, a token at a time.

Beside it, where that is asked for, stands how probable its teacher finds each token of it, and which others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.core import objects, signals
from stillroom.core.probabilities import softmax
from stillroom.objectives import PEER
from stillroom.shapes import Lessons, Reader, Shape, Sift, _lines
from stillroom.shapes._lines import LINES
from stillroom.shapes.causal import Causal

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.core.words import Words
    from stillroom.students import Ids, Network, Writes

Texts = NDArray[np.object_]

_LESSONS = "lessons"


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
    answering: ClassVar[frozenset[str]] = frozenset({"sequence", LINES, _LESSONS})
    on_request: ClassVar[frozenset[str]] = frozenset({LINES})
    has_tail: ClassVar[bool] = True
    writes: ClassVar[bool] = True
    may_write: ClassVar[bool] = True
    head: ClassVar[str] = "AutoModelForSeq2SeqLM"
    graph_runner: ClassVar[str] = "ctranslate2"

    unexplained: ClassVar[str] = (
        "what is written is told token by token, each by those that the same side wrote before it: there is no number "
        "that hangs on the text alone that both read"
    )

    kind: Literal["decoder"] = "decoder"
    likeliest: int = Field(32, ge=1)
    """Of how many of the likeliest tokens is told, where that is asked for."""
    several: int = Field(1, ge=1)
    """From how many of a teacher's candidates is learned, at most."""

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
        """Of a teacher's candidates the best that nothing is said against; of those all objected to, the first is told.

        From `several`, each has its share: the softmax of their scores, which are mean log-probabilities of a token
        (the K best of sequence-level distillation, Kim and Rush, arXiv 1606.07947, 3.2).
        """
        if signals.CANDIDATES not in said:
            return said, sift(self.heard(said))
        candidates = said[signals.CANDIDATES]
        ranks, objections = _unobjected(candidates, sift, most=self.several)
        picks = [some or [0] for some in ranks]
        found = {**said, self.answer: self.heard(said).copy()}
        for row in np.flatnonzero(objections == "").tolist():
            found[self.answer][row] = candidates[row][picks[row][0]][0]
        if self.several > 1:
            found[_LESSONS] = objects.array([_shares(*one) for one in zip(candidates, picks, strict=True)])
        if LINES in said:
            both = zip(said[LINES], picks, strict=True)
            found[LINES] = objects.array([tuple(some[rank] for rank in own) for some, own in both])
        return found, objections

    def said(self, outputs: Any) -> dict[str, NDArray[Any]]:
        """What it wrote, by its name."""
        return {self.answer: outputs}

    def columns(self, said: Mapping[str, NDArray[Any]]) -> dict[str, pa.Array]:
        """A text a row; where more is told, a list a row of what is learned from, and one of its tokens' lines."""
        import pyarrow as pa

        found = {self.answer: pa.array(said[self.answer].tolist(), type=pa.string())}
        if _LESSONS in said:
            kind = pa.list_(pa.struct({"text": pa.string(), "weight": pa.float32()}))
            told = [[{"text": text, "weight": weight} for text, weight in some] for some in said[_LESSONS]]
            found[_LESSONS] = pa.array(told, type=kind)
        if LINES in said:
            # Of what nothing is learned from, only what was said is kept: the first.
            found |= _lines.columns([some if _LESSONS in said else some[:1] for some in said[LINES]])
        return found

    def answers(self, shard: pa.Table) -> Texts:
        """The texts."""
        return objects.array(shard[self.answer].to_pylist())

    def needed(self, needs: frozenset[str]) -> frozenset[str]:
        """Logits are those of the tokens of what is written."""
        return needs | (self.on_request if needs & signals.LOGITS else frozenset())

    def lessons(self, shard: pa.Table, wanted: frozenset[str]) -> Lessons:
        """One of each text, or several with the share of each; and the lines of their tokens."""
        answers, owners, weights = self.answers(shard), np.arange(shard.num_rows), None
        if _LESSONS in shard.column_names:
            told = shard[_LESSONS].to_pylist()
            owners = np.repeat(owners, [len(some) for some in told])
            answers = objects.array([one["text"] for some in told for one in some])
            weights = np.array([one["weight"] for some in told for one in some], dtype=np.float32)
        return Lessons(answers, owners, weights, _lines.read(shard) if LINES in wanted else None)

    def keep(self, said: Mapping[str, NDArray[Any]], texts: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """Their lines."""
        return {name: one[texts] for name, one in said.items() if name in self.answering}

    def read(self, network: Reader, texts: Sequence[str]) -> tuple[list[Ids], None]:
        """As it encodes them."""
        return network.encode(texts), None

    def written(self, said: Any) -> Sequence[str]:
        """All of it."""
        return list(said)

    def taught(
        self,
        network: Reader,
        texts: Sequence[str],
        said: Any,
        *,
        lines: Sequence[NDArray[np.float32]] | None = None,
    ) -> tuple[list[Ids], None, Any]:
        """With what is to be written behind what is read.

        Raises:
            MismatchError: that is in other tokens than those that its teacher spoke of.
        """
        ids, _ = self.read(network, texts)
        targets = cast("Writes", network).encode_target(said, read=ids)
        if lines is not None:
            _lines.refuse_other_tokens(targets, lines)
        return [np.concatenate(both) for both in zip(ids, targets, strict=True)], None, said

    def opposed(
        self, said: Mapping[str, Any], told: Mapping[str, Any], *, wanted: frozenset[str] = signals.LOGITS
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Where its teacher spoke of tokens, both sides over the likeliest of them and one more, all others together.

        They lie beside each other as those of running text do.
        """
        both = dict(said), dict(told)
        if LINES in told:
            heard = {name: one for name, one in told.items() if name in (LINES, PEER)}
            own, its = Causal().opposed({LINES: said[self.answer]}, heard)
            both[0]["logits"] = own["logits"]
            both[1].update({name: its[name] for name in ("logits", PEER) if name in its})
        return both

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


def _unobjected(candidates: Texts, sift: Sift, *, most: int) -> tuple[list[list[int]], NDArray[np.object_]]:
    """The ranks of each text's candidates that nothing is said against, the best of them; and what is of the first."""
    found: list[list[int]] = [[] for _ in candidates]
    objections = objects.array([""] * len(candidates))
    for rank in range(max((len(one) for one in candidates), default=1) or 1):
        own = [one[rank] if rank < len(one) else ("", np.nan) for one in candidates]
        scores = np.array([score for _, score in own], dtype=np.float64)
        why = sift(objects.array([text for text, _ in own]), scores=scores)
        objections = why if rank == 0 else objections
        for row in np.flatnonzero(why == "").tolist():
            if len(found[row]) < most and rank < len(candidates[row]):
                found[row].append(rank)
        if all(len(some) >= min(most, len(one)) for some, one in zip(found, candidates, strict=True)):
            break
    return found, objects.array([objections[row] if not some else "" for row, some in enumerate(found)])


def _shares(candidates: Sequence[tuple[str, float]], picks: Sequence[int]) -> tuple[tuple[str, float], ...]:
    """What is learned from of one text, and how much each counts."""
    if not candidates:
        return ()
    shares = softmax(np.array([[candidates[rank][1] for rank in picks]]))[0]
    return tuple((candidates[rank][0], float(share)) for rank, share in zip(picks, shares, strict=True))
