"""The transformer student that embeds texts: a few of the teacher's layers, their mean, and a linear map."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn.functional import normalize

from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.students import Ids, Inside, _bridge
from stillroom.students._vectors import VectorNetwork
from stillroom.students.transformer import network, pruning, shape
from stillroom.teachers import _listening, _pretrained

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from stillroom.students.transformer import Transformer
    from stillroom.tasks import Task

_BRIDGE = "map.safetensors"


@final
class Mean(nn.Module):
    """The mean of the last layer over the tokens, through a linear map, at length one."""

    def __init__(self, inner: Any, bridge: NDArray[np.float32]) -> None:
        super().__init__()
        self.inner = inner
        self.bridge = nn.Parameter(torch.from_numpy(bridge))

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch width"]:
        """Vectors of length one."""
        hidden = self.inner(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        total = (hidden * mask.unsqueeze(-1).to(hidden.dtype)).sum(dim=1)
        return normalize(normalize(total, dim=-1) @ self.bridge.T, dim=-1)


@final
class TransformerVectorNetwork(VectorNetwork[Mean]):
    """A transformer student that embeds texts, with its tokenizer."""

    def __init__(self, module: Mean, tokenizer: str, cut: Mapping[str, int] | None = None) -> None:
        super().__init__(module, tokenizer, network.encoder(module.inner))
        self._cut = dict(cut or {})

    def inside(self) -> Inside:
        """From the vectors of its tokens on, before their positions are added."""
        inner = self.module.inner
        return Inside(self.module, inner.get_input_embeddings(), self.encoder.trace(self.tokenizer),
                      _listening.blank(inner))  # fmt: skip

    def strata(self) -> list[list[nn.Parameter]]:
        """The map, the layers from the last to the first, what stands below them."""
        return network.strata(self.module, self.module.inner)

    def optimizers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """AdamW over what is trained."""
        return network.adamw(self.module, learning_rate)

    def flops(self, ids: Ids) -> float:
        """Counted by torch on one text of that length."""
        return network.counted_flops(self.module, ids)

    def modules(self) -> list[Any]:
        """As sentence-transformers has them: a transformer, the mean of its tokens, a map, and length one."""
        if self._cut:
            raise TypeError("a student whose configuration does not state what was cut")
        from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
        from transformers import PreTrainedTokenizerFast

        with tempfile.TemporaryDirectory() as folder:
            self.module.inner.save_pretrained(folder, safe_serialization=True)
            reads = Tokenizer.from_str(self.tokenizer)
            padding = reads.id_to_token(self.module.inner.config.pad_token_id or 0)
            PreTrainedTokenizerFast(tokenizer_object=reads, pad_token=padding).save_pretrained(folder)
            body = Transformer(folder, max_seq_length=self.encoder.max_tokens)
        width, own = self.module.bridge.shape
        bridge = Dense(own, width, bias=False, activation_function=nn.Identity())
        bridge.linear.weight = nn.Parameter(self.module.bridge.detach().clone())
        return [body, Pooling(own, pooling_mode="mean"), bridge, Normalize()]

    def save(self, folder: Path) -> None:
        """Write a folder whose transformer `transformers` loads too, unless it was cut, and the map beside it."""
        if self._cut:
            shape.keep(self.module.inner, self._cut, folder)
        else:
            self.module.inner.save_pretrained(folder, safe_serialization=True)
        save_file({"map": self.module.bridge.detach().contiguous()}, folder / _BRIDGE)
        (folder / TOKENIZER).write_text(self.tokenizer, encoding="utf-8")


def begun(
    settings: Transformer, folder: Path, texts: Iterator[str], *, task: Task, seed: int
) -> TransformerVectorNetwork:
    """The kept teacher with fewer layers and, where that is asked for, fewer heads, units and tokens."""
    module = Mean(_load(folder, task), _bridge.of_network(folder))
    tokenizer = (folder / TOKENIZER).read_text(encoding="utf-8")
    drawn = partial(pruning.vector_drawn, module)
    tokenizer, cut = network.thinned(settings, module.inner, tokenizer, texts, seed=seed, drawn=drawn)
    return TransformerVectorNetwork(module, tokenizer, cut)


def reopen(folder: Path, *, task: Task) -> TransformerVectorNetwork:
    """The student in a folder."""
    inner, cut = shape.reopen(folder, form=task.form) if (folder / shape.FILE).is_file() else (_load(folder, task), {})
    # As for other transformers: spelled out, attention makes a graph of fewer nodes.
    inner.set_attn_implementation("eager")
    bridge = load_file(folder / _BRIDGE)["map"].numpy()
    return TransformerVectorNetwork(Mean(inner, bridge), (folder / TOKENIZER).read_text(encoding="utf-8"), cut)


def _load(folder: Path, task: Task) -> Any:
    """The transformer alone: it has no head, and what pools its tokens otherwise is not asked."""
    return _pretrained.load_network(folder, form=task.form, fresh_head=True)
