"""ONNX of a student that tells what comes next, with what it remembers of the tokens before as input and output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, final

from pydantic import Field

from stillroom.formats import Checks, Format, onnx

if TYPE_CHECKING:
    from torch import nn

    from stillroom.runtime.runners import Runner
    from stillroom.students import Network

FILE = "causal.onnx"


@final
class OnnxCausal(Format):
    """ONNX that remembers, so that a text is read once and gone on with; kept where its outputs are the student's."""

    shapes: ClassVar[frozenset[str]] = frozenset({"causal"})

    kind: Literal["onnx_causal"] = "onnx_causal"
    tolerance: float = Field(1e-2, gt=0)
    """The largest difference of the logarithm of a probability."""

    def write(self, network: Network, folder: Path) -> tuple[Runner, tuple[str, ...]]:
        """Export the graph, unless a format before this one has."""
        path = graph(network, folder)
        return runner(network, path), files(network, folder, path)

    def objection(self, checks: Checks) -> str:
        """Outputs that are not the student's."""
        if checks.largest_difference <= self.tolerance:
            return ""
        return f"log-probabilities differ by {checks.largest_difference:.2g}; the tolerance is {self.tolerance:g}"


def runner(network: Any, path: Path) -> Runner:
    """What serves a student that was exported to this file."""
    from stillroom.runtime.runners.onnx_causal import OnnxCausal as Serving

    return Serving(encoder=network.encoder, file=path.name, form=network.form, ends=tuple(network.ends),
                   renames=not network.names.same)  # fmt: skip


def files(network: Any, folder: Path, path: Path) -> tuple[str, ...]:
    """The names of what serves a student that was exported to this file."""
    return (*onnx.files(folder, path), *network.names.save(folder))


def graph(network: Any, folder: Path) -> Path:
    """The student as a graph: inputs `ids`, `mask` and `past`, outputs `logits` and `now`, which is the next `past`."""
    import torch

    path = folder / FILE
    if path.is_file():
        return path
    inner = network.module.inner
    config = inner.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None)
    width = width or config.hidden_size // config.num_attention_heads
    inputs = {
        "ids": torch.tensor([[1, 2, 3], [3, 4, 0]]),
        "mask": torch.tensor([[True] * 8, [*[True] * 7, False]]),
        "past": torch.zeros((config.num_hidden_layers, 2, 2, heads, 5, width)),
    }
    axes = ({0: "batch", 1: "length"}, {0: "batch", 1: ""}, {2: "batch", 4: "past"})
    onnx.trace(_remembering(inner), path, inputs=inputs, outputs=("logits", "now"), axes=axes)
    return path


def _remembering(inner: Any) -> nn.Module:
    """A language model whose keys and values of the tokens before are one tensor, in and out."""
    import torch
    from transformers.cache_utils import DynamicCache

    class Remembering(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, ids: Any, mask: Any, past: Any) -> Any:
            """`past` is `[layers, 2, batch, heads, tokens, width]`."""
            cache = DynamicCache(ddp_cache_data=[(layer[0], layer[1]) for layer in past])
            said = self.inner(input_ids=ids, attention_mask=mask.long(), past_key_values=cache, use_cache=True)
            now = [torch.stack([layer.keys, layer.values]) for layer in said.past_key_values.layers]
            return said.logits, torch.stack(now)

    return cast("nn.Module", Remembering().eval())
