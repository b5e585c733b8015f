"""A fine-tuned classifier in the layout of `transformers`: a folder, a hub name, or a folder inside a package."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import artifact, batches, signals
from stillroom.core.artifact import Draft
from stillroom.core.progress import Report
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.students import Inside
from stillroom.tasks import Task
from stillroom.teachers import (
    Desk,
    Identity,
    LoadedTeacher,
    Precision,
    Teacher,
    _listening,
    _pretrained,
    _speaking,
    refuse_other_labels,
)
from stillroom.teachers._fitting import Fit

if TYPE_CHECKING:
    from torch import Tensor

    from stillroom.corpus import Learnable
    from stillroom.runtime.encoders import Encode, ReadWords

_TEACHER = "teacher.json"


@final
class HuggingFace(Teacher):
    """A network in the layout of `transformers`, fine-tuned to label texts or words, or one that tells what comes next.

    Remote code is never run, pickled weights never read.
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "causal"})

    kind: Literal["huggingface"] = "huggingface"
    model: str
    """A folder, a hub name, or `package:<import name>/<folder>` for one that ships inside a Python package."""
    revision: str | None = None
    """The revision, for a hub name."""
    labels: tuple[str, ...] | None = None
    """The names of its outputs in its order, for a checkpoint that does not say them itself (`LABEL_0` …)."""
    start: str = ""
    """The token that texts begin with, for one that tells what comes next; none: what its config names for it."""
    licence: str = ""
    """The licence of its weights, or of what it said."""
    price_per_million_texts: float = 0.0
    """What asking it costs, where somebody bills for that; otherwise it is measured."""

    @property
    def signals(self) -> frozenset[str]:
        """All there are."""
        return signals.KINDS

    def inputs(self, corpus: Learnable) -> dict[str, str]:
        """The digest of the folder."""
        return {"model": _pretrained.folder_digest(self._folder())}

    def prepare(self, draft: Draft, *, task: Task, corpus: Learnable, fit: Fit, seed: int, report: Report) -> None:
        """Note where it is and what it is; its weights stay where they are."""
        folder = self._folder()
        if task.names:
            refuse_other_labels(_pretrained.labels(folder, stated=self.labels), task=task, where="teacher.model")
        artifact.write_json(draft.folder / _TEACHER, {"model": self.model, "digest": _pretrained.folder_digest(folder)})

    def open(self, folder: Path, *, task: Task, desk: Desk | None = None) -> LoadedTeacher:
        """The checkpoint."""
        where = self._folder()
        name = where.name if Path(self.model).is_dir() else self.model
        price = self.price_per_million_texts
        if task.shape == "causal":
            network = _pretrained.load_network(where, form=task.form)
            plain = _pretrained.tokenizer_file(where).read_text(encoding="utf-8")
            tokenizer = _speaking.begun(plain, network, start=self.start, where="teacher")
            digest = _pretrained.folder_digest(where)
            return _speaking.LanguageModel(network, tokenizer, name=name, weights=digest, licence=self.licence,
                                           price=price, task=task)  # fmt: skip
        labels = _pretrained.labels(where, stated=self.labels)
        return Checkpoint(where, name=name, task=task, labels=labels, licence=self.licence, price=price)

    def _folder(self) -> Path:
        return _pretrained.locate(self.model, revision=self.revision, where="teacher.model")


@final
class Checkpoint:
    """A classifier of texts or of words in a folder, in fp32 and, where the CPU computes in it, in bf16."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        task: Task,
        labels: Sequence[str] | None = None,
        licence: str = "",
        price: float = 0.0,
    ) -> None:
        from tokenizers import Tokenizer

        self._labels = tuple(labels or _pretrained.labels(folder))
        self._folder, self._name, self._licence, self._price = folder, name, licence, price
        self._task = task
        self._tokenizer = Tokenizer.from_file(str(_pretrained.tokenizer_file(folder)))
        self._tokenizer.no_padding()
        self._networks: dict[Precision, Any] = {"fp32": _pretrained.load_network(folder, form=task.form)}
        self._encoder = Tokens(special=True, max_tokens=_pretrained.longest_input(self.network()))

    @cached_property
    def encode(self) -> Encode:
        """The ids of each text, special tokens included, cut at the longest input."""
        return self._encoder.read(self._tokenizer.to_str())

    @cached_property
    def read(self) -> ReadWords:
        """The same, and the words of the texts."""
        return self._encoder.read_words(self._tokenizer.to_str())

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Fp32, and bf16 where the CPU has instructions for it."""
        return ("fp32", "bf16") if _pretrained.cpu_computes_in_bf16() else ("fp32",)

    @property
    def layers(self) -> int:
        """The layers of its encoder."""
        return int(self.network().config.num_hidden_layers)

    def identify(self) -> Identity:
        """Who it is."""
        return self._identity

    @cached_property
    def _identity(self) -> Identity:
        return Identity(
            name=self._name,
            weights=_pretrained.folder_digest(self._folder),
            tokenizer=artifact.sha256(self.tokenizer_json().encode()),
            labels=self._labels,
            licence=self._licence,
            price_per_million_texts=self._price,
        )

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """What is wanted of each text: texts of like length together, no more padding than that leaves."""
        import torch

        network = self._in(precision)
        form = self._task.form
        ids, words = form.read(self, texts)
        sheet = form.sheet(len(ids), outputs=len(self._task.outputs), words=words)
        further: dict[str, list[Any]] = {name: [None] * len(ids) for name in sorted(wanted - signals.LOGITS)}
        with torch.inference_mode():
            for rows in batches.by_tokens([len(one) for one in ids], budget=tokens_per_batch):
                padded, mask = batches.pad([ids[row] for row in rows])
                found = _listening.listen(network, torch.from_numpy(padded), torch.from_numpy(mask), wanted)
                sheet.put(rows, found["logits"].float().numpy())
                for name, kept in further.items():
                    told = found[name].float().numpy().astype(np.float16)
                    for place, row in enumerate(rows):
                        kept[row] = _unpadded(told[place], tokens=len(ids[row]), axes=signals.token_axes(name))
        said: dict[str, NDArray[Any]] = form.said(sheet.outputs)
        said |= {name: _end_to_end(kept, axes=signals.token_axes(name)) for name, kept in further.items() if ids}
        if signals.over_tokens(wanted):
            said[signals.TOKENS] = np.array([len(one) for one in ids], dtype=np.int64)
        return said, sum(len(one) for one in ids)

    def network(self) -> Any:
        """The classifier in fp32."""
        return self._networks["fp32"]

    def inside(self) -> Inside:
        """The classifier, to be looked into."""
        network = self.network()

        def answer(ids: Tensor, mask: Tensor) -> Tensor:
            return _listening.listen(network, ids, mask, signals.LOGITS)["logits"]

        return Inside(answer, network.get_input_embeddings(), self._encoder.trace(self.tokenizer_json()),
                      _listening.blank(network))  # fmt: skip

    def tokenizer_json(self) -> str:
        """The tokenizer, without truncation and padding, which are not its own."""
        from tokenizers import Tokenizer

        plain = Tokenizer.from_str(self._tokenizer.to_str())
        plain.no_padding()
        plain.no_truncation()
        return str(plain.to_str())

    def _in(self, precision: Precision) -> Any:
        if precision not in self._networks:
            import torch

            network = copy.deepcopy(self.network()).to(torch.bfloat16)
            self._networks[precision] = network
        return self._networks[precision]


def _unpadded(said: NDArray[np.float16], *, tokens: int, axes: int) -> NDArray[np.float16]:
    """What was said of one text, its token axes flattened into one, without padding."""
    inside = said[(slice(tokens),) * axes]
    return inside.reshape(-1, *inside.shape[axes:]) if axes else inside


def _end_to_end(said: Sequence[NDArray[np.float16]], *, axes: int) -> NDArray[np.float16]:
    return np.concatenate(said) if axes else np.stack(said)
