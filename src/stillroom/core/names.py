"""What a student's tokens are called by its teacher, so that what both say of tokens can be laid side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from stillroom.core import token_bytes

FILE = "names.safetensors"
_BEYOND = 2**22
"""Above any id of a teacher; single precision holds four times as much."""


@final
@dataclass(frozen=True)
class Names:
    """By a student's own id, the teacher's id of the same token; of one that the teacher lacks, a number beyond all."""

    numbers: NDArray[np.int64]

    @classmethod
    def plain(cls, size: int) -> Self:
        """Of a student that has its teacher's tokens."""
        return cls(np.arange(size))

    @classmethod
    def between(cls, own: str, teacher: str, *, size: int) -> Self:
        """Of a student with so many outputs, from both tokenizers: tokens are the same that spell the same bytes.

        A token that is added whole is the same as one of its name; that which begins a text, as that which does so.
        """
        its = {one: place for place, one in reversed(list(enumerate(_signs(teacher)))) if one is not None}
        numbers = _BEYOND + np.arange(size)
        for place, one in enumerate(_signs(own)[:size]):
            if one is not None and one in its:
                numbers[place] = its.pop(one)
        return cls(numbers)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Those that were saved in a folder."""
        return cls(load_file(folder / FILE)["numbers"])

    def save(self, folder: Path) -> tuple[str, ...]:
        """Keep them in a folder, unless nothing is called otherwise; gives the names of the files that are there."""
        if self.same:
            return ()
        save_file({"numbers": self.numbers}, folder / FILE)
        return (FILE,)

    @cached_property
    def same(self) -> bool:
        """Whether everything is called as it is."""
        return bool(np.array_equal(self.numbers, np.arange(len(self.numbers))))

    def kept(self, tokens: NDArray[np.int64]) -> Names:
        """Those of a student that is left with some of these tokens, in this order."""
        numbers = self.numbers[tokens]
        return Names(np.where(numbers < _BEYOND, numbers, _BEYOND + np.arange(len(numbers))))

    @cached_property
    def _own(self) -> NDArray[np.int64]:
        """By the teacher's id, and one more behind them all for what it does not have."""
        there = self.numbers < _BEYOND
        found = np.full(int(self.numbers[there].max(initial=-1)) + 2, -1, dtype=np.int64)
        found[self.numbers[there]] = np.flatnonzero(there)
        return found

    def understood(self, ids: NDArray[Any]) -> NDArray[np.int64]:
        """The student's own ids of what the teacher names, −1 where it has no such token."""
        plain = ids.astype(np.int64)
        found = self._own[np.clip(plain, -1, len(self._own) - 1)]
        return np.where(plain >= _BEYOND, plain - _BEYOND, found)

    def called(self, values: NDArray[Any]) -> NDArray[Any]:
        """Lines (`core.scored`) of the student's own ids, by the teacher's."""
        if self.same:
            return values
        kept = (values.shape[-1] - 3) // 2
        found = values.copy()
        found[..., kept + 2 :] = self.numbers[values[..., kept + 2 :].astype(np.int64)]
        return found


def _signs(tokenizer: str) -> list[tuple[str, bytes] | None]:
    """What each token is known by."""
    from tokenizers import Tokenizer

    named = token_bytes.named(tokenizer)
    begins = Tokenizer.from_str(tokenizer).encode("").ids[:1]
    found: list[tuple[str, bytes] | None] = []
    for place, one in enumerate(token_bytes.spelled(tokenizer)):
        how = "begins" if place in begins else "named" if place in named else "spelled"
        found.append(None if one is None else (how, b"" if how == "begins" else one))
    return found
