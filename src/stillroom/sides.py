"""Who is held against whom: the texts that somebody learned from, and those that something is judged on, side by side.

teacher      what the teacher was trained on, as far as files of it are named (`evaluate.teacher_saw`)
train, unlabelled
transfer     texts of the transfer set that are in no split: made of training rows
written      what the teacher wrote and the student learned
dev, test, outside
suites       texts that probes bring along, such as cases of behaviour
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np

from stillroom import transfer_set
from stillroom.core import plugins, recipe
from stillroom.core.artifact import text_id
from stillroom.core.errors import Problem
from stillroom.corpora import Source
from stillroom.corpus import Corpus, Rows
from stillroom.intake import Faults
from stillroom.tasks import Task
from stillroom.transfer_set import TransferSet

LEARNED = ("teacher", "train", "unlabelled", "transfer", "written")
JUDGED = ("dev", "test", "outside", "suites")
_MADE, _WRITTEN = "made of these rows", "written in answer to these texts"
#: Sides that share by design, a side and one before it, and why: how much they share tells nothing.
BY_DESIGN = {
    ("transfer", "train"): _MADE,
    ("transfer", "unlabelled"): _MADE,
    **{("written", other): _WRITTEN for other in ("train", "unlabelled", "transfer")},
}
#: All other pairs of sides that somebody learned from.
COUNTED = tuple(pair for pair in ((of, other) for place, of in enumerate(LEARNED) for other in LEARNED[:place])
                if pair not in BY_DESIGN)  # fmt: skip

_BATCH = 4096

Texts = Iterator[tuple[Sequence[str], Sequence[str]]]


@final
@dataclass(frozen=True)
class Side:
    """Texts of one kind with their ids, some at a time, as often as they are asked for."""

    name: str
    read: Callable[[], Texts]

    def texts(self) -> Iterator[Sequence[str]]:
        """The texts alone."""
        for _, texts in self.read():
            yield texts

    def ids(self, wanted: Iterable[int]) -> dict[int, str]:
        """The ids of some of its rows, by their numbers."""
        found: dict[int, str] = {}
        numbers, first = np.unique(np.fromiter(wanted, dtype=np.int64)), 0
        for ids, _ in self.read() if len(numbers) else ():
            low, high = np.searchsorted(numbers, [first, first + len(ids)])
            found |= {number: ids[number - first] for number in numbers[low:high].tolist()}
            first += len(ids)
        return found


def files(settings: recipe.Evaluate) -> Source | None:
    """The files of what the teacher was trained on, as a source of rows; None where none are named."""
    if not settings.teacher_saw:
        return None
    found: Source = plugins.build("corpora", {"kind": "table", "test": settings.teacher_saw, "label": ""})
    return found


def splits(corpus: Corpus) -> tuple[Rows[Any], ...]:
    """The splits of a corpus, in the order of the sides."""
    return (corpus.train, corpus.unlabelled, corpus.dev, corpus.test, corpus.outside)


def every(
    corpus: Corpus, said: TransferSet, saw: Source | None, *, task: Task, brought: Sequence[str] = ()
) -> list[Side]:
    """All sides, those that are judged last; one that there is nothing of is empty."""
    found = {
        **{part.role: Side(part.role, partial(_of_split, part)) for part in splits(corpus)},
        "teacher": Side("teacher", partial(_of_files, saw, task)),
        "transfer": Side("transfer", partial(_of_transfer, corpus, said)),
        "written": Side("written", partial(_of_answers, said, task)),
        "suites": Side("suites", partial(_of_texts, list(dict.fromkeys(brought)))),
    }
    return [found[name] for name in (*LEARNED, *JUDGED)]


def _of_split(part: Rows[Any]) -> Texts:
    for batch in part.batches(_BATCH):
        yield batch.column("id").to_pylist(), batch.column("text").to_pylist()


def _of_texts(texts: Sequence[str]) -> Texts:
    for start in range(0, len(texts), _BATCH):
        some = texts[start : start + _BATCH]
        yield [text_id(text) for text in some], some


def _of_transfer(corpus: Corpus, said: TransferSet) -> Texts:
    """The texts of the transfer set that are not of a split of this very corpus."""
    asked: Mapping[str, str] = said.artifact.manifest["inputs"]
    known = {part.role for part in splits(corpus) if asked.get(part.role) == part.digest}
    for shard in said.shards(["id", "text", "part"]):
        if shard.num_rows and transfer_set.part_of(shard) not in known:
            yield shard["id"].to_pylist(), shard["text"].to_pylist()


def _of_answers(said: TransferSet, task: Task) -> Texts:
    """What the teacher wrote, where the student learned it; the id of a text is the hash of what was written."""
    if not task.form.may_write:
        return
    for shard in said.shards():
        if shard.num_rows and transfer_set.part_of(shard) != "dev":
            written = [text for text in task.form.written(task.form.answers(shard)) if text]
            yield [text_id(text) for text in written], written


def _of_files(saw: Source | None, task: Task) -> Texts:
    faults = Faults()
    texts: list[str] = []
    for stream in saw.streams(task) if saw is not None else ():
        for row in stream.rows:
            if isinstance(row, Problem):
                faults.add(row)
            elif row.text:
                texts.append(row.text)
            if len(texts) == _BATCH:
                yield [text_id(text) for text in texts], texts
                texts = []
    faults.tell()
    yield [text_id(text) for text in texts], texts
