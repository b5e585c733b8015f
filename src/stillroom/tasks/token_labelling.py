"""Spans of a text with a label each: names, places, slots."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.core import edits as core_edits
from stillroom.core import objects, probabilities, tagging
from stillroom.core.errors import nearest
from stillroom.core.passages import Plan, Told
from stillroom.core.scripted import Scripted
from stillroom.core.tagging import Span, Tagged
from stillroom.tasks import Rows, ToyRow, told_places
from stillroom.tasks._labels import Labels

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.core.calibration import Temperature
    from stillroom.core.edits import Edit
    from stillroom.core.words import Words
    from stillroom.metrics._spans import Spans

_TOGETHER = 600  # characters: a student has seen sentences, and some of them together help to tell what is meant
_EXPECTED = "a list of spans, each with `start`, `end` (characters) and `label`"


@final
@dataclass(frozen=True)
class FoundSpan:
    """A span that a student found: its characters (code points, `end` past the last), its text, its label."""

    start: int
    end: int
    text: str
    label: str
    score: float
    """How probable the label is on the least sure of its words."""


@final
@dataclass(frozen=True)
class SpanPrediction:
    """The spans of a text, from left to right; they do not overlap."""

    spans: tuple[FoundSpan, ...]

    def as_dict(self) -> dict[str, Any]:
        """The prediction as a program reads it."""
        return {"spans": [asdict(one) for one in self.spans]}

    def as_line(self) -> str:
        """Each span with its label."""
        return (
            "; ".join(f"{one.label}: {one.text} ({one.start}–{one.end}, {one.score:.3f})" for one in self.spans) or "–"
        )

    def annotated(self, text: str) -> str:
        """The text with each span in brackets, and its label behind it: `[Ada Lovelace](person)`."""
        marks = [core_edits.Edit(one.start, one.end, f"[{one.text}]({one.label})") for one in self.spans]
        return core_edits.applied(text, marks)


@final
class TokenLabelling(Labels):
    """Spans of a text with a label each, which do not overlap: names, places, slots.

    A student answers for each word with tags of IOB2; only tags that make sense together are ever read.
    """

    shape: ClassVar[str] = "tokens"
    signals: ClassVar[frozenset[str]] = frozenset({"logits", "label", "hidden", "relations", "attention"})
    floor: ClassVar[str] = "word_features"
    judged_by: ClassVar[tuple[str, ...]] = (
        "span_f1", "span_f1_partial", "ece", "adaptive_ece", "aurc", "nll", "brier",
    )  # fmt: skip
    prediction: ClassVar[Mapping[str, Any]] = {
        "required": ["spans"],
        "properties": {"spans": {"type": "array", "items": told_places("text", "label")}},
    }
    unsure: ClassVar[str] = ""

    kind: Literal["token_labelling"] = "token_labelling"
    labels: tuple[str, ...] = Field(min_length=1)
    """Every label, in the order in which the teacher gives its outputs."""

    @property
    def hub_task(self) -> str:
        """A label a word."""
        return "token-classification"

    @property
    def outputs(self) -> tuple[str, ...]:
        """`O`, and for each label a tag for the first word of a span and one for the others."""
        return tagging.tags(self.labels)

    def gold_type(self) -> pa.DataType:
        """A list of spans."""
        import pyarrow as pa

        return pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("label", pa.string())]))

    def code(self, label: Any, text: str = "") -> list[dict[str, Any]] | None:
        """The spans from left to right, or None where they can't be read as such."""
        found = _spans(label)
        return None if found is None else [asdict(one) for one in sorted(found)]

    def fault(self, label: Any, text: str) -> tuple[str, str, str] | None:
        """No list of spans, a label that is not known, characters that are not there, or spans that overlap."""
        found = _spans(label)
        if found is None:
            shown = str(label) if len(str(label)) <= 60 else f"{str(label)[:59]}…"
            return f"`{shown}`", _EXPECTED, 'Write it as [{"start": 0, "end": 5, "label": "…"}], or [] for none.'
        unknown = sorted({one.label for one in found} - set(self.labels))
        if unknown:
            todo = f"{nearest(unknown[0], self.labels)} Correct the row, or add the label to `task.labels`."
            return f"the label `{unknown[0]}`", f"one of {', '.join(f'`{one}`' for one in self.labels)}"[:300], todo
        outside = [one for one in found if not 0 <= one.start < one.end <= len(text)]
        if outside:
            one = outside[0]
            expected = f"characters inside the text's {len(text)}, the end past the last"
            return f"a span from {one.start} to {one.end}", expected, "Count code points, from 0."
        ordered = sorted(found)
        for one, other in itertools.pairwise(ordered):
            if other.start < one.end:
                told = f"spans from {one.start} to {one.end} and from {other.start} to {other.end}"
                return told, "spans that do not overlap", "Keep one of them."
        return None

    def tally(self, gold: pa.Array) -> NDArray[np.int64]:
        """How many spans each label has."""
        place = {label: number for number, label in enumerate(self.labels)}
        given = gold.flatten().field("label").to_pylist() if len(gold) else []
        counts: NDArray[np.int64] = np.bincount([place[one] for one in given], minlength=len(self.labels))
        return counts

    def gold(self, column: pa.ChunkedArray) -> NDArray[Any]:
        """Tuples of spans, None where a row has no gold."""
        rows = column.to_pylist()
        return self.golds([None if row is None else tuple(Span(**one) for one in row) for row in rows])

    def golds(self, items: Sequence[Any]) -> NDArray[Any]:
        """The same from a list."""
        return objects.array(items)

    def known(self, gold: NDArray[Any]) -> NDArray[np.bool_]:
        """Where there is a tuple."""
        return np.array([one is not None for one in gold], dtype=np.bool_)

    def place(self, gold: NDArray[Any], words: Words | None) -> NDArray[np.int64]:
        """The tag of each word; −1 on the words of a row without gold."""
        if words is None:
            raise TypeError("spans can only be learned by whoever reads words")
        return self._tags(gold, words.places, words.counts)

    def _tags(self, gold: NDArray[Any], places: NDArray[np.int32], counts: NDArray[np.int64]) -> NDArray[np.int64]:
        rows = [() if one is None else one for one in gold]
        found = tagging.on_words(rows, places, counts, self.labels)
        found[np.repeat(~self.known(gold), counts)] = -1
        return found

    def named(self, said: Tagged) -> NDArray[Any]:
        """The spans of each text, None where a word has no tag."""
        tags = said.values if said.values.ndim == 1 else tagging.best(said.values, said.counts)
        owners = said.owners
        without = np.bincount(owners[tags < 0], minlength=len(said)) > 0
        found = tagging.spans(np.maximum(tags, 0), said.words, said.counts, self.labels)
        return self.golds([None if none else one for one, none in zip(found, without.tolist(), strict=True)])

    def explained(self, said: Tagged) -> Tagged:
        """The tags that spans make of words, which need not be the likeliest ones."""
        return replace(said, values=np.maximum(self.place(self.named(said), self.form.words(said)), 0))

    def sureness(self, said: Tagged) -> NDArray[np.float64]:
        """The mean over the words of a text of the highest probability."""
        surest = probabilities.softmax(said.values).max(axis=1)
        return np.asarray(np.bincount(said.owners, weights=surest, minlength=len(said)) / np.maximum(said.counts, 1))

    def gist(self, named: NDArray[Any]) -> list[Any]:
        """The labels of the spans, from left to right: the words that they stand at may be others."""
        return [None if one is None else tuple(span.label for span in one) for one in named]

    def shown(self, said: Tagged) -> list[str]:
        """The labels of its spans, from left to right."""
        return [", ".join(one.label for one in some or ()) or "no span" for some in self.named(said)]

    def moved(self, item: Any, edits: Sequence[Edit]) -> Any:
        """The spans where they stand now; none if one is gone."""
        if item is None:
            return None
        found = tuple(Span(*core_edits.moved(one.start, one.end, edits), one.label) for one in item)
        return found if all(one.start < one.end for one in found) else None

    def familiar(self, train: Iterable[pa.RecordBatch]) -> Collection[str]:
        """What the spans of training rows look like, in lower case."""
        return {
            text[one.start : one.end].lower()
            for rows in train
            for text, some in zip(rows["text"].to_pylist(), self.gold(rows["label"]), strict=True)
            for one in some or ()
        }

    def calibration(self, said: Tagged, gold: NDArray[Any]) -> Temperature | None:
        """By the tag of each word."""
        from stillroom.core import calibration

        return calibration.fit(said.values, self._tags(gold, said.words, said.counts))

    def answered(
        self,
        gold: NDArray[Any],
        said: Tagged,
        teacher: Tagged,
        *,
        named: bool = False,
        rows: Rows | None = None,
        familiar: Collection[str] = frozenset(),
    ) -> Spans:
        """Spans beside gold and those of the teacher."""
        from stillroom.metrics._spans import Spans
        from stillroom.metrics._words import Posteriors

        named = named or said.values.ndim == 1
        sure = None if named else self.sureness(said)
        its = self.named(said)
        theirs = its if teacher is said else self.named(teacher)
        posteriors = None if named else Posteriors(said, teacher, gold, self)
        texts = rows.texts if rows else ()
        return Spans(gold, its, theirs, self.labels, named, sure, texts, familiar, posteriors)

    def decode(self, said: Tagged, texts: Sequence[str]) -> list[SpanPrediction]:
        """The likeliest tags that make sense together, as spans."""
        return [
            SpanPrediction(
                tuple(FoundSpan(one.start, one.end, text[one.start : one.end], one.label, score) for one, score in some)
            )
            for text, some in zip(texts, tagging.read(said, self.labels), strict=True)
        ]

    @property
    def passages(self) -> Plan:
        """Paragraphs, long ones some sentences at a time."""
        return Plan(by="paragraph", most=_TOGETHER)

    def placed(self, prediction: SpanPrediction, start: int) -> SpanPrediction:
        """The spans where they stand in the text."""
        return SpanPrediction(
            tuple(replace(one, start=one.start + start, end=one.end + start) for one in prediction.spans)
        )

    def joined(self, text: str, parts: Sequence[Told]) -> SpanPrediction:
        """All spans."""
        return SpanPrediction(tuple(one for part in parts for one in part.said.spans))

    def in_browser(self) -> Scripted:
        """The same search for tags that make sense."""
        return Scripted({"kind": self.kind, "labels": list(self.labels)})

    def toy(self) -> Sequence[ToyRow]:
        """Sentences in which a word before a span gives its label away."""
        rows = []
        for number, label in enumerate(self.labels):
            for opening in ("today we met", "they spoke of", "nobody forgot", "all wrote about"):
                for name in ("mira", "oslo bay", "tarn", "lund"):
                    text = f"{opening} kind{number} {name} again"
                    start = len(opening) + len(f" kind{number} ")
                    rows.append(ToyRow(text, [{"start": start, "end": start + len(name), "label": label}]))
        return [*rows, *(ToyRow(f"{one} nothing at all", []) for one in ("we saw", "they heard", "nobody said"))]


def _spans(label: Any) -> list[Span] | None:
    """Spans from what a source of rows gives: `Span`s, tables, triples, or these as JSON; None: it is none of them."""
    if isinstance(label, str):
        try:
            label = json.loads(label)
        except ValueError:
            return None
    if not isinstance(label, list | tuple):
        return None
    found = []
    for one in label:
        if isinstance(one, Span):
            found.append(one)
            continue
        values = [one.get(name) for name in ("start", "end", "label")] if isinstance(one, Mapping) else one
        if not isinstance(values, list | tuple) or len(values) != 3:
            return None
        start, end, name = values
        if not (isinstance(start, int) and isinstance(end, int) and isinstance(name, str)):
            return None
        found.append(Span(start, end, name))
    return found
