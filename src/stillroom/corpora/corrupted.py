"""Clean text with mistakes put into it, beside the clean text as gold: what a proofreader learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, final

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from stillroom.core import artifact, edits, plugins, seeds, spelling
from stillroom.core.english import Topic
from stillroom.core.errors import InputError, Problem
from stillroom.corpora import Row, Source, Split, Stream, _habits, _made, _mistakes, role_of
from stillroom.tasks import Task, _references

#: What is held out comes first.
_ROLES: tuple[Split, ...] = ("test", "dev", "train", "outside", "unlabelled")
_SHOWN = 5  # rows that can't be read, where there is no other


@final
class Corrupted(Source):
    """Texts of another source, taken to be right, with mistakes put into most of them; gold is the text as it was.

    Mistakes are those that the tags of `proofreading` undo: misspellings, endings, articles, prepositions, words that
    are confused, signs, capitals. A text that is held out, or that people made of a real one, is in no other split,
    whatever its signs and capitals. With `real`, the test is of mistakes that people made and people corrected. With
    `corrections`, mistakes are made as often as people make them: each text gets as many a word as one of those texts
    has, none where that is right, of kinds as frequent as there. Without, kinds are as frequent as learners of English
    were measured to make them (JFLEG), and one in 20, 8 or 5 words has one. With `learn_corrections` those of people
    are learned from too, beside what is made.
    """

    parts: ClassVar[Mapping[str, str]] = {"clean": "corpora", "real": "corpora", "corrections": "corpora"}

    kind: Literal["corrupted"] = "corrupted"
    clean: SerializeAsAny[Source]
    """The source of clean text; its labels, where it has any, are not read."""
    real: SerializeAsAny[Source] | None = None
    """A source whose test and outside rows, texts with their corrections, are tested on in place of made ones."""
    corrections: SerializeAsAny[Source] | None = None
    """A source of texts that people corrected, by which it is measured how often which mistakes are made. What it gives
    to the test, and what `real` does, is not counted, so that both may be one table."""
    learn_corrections: bool = False
    """Whether `corrections` are learned from beside what is made, each in the split that its own settings give it, but
    for those whose words, before or after, are tested or chosen on."""
    misspellings: str = ""
    """A JSON file of how people misspell words, `{"word": ["wrod"]}`; none: slips of letters are made up."""
    untouched: float | None = Field(None, ge=0, lt=1)
    """Share of the texts that stay right, so that a student learns to leave them alone; none: 0.3, or, with
    `corrections`, as many as are right there and no more."""
    rates: Mapping[Topic, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    """How often mistakes of some kinds are made against the others, where other than usual, in 1,000 words, such as
    `{ spelling = 60.0, article = 0.0 }`."""
    dev_share: float = Field(0.06, gt=0, lt=0.5)
    """Share of the clean texts without a split that go to dev; the share that `clean` names is not read."""
    test_share: float = Field(0.19, gt=0, lt=0.5)
    """Share of them that go to the test, where there is no `real`."""
    seed: int = Field(7, ge=0)
    """What is drawn with. The recipe's seed is not it, so that trainings of several seeds share one corpus."""

    @field_validator("clean", "real", "corrections", mode="before")
    @classmethod
    def _member(cls, value: Any) -> Any:
        """A plain table, as a manifest holds it, becomes the source that it describes."""
        return plugins.build("corpora", value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _has_some_to_learn_from(self) -> Self:
        if self.learn_corrections and self.corrections is None:
            raise ValueError("`corrections`, where they are to be learned from")
        return self

    @property
    def inside(self) -> Mapping[str, Source]:
        """Every source."""
        found = {"clean": self.clean, "real": self.real, "corrections": self.corrections}
        return {name: one for name, one in found.items() if one is not None}

    def extras(self) -> tuple[str, ...]:
        """Those of the sources of its rows that both have."""
        others = [self.clean, self.real, self.corrections if self.learn_corrections else None]
        return tuple(
            name for name in self.clean.extras() if all(name in one.extras() for one in others if one is not None)
        )

    def digests(self) -> dict[str, str]:
        """Those of the sources, and of the misspellings."""
        found = {
            f"{name}.{part}": digest for name, one in self.inside.items() for part, digest in one.digests().items()
        }
        found["dictionary"] = spelling.dictionary().digest
        if self.corrections is None:
            usual = {"rates": dict(_mistakes.RATES), "shares": list(_mistakes.SHARES)}
            found["usual"] = artifact.sha256(artifact.canonical(usual))
        return found | ({"misspellings": artifact.file_sha256(Path(self.misspellings))} if self._known else {})

    def streams(self, task: Task) -> Iterator[Stream]:
        """The clean source's rows with mistakes, what is held out first; then what is real."""
        mistakes = self._maker(task)
        given = {stream.split for stream in self.clean.streams(task)}
        if self.real:
            given.add("test")
        held = self._held(task)
        for role in _ROLES:
            for stream in () if self.real and role in ("test", "outside") else self.clean.streams(task):
                if stream.split == role or (stream.split == "labelled" and role in ("test", "dev", "train")):
                    rows = self._rows(stream, role, given=given, held=held, mistakes=mistakes)
                    yield Stream(role, stream.domain, rows, gold=role != "unlabelled")
            if self.corrections is not None and role in ("dev", "train"):
                for stream in _made.given_to(role, self.corrections, task):
                    rows = _corrected(stream, role, held=held, learned=self.learn_corrections)
                    yield Stream(role, stream.domain, rows)
        if self.real is not None:
            yield from _made.to_test_on(self.real, task)

    def habits(self, task: Task) -> _habits.Habits:
        """How often which mistakes are made, as far as that is measured: on corrections that test nothing.

        Raises:
            InputError: there is none.
        """
        if self.corrections is None:
            return _habits.Habits(_mistakes.RATES, _mistakes.SHARES)
        tested = {_told(row.text) for row in self._tested(task)}
        rows = list(_made.not_to_test_on(self.corrections, task))
        every = ((row.text, _references.read(row.label)) for row in rows if isinstance(row, Row))
        pairs = [(text, some) for text, some in every if some and _told(text) not in tested]
        if not pairs:
            expected, todo = "texts that people corrected", "Name others, or leave it out."
            unread = [row for row in rows if isinstance(row, Problem)]
            raise InputError(Problem("corpus.corrections", "none that tests nothing", expected, todo), *unread[:_SHOWN])
        return _habits.measured(pairs)

    def _maker(self, task: Task) -> _mistakes.Mistakes:
        found = self.habits(task)
        clean = 0.3 if self.corrections is None else 0.0
        return _mistakes.Mistakes({**found.rates, **self.rates}, self._known, shares=found.shares,
                                  clean=clean if self.untouched is None else self.untouched)  # fmt: skip

    @property
    def _known(self) -> Mapping[str, list[str]]:
        return _mistakes.read_misspellings(self.misspellings) if self.misspellings else {}

    def _held(self, task: Task) -> set[str]:
        """The real texts and what people made of them, as `_told` has it: no such text is learned from."""
        return {one for row in self._tested(task) for one in _both(row)}

    def _tested(self, task: Task) -> Iterator[Row]:
        """The real rows."""
        for stream in _made.to_test_on(self.real, task) if self.real else ():
            yield from (row for row in stream.rows if isinstance(row, Row))

    def _rows(
        self, stream: Stream, role: Split, *, given: set[Split], held: set[str], mistakes: _mistakes.Mistakes
    ) -> Iterator[Row | Problem]:
        """The rows that a role is given of a stream; what tests or chooses is kept out of what is learned from."""
        for row in stream.rows:
            if not isinstance(row, Row):
                if stream.split == role or role == "train":  # a stream without splits is read for each of them
                    yield row
                continue
            told = _told(row.text)
            own = stream.split == role or role == role_of(
                told, dev_share=self.dev_share, test_share=self.test_share, given=given
            )
            if not own or told in held:
                continue
            if role in ("test", "dev"):
                held.add(told)
            wrong = self._wrong(row, mistakes)
            yield replace(wrong, label=None) if role == "unlabelled" else wrong

    def _wrong(self, row: Row, mistakes: _mistakes.Mistakes) -> Row:
        # What is made of a text depends on it alone, so that new rows never change old ones.
        own = hashlib.sha256(row.text.encode(errors="surrogatepass")).hexdigest()
        rng = seeds.generator(self.seed, f"corpora/corrupted/{own}")
        return replace(row, text=mistakes.into(row.text, rng=rng), label=row.text)


def _corrected(stream: Stream, role: Split, *, held: set[str], learned: bool) -> Iterator[Row | Problem]:
    """What people corrected, but for texts that are held out on one of both sides; if not `learned`, none of it.

    What can't be read as that comes as it is, learned from or not, so that the stage tells of it.
    """
    for row in stream.rows:
        if not isinstance(row, Row) or _references.read(row.label) is None:
            yield row
        elif learned and not (both := _both(row)) & held:
            held |= both if role == "dev" else set()
            yield row


def _both(row: Row) -> set[str]:
    """A text and what people made of it, as `_told` has them."""
    return {_told(one) for one in (row.text, *(_references.read(row.label) or ()))}


def _told(text: str) -> str:
    """The words of a text alone: texts that differ in signs and capitals are one, and belong to one split."""
    words = " ".join(one.text.lower() for one in edits.chunks(text) if one.text[0].isalnum())
    return hashlib.sha256(words.encode(errors="surrogatepass")).hexdigest()
