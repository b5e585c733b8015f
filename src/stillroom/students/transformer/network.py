"""The transformer student in torch: a Hugging Face classifier with most layers taken out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import nn

from stillroom.core import seeds, signals
from stillroom.core.errors import MismatchError, Problem
from stillroom.core.words import Words
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.students import Ids, Inside, _trimming
from stillroom.students.transformer import exits, projection, pruning, shape, survey
from stillroom.teachers import _listening, _pretrained

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from stillroom.runtime.encoders import ReadWords
    from stillroom.shapes import Shape
    from stillroom.students._started import Origin
    from stillroom.students.transformer import Transformer
    from stillroom.tasks import Task


@final
class Classifier(nn.Module):
    """A classifier of texts or of their tokens, called as every student is."""

    def __init__(self, inner: Any, exits: nn.ModuleDict) -> None:
        super().__init__()
        self.inner, self.exits = inner, exits

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch *length classes"]:
        """Logits, of a text or of each token."""
        logits: Tensor = self.inner(input_ids=ids, attention_mask=mask.long()).logits
        return logits


@final
class TransformerNetwork:
    """A transformer student with its tokenizer."""

    def __init__(
        self,
        inner: Any,
        folder: Path,
        *,
        shape: str = "pooled",
        max_tokens: int | None = None,
        tokenizer: str | None = None,
        cut: Mapping[str, int] | None = None,
        heads: nn.ModuleDict | None = None,
    ) -> None:
        self.module = Classifier(inner, nn.ModuleDict() if heads is None else heads)
        self.shape = shape
        self.encoder = encoder(inner, max_tokens=max_tokens)
        # In the folder stands the teacher's; a student may read with what is left of it.
        self._tokenizer = tokenizer or (folder / TOKENIZER).read_text(encoding="utf-8")
        self._encode = self.encoder.read(self._tokenizer)
        self._cut = dict(cut or {})

    @property
    def layers(self) -> int:
        """Those that it kept."""
        return int(self.module.inner.config.num_hidden_layers)

    @property
    def heads(self) -> tuple[str, ...]:
        """Those of its exits, from the lowest up, and its own."""
        return (*(signals.of_layer("exit", int(one)) for one in self.module.exits), "logits")

    def inside(self) -> Inside:
        """From the vectors of its tokens on, before their positions are added."""
        inner = self.module.inner
        return Inside(self.module, inner.get_input_embeddings(), self.encoder.trace(self._tokenizer),
                      _listening.blank(inner))  # fmt: skip

    def pieces(self) -> list[exits.Piece]:
        """Cut after each layer with an exit."""
        return exits.pieces(self.module.inner, self.module.exits)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The token ids of each text, special tokens included, cut at the longest input."""
        return self._encode(texts)

    def read(self, texts: Sequence[str]) -> tuple[list[Ids], Words]:
        """The same, and their words."""
        return self._read(texts)

    @cached_property
    def _read(self) -> ReadWords:
        return self.encoder.read_words(self._tokenizer)

    def tell(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], wanted: frozenset[str]
    ) -> dict[str, Tensor]:
        """Whatever its teacher tells too, and what its exits answer."""
        read = {f"exit.{one}": signals.of_layer("hidden", int(one)) for one in self.module.exits}
        told = _listening.listen(self.module.inner, ids, mask, wanted | frozenset(read.values()))
        said = {name: one for name, one in told.items() if name in wanted | signals.LOGITS}
        return said | {name: self.module.exits[str(signals.layer(name))](told[one], mask) for name, one in read.items()}

    def strata(self) -> list[list[nn.Parameter]]:
        """What stands above the layers, the layers from the last to the first, what stands below them."""
        return strata(self.module, self.module.inner)

    def optimizers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """AdamW over what is trained."""
        return adamw(self.module, learning_rate)

    def flops(self, ids: Ids) -> float:
        """Counted by torch on one text of that length."""
        return counted_flops(self.module, ids)

    def save(self, folder: Path) -> None:
        """Write a folder that `transformers` loads too, unless heads, units or width were cut."""
        if self._cut:
            shape.keep(self.module.inner, self._cut, folder)
        else:
            self.module.inner.save_pretrained(folder, safe_serialization=True)
        exits.save(self.module.exits, folder)
        (folder / TOKENIZER).write_text(self._tokenizer, encoding="utf-8")


def strata(module: nn.Module, inner: Any) -> list[list[nn.Parameter]]:
    """What stands above the layers of a network, the layers from the last to the first, what stands below them."""
    holder, name = _listening.stack(inner)
    layers = [list(layer.parameters()) for layer in getattr(holder, name)]
    below = list(inner.base_model.embeddings.parameters())
    held = {id(weight) for part in (*layers, below) for weight in part}
    above = [weight for weight in module.parameters() if id(weight) not in held]
    return [above, *reversed(layers), below]


def adamw(module: nn.Module, learning_rate: float) -> list[torch.optim.Optimizer]:
    """AdamW over what is trained."""
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    return [torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.01, fused=True)]


def counted_flops(module: nn.Module, ids: Ids) -> float:
    """Floating-point operations for one text of these ids, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    table = torch.zeros((1, len(ids)), dtype=torch.long, device=next(module.parameters()).device)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        module.eval()(table, torch.ones_like(table, dtype=torch.bool))
    return float(counter.get_total_flops())


def keep(origin: Origin, folder: Path) -> None:
    """Write a network and its tokenizer."""
    origin.network().save_pretrained(folder, safe_serialization=True)
    (folder / TOKENIZER).write_text(origin.tokenizer_json(), encoding="utf-8")


def spaced(*, layers: int, of: int) -> list[int]:
    """Which layers to keep: as far apart as they go, the first and the last included; of one, the last."""
    return [of - 1] if layers == 1 else np.linspace(0, of - 1, layers).round().astype(int).tolist()


def begun(settings: Transformer, folder: Path, texts: Iterator[str], *, task: Task, seed: int) -> TransformerNetwork:
    """The kept teacher with fewer layers and, where that is asked for, narrower ones and fewer tokens."""
    inner = _begun(folder, task, fresh=bool(settings.start), seed=seed)
    tokenizer = (folder / TOKENIZER).read_text(encoding="utf-8")
    tokenizer, cut = thinned(settings, inner, tokenizer, texts, seed=seed)
    heads = exits.made(inner, settings.exits, seed=seed)
    return TransformerNetwork(inner, folder, shape=task.shape, tokenizer=tokenizer, cut=cut, heads=heads)


def thinned(
    settings: Transformer,
    inner: Any,
    tokenizer: str,
    texts: Iterator[str],
    *,
    seed: int,
    drawn: pruning.Drawn | None = None,
) -> tuple[str, dict[str, int]]:
    """Leave so many layers, heads, units, directions and tokens as the settings say, and make ready to be fitted.

    Gives the tokenizer that is left, and what was cut. `drawn` is how `pruning.importance` asks for no labels.
    """
    asked = {"heads": settings.heads, "feed_forward": settings.feed_forward, "width": settings.width}
    cut = {name: number for name, number in asked.items() if number is not None}
    seen = None
    if cut or settings.vocabulary == "corpus":
        size = int(inner.get_input_embeddings().weight.shape[0])
        seen = survey.take(texts, encoder(inner).read(tokenizer), size=size, seed=seed)
    # What a head is worth shows in the whole teacher: one with layers missing answers at random.
    worth = pruning.importance(inner, seen.some, seed=seed, drawn=drawn) if seen and cut.keys() - {"width"} else []
    kept = thin(inner, layers=settings.layers)
    if worth:
        pruning.cut(inner, [worth[place] for place in kept], heads=settings.heads, feed_forward=settings.feed_forward)
    if seen and settings.width is not None:
        projection.narrow(inner, seen.some, width=settings.width)
    return _settled(settings, inner, tokenizer, seen), cut


def _settled(settings: Transformer, inner: Any, tokenizer: str, seen: survey.Survey | None) -> str:
    """Leave the tokens that are kept, and make ready to be fitted; gives the tokenizer that is left."""
    if settings.vocabulary == "corpus" and seen:
        tokenizer = _trim(inner, tokenizer, seen, min_count=settings.min_count)
    for module in inner.modules():
        if isinstance(module, nn.Dropout):
            # What it is fitted to is the teacher's whole distribution: noise on top of it only slows that down.
            module.p = 0.0
    if settings.freeze_embeddings:
        inner.get_input_embeddings().weight.requires_grad_(False)
    return tokenizer


def thin(inner: Any, *, layers: int) -> list[int]:
    """Leave so many layers, and say which."""
    holder, name = _listening.stack(inner)
    stack = getattr(holder, name)
    if layers > len(stack):
        expected = f"at most the {len(stack)} that the teacher has"
        raise MismatchError(Problem("student.layers", str(layers), expected, "Ask for fewer layers."))
    kept = spaced(layers=layers, of=len(stack))
    setattr(holder, name, nn.ModuleList([stack[place] for place in kept]))
    inner.config.num_hidden_layers = layers
    if getattr(inner.config, "layer_types", None):
        inner.config.layer_types = [inner.config.layer_types[place] for place in kept]
    return kept


def _trim(inner: Any, tokenizer: str, seen: survey.Survey, *, min_count: int) -> str:
    """Leave the vectors of the tokens that are kept, and give the tokenizer that goes with them."""
    # Some architectures count positions from the padding's id: it and what stands before it keep their numbers.
    padding = inner.config.pad_token_id or 0
    trimmed = _trimming.trim(tokenizer, seen.counts, min_count=min_count, always=range(padding + 1))
    table = inner.get_input_embeddings()
    table.weight = nn.Parameter(table.weight.detach()[torch.from_numpy(trimmed.kept)].clone())
    table.num_embeddings = inner.config.vocab_size = len(trimmed.kept)
    renumbered = {int(old): new for new, old in enumerate(trimmed.kept)}
    for name in ("bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "mask_token_id"):
        if isinstance(getattr(inner.config, name, None), int):
            setattr(inner.config, name, renumbered.get(getattr(inner.config, name)))
    return trimmed.tokenizer


def reopen(folder: Path, *, task: Task) -> TransformerNetwork:
    """The student in a folder."""
    form = task.form
    inner, cut = shape.reopen(folder, form=form) if (folder / shape.FILE).is_file() else (_load(folder, form), {})
    # It is judged and exported from here on: spelled out, attention makes a graph of fewer nodes, a twentieth quicker.
    inner.set_attn_implementation("eager")
    return TransformerNetwork(inner, folder, shape=task.shape, cut=cut, heads=exits.reopen(folder))


def encoder(inner: Any, *, max_tokens: int | None = None) -> Tokens:
    """How it reads texts."""
    longest = _pretrained.longest_input(inner)
    return Tokens(special=True, max_tokens=min(longest, max_tokens or longest))


def _begun(folder: Path, task: Task, *, fresh: bool, seed: int) -> Any:
    """What was kept, with its head; one that was no teacher's has none, and gets one for the task, to be fitted."""
    if not fresh:
        return _load(folder, task.form)
    names = dict(enumerate(task.outputs))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, "students/transformer/head"))
        return _pretrained.load_network(folder, form=task.form, fresh_head=True, num_labels=len(names),
                                        id2label=names, label2id={name: at for at, name in names.items()})  # fmt: skip


def _load(folder: Path, form: Shape) -> Any:
    return _pretrained.load_network(folder, form=form)
