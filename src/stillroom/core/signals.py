"""What a teacher can say of a text, by name: how each signal is shaped, stored end to end, and laid out for a batch.

    logits         [rows, classes]                  of words, [words, tags]: beside them stand `words` and `counts`
    label          [rows]                           the position of the label that it names
    embedding      [rows, width]                    mean of the last layer over the tokens; the answer itself, where
                                                    that is a vector
    hidden.3       [rows, length, width]            after layer 3; `hidden.0` is what goes into the first layer
    relations.3    [rows, length, 3, width]         queries, keys and values of layer 3, heads side by side
    attention.3    [rows, length, length, heads]    from a token (first) to the tokens that it looks at (second)
    tokens         [rows]                           how many tokens it read
    sequence       [rows]                           the text that it writes; of a student in training its logits,
                                                    [rows, written, vocabulary]. Of a text that goes on, where nothing
                                                    is told of its tokens, `ended` stands beside it
    token_logprobs [tokens, likeliest]              of the next token, as `core.scored` says: beside it stand its ids,
                                                    `words` (here bytes) and `counts`; of a student in training its
                                                    logits, [rows, length, vocabulary]. Beside a `sequence` that was
                                                    asked for it, of the tokens of what is written, its end among them
    spans          [rows, likeliest + 2]            of what was cut otherwise, where a token ends for both and a span
                                                    begins: the logarithm of its probability (0 where it is one token
                                                    for both), those of the likeliest tokens by rank, and of all others;
                                                    NaN in front of a teacher's where no span begins
    exit.3         [rows, classes]                  of a student alone: what its head after layer 3 answers

Who gives logits names a label too: the first of the highest. Who gives only a label gives no logits, and nothing here
makes some of it. Who says how probable the next tokens are gives logits over those, a sequence: the one that came, and
spans.

Beside them stand what is no signal, a row a text: `price`, what its answer cost, where a teacher bills for each; and
`unanswered`, why there is none, "" where there is one; `tally`, a mapping a row, where an answer has parts: how many of
them were of which sort; and `candidates`, where a text is written and its teacher would write several: pairs of a text
and a score, the best first. Where there is no answer, the row of every signal means nothing.

A signal over tokens is kept without padding: the rows of all texts stand end to end, `[Σ tokens^axes, …]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

LOGITS = frozenset({"logits"})
#: What a teacher that chooses among outputs says of every text: one of these.
ANSWERS = frozenset({"logits", "label"})
TOKENS = "tokens"
#: Where answers are about words: the characters of each, `[words, 2]`, and how many words each text has.
WORDS, COUNTS = "words", "counts"
PRICE = "price"
UNANSWERED = "unanswered"
TALLY = "tally"
CANDIDATES = "candidates"
#: Of a text that goes on, written by somebody who says nothing of its tokens: whether it is written to its end.
ENDED = "ended"
#: What stands beside signals and is none.
BESIDE = frozenset({PRICE, UNANSWERED, TALLY, CANDIDATES})
#: Every kind of signal, and how many of its axes run over tokens.
TOKEN_AXES = {"logits": 0, "label": 0, "embedding": 0, "hidden": 1, "relations": 1, "attention": 2, "sequence": 0,
              "token_logprobs": 0, "spans": 0}  # fmt: skip
KINDS = frozenset(TOKEN_AXES)


def answers(shard: pa.Table) -> NDArray[Any]:
    """What was answered to each row of a table of a transfer set: logits `[rows, classes]`, or labels `[rows]`."""
    if "label" in shard.column_names:
        return np.asarray(shard["label"].to_numpy(), dtype=np.int64)
    return rows(shard, "logits")


def rows(shard: pa.Table, name: str) -> NDArray[np.float32]:
    """A column of numbers of a table of a transfer set, `[rows, outputs]`."""
    column = shard[name].combine_chunks()
    flat: NDArray[np.float16] = column.flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float32).reshape(-1, column.type.list_size)


def named(answers: NDArray[Any]) -> NDArray[np.int64]:
    """The label of each answer, whether that is logits or a label already."""
    return np.asarray(answers if answers.ndim == 1 else answers.argmax(axis=1), dtype=np.int64)


def kind(name: str) -> str:
    """The kind of a signal: its name without the layer."""
    return name.partition(".")[0]


def layer(name: str) -> int:
    """The layer of a signal that has one."""
    return int(name.partition(".")[2])


def of_layer(kind_: str, number: int) -> str:
    """The name of a kind of signal at a layer."""
    return f"{kind_}.{number}"


def token_axes(name: str) -> int:
    """How many of a signal's axes run over tokens."""
    return TOKEN_AXES.get(kind(name), 0)


def axes(name: str) -> list[str]:
    """The names of the axes of a signal that is no answer, as the manifest of a transfer set states them."""
    return {
        "embedding": ["row", "width"],
        "sequence": ["row"],
        "spans": ["row", "likeliest"],
        "token_logprobs": ["token", "likeliest"],
        "hidden": ["token", "width"],
        "relations": ["token", "part", "width"],
        "attention": ["token pair", "head"],
    }[kind(name)]


def implied(kinds: frozenset[str]) -> frozenset[str]:
    """These kinds, and what follows from them."""
    if "token_logprobs" in kinds:
        return kinds | {"logits", "sequence", "spans"}
    return kinds | {"label"} if "logits" in kinds else kinds


def over_tokens(names: frozenset[str]) -> bool:
    """Whether any of these signals speaks of single tokens, so that student and teacher have to read the same ones."""
    return any(token_axes(name) for name in names)


def speak_of_tokens(names: frozenset[str]) -> bool:
    """Whether any of these is about single tokens, kept as it may be."""
    return over_tokens(names) or "token_logprobs" in names


def layers(said: Mapping[str, Any], kind_: str) -> list[str]:
    """The names of one kind in what was said, lowest layer first."""
    return sorted((name for name in said if kind(name) == kind_), key=layer)


@final
@dataclass(frozen=True)
class Place:
    """Where one shard keeps its tensors, and how many tokens each of its rows has."""

    file: Path
    tokens: NDArray[np.int64]

    @cached_property
    def starts(self) -> Mapping[int, NDArray[np.int64]]:
        """By a signal's token axes: where each row begins in the file, and where the last one ends."""
        return {axes: np.concatenate([[0], np.cumsum(self.tokens**axes)]) for axes in (0, 1, 2)}


class Batched(Protocol):
    """One signal of many rows, a batch at a time."""

    @property
    def width(self) -> int:
        """The size of its last axis; 0 where there are no rows."""

    def batch(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """These rows, padded with zeros to the longest of them."""


@final
class InMemory:
    """A signal of which each row has a table of its own, `[tokens, width]`."""

    def __init__(self, tables: Sequence[NDArray[np.float32]]) -> None:
        self._tables = tables

    @property
    def width(self) -> int:
        """The size of a line."""
        return int(self._tables[0].shape[1]) if self._tables else 0

    def batch(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """These rows, padded with zeros to the longest of them."""
        some = [self._tables[row] for row in rows.tolist()]
        found = np.zeros((len(some), max(len(one) for one in some), self.width), dtype=np.float32)
        for place, one in enumerate(some):
            found[place, : len(one)] = one
        return found


@final
class Recorded:
    """One signal of many rows, read from the shards' files when a batch asks for it: memory does not grow with rows."""

    def __init__(self, name: str, places: Sequence[Place]) -> None:
        self.name = name
        self._axes = token_axes(name)
        self._places = list(places)
        counts = [len(place.tokens) for place in places]
        self._firsts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.tokens = np.concatenate([place.tokens for place in places]) if places else np.zeros(0, np.int64)

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @property
    def width(self) -> int:
        """The size of its last axis; 0 where there are no rows."""
        return int(self._slice(self._places[0]).get_shape()[-1]) if self._places else 0

    def batch(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """These rows, padded with zeros to the longest of them."""
        found = [self._row(int(row)) for row in rows]
        if self._axes == 0:
            return np.stack(found)
        lengths = [int(self.tokens[row]) for row in rows]
        longest = max(lengths)
        table = np.zeros((len(rows), *[longest] * self._axes, *found[0].shape[1:]), dtype=np.float32)
        for place, (one, length) in enumerate(zip(found, lengths, strict=True)):
            inside = (slice(length),) * self._axes
            table[place][inside] = one.reshape(*[length] * self._axes, *one.shape[1:])
        return table

    def _row(self, row: int) -> NDArray[np.float32]:
        shard = int(np.searchsorted(self._firsts, row, side="right")) - 1
        place, inside = self._places[shard], row - int(self._firsts[shard])
        start, end = place.starts[self._axes][inside : inside + 2].tolist()
        found: NDArray[np.float32] = self._slice(place)[start:end].astype(np.float32)
        return found[0] if self._axes == 0 else found

    def _slice(self, place: Place) -> Any:
        return tensors(place.file).get_slice(self.name)


@cache
def tensors(file: Path) -> Any:
    """The tensors of a shard, mapped into memory and read where they are asked for."""
    from safetensors import safe_open

    return safe_open(str(file), framework="numpy")
