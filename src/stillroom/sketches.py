"""What held-out rows look like, without their words: enough to refuse a text that says nearly the same.

Of each row its MinHash signature is kept, 512 bytes in a file, and 168 bytes of sorted bands in another; both are
mapped into memory and read where they are looked up. No text is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom import duplicates, minhash
from stillroom.core.errors import InputError, Problem

#: Two signatures of a pair at a Jaccard index of 0.8 agree in 0.8 of 128 places, give or take 0.035: two such below.
ENOUGH = duplicates.JACCARD - 0.07
_ROW_BITS = 24  # below them stands the row, above them the band
_MOST_ROWS = 1 << _ROW_BITS
_SIGNED_AT_ONCE = 256


@final
class Sketches:
    """The sketches of some rows."""

    def __init__(self, folder: Path, texts: Iterable[Sequence[str]], *, rows: int) -> None:
        """Sketch rows, which come in batches.

        Raises:
            InputError: more than sixteen million of them.
        """
        if rows > _MOST_ROWS:
            found, expected = f"{rows:,} rows of dev, test and outside", f"at most {_MOST_ROWS:,} where texts are made"
            raise InputError(Problem("corpus", found, expected, "Hold out fewer, or take out [[transfer.augment]]."))
        folder.mkdir(parents=True, exist_ok=True)
        self._rows = rows
        if not rows:
            return
        self._signed: Any = _mapped(folder / "signatures", np.dtype("<u4"), (rows, minhash.PERMUTATIONS))
        self._bands: Any = _mapped(folder / "bands", np.dtype("<u8"), (rows * minhash.BANDS,))
        first = 0
        for batch in texts:
            for start in range(0, len(batch), _SIGNED_AT_ONCE):
                signed = _signatures(batch[start : start + _SIGNED_AT_ONCE])
                last = first + len(signed)
                numbers = np.arange(first, last, dtype=np.uint64)[:, None]
                self._signed[first:last] = signed
                keys = _upper(minhash.bands(signed)) | numbers
                self._bands[first * minhash.BANDS : last * minhash.BANDS] = keys.ravel()
                first = last
        self._bands.sort()

    def near(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Which texts say nearly what a sketched row says, case and blanks aside."""
        found = np.zeros(len(texts), dtype=np.bool_)
        if not self._rows:
            return found
        for start in range(0, len(texts), _SIGNED_AT_ONCE):
            signed = _signatures(texts[start : start + _SIGNED_AT_ONCE])
            keys = _upper(minhash.bands(signed))
            low = np.searchsorted(self._bands, keys.ravel()).reshape(keys.shape)
            high = np.searchsorted(self._bands, (keys | np.uint64((1 << _ROW_BITS) - 1)).ravel(), side="right")
            high = high.reshape(keys.shape)
            for place in np.flatnonzero((high > low).any(axis=1)).tolist():
                spans = [self._bands[a:b] for a, b in zip(low[place], high[place], strict=True) if b > a]
                rows = np.unique(np.concatenate(spans) & np.uint64((1 << _ROW_BITS) - 1)).astype(np.int64)
                found[start + place] = (self._signed[rows] == signed[place]).mean(axis=1).max() >= ENOUGH
        return found


def _signatures(texts: Sequence[str]) -> NDArray[np.uint32]:
    return minhash.signatures([minhash.normalised(text) for text in texts])


def _upper(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return keys & ~np.uint64((1 << _ROW_BITS) - 1)


def _mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    return np.memmap(path, dtype=dtype, mode="w+", shape=shape)
