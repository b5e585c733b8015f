"""The student that tells what comes next, in torch: a language model of `transformers` with layers taken out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, final

import torch
from tokenizers import Tokenizer
from torch import nn

from stillroom.core import artifact, plugins
from stillroom.core.names import FILE, Names
from stillroom.core.words import Words
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.students import Ids, Inside
from stillroom.students.decoder import vocabulary
from stillroom.students.transformer import network as transformer
from stillroom.students.transformer import survey
from stillroom.teachers import _listening, _pretrained, _speaking

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from stillroom.shapes.causal import Causal
    from stillroom.students.decoder import Decoder
    from stillroom.tasks import Task

_WRITTEN_AT_ONCE = 2048  # tokens of the texts that are gone on with together, and of what is written
_HELD, _LONG = 4096, 128  # padded tokens of a step whose every result is held for the way back; of a text


@final
class NextTokens(nn.Module):
    """A language model, called as every student is."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], first: int = 0
    ) -> Float[Tensor, "batch told vocabulary"]:
        """Logits of the token behind each, from the one at that place on."""
        fewer = {"logits_to_keep": ids.shape[1] - first} if first else {}
        if self.training and self.inner.supports_gradient_checkpointing:
            self._hold(ids.numel() <= _HELD or ids.shape[1] <= _LONG)
        logits: Tensor = self.inner(input_ids=ids, attention_mask=mask.long(), use_cache=False, **fewer).logits
        return logits

    def _hold(self, every: bool) -> None:
        """Hold every result of a layer for the way back, or what went into it, and work out the rest again.

        Eight texts of 900 tokens take seven gigabytes otherwise, with half of 30 layers frozen. How short texts are
        attended to in bf16 is chosen around a step (`learner.attention`), which is over by then: those are held.
        """
        if every:
            self.inner.activation_checkpointing_disable()
        else:
            self.inner.activation_checkpointing_enable()
            self.inner.disable_input_require_grads()  # what is frozen needs no way back


@final
class DecoderNetwork:
    """A student that tells what comes next, with its tokenizer."""

    def __init__(
        self, inner: Any, tokenizer: str, *, names: Names, form: Causal, max_tokens: int | None = None
    ) -> None:
        self.module, self.tokenizer, self.names, self.form = NextTokens(inner), tokenizer, names, form
        room = int(inner.config.max_position_embeddings)
        self.encoder = Tokens(special=True, max_tokens=min(max_tokens or room, room))
        self._read = self.encoder.read_each(tokenizer)

    @property
    def shape(self) -> str:
        """A line a token."""
        return "causal"

    @property
    def layers(self) -> int:
        """None that it tells of."""
        return 0

    @property
    def heads(self) -> tuple[str, ...]:
        """One."""
        return (self.form.answer,)

    @cached_property
    def ends(self) -> list[int]:
        """The tokens that end what it writes."""
        return _speaking.ends_of(self.module.inner, Tokenizer.from_str(self.tokenizer))

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text, behind the one that every text begins with."""
        return self._read(texts)[0]

    def read(self, texts: Sequence[str]) -> tuple[list[Ids], Words]:
        """The same, and the bytes that they stand for."""
        return self._read(texts)

    def tell(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], wanted: frozenset[str]
    ) -> dict[str, Tensor]:
        """Logits over the vocabulary."""
        return self.tell_from(ids, mask, wanted, first=0)

    def tell_from(
        self,
        ids: Int[Tensor, "batch length"],
        mask: Bool[Tensor, "batch length"],
        wanted: frozenset[str],
        *,
        first: int,
    ) -> dict[str, Tensor]:
        """The same, where something is learned: over a whole vocabulary they are a third of the work of a step."""
        return {self.form.answer: self.module(ids, mask, first)}

    def inside(self) -> Inside:
        """From the vectors of its tokens on."""
        return _speaking.inside(self.module.inner, self.tokenizer, self.encoder)

    def go_on(self, texts: Sequence[str], *, most: int, temperature: float, seed: int) -> list[str]:
        """What it writes behind each text; of one that leaves no room for that, it reads only the beginning."""
        room = max(2, int(self.module.inner.config.max_position_embeddings) - most)
        spell = Tokenizer.from_str(self.tokenizer)
        with torch.inference_mode():
            written = _speaking.go_on(self.module.inner, [one[:room] for one in self.encode(texts)], ends=self.ends,
                                      most=most, temperature=temperature, tokens_per_batch=_WRITTEN_AT_ONCE,
                                      seed=seed)  # fmt: skip
        return [spell.decode(one.tolist(), skip_special_tokens=True) for one in written]

    def strata(self) -> list[list[nn.Parameter]]:
        """What stands above the layers, the layers from the last to the first, what stands below them."""
        inner = self.module.inner
        holder, name = _listening.stack(inner)
        layers = [list(layer.parameters()) for layer in getattr(holder, name)]
        # Tables of tokens, and, where a model has one, of places: what a layout names before its layers.
        first = itertools.takewhile(lambda child: child[0] != name, holder.named_children())
        every = [*inner.get_input_embeddings().parameters(), *(one for _, child in first for one in child.parameters())]
        below = list({id(weight): weight for weight in every}.values())
        held = {id(weight) for part in (*layers, below) for weight in part}
        above = [weight for weight in self.module.parameters() if id(weight) not in held]
        return [above, *reversed(layers), below]

    def optimizers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """AdamW over what is trained."""
        return transformer.adamw(self.module, learning_rate)

    def flops(self, ids: Ids) -> float:
        """Counted by torch on one text of that length."""
        return transformer.counted_flops(self.module, ids)

    def save(self, folder: Path) -> None:
        """Write a folder that `transformers` loads too."""
        keep(self.module.inner, self.tokenizer, folder)
        self.names.save(folder)


def keep(inner: Any, tokenizer: str, folder: Path) -> None:
    """Write a language model and its tokenizer as `transformers` has them."""
    inner.save_pretrained(folder, safe_serialization=True)
    (folder / TOKENIZER).write_text(tokenizer, encoding="utf-8")
    start = Tokenizer.from_str(tokenizer).encode("").tokens[0]
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": start, "eos_token": start}
    artifact.write_json(folder / "tokenizer_config.json", told)


def copy(start: Path, folder: Path, *, tokenizer: str | None) -> None:
    """Write what stands in the folder of a language model, and what its tokens are called by a teacher that shows its.

    Of one that has the teacher's tokens, the tokenizer is the teacher's, so that its texts begin as that one's do.
    """
    inner = _pretrained.load_network(start, form=plugins.build("shapes", "causal"))
    own = _pretrained.tokenizer_file(start).read_text(encoding="utf-8")
    if tokenizer is not None and Tokenizer.from_str(own).get_vocab() == Tokenizer.from_str(tokenizer).get_vocab():
        keep(inner, tokenizer, folder)
        return
    own = _speaking.begun(own, inner, start="", where="student")
    keep(inner, own, folder)
    if tokenizer is not None:
        Names.between(own, tokenizer, size=len(inner.get_input_embeddings().weight)).save(folder)


def begun(settings: Decoder, folder: Path, texts: Iterator[str], *, task: Task, seed: int) -> DecoderNetwork:
    """What was kept, with fewer layers and tokens."""
    network = reopen(folder, task=task)
    inner, tokenizer, names = network.module.inner, network.tokenizer, network.names
    if settings.vocabulary == "corpus":
        seen = survey.take(texts, network.encode, size=vocabulary.size(inner), seed=seed)
        tokenizer, kept = vocabulary.cut(inner, tokenizer, seen.counts)
        names = names.kept(kept)
    transformer.thin(inner, layers=settings.layers)
    for place, layer in enumerate(getattr(*_listening.stack(inner))):
        # Where the cache of a layer is: those that are left are counted anew.
        for part in layer.modules():
            if hasattr(part, "layer_idx"):
                part.layer_idx = place
    if settings.freeze_embeddings:
        inner.get_input_embeddings().weight.requires_grad_(False)
    return DecoderNetwork(inner, tokenizer, names=names, form=network.form)


def reopen(folder: Path, *, task: Task) -> DecoderNetwork:
    """The student in a folder."""
    inner = _pretrained.load_network(folder, form=task.form)
    names = Names.load(folder) if (folder / FILE).is_file() else Names.plain(vocabulary.size(inner))
    tokenizer = (folder / TOKENIZER).read_text(encoding="utf-8")
    return DecoderNetwork(inner, tokenizer, names=names, form=cast("Causal", task.form))
