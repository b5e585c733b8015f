"""Runs a student that writes on CTranslate2, texts of like length together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from tokenizers import Tokenizer

from stillroom.core.errors import missing_extra
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.runtime.runners import Encoded, Serve


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

    def open(self, folder: Path, *, threads: int = 1) -> Serve:
        """The student, with so many threads."""
        try:
            import ctranslate2
        except ImportError as error:
            raise missing_extra("text", package="ctranslate2", needed_by="this bundle") from error
        student = ctranslate2.Translator(str(folder / self.folder), device="cpu", inter_threads=1,
                                         intra_threads=threads)  # fmt: skip
        tokenizer = self.encoder.ready(Tokenizer.from_file(str(folder / TOKENIZER)))
        longest = self.encoder.max_tokens or 256

        def serve(texts: Sequence[str]) -> NDArray[np.object_]:
            written: NDArray[np.object_] = np.empty(len(texts), dtype=np.object_)
            # Not `encode_batch_fast`, which leaves out what tokens are called.
            read = [one.tokens for one in tokenizer.encode_batch(list(texts), add_special_tokens=True)]
            if not texts:
                return written
            found: list[Any] = student.translate_batch(
                read, beam_size=self.beams, length_penalty=self.length_penalty, max_batch_size=self.tokens_per_batch,
                batch_type="tokens", max_input_length=0, max_decoding_length=longest,
            )  # fmt: skip
            for row, one in enumerate(found):
                ids = [tokenizer.token_to_id(token) for token in one.hypotheses[0]]
                written[row] = tokenizer.decode([token for token in ids if token is not None], skip_special_tokens=True)
            return written

        return serve
