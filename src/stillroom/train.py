"""Fits a student to what its teacher said, or its twin to gold alone; the loop itself is in `loop`.

Dev chooses and test is not here: what is handed in has no rows of it, and they are refused at run time too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, final

import numpy as np

from stillroom import corpus as corpora
from stillroom import examples, loop, teach, transfer_set
from stillroom.core import artifact, plugins, recipe, seeds, signals
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.progress import Report, silent
from stillroom.emphasis import Emphasis
from stillroom.learner import Beginner
from stillroom.objectives import Objective
from stillroom.students import Network, Student
from stillroom.tasks import Task
from stillroom.teachers import LoadedTeacher
from stillroom.teachers._fitting import Examples, Plan
from stillroom.transfer_set import OwnWords, TransferSet, refuse_other_teacher, refuse_unsaid

STAGE = "student"
_READ = ("train", "unlabelled", "dev")  # the parts of a transfer set that are rows of the corpus


class Ask(Protocol):
    """Asks whoever teaches about the rows that are learned from: `transfer.collect` with all but the teacher chosen."""

    def __call__(self, loaded: LoadedTeacher, *, teacher: Artifact) -> TransferSet:
        """What it said."""


@final
@dataclass(frozen=True)
class Further:
    """From where a student that was fitted goes on, and what it wrote itself to learn from."""

    trained: Artifact
    own: OwnWords

    @property
    def inputs(self) -> dict[str, str]:
        """The digests of all that it is made of."""
        return {"trained": self.trained.digest, **self.own.inputs}


@final
class Paused(Exception):
    """A fit stopped where it was asked to: the network with its best weights so far, and its log.

    The draft keeps the checkpoint, as that of a killed fit does: the same fit without a pause goes on from there.
    """

    def __init__(self, network: Network, log: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(f"paused after {len(log)} epochs")
        self.network, self.log = network, log


def seeds_of(seed: int, count: int) -> list[int]:
    """The seeds of several fits of one student: the recipe's own, which ships, and those derived from it."""
    return [seed, *(seeds.derive(seed, f"train/seed/{number}") for number in range(1, count))]


def fit(
    student: Student,
    *,
    task: Task,
    corpus: corpora.Learnable,
    said: TransferSet | None,
    objectives: Sequence[Objective],
    settings: recipe.Train,
    studied: Artifact,
    seed: int,
    store: Store,
    peer: tuple[Student, Artifact] | None = None,
    begun_with: TransferSet | None = None,
    further: Further | None = None,
    weight_bits: int = 7,
    pause: int | None = None,
    report: Report = silent,
) -> Artifact:
    """Fit a student to what the teacher said, or, where `said` is None, to gold labels alone.

    `peer` is a second student, with what it studied, that learns beside the first one and is then let go.
    `begun_with` is the transfer set whose texts the student begins with, where that is not `said`; `further` one that
    was fitted before, who goes on; `weight_bits` what its export keeps of a weight, for training under that rounding.
    After `pause` epochs the fit stops, unless it was finished before.

    Raises:
        Paused: it stopped there.
        MismatchError: the transfer set does not fit the student.
        InputError: there is nothing to fit it to.
    """
    inputs = {part.role: part.digest for part in (corpus.train, corpus.unlabelled, corpus.dev)}
    inputs["studied"] = studied.digest
    inputs |= {"said": said.artifact.digest} if said else {}
    emphasis = said.emphasis if said else None
    inputs |= further.inputs if further else {}
    begun_with = said or begun_with
    if said is None and begun_with is not None and signals.speak_of_tokens(begun_with.recorded):
        # Only then do its texts count: see `_texts`.
        inputs["begun_with"] = begun_with.artifact.digest
    described = {
        "student": student.resolved(),
        "task": task.model_dump(mode="json"),
        "objectives": [one.decides() for one in objectives],
        "train": settings.decides(),
        "seed": seed,
        "peer": peer[0].resolved() if peer else None,
    }
    described |= {"weight_bits": weight_bits} if settings.quantization_aware else {}
    described |= {"emphasis": emphasis.settings} if emphasis else {}
    inputs |= {"peer": peer[1].digest} if peer else {}
    if said is not None:
        refuse_unsaid(said, objectives)
    for one, taken in ((student, studied), *([peer] if peer else [])):
        if said is not None:
            tokenizer = taken.manifest["facts"].get("tokenizer") if one.follows else None
            refuse_other_teacher(said, tokenizer=tokenizer, task=task)

    def make(draft: Draft) -> None:
        _fit(student, draft, task=task, corpus=corpus, said=said, objectives=objectives,
             settings=settings, studied=studied, seed=seed, peer=peer, begun_with=begun_with, further=further,
             weight_bits=weight_bits, pause=pause, report=report)  # fmt: skip

    return store.obtain(STAGE, settings=described, inputs=inputs, make=make, resumable=True, shared=True)


def born_again(
    student: Student,
    trained: Artifact,
    *,
    task: Task,
    corpus: corpora.Learnable,
    objectives: Sequence[Objective],
    settings: recipe.Train,
    ask: Ask,
    studied: Artifact,
    seed: int,
    store: Store,
    weight_bits: int = 7,
    emphasis: Emphasis | None = None,
    report: Report = silent,
) -> Artifact:
    """The student after the further rounds that its recipe asks for: in each, the student before is the teacher.

    Every round starts anew from what was studied of the first teacher, with a seed of its own (Furlanello et al.).
    """
    for number in range(1, settings.rounds):
        pupil = teach.Pupil(student, trained, studied=studied, task=task)
        said = replace(ask(pupil, teacher=trained), emphasis=emphasis)
        trained = fit(student, task=task, corpus=corpus, said=said, objectives=objectives, settings=settings,
                      studied=studied, seed=seeds.derive(seed, f"train/round/{number}"), store=store,
                      weight_bits=weight_bits, report=report)  # fmt: skip
    return trained


def undistilled(
    student: Student,
    *,
    task: Task,
    corpus: corpora.Learnable,
    settings: recipe.Train,
    studied: Artifact,
    seed: int,
    store: Store,
    begun_with: TransferSet | None = None,
    weight_bits: int = 7,
    report: Report = silent,
) -> Artifact | None:
    """The student's twin, which never hears what the teacher said: same start, same epochs, gold labels alone.

    What the teacher added is the difference between the two. Where no row has gold that can be learned, there is no
    twin. `begun_with` is
    the student's transfer set: the twin begins with its texts too, and learns from none that is made.
    """
    if not task.learns_gold or not corpus.train.table(["label"]).drop_null().num_rows:
        return None
    objectives: tuple[Objective, ...] = (plugins.build("objectives", "hard_label"),)
    return fit(student, task=task, corpus=corpus, said=None, objectives=objectives,
               settings=settings, studied=studied, seed=seed, store=store, begun_with=begun_with,
               weight_bits=weight_bits, report=report)  # fmt: skip


def _fit(
    student: Student,
    draft: Draft,
    *,
    task: Task,
    corpus: corpora.Learnable,
    said: TransferSet | None,
    objectives: Sequence[Objective],
    settings: recipe.Train,
    studied: Artifact,
    seed: int,
    peer: tuple[Student, Artifact] | None,
    begun_with: TransferSet | None,
    further: Further | None,
    weight_bits: int,
    pause: int | None,
    report: Report,
) -> None:
    network, train, dev = begin(student, studied, corpus, said, objectives, task=task, seed=seed,
                                begun_with=begun_with, further=further)  # fmt: skip
    pace = plan(student, settings, task=task, seed=seed, taught=said is not None, weight_bits=weight_bits)
    if pause is not None:
        pace = replace(pace, steps=pause * -(-len(train.ids) // pace.batch_size))
    beside = None
    if peer is not None:
        begun = begin(*peer, corpus, said, objectives, task=task, seed=seeds.derive(seed, "train/peer"))
        beside = Beginner(*begun, learning_rate=peer[0].learning_rate, bf16=peer[0].bf16())
    stage = STAGE if said else "undistilled"
    log = loop.fit(network, task=task, train=train, dev=dev, objectives=objectives, plan=pace,
                   folder=draft.folder / "fit", report=report, stage=stage, peer=beside)  # fmt: skip
    if pause is not None:
        raise Paused(network, log)
    network.save(draft.folder)
    artifact.write_text(draft.folder / "log.jsonl", "".join(f"{artifact.canonical(line).decode()}\n" for line in log))
    lengths = np.array([len(one) for one in dev.ids])
    usual = dev.ids[int(np.abs(lengths - lengths.mean()).argmin())]
    draft.facts.update(
        {
            "kind": student.kind,
            "rows": len(train.ids),
            "parameters": sum(weight.numel() for weight in student.reopen(draft.folder, task=task).module.parameters()),
            "flops_per_text": network.flops(usual),
            "mean_ids_per_text": float(lengths.mean()),
        }
    )
    if said is not None and said.emphasis is not None:
        found = said.emphasis.among(said.learned())
        draft.facts["emphasised"] = {"rows": found, "not_here": len(said.emphasis.strengths) - found}
    shutil.rmtree(draft.folder / "fit", ignore_errors=True)


def plan(
    student: Student, settings: recipe.Train, *, task: Task, seed: int, taught: bool, weight_bits: int = 7
) -> Plan:
    """How long and how hard a student is fitted: what the recipe says, or else what the student asks for."""
    return Plan(
        epochs=settings.epochs or student.epochs,
        batch_size=settings.batch_size or student.batch_size,
        learning_rate=settings.learning_rate or student.learning_rate,
        patience=settings.patience,
        seed=seed,
        bf16=student.bf16(),
        checkpoint_seconds=settings.checkpoint_seconds,
        curriculum=settings.curriculum if taught else 0.0,
        unfreeze=settings.unfreeze,
        mixed=student.mixes_lengths(task),
        quantization_aware=settings.quantization_aware,
        weight_bits=weight_bits,
    )


def begin(
    student: Student,
    studied: Artifact,
    corpus: corpora.Learnable,
    said: TransferSet | None,
    objectives: Sequence[Objective],
    *,
    task: Task,
    seed: int,
    begun_with: TransferSet | None = None,
    further: Further | None = None,
) -> tuple[Network, Examples, Examples]:
    """A student before its first step, with its train and dev rows."""
    texts = _texts(corpus, said or begun_with, task=task)
    network = student.begin(task=task, studied=studied.folder, texts=texts, seed=seed)
    if further is not None:  # begun as at first, so that what stays as it is does so still
        trained = student.reopen(further.trained.folder, task=task)
        network.module.load_state_dict(trained.module.state_dict())
    own = further.own if further else None
    return network, *examples.of(network, corpus, said, objectives, task=task, own=own)


def _texts(corpus: corpora.Learnable, said: TransferSet | None, *, task: Task) -> Iterator[str]:
    """The texts that a student begins with, and those that its teacher wrote of them.

    Where the teacher spoke of tokens, a student that keeps only those it has seen has to have seen every text that it
    is compared on: those of dev, and those that were made.
    """
    yield from corpus.train.texts()
    yield from corpus.unlabelled.texts()
    compared = said is not None and signals.speak_of_tokens(said.recorded)
    parts = ("train", "unlabelled", "dev") if compared else ("train", "unlabelled")
    columns = ["part", *task.form.columns_of(said.answer)] if said is not None and task.form.may_write else []
    for shard in said.shards(columns) if said is not None and columns else ():
        if transfer_set.part_of(shard) in parts:
            yield from task.form.written(task.form.answers(shard))
    if said is not None and compared:
        yield from corpus.dev.texts()
        for shard in said.shards():
            if shard.num_rows and shard["part"][0].as_py() not in (*_READ, "test", "outside"):
                yield from shard["text"].to_pylist()
