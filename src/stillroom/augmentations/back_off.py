"""Words that lie near by their vectors: other words for much the same."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.augmentations import Augmentation, Ground, Make, cased_like, chosen, is_word, pieces
from stillroom.core import artifact
from stillroom.core.errors import InputError, Problem
from stillroom.core.vocabulary import whole_words

Floats = NDArray[np.float32]


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
        names, table = _read(Path(self.vectors), most=self.words) if self.vectors else _of_teacher(ground)
        table = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
        places = {name: place for place, name in reversed(list(enumerate(names)))}

        @functools.lru_cache(maxsize=20_000)
        def nearest(place: int) -> tuple[str, ...]:
            likeness = table @ table[place]
            likeness[place] = -np.inf
            return tuple(names[one] for one in np.argsort(-likeness, kind="stable")[: self.neighbours].tolist())

        def known(piece: str) -> int | None:
            return places.get(piece, places.get(piece.lower()))

        def make(text: str, rng: np.random.Generator) -> Sequence[str]:
            parts = pieces(text)
            found = [place for place, piece in enumerate(parts) if is_word(piece) and known(piece) is not None]
            made = []
            for _ in range(self.per_row if found else 0):
                changed = list(parts)
                for place in chosen(found, share=self.share, rng=rng):
                    near = nearest(known(parts[place]) or 0)
                    changed[place] = cased_like(near[int(rng.integers(len(near)))], parts[place])
                made.append("".join(changed))
            return made

        return make


def _read(path: Path, *, most: int) -> tuple[list[str], Floats]:
    """The first words of a file and their vectors.

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
    return names, np.stack(rows)


def _of_teacher(ground: Ground) -> tuple[list[str], Floats]:
    """The words among the teacher's tokens, with the vectors that it reads them as."""
    from tokenizers import Tokenizer

    table = ground.teacher.network().get_input_embeddings().weight.detach().float().numpy()
    words = whole_words(Tokenizer.from_str(ground.teacher.tokenizer_json()))
    return list(words), np.asarray(table[list(words.values())])
