"""Text that goes on: how probable each token of a text is, and what is written behind it."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from stillroom.core import objects, plugins, scored
from stillroom.core.errors import Problem
from stillroom.tasks import Rows, Task, ToyRow, _references

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.core.scored import Scored
    from stillroom.core.words import Words
    from stillroom.metrics._tokens import Told
    from stillroom.shapes import Shape

_LATER_WORD = re.compile(r"(?<=\S)\s+(?=\S)")


@final
@dataclass(frozen=True)
class Continuation:
    """What was written behind a text, and how probable the text itself was."""

    text: str
    bits_per_byte: float
    """Of the text that was read; the fewer, the less it surprised."""

    def as_dict(self) -> dict[str, Any]:
        """The prediction as a program reads it."""
        return {"text": self.text, "bits_per_byte": round(self.bits_per_byte, 6)}

    def as_line(self) -> str:
        """What was written, on one line."""
        return " ".join(self.text.split()) or "(nothing)"

    def annotated(self, text: str) -> str:
        """The same before the text, which it is about as a whole."""
        return f"{self.as_line()}\t{text}"


@final
class Generation(Task):
    """Text that goes on: who answers tells each token of a text by those before it, then writes more behind it.

    A teacher's answer is about both: the tokens that it read and those that it wrote, each with the likeliest ones and
    what is left for all others. `learns` says which of them are learned from: rows that are running text are read and
    scored; rows that are prompts are gone on with, and what the teacher wrote is the lesson. A teacher that writes and
    says nothing of tokens (`endpoint`) can teach the latter. Gold is the text itself; beside it a prompt may have
    references, texts that it may go on with: what is written is then judged by them too.
    """

    shape: ClassVar[str] = "causal"
    signals: ClassVar[frozenset[str]] = frozenset({"token_logprobs", "sequence"})
    floor: ClassVar[str] = "byte_counts"
    judged_by: ClassVar[tuple[str, ...]] = (
        "byte_probability", "bits_per_byte", "perplexity", "kl_mean", "kl_p50", "kl_p95", "next_token", "repetition",
        "chrf", "rouge1", "rouge2", "rouge_l", "exact_match", "length_ratio", "copied", "unfounded",
    )  # fmt: skip
    learns_gold: ClassVar[bool] = False
    prediction: ClassVar[Mapping[str, Any]] = {
        "required": ["text", "bits_per_byte"],
        "properties": {"text": {"type": "string"}, "bits_per_byte": {"type": "number", "minimum": 0}},
    }
    unsure: ClassVar[str] = "it says how probable each token is, and not how sure it is of a text"

    kind: Literal["generation"] = "generation"
    learns: Literal["text", "written"] = "text"
    """What is learned from: the rows, running text that the teacher scores; or what it writes behind them, prompts."""
    writes: int = Field(32, ge=0)
    """How many tokens are written behind a text, at most: by a student, and by a teacher that is learned from so."""
    temperature: float = Field(0.0, ge=0)
    """How far what is written is left to chance, seeded by the text; 0: the likeliest token at each step."""
    kept: int = Field(32, ge=1, le=1024)
    """Of how many of the likeliest tokens it is told how probable they are; of the others, what they have together."""

    @model_validator(mode="after")
    def _something_written(self) -> Self:
        if self.learns == "written" and not self.writes:
            raise ValueError("`writes` above 0, where what is written is learned from")
        return self

    @property
    def form(self) -> Shape:
        """Lines of so many likeliest tokens, and so much behind them."""
        told = {name: getattr(self, name) for name in ("temperature", "learns")}
        told |= {"likeliest": self.kept, "further": self.writes}
        found: Shape = plugins.build("shapes", {"kind": self.shape, **told})
        return found

    @property
    def hub_task(self) -> str:
        """Text that goes on."""
        return "text-generation"

    @property
    def outputs(self) -> tuple[str, ...]:
        """The numbers of a token's line."""
        return scored.columns(self.kept)

    @property
    def gold_made_with(self) -> Mapping[str, str]:
        """References are those of prompts."""
        return {"gold": "references"} if self.learns == "written" else {}

    def gold_type(self) -> pa.DataType:
        """How a text may go on: a list of texts, or none."""
        import pyarrow as pa

        return pa.list_(pa.string())

    def code(self, label: Any, text: str = "") -> list[str] | None:
        """The references of a prompt; running text has none beside itself."""
        return _references.read(label) if self.learns == "written" else []

    def fault(self, label: Any, text: str) -> tuple[str, str, str] | None:
        """Something else than references, or than the text itself."""
        if self.learns == "written":
            expected = "a text that the prompt may go on with, or a list of such texts"
            return _references.fault(label, expected=expected, todo='Write it out, or set `label = ""` under [corpus].')
        if label == text:
            return None
        shown = str(label) if len(str(label)) <= 60 else f"{str(label)[:59]}…"
        todo = 'Set `label = ""` under [corpus]; or `learns = "written"`, where rows are prompts and labels references.'
        return f"`{shown}`", "no label: the text is its own", todo

    def gold(self, column: pa.ChunkedArray) -> NDArray[Any]:
        """Every text is right as it is; and its references, if it has any."""
        return self.golds(column.to_pylist())

    def golds(self, items: Sequence[Any]) -> NDArray[Any]:
        """The same from a list."""
        return objects.array([tuple(one or ()) for one in items])

    def known(self, gold: NDArray[Any]) -> NDArray[np.bool_]:
        """Everywhere."""
        return np.ones(len(gold), dtype=np.bool_)

    def said(self, gold: NDArray[Any]) -> Scored | None:
        """The first reference of each prompt, to its end; of running text there is nothing to say beside itself."""
        if self.learns == "text":
            return None
        whole = np.ones(len(gold), dtype=np.bool_)
        return scored.unscored(objects.array([one[0] if one else "" for one in gold]), whole, kept=self.kept)

    def for_gold(self) -> tuple[Mapping[str, Any], ...]:
        """As from a teacher that only writes."""
        return self.objectives(frozenset({"sequence"}))

    def place(self, gold: NDArray[Any], words: Words | None) -> NDArray[np.int64]:
        """No position among the outputs."""
        return np.full(len(gold) if words is None else len(words.tokens), -1, dtype=np.int64)

    def named(self, said: Any) -> NDArray[Any]:
        """Whatever is said, the texts are right."""
        return self.golds([None] * len(said))

    def answered(
        self,
        gold: NDArray[Any],
        said: Any,
        teacher: Any,
        *,
        named: bool = False,
        rows: Rows | None = None,
        familiar: Collection[str] = frozenset(),
    ) -> Told:
        """What was said of the tokens beside what the teacher said of them, and what was written beside references."""
        from stillroom.metrics._tokens import Told

        return Told.of(said, teacher, gold, sources=rows.texts if rows else None)

    def decode(self, said: Scored, texts: Sequence[str] = ()) -> list[Continuation]:
        """What was written, and the bits a byte of what was read."""
        found = said.only(said.read)
        nats = -np.bincount(found.owners, weights=found.own, minlength=len(found))
        sizes = np.array([int(one[-1, 1]) if len(one) else 0 for one in found.each(found.places)])
        bits = nats / math.log(2) / np.maximum(sizes, 1)
        return [Continuation(text, float(one)) for text, one in zip(said.texts, bits, strict=True)]

    def beginning(self, text: str, *, rng: np.random.Generator) -> str:
        """A prompt as it is; running text up to a word drawn by chance, the first at least."""
        ends = [] if self.learns == "written" else [found.start() for found in _LATER_WORD.finditer(text)]
        return text[: ends[int(rng.integers(len(ends)))]] if ends else text

    @property
    def scoring(self) -> Self:
        """Texts that are read and scored."""
        return self.model_copy(update={"learns": "text"})

    @property
    def has_floor(self) -> bool:
        """Of running text: it tells bytes that are read, and whoever goes on with prompts learns none of these."""
        return self.learns == "text"

    def unserved(self, said: frozenset[str]) -> Problem | None:
        """Running text, where nobody says how probable its tokens are."""
        if self.learns == "written" or "token_logprobs" in said:
            return None
        todo = 'Set `task.learns = "written"`, with rows that are prompts; or choose `gguf` or `huggingface`.'
        found = "`text`, with a teacher that writes and does not say how probable tokens are"
        return Problem("task.learns", found, "`written`, or a teacher that scores what it reads", todo)

    @property
    def unfitted(self) -> Problem | None:
        """To running text, which is right as it is, there is nothing that people would add."""
        if self.learns == "written":
            return None
        found, todo = "`text`, with a teacher that is fitted here", "Set it to `written`; or take the model as it is."
        return Problem("task.learns", found, "`written`, with prompts and their references", todo)

    def objectives(self, said: frozenset[str] = frozenset({"token_logprobs"})) -> tuple[Mapping[str, Any], ...]:
        """The teacher's distributions, and the tokens themselves; of who only writes, these alone."""
        if "token_logprobs" not in said:
            return ({"kind": "sequence"},)
        return (
            {"kind": "forward_kl", "temperature": 1.0, "weight": 0.9},
            {"kind": "sequence", "weight": 0.1},
        )

    def toy(self) -> Sequence[ToyRow]:
        """Sentences of few words, in an order that can be learned."""
        texts = [
            f"{one} red {thing} sailed home and {one} red {thing} sang"
            for one in ("one", "two", "three", "four", "five", "six")
            for thing in ("cats", "ships", "songs", "stars")
        ]
        return [ToyRow(text, text) for text in texts]
