"""Rows that say the same, word for word or nearly: what would let a test measure memory instead of skill.

Rows stand in an *order of precedence* (test, outside, dev, train, unlabelled): a row may push out one that comes later,
never one that comes before, so no test row is ever dropped.

Near twins are texts whose `minhash.jaccard` index is 0.8 or more: MinHash finds candidates, and each is verified on the
true sets.

Memory: hash records go through `Spill`, which keeps a fixed amount and writes the rest to disk in 256 parts that are
searched one by one, so only two bytes a row stay in memory. Disk: about 400 bytes a row beside its text, for as long as
the search runs.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom import minhash

Role = Literal["test", "outside", "dev", "train", "unlabelled"]
#: Who pushes out whom: earlier ones stay.
PRECEDENCE: tuple[Role, ...] = ("test", "outside", "dev", "train", "unlabelled")
_DEV = PRECEDENCE.index("dev")

JACCARD = 0.8
#: Each row is compared with this many of the first in its bucket, which keeps the work linear where thousands share it.
NEIGHBOURS = 8
#: What a recorded result depends on.
SETTINGS = {
    "jaccard": JACCARD,
    "shingle": minhash.SHINGLE,
    "permutations": minhash.PERMUTATIONS,
    "bands": minhash.BANDS,
    "band_rows": minhash.BAND_ROWS,
    "neighbours": NEIGHBOURS,
}

_EXACT = np.dtype([("key", "<u8"), ("rest", "<u8"), ("rank", "u1"), ("index", "<u8"), ("label", "<i4")])
_BAND = np.dtype([("key", "<u8"), ("row", "<u8")])
_SPILL_BYTES = 4 << 20
_PARTS = 256
_EXAMPLES = 20
#: Texts are signed so many characters at a time: what stays in the processor's cache is quicker.
_SIGNED_CHARACTERS = 1 << 16


@final
class Spill:
    """Records in parts by the top byte of their `key`: in memory while they are few, on disk beyond that."""

    def __init__(self, folder: Path, dtype: np.dtype[Any]) -> None:
        self._folder, self._dtype = folder, dtype
        self._held: list[NDArray[Any]] = []
        self._bytes = 0
        self._spilled = False

    def add(self, records: NDArray[Any]) -> None:
        """Take some records."""
        self._held.append(records)
        self._bytes += records.nbytes
        if self._bytes > _SPILL_BYTES:
            self._write()

    def parts(self) -> Iterator[NDArray[Any]]:
        """All records, a part at a time, the parts in the order of their keys."""
        if not self._spilled:
            yield self._take()
            return
        self._write()
        for part in range(_PARTS):
            path = self._path(part)
            if path.exists():
                yield np.fromfile(path, dtype=self._dtype)
                path.unlink()

    def _take(self) -> NDArray[Any]:
        held = np.concatenate(self._held) if self._held else np.empty(0, self._dtype)
        self._held, self._bytes = [], 0
        return held

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._spilled = True
        records = self._take()
        part = (records["key"] >> np.uint64(56)).astype(np.uint8)
        records = records[np.argsort(part, kind="stable")]
        ends = np.cumsum(np.bincount(part, minlength=_PARTS))
        for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            if end > start:
                # Not `tofile`, whose error for a full disk does not say so.
                with self._path(number).open("ab") as file:
                    file.write(records[start:end].tobytes())

    def _path(self, part: int) -> Path:
        return self._folder / f"{part:03d}.records"


@final
@dataclass
class Fates:
    """What becomes of each row; rows are numbered through all splits, in the order of precedence."""

    sizes: tuple[int, ...]
    """Rows of each split, in that order."""
    cause: NDArray[np.uint8]
    """0 where the row is kept, else 1 + the rank of the split that holds its twin."""
    near: NDArray[np.bool_]
    """Where a row is kept: whether an earlier one of its split is a near twin. Else: whether its twin is only near."""
    repeats: dict[int, int] = field(default_factory=dict)
    """Kept rows of test and outside whose text came before, and the how-manieth they are."""
    conflicts: int = 0
    """Texts that stand under more than one label."""
    examples: list[list[int]] = field(default_factory=list)
    """The rows of some of these texts."""
    crowded: int = 0
    """Buckets of the near search with so many rows that not all of them were compared."""

    @property
    def starts(self) -> NDArray[np.int64]:
        """The number of each split's first row, and of the one after the last."""
        return np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)

    def drop_near(self) -> None:
        """Drop rows of dev and behind it that are near twins of an earlier row of their own split."""
        ranks = self.ranks(np.arange(len(self.cause)))
        drop = self.near & (self.cause == 0) & (ranks >= _DEV)
        self.cause[drop] = (1 + ranks[drop]).astype(np.uint8)

    def ranks(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """The rank of the split of each of some rows."""
        return np.asarray(np.searchsorted(self.starts[1:], rows, side="right"), dtype=np.int64)


@final
class Exact:
    """Finds equal texts by their hash: later ones are dropped, except in test and outside, where they are numbered."""

    def __init__(self, folder: Path) -> None:
        self._spill = Spill(folder / "exact", _EXACT)

    def add(self, hashes: bytes, *, rank: int, first: int, labels: Sequence[int]) -> None:
        """Take rows of one split: 16 bytes of hash each, labels (−1: none), and the place of the first in its split."""
        records = np.empty(len(labels), _EXACT)
        pairs = np.frombuffer(hashes, ">u8").reshape(-1, 2)
        records["key"], records["rest"] = pairs[:, 0], pairs[:, 1]
        records["rank"], records["label"] = rank, labels
        records["index"] = np.arange(first, first + len(labels))
        self._spill.add(records)

    def settle(self, sizes: Sequence[int]) -> Fates:
        """The fate of every row, as far as equal texts decide it."""
        total = sum(sizes)
        fates = Fates(tuple(sizes), np.zeros(total, np.uint8), np.zeros(total, np.bool_))
        for records in self._spill.parts():
            if len(records):
                self._settle(records, fates)
        return fates

    def _settle(self, records: NDArray[Any], fates: Fates) -> None:
        rows = fates.starts[records["rank"]] + records["index"].astype(np.int64)
        order = np.lexsort((rows, records["rest"], records["key"]))
        records, rows = records[order], rows[order]
        starts, first = groups(records["key"], records["rest"])
        later = np.flatnonzero(first != np.arange(len(rows)))
        drop = later[records["rank"][later] >= _DEV]
        fates.cause[rows[drop]] = 1 + records["rank"][first[drop]]
        for place in later[records["rank"][later] < _DEV].tolist():
            fates.repeats[int(rows[place])] = int(place - first[place]) + 1
        self._conflicts(records["label"], rows, starts, fates)

    def _conflicts(self, labels: NDArray[Any], rows: NDArray[Any], starts: NDArray[Any], fates: Fates) -> None:
        none = np.iinfo(np.int32).max
        least = np.minimum.reduceat(np.where(labels < 0, none, labels), starts)
        most = np.maximum.reduceat(labels, starts)
        found = np.flatnonzero((least < most) & (least != none))
        fates.conflicts += len(found)
        ends = np.append(starts[1:], len(rows))
        for group in found[: _EXAMPLES - len(fates.examples)].tolist():
            fates.examples.append(rows[starts[group] : ends[group]][:5].tolist())


def groups(*columns: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where each run of equal records starts, and for each record the start of its run."""
    new = np.zeros(len(columns[0]), np.bool_)
    new[0] = True
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    starts = np.flatnonzero(new)
    return starts, starts[np.cumsum(new) - 1]


@final
class Near:
    """Finds texts that are nearly the same among those that are left."""

    def __init__(self, folder: Path, fates: Fates) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._fates = fates
        self._spill = Spill(folder / "bands", _BAND)
        self._texts = Texts(folder)

    def add(self, texts: Sequence[str], *, first: int) -> None:
        """Take the texts of the next rows in the order of precedence; those already settled are passed over."""
        fates = self._fates
        rows = [r for r in range(first, first + len(texts)) if not fates.cause[r] and r not in fates.repeats]
        plain = [minhash.normalised(texts[row - first]) for row in rows]
        start, size = 0, 0
        for end, text in enumerate(plain, start=1):
            size += len(text)
            if size > _SIGNED_CHARACTERS or end == len(plain):
                self._add(rows[start:end], plain[start:end])
                start, size = end, 0

    def _add(self, rows: Sequence[int], texts: Sequence[str]) -> None:
        self._texts.add(rows, texts)
        keys = minhash.bands(minhash.signatures(texts))
        records = np.empty(keys.shape, _BAND)
        records["key"], records["row"] = keys, np.array(rows)[:, None]
        self._spill.add(records.ravel())

    def settle(self) -> None:
        """Write what was found into the fates."""
        for records in self._spill.parts():
            if len(records):
                self._verify(self._candidates(records))

    def close(self) -> None:
        """Let go of the files."""
        self._texts.close()

    def _candidates(self, records: NDArray[Any]) -> NDArray[np.int64]:
        """Pairs (row, earlier row) that share a bucket and whose likeness would matter."""
        records = records[np.lexsort((records["row"], records["key"]))]
        rows = records["row"].astype(np.int64)
        starts, first = groups(records["key"])
        self._fates.crowded += int((np.diff(np.append(starts, len(rows))) > NEIGHBOURS + 1).sum())
        places = np.arange(len(rows))
        others = [(places > first + step, first + step) for step in range(NEIGHBOURS)]
        others.append((places - 1 >= first + NEIGHBOURS, places - 1))
        pairs = np.concatenate([np.stack([rows[mask], rows[other[mask]]], axis=1) for mask, other in others])
        one, other = self._fates.ranks(pairs[:, 0]), self._fates.ranks(pairs[:, 1])
        matters = (one == other) | ((other < one) & (one >= _DEV) & (other <= _DEV))
        return np.unique(pairs[matters], axis=0)

    def _verify(self, pairs: NDArray[np.int64]) -> None:
        cause, near = self._fates.cause, self._fates.near
        ranks = self._fates.ranks(pairs)
        for (row, other), (rank, other_rank) in zip(pairs.tolist(), ranks.tolist(), strict=True):
            settled = cause[row] - 1 <= other_rank if cause[row] else near[row] and rank == other_rank
            if settled or not self._texts.alike(row, other):
                continue
            near[row] = True
            if other_rank < rank:
                cause[row] = 1 + other_rank


@final
class Texts:
    """The normalised texts on disk, to be looked up by row."""

    def __init__(self, folder: Path) -> None:
        self._text = (folder / "texts").open("w+b")
        self._index = (folder / "index").open("w+b")
        self._end = 0
        self.shingles = functools.lru_cache(maxsize=16)(self._shingles)

    def add(self, rows: Sequence[int], texts: Sequence[str]) -> None:
        """Append texts; their rows rise."""
        encoded = [text.encode() for text in texts]
        ends = self._end + np.cumsum([len(data) for data in encoded])
        entries = np.zeros((rows[-1] - rows[0] + 1, 2), "<i8")
        places = np.array(rows) - rows[0]
        entries[places, 0] = np.concatenate([[self._end], ends[:-1]])
        entries[places, 1] = ends
        self._text.write(b"".join(encoded))
        self._index.seek(rows[0] * 16)
        self._index.write(entries.tobytes())
        self._end = int(ends[-1])

    def alike(self, row: int, other: int) -> bool:
        """Whether two texts are near twins, by their true sets."""
        return minhash.jaccard(self.shingles(row), self.shingles(other)) >= JACCARD

    def close(self) -> None:
        """Let go of the files."""
        self._text.close()
        self._index.close()

    def _shingles(self, row: int) -> frozenset[str]:
        self._index.seek(row * 16)
        start, end = np.frombuffer(self._index.read(16), "<i8").tolist()
        self._text.seek(start)
        return minhash.shingles(self._text.read(end - start).decode())
