"""Makes further texts for the teacher out of training rows: the part of `transfer` that decides what is worth asking.

A made text is refused where it repeats a text, and where it says nearly what a row of dev, test or outside says. The
rest is asked about, and what the teacher then says may still drop it. Every text is counted by what became of it and
by the teacher's label of the row it was made of, where a text has one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom.augmentations import Augmentation, Ground, Original, counted, is_word, pieces
from stillroom.core import artifact, probabilities, seeds, signals
from stillroom.corpus import Rows
from stillroom.sketches import Sketches
from stillroom.teachers import LoadedTeacher

REPEATED, HELD_OUT, UNSURE, DISAGREES = "repeated", "held out", "unsure", "disagrees"
_BATCH = 4096


@final
@dataclass(frozen=True)
class Made:
    """Texts made of one shard's rows that are worth asking about, each with the place of its row in that shard."""

    rule: Augmentation
    number: int
    texts: Mapping[str, str]
    """Texts by id."""
    rows: Sequence[int]
    refused: Mapping[str, Sequence[int]]
    """The rows of texts that were refused, by why."""

    def keep(self, answers: NDArray[Any], *, sources: NDArray[np.int64]) -> tuple[NDArray[np.bool_], dict[str, Any]]:
        """Which texts stay now that the teacher has spoken of them, and the count of all by their rows' labels."""
        rows = np.array(self.rows, dtype=np.int64)
        why = np.zeros(len(rows), dtype=np.int64)
        if self.rule.agreement and len(rows):
            why[signals.named(answers) != sources[rows]] = 2
        if self.rule.min_confidence and len(rows):
            why[probabilities.softmax(answers).max(axis=1) < self.rule.min_confidence] = 1
        dropped = {reason: [sources[row] for row in places] for reason, places in self.refused.items()}
        dropped |= {UNSURE: sources[rows[why == 1]].tolist(), DISAGREES: sources[rows[why == 2]].tolist()}
        kept = _counted(sources[rows[why == 0]].tolist())
        gone = {reason: _counted(labels) for reason, labels in dropped.items()}
        return why == 0, {"rule": self.number, "kept": kept, "dropped": gone}


@final
class Workshop:
    """Everything that making texts takes, opened once; what was asked about already is known by its id."""

    def __init__(
        self,
        rules: Sequence[Augmentation],
        *,
        loaded: LoadedTeacher,
        parts: Sequence[Rows[Any]],
        held_out: Sequence[Rows[Any]],
        seed: int,
        folder: Path,
    ) -> None:
        self._rules, self._seed = rules, seed
        self.source = source_of(parts)
        self._words_of = [part for part in parts if part.role == self.source]
        self._known = Known(most(rules, parts) + sum(part.count for part in held_out))
        for part in (*parts, *held_out):
            for batch in part.batches(_BATCH):
                for one in batch.column("id").to_pylist():
                    self._known.is_new(one.partition("-")[0])
        unseen = [part for part in (*parts, *held_out) if part.role in ("dev", "test", "outside")]
        self._held = Sketches(folder, _texts(unseen), rows=sum(part.count for part in unseen))
        ground = Ground(words=lambda: self._words, rows=self._rows, teacher=loaded)
        self._opened = [rule.open(ground) for rule in rules]  # who can't make any says so before anything is asked

    def made(self, rows: Sequence[tuple[str, Original]]) -> Iterator[Made]:
        """What each rule makes of these rows, which come with their ids."""
        for number, (rule, make) in enumerate(zip(self._rules, self._opened, strict=True)):
            drawn = [
                (place, text)
                for place, (one, row) in enumerate(rows)
                for text in make(row, seeds.generator(self._seed, f"transfer/{rule.kind}/{number}/{one}"))
                if text.strip()
            ]
            near = self._held.near([text for _, text in drawn])
            texts: dict[str, str] = {}
            places: list[int] = []
            refused: dict[str, list[int]] = {REPEATED: [], HELD_OUT: []}
            for (place, text), too_near in zip(drawn, near.tolist(), strict=True):
                one = artifact.text_id(text)
                if too_near:
                    refused[HELD_OUT].append(place)
                elif not self._known.is_new(one):
                    refused[REPEATED].append(place)
                else:
                    texts[one] = text
                    places.append(place)
            yield Made(rule, number, texts, places, refused)

    def _rows(self) -> Iterator[Original]:
        """Those that texts are made of."""
        for part in self._words_of:
            for batch in part.batches(_BATCH):
                yield from map(Original, batch.column("text").to_pylist(), batch.column("label").to_pylist())

    @cached_property
    def _words(self) -> Mapping[str, int]:
        """The most frequent words of the rows that texts are made of."""
        return counted(piece.lower() for row in self._rows() for piece in pieces(row.text) if is_word(piece))


def most(rules: Sequence[Augmentation], parts: Sequence[Rows[Any]]) -> int:
    """How many texts the teacher can be asked about: every row of the parts, and every text that is made of some."""
    source = source_of(parts)
    made = sum(rule.per_row for rule in rules) * sum(part.count for part in parts if part.role == source)
    return sum(part.count for part in parts) + made


def source_of(parts: Sequence[Rows[Any]]) -> str:
    """The split that texts are made of: the training rows, or the unlabelled ones where there are none."""
    return "train" if any(part.role == "train" and part.count for part in parts) else "unlabelled"


def total(rules: Sequence[Augmentation], counts: Iterable[Mapping[str, Any]], *, labels: Sequence[str]) -> list[Any]:
    """What became of the texts of each rule, over all shards, as the manifest tells it."""
    found: list[dict[str, Any]] = [
        {"kind": rule.kind, "kept": {}, "dropped": {reason: {} for reason in (REPEATED, HELD_OUT, UNSURE, DISAGREES)}}
        for rule in rules
    ]
    for one in counts:
        told = found[one["rule"]]
        _add(told["kept"], one["kept"], labels)
        for reason, codes in one["dropped"].items():
            _add(told["dropped"][reason], codes, labels)
    return found


def asked(counts: Mapping[str, Any]) -> int:
    """How many texts the teacher was asked about and that were dropped then."""
    return sum(sum(counts["dropped"][reason].values()) for reason in (UNSURE, DISAGREES))


def _add(to: dict[str, int], codes: Mapping[str, int], labels: Sequence[str]) -> None:
    for code, count in codes.items():
        label = labels[int(code)] if int(code) >= 0 else ""
        to[label] = to.get(label, 0) + count


def _counted(labels: Iterable[Any]) -> dict[str, int]:
    return {str(code): count for code, count in sorted(Counter(int(one) for one in labels).items())}


def _texts(parts: Sequence[Rows[Any]]) -> Iterator[Sequence[str]]:
    for part in parts:
        for batch in part.batches(_BATCH):
            yield batch.column("text").to_pylist()


@final
class Known:
    """Which ids were seen, in two bytes an id: a Bloom filter (Bloom 1970), of a size for as many as will come.

    It never takes a known id for a new one. A new one it takes for known once in a thousand when as many have come as
    were expected, and more seldom before; of texts drawn by chance, that is a text less.
    """

    _BITS_AN_ID = 14.4  # ln(1000) / ln(2)^2
    _PLACES = 10  # ln(2) times that

    def __init__(self, expected: int) -> None:
        self._bits = max(64, math.ceil(self._BITS_AN_ID * expected))
        self._seen = bytearray(-(-self._bits // 8))

    def is_new(self, one: str) -> bool:
        """Whether this id is new; from now on it is not."""
        # An id is chance itself: its halves give as many places as are wanted (Kirsch and Mitzenmacher 2006).
        step, place = divmod(int(one, 16), 1 << 64)
        new = False
        for _ in range(self._PLACES):
            byte, bit = divmod(place % self._bits, 8)
            new |= not self._seen[byte] >> bit & 1
            self._seen[byte] |= 1 << bit
            place += step | 1
        return new
