"""Family: where rows come from. A source streams rows split by split; `corpus.py` checks, splits and stores them."""

from __future__ import annotations

import hashlib
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, Literal, final

from pydantic import Field

from stillroom.core.errors import Problem
from stillroom.core.plugins import Member
from stillroom.core.progress import Report
from stillroom.tasks import Task

#: `labelled` rows have no split of their own: the hash of their text decides between train, dev and test.
#: `outside` rows are labelled rows of another domain, for slices of the test only.
Split = Literal["train", "dev", "test", "labelled", "unlabelled", "outside"]


@final
@dataclass(frozen=True)
class Row:
    """One row as it was found: `where` names its place for people, such as `reviews.tsv, line 12`."""

    text: str
    label: Any
    """What its task can read as gold; None where there is none."""
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
    gold: bool = True
    """Whether its rows have a label; False: the teacher's words stand for it, as in every `unlabelled` row."""


def share(text: str, *, use: str) -> float:
    """A number in [0, 1) that depends on the text and the use alone, so that new rows never move old ones."""
    digest = hashlib.sha256(f"{use}/{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / float(1 << 64)


def role_of(
    text: str, *, dev_share: float, test_share: float, given: Collection[Split] = ()
) -> Literal["train", "dev", "test"]:
    """The split of a labelled row that has none.

    A split that is `given` by a path of its own takes no share; what would have gone there is trained on.
    """
    place = share(text, use="split")
    if place < test_share:
        return "train" if "test" in given else "test"
    if place < test_share + dev_share:
        return "train" if "dev" in given else "dev"
    return "train"


def cache_folder() -> Path:
    """Where fetched and made files are kept for this user: `$STILLROOM_CACHE`, or the system's place for them."""
    chosen = os.environ.get("STILLROOM_CACHE")
    if chosen:
        return Path(chosen)
    system = os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else os.environ.get("XDG_CACHE_HOME")
    return (Path(system) if system else Path.home() / ".cache") / "stillroom"


class Source(Member, ABC):
    """A source of rows, with the rights in them."""

    makes_texts: ClassVar[bool] = False
    """Whether it makes the texts that are learned from: nobody wrote them, and none of them has gold."""

    fetches: ClassVar[bool] = False
    """Whether it fetches what it reads, and so knows itself when that was retrieved: see `fetched`."""

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
    near_twins: Literal["keep", "drop"] = "keep"
    """Whether a text of dev, train or unlabelled that is nearly one before it in its split stays; both are counted."""
    max_characters: int = Field(1_000_000, ge=1)
    """A text longer than this is an error: more often a broken file than a text."""

    @property
    def has_test(self) -> bool:
        """Whether it has rows to test on; only one that makes its texts can do without."""
        return True

    @property
    def only_tests(self) -> bool:
        """Whether all its rows are to test on: enough beside texts that are made, and for nothing else."""
        return False

    @property
    def inside(self) -> Mapping[str, Source]:
        """Sources that it takes rows from, with rights of their own, each by the name of its setting."""
        return {}

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

    def prepare(self, task: Task, *, report: Report) -> None:
        """Do what takes long before the rows are read, telling how far it is. What is done is not done again.

        Raises:
            InputError: what it works with can't be used.
        """

    def account(self, task: Task) -> Mapping[str, Any]:
        """What became of the texts that it made, by name, once its rows were read; nothing where it made none."""
        return {}

    def fetched(self) -> date | None:
        """The day on which what it reads was fetched to this machine; None where nobody noted it."""
        return None

    @abstractmethod
    def streams(self, task: Task) -> Iterator[Stream]:
        """Every stream of rows, opened when it is read.

        Raises:
            MismatchError: the rows have other labels than the task.
            NoNetwork: they have to be fetched and can't be.
        """
