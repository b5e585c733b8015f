"""Several teachers that answer as one."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from safetensors.numpy import load_file, save_file

from stillroom.core import artifact, objects, signals
from stillroom.core.artifact import Draft
from stillroom.core.errors import InputError, MismatchError, Problem, StillroomError
from stillroom.core.probabilities import log_softmax
from stillroom.core.progress import Report
from stillroom.core.words import Words
from stillroom.tasks import Task
from stillroom.teachers import Desk, Fit, Identity, LoadedTeacher, Precision, Teacher
from stillroom.teachers._vectors import EMBEDDING, Embeds, SideBySide, found_turn
from stillroom.teachers.sentence_transformer import TURN

if TYPE_CHECKING:
    from stillroom.corpus import Learnable
    from stillroom.shapes import Shape

_GOLD = "gold.parquet"
_READY = "ready.json"
_SPOKEN = frozenset({"logits", "label", signals.WORDS, signals.COUNTS})
_HARDLY = 1e-6  # the share of a tag that a member who only names tags did not name

Select = Literal["average", "confidence", "gold"]
Floats = NDArray[np.float64]


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
    def lead(self) -> int | None:
        """The first member that shows its network."""
        return next((place for place, one in enumerate(self.members) if one.shows_network), None)

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


@final
class Choir:
    """Members that are asked together."""

    def __init__(
        self,
        members: Sequence[LoadedTeacher],
        *,
        weights: Floats,
        select: Select,
        lead: int | None,
        form: Shape,
        outputs: int,
        gold: Path | None = None,
        licence: str = "",
    ) -> None:
        self._licence, self._form, self._outputs = licence, form, outputs
        self._members, self._weights, self._select, self._lead, self._path = members, weights, select, lead, gold

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Those of any member: one that has no other is asked in fp32."""
        quick = any("bf16" in one.precisions for one in self._members)
        return ("fp32", "bf16") if quick else ("fp32",)

    @property
    def layers(self) -> int:
        """The lead's."""
        return 0 if self._lead is None else self._members[self._lead].layers

    def identify(self) -> Identity:
        """Who they are together: a digest over all of them, the sum of their prices, every licence.

        Where one licence is not stated, that of the whole is not either.
        """
        known = [one.identify() for one in self._members]
        licences = list(dict.fromkeys(one.licence for one in known))
        prices = [one.price_per_million_texts for one in known]
        told = {"members": [one.as_dict() for one in known], "weights": self._weights.tolist(), "select": self._select}
        told["gold"] = artifact.file_sha256(self._path) if self._path else None
        return Identity(
            name=f"ensemble ({self._select}) of {', '.join(one.name for one in known)}",
            weights=artifact.sha256(artifact.canonical(told)),
            tokenizer=None if self._lead is None else known[self._lead].tokenizer,
            labels=known[0].labels,
            licence=self._licence or (" AND ".join(licences) if all(licences) else ""),
            price_per_million_texts=None if None in prices else sum(one for one in prices if one),
        )

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """What they say together; what looks inside comes from the lead alone.

        Where one has no answer there is none, for the mixture of the others would be another teacher.
        """
        further: dict[str, NDArray[Any]] = {}
        sides: list[Floats] = []
        tokens, bills = 0, list[Floats | None]()
        words: Words | None = None
        unanswered: NDArray[Any] = np.full(len(texts), "", dtype=object)
        tallies = [Counter[str]() for _ in texts]
        for place, one in enumerate(self._members):
            own = precision if precision in one.precisions else "fp32"
            asked = wanted | signals.LOGITS if place == self._lead else signals.LOGITS
            said, read = one.ask(texts, precision=own, tokens_per_batch=tokens_per_batch, wanted=asked)
            words = words if place else _words(said)
            sides.append(self._side(said, words))
            further |= {name: signal for name, signal in said.items() if name not in _SPOKEN | signals.BESIDE}
            tokens += read
            if signals.UNANSWERED in said:
                unanswered = np.where(unanswered == "", said[signals.UNANSWERED], unanswered)
            for total, own_parts in zip(tallies, said.get(signals.TALLY, ()), strict=False):
                total.update(own_parts)
            bills.append(said.get(signals.PRICE))
        logits = self._together(np.stack(sides), [artifact.text_id(text) for text in texts]).astype(np.float32)
        beside = {signals.UNANSWERED: unanswered} if (unanswered != "").any() else {}
        if any(tallies):
            beside[signals.TALLY] = objects.array([dict(one) for one in tallies])
        if any(one is not None for one in bills):
            beside[signals.PRICE] = self._price(bills, len(texts))
        return {**self._form.said(self._form.spread(logits, words)), **further, **beside}, tokens

    def network(self) -> Any:
        """The lead's.

        Raises:
            MismatchError: no member shows one.
        """
        return self._leader().network()

    def tokenizer_json(self) -> str:
        """The lead's.

        Raises:
            MismatchError: no member shows one.
        """
        return self._leader().tokenizer_json()

    def _side(self, said: Mapping[str, NDArray[Any]], words: Words | None) -> Floats:
        """Log-probabilities of what a member said of each text, or each of these words; NaN where it said nothing."""
        values = self._form.aligned(self._form.heard(said), words)
        if values.ndim > 1:
            return log_softmax(values)
        shares = np.full((len(values), self._outputs), _HARDLY)
        shares[np.arange(len(values)), np.maximum(values, 0)] = 1.0
        return np.where(values[:, None] < 0, np.nan, log_softmax(np.log(shares)))

    def _together(self, sides: Floats, ids: Sequence[str]) -> Floats:
        """One answer a text, `[texts, classes]`, from log-probabilities `[members, texts, classes]`."""
        if self._select == "confidence":
            surest = sides.max(axis=2).argmax(axis=0)
            return np.asarray(np.take_along_axis(sides, surest[None, :, None], axis=0)[0])
        counts = np.isfinite(sides[..., 0])  # who said nothing of a word has no say in it
        sides = np.where(counts[..., None], sides, -np.log(sides.shape[-1]))
        counts = np.where(counts.any(axis=0), counts, True)
        if self._select == "gold":
            gold = np.array([self._gold.get(one, -1) for one in ids], dtype=np.int64)
            agrees = sides.argmax(axis=2) == gold
            counts = np.where(agrees.any(axis=0), agrees, True)
        weights = self._weights[:, None] * counts
        heard = np.log(np.where(counts, weights / weights.sum(axis=0), 1.0))
        return np.asarray(np.logaddexp.reduce(np.where(counts[..., None], sides + heard[..., None], -np.inf), axis=0))

    @cached_property
    def _gold(self) -> dict[str, int]:
        import pyarrow.parquet as pq

        table = pq.read_table(self._path)
        return dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))

    def _price(self, bills: Sequence[Floats | None], texts: int) -> Floats:
        """What each answer cost: what was billed for it, and the stated price of those that do not bill for each."""
        total = np.zeros(texts)
        for one, bill in zip(self._members, bills, strict=True):
            total += (one.identify().price_per_million_texts or 0.0) / 1e6 if bill is None else bill
        return total

    def _leader(self) -> LoadedTeacher:
        if self._lead is None:
            found, todo = "an ensemble of teachers that show no network", "Choose the student `bag`, or add a member."
            raise MismatchError(Problem("student", found, "a member whose network can be seen", todo))
        return self._members[self._lead]


def _folder(folder: Path, place: int) -> Path:
    return folder / f"member-{place}"


def _write_gold(corpus: Learnable, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(corpus.train.table(["id", "label"]).drop_null(), path, compression="zstd")


def _without_logits(member: Teacher) -> MismatchError:
    found = f"a {member.kind} teacher that gives {', '.join(sorted(member.signals)) or 'nothing'}"
    return MismatchError(Problem("teacher", found, "a member that gives logits", "Take it out, or ask it for them."))


def _words(said: Mapping[str, NDArray[Any]]) -> Words | None:
    """The words that a member spoke of; None: it spoke of whole texts."""
    if signals.WORDS not in said:
        return None
    places, counts = said[signals.WORDS], said[signals.COUNTS]
    return Words(np.zeros(len(places), dtype=np.int64), places, counts)


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
