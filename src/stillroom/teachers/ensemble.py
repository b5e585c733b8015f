"""Several teachers that answer as one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from safetensors.numpy import load_file, save_file

from stillroom.core import artifact, signals
from stillroom.core.artifact import Draft
from stillroom.core.errors import InputError, MismatchError, Problem, StillroomError
from stillroom.core.progress import Report
from stillroom.tasks import Task
from stillroom.teachers import Desk, LoadedTeacher, Teacher
from stillroom.teachers._choir import Choir, Select
from stillroom.teachers._fitting import Fit
from stillroom.teachers._vectors import EMBEDDING, Embeds, SideBySide, found_turn
from stillroom.teachers.sentence_transformer import TURN

if TYPE_CHECKING:
    from stillroom.corpus import Learnable

_GOLD = "gold.parquet"
_READY = "ready.json"


@final
class Ensemble(Teacher):
    """Several teachers that answer as one; they may be of any kind and read with tokenizers of their own.

    `average` mixes their probabilities, and the logarithm of the mixture is the answer. `confidence` takes, text by
    text, the member whose highest probability is highest (the first of equals). `gold` mixes only the members that
    agree with a training row's gold label, all of them where none does or the row has none; it knows training rows by
    the id of their text, and so never helps with dev or test. Whatever needs a network (embeddings, insides, students
    that start from one) comes from the first member that shows its own.

    Members that answer to words may read words of their own: what they say is laid on the first one's by characters,
    and who only names tags is as sure of them as of anything. Only `average` is theirs.

    Members that answer with vectors are heard side by side, so that the cosine of two texts is the weighted mean of
    theirs, and turned to the task's dimensions.
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "vectors"})

    parts: ClassVar[Mapping[str, str]] = {"members": "teachers"}

    kind: Literal["ensemble"] = "ensemble"
    members: tuple[Teacher, ...] = Field(min_length=2)
    """The teachers, a table each: `[[teacher.members]]`."""
    weights: tuple[float, ...] | None = None
    """What each member weighs in a mixture; none: all the same."""
    select: Select = "average"
    """Who is heard: `average`, `confidence` or `gold`."""
    licence: str = ""
    """The licence of what they say together; none: those of all members, where each states one."""

    @model_validator(mode="after")
    def _weighed(self) -> Ensemble:
        if self._of_vectors and (self.select != "average" or not all(isinstance(one, Embeds) for one in self.members)):
            raise ValueError(
                '`select = "average"` for members that answer with vectors, each of which can be asked whole'
            )
        if self.select != "average" and "pooled" not in self.answers_in:
            raise ValueError('`select = "average"` for members that answer to words')
        if self.weights is None:
            return self
        if self.select == "confidence":
            raise ValueError("no `weights` where the surest member is heard alone")
        if len(self.weights) != len(self.members) or min(self.weights) <= 0:
            raise ValueError(f"`weights` above zero, one for each of the {len(self.members)} members")
        return self

    @property
    def answers_in(self) -> frozenset[str]:
        """The shapes in which every member can."""
        return self.shapes.intersection(*(one.answers_in for one in self.members))

    @property
    def _of_vectors(self) -> bool:
        return "vectors" in self.answers_in

    @property
    def computes(self) -> bool:
        """Whether all its members do."""
        return all(one.computes for one in self.members)

    @property
    def packages(self) -> tuple[str, ...]:
        """Those of all its members."""
        return tuple(dict.fromkeys(package for one in self.members for package in one.packages))

    @property
    def signals(self) -> frozenset[str]:
        """Logits where every member has them, and what the lead tells beside them."""
        if self._of_vectors:
            return EMBEDDING
        if not all(self._is_heard(one) for one in self.members):
            return frozenset()
        return signals.LOGITS | (frozenset() if self.lead is None else self.members[self.lead].signals)

    @property
    def shows_network(self) -> bool:
        """Whether one of its members does."""
        return self.lead is not None

    @property
    def is_its_network(self) -> bool:
        """No: the lead's is only a part of it."""
        return False

    @property
    def answers_any_text(self) -> bool:
        """Whether all its members do."""
        return all(one.answers_any_text for one in self.members)

    @property
    def needs_gold(self) -> bool:
        """Whether one of its members does."""
        return any(one.needs_gold for one in self.members)

    @property
    def fitted_here(self) -> bool:
        """Whether all its members are."""
        return all(one.fitted_here for one in self.members)

    @property
    def lead(self) -> int | None:
        """The first member that shows its network."""
        return next((place for place, one in enumerate(self.members) if one.shows_network), None)

    def unfit(self, task: Task) -> list[Problem]:
        """What of any member does not go with the task."""
        return [_at(place, problem) for place, one in enumerate(self.members) for problem in one.unfit(task)]

    def inputs(self, corpus: Learnable) -> dict[str, str]:
        """The inputs of every member."""
        found: dict[str, str] = {}
        with _all_told() as told:
            for place, one in enumerate(self.members):
                with told(place):
                    found |= {f"members[{place}].{name}": digest for name, digest in one.inputs(corpus).items()}
                    if not (self._of_vectors or self._is_heard(one)):
                        raise _without_logits(one)
        return found | ({"gold": corpus.train.digest} if self.select == "gold" else {})

    def prepare(self, draft: Draft, *, task: Task, corpus: Learnable, fit: Fit, seed: int, report: Report) -> None:
        """Make every member ready, each in a folder of its own; of those of vectors, find how they are turned."""
        if self._of_vectors:
            turn = found_turn(self._side_by_side(None), task=task, corpus=corpus, report=report)
            if turn is not None:
                save_file({"turn": turn}, draft.folder / TURN)
            return
        drafts = [Draft(_folder(draft.folder, place)) for place in range(len(self.members))]
        with _all_told() as told:
            for place, (one, own) in enumerate(zip(self.members, drafts, strict=True)):
                own.folder.mkdir(exist_ok=True)
                ready = own.folder / _READY
                if ready.is_file():  # a run that was killed at a later member goes on there
                    own.facts.update(json.loads(ready.read_text(encoding="utf-8")))
                    continue
                with told(place):
                    one.prepare(own, task=task, corpus=corpus, fit=fit, seed=seed, report=report)
                    artifact.write_json(ready, own.facts)
        draft.facts["members"] = [own.facts for own in drafts]
        warnings = [f"member {place}: {own.facts['warning']}" for place, own in enumerate(drafts)
                    if "warning" in own.facts]  # fmt: skip
        if warnings:
            draft.facts["warning"] = "; ".join(warnings)
        if self.select == "gold":
            _write_gold(corpus, draft.folder / _GOLD)

    def open(self, folder: Path, *, task: Task, desk: Desk | None = None) -> LoadedTeacher:
        """All members."""
        if self._of_vectors:
            path = folder / TURN
            return self._side_by_side(load_file(path)["turn"] if path.is_file() else None)
        with _all_told() as told:
            loaded = []
            for place, one in enumerate(self.members):
                with told(place):
                    loaded.append(one.open(_folder(folder, place), task=task, desk=desk))
        weights = np.array(self.weights or [1.0] * len(loaded))
        gold = folder / _GOLD if self.select == "gold" else None
        return Choir(loaded, weights=weights / weights.sum(), select=self.select, lead=self.lead, form=task.form,
                     outputs=len(task.outputs), gold=gold, licence=self.licence)  # fmt: skip

    def _is_heard(self, member: Teacher) -> bool:
        """Whether a member says enough: logits, or, of words, at least which tag."""
        return "logits" in member.signals or ("label" in member.signals and "pooled" not in self.answers_in)

    def _side_by_side(self, turn: NDArray[np.float32] | None) -> SideBySide:
        whole = [one.whole() for one in self.members if isinstance(one, Embeds)]
        weights = self.weights or [1.0] * len(whole)
        return SideBySide(whole, weights=weights, lead=self.lead or 0, turn=turn, licence=self.licence)


def _folder(folder: Path, place: int) -> Path:
    return folder / f"member-{place}"


def _write_gold(corpus: Learnable, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(corpus.train.table(["id", "label"]).drop_null(), path, compression="zstd")


def _without_logits(member: Teacher) -> MismatchError:
    found = f"a {member.kind} teacher that gives {', '.join(sorted(member.signals)) or 'nothing'}"
    return MismatchError(Problem("teacher", found, "a member that gives logits", "Take it out, or ask it for them."))


@contextlib.contextmanager
def _all_told() -> Iterator[Callable[[int], contextlib.AbstractContextManager[None]]]:
    """Gather the problems of all members, each under its member's key, and raise them at once."""
    problems: list[Problem] = []
    kinds: list[type[StillroomError]] = []

    @contextlib.contextmanager
    def told(place: int) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            kinds.append(type(error))
            problems.extend(_at(place, one) for one in error.problems)

    yield told
    if problems:
        raise (kinds[0] if len(set(kinds)) == 1 else InputError)(*problems)


def _at(place: int, problem: Problem) -> Problem:
    """A problem of a teacher under the key that it has as a member."""
    own = f"teacher.members[{place}]"
    head, dot, rest = problem.where.partition(".")
    where = f"{own}{dot}{rest}" if head == "teacher" else f"{own}: {problem.where}"
    return Problem(where, problem.found, problem.expected, problem.todo)
