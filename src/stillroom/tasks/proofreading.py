"""What is wrong in a text, and what should stand there: spelling, articles, agreement, signs, capitals."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.core import (
    characters,
    edit_tags,
    edits,
    objects,
    plugins,
    probabilities,
    proofs,
    rules,
    scripted,
    spelling,
)
from stillroom.core.characters import LETTERS
from stillroom.core.edits import Chunk, Edit
from stillroom.core.english import Topic
from stillroom.core.passages import Plan, Told
from stillroom.core.proofs import Made, Mark, Reference
from stillroom.core.scripted import Scripted
from stillroom.core.tagging import Tagged
from stillroom.tasks import Rows, Task, ToyRow, _references, told_places

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.core.words import Words
    from stillroom.metrics._corrections import Corrected
    from stillroom.shapes import Shape

_TOGETHER = 600  # characters: a student has seen sentences, and some of them together help to tell what is meant
_WHY: Mapping[Topic, str] = {
    "article": "The article does not fit the noun here.",
    "preposition": "Another preposition is usual here.",
    "pronoun": "Another form of the pronoun is needed here.",
    "determiner": "This word does not go with what it stands before.",
    "agreement": "The verb does not agree with its subject.",
    "verb form": "Another form of the verb is needed here.",
    "number": "One or several: the number of the noun, or the verb that goes with it, does not fit.",
    "confused words": "This word is often written where another is meant.",
    "word form": "Another form of the word is needed here.",
    "spelling": "This is no word of the dictionary, or not the one that is meant.",
    "capitals": "Capital or small: the first letter does not fit.",
    "spacing": "These belong together.",
    "punctuation": "A sign is missing here, or is one too many.",
    "word order": "These words stand the other way round.",
    "missing word": "A word seems to be missing here.",
    "extra word": "This word is not needed here.",
}


@final
@dataclass(frozen=True)
class Correction:
    """Some characters of a text (code points, `end` past the last) and what should stand there instead."""

    start: int
    end: int
    text: str
    replacement: str
    type: str
    score: float
    """How probable the correction is."""
    explanation: str


@final
@dataclass(frozen=True)
class Proof:
    """The corrections of a text, from left to right; they do not overlap."""

    corrections: tuple[Correction, ...]
    corrected: str
    """The text with all of them made."""

    def as_dict(self) -> dict[str, Any]:
        """The prediction as a program reads it."""
        return {"corrections": [asdict(one) for one in self.corrections], "corrected": self.corrected}

    def as_line(self) -> str:
        """Each correction with what it is a matter of."""
        told = (f"{one.text or '∅'} → {one.replacement or '∅'} ({one.type}, {one.start}–{one.end}, {one.score:.2f})"
                for one in self.corrections)  # fmt: skip
        return "; ".join(told) or "–"

    def annotated(self, text: str) -> str:
        """The text with each correction in its place, in CriticMarkup: `{~~teh~>the~~}`, `{++the++}`, `{--the--}`."""
        return edits.applied(text, [Edit(one.start, one.end, _marked(one)) for one in self.corrections])


def _marked(one: Correction) -> str:
    if not one.text:
        return f"{{++{one.replacement}++}}"
    return f"{{~~{one.text}~>{one.replacement}~~}}" if one.replacement else f"{{--{one.text}--}}"


@final
class Proofreading(Task):
    """Corrections of an English text: a tag for each word says what becomes of it (`stillroom.core.edit_tags`).

    Gold is the corrected text, or several that are all right; equal to the text where nothing is wrong.
    """

    shape: ClassVar[str] = "tokens"
    signals: ClassVar[frozenset[str]] = frozenset({"logits", "label", "hidden", "relations", "attention"})
    floor: ClassVar[str] = "dictionary"
    judged_by: ClassVar[tuple[str, ...]] = (
        "edit_f05", "gleu", "edit_recall", "false_flags", "ece", "adaptive_ece", "aurc", "nll", "brier",
    )  # fmt: skip
    prediction: ClassVar[Mapping[str, Any]] = {
        "required": ["corrections", "corrected"],
        "properties": {
            "corrections": {"type": "array", "items": told_places("text", "replacement", "type", "explanation")},
            "corrected": {"type": "string"},
        },
    }
    unsure: ClassVar[str] = ""
    corrects: ClassVar[bool] = True

    kind: Literal["proofreading"] = "proofreading"
    least_sure: float = Field(0.5, gt=0, lt=1)
    """A correction that is less probable than this is not made: higher means fewer false alarms, and fewer finds."""
    seconded: float = Field(0.0, ge=0, lt=1)
    """How much a second opinion counts, that of Harper's rules: a share so large of how probable a correction is comes
    from whether they make it too. What both correct needs little of the student then, what it alone corrects more. They
    are asked where texts are corrected and judged, not where dev chooses an epoch; 0: nowhere."""
    errant: str = ""
    """The spaCy pipeline with which `errant_f05` is measured too: its folder or `package:<import name>/<folder>`."""

    @property
    def form(self) -> Shape:
        """Answers to words; of a word in pieces the first has the tag."""
        found: Shape = plugins.build("shapes", {"kind": self.shape, "goes_on": False})
        return found

    @property
    def metrics(self) -> tuple[str, ...]:
        """With ERRANT's where it has a pipeline to work with."""
        return (*self.judged_by, "errant_f05") if self.errant else self.judged_by

    @property
    def packages(self) -> tuple[str, ...]:
        """The dictionary, and what looks words up in it."""
        return ("rapidfuzz", "symspellpy", *(("harper-py",) if self.seconded else ()))

    @property
    def hub_task(self) -> str:
        """It tags words, and writes no text."""
        return "token-classification"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Every tag."""
        return edit_tags.TAGS

    @property
    def gold_made_with(self) -> Mapping[str, str]:
        """The dictionary, and the language that marks are in."""
        return {"dictionary": spelling.dictionary().digest, "tags": edit_tags.digest()}

    def gold_type(self) -> pa.DataType:
        """A list of references, each with its marks."""
        import pyarrow as pa

        mark = pa.struct([("at", pa.int32()), ("tag", pa.string())])
        return pa.list_(pa.struct([("text", pa.string()), ("marks", pa.list_(mark))]))

    def code(self, label: Any, text: str = "") -> list[dict[str, Any]] | None:
        """The references with their marks, or None where there is none that says anything."""
        found = _references.read(label)
        if found is None:
            return None
        words = spelling.dictionary()
        return [asdict(proofs.reference(text, one, is_word=words.__contains__)) for one in found]

    def fault(self, label: Any, text: str) -> tuple[str, str, str] | None:
        """No text, or none that says anything."""
        return _references.fault(
            label,
            expected="the corrected text, or a list of corrected texts that are all right",
            todo="Write it out (the text itself where nothing is wrong), or leave the row unlabelled.",
        )

    def gold(self, column: pa.ChunkedArray) -> NDArray[Any]:
        """Tuples of references, None where a row has no gold."""
        return self.golds(column.to_pylist())

    def golds(self, items: Sequence[Any]) -> NDArray[Any]:
        """The same from a list."""
        return objects.array([None if one is None else tuple(_reference(some) for some in one) for one in items])

    def moved(self, item: Any, edits: Sequence[Edit]) -> None:
        """None: what such edits do to a text is what it looks for."""
        return

    def known(self, gold: NDArray[Any]) -> NDArray[np.bool_]:
        """Where there are references."""
        return np.array([one is not None for one in gold], dtype=np.bool_)

    def place(self, gold: NDArray[Any], words: Words | None) -> NDArray[np.int64]:
        """The tag of each word by the first reference; −1 on the words of a row without gold."""
        if words is None:
            raise TypeError("corrections can only be learned by whoever reads words")
        found = proofs.on_words([one[0].marks if one else () for one in gold], words.places, words.counts)
        found[np.repeat(~self.known(gold), words.counts)] = -1
        return found

    def named(self, said: Tagged) -> NDArray[Any]:
        """The marks of each text as the one reference, None where a word has no tag; what they make is not told.

        Without the texts a second opinion is nobody's: what needs it is not named.
        """
        tags, _ = self._tags(said, alone=1 - self.seconded)
        without = np.bincount(said.owners[tags < 0], minlength=len(said)) > 0
        marks = proofs.of_words(tags, said, said.words)
        return objects.array([None if none else (Reference("", one),)
                             for one, none in zip(marks, without.tolist(), strict=True)])  # fmt: skip

    def explained(self, said: Tagged) -> Tagged:
        """The tags that corrections make of words, which need not be the likeliest ones."""
        return replace(said, values=np.maximum(self.place(self.named(said), self.form.words(said)), 0))

    def sureness(self, said: Tagged) -> NDArray[np.float64]:
        """The mean over the words of a text of the highest probability."""
        highest = probabilities.softmax(said.values).max(axis=1)
        return np.asarray(np.bincount(said.owners, weights=highest, minlength=len(said)) / np.maximum(said.counts, 1))

    def answered(
        self,
        gold: NDArray[Any],
        said: Tagged,
        teacher: Tagged,
        *,
        named: bool = False,
        rows: Rows | None = None,
        familiar: Collection[str] = frozenset(),
    ) -> Corrected:
        """Marks, and the texts that they make, beside references and those of the teacher."""
        from stillroom.metrics._corrections import Corrected
        from stillroom.metrics._words import Posteriors

        texts = objects.array(list(rows.texts)) if rows else None
        heard = self._seconded(said, rows.texts if rows else None)
        theirs = heard if teacher is said else self._seconded(teacher, rows.texts if rows else None)
        own = self._counted(heard, rows)
        its = own if theirs is heard else self._counted(theirs, rows)
        named = named or said.values.ndim == 1
        sure = None if named else self.sureness(heard)
        posteriors = None if named else Posteriors(heard, theirs, gold, self)
        return Corrected(gold, own, its, texts, named=named, sure=sure, pipeline=self.errant, posteriors=posteriors)

    def decode(self, said: Tagged, texts: Sequence[str]) -> list[Proof]:
        """The corrections that are sure enough."""
        return [_proof(text, proofs.made(text, marks, spell=_speller()))
                for text, marks in zip(texts, self.marks(said, texts), strict=True)]  # fmt: skip

    @property
    def passages(self) -> Plan:
        """Paragraphs, long ones some sentences at a time."""
        return Plan(by="paragraph", most=_TOGETHER)

    def placed(self, prediction: Proof, start: int) -> Proof:
        """The corrections where they stand in the text; what is corrected is the passage."""
        moved = (replace(one, start=one.start + start, end=one.end + start) for one in prediction.corrections)
        return replace(prediction, corrections=tuple(moved))

    def joined(self, text: str, parts: Sequence[Told]) -> Proof:
        """All corrections, and the text with all of them made."""
        every = tuple(one for part in parts for one in part.said.corrections)
        return Proof(every, edits.applied(text, [Edit(one.start, one.end, one.replacement) for one in every]))

    def in_browser(self) -> Scripted:
        """The same corrections, with the language of tags and the dictionary told.

        Raises:
            MismatchError: it asks for a second opinion, whose rules no script of ours knows.
        """
        if self.seconded:
            found, expected = f"`task.seconded` = {self.seconded:g}: the rules of Harper beside the student", "0"
            raise scripted.refused(found, expected=expected, todo="Make a bundle with `task.seconded` = 0.")
        told = {"kind": self.kind, "least_sure": self.least_sure, "why": dict(_WHY), **edit_tags.told()}
        language = Scripted({**told, "letters": LETTERS}, made={LETTERS: characters.letters()})
        return language.holding(spelling=spelling.dictionary().in_browser())

    def objectives(self, said: frozenset[str] = frozenset({"logits"})) -> tuple[Mapping[str, Any], ...]:
        """The teacher's tags as it gave them, and gold beside where there is some."""
        soft = {"kind": "forward_kl", "weight": 0.9, "temperature": 1.0}
        return (soft, {"kind": "hard_label", "weight": 0.1}) if "logits" in said else ({"kind": "hard_label"},)

    def toy(self) -> Sequence[ToyRow]:
        """Sentences with one word misspelt, or none."""
        pairs = [
            (f"{who} {wrong} {what}", f"{who} {right} {what}")
            for who in ("he", "she", "Mira", "the old man")
            for wrong, right in (("recieved", "received"), ("beleived in", "believed in"), ("wanted", "wanted"))
            for what in ("a red hat", "a small boat", "the best of us", "no time")
        ]
        return [ToyRow(text, corrected) for text, corrected in pairs]

    def _counted(self, heard: Tagged, rows: Rows | None) -> NDArray[np.object_]:
        """The marks of each text; where the texts are there, those alone that make a correction."""
        marks = self._marks(heard)
        if rows is not None:
            marks = [[(one.mark, one.score) for one in proofs.made(text, some, spell=_speller())]
                     for text, some in zip(rows.texts, marks, strict=True)]  # fmt: skip
        return objects.array(marks)

    def _seconded(self, said: Tagged, texts: Sequence[str] | None) -> Tagged:
        """What was said, with the texts by the second opinion too, if there is one: as logarithms."""
        if not self.seconded or texts is None or said.values.ndim == 1:
            return said
        shares = (1 - self.seconded) * probabilities.softmax(said.values)
        marks = [rules.marks(text, needed_by="task.seconded") for text in texts]
        shares[np.arange(len(shares)), proofs.on_words(marks, said.words, said.counts)] += self.seconded
        return replace(said, values=np.log(np.maximum(shares, np.finfo(np.float64).tiny)))

    def _tags(self, said: Tagged, *, alone: float = 1.0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The tag of each word, and how probable it is; `alone` is how much that counts which is said here."""
        if said.values.ndim == 1:
            return said.values.astype(np.int64), np.ones(len(said.values))
        shares = alone * probabilities.softmax(said.values)
        best = shares[:, 1:].argmax(axis=1) + 1
        scores = shares[np.arange(len(shares)), best]
        return np.where(scores >= self.least_sure, best, 0), scores

    def marks(self, said: Tagged, texts: Sequence[str] | None = None) -> list[list[tuple[Mark, float]]]:
        """The marks of each text with how probable each is; with the texts, by the second opinion too."""
        return self._marks(self._seconded(said, texts))

    def _marks(self, said: Tagged) -> list[list[tuple[Mark, float]]]:
        tags, scores = self._tags(said)
        kept = iter(scores[tags > 0].tolist())
        return [[(one, next(kept)) for one in some] for some in proofs.of_words(tags, said, said.words)]


def _proof(text: str, made: Sequence[Made]) -> Proof:
    found = []
    for one in made:
        edit, topic = one.edit, edit_tags.topic_of(one.mark.tag, one.word)
        found.append(Correction(edit.start, edit.end, text[edit.start : edit.end], edit.replacement, topic, one.score,
                                _WHY[topic]))  # fmt: skip
    return Proof(tuple(found), edits.applied(text, [one.edit for one in made]))


def _speller() -> Callable[[Sequence[Chunk], int], str | None]:
    """The dictionary, opened when a word is looked up."""
    return lambda chunks, at: spelling.dictionary().meant(chunks, at)


def _reference(one: Any) -> Reference:
    if isinstance(one, Reference):
        return one
    return Reference(one["text"], tuple(Mark(**mark) for mark in one["marks"]))
