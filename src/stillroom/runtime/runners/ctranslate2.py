"""Runs a student that writes on CTranslate2, texts of like length together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from tokenizers import Tokenizer

from stillroom.core import sentences
from stillroom.core.errors import missing_extra
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.runtime.runners import Bounded, Encoded


@final
class CTranslate2(Encoded):
    """Runs a student that writes: a text for each text, written until its end or its longest."""

    pads: ClassVar[bool] = True

    kind: Literal["ctranslate2"] = "ctranslate2"
    encoder: Tokens
    """How texts become tokens."""
    folder: str
    """Where in the bundle the converted student is."""
    beams: int = Field(1, ge=1)
    """How many beginnings of a text are followed at once."""
    length_penalty: float = Field(1.0, ge=0)
    """The power of a text's length that its log-probability is divided by, with several beams."""
    tokens_per_batch: int = Field(2048, ge=1)
    """Tokens that are read in a batch."""

    def open(self, folder: Path, *, threads: int = 1) -> Bounded:
        """The student, with so many threads."""
        try:
            import ctranslate2
        except ImportError as error:
            raise missing_extra("text", package="ctranslate2", needed_by="this bundle") from error
        student = ctranslate2.Translator(str(folder / self.folder), device="cpu", inter_threads=1,
                                         intra_threads=threads)  # fmt: skip
        return _Writer(self, student, self.encoder.ready(Tokenizer.from_file(str(folder / TOKENIZER))))


@final
class _Writer:
    """The student, opened."""

    def __init__(self, told: CTranslate2, student: Any, tokenizer: Tokenizer) -> None:
        self._told, self._student, self._tokenizer = told, student, tokenizer

    def __call__(self, texts: Sequence[str]) -> NDArray[np.object_]:
        return self.within(texts, [None] * len(texts))

    def within(self, texts: Sequence[str], words: Sequence[int | None]) -> NDArray[np.object_]:
        """Written no further than is wished; with several beams to its end, since only that says which is best."""
        written: NDArray[np.object_] = np.empty(len(texts), dtype=np.object_)
        if not texts:
            return written
        # Not `encode_batch_fast`, which leaves out what tokens are called.
        read = [one.tokens for one in self._tokenizer.encode_batch(list(texts), add_special_tokens=True)]
        longest = self._told.encoder.max_tokens or 256
        wished = [most for most in words if most is not None]
        if self._told.beams > 1 or len(wished) < len(words):
            room = longest
        else:  # tokens that should do, if what is written has no more than twice as many a word as its text
            room = max(2 * len(one) * (most + 2) // max(1, sentences.words(text)) + 1
                       for text, one, most in zip(texts, read, wished, strict=True))  # fmt: skip
        found = self._begun(read, most=min(room, longest))
        if room < longest:
            # What ends, or has all words that are wished, one more and another begun, is known as far as it is wished.
            short = [row for row, (text, ended) in enumerate(found)
                     if not ended and sentences.words(text) <= wished[row] + 1]  # fmt: skip
            again = self._begun([read[row] for row in short], most=longest) if short else []
            for row, one in zip(short, again, strict=True):
                found[row] = one
        written[:] = [text for text, _ in found]
        return written

    def _begun(self, read: Sequence[Sequence[str]], *, most: int) -> list[tuple[str, bool]]:
        """What is written for texts in so many tokens, and whether it ends there."""
        told, tokenizer = self._told, self._tokenizer
        found: list[Any] = self._student.translate_batch(
            read, beam_size=told.beams, length_penalty=told.length_penalty, max_batch_size=told.tokens_per_batch,
            batch_type="tokens", max_input_length=0, max_decoding_length=most,
        )  # fmt: skip
        tokens = [one.hypotheses[0] for one in found]
        ids = [[place for token in one if (place := tokenizer.token_to_id(token)) is not None] for one in tokens]
        texts = [tokenizer.decode(one, skip_special_tokens=True) for one in ids]
        return [(text, len(one) < most) for text, one in zip(texts, tokens, strict=True)]
