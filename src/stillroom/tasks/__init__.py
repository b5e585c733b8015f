"""Family: what a student is for. A task knows its rows, its outputs and how to judge them; it knows no stage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import objects, plugins, scripted
from stillroom.core.errors import Problem
from stillroom.core.plugins import Member
from stillroom.core.scripted import Scripted

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.core.calibration import Temperature
    from stillroom.core.edits import Edit
    from stillroom.core.passages import Plan, Told
    from stillroom.core.words import Words
    from stillroom.metrics import Answered
    from stillroom.shapes import Outputs, Shape


class Prediction(Protocol):
    """What a student says of one text."""

    def as_dict(self) -> dict[str, Any]:
        """The prediction as a program reads it."""

    def as_line(self) -> str:
        """The prediction as people read it, beside the text."""

    def annotated(self, text: str) -> str:
        """The text with what was found in it."""


@final
@dataclass(frozen=True)
class Rows:
    """What is judged, row by row."""

    texts: Sequence[str]
    ids: Sequence[str]
    """Equal texts have equal ids, but for a number behind the later ones."""
    domains: Sequence[str]
    outside: NDArray[np.bool_]
    """Which are of another domain than the task's."""


@final
@dataclass(frozen=True)
class ToyRow:
    """A row of a task's toy corpus, its label as a source of rows gives it."""

    text: str
    label: Any


def told_places(*words: str) -> Mapping[str, Any]:
    """The JSON schema of something found in a text: where, how sure, and these strings."""
    places = {name: {"type": "integer", "minimum": 0} for name in ("start", "end")}
    properties = {**places, **{name: {"type": "string"} for name in words}, "score": {"type": "number"}}
    return {"type": "object", "required": sorted(properties), "properties": properties}


class Task(Member, ABC):
    """What is asked of a student, with the task's settings as fields.

    Gold is an array, a row an item: `code` makes an item of what a source of rows calls a label, `gold_type` is how it
    is kept, and `gold` reads it again.
    """

    shape: ClassVar[str]
    """The student output that it needs: a name from the family `shapes`."""
    signals: ClassVar[frozenset[str]]
    """The teacher outputs that serve it."""
    floor: ClassVar[str]
    """What a student has to stand above to be worth anything: a name from the family `floors`."""
    judged_by: ClassVar[tuple[str, ...]]
    """Names from the family `metrics`, the one that dev chooses by first."""
    sifted_with: ClassVar[frozenset[str]] = frozenset()
    """Those of its settings that say what is learned of a teacher's answers: a teacher is the same under others."""
    prediction: ClassVar[Mapping[str, Any]]
    """A prediction as a program reads it, in the words of JSON Schema: what `as_dict` gives."""
    unsure: ClassVar[str] = "its answers do not say how sure they are"
    """Why nobody can tell how sure a student is of an answer; "": `sureness` does."""
    corrects: ClassVar[bool] = False
    """Whether a prediction has `corrections`, with which a text can be mended."""
    learns_gold: ClassVar[bool] = True
    """Whether gold is something that a student can be fitted to and chosen by; else it is for the test alone."""

    @property
    def form(self) -> Shape:
        """The shape of its outputs."""
        found: Shape = plugins.build("shapes", self.shape)
        return found

    @property
    def metrics(self) -> tuple[str, ...]:
        """What it is judged by with these settings, the one that dev chooses by first."""
        return self.judged_by

    @property
    def hub_task(self) -> str:
        """How the hub of Hugging Face calls it, for the head of a model card; "": it has no such task."""
        return ""

    @property
    def teaching(self) -> dict[str, Any]:
        """Those of its settings that a teacher is made for, as plain data."""
        found: dict[str, Any] = self.model_dump(mode="json", serialize_as_any=True)
        return {name: one for name, one in found.items() if name not in self.sifted_with}

    @property
    def packages(self) -> tuple[str, ...]:
        """What has to be installed to read its gold and its outputs, beyond the base: nothing."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        """The labels that people give; none where what they give is no choice out of a list."""
        return ()

    @property
    @abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """The name of each output, in the order in which a student and a teacher give them."""

    @property
    def gold_made_with(self) -> Mapping[str, str]:
        """The digests of what `code` works with beside a label and its text: nothing."""
        return {}

    @abstractmethod
    def gold_type(self) -> pa.DataType:
        """How the gold of a row is kept; a row without any has null."""

    @abstractmethod
    def code(self, label: Any, text: str = "") -> Any | None:
        """What is kept of the gold label of a text, or None where it is not one: `fault` says why."""

    @abstractmethod
    def fault(self, label: Any, text: str) -> tuple[str, str, str] | None:
        """Why this is no gold for that text: what was found, what was expected, what to do. None: it is."""

    def tally(self, gold: pa.Array) -> NDArray[np.int64]:
        """How often each of `names` is given in some rows that have gold."""
        return np.zeros(len(self.names), dtype=np.int64)

    @abstractmethod
    def gold(self, column: pa.ChunkedArray) -> NDArray[Any]:
        """The gold of rows, as `gold_type` keeps it."""

    @abstractmethod
    def golds(self, items: Sequence[Any]) -> NDArray[Any]:
        """Gold from items of it, None where a row has none."""

    def said(self, gold: NDArray[Any]) -> Outputs | None:
        """Gold as a teacher would say it, where whoever is fitted to it begins with it too; None: `place` is enough."""
        return None

    def for_gold(self) -> tuple[Mapping[str, Any], ...]:
        """The mixture for whoever is fitted to gold alone."""
        return ({"kind": "hard_label"},)

    @abstractmethod
    def place(self, gold: NDArray[Any], words: Words | None) -> NDArray[np.int64]:
        """Gold as the answers of whoever answers there: positions among the outputs, −1 where there is no gold."""

    @abstractmethod
    def known(self, gold: NDArray[Any]) -> NDArray[np.bool_]:
        """Which rows have gold."""

    def asked(self, gold: NDArray[Any]) -> NDArray[np.bool_]:
        """Which rows are judged; others are there because gold speaks of them. All."""
        return np.ones(len(gold), dtype=np.bool_)

    def beside(self, gold: NDArray[Any]) -> frozenset[str]:
        """The domains of the rows without labels that gold speaks of, so that they have to be answered too: none."""
        return frozenset()

    @abstractmethod
    def named(self, said: Outputs) -> NDArray[Any]:
        """What outputs name, as if it were gold."""

    def gist(self, named: NDArray[Any]) -> list[Any]:
        """What of what is named stays where a text says the same in other words, text by text: all of it."""
        return list(named.tolist())

    def same(self, one: Outputs, other: Outputs) -> NDArray[np.bool_]:
        """Of which texts two name the same, `[texts]`."""
        pairs = zip(self.named(one), self.named(other), strict=True)
        return np.array([its is not None and bool(its == theirs) for its, theirs in pairs], dtype=np.bool_)

    def explained(self, said: Outputs) -> Outputs:
        """What of outputs is looked for reasons for (`Shape.aim`), as outputs: by default the likeliest of them."""
        return said

    def sureness(self, said: Outputs) -> NDArray[np.float64]:
        """How sure somebody is of what it says of each text, `[texts]`, from 0 to 1.

        Raises:
            TypeError: that can't be told (`unsure`).
        """
        raise TypeError(self.unsure)

    def shown(self, said: Outputs) -> list[str]:
        """What is named of each text, for people, without a word of the text: nothing."""
        return [""] * len(said)

    def calibration(self, said: Outputs, gold: NDArray[Any]) -> Temperature | None:
        """What logits are best divided by, by rows with gold; None: too few, or it does not say how sure it is."""
        return None

    def moved(self, item: Any, edits: Sequence[Edit]) -> Any | None:
        """The gold of a text after edits that leave what it says as it was; None: such edits may change it.

        It is what it was.
        """
        return item

    def familiar(self, train: Iterable[pa.RecordBatch]) -> Collection[str]:
        """What is known from the `text` and `label` of training rows, for slices of what is new: nothing, unread."""
        return frozenset()

    def beginning(self, text: str, *, rng: np.random.Generator) -> str:
        """What is left of a text where a student is to go on with it in its own words: all of it."""
        return text

    @property
    def scoring(self) -> Self:
        """The same task of a teacher that is to say what it thinks of texts, and to write nothing more behind them."""
        return self

    @property
    def has_floor(self) -> bool:
        """Whether its floor says anything of what a student learns."""
        return True

    def unserved(self, said: frozenset[str]) -> Problem | None:
        """Why a teacher that gives these kinds of signals can't be learned from with these settings; None: it can."""
        return None

    @property
    def unfitted(self) -> Problem | None:
        """Why no teacher can be fitted here with these settings, whatever gold there is; None: one can."""
        return None

    @property
    def sifts_scores(self) -> bool:
        """Whether `sift` goes by how good a teacher finds its answers, so that it has to say so."""
        return False

    @property
    def learns_several(self) -> bool:
        """Whether several of a teacher's answers to a text are learned from: it has to say how probable they are."""
        return False

    @property
    def sifting(self) -> Mapping[str, Any]:
        """The settings that `sift` goes by: another transfer set comes of others."""
        return {}

    def sift(
        self, texts: Sequence[str], said: Outputs, *, scores: NDArray[np.float64] | None = None
    ) -> NDArray[np.object_]:
        """Why what a teacher answered is not to be learned from, text by text; "": it is. All of it is.

        `scores`: how good the teacher finds each answer, where it says so.
        """
        return objects.array([""] * len(texts))

    @abstractmethod
    def answered(
        self,
        gold: NDArray[Any],
        said: Outputs,
        teacher: Outputs,
        *,
        named: bool = False,
        rows: Rows | None = None,
        familiar: Collection[str] = frozenset(),
    ) -> Answered:
        """What was said of rows, as this task's metrics take it.

        `named`: `said` names something and does not say how sure it is. What is `familiar` from training is needed for
        slices alone, and so are the rows themselves, unless gold speaks of other rows.
        """

    @abstractmethod
    def decode(self, said: Outputs, texts: Sequence[str]) -> list[Any]:
        """A `Prediction` for each text from a student's outputs. Numpy only: the runtime uses it too."""

    @property
    def passages(self) -> Plan | None:
        """How a long text is parted for a student that reads it; None: what is said is said of the whole text."""
        return None

    def placed(self, prediction: Any, start: int) -> Any:
        """The prediction of a passage that begins at that character of its text: the same, unless it has places."""
        return prediction

    def joined(self, text: str, parts: Sequence[Told]) -> Any:
        """The prediction of a text, from those of its passages, which are `placed`."""
        (only,) = parts
        return only.said

    @property
    def rewords(self) -> bool:
        """Whether an answer says what its text says in words that the text can't have, as a translation does."""
        return False

    @property
    def lengths(self) -> tuple[int, ...]:
        """To how many first numbers an answer may be cut and still be one: none."""
        return ()

    @property
    def within(self) -> Callable[[Any, int], Any] | None:
        """What leaves so many words of a prediction, at most; None: it has no length that anybody could wish for."""
        return None

    def in_browser(self) -> Scripted:
        """What makes the same predictions of outputs in a browser, and shows them.

        Raises:
            MismatchError: nothing does.
        """
        raise scripted.refused(f"the task `{self.kind}`", expected="a task that the page has a view for")

    @abstractmethod
    def objectives(self, said: frozenset[str] = frozenset({"logits"})) -> tuple[Mapping[str, Any], ...]:
        """The mixture for a recipe that names none, with a teacher that gives these kinds of signals."""

    @abstractmethod
    def toy(self) -> Sequence[ToyRow]:
        """A tiny corpus that can be learned, for tests."""
