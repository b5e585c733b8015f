"""How deep the grammar of a text goes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, final

from stillroom.aspects import Aspect, Familiar, Read

_WHERE = "evaluate.aspects"
_MOST_CHARACTERS = 2_000  # of a text; its deepest sentence stands early enough


@final
class Depth(Aspect):
    """How many words hang one below another in its deepest sentence, by a parser."""

    told: ClassVar[str] = "depth of the deepest sentence"
    counts: ClassVar[bool] = False
    most_rows: ClassVar[int | None] = 2048  # a parser reads some ten thousand words a second

    kind: Literal["depth"] = "depth"

    pipeline: str
    """A spaCy pipeline with a parser: its folder, or `package:<import name>/<folder>`."""

    def sources(self) -> dict[str, str]:
        """The digest of the pipeline's files."""
        from stillroom.teachers import _pretrained

        return {"pipeline": _pretrained.folder_digest(_located(self.pipeline))}

    def amounts(self, texts: Sequence[Read], familiar: Familiar) -> Sequence[float]:
        """The longest way from a root down; 0 of a text without words."""
        parsed = _parser(self.pipeline).pipe([one.text[:_MOST_CHARACTERS] for one in texts])
        return [max((_down(word) for word in doc), default=0) for doc in parsed]


@cache
def _parser(pipeline: str) -> Any:
    from stillroom.teachers import spacy

    return spacy.load(_located(pipeline), where=_WHERE, part="parser")


def _located(pipeline: str) -> Path:
    from stillroom.teachers import _pretrained

    return _pretrained.locate(pipeline, where=_WHERE, holds="config.cfg")


def _down(word: Any) -> int:
    """How many words are above it, and itself."""
    steps = 1
    while word.head.i != word.i:
        word, steps = word.head, steps + 1
    return steps
