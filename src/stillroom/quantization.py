"""Trains a network under the rounding that the format `onnx_int8` will do to it, so that its weights learn to bear it.

What is rounded, and how, is what ONNX Runtime's `quantize_dynamic` does with weights per channel (a test holds us to
it): each linear layer's weights to −64 … 64 per output in seven bits, to −127 … 127 in eight, its inputs to 0 … 255
over the whole batch as they come, and each table of vectors to 0 … 255 as a whole. Gradients pass straight through
(Bengio et al. 1308.3432): ranges follow the data, so nothing is ever clipped. Weights stay plain; outside `rounded`
nothing has changed. Only for students whose export computes with the very layers that they are trained with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor, nn

#: The most steps to either side, by bits.
_SIGNED = {7: 64, 8: 127}
_UNSIGNED = 255


@contextlib.contextmanager
def rounded(modules: Iterable[nn.Module], *, weight_bits: int = 7) -> Iterator[None]:
    """While this is open, linear layers and tables in these modules compute as their export in eight bits will.

    Tables with sparse gradients are left alone: no student is exported with one.
    """
    from torch import nn

    held: list[nn.Module] = []
    try:
        for module in (part for one in modules for part in one.modules()):
            if isinstance(module, nn.Linear):
                module.forward = partial(_linear, module, weight_bits)  # type: ignore[method-assign]  # until below
            elif isinstance(module, nn.Embedding) and not module.sparse:
                module.forward = partial(_table, module)  # type: ignore[method-assign]  # the same
            else:
                continue
            held.append(module)
        yield
    finally:
        for module in held:
            del module.forward


def weights(plain: Float[Tensor, "outputs inputs"], *, bits: int = 7) -> Float[Tensor, "outputs inputs"]:
    """A linear layer's weights, rounded per output to steps of the same size on both sides of 0."""
    largest = plain.detach().abs().amax(dim=1, keepdim=True)
    step = _whole(largest / _SIGNED[bits])
    return _straight(plain, (plain.detach() / step).round() * step)


def activations(plain: Tensor) -> Tensor:
    """What goes into a linear layer, rounded to 0 … 255 steps between its least and its greatest value, 0 on a step."""
    low, high = plain.detach().aminmax()
    return _between(plain, low, high)


def _between(plain: Tensor, low: Tensor, high: Tensor) -> Tensor:
    low, high = low.clamp(max=0), high.clamp(min=0)
    step = _whole((high - low) / _UNSIGNED)
    zero = (-low / step).round().clamp(0, _UNSIGNED)
    steps = ((plain.detach() / step).round() + zero).clamp(0, _UNSIGNED)
    return _straight(plain, (steps - zero) * step)


def _whole(step: Tensor) -> Tensor:
    """A step that can be divided by: where everything is 0, any will do."""
    import torch

    return torch.where(step > 0, step, torch.ones_like(step))


def _straight(plain: Tensor, rounded_: Tensor) -> Tensor:
    return plain + (rounded_ - plain).detach()


def _linear(module: nn.Linear, weight_bits: int, inputs: Tensor) -> Tensor:
    import torch

    # Half precision would round a second time, which the export does not.
    with torch.autocast(inputs.device.type, enabled=False):
        return torch.nn.functional.linear(
            activations(inputs.float()), weights(module.weight, bits=weight_bits), module.bias
        )


def _table(module: nn.Embedding, ids: Int[Tensor, "*place"]) -> Float[Tensor, "*place width"]:
    from torch import nn

    low, high = module.weight.detach().aminmax()
    return _between(nn.Embedding.forward(module, ids), low, high)
