"""The transformer student in torch: a Hugging Face classifier with most layers taken out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import nn

from stillroom.core.errors import MismatchError, Problem
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.students import Ids
from stillroom.tasks import Task
from stillroom.teachers import huggingface

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from stillroom.teachers import LoadedTeacher


@final
class Classifier(nn.Module):
    """A sequence classifier, called as every student is."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits."""
        logits: Tensor = self.inner(input_ids=ids, attention_mask=mask.long()).logits
        return logits


@final
class TransformerNetwork:
    """A transformer student with its tokenizer."""

    def __init__(self, inner: Any, folder: Path, *, max_tokens: int | None = None) -> None:
        self.module = Classifier(inner)
        longest = huggingface.longest_input(inner)
        self.encoder = Tokens(special=True, max_tokens=min(longest, max_tokens or longest))
        self._tokenizer = (folder / TOKENIZER).read_text(encoding="utf-8")
        self._encode = self.encoder.open(folder)

    @property
    def layers(self) -> int:
        """Those that it kept."""
        return int(self.module.inner.config.num_hidden_layers)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The token ids of each text, special tokens included, cut at the longest input."""
        return self._encode(texts)

    def tell(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], wanted: frozenset[str]
    ) -> dict[str, Tensor]:
        """Whatever its teacher tells too."""
        return huggingface.listen(self.module.inner, ids, mask, wanted)

    def strata(self) -> list[list[nn.Parameter]]:
        """What stands above the layers, the layers from the last to the first, what stands below them."""
        holder, name = huggingface.stack(self.module.inner)
        layers = [list(layer.parameters()) for layer in getattr(holder, name)]
        below = list(self.module.inner.base_model.embeddings.parameters())
        held = {id(weight) for part in (*layers, below) for weight in part}
        above = [weight for weight in self.module.parameters() if id(weight) not in held]
        return [above, *reversed(layers), below]

    def optimizers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """AdamW over what is trained."""
        trained = [weight for weight in self.module.parameters() if weight.requires_grad]
        return [torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.01, fused=True)]

    def flops(self, ids: int) -> float:
        """Counted by torch on one text of that length."""
        from torch.utils.flop_counter import FlopCounterMode

        table = torch.zeros((1, ids), dtype=torch.long)
        counter = FlopCounterMode(display=False)
        with torch.inference_mode(), counter:
            self.module.eval()(table, torch.ones_like(table, dtype=torch.bool))
        return float(counter.get_total_flops())

    def save(self, folder: Path) -> None:
        """Write a folder that `transformers` loads too."""
        self.module.inner.save_pretrained(folder, safe_serialization=True)
        (folder / TOKENIZER).write_text(self._tokenizer, encoding="utf-8")


def keep(teacher: LoadedTeacher, folder: Path) -> None:
    """Write the teacher's classifier and tokenizer."""
    teacher.network().save_pretrained(folder, safe_serialization=True)
    (folder / TOKENIZER).write_text(teacher.tokenizer_json(), encoding="utf-8")


def spaced(*, layers: int, of: int) -> list[int]:
    """Which layers to keep: as far apart as they go, the first and the last included; of one, the last."""
    return [of - 1] if layers == 1 else np.linspace(0, of - 1, layers).round().astype(int).tolist()


def thinned(folder: Path, *, layers: int, freeze_embeddings: bool, task: Task) -> TransformerNetwork:
    """The kept teacher with so many layers."""
    inner = _load(folder)
    holder, name = huggingface.stack(inner)
    stack = getattr(holder, name)
    if layers > len(stack):
        expected = f"at most the {len(stack)} that the teacher has"
        raise MismatchError(Problem("student.layers", str(layers), expected, "Ask for fewer layers."))
    setattr(holder, name, nn.ModuleList([stack[place] for place in spaced(layers=layers, of=len(stack))]))
    inner.config.num_hidden_layers = layers
    for module in inner.modules():
        if isinstance(module, nn.Dropout):
            # What it is fitted to is the teacher's whole distribution: noise on top of it only slows that down.
            module.p = 0.0
    if freeze_embeddings:
        inner.get_input_embeddings().weight.requires_grad_(False)
    return TransformerNetwork(inner, folder)


def reopen(folder: Path) -> TransformerNetwork:
    """The student in a folder."""
    return TransformerNetwork(_load(folder), folder)


def _load(folder: Path) -> Any:
    return huggingface.load_network(folder)
