"""Takes heads and feed-forward units out of a transformer's layers: those that its answers depend on least.

How much an answer depends on a part is the gradient times the activation of a switch put before it (Michel et al.
1905.10650; FastFormers 2010.13382), here of the log-probability of an answer that the network draws from its own: at
the teacher itself the divergence to the teacher has no gradient, its own distribution has. Of labels that is a label;
of vectors it is one with chance around its own, whose log-probability has that chance as gradient. What is left out is
gone from the matrices, so a cut network is smaller and quicker wherever it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, final

import torch
from torch import nn

from stillroom.core import batches, seeds
from stillroom.core.errors import MismatchError, Problem
from stillroom.students import Ids
from stillroom.teachers import _listening

if TYPE_CHECKING:
    from torch import Tensor

_BUDGET = 2048  # padded ids a batch
_SOFTENED = 4.0  # the temperature of its own answer: at 1, texts that it is sure of would say nothing
_PARTS = (("query", "q_lin", "q"), ("key", "k_lin", "k"), ("value", "v_lin", "v"))
_MIXED = ("attention.output.dense", "attention.out_lin", "attention.attn.o")
_UP, _DOWN = ("intermediate.dense", "ffn.lin1"), ("output.dense", "ffn.lin2")


#: The log-probability of what is drawn from a network's own answers to texts, from their ids and mask, all in all.
Drawn = Callable[["Tensor", "Tensor", torch.Generator], "Tensor"]


@final
@dataclass(frozen=True)
class Layer:
    """The linear maps of one layer: into heads and out of them, up to feed-forward units and down again."""

    into: tuple[nn.Linear, ...]
    out: nn.Linear
    up: nn.Linear
    down: nn.Linear


@final
@dataclass(frozen=True)
class Importance:
    """How much depends on each head and each feed-forward unit of a layer."""

    heads: Tensor
    units: Tensor


def parts(inner: Any) -> list[Layer]:
    """Each layer's linear maps.

    Raises:
        MismatchError: an architecture whose layers are built otherwise.
    """
    holder, name = _listening.stack(inner)
    found = []
    for layer in getattr(holder, name):
        linear = {path: one for path, one in layer.named_modules() if isinstance(one, nn.Linear)}
        into = [next((one for path, one in linear.items() if path.rpartition(".")[2] in names), None)
                for names in _PARTS]  # fmt: skip
        out, up, down = (
            next((linear[path] for path in paths if path in linear), None) for paths in (_MIXED, _UP, _DOWN)
        )
        if out is None or up is None or down is None or None in into:
            expected = "layers as BERT, RoBERTa, ELECTRA, DistilBERT or MPNet has them"
            todo = "Leave `heads`, `feed_forward`, `width` and `exits` out, or use another teacher."
            raise MismatchError(Problem("student", f"a {type(inner).__name__}", expected, todo))
        found.append(Layer(tuple(one for one in into if one is not None), out, up, down))
    return found


def importance(inner: Any, ids: Sequence[Ids], *, seed: int, drawn: Drawn | None = None) -> list[Importance]:
    """What each layer's heads and units are worth to the network's own answers to these texts.

    `drawn` is for answers that are no labels; it asks the network as a part of what answers so.
    """
    layers = parts(inner)
    heads = int(inner.config.num_attention_heads)
    found = [Importance(torch.zeros(heads), torch.zeros(one.down.in_features)) for one in layers]
    generator = torch.Generator().manual_seed(seeds.derive(seed, "students/transformer/pruning"))
    ask = drawn or partial(_label_drawn, inner)
    frozen = [weight for weight in inner.parameters() if weight.requires_grad]
    for weight in frozen:
        weight.requires_grad_(False)
    try:
        for rows in batches.by_tokens([len(one) for one in ids], budget=_BUDGET):
            padded, mask = (torch.from_numpy(one) for one in batches.pad([ids[row] for row in rows]))
            for one, (mixed, units) in zip(found, _gated(ask, layers, padded, mask, generator), strict=True):
                one.heads.add_(mixed.unflatten(-1, (heads, -1)).sum(dim=(1, 3)).abs().sum(dim=0))
                one.units.add_(units.sum(dim=1).abs().sum(dim=0))
    finally:
        for weight in frozen:
            weight.requires_grad_(True)
    return found


def _gated(
    ask: Drawn, layers: Sequence[Layer], ids: Tensor, mask: Tensor, generator: torch.Generator
) -> list[tuple[Tensor, Tensor]]:
    """By layer, activation times gradient before the way out of its heads and of its units."""
    caught: dict[int, Tensor] = {}

    def catch(place: int) -> Any:
        def hook(_module: Any, inputs: tuple[Tensor]) -> tuple[Tensor]:
            caught[place] = inputs[0].detach().requires_grad_() if not inputs[0].requires_grad else inputs[0]
            return (caught[place],)

        return hook

    linear = [one for layer in layers for one in (layer.out, layer.down)]
    hooks = [one.register_forward_pre_hook(catch(place)) for place, one in enumerate(linear)]
    try:
        said = ask(ids, mask, generator)
    finally:
        for one in hooks:
            one.remove()
    gradients = torch.autograd.grad(said, [caught[place] for place in range(len(linear))])
    worth = [caught[place].detach() * one for place, one in enumerate(gradients)]
    return list(zip(worth[::2], worth[1::2], strict=True))


def _label_drawn(inner: Any, ids: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    logits = inner(input_ids=ids, attention_mask=mask.long()).logits / _SOFTENED
    if logits.dim() > 2:  # an answer a token
        logits = logits[mask]
    drawn = torch.multinomial(torch.softmax(logits.detach(), dim=-1), 1, generator=generator)
    return torch.log_softmax(logits, dim=-1).gather(1, drawn).sum()


def vector_drawn(module: nn.Module, ids: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """The same of a network that answers with vectors, but for what has no gradient."""
    vectors: Tensor = module(ids, mask)
    return (vectors * torch.randn(vectors.shape, generator=generator)).sum()


def cut(inner: Any, worth: Sequence[Importance], *, heads: int | None, feed_forward: int | None) -> None:
    """Take all but so many heads and units out of every layer.

    Raises:
        MismatchError: more than there are, or heads that share what they know of positions.
    """
    have = {"heads": int(inner.config.num_attention_heads), "feed_forward": parts(inner)[0].down.in_features}
    asked = {name: one for name, one in (("heads", heads), ("feed_forward", feed_forward)) if one is not None}
    for name, number in asked.items():
        if number > have[name]:
            expected = f"at most the {have[name]} that the teacher has in a layer"
            raise MismatchError(Problem(f"student.{name}", str(number), expected, "Ask for fewer."))
    if heads is not None and any("relative_attention_bias" in name for name, _ in inner.named_parameters()):
        expected = "heads that each layer has for itself"
        todo = "Leave `heads` out: `feed_forward` works here."
        raise MismatchError(Problem("student.heads", f"a {type(inner).__name__}", expected, todo))
    for layer, one in zip(parts(inner), worth, strict=True):
        if heads is not None:
            width = layer.out.in_features // have["heads"]
            columns = (_most(one.heads, heads)[:, None] * width + torch.arange(width)).flatten()
            for linear in layer.into:
                _keep(linear, outputs=columns)
            _keep(layer.out, inputs=columns)
        if feed_forward is not None:
            units = _most(one.units, feed_forward)
            _keep(layer.up, outputs=units)
            _keep(layer.down, inputs=units)


def _most(worth: Tensor, number: int) -> Tensor:
    """The places of the greatest, in their old order; of equals the first."""
    return torch.argsort(worth, descending=True, stable=True)[:number].sort().values


def _keep(linear: nn.Linear, *, outputs: Tensor | None = None, inputs: Tensor | None = None) -> None:
    with torch.no_grad():
        weight = linear.weight if outputs is None else linear.weight[outputs]
        linear.weight = nn.Parameter((weight if inputs is None else weight[:, inputs]).clone())
        if outputs is not None and linear.bias is not None:
            linear.bias = nn.Parameter(linear.bias[outputs].clone())
    linear.out_features, linear.in_features = linear.weight.shape


def reshape(inner: Any, *, heads: int | None, feed_forward: int | None) -> None:
    """Give a network the shape that `cut` leaves, whatever its weights: they are about to be read."""
    have = int(inner.config.num_attention_heads)
    alike = [Importance(torch.zeros(have), torch.zeros(one.down.in_features)) for one in parts(inner)]
    cut(inner, alike, heads=heads, feed_forward=feed_forward)
