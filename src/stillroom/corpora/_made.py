"""What sources that make their texts have in common: unlabelled rows, a dev like them, and a test from elsewhere."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field, SerializeAsAny, field_validator

from stillroom.core import plugins
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
    streams = list(real.streams(task))
    given = {stream.split for stream in streams}
    for stream in streams:
        if stream.split in ("test", "outside"):
            yield stream
        elif stream.split == "labelled" and "test" not in given:
            yield Stream("test", stream.domain, _tested(real, stream))


def not_to_test_on(source: Source, task: Task) -> Iterator[Row]:
    """The other rows of a source."""
    streams = list(source.streams(task))
    given = {stream.split for stream in streams}
    for stream in streams:
        shared = stream.split == "labelled" and "test" not in given
        for row in stream.rows if stream.split not in ("test", "outside") else ():
            if isinstance(row, Row) and not (shared and _is_tested(source, row.text)):
                yield row


def _tested(real: Source, stream: Stream) -> Iterator[Any]:
    for row in stream.rows:
        if not isinstance(row, Row) or _is_tested(real, row.text):
            yield row


def _is_tested(real: Source, text: str) -> bool:
    return role_of(text, dev_share=real.dev_share, test_share=real.test_share) == "test"
