"""CTranslate2, weights in eight bits: what runs a student that writes where there is no torch."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from pydantic import Field
from tokenizers import Tokenizer

from stillroom.core.errors import missing_extra
from stillroom.formats import Checks, Format
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER

if TYPE_CHECKING:
    from stillroom.runtime.runners import Runner
    from stillroom.students import Network

_FOLDER = "ctranslate2"


@final
class CTranslate2(Format):
    """CTranslate2 with weights in eight bits, kept where it writes about as well as the student in torch."""

    shapes: ClassVar[frozenset[str]] = frozenset({"decoder"})

    kind: Literal["ctranslate2"] = "ctranslate2"
    quantization: Literal["int8", "float32"] = "int8"
    """How weights are kept."""
    max_loss: float = Field(1.0, ge=0)
    """How many points of the dev metric, of 100, it may cost."""
    beams: int = Field(1, ge=1)
    """How many beginnings of a text are followed at once; 1: the most probable token at each step."""
    length_penalty: float = Field(1.0, ge=0)
    """With several beams, the power of a text's length that its log-probability is divided by; 0: short texts win."""

    def write(self, network: Network, folder: Path) -> tuple[Runner, tuple[str, ...]]:
        """Convert the network."""
        from stillroom.runtime.runners.ctranslate2 import CTranslate2 as Serving

        convert(network.module, (folder / TOKENIZER).read_text(encoding="utf-8"), folder / _FOLDER,
                quantization=self.quantization)  # fmt: skip
        names = sorted(f"{_FOLDER}/{path.name}" for path in (folder / _FOLDER).iterdir())
        runner = Serving(encoder=network.encoder, folder=_FOLDER, beams=self.beams, length_penalty=self.length_penalty)
        return runner, (*names, TOKENIZER)

    def objection(self, checks: Checks) -> str:
        """It writes worse."""
        if checks.metric_loss <= self.max_loss:
            return ""
        return f"the dev metric falls by {checks.metric_loss:.2f} points; {self.max_loss:g} is allowed"


def convert(module: Any, tokenizer: str, folder: Path, *, quantization: str) -> None:
    """Write a Marian network as CTranslate2 has it.

    Raises:
        MissingExtra: the package is not here.
    """
    try:
        from ctranslate2.converters.transformers import MarianMTLoader
    except ImportError as error:
        raise missing_extra("text", package="ctranslate2", needed_by="export.formats") from error
    # Of a copy: what is converted shares memory with it, and is scaled and rounded in place.
    loader, inner = MarianMTLoader(), copy.deepcopy(module.inner)
    names = _Names(tokenizer, end=int(inner.config.eos_token_id), padding=int(inner.config.pad_token_id))
    spec = loader.get_model_spec(inner)
    loader.set_config(spec.config, inner, names)
    loader.set_vocabulary(spec, loader.get_vocabulary(inner, names))
    spec.validate()
    spec.optimize(quantization=None if quantization == "float32" else quantization)
    folder.mkdir(exist_ok=True)
    spec.save(str(folder))


@final
class _Names:
    """What the converter asks a tokenizer for."""

    bos_token = None

    def __init__(self, tokenizer: str, *, end: int, padding: int) -> None:
        known = Tokenizer.from_str(tokenizer)
        self.eos_token = known.id_to_token(end)
        # Where every text can be read, none is unknown: the end is never looked for.
        self.unk_token = json.loads(tokenizer)["model"].get("unk_token") or self.eos_token
        self._vocabulary = {token: place for token, place in known.get_vocab().items() if place != padding}

    def get_vocab(self) -> dict[str, int]:
        """Every token and its id, but for what is no token."""
        return self._vocabulary
