"""What a student reads of texts that its teacher was asked about, with what that said laid on its own tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import objects, spans
from stillroom.core.scored import Scored

if TYPE_CHECKING:
    from stillroom.core.words import Words
    from stillroom.students import Ids, ReadsTokens


@final
@dataclass(frozen=True)
class Lesson:
    """A text as a student reads it, and a line for each of its tokens but the first."""

    ids: Ids
    values: NDArray[np.float32]
    places: NDArray[np.int32]
    wrote: int
    text: str

    def as_scored(self) -> Scored:
        """What was said of this one text."""
        sizes = [np.array([one], dtype=np.int64) for one in (len(self.values), self.wrote)]
        return Scored(self.values, self.places, sizes[0], sizes[1], objects.array([self.text]))


@final
@dataclass(frozen=True)
class _Said:
    """What a teacher said of one text."""

    values: NDArray[Any]
    tokens: NDArray[np.int64]
    likeliest: NDArray[np.int64]
    places: NDArray[np.int32]
    wrote: int
    text: str

    @property
    def read(self) -> int:
        """How many of its tokens it read."""
        return len(self.tokens) - self.wrote

    @property
    def bytes_read(self) -> int:
        """How much of the text that was."""
        return int(self.places[self.read - 1, 1]) if self.read else 0

    @property
    def ends(self) -> bool:
        """Whether it wrote an end, which stands for no bytes."""
        return bool(self.wrote) and bool(self.places[-1, 0] == self.places[-1, 1])


def of(network: ReadsTokens, texts: Sequence[str], said: Scored) -> list[Lesson]:
    """A lesson for each of these texts."""
    if said.ended is not None:
        return _unscored(network, texts, said.texts.tolist(), said.ended.tolist(), kept=said.kept)
    every = list(_each(network, said))
    ids, words = network.read(texts)
    places = _split(words)
    alike = [_alike(own, its) for own, its in zip(ids, every, strict=True)]
    # What was written is read behind as much of the text as the teacher had room for.
    again = [row for row, one in enumerate(every) if one.wrote and not alike[row]]
    longer = [_whole(texts[row], every[row]) for row in again]
    more, further = network.read(longer) if longer else ([], words.take(np.zeros(0, dtype=np.int64)))
    for row, own, where in zip(again, more, _split(further), strict=True):
        ids[row], places[row] = own, where
    return [
        _same(own, its) if same else _other(own, where, its, network)
        for own, where, its, same in zip(ids, places, every, alike, strict=True)
    ]


def _each(network: ReadsTokens, said: Scored) -> Iterator[_Said]:
    """Text by text, its tokens by the student's ids."""
    names = network.names
    split = zip(said.each(said.values), said.each(names.understood(said.tokens)),
                said.each(names.understood(said.ids)), said.each(said.places), said.wrote.tolist(), said.texts.tolist(),
                strict=True)  # fmt: skip
    for one in split:
        yield _Said(*one)


def _whole(text: str, its: _Said) -> str:
    """A text with what was written behind it, as far as that is whole characters."""
    begun = text.encode()[: its.bytes_read]
    read = begun.decode(errors="ignore")
    return read + its.text.partition("\ufffd")[0] if len(read.encode()) == len(begun) else read


def _split(words: Words) -> list[NDArray[np.int32]]:
    return [words.places[start:end] for start, end in zip(words.starts[:-1], words.starts[1:], strict=True)]


def _alike(own: Ids, its: _Said) -> bool:
    """Whether a student that begins to read so could read on as the teacher did."""
    # A teacher that keeps room for what it writes has read no more of a long text than that.
    return len(own) > its.read and bool(
        (its.tokens >= 0).all() and (own[1 : its.read + 1] == its.tokens[: its.read]).all()
    )


def _unscored(
    network: ReadsTokens, texts: Sequence[str], written: Sequence[str], ended: Sequence[bool], *, kept: int
) -> list[Lesson]:
    """In the student's own tokens, of which nobody says anything: only which ones are to be written."""
    ids, words = network.read([text + more for text, more in zip(texts, written, strict=True)])
    found = []
    for own, places, text, more, whole in zip(ids, _split(words), texts, written, ended, strict=True):
        begun = len(text.encode())
        if whole and places[-1:, 1].tolist() == [begun + len(more.encode())]:
            own = np.append(own, network.ends[0]).astype(np.int32)
            places = np.append(places, places[-1:, [1, 1]], axis=0)
        values, read = spans.untold(own[1:], kept=kept), places[:, 1] <= begun
        values[read, : kept + 2] = np.nan
        found.append(Lesson(own, values, places, int((~read).sum()), more))
    return found


def _same(own: Ids, its: _Said) -> Lesson:
    """In the teacher's tokens."""
    every = np.arange(len(its.tokens) + 1)
    values = spans.retold(its.values, its.likeliest, its.tokens, (every, every))
    return Lesson(np.append(own[:1], its.tokens).astype(np.int32), values, its.places, its.wrote, its.text)


def _other(own: Ids, places: NDArray[np.int32], its: _Said, network: ReadsTokens) -> Lesson:
    """In the student's own, up to the last place where both have a boundary."""
    ends, others = places[:, 1], its.places[:, 1]
    if its.ends:
        # An end is a boundary too, one behind the last byte: of who has read as far as that.
        others = np.append(others[:-1], others[-1] + 1)
        if ends[-1:].max(initial=0) == its.places[-1, 1]:
            end = its.tokens[-1] if its.tokens[-1] >= 0 else network.ends[0]
            own, places = np.append(own, end).astype(np.int32), np.append(places, its.places[-1:], axis=0)
            ends = np.append(ends, others[-1])
    at = spans.shared(others, ends)
    count = int(at[1][-1])
    values = spans.retold(its.values, its.likeliest, own[1:], at)
    wrote = int((ends[:count] > its.bytes_read).sum()) if its.wrote else 0
    return Lesson(own[: count + 1], values, places[:count], wrote, its.text)
