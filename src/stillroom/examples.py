"""What a student is fitted on: rows as it reads them, each with what the teacher said of it, or with gold alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom import corpus as corpora
from stillroom.core import signals
from stillroom.core.errors import InputError, MismatchError, Problem
from stillroom.core.words import Words
from stillroom.objectives import Objective
from stillroom.students import Network
from stillroom.tasks import Task
from stillroom.teachers._fitting import Examples
from stillroom.transfer_set import OwnWords, TransferSet


def of(
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
    emphasis: list[NDArray[np.float32]] = field(default_factory=list)
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
        if said.emphasis is not None and role != "dev":
            heard.emphasis.append(said.emphasis.of(shard["id"].take(lessons.owners).to_pylist()))
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
        weights, shown = (np.concatenate([np.ones(0, np.float32), *one]) for one in (heard.weights, heard.emphasis))
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
            shown / shown.mean() if len(shown) else None,
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
