"""Family: where rows come from. A source streams rows split by split; `corpus.py` checks, splits and stores them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, final

from pydantic import Field

from stillroom.core.errors import Problem
from stillroom.core.plugins import Member
from stillroom.tasks import Task

#: `labelled` rows have no split of their own: the hash of their text decides between train, dev and test.
#: `outside` rows are labelled rows of another domain, for slices of the test only.
Split = Literal["train", "dev", "test", "labelled", "unlabelled", "outside"]


@final
@dataclass(frozen=True)
class Row:
    """One row as it was found: `where` names its place for people, such as `reviews.tsv, line 12`."""

    text: str
    label: str | None
    where: str
    columns: Mapping[str, str] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class Stream:
    """Rows that belong to one split and one domain.

    What can't be read as a row comes as the problem that it is, so that the stage can tell of all of them at once.
    """

    split: Split
    domain: str
    rows: Iterator[Row | Problem]


def share(text: str, *, use: str) -> float:
    """A number in [0, 1) that depends on the text and the use alone, so that new rows never move old ones."""
    digest = hashlib.sha256(f"{use}/{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / float(1 << 64)


class Source(Member, ABC):
    """A source of rows, with the rights in them."""

    source: str = ""
    """Where the text comes from, as one would cite it."""
    licence: str = ""
    """Its licence (SPDX where there is one)."""
    retrieved: date | None = None
    """When it was retrieved."""
    basis: str = ""
    """The basis for using it (a licence, consent, a contract, a legal duty …)."""
    purpose: Literal["training and evaluation", "evaluation"] = "training and evaluation"
    """What the text may be used for; with `evaluation`, rows to train on are listed as a gap in the rights."""

    dev_share: float = Field(0.06, gt=0, lt=0.5)
    """Share of `labelled` rows that go to dev."""
    test_share: float = Field(0.19, gt=0, lt=0.5)
    """Share of `labelled` rows that go to test."""
    empty: Literal["error", "drop"] = "error"
    """What to do with an empty text in a labelled split. In unlabelled text they are dropped and counted."""
    max_characters: int = Field(1_000_000, ge=1)
    """A text longer than this is an error: more often a broken file than a text."""

    def extras(self) -> tuple[str, ...]:
        """The names of the columns that its rows may carry beside text and label."""
        return ()

    @abstractmethod
    def digests(self) -> dict[str, str]:
        """Each input's name and digest: known before the rows are read.

        Raises:
            CorpusError: an input is not there.
            NoNetwork: it has to be fetched and can't be.
        """

    @abstractmethod
    def streams(self, task: Task) -> Iterator[Stream]:
        """Every stream of rows, opened when it is read.

        Raises:
            MismatchError: the rows have other labels than the task.
            NoNetwork: they have to be fetched and can't be.
        """
