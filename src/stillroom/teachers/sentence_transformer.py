"""A model in the layout of sentence-transformers: it answers each text with a vector."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from stillroom.core import artifact, batches, signals
from stillroom.core.artifact import Draft
from stillroom.core.errors import InputError, Problem, missing_extra
from stillroom.core.progress import Report
from stillroom.runtime.encoders import Encode
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.students import Inside
from stillroom.tasks import Task
from stillroom.teachers import Desk, Identity, LoadedTeacher, Precision, Teacher, _listening, _pretrained
from stillroom.teachers._fitting import Fit
from stillroom.teachers._vectors import found_turn, turned

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer as Model
    from torch import Tensor

    from stillroom.corpus import Learnable

_MODULES = "modules.json"
TURN = "turn.safetensors"
_OWN = "sentence_transformers."


@final
class SentenceTransformer(Teacher):
    """A model in the layout of sentence-transformers; remote code is never run, pickled weights never read.

    Its vectors are brought to length one. Where the task has fewer dimensions than they, or prefixes that have to do
    alone, they are turned so that the first dimensions hold most (the principal directions of some texts' vectors, not
    centred): with all dimensions no cosine changes.
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"vectors"})

    kind: Literal["sentence_transformer"] = "sentence_transformer"
    model: str
    """A folder, a hub name, or `package:<import name>/<folder>` for one that ships inside a Python package."""
    revision: str | None = None
    """The revision, for a hub name."""
    licence: str = ""
    """The licence of its weights, or of what it said."""
    price_per_million_texts: float = 0.0
    """What asking it costs, where somebody bills for that; otherwise it is measured."""

    @property
    def packages(self) -> tuple[str, ...]:
        """What runs it."""
        return ("sentence-transformers",)

    @property
    def signals(self) -> frozenset[str]:
        """A vector a text."""
        return frozenset({"embedding"})

    def inputs(self, corpus: Learnable) -> dict[str, str]:
        """The digest of the folder."""
        return {"model": _pretrained.tree_digest(self._folder())}

    def prepare(self, draft: Draft, *, task: Task, corpus: Learnable, fit: Fit, seed: int, report: Report) -> None:
        """Find how its vectors are to be turned, if they are; its weights stay where they are.

        Raises:
            MismatchError: vectors of fewer dimensions than the task asks for.
        """
        turn = found_turn(self.whole(), task=task, corpus=corpus, report=report)
        if turn is not None:
            save_file({"turn": turn}, draft.folder / TURN)
        told = {"model": self.model, "digest": _pretrained.tree_digest(self._folder()), "turned": turn is not None}
        artifact.write_json(draft.folder / "teacher.json", told)

    def whole(self) -> LoadedTeacher:
        """The model with its vectors as they are."""
        return self._opened(None)

    def open(self, folder: Path, *, task: Task, desk: Desk | None = None) -> LoadedTeacher:
        """The model."""
        path = folder / TURN
        return self._opened(load_file(path)["turn"] if path.is_file() else None)

    def _opened(self, turn: NDArray[np.float32] | None) -> Embedder:
        where = self._folder()
        name = where.name if Path(self.model).is_dir() else self.model
        return Embedder(where, name=name, turn=turn, licence=self.licence, price=self.price_per_million_texts)

    def _folder(self) -> Path:
        return _pretrained.locate(self.model, revision=self.revision, where="teacher.model", holds=_MODULES)


@final
class Embedder:
    """A model in a folder, in fp32 and, where the CPU computes in it, in bf16."""

    def __init__(
        self, folder: Path, *, name: str, turn: NDArray[np.float32] | None = None, licence: str = "", price: float = 0.0
    ) -> None:
        self._folder, self._name, self._turn, self._licence, self._price = folder, name, turn, licence, price
        self._models: dict[Precision, Model] = {"fp32": _load(folder)}
        self._start = _pretrained.Encoder(folder)

    @property
    def width(self) -> int:
        """How many dimensions its vectors have."""
        return int(self._models["fp32"].get_embedding_dimension() or 0) if self._turn is None else len(self._turn)

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Fp32, and bf16 where the CPU has instructions for it."""
        return self._start.precisions

    @property
    def layers(self) -> int:
        """None that it tells of: it is asked for vectors."""
        return 0

    def identify(self) -> Identity:
        """Who it is."""
        return self._identity

    @cached_property
    def _identity(self) -> Identity:
        return Identity(
            name=self._name,
            weights=_pretrained.tree_digest(self._folder),
            tokenizer=artifact.sha256(self.tokenizer_json().encode()),
            labels=tuple(str(one) for one in range(self.width)),
            licence=self._licence,
            price_per_million_texts=self._price,
            answers="embedding",
        )

    @property
    def _encoder(self) -> Tokens:
        return Tokens(special=True, max_tokens=self._models["fp32"].max_seq_length)

    @cached_property
    def _lengths(self) -> Encode:
        return self._encoder.read(self.tokenizer_json())

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """The vector of each text: texts of like length together, no more padding than that leaves."""
        import torch

        model = self._in(precision)
        lengths = [len(one) for one in self._lengths(texts)]
        found = np.empty((len(texts), int(model.get_embedding_dimension() or 0)), dtype=np.float32)
        with torch.inference_mode():
            for rows in batches.by_tokens(lengths, budget=tokens_per_batch):
                told = model(model.preprocess([texts[row] for row in rows.tolist()]))["sentence_embedding"]
                found[rows] = told.float().numpy()
        return {"embedding": turned(found, self._turn)}, sum(lengths)

    def network(self) -> Any:
        """Its transformer, without what makes one vector of its tokens, and without positions that it never reads."""
        model = self._models["fp32"]
        inner = model[0].auto_model
        return inner if model.max_seq_length is None else _pretrained.shortened(inner, model.max_seq_length)

    def inside(self) -> Inside | None:
        """The model, to be looked into; None where it begins with no transformer."""
        import torch
        from torch.nn.functional import normalize

        model = self._models["fp32"]
        inner = getattr(model[0], "auto_model", None)
        if inner is None:
            return None
        turn = None if self._turn is None else torch.from_numpy(self._turn)

        def answer(ids: Tensor, mask: Tensor) -> Tensor:
            vectors = model({"input_ids": ids, "attention_mask": mask.long()})["sentence_embedding"]
            return normalize(vectors if turn is None else vectors @ turn.T, dim=-1)

        return Inside(answer, inner.get_input_embeddings(), self._encoder.trace(self.tokenizer_json()),
                      _listening.blank(inner))  # fmt: skip

    def tokenizer_json(self) -> str:
        """Its tokenizer, without truncation and padding, which are not its own."""
        return self._start.tokenizer_json()

    def _in(self, precision: Precision) -> Model:
        if precision not in self._models:
            import torch

            self._models[precision] = copy.deepcopy(self._models["fp32"]).to(torch.bfloat16)
        return self._models[precision]


def _load(folder: Path) -> Model:
    """The model in a folder, from safetensors, with modules of sentence-transformers' own only.

    Raises:
        InputError: it can't be loaded so.
        MissingExtra: sentence-transformers is not here.
    """
    try:
        import torch
        from safetensors import SafetensorError
        from sentence_transformers import SentenceTransformer as Model
        from transformers.utils import logging
    except ImportError as error:
        raise missing_extra("train", package="sentence-transformers", needed_by="teacher") from error
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    problems = list(_suspicious(folder))
    if problems:
        raise InputError(*problems)
    try:
        return Model(str(folder), device="cpu", local_files_only=True, trust_remote_code=False,
                     model_kwargs={"use_safetensors": True, "dtype": torch.float32}).eval()  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        expected = "a model of sentence-transformers in safetensors that needs no code of its own"
        found, todo = " ".join(str(error).split())[:200], "Save it again with sentence-transformers, as safetensors."
        raise InputError(Problem(str(folder), found, expected, todo)) from error


def _suspicious(folder: Path) -> Iterator[Problem]:
    """Modules that are not the library's own, and weights that only pickle reads."""
    try:
        modules = [
            (str(one["type"]), folder / str(one["path"])) for one in json.loads((folder / _MODULES).read_bytes())
        ]
    except (OSError, ValueError, KeyError, TypeError):
        todo = "Save it again with sentence-transformers."
        yield Problem(str(folder / _MODULES), "no list of modules", "what sentence-transformers wrote", todo)
        return
    for name, path in modules:
        if not name.startswith(_OWN):
            found, todo = f"the module `{name[:80]}`", "Take a model that needs no code of its own."
            yield Problem(str(folder / _MODULES), found, f"modules of {_OWN.rstrip('.')}", todo)
        if not path.resolve().is_relative_to(folder.resolve()):
            yield Problem(str(folder / _MODULES), f"the path `{path}`", "a folder inside it", "Correct it.")
        elif list(path.glob("*.bin")) and not list(path.glob("*.safetensors")):
            todo = "Save it again with sentence-transformers, as safetensors."
            yield Problem(str(path), "pickled weights", "safetensors", todo)
