"""What a classifier of `transformers` says and what goes on inside it, as signals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stillroom.core import signals
from stillroom.core.errors import MismatchError, Problem

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from torch import Tensor, nn

_PARTS = (("query", "q_lin", "q_proj", "q"), ("key", "k_lin", "k_proj", "k"), ("value", "v_lin", "v_proj", "v"))


def listen(
    inner: Any, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], wanted: frozenset[str]
) -> dict[str, Tensor]:
    """What a classifier of `transformers` says of a batch: logits, and the other signals that are wanted, padded.

    Teacher and student are listened to by this same function, so that a signal means the same on both sides.

    Raises:
        MismatchError: a signal that this architecture does not give.
    """
    kinds = {signals.kind(name) for name in wanted}
    if "attention" in kinds and inner.config._attn_implementation != "eager":
        inner.set_attn_implementation("eager")  # the quicker ones do not say what they look at
    # Where nothing is padded, no mask: attention is quicker without one.
    attention = None if bool(mask.all()) else mask.long()
    flags = {"output_hidden_states": bool(kinds & {"hidden", "embedding"}), "output_attentions": "attention" in kinds}
    with _heard(inner, {signals.layer(name) for name in wanted if signals.kind(name) == "relations"}) as heard:
        found = inner(input_ids=ids, attention_mask=attention, **{name: True for name, on in flags.items() if on})
    said: dict[str, Tensor] = {"logits": found.logits}
    for name in wanted - signals.LOGITS:
        said[name] = _signal(name, found, heard, mask)
    return said


def _signal(name: str, found: Any, heard: Mapping[int, Tensor], mask: Bool[Tensor, "batch length"]) -> Tensor:
    kind = signals.kind(name)
    if kind == "embedding":
        counted = mask.unsqueeze(-1).to(found.hidden_states[-1].dtype)
        total: Tensor = (found.hidden_states[-1] * counted).sum(dim=1)
        return total / counted.sum(dim=1).clamp(min=1)
    number = signals.layer(name)
    told = {"hidden": found.hidden_states, "relations": heard, "attention": found.attentions}[kind]
    try:
        # Attention is counted from the first layer; hidden states begin with what goes into it.
        layer: Tensor = told[number - 1] if kind == "attention" else told[number]
    except (IndexError, KeyError, TypeError) as error:
        found_ = f"`{name}` asked of a network that does not tell it"
        todo = "Choose another objective, or layers that there are."
        raise MismatchError(Problem("objective", found_, "a signal that it gives", todo)) from error
    return layer.permute(0, 2, 3, 1) if kind == "attention" else layer


@contextlib.contextmanager
def _heard(inner: Any, layers: set[int]) -> Iterator[dict[int, Tensor]]:
    """Queries, keys and values of these layers (the first is 1), `[batch, length, 3, width]`, once it has spoken."""
    import torch

    parts: dict[int, dict[int, Tensor]] = {number: {} for number in layers}
    found: dict[int, Tensor] = {}
    hooks = []

    def keep(number: int, part: int) -> Any:
        def hook(_module: Any, _inputs: Any, output: Tensor) -> None:
            parts[number][part] = output
            if len(parts[number]) == len(_PARTS):
                found[number] = torch.stack([parts[number][one] for one in range(len(_PARTS))], dim=2)

        return hook

    holder, name = stack(inner) if layers else (None, "")
    for number in layers:
        modules = list(getattr(holder, name)[number - 1].named_modules())
        for part, names in enumerate(_PARTS):
            linear = next((one for path, one in modules if path.rpartition(".")[2] in names), None)
            if linear is not None:
                hooks.append(linear.register_forward_hook(keep(number, part)))
    try:
        yield found
    finally:
        for one in hooks:
            one.remove()


def blank(inner: Any) -> Tensor:
    """The vector of padding, as a network of `transformers` has it; of one without any, zeros."""
    import torch

    padding = getattr(inner.config, "pad_token_id", None)
    with torch.no_grad():
        found: Tensor = torch.zeros(1) if padding is None else inner.get_input_embeddings()(torch.tensor(padding))
    return found


def stack(inner: Any) -> tuple[nn.Module, str]:
    """The module that holds the list of layers, and the list's name: the one list as long as the config says.

    Raises:
        MismatchError: there is none.
    """
    from torch import nn

    count = inner.config.num_hidden_layers
    for module in inner.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == count:
                return module, name
    found = f"no list of {count} layers in a {type(inner).__name__}"
    todo = "Use another student or teacher."
    raise MismatchError(Problem("student", found, "an encoder with a list of layers", todo))
