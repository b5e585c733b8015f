"""A text for each text: its translation, or its summary."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.core import objects, plugins, sentences
from stillroom.core.passages import Plan, Told
from stillroom.tasks import Rows, Task, ToyRow, _references

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.core.words import Words
    from stillroom.metrics._texts import Written
    from stillroom.shapes import Shape

_METRICS = {
    "translation": ("chrf", "bleu", "length_ratio", "copied", "unfounded"),
    "summary": ("rouge1", "rouge2", "rouge_l", "length_ratio", "copied", "unfounded"),
}
_PLANS = {"translation": Plan(by="sentence", most=600), "summary": Plan(by="text", most=None)}


@final
@dataclass(frozen=True)
class TextPrediction:
    """What was written for a text."""

    text: str
    cut_short: bool = False
    """Whether it ends inside a sentence, so as to be no longer than was wished."""

    def as_dict(self) -> dict[str, Any]:
        """The prediction as a program reads it; that it was cut short only where it was."""
        return {"text": self.text, **({"cut_short": True} if self.cut_short else {})}

    def as_line(self) -> str:
        """The text, on one line, with a sign where it was cut short."""
        return " ".join(self.text.split()) + (" …" if self.cut_short else "")

    def annotated(self, text: str) -> str:
        """The same before the text, which it is about as a whole."""
        return f"{self.as_line()}\t{text}"


@final
class TextToText(Task):
    """A text for each text: its translation, or its summary.

    A student learns to write what its teacher wrote; dev is judged by that too. References of people judge in the test.
    One that reads its teacher's tokens can learn more: with an objective of logits (`forward_kl` …) the teacher also
    says how probable it finds each token of what it wrote, and which others.
    """

    shape: ClassVar[str] = "decoder"
    signals: ClassVar[frozenset[str]] = frozenset({"sequence", "token_logprobs"})
    floor: ClassVar[str] = "lead"
    judged_by: ClassVar[tuple[str, ...]] = _METRICS["translation"]
    sifted_with: ClassVar[frozenset[str]] = frozenset(
        {"shortest_ratio", "longest_ratio", "most_copied", "least_score", "several", "kept"}
    )
    learns_gold: ClassVar[bool] = False
    prediction: ClassVar[Mapping[str, Any]] = {
        "required": ["text"],
        "properties": {"text": {"type": "string"}},
    }
    unsure: ClassVar[str] = "a text that is written does not say how sure of it the student is"

    kind: Literal["text_to_text"] = "text_to_text"
    goal: Literal["translation", "summary"] = "translation"
    """What is to be written: it decides what is measured."""
    shortest_ratio: float = Field(0.3, ge=0)
    """What a teacher wrote in fewer characters than so many times the source's is not learned from."""
    longest_ratio: float = Field(3.0, gt=0)
    """Nor what it wrote in more than so many times."""
    most_copied: float = Field(1.0, gt=0, le=1)
    """Nor, of five words and more, what has more than this share of words from the source; 1: all is learned from."""

    least_score: float | None = None
    """Nor what a teacher that would write several texts gives a lower score than this; none: no score is too low. A
    fitted one gives the mean log-probability of a token, at most 0; an endpoint the F1 with its other texts, 0 to 1."""
    several: int = Field(1, ge=1, le=16)
    """From how many texts is learned of those that a teacher would write, at most: the best that are left, each by its
    share, the softmax of their scores. More than one is for teachers that give mean log-probabilities of a token."""
    kept: int = Field(32, ge=1, le=1024)
    """Of how many of the likeliest tokens a teacher tells, where an objective of logits asks for it; of the others,
    what they have together."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of its goal."""
        return _METRICS[self.goal]

    @property
    def form(self) -> Shape:
        """With so many likeliest tokens, and so many candidates."""
        found: Shape = plugins.build("shapes", {"kind": self.shape, "likeliest": self.kept, "several": self.several})
        return found

    @property
    def hub_task(self) -> str:
        """By its goal."""
        return {"translation": "translation", "summary": "summarization"}[self.goal]

    @property
    def rewords(self) -> bool:
        """A translation does."""
        return self.goal == "translation"

    @property
    def outputs(self) -> tuple[str, ...]:
        """One: the text."""
        return ("text",)

    def gold_type(self) -> pa.DataType:
        """A list of references."""
        import pyarrow as pa

        return pa.list_(pa.string())

    def code(self, label: Any, text: str = "") -> list[str] | None:
        """The references, or None where there is none that says anything."""
        return _references.read(label)

    def fault(self, label: Any, text: str) -> tuple[str, str, str] | None:
        """No text, or none that says anything."""
        return _references.fault(
            label,
            expected="a text, or a list of texts that are all right",
            todo="Write it out, or leave the row unlabelled.",
        )

    def gold(self, column: pa.ChunkedArray) -> NDArray[Any]:
        """Tuples of texts, None where a row has no gold."""
        return self.golds(column.to_pylist())

    def golds(self, items: Sequence[Any]) -> NDArray[Any]:
        """The same from a list."""
        return objects.array([tuple(one) if isinstance(one, list | tuple) else None for one in items])

    def known(self, gold: NDArray[Any]) -> NDArray[np.bool_]:
        """Where there are references."""
        return np.array([isinstance(one, tuple) for one in gold], dtype=np.bool_)

    def said(self, gold: NDArray[Any]) -> NDArray[np.object_]:
        """The first reference of each row."""
        return objects.array([one[0] for one in gold])

    def for_gold(self) -> tuple[Mapping[str, Any], ...]:
        """As from a teacher's texts."""
        return self.objectives()

    def place(self, gold: NDArray[Any], words: Words | None) -> NDArray[np.int64]:
        """No position among the outputs: references are texts."""
        return np.full(len(gold), -1, dtype=np.int64)

    def named(self, said: Any) -> NDArray[Any]:
        """Each text as the one reference."""
        return objects.array([(one,) if isinstance(one, str) else None for one in said])

    @property
    def sifts_scores(self) -> bool:
        """Where a score can be too low."""
        return self.least_score is not None

    @property
    def learns_several(self) -> bool:
        """Where more than one may be left."""
        return self.several > 1

    @property
    def sifting(self) -> Mapping[str, Any]:
        """Lengths, what is copied, and scores."""
        found = {name: getattr(self, name) for name in ("shortest_ratio", "longest_ratio", "most_copied")}
        found |= {"several": self.several} if self.several > 1 else {}
        return found | ({} if self.least_score is None else {"least_score": self.least_score})

    def sift(
        self, texts: Sequence[str], said: Any, *, scores: NDArray[np.float64] | None = None
    ) -> NDArray[np.object_]:
        """Why a teacher's text is not to be learned from: empty, too short, too long, copied, or of too low a score."""
        known = [None] * len(texts) if scores is None else scores.tolist()
        return objects.array([self._objection(*one) for one in zip(texts, said, known, strict=True)])

    def _objection(self, source: str, said: str, score: float | None) -> str:
        if not said.strip():
            return "wrote nothing"
        if self.least_score is not None and score is not None and score < self.least_score:
            return "wrote what it is not sure of"
        share = len(said) / max(1, len(source))
        if not self.shortest_ratio <= share <= self.longest_ratio:
            return "wrote too little" if share < self.shortest_ratio else "wrote too much"
        own, there = said.lower().split(), set(source.lower().split())
        if len(own) >= 5 and sum(one in there for one in own) > self.most_copied * len(own):
            return "copied"
        return ""

    def answered(
        self,
        gold: NDArray[Any],
        said: Any,
        teacher: Any,
        *,
        named: bool = False,
        rows: Rows | None = None,
        familiar: Collection[str] = frozenset(),
    ) -> Written:
        """Texts beside references and those of the teacher."""
        from stillroom.metrics._texts import Written

        sources = objects.array(rows.texts if rows else [""] * len(gold))
        return Written(gold, np.asarray(said), np.asarray(teacher), sources)

    def decode(self, said: Any, texts: Sequence[str] = ()) -> list[TextPrediction]:
        """As they are."""
        return [TextPrediction(one) for one in said]

    @property
    def passages(self) -> Plan:
        """A translation sentence by sentence; a summary of as much as is read at once, one after the other."""
        return _PLANS[self.goal]

    def joined(self, text: str, parts: Sequence[Told]) -> TextPrediction:
        """What was written of each passage, with what stands between passages in the text; of a summary, not around."""
        said, done = [], 0
        for part in parts:
            said += [text[done : part.passage.first], part.said.text]
            done = part.passage.last
        whole = "".join([*said, text[done:]])
        cut_short = any(part.said.cut_short for part in parts)
        return TextPrediction(whole.strip() if self.goal == "summary" else whole, cut_short)

    @property
    def within(self) -> Callable[[TextPrediction, int], TextPrediction] | None:
        """The first sentences of a summary. A translation has the length that its text gives it."""
        return _within if self.goal == "summary" else None

    def objectives(self, said: frozenset[str] = frozenset({"sequence"})) -> tuple[Mapping[str, Any], ...]:
        """The teacher's text, token by token."""
        return ({"kind": "sequence", "smoothing": 0.1},)

    def toy(self) -> Sequence[ToyRow]:
        """Numbers in words, and the same in another order of words."""
        ones = ("one", "two", "three", "four", "five", "six", "seven")
        rows = [
            (f"{one} red {thing}", f"{thing} red {one}")
            for one in ones
            for thing in ("cats", "ships", "songs", "stars")
        ]
        return [ToyRow(text, said) for text, said in rows]


def _within(prediction: TextPrediction, words: int) -> TextPrediction:
    text, cut_short = sentences.within(prediction.text, words)
    return TextPrediction(text, prediction.cut_short or cut_short)
