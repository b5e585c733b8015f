"""Makes a teacher ready: fitted or found once, opened when asked, and studied by a student that starts from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, final

from numpy.typing import NDArray

from stillroom.core import artifact, batches, signals
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.errors import MismatchError, Problem
from stillroom.core.progress import Report, silent
from stillroom.corpus import Learnable
from stillroom.students import Inside, Network, Student, Transparent
from stillroom.tasks import Task
from stillroom.teachers import Desk, Identity, LoadedTeacher, Precision, Teacher
from stillroom.teachers._fitting import Fit
from stillroom.teachers._forecast import Bills, Forecast

STAGE = "teacher"


def prepare(
    teacher: Teacher, *, task: Task, corpus: Learnable, fit: Fit, seed: int, store: Store, report: Report = silent
) -> Artifact:
    """The teacher's artifact, made if it is not there.

    Raises:
        InputError: something it is made from is not there, or its labels are not the task's.
    """

    def make(draft: Draft) -> None:
        teacher.prepare(draft, task=task, corpus=corpus, fit=fit, seed=seed, report=report)

    described = {"teacher": teacher.making, "task": task.teaching, "seed": seed}
    # One that is fitted here is fitted by all processes together.
    return store.obtain(STAGE, settings=described, inputs=teacher.inputs(corpus), make=make, resumable=True,
                        shared=teacher.needs_gold)  # fmt: skip


@final
class Opened:
    """A teacher that is loaded when it is first asked: a run that asks nothing new never loads it."""

    def __init__(self, teacher: Teacher, found: Artifact, *, task: Task, desk: Desk | None = None) -> None:
        self._teacher, self._found, self._task, self._desk = teacher, found, task, desk

    @cached_property
    def _loaded(self) -> LoadedTeacher:
        return self._teacher.open(self._found.folder, task=self._task, desk=self._desk)

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The teacher's."""
        return self._loaded.precisions

    def identify(self) -> Identity:
        """The teacher's identity."""
        return self._loaded.identify()

    @property
    def layers(self) -> int:
        """The teacher's."""
        return self._loaded.layers

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """Ask the teacher."""
        return self._loaded.ask(texts, precision=precision, tokens_per_batch=tokens_per_batch, wanted=wanted)

    def forecasts(self, texts: Iterable[str], *, further: int) -> Sequence[Forecast]:
        """The teacher's, where it bills for each request."""
        return self._loaded.forecasts(texts, further=further) if isinstance(self._loaded, Bills) else ()

    @property
    def scoring(self) -> Opened:
        """The same teacher for texts that it is to score, and not to go on with."""
        task = self._task.scoring
        return self if task == self._task else Opened(self._teacher, self._found, task=task, desk=self._desk)

    def network(self) -> Any:
        """The teacher's network."""
        return self._loaded.network()

    def inside(self) -> Inside | None:
        """The teacher's network, to be looked into; None where it shows none, or where more than it answers."""
        loaded = self._loaded if self._teacher.is_its_network else None
        return loaded.inside() if isinstance(loaded, Transparent) else None

    def tokenizer_json(self) -> str:
        """The teacher's tokenizer."""
        return self._loaded.tokenizer_json()


@final
class Pupil:
    """A student that is asked as a teacher is: in born-again rounds the one before teaches the next."""

    def __init__(self, student: Student, trained: Artifact, *, studied: Artifact, task: Task) -> None:
        self._student, self._trained, self._studied, self._task = student, trained, studied, task

    @cached_property
    def _network(self) -> Network:
        network = self._student.reopen(self._trained.folder, task=self._task)
        network.module.eval()
        return network

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """A student is quick enough as it is."""
        return ("fp32",)

    @property
    def layers(self) -> int:
        """It is asked for what it says only."""
        return 0

    def identify(self) -> Identity:
        """The student's digests."""
        tokenizer = self._studied.manifest["facts"].get("tokenizer") if self._student.follows else None
        return Identity(f"{self._student.kind} student", self._trained.digest, tokenizer, self._task.outputs, "",
                        answers=self._task.form.answer)  # fmt: skip

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """Its answers."""
        import torch

        ids, words = self._task.form.read(self._network, texts)
        sheet = self._task.form.sheet(len(ids), outputs=len(self._task.outputs), words=words)
        with torch.inference_mode():
            for rows in batches.by_tokens([len(one) for one in ids], budget=tokens_per_batch):
                padded, mask = (torch.from_numpy(one) for one in batches.pad([ids[row] for row in rows]))
                read = [texts[row] for row in rows.tolist()]
                sheet.put(rows, self._task.form.told(self._network, padded, mask, texts=read))
        return self._task.form.said(sheet.outputs), sum(len(one) for one in ids)

    def network(self) -> Any:
        """Whoever starts from a network starts from the first teacher's.

        Raises:
            MismatchError: always.
        """
        raise _no_start()

    def tokenizer_json(self) -> str:
        """The same.

        Raises:
            MismatchError: always.
        """
        raise _no_start()


def _no_start() -> MismatchError:
    todo = "Start it from the teacher that the first round asked."
    return MismatchError(Problem("teacher", "a student that teaches the next", "a teacher to start from", todo))


def study(
    student: Student,
    loaded: LoadedTeacher,
    *,
    teacher: Artifact,
    store: Store,
    answer: str = "logits",
    report: Report = silent,
) -> Artifact:
    """What a kind of student takes from a teacher beside its answers, whatever the student's settings.

    `answer`: the signal that the teacher answers with (`Shape.answer`).

    Raises:
        MismatchError: the teacher can't give it.
    """

    def make(draft: Draft) -> None:
        student.study(loaded, draft.folder, report=report)
        if student.follows:
            draft.facts["tokenizer"] = artifact.sha256(loaded.tokenizer_json().encode())

    # Of a start of its own, whoever the teacher is, unless it has to know what that calls its tokens.
    inputs = student.sources() or {"teacher": teacher.digest}
    # Nor whoever answers with vectors: what it answers to words leads from the start's own space into that.
    embeds = answer == "embedding"
    inputs |= {"teacher": teacher.digest} if student.names_tokens or embeds else {}
    described: dict[str, Any] = {"studies": student.studies or student.kind} | ({"embeds": True} if embeds else {})
    # Of a kind that has tokens of its own, one that reads its teacher's takes more.
    described |= {"follows": True} if student.follows and not student.follows_tokenizer else {}
    return store.obtain("studied", settings=described, inputs=inputs, make=make)
