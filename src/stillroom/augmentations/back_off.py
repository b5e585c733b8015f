"""Words that lie near by their vectors: other words for much the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from pydantic import Field

from stillroom.augmentations import Augmentation, Ground, Make, Original, cased_like, chosen, is_word, pieces
from stillroom.core import artifact, word_vectors
from stillroom.core.errors import InputError, Problem
from stillroom.core.word_vectors import WordVectors


@final
class BackOff(Augmentation):
    """Words become one of their nearest words by cosine: of a file of word vectors, or of the teacher's own tokens.

    Words near by their vectors are used alike, which opposites are too: `agreement` drops what changed its label.
    """

    kind: Literal["back_off"] = "back_off"
    vectors: str = ""
    """A file with a word and its numbers a line (`.txt` as GloVe writes it, `.vec`); none: the teacher's vectors."""
    words: int = Field(50_000, ge=2)
    """How many words of the file are read, the first ones, which in such files are the most frequent."""
    neighbours: int = Field(10, ge=1)
    """How many of the nearest words are drawn from, each as likely."""
    share: float = Field(0.1, gt=0, lt=1)
    """The probability of each word that has a vector; one word at least is taken."""

    @property
    def needs_network(self) -> bool:
        """Where there is no file."""
        return not self.vectors

    def digests(self) -> dict[str, str]:
        """The digest of the file."""
        if not self.vectors:
            return {}
        if not Path(self.vectors).is_file():
            found = f"no file `{self.vectors}`"
            raise InputError(Problem("transfer.augment.vectors", found, "a file of word vectors", "Check the path."))
        return {"vectors": artifact.file_sha256(Path(self.vectors))}

    def open(self, ground: Ground) -> Make:
        """The vectors, at length one."""
        vectors = word_vectors.read(Path(self.vectors), most=self.words) if self.vectors else _of_teacher(ground)

        def make(row: Original, rng: np.random.Generator) -> Sequence[str]:
            parts = pieces(row.text)
            found = [place for place, piece in enumerate(parts) if is_word(piece) and piece in vectors]
            made = []
            for _ in range(self.per_row if found else 0):
                changed = list(parts)
                for place in chosen(found, share=self.share, rng=rng):
                    near = vectors.nearest(parts[place], self.neighbours)
                    changed[place] = cased_like(near[int(rng.integers(len(near)))][0], parts[place])
                made.append("".join(changed))
            return made

        return make


def _of_teacher(ground: Ground) -> WordVectors:
    """The words among the teacher's tokens, with the vectors that it reads them as."""
    from tokenizers import Tokenizer

    table = ground.teacher.network().get_input_embeddings().weight.detach().float().numpy()
    return word_vectors.of_tokens(Tokenizer.from_str(ground.teacher.tokenizer_json()), table)
