"""Clean text with mistakes put into it, beside the clean text as gold: what a proofreader learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, final

from pydantic import Field, SerializeAsAny, field_validator

from stillroom.core import artifact, plugins, seeds
from stillroom.core.english import Topic
from stillroom.corpora import Row, Source, Split, Stream, _made, _mistakes, role_of
from stillroom.tasks import Task

_ROLES: tuple[Literal["train", "dev", "test"], ...] = ("train", "dev", "test")


@final
class Corrupted(Source):
    """Texts of another source, taken to be right, with mistakes put into most of them; gold is the text as it was.

    Mistakes are those that the tags of `proofreading` undo: misspellings, endings, articles, prepositions, words that
    are confused, signs, capitals. With `real`, the test is of mistakes that people made and people corrected.
    """

    parts: ClassVar[Mapping[str, str]] = {"clean": "corpora", "real": "corpora"}

    kind: Literal["corrupted"] = "corrupted"
    clean: SerializeAsAny[Source]
    """The source of clean text; its labels, where it has any, are not read."""
    real: SerializeAsAny[Source] | None = None
    """A source whose test and outside rows, texts with their corrections, are tested on in place of made ones."""
    misspellings: str = ""
    """A JSON file of how people misspell words, `{"word": ["wrod"]}`; none: slips of letters are made up."""
    untouched: float = Field(0.3, ge=0, lt=1)
    """Share of the texts that stay right, so that a student learns to leave them alone."""
    rates: Mapping[Topic, float] = Field(default_factory=dict)
    """How often mistakes of some kinds are made, where other than usual, such as `{ spelling = 5.0 }`."""
    seed: int = Field(7, ge=0)
    """What is drawn with. The recipe's seed is not it, so that trainings of several seeds share one corpus."""

    @field_validator("clean", "real", mode="before")
    @classmethod
    def _member(cls, value: Any) -> Any:
        """A plain table, as a manifest holds it, becomes the source that it describes."""
        return plugins.build("corpora", value) if isinstance(value, dict) else value

    @property
    def inside(self) -> Mapping[str, Source]:
        """Both sources."""
        return {"clean": self.clean} | ({} if self.real is None else {"real": self.real})

    def extras(self) -> tuple[str, ...]:
        """Those of both sources that both have."""
        other = self.clean if self.real is None else self.real
        return tuple(name for name in self.clean.extras() if name in other.extras())

    def digests(self) -> dict[str, str]:
        """Those of the sources, and of the misspellings."""
        found = {
            f"{name}.{part}": digest for name, one in self.inside.items() for part, digest in one.digests().items()
        }
        return found | ({"misspellings": artifact.file_sha256(Path(self.misspellings))} if self._known else {})

    def streams(self, task: Task) -> Iterator[Stream]:
        """The clean source's rows with mistakes, in the splits that the clean texts belong to; then what is real."""
        mistakes = _mistakes.Mistakes(self.rates, self._known, clean=self.untouched)
        given = {stream.split for stream in self.clean.streams(task)}
        for role in (None, *_ROLES):
            for stream in self.clean.streams(task):
                split = stream.split if role is None else role
                if (stream.split == "labelled") == (role is None) or (self.real and split in ("test", "outside")):
                    continue
                rows = self._rows(stream, role, given=given, mistakes=mistakes)
                yield Stream(split, stream.domain, rows, gold=split != "unlabelled")
        if self.real is not None:
            yield from _made.to_test_on(self.real, task)

    @property
    def _known(self) -> Mapping[str, list[str]]:
        return _mistakes.read_misspellings(self.misspellings) if self.misspellings else {}

    def _rows(
        self, stream: Stream, role: Split | None, *, given: set[Split], mistakes: _mistakes.Mistakes
    ) -> Iterator[Any]:
        """The rows of a stream, or those that a role is given of one without a split."""
        for row in stream.rows:
            if not isinstance(row, Row):
                yield row
            elif role is None or role == role_of(
                row.text, dev_share=self.clean.dev_share, test_share=self.clean.test_share, given=given
            ):
                wrong = self._wrong(row, mistakes)
                yield replace(wrong, label=None) if stream.split == "unlabelled" else wrong

    def _wrong(self, row: Row, mistakes: _mistakes.Mistakes) -> Row:
        # What is made of a text depends on it alone, so that new rows never change old ones.
        own = int.from_bytes(hashlib.sha256(row.text.encode()).digest()[:8], "big")
        rng = seeds.generator(self.seed, f"corpora/corrupted/{own}")
        return replace(row, text=mistakes.into(row.text, rng=rng), label=row.text)
