"""Texts out of a tokenizer's vocabulary: no text of anybody, and every word that the teacher knows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
from pydantic import Field, model_validator

from stillroom.core import artifact, seeds
from stillroom.core.errors import InputError, Problem
from stillroom.core.vocabulary import whole_words
from stillroom.corpora._made import Made
from stillroom.tasks import Task
from stillroom.teachers import _pretrained

_WHERE = "corpus.tokenizer"


@final
class Vocabulary(Made):
    """Every whole word of a tokenizer's vocabulary, and short runs of such words drawn by chance.

    Vocabularies are in the order of frequency, more or less, so words are drawn by rank as Zipf's law has it; single
    letters, which many vocabularies list first, count as the rarest. With the student `static`, whose start is the
    teacher's own pass over this vocabulary, nobody's text is needed.
    """

    kind: Literal["vocabulary"] = "vocabulary"
    tokenizer: str
    """The teacher's, most often: a folder, a hub name, or `package:<import name>/<folder>`."""
    revision: str | None = None
    """The revision, for a hub name."""
    words: bool = True
    """Whether each word is also a text by itself."""
    runs: int = Field(20_000, ge=0)
    """How many runs of words."""
    shortest: int = Field(2, ge=1)
    """Words of a run, at least …"""
    longest: int = Field(12, ge=1)
    """… and at most; every length is as probable."""
    zipf: float = Field(1.0, ge=0)
    """A word's weight is 1 / (rank + 2) to this power: 0 draws rare words as often as frequent ones."""

    @model_validator(mode="after")
    def _something(self) -> Vocabulary:
        if self.shortest > self.longest:
            raise ValueError("`shortest` no longer than `longest`")
        if not self.words and not self.runs:
            raise ValueError("`words`, or some `runs`: without them there are no texts")
        return self

    def made_with(self) -> dict[str, str]:
        """The digest of the tokenizer's file."""
        return {"tokenizer": artifact.file_sha256(self._file())}

    def account(self, task: Task) -> dict[str, Any]:
        """Words and runs."""
        return {"words": len(self._ranked()) if self.words else 0, "runs": self.runs}

    def texts(self, task: Task) -> Iterator[tuple[str, str]]:
        """The words by rank, then the runs."""
        words = self._ranked()
        if self.words:
            for rank, word in enumerate(words):
                yield word, f"word {rank + 1}"
        for number, run in enumerate(islice(self._runs(words), self.runs)):
            yield run, f"run {number + 1}"

    def _runs(self, words: list[str]) -> Iterator[str]:
        rng = seeds.generator(self.seed, "corpora/vocabulary")
        weights = np.arange(2, len(words) + 2, dtype=np.float64) ** -self.zipf
        reached = np.cumsum(weights / weights.sum())
        while True:
            drawn = rng.random(int(rng.integers(self.shortest, self.longest + 1)))
            places = np.minimum(np.searchsorted(reached, drawn, side="right"), len(words) - 1)
            yield " ".join(words[place] for place in places.tolist())

    def _ranked(self) -> list[str]:
        """The words, the most frequent ones first."""
        from tokenizers import Tokenizer

        path = self._file()
        try:
            found = list(whole_words(Tokenizer.from_file(str(path))))
        except Exception as error:  # the library raises nothing more exact
            told = " ".join(str(error).split())[:200]
            raise InputError(Problem(str(path), told, "a tokenizer that can be read", "Save it again.")) from error
        if not found:
            todo = "Name a tokenizer of words or pieces of words."
            raise InputError(Problem(str(path), "no whole word in the vocabulary", "some", todo))
        return sorted(found, key=lambda word: len(word) == 1)

    def _file(self) -> Path:
        folder = _pretrained.locate(self.tokenizer, revision=self.revision, where=_WHERE, holds="tokenizer.json")
        return _pretrained.tokenizer_file(folder)
