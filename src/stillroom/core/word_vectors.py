"""Words with vectors, and which lie near each other: used alike, which is not always meaning the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core.errors import InputError, Problem
from stillroom.core.vocabulary import whole_words

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Floats = NDArray[np.float32]


@final
class WordVectors:
    """Words by their vectors, compared by cosine. A word that is not known as it is written is looked up in small."""

    def __init__(self, names: Sequence[str], table: Floats) -> None:
        self._names = names
        self._table = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
        self._places = {name: place for place, name in reversed(list(enumerate(names)))}
        self._near: dict[tuple[int, int], list[tuple[str, float]]] = {}

    def __contains__(self, word: str) -> bool:
        return self._place(word) is not None

    def nearest(self, word: str, count: int) -> list[tuple[str, float]]:
        """So many other words and how like it they are, the nearest first; none for a word that is not known."""
        if (place := self._place(word)) is None:
            return []
        if (place, count) not in self._near:
            likeness = self._table @ self._table[place]
            likeness[place] = -np.inf
            order = np.argsort(-likeness, kind="stable")[:count].tolist()
            self._near[place, count] = [(self._names[one], float(likeness[one])) for one in order]
        return self._near[place, count]

    def _place(self, word: str) -> int | None:
        return self._places.get(word, self._places.get(word.lower()))


def read(path: Path, *, most: int) -> WordVectors:
    """The first words of a file with a word and its numbers a line.

    Raises:
        InputError: a line that is no word with as many numbers as the others have.
    """
    names: list[str] = []
    rows: list[Floats] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            name, *values = line.rstrip().split(" ")
            if number == 1 and len(values) == 1:
                continue  # how many words of what width, as `.vec` begins
            try:
                row = np.array(values, dtype=np.float32)
            except ValueError:
                row = np.zeros(0, dtype=np.float32)
            if not len(row) or (rows and len(row) != len(rows[0])) or not np.isfinite(row).all():
                expected = f"a word and {len(rows[0]) if rows else 'its'} numbers"
                raise InputError(Problem(f"{path}, line {number}", "something else", expected, "Correct the line."))
            names.append(name)
            rows.append(row)
            if len(names) == most:
                break
    if len(names) < 2:
        raise InputError(
            Problem(str(path), f"{len(names)} words", "at least two words with vectors", "Check the file.")
        )
    return WordVectors(names, np.stack(rows))


def of_tokens(tokenizer: Tokenizer, table: Floats) -> WordVectors:
    """The words among a tokenizer's tokens, with the vectors that somebody reads these as."""
    words = whole_words(tokenizer)
    return WordVectors(list(words), np.asarray(table[list(words.values())], dtype=np.float32))
