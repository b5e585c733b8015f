"""Which rows that something is judged on share their text with rows of other sides: told by method, side and row.

Of pairs of sides that nobody is judged on it is counted how many rows do.

    exact   equal, once compatibility forms, case and white space are put aside
    grams   thirteen words in a row in common (`grams`), wherever they stand in either text
    near    a Jaccard index of five-character pieces of 0.8 or more: MinHash finds candidates, each is verified

What is `exact` is `near` too, and has `grams` where it is long enough. Records of all sides are sorted together, a part
at a time (`duplicates.Spill`), so that memory stays flat and work goes with the words. Disk: about 370 bytes a row and
sixteen a word beside the texts, for as long as the search runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom import duplicates, grams, minhash
from stillroom.duplicates import NEIGHBOURS, Spill, Texts

EXACT, GRAMS, NEAR = METHODS = ("exact", "grams", "near")
#: A run of words that stands in more rows of the judged side than this is a phrase of all of them, and no row's own.
PHRASE = 10
#: What a recorded result depends on.
SETTINGS = {**duplicates.SETTINGS, "words": grams.WORDS, "phrase": PHRASE}
#: What is shared, by the side that it is shared with: a judged row of some side, and one row that shares it.
Shared = dict[str, dict[tuple[str, int], int]]

_BIT = {method: 1 << place for place, method in enumerate(METHODS)}
_RECORD = np.dtype([("key", "<u8"), ("row", "<u8")])
_SIGNED_AT_ONCE = 256

Rows = NDArray[np.int64]


@final
class Search:
    """Takes the texts of one side after the other, those that are judged last, and tells what they share."""

    def __init__(
        self, folder: Path, sides: Sequence[str], *, judged: Collection[str], counted: Sequence[tuple[str, str]] = ()
    ) -> None:
        """`sides` are all of them, in order; each that is `judged` is held against those before it, row by row.

        `counted` are further pairs, a side and one before it, of which only how many rows share is told: a byte a row.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._names = tuple(sides)
        self._counted = [(self._names.index(of), self._names.index(other)) for of, other in counted]
        self._seen: list[NDArray[np.uint8]] = []
        self._first_judged = min(place for place, side in enumerate(sides) if side in judged)
        self._spills = {name: Spill(folder / name, _RECORD) for name in METHODS}
        self._texts = Texts(folder)
        self.rows = dict.fromkeys(sides, 0)
        """How many rows each side has."""
        self.short = dict.fromkeys(sides, 0)
        """How many of them are too short to have thirteen words in a row."""

    def add(self, side: str, texts: Sequence[str]) -> None:
        """Take the next texts of a side; the sides before it are whole."""
        for start in range(0, len(texts), _SIGNED_AT_ONCE):
            self._add(side, [grams.plain(text) for text in texts[start : start + _SIGNED_AT_ONCE]])

    def settle(self) -> dict[str, Shared]:
        """What is shared, by method."""
        self._seen = [np.zeros(self.rows[self._names[of]], np.uint8) for of, _ in self._counted]
        exact = self._settle(EXACT)
        found = {EXACT: exact, GRAMS: self._settle(GRAMS), NEAR: self._settle(NEAR, known=exact)}
        return {method: self._told(hits) for method, hits in found.items()}

    def counts(self) -> dict[tuple[str, str], dict[str, int]]:
        """Of each counted pair, how many rows of the first share, by method, and by any; once it is settled."""
        names = self._names
        return {
            (names[of], names[other]): {
                **{method: int((seen & bit > 0).sum()) for method, bit in _BIT.items()},
                "any": int((seen > 0).sum()),
            }
            for (of, other), seen in zip(self._counted, self._seen, strict=True)
        }

    def close(self) -> None:
        """Let go of the files."""
        self._texts.close()

    def _add(self, side: str, texts: Sequence[str]) -> None:
        first = sum(self.rows.values())
        rows = np.arange(first, first + len(texts))
        self.rows[side] += len(texts)
        self._texts.add(rows.tolist(), texts)
        digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
        self._put(EXACT, np.frombuffer(digests, "<u8"), rows)
        runs, owners, words = grams.hashes(texts)
        self._put(GRAMS, runs, rows[owners])
        self.short[side] += int((words < grams.WORDS).sum())
        keys = minhash.bands(minhash.signatures(texts))
        self._put(NEAR, keys.ravel(), np.repeat(rows, keys.shape[1]))

    def _put(self, method: str, keys: NDArray[np.uint64], rows: Rows) -> None:
        records = np.empty(len(keys), _RECORD)
        records["key"], records["row"] = keys, rows
        self._spills[method].add(records)

    def _settle(self, method: str, *, known: dict[tuple[int, int], int] | None = None) -> dict[tuple[int, int], int]:
        """A row that shares with it, for each judged row and each side that has any, by their numbers."""
        found = dict(known or {})
        ends = np.cumsum(list(self.rows.values()))
        for records in self._spills[method].parts():
            if not len(records):
                continue
            buckets = _Buckets(records, ends, first_judged=self._first_judged)
            if method == GRAMS:
                buckets.pass_over_phrases(PHRASE)
            most = NEIGHBOURS if method == NEAR else 1
            for row, side, other in buckets.pairs(most=most):
                if (row, side) not in found and (method != NEAR or self._texts.alike(row, other)):
                    found[row, side] = other
            for (of, side), seen in zip(self._counted, self._seen, strict=True):
                first = int(ends[of]) - len(seen)
                self._count(method, buckets.between(of, side, most=most), seen, first=first)
        return found

    def _count(self, method: str, pairs: Rows, seen: NDArray[np.uint8], *, first: int) -> None:
        """Mark the rows of one counted pair that share; what is equal is nearly equal too."""
        rows = pairs[:, 0] - first
        if method != NEAR:
            seen[rows] |= _BIT[method] | (_BIT[NEAR] if method == EXACT else 0)
            return
        for row, other in pairs[seen[rows] & _BIT[NEAR] == 0].tolist():
            if not seen[row - first] & _BIT[NEAR] and self._texts.alike(row, other):
                seen[row - first] |= _BIT[NEAR]

    def _told(self, hits: dict[tuple[int, int], int]) -> Shared:
        """The same with the names of sides, and each row by its number in its own."""
        starts = np.concatenate([[0], np.cumsum(list(self.rows.values()))])
        told: Shared = {side: {} for side in self._names}
        for (row, side), other in sorted(hits.items()):
            own = int(np.searchsorted(starts, row, side="right")) - 1
            told[self._names[side]][self._names[own], row - int(starts[own])] = other - int(starts[side])
        return told


@final
class _Buckets:
    """Records of one part by their key, where rows of several sides have it."""

    def __init__(self, records: NDArray[Any], ends: Rows, *, first_judged: int) -> None:
        records = records[np.lexsort((records["row"], records["key"]))]
        once, _ = duplicates.groups(records["key"], records["row"])  # a text that repeats itself
        records = records[once]
        rows = records["row"].astype(np.int64)
        sides = np.asarray(np.searchsorted(ends, rows, side="right"), dtype=np.int64)
        starts, _ = duplicates.groups(records["key"])
        stops = np.append(starts[1:], len(rows))
        matters = sides[starts] < sides[stops - 1]  # rows stand in the order of their sides
        kept = np.repeat(matters, stops - starts)
        self._rows, self._sides = rows[kept], sides[kept]
        self._bucket = np.repeat(np.cumsum(matters) - 1, stops - starts)[kept]
        self._first = np.full((int(matters.sum()), len(ends)), -1, dtype=np.int64)
        self._count = np.zeros_like(self._first)
        if len(self._rows):
            runs, _ = duplicates.groups(self._bucket, self._sides)
            place = self._bucket[runs], self._sides[runs]
            self._first[place] = runs
            self._count[place] = np.diff(np.append(runs, len(self._rows)))
        self._first_judged = first_judged
        self._kept = np.ones(len(self._rows), dtype=np.bool_)

    def pass_over_phrases(self, most: int) -> None:
        """Leave out what stands in more rows than this of the row's own side."""
        self._kept = self._count[self._bucket, self._sides] <= most

    def between(self, of: int, other: int, *, most: int) -> Rows:
        """Rows of one side with rows of another that have a key of theirs, `[pairs, 2]`: of each key the first few."""
        own = np.flatnonzero(self._kept & (self._sides == of))
        buckets = self._bucket[own]
        counts = np.minimum(self._count[buckets, other], most)
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        twins = self._rows[np.repeat(self._first[buckets, other], counts) + steps]
        return np.stack([np.repeat(self._rows[own], counts), twins], axis=1)

    def pairs(self, *, most: int) -> list[tuple[int, int, int]]:
        """Judged row, a side before its own, and a row there with the same key: of each key and side the first few."""
        judged = np.flatnonzero(self._kept & (self._sides >= self._first_judged))
        buckets, sides = self._bucket[judged], self._sides[judged]
        counts = np.where(np.arange(self._count.shape[1]) < sides[:, None], self._count[buckets], 0)
        places, others = np.nonzero(counts)
        counts = np.minimum(counts[places, others], most)
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        twins = self._rows[np.repeat(self._first[buckets[places], others], counts) + steps]
        rows = np.repeat(self._rows[judged[places]], counts)
        return sorted(set(zip(rows.tolist(), np.repeat(others, counts).tolist(), twins.tolist(), strict=True)))
