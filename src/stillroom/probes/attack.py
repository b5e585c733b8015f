"""How easily each side is led astray by a few words in the place of others, and whether that leads the other astray."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom import intervals
from stillroom.aspects.negation import WORDS as NEGATIONS
from stillroom.augmentations import cased_like, is_word, pieces
from stillroom.core import artifact, english, word_vectors
from stillroom.core.errors import InputError, Problem
from stillroom.core.word_vectors import WordVectors
from stillroom.intervals import NO_ROWS, Interval, Sample, not_measurable, too_few
from stillroom.metrics import Floats, ratio
from stillroom.probes import SIDES, Exhibit, Heard, Probe, Shown, Sitting
from stillroom.shapes import Outputs
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Task
from stillroom.teachers import _pretrained

_WHERE = "audit.probes, `attack`"
_TOKENIZER, _TENSORS = "tokenizer.json", "model.safetensors"
#: Of these, in this order, the first that ends so is the table of a folder's tokens.
_TABLES = ("word_embeddings.weight", "embed_tokens.weight", "wte.weight", "shared.weight", "embeddings")
_MOST = 50_000
_SHORTEST = 3
_TOPICS: tuple[english.Topic, ...] = ("article", "preposition", "determiner", "pronoun", "agreement", "verb form")
#: Words that hold a sentence together: with others in their place it is none.
_HOLDING = frozenset(word for topic in _TOPICS for group in english.CONFUSED[topic] for word in group.split()) | {
    "and", "but", "yet", "because", "while", "though", "although", "however",
}  # fmt: skip
_LEFT_ALONE = NEGATIONS | _HOLDING
#: What makes a word its opposite in front of it.
_OPPOSING = ("un", "in", "im", "ir", "il", "dis", "non", "mis", "anti")
#: Of fewer texts that were led astray there is no mean worth an interval.
_FEWEST = 10
_BOTH = {STUDENT: f"{STUDENT}_to_{TEACHER}", TEACHER: f"{TEACHER}_to_{STUDENT}"}
_NAMED = "it names labels and does not say how sure it is, so that there is nothing to climb"
_NONE = too_few(0, 1, of="texts that were led astray")


@final
@dataclass(frozen=True)
class _Target:
    """A row that both get right: its place among the judged, its words, and the label that it has by gold."""

    row: int
    parts: tuple[str, ...]
    label: int

    def without(self, place: int) -> str:
        """The text without one of its words."""
        return "".join((*self.parts[:place], *self.parts[place + 1 :]))

    def words(self, vectors: WordVectors) -> list[int]:
        """Where the words stand that others may take the place of."""
        return [place for place, one in enumerate(self.parts) if is_word(one) and _free(one) and one in vectors]

    @property
    def length(self) -> int:
        """How many words it has."""
        return sum(map(is_word, self.parts))


@final
@dataclass(frozen=True)
class _Outcome:
    """How an attack on one row ended, or what it has to ask before it goes on."""

    text: str = ""
    """The text that leads astray; "": none was found."""
    changed: int = 0
    """How many of its words are others."""
    needed: tuple[str, ...] = ()


#: What a side said of a text, the probability of each label; None where it has not answered.
_Say = Mapping[str, Floats]


@final
class Attack(Probe):
    """How easily each side is led astray by words in the place of others, and whether that leads the other astray.

    Of rows that both get right: words in the order in which gold's probability falls without them; for each the nearest
    by cosine of word vectors that lowers it most, until another label is named (after Jin et al. 1907.11932). What
    leads one astray is put to the other. Words near by their vectors may be opposites: a good part of such texts no
    longer mean what gold says, and no rate is one of mistakes; `vouched` counts those that the teacher gets right.
    """

    title: ClassVar[str] = "Attack"
    lead: ClassVar[str] = (
        "How easily each side is led astray by a few words in the place of others, and whether the other goes with it."
    )
    interactive: ClassVar[bool] = True

    kind: Literal["attack"] = "attack"
    vectors: str
    """A file with a word and its numbers a line (`.txt`, `.vec`), or a model's folder (or `package:…`): its tokens'."""
    rows: int = Field(50, ge=1)
    """How many of the audited rows that both get right, drawn by chance; a sentence takes about twenty texts a side."""
    words: int = Field(50, ge=1)
    """How many words of a text may become others: the first ones that have a vector."""
    share: float = Field(0.2, gt=0, le=1)
    """At most this share of a text's words become others, and one at least may."""
    neighbours: int = Field(8, ge=1)
    """How many of the nearest words are tried in the place of one."""
    likeness: float = Field(0.5, ge=-1, le=1)
    """The least cosine of two words that may stand for each other."""

    @property
    def paths(self) -> tuple[str, ...]:
        """How often each is led astray, with how many words, and how often with the other."""
        changed = (f"changed.{side}" for side in SIDES)
        return (*SIDES, "relative", "vouched", *changed, *(f"transfer.{one}" for one in _BOTH.values()))

    def sources(self) -> dict[str, str]:
        """The file, or the folder's two."""
        if Path(self.vectors).is_file():
            return {"vectors": artifact.file_sha256(Path(self.vectors))}
        folder = _pretrained.locate(self.vectors, where=f"{_WHERE}, `vectors`", holds=_TOKENIZER)
        return {name: artifact.file_sha256(folder / name) for name in (_TOKENIZER, _TENSORS)}

    def misfits(self, task: Task, *, where: str) -> list[Problem]:
        """No probability to lower, or no vectors."""
        if reason := _unfit(task):
            return [Problem(where, reason, "a task of one label a text", "Take it out.")]
        try:
            self._read()
        except InputError as error:
            return list(error.problems)
        return []

    def texts(self, sitting: Sitting) -> Sequence[str]:
        """None of which both are asked."""
        return []

    def further(self, sitting: Sitting, heard: Heard) -> Mapping[str, Sequence[str]]:
        """What the attack on each side has to know next, and for the other what led one astray."""
        found: dict[str, list[str]] = {side: [] for side in SIDES}
        for side, outcomes in self._outcomes(sitting, heard).items():
            found[side] += [text for one in outcomes for text in one.needed]
            for other in heard.outputs:
                if other != side:
                    found[other] += [one.text for one in outcomes if one.text]
        return {side: texts for side, texts in found.items() if side in heard.outputs}

    def measure(self, sitting: Sitting, heard: Heard) -> dict[str, Any]:
        """How each attack ended."""
        if reason := _unfit(sitting.task):
            return self.nothing(reason)
        targets, outcomes = self._targets(sitting), self._outcomes(sitting, heard)
        ended = {side: [one for one in zip(targets, some, strict=True) if not one[1].needed]
                 for side, some in outcomes.items()}  # fmt: skip
        figures = {side: self._astray(sitting, heard, side, ended.get(side)) for side in SIDES}
        changed = {side: self._changed(sitting, heard, side, ended.get(side)) for side in SIDES}
        transfer = {_BOTH[side]: self._transfer(sitting, heard, side, ended.get(side)) for side in SIDES}
        return {
            "rows": len(targets),
            **{side: one.as_dict() for side, one in figures.items()},
            "relative": self._relative(sitting, heard, ended).as_dict(),
            "vouched": self._vouched(sitting, heard, ended.get(STUDENT)).as_dict(),
            "changed": {side: one.as_dict() for side, one in changed.items()},
            "transfer": {name: one.as_dict() for name, one in transfer.items()},
        }

    def nothing(self, reason: str) -> dict[str, Any]:
        """Every figure, not measurable."""
        unknown = not_measurable(0, reason).as_dict()
        both = dict.fromkeys(SIDES, unknown)
        transfer = dict.fromkeys(_BOTH.values(), unknown)
        return {"rows": 0, **both, "relative": unknown, "vouched": unknown, "changed": both, "transfer": transfer}

    @classmethod
    def exhibits(cls, found: Mapping[str, Any]) -> Sequence[Exhibit]:
        """A row a side."""
        rows: list[tuple[Shown, ...]] = [
            (side, found[side], found["changed"][side], found["transfer"][_BOTH[side]]) for side in SIDES
        ]
        rows.append(("student ÷ teacher", found["relative"], "–", "–"))
        head = ("attack on", "led astray", "of their words are others", "lead the other astray too")
        rows.append(("student, where its teacher still gets the text right", found["vouched"], "–", "–"))
        note = (
            "Of rows that both get right. Words near by their vectors may be opposites, so that a good part of these "
            "texts no longer mean what they did, and whoever is led astray then is right. What the teacher still gets "
            "right most likely means what it did."
        )
        return [Exhibit(f"Words in the place of others, in {int(found['rows']):,} texts", head, tuple(rows), note=note)]

    def _read(self) -> WordVectors:
        if Path(self.vectors).is_file():
            return word_vectors.read(Path(self.vectors), most=_MOST)
        return _of_folder(_pretrained.locate(self.vectors, where=f"{_WHERE}, `vectors`", holds=_TOKENIZER))

    def _targets(self, sitting: Sitting) -> list[_Target]:
        """The rows that are attacked."""
        right = [sitting.answered(side).right for side in SIDES]
        if right[0] is None or right[1] is None:
            return []
        both = np.flatnonzero((right[0] & right[1])[sitting.judged])
        drawn = np.sort(sitting.rng(self.kind, "drawn").permutation(both)[: self.rows])
        texts, gold = sitting.texts, sitting.gold[sitting.judged]
        return [_Target(row, tuple(pieces(texts[row])), int(gold[row])) for row in drawn.tolist()]

    def _outcomes(self, sitting: Sitting, heard: Heard) -> dict[str, list[_Outcome]]:
        """How the attack on each side goes, as far as it is heard; sides that can't be climbed left out."""
        if _unfit(sitting.task):
            return {}
        targets, vectors, found = self._targets(sitting), self._read(), {}
        for side, outputs in heard.outputs.items():
            if side not in sitting.named:
                table = _probabilities(sitting.task, outputs)
                say = {text: table[place] for text, place in heard.places[side].items()}
                clean = _probabilities(sitting.task, sitting.said[side])
                found[side] = [
                    self._attacked(one, say, float(clean[sitting.judged[one.row], one.label]), vectors)
                    for one in targets
                ]
        return found

    def _attacked(self, target: _Target, say: _Say, sure: float, vectors: WordVectors) -> _Outcome:
        """One attack, until it ends or has to know more."""
        places = [place for place in target.words(vectors) if target.without(place).strip()][: self.words]
        without = {place: target.without(place) for place in places}
        if needed := _unknown(without.values(), say):
            return _Outcome(needed=needed)
        order = sorted(places, key=lambda place: (say[without[place]][target.label], place))
        parts, changed = list(target.parts), 0
        for place in order[: max(1, int(self.share * target.length))]:
            tried = self._tried(parts, place, vectors)
            if needed := _unknown(tried, say):
                return _Outcome(needed=needed)
            astray = [text for text in tried if int(say[text].argmax()) != target.label]
            if astray:
                return _Outcome(astray[0], changed + 1)
            best = min(tried, key=lambda text: say[text][target.label], default="")
            if best and say[best][target.label] < sure:
                sure, changed = float(say[best][target.label]), changed + 1
                parts[place] = tried[best]
        return _Outcome()

    def _tried(self, parts: Sequence[str], place: int, vectors: WordVectors) -> dict[str, str]:
        """Texts with another word at one place, and the word, the nearest first."""
        near = vectors.nearest(parts[place], self.neighbours)
        others = [cased_like(word, parts[place]) for word, like in near
                  if like >= self.likeness and _free(word) and not _opposed(word, parts[place])]  # fmt: skip
        return {"".join((*parts[:place], word, *parts[place + 1 :])): word for word in others if word != parts[place]}

    def _astray(
        self, sitting: Sitting, heard: Heard, side: str, ended: Sequence[tuple[_Target, _Outcome]] | None
    ) -> Interval:
        if ended is None:
            return _unmeasured(heard, side)
        return intervals.clopper_pearson(sum(bool(one.text) for _, one in ended), len(ended), sitting.confidence)

    def _relative(
        self, sitting: Sitting, heard: Heard, ended: Mapping[str, Sequence[tuple[_Target, _Outcome]]]
    ) -> Interval:
        """The student's rate ÷ the teacher's, on the rows where both attacks ended."""
        for side in SIDES:
            if side not in ended:
                return _unmeasured(heard, side)
        by_row = [{target.row: bool(one.text) for target, one in ended[side]} for side in SIDES]
        rows = sorted(by_row[0].keys() & by_row[1].keys())
        if not rows:
            return not_measurable(0, NO_ROWS)
        table = np.array([[some[row] for some in by_row] for row in rows], dtype=np.float64)
        sample = Sample(table, lambda sums: ratio(sums[..., 1], sums[..., 0]), np.array(rows, dtype=np.int64))
        return sitting.drawn().estimate({"relative": sample})["relative"].interval(sitting.confidence)

    def _changed(
        self, sitting: Sitting, heard: Heard, side: str, ended: Sequence[tuple[_Target, _Outcome]] | None
    ) -> Interval:
        """The mean share of words that are others, of the texts that lead astray."""
        if ended is None:
            return _unmeasured(heard, side)
        found = [(target.row, one.changed / target.length) for target, one in ended if one.text]
        if len(found) < _FEWEST:
            return not_measurable(len(found), too_few(len(found), _FEWEST, of="texts that were led astray"))
        table = np.array([[share, 1.0] for _, share in found])
        rows = np.array([row for row, _ in found], dtype=np.int64)
        sample = Sample(table, lambda sums: ratio(sums[..., 0], sums[..., 1]), rows)
        return sitting.drawn().estimate({"changed": sample})["changed"].interval(sitting.confidence, within=(0.0, 1.0))

    def _transfer(
        self, sitting: Sitting, heard: Heard, side: str, ended: Sequence[tuple[_Target, _Outcome]] | None
    ) -> Interval:
        """Of what leads one astray, how much leads the other astray."""
        other = next(one for one in SIDES if one != side)
        for one in (side, other):
            if one not in heard.outputs or (one == side and ended is None):
                return _unmeasured(heard, one)
        led = [(one.text, target.label) for target, one in ended or () if one.text]
        known = heard.known(other, [text for text, _ in led])
        led = [one for one, told in zip(led, known.tolist(), strict=True) if told]
        if not led:
            return not_measurable(0, _NONE)
        hits = int(_wrong(sitting, heard, other, led).sum())
        return intervals.clopper_pearson(hits, len(led), sitting.confidence)

    def _vouched(self, sitting: Sitting, heard: Heard, ended: Sequence[tuple[_Target, _Outcome]] | None) -> Interval:
        """Of all rows, those in which the student is led astray by a text that its teacher still gets right."""
        if ended is None or TEACHER not in heard.outputs:
            return _unmeasured(heard, STUDENT if ended is None else TEACHER)
        known = heard.known(TEACHER, [one.text for _, one in ended])
        told = [pair for pair, one in zip(ended, known.tolist(), strict=True) if one or not pair[1].text]
        led = [(one.text, target.label) for target, one in told if one.text]
        hits = len(led) - int(_wrong(sitting, heard, TEACHER, led).sum())
        return intervals.clopper_pearson(hits, len(told), sitting.confidence)


def _wrong(sitting: Sitting, heard: Heard, side: str, texts: Sequence[tuple[str, int]]) -> NDArray[np.bool_]:
    """Which of some texts, each with its label, a side gets wrong."""
    table = _probabilities(sitting.task, heard.of(side, [text for text, _ in texts]))
    return np.asarray(table.argmax(axis=1) != np.array([label for _, label in texts], dtype=np.int64))


def _free(word: str) -> bool:
    """Whether a word neither denies nor holds a sentence together: only such words stand for each other."""
    return len(word) >= _SHORTEST and word.lower() not in _LEFT_ALONE


def _opposed(one: str, other: str) -> bool:
    """Whether one is the other with what makes it the opposite."""
    short, long = sorted((one.lower(), other.lower()), key=len)
    return any(long == f"{start}{short}" for start in _OPPOSING)


def _unfit(task: Task) -> str:
    """Why nothing can be attacked; "": it can."""
    if task.names:
        said = task.form.join([], outputs=len(task.outputs))
        if task.answered(task.golds([]), said, said).distributions() is not None:
            return ""
    return f"{task.kind}, whose answers are no probabilities of a label of a text"


def _unmeasured(heard: Heard, side: str) -> Interval:
    return not_measurable(0, _NAMED if side in heard.outputs else heard.unasked)


def _probabilities(task: Task, said: Outputs) -> Floats:
    """Of each label, `[texts, labels]`; where labels are only named, all of it for one."""
    found = task.answered(task.golds([None] * len(said)), said, said).distributions()
    if found is None:
        raise AssertionError("asked of a task without probabilities")
    return found[1]


def _unknown(texts: Iterable[str], say: _Say) -> tuple[str, ...]:
    return tuple(text for text in texts if text not in say)


def _of_folder(folder: Path) -> WordVectors:
    """The words among a model's tokens, with the vectors that it reads them as.

    Raises:
        InputError: there is no such table.
    """
    from safetensors import SafetensorError, safe_open
    from tokenizers import Tokenizer

    todo = "Name a folder of model2vec or transformers, or a file of vectors."
    try:
        with safe_open(folder / _TENSORS, framework="numpy") as file:
            names = [name for end in _TABLES for name in file.keys() if name.endswith(end)]  # noqa: SIM118
            table: NDArray[Any] | None = file.get_tensor(names[0]) if names else None
    except (OSError, SafetensorError) as error:
        raise InputError(Problem(str(folder / _TENSORS), str(error), "the tensors of a model", todo)) from error
    tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
    if table is None or table.ndim != 2 or len(table) < tokenizer.get_vocab_size(with_added_tokens=False):
        found = "no table with a vector for each token"
        raise InputError(Problem(str(folder / _TENSORS), found, f"one that ends in {', '.join(_TABLES)}", todo))
    return word_vectors.of_tokens(tokenizer, table.astype(np.float32))
