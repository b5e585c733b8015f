"""Makes the stream that a transformer's layers read from and add to narrower, by projection on what it varies in.

As SliceGPT (2401.15024), each stretch of the stream, from one layer norm to the next, gets an orthonormal basis of its
own: the principal directions of what was seen to run there. A layer norm commutes with a rotation but for two things.
It takes out the mean, a direction like any other: each basis holds it, turned so that it lies along the student's own
mean. And it has a gain and a bias for each coordinate, which in other coordinates are a linear map. So in the student a
norm is the plain one with a linear map after it, which also leads from one basis into the next. At full width nothing
is lost. Heads and feed-forward units keep their number and size: those are for `pruning`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import torch
from torch import nn

from stillroom.core import batches
from stillroom.core.errors import MismatchError, Problem
from stillroom.students import Ids
from stillroom.students.transformer import pruning
from stillroom.teachers import _listening

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

_BUDGET = 4096  # padded ids a batch
_TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")
_AFTER_HEADS = ("attention.output.LayerNorm", "sa_layer_norm", "attention.LayerNorm")
_AFTER_UNITS = ("output.LayerNorm", "output_layer_norm")
_HEADS = ("pooler.dense", "classifier.dense", "pre_classifier")


@final
@dataclass(frozen=True)
class Stretch:
    """A stretch of the stream: who reads it, who adds to it, and the norm that it ends in."""

    readers: tuple[nn.Linear, ...]
    writers: tuple[nn.Linear | nn.Embedding, ...]
    holder: nn.Module | None = None
    """The module that has the norm; none: it ends in the head."""
    name: str = ""
    """The norm's name there."""

    @property
    def norm(self) -> nn.LayerNorm:
        """The norm."""
        found: nn.LayerNorm = getattr(self.holder, self.name)
        return found


def stretches(inner: Any) -> list[Stretch]:
    """The stream from its tables of vectors to the head.

    Raises:
        MismatchError: an architecture that is built otherwise.
    """
    layers, body = pruning.parts(inner), inner.base_model
    widened = getattr(body, "embeddings_project", None)
    begins = [] if widened is None else [widened]
    found = []
    if widened is None:  # else the tables have a width of their own
        tables = [one for name in _TABLES if (one := getattr(body.embeddings, name, None)) is not None]
        found.append(Stretch((), tuple(tables), body.embeddings, "LayerNorm"))
    holder, name = _listening.stack(inner)
    for layer, linear in zip(getattr(holder, name), layers, strict=True):
        found.append(Stretch(linear.into, (*begins, linear.out), *_norm(inner, layer, _AFTER_HEADS)))
        found.append(Stretch((linear.up,), (linear.down,), *_norm(inner, layer, _AFTER_UNITS)))
        begins = []
    # Where tokens are answered for, the head is one linear map.
    heads = (one for path, one in inner.named_modules() if path.endswith(_HEADS) or path == "classifier")
    head = next((one for one in heads if isinstance(one, nn.Linear)), None)
    if head is None:
        raise _refused(inner)
    return [*found, Stretch((head,), ())]


def _norm(inner: Any, layer: nn.Module, names: Sequence[str]) -> tuple[nn.Module, str]:
    modules = dict(layer.named_modules())
    for path in names:
        if isinstance(modules.get(path), nn.LayerNorm):
            before, _, name = path.rpartition(".")
            return modules[before], name
    raise _refused(inner)


def _refused(inner: Any) -> MismatchError:
    expected = "layers and a head as BERT, RoBERTa, ELECTRA, DistilBERT or MPNet has them"
    todo = "Leave `width` out, or use another teacher."
    return MismatchError(Problem("student.width", f"a {type(inner).__name__}", expected, todo))


def narrow(inner: Any, ids: Sequence[Ids], *, width: int) -> None:
    """Project the network on so many directions, those that its stream varies in most on these texts.

    Raises:
        MismatchError: wider than it is, or of an architecture that is built otherwise.
    """
    stream = stretches(inner)
    wide = stream[-1].readers[0].in_features
    if width > wide:
        expected = f"at most the {wide} that the teacher has"
        raise MismatchError(Problem("student.width", str(width), expected, "Ask for fewer."))
    moments = [torch.zeros(wide, wide, dtype=torch.float64) for _ in stream]

    def count(place: int, said: Tensor) -> None:
        # What is read and what is normed count alike, whatever their sizes.
        moments[place] += said.T @ said / said.square().sum(dim=1).mean()

    with _heard(stream, count) as masks, torch.inference_mode():
        for rows in batches.by_tokens([len(one) for one in ids], budget=_BUDGET):
            padded, mask = (torch.from_numpy(one) for one in batches.pad([ids[row] for row in rows]))
            masks.append(mask)
            inner(input_ids=padded, attention_mask=mask.long())
    _rotate(stream, [basis(one, width) for one in moments])


def reshape(inner: Any, *, width: int) -> None:
    """Give a network the shape that `narrow` leaves, whatever its weights: they are about to be read."""
    stream = stretches(inner)
    wide = stream[-1].readers[0].in_features
    _rotate(stream, [torch.eye(wide, width, dtype=torch.float64)] * len(stream))


@contextmanager
def _heard(stream: Sequence[Stretch], hear: Callable[[int, Tensor], None]) -> Iterator[list[Tensor]]:
    """While this is open, hear of each stretch what runs in it: where it begins, where it is normed, and at the head.

    It gives the list that the mask of each batch has to be put in.
    """
    masks: list[Tensor] = []

    def tell(place: int, said: Tensor) -> None:
        hear(place, (said[masks[-1]] if said.dim() == 3 else said).double())

    def norm(place: int) -> Any:
        def hook(_module: Any, inputs: tuple[Tensor], output: Tensor) -> None:
            tell(place, inputs[0])
            tell(place + 1, output)

        return hook

    def head(_module: Any, inputs: tuple[Tensor]) -> None:
        tell(len(stream) - 1, inputs[0])

    hooks = [one.norm.register_forward_hook(norm(place)) for place, one in enumerate(stream[:-1])]
    hooks.append(stream[-1].readers[0].register_forward_pre_hook(head))
    try:
        yield masks
    finally:
        for one in hooks:
            one.remove()


def basis(moment: Float[Tensor, "wide wide"], width: int) -> Float[Tensor, "wide width"]:
    """The direction of the mean and the principal ones beside it, turned so that the mean stays the mean."""
    from_mean = _from_mean(len(moment))
    centred = from_mean[:, 1:]
    principal = torch.linalg.eigh(centred.T @ moment @ centred).eigenvectors.flip(1)[:, : width - 1]
    return torch.cat([from_mean[:, :1], centred @ principal], dim=1) @ _from_mean(width).T


def _from_mean(size: int) -> Float[Tensor, "size size"]:
    """An orthonormal basis whose first direction is the mean's: the plain one in a mirror."""
    between = torch.full((size,), size**-0.5, dtype=torch.float64)
    between[0] -= 1.0
    between /= between.norm()
    return torch.eye(size, dtype=torch.float64) - 2.0 * torch.outer(between, between)


def _rotate(stream: Sequence[Stretch], bases: Sequence[Float[Tensor, "wide width"]]) -> None:
    """Take the network into these coordinates, a basis for each stretch."""
    with torch.no_grad():
        for place, (one, own) in enumerate(zip(stream, bases, strict=True)):
            if one.holder is not None:
                setattr(one.holder, one.name, _renormed(one.norm, own, bases[place + 1]))
            for reader in one.readers:
                reader.weight = nn.Parameter((reader.weight.double() @ own).float())
                reader.in_features = own.shape[1]
            for writer in one.writers:
                _write(writer, own)


def _renormed(norm: nn.LayerNorm, own: Tensor, following: Tensor) -> nn.Sequential:
    """The norm as a plain one in its own basis, and a linear map into the following one."""
    wide, width = own.shape
    # A norm brings each vector to the root of its width: here to that of the teacher's.
    share = wide / width
    mixed = nn.utils.skip_init(nn.Linear, width, width)
    mixed.weight.copy_(following.T @ (norm.weight.double()[:, None] * own) * share**0.5)
    mixed.bias.copy_(following.T @ norm.bias.double())
    return nn.Sequential(nn.LayerNorm(width, eps=norm.eps * share, elementwise_affine=False), mixed)


def _write(writer: nn.Linear | nn.Embedding, own: Tensor) -> None:
    if isinstance(writer, nn.Embedding):
        writer.weight = nn.Parameter((writer.weight.double() @ own).float())
        writer.embedding_dim = own.shape[1]
    else:
        writer.weight = nn.Parameter((own.T @ writer.weight.double()).float())
        writer.bias = nn.Parameter((own.T @ writer.bias.double()).float())
        writer.out_features = own.shape[1]
