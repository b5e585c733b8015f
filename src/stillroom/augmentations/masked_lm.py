"""Words that a masked language model would have put there: texts that read as if somebody had written them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.augmentations import Augmentation, Ground, Make, Original, cased_like, chosen
from stillroom.core.errors import InputError, Problem, missing_extra
from stillroom.core.vocabulary import whole_words
from stillroom.teachers import _pretrained

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_MASKS = ("[MASK]", "<mask>")


@final
class MaskedLM(Augmentation):
    """Words become what a masked language model puts in their place, drawn from its most probable words.

    Only words that are one token for it are touched, and none becomes itself.
    """

    kind: Literal["masked_lm"] = "masked_lm"
    model: str
    """A folder, a hub name, or `package:<import name>/<folder>`: any checkpoint that `transformers` reads as one."""
    revision: str | None = None
    """The revision, for a hub name."""
    share: float = Field(0.15, gt=0, lt=1)
    """The probability of each word; one word at least is taken."""
    top: int = Field(10, ge=1)
    """How many of the most probable words are drawn from, as probable as the model finds them."""

    def digests(self) -> dict[str, str]:
        """The digest of the folder."""
        return {"model": _pretrained.folder_digest(self._folder())}

    def open(self, ground: Ground) -> Make:
        """The model, in fp32."""
        return _Filler(self, self._folder()).made

    def _folder(self) -> Any:
        return _pretrained.locate(self.model, revision=self.revision, where="transfer.augment.model")


@final
class _Filler:
    """A model that fills gaps."""

    def __init__(self, settings: MaskedLM, folder: Any) -> None:
        from tokenizers import Tokenizer

        self._settings = settings
        self._network = _load(folder)
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(_pretrained.tokenizer_file(folder)))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_pretrained.longest_input(self._network))
        masks = [number for one in _MASKS if (number := self._tokenizer.token_to_id(one)) is not None]
        if not masks:
            todo = "Take a model that was trained with one."
            raise InputError(Problem(str(folder), "a tokenizer without a mask token", " or ".join(_MASKS), todo))
        self._mask = masks[0]
        size = int(self._network.get_output_embeddings().weight.shape[0])
        self._words = np.zeros(size, dtype=np.bool_)
        self._words[[one for one in whole_words(self._tokenizer).values() if one < size]] = True

    def made(self, original: Original, rng: np.random.Generator) -> Sequence[str]:
        """Texts made of one; all of them have its length in tokens, so nothing is padded."""
        import torch

        text, encoding = original.text, self._tokenizer.encode(original.text)
        places = [place for place, token in enumerate(encoding.ids) if self._words[token] and _alone(encoding, place)]
        if not places:
            return []
        drawn = [chosen(places, share=self._settings.share, rng=rng) for _ in range(self._settings.per_row)]
        ids = np.tile(np.array(encoding.ids, dtype=np.int64), (len(drawn), 1))
        for row, gaps in enumerate(drawn):
            ids[row, gaps] = self._mask
        with torch.inference_mode():
            logits = self._network(input_ids=torch.from_numpy(ids)).logits.float().numpy()
        return [self._filled(text, encoding, gaps, logits[row], rng) for row, gaps in enumerate(drawn)]

    def _filled(
        self, text: str, encoding: Encoding, gaps: Sequence[int], logits: NDArray[np.float32], rng: np.random.Generator
    ) -> str:
        for place in sorted(gaps, reverse=True):
            scores = np.where(self._words, logits[place].astype(np.float64), -np.inf)
            scores[encoding.ids[place]] = -np.inf
            best = np.argsort(-scores, kind="stable")[: self._settings.top]
            best = best[np.isfinite(scores[best])]
            if not len(best):
                continue
            odds = np.exp(scores[best] - scores[best[0]])
            token = int(rng.choice(best, p=odds / odds.sum()))
            start, end = encoding.offsets[place]
            start += len(text[start:end]) - len(text[start:end].lstrip())
            word = self._tokenizer.decode([token]).strip()
            text = text[:start] + cased_like(word, text[start:end]) + text[end:]
        return text


def _alone(encoding: Encoding, place: int) -> bool:
    """Whether a token is a word by itself."""
    words = encoding.word_ids
    around = (words[place - 1] if place else None, words[place + 1] if place + 1 < len(words) else None)
    return words[place] is not None and words[place] not in around


def _load(folder: Any) -> Any:
    try:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForMaskedLM
        from transformers.utils import logging
    except ImportError as error:
        raise missing_extra("train", package="transformers", needed_by=str(folder)) from error
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    expected = "a masked language model in safetensors that needs no code of its own"
    try:
        network, found = AutoModelForMaskedLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            output_loading_info=True,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(
            Problem(str(folder), " ".join(str(error).split())[:200], expected, "Save it again.")
        ) from error
    if found["missing_keys"]:
        told = f"no weights for {', '.join(sorted(found['missing_keys'])[:3])}"
        raise InputError(Problem(str(folder), told, expected, "Take a checkpoint that still has its language head."))
    return network.eval()
