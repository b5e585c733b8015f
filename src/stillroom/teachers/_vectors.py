"""What teachers of vectors share: how vectors are turned, and several of them side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, final, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from stillroom.core import artifact, signals
from stillroom.core.errors import MismatchError, Problem
from stillroom.core.progress import Meter, Report
from stillroom.tasks import Task
from stillroom.teachers import Identity, LoadedTeacher, Precision

if TYPE_CHECKING:
    from stillroom.corpus import Learnable

_SEEN = 4096  # texts that are looked at to find what vectors vary in
_BUDGET = 8192
EMBEDDING = frozenset({"embedding"})


@runtime_checkable
class Embeds(Protocol):
    """A teacher whose vectors can be had as they are, whatever the task wants of them."""

    def whole(self) -> LoadedTeacher:
        """The teacher, with all dimensions, not turned."""


def found_turn(loaded: LoadedTeacher, *, task: Task, corpus: Learnable, report: Report) -> NDArray[np.float32] | None:
    """How a teacher's vectors are to be turned for a task, `[dimensions, width]`; None: they stay as they are.

    Turned are those of which not all dimensions are used at once: by the principal directions of some texts' vectors,
    not centred, so that with all dimensions no cosine changes.

    Raises:
        MismatchError: vectors of fewer dimensions than the task asks for.
    """
    wanted, width = len(task.outputs), len(loaded.identify().labels)
    if wanted > width:
        expected = f"at most the {width} that the teacher's vectors have"
        raise MismatchError(Problem("task.dimensions", str(wanted), expected, "Set it to that, or to fewer."))
    if wanted == width and not task.lengths:
        return None
    parts = (corpus.train, corpus.unlabelled, corpus.dev)
    texts = list(islice((text for part in parts for text in part.texts()), _SEEN))
    meter = Meter(report, stage="teacher", total=len(texts), unit="texts")
    meter.note("looking for what vectors vary in")
    spread = np.zeros((width, width))
    for start in range(0, len(texts), 256):
        some = texts[start : start + 256]
        said, _ = loaded.ask(some, precision=loaded.precisions[-1], tokens_per_batch=_BUDGET, wanted=EMBEDDING)
        table = said["embedding"].astype(np.float64)
        spread += table.T @ table
        meter.advance(len(some))
    _, directions = np.linalg.eigh(spread)
    # The sign of an eigenvector is the solver's whim: we fix it, so that another build of it answers the same.
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(width)])
    return np.ascontiguousarray(directions[:, ::-1][:, :wanted].T, dtype=np.float32)


def turned(vectors: NDArray[np.float32], turn: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Vectors in their new directions, at length one."""
    found = vectors if turn is None else vectors @ turn.T
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12), dtype=np.float32)


@final
class SideBySide:
    """Teachers whose vectors stand side by side: the cosine of two texts is the weighted mean of the members' own."""

    def __init__(
        self,
        members: Sequence[LoadedTeacher],
        *,
        weights: Sequence[float],
        lead: int,
        turn: NDArray[np.float32] | None = None,
        licence: str = "",
    ) -> None:
        self._members, self._lead, self._turn, self._licence = members, members[lead], turn, licence
        self._weights = np.array(weights, dtype=np.float64) / sum(weights)

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Those of any member: one that has no other is asked in fp32."""
        return ("fp32", "bf16") if any("bf16" in one.precisions for one in self._members) else ("fp32",)

    @property
    def layers(self) -> int:
        """None that they tell of."""
        return 0

    def identify(self) -> Identity:
        """Who they are together."""
        known = [one.identify() for one in self._members]
        told = {"members": [one.as_dict() for one in known], "weights": self._weights.tolist()}
        licences = list(dict.fromkeys(one.licence for one in known))
        width = sum(len(one.labels) for one in known) if self._turn is None else len(self._turn)
        return Identity(
            name=f"ensemble (side by side) of {', '.join(one.name for one in known)}",
            weights=artifact.sha256(artifact.canonical(told)),
            tokenizer=self._lead.identify().tokenizer,
            labels=tuple(str(one) for one in range(width)),
            licence=self._licence or (" AND ".join(licences) if all(licences) else ""),
            price_per_million_texts=sum(one.price_per_million_texts or 0.0 for one in known),
            answers="embedding",
        )

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """The members' vectors, each weighed by the root of its weight, side by side and turned."""
        sides, tokens = [], 0
        for one, weight in zip(self._members, self._weights.tolist(), strict=True):
            own = precision if precision in one.precisions else "fp32"
            said, read = one.ask(texts, precision=own, tokens_per_batch=tokens_per_batch, wanted=EMBEDDING)
            sides.append(np.sqrt(weight) * said["embedding"])
            tokens += read
        return {"embedding": turned(np.concatenate(sides, axis=1), self._turn)}, tokens

    def network(self) -> Any:
        """The lead's."""
        return self._lead.network()

    def tokenizer_json(self) -> str:
        """The lead's."""
        return self._lead.tokenizer_json()
