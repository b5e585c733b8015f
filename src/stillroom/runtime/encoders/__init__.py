"""Family: from texts to ids. The same code feeds a student in training and in service, so the two can't drift apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillroom.core import scripted
from stillroom.core.plugins import Member
from stillroom.core.scripted import Scripted
from stillroom.core.words import Traced, Words

Ids = NDArray[np.int32]
#: Texts to the ids of each.
Encode = Callable[[Sequence[str]], list[Ids]]
#: Chunks (runs of characters between spaces) to all their ids end to end, and how many each has.
EncodeChunks = Callable[[Sequence[str]], tuple[NDArray[np.int64], NDArray[np.int64]]]
#: Texts to the ids of each, and their words.
ReadWords = Callable[[Sequence[str]], tuple[list[Ids], Words]]
#: A text to its ids, and where in it they and its words stand.
Trace = Callable[[str], Traced]
#: Texts to how many characters (code points) of each are read, from its beginning.
Reach = Callable[[Sequence[str]], list[int]]


def whole(texts: Sequence[str]) -> list[int]:
    """The reach of whoever cuts nothing."""
    return [len(text) for text in texts]


class Encoder(Member, ABC):
    """How a student reads text."""

    @abstractmethod
    def open(self, folder: Path) -> Encode:
        """The encoding, with whatever files it needs from a student's folder. Every text gets at least one id."""

    def open_reach(self, folder: Path) -> Reach:
        """How far into a text the encoding goes: to its end, unless the encoder cuts long texts."""
        return whole

    def in_browser(self, folder: Path) -> Scripted:
        """What reads texts so in a browser, with whatever files it needs from a student's folder.

        Raises:
            MismatchError: nothing does.
        """
        raise scripted.refused(f"the encoder `{self.kind}`")


class WordEncoder(Encoder, ABC):
    """How a student reads text whose words it labels."""

    @abstractmethod
    def open_words(self, folder: Path) -> ReadWords:
        """The encoding, with the words of each text and the token that each begins with."""
