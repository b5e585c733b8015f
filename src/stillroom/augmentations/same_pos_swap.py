"""Words of the same part of speech in each other's place: sentences that are built alike and say something else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.augmentations import Augmentation, Ground, Make, Original, cased_like, chosen, counted, is_word
from stillroom.teachers import _pretrained, spacy

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Token

_WHERE = "transfer.augment.tagger"
#: The words of a part of speech, and their counts summed up.
Pool = tuple[list[str], NDArray[np.float64]]


@final
class SamePosSwap(Augmentation):
    """Words become others of the same part of speech, as often as they stand in the rows (Tang et al. 1903.12136).

    Parts of speech are the tags that a spaCy pipeline gives to words where they stand, as fine as it has them: for
    English, plural nouns change places with plural nouns, and past tenses with past tenses.
    """

    packages: ClassVar[tuple[str, ...]] = ("spacy",)

    kind: Literal["same_pos_swap"] = "same_pos_swap"
    tagger: str
    """A spaCy pipeline with a tagger: its folder, or `package:<import name>/<folder>`."""
    share: float = Field(0.1, gt=0, lt=1)
    """The probability of each word that there is another for; one word at least is taken."""

    def digests(self) -> dict[str, str]:
        """The digest of the pipeline's files."""
        return {"tagger": _pretrained.tree_digest(self._folder())}

    def open(self, ground: Ground) -> Make:
        """The pipeline, and the words of the rows by their part of speech."""
        tagger = spacy.load(self._folder(), where=_WHERE, part="tagger", parts=frozenset({"morphologizer"}))
        pools = _pools(tagger, (row.text for row in ground.rows()))

        def make(row: Original, rng: np.random.Generator) -> Sequence[str]:
            return self._made(list(tagger(row.text)), rng, pools)

        return make

    def _folder(self) -> Path:
        return _pretrained.locate(self.tagger, where=_WHERE, holds="config.cfg")

    def _made(self, tokens: Sequence[Token], rng: np.random.Generator, pools: Mapping[str, Pool]) -> Sequence[str]:
        places = [place for place, token in enumerate(tokens) if is_word(token.text) and _tag(token) in pools]
        made = []
        for _ in range(self.per_row if places else 0):
            words = [token.text for token in tokens]
            for place in chosen(places, share=self.share, rng=rng):
                known, odds = pools[_tag(tokens[place])]
                word = known[int(np.searchsorted(odds, rng.random() * odds[-1], side="right"))]
                words[place] = cased_like(word, words[place])
            made.append("".join(word + token.whitespace_ for word, token in zip(words, tokens, strict=True)))
        return made


def _tag(token: Token) -> str:
    return token.tag_ or token.pos_


def _pools(tagger: Language, texts: Iterable[str]) -> dict[str, Pool]:
    """The most frequent words of each part of speech; one of a single word has nothing to swap."""
    # A name keeps its capitals; another word has them from where it stands.
    words = counted(
        (_tag(token), token.text if token.pos_ == "PROPN" else token.lower_)
        for read in tagger.pipe(texts)
        for token in read
        if is_word(token.text) and _tag(token)
    )
    found: dict[str, dict[str, int]] = {}
    for (tag, word), count in words.items():
        found.setdefault(tag, {})[word] = count
    return {
        tag: (list(own), np.cumsum(list(own.values()), dtype=np.float64)) for tag, own in found.items() if len(own) > 1
    }
