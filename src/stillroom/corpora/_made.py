"""What sources that make their texts have in common: unlabelled rows, a dev like them, and a test from elsewhere."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, field_validator

from stillroom.core import plugins
from stillroom.core.errors import Problem
from stillroom.corpora import Row, Source, Split, Stream, role_of, share
from stillroom.tasks import Task

_SPLITS: tuple[Split, ...] = ("dev", "unlabelled")


class Made(Source):
    """A source that makes texts: nobody wrote them, and the teacher's words are their labels."""

    parts: ClassVar[Mapping[str, str]] = {"real": "corpora"}
    makes_texts: ClassVar[bool] = True

    real: SerializeAsAny[Source] | None = None
    """A source whose test and outside rows show the gap to real text; none of its other rows is taught or chosen on."""
    seed: int = Field(7, ge=0)
    """What is drawn with. The recipe's seed is not it, so that trainings of several seeds share one corpus."""
    dev_share: float = Field(0.06, gt=0, lt=0.5)
    """Share of the texts that go to dev, by the hash of the text."""
    test_share: float = Field(0.19, gt=0, lt=0.5)
    """Not of these texts: none is tested on. `real` has its own."""

    @field_validator("real", mode="before")
    @classmethod
    def _member(cls, value: Any) -> Any:
        """A plain table, as a manifest holds it, becomes the source that it describes."""
        return plugins.build("corpora", value) if isinstance(value, dict) else value

    @property
    def has_test(self) -> bool:
        """Where there is real text."""
        return self.real is not None

    @property
    def inside(self) -> Mapping[str, Source]:
        """The real source."""
        return {} if self.real is None else {"real": self.real}

    def extras(self) -> tuple[str, ...]:
        """Those of the real rows."""
        return () if self.real is None else self.real.extras()

    def digests(self) -> dict[str, str]:
        """What the texts are made with, and the real source's own."""
        real = {} if self.real is None else self.real.digests()
        return {**self.made_with(), **{f"real.{name}": digest for name, digest in real.items()}}

    def streams(self, task: Task) -> Iterator[Stream]:
        """What was made, shared out among dev and unlabelled; then what is real, to test on."""
        for split in _SPLITS:
            yield Stream(split, self.kind, self._rows(task, split), gold=False)
        if self.real is not None:
            yield from to_test_on(self.real, task)

    @abstractmethod
    def made_with(self) -> dict[str, str]:
        """The digests of the files that it makes texts with.

        Raises:
            InputError: one is not there.
        """

    @abstractmethod
    def texts(self, task: Task) -> Iterator[tuple[str, str]]:
        """Every text with the name of its place, the same ones each time."""

    def _rows(self, task: Task, split: Split) -> Iterator[Row]:
        for text, where in self.texts(task):
            if (share(text, use="split") < self.dev_share) == (split == "dev"):
                yield Row(text, None, where)


def to_test_on(real: Source, task: Task) -> Iterator[Stream]:
    """The rows of a source that its own settings give to the test, and those outside; the others are left where they
    are.
    """
    yield from given_to("test", real, task)
    yield from (stream for stream in real.streams(task) if stream.split == "outside")


def given_to(role: Literal["train", "dev", "test"], source: Source, task: Task) -> Iterator[Stream]:
    """The rows that a source's own settings give to a split.

    What can't be read as a row and has no split is given to train and to the test: who takes dev takes train too.
    """
    streams = list(source.streams(task))
    given = {stream.split for stream in streams}
    for stream in streams:
        if stream.split == role:
            yield stream
        elif stream.split == "labelled":
            yield Stream(role, stream.domain, _own(source, stream, role, given=given))


def not_to_test_on(source: Source, task: Task) -> Iterator[Row | Problem]:
    """The other rows of a source."""
    streams = list(source.streams(task))
    given = {stream.split for stream in streams}
    for stream in streams:
        shared = stream.split == "labelled"
        for row in stream.rows if stream.split not in ("test", "outside") else ():
            if isinstance(row, Problem) or not (shared and _role(source, row, given=given) == "test"):
                yield row


def _own(source: Source, stream: Stream, role: Split, *, given: set[Split]) -> Iterator[Row | Problem]:
    for row in stream.rows:
        if role != "dev" if isinstance(row, Problem) else _role(source, row, given=given) == role:
            yield row


def _role(source: Source, row: Row, *, given: set[Split]) -> Split:
    return role_of(row.text, dev_share=source.dev_share, test_share=source.test_share, given=given)
