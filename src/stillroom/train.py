"""Fits a student to what its teacher said, or its twin to gold alone; the loop itself is in `loop`.

Dev chooses and test is not here: what is handed in has no rows of it, and they are refused at run time too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from stillroom import corpus as corpora
from stillroom import loop, teach, transfer_set
from stillroom.core import artifact, plugins, recipe, seeds, signals
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.errors import InputError, MismatchError, Problem
from stillroom.core.progress import Report, silent
from stillroom.core.words import Words
from stillroom.learner import Beginner
from stillroom.objectives import Objective
from stillroom.students import Network, Student
from stillroom.tasks import Task
from stillroom.teachers import Examples, LoadedTeacher, Plan
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
    inputs |= further.inputs if further else {}
    begun_with = said or begun_with
    if said is None and begun_with is not None and signals.speak_of_tokens(begun_with.recorded):
        # Only then do its texts count: see `_texts`.
        inputs["begun_with"] = begun_with.artifact.digest
    described = {
        "student": student.resolved(),
        "task": task.model_dump(mode="json"),
        "objectives": [one.decides() for one in objectives],
        "train": settings.model_dump(mode="json", exclude={"checkpoint_seconds", "rounds"}),
        "seed": seed,
        "peer": peer[0].resolved() if peer else None,
    }
    described |= {"weight_bits": weight_bits} if settings.quantization_aware else {}
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
    report: Report = silent,
) -> Artifact:
    """The student after the further rounds that its recipe asks for: in each, the student before is the teacher.

    Every round starts anew from what was studied of the first teacher, with a seed of its own (Furlanello et al.).
    """
    for number in range(1, settings.rounds):
        pupil = teach.Pupil(student, trained, studied=studied, task=task)
        said = ask(pupil, teacher=trained)
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
    return network, *examples(network, corpus, said, objectives, task=task, own=own)


def _texts(corpus: corpora.Learnable, said: TransferSet | None, *, task: Task) -> Iterator[str]:
    """The texts that a student begins with, and those that its teacher wrote of them.

    Where the teacher spoke of tokens, a student that keeps only those it has seen has to have seen every text that it
    is compared on: those of dev, and those that were made.
    """
    yield from corpus.train.texts()
    yield from corpus.unlabelled.texts()
    compared = said is not None and signals.speak_of_tokens(said.recorded)
    parts = ("train", "unlabelled", "dev") if compared else ("train", "unlabelled")
    columns = ["part", said.answer, *task.form.beside] if said is not None and task.form.may_write else []
    for shard in said.shards(columns) if said is not None and columns else ():
        if transfer_set.part_of(shard) in parts:
            yield from task.form.written(task.form.answers(shard))
    if said is not None and compared:
        yield from corpus.dev.texts()
        for shard in said.shards():
            if shard.num_rows and shard["part"][0].as_py() not in (*_READ, "test", "outside"):
                yield from shard["text"].to_pylist()


def examples(
    network: Network,
    corpus: corpora.Learnable,
    said: TransferSet | None,
    objectives: Sequence[Objective],
    *,
    task: Task,
    own: OwnWords | None = None,
) -> tuple[Examples, Examples]:
    """Train and dev rows for a network: everything that the teacher spoke of, or the rows with gold alone.

    Of what was recorded beside answers only what the objectives ask for is read: students of many kinds can share one
    transfer set. What the student wrote itself is learned from in place of what it began with, and only where it wrote.

    Raises:
        InputError: no row to learn from, or none to choose on.
        MismatchError: the teacher spoke of single tokens, and the student reads others.
        TypeError: the transfer set holds test rows.
    """
    for rows in (corpus.train, corpus.unlabelled, corpus.dev):
        corpora.refuse_test(rows)
    if said is None:
        made = tuple(Examples.of_gold(network, part, task=task) for part in (corpus.train, corpus.dev))
    else:
        made = _from_said(network, said, corpus, objectives, task, own)
    for role, part in zip(("train", "dev"), made, strict=True):
        if not part.ids:
            todo = "Give labels, or ask a teacher about them."
            raise InputError(Problem(f"corpus.{role}", "no row that says what is right", "at least one", todo))
    return made[0], made[1]


def _gold(rows: corpora.Rows[Any], task: Task) -> dict[str, Any]:
    """The gold of each row that has any, by id."""
    table = rows.table(["id", "label"]).drop_null()
    return dict(zip(table["id"].to_pylist(), task.gold(table["label"]), strict=True))


@final
@dataclass
class _Heard:
    """What was said of one part of the rows, shard after shard."""

    ids: list[Any] = field(default_factory=list)
    gold: list[Any] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    words: list[Words | None] = field(default_factory=list)
    places: list[signals.Place] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    weights: list[NDArray[np.float32]] = field(default_factory=list)
    lines: list[NDArray[np.float32]] = field(default_factory=list)


def _from_said(
    network: Network,
    said: TransferSet,
    corpus: corpora.Learnable,
    objectives: Sequence[Objective],
    task: Task,
    own: OwnWords | None,
) -> tuple[Examples, Examples]:
    asked = [one.wants(student_layers=network.layers, teacher_layers=said.layers).teacher for one in objectives]
    wanted = frozenset[str]().union(*(task.form.needed(one) for one in asked))
    wanted = wanted & said.recorded - signals.ANSWERS - {said.answer}
    gold = {part.role: _gold(part, task) for part in (corpus.train, corpus.dev)}
    parts = {"train": _Heard(), "dev": _Heard()}
    for shard, begins in own.lessons(said) if own else ((shard, None) for shard in said.shards()):
        role = str(shard["part"][0]) if shard.num_rows else "train"
        if role in ("test", "outside"):
            raise TypeError("this transfer set holds test rows: only `evaluate` may see them")
        heard = parts["dev" if role == "dev" else "train"]
        lessons = task.form.lessons(shard, wanted)
        answers = lessons.answers if begins is None else task.form.behind(lessons.answers, begins)
        texts = shard["text"].take(lessons.owners).to_pylist()
        ids, words, said_there = task.form.taught(network, texts, answers, lines=lessons.lines)
        known = gold.get(role, {})
        rows = task.golds([known.get(one) for one in shard["id"].take(lessons.owners).to_pylist()])
        heard.ids += ids
        heard.words.append(words)
        heard.gold.append(task.place(rows, words))
        heard.answers.append(task.form.aligned(said_there, words))
        heard.weights.append(np.ones(len(ids), np.float32) if lessons.weights is None else lessons.weights)
        heard.lines += lessons.lines or ()
        if task.form.writes and role == "dev":
            heard.texts += shard["text"].to_pylist()
        if shard.num_rows and wanted - task.form.on_request:
            heard.places += said.further(shard)
    made = []
    for heard in parts.values():
        further = {one: signals.Recorded(one, heard.places) for one in wanted - task.form.on_request}
        told: dict[str, signals.Batched] = {**further}
        told |= {one: signals.InMemory(heard.lines) for one in wanted & task.form.on_request}
        weights = np.concatenate([np.ones(0, np.float32), *heard.weights])
        places = [one for one in heard.words if one is not None]
        nothing = (
            np.zeros(0, np.int64)
            if said.names_labels_only
            else task.form.values(task.form.join([], outputs=len(task.outputs)))
        )
        every: NDArray[Any] = np.concatenate(heard.answers) if heard.answers else nothing
        _refuse_cut_otherwise(task.form.split(every), of=len(every), objectives=objectives)
        examples = Examples(
            heard.ids,
            np.concatenate([np.zeros(0, dtype=np.int64), *heard.gold]),
            None if said.names_labels_only else every,
            told,
            said.layers,
            every if said.names_labels_only else None,
            Words.join(places) if places else None,
            task.form,
            heard.texts,
            None if (weights == 1.0).all() else weights,
        )
        _refuse_other_tokens(heard.ids, further)
        made.append(examples)
    return made[0], made[1]


def _refuse_cut_otherwise(split: int, *, of: int, objectives: Sequence[Objective]) -> None:
    """Logits over tokens are compared where a token ends for student and teacher alike, and nowhere else.

    Raises:
        MismatchError: they cut texts otherwise, and an objective does not know of it.
    """
    for place, one in enumerate(objectives):
        if split and "logits" in one.needs and not one.across_tokens:
            found = f"`{one.kind}` of a student that cuts texts otherwise than its teacher ({split:,} of {of:,} tokens)"
            expected = "objectives that compare across tokens"
            todo = "Take `cross_tokenizer`, or `sequence` alone; or let the student read its teacher's tokens."
            raise MismatchError(Problem(f"objective[{place}]", found, expected, todo))


def _refuse_other_tokens(ids: Sequence[Any], further: Mapping[str, signals.Recorded]) -> None:
    """What a teacher said of its tokens says nothing of others.

    Raises:
        MismatchError: the student reads other tokens.
    """
    for name, said in further.items():
        if signals.token_axes(name) and said.tokens.tolist() != [len(one) for one in ids]:
            found = f"`{name}` of a teacher that reads other tokens than this student"
            expected = "a student that reads every text as the teacher does, special tokens included"
            todo = (
                'If it keeps a part of the teacher\'s tokens, set `student.vocabulary` to "teacher" or '
                "`student.min_count` to 1; else choose objectives that look at whole texts."
            )
            raise MismatchError(Problem("objective", found, expected, todo))
