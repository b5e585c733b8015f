"""Mentions of the same kind in each other's place: what a sentence says of one name it could have said of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self, final

import numpy as np
from pydantic import Field, model_validator

from stillroom.augmentations import Augmentation, Ground, Make, Original, chosen, counted
from stillroom.core.edits import Edit, applied
from stillroom.core.errors import InputError, Problem

if TYPE_CHECKING:
    from stillroom.tasks import Task

_SPAN = {"start", "end", "label"}


@final
class MentionSwap(Augmentation):
    """Mentions that people marked become others of the same label, each as likely (Dai and Adel 2010.11683).

    A mention stands in the rows as somebody wrote it; how often makes no difference, so that rare ones are seen in more
    than one sentence (of very many kinds of mentions the rarest go).
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"tokens"})
    asks_for: ClassVar[str] = "a task whose labels are spans"

    kind: Literal["mention_swap"] = "mention_swap"
    share: float = Field(0.7, gt=0, le=1)
    """The probability of each mention that there is another for; one mention at least is taken."""

    @model_validator(mode="after")
    def _sifted_by_nothing(self) -> Self:
        if self.agreement or self.min_confidence:
            raise ValueError("no `agreement` and no `min_confidence`: a text has more than one label")
        return self

    def suits(self, task: Task) -> bool:
        """Whether people mark spans for it."""
        import pyarrow as pa

        kind = task.gold_type()
        spans = kind.value_type if pa.types.is_list(kind) else kind
        return super().suits(task) and pa.types.is_struct(spans) and {field.name for field in spans} >= _SPAN

    def open(self, ground: Ground) -> Make:
        """The mentions of the rows by their label; one that stands alone has nothing to change places with.

        Raises:
            InputError: no two rows have mentions of one label.
        """
        found: dict[str, list[str]] = {}
        for label, mention in counted((label, text) for row in ground.rows() for _, _, label, text in _mentions(row)):
            found.setdefault(label, []).append(mention)
        pools = {label: some for label, some in found.items() if len(some) > 1}
        if not pools:
            told, todo = "no two mentions of one label in the training rows", "Take it out, or label some rows."
            raise InputError(Problem("transfer.augment", told, "rows with spans to put in each other's place", todo))

        def make(row: Original, rng: np.random.Generator) -> Sequence[str]:
            return self._made(row, rng, pools)

        return make

    def _made(self, row: Original, rng: np.random.Generator, pools: Mapping[str, Sequence[str]]) -> Sequence[str]:
        mentions = [one for one in _mentions(row) if one[2] in pools]
        made = []
        for _ in range(self.per_row if mentions else 0):
            edits = []
            for place in chosen(range(len(mentions)), share=self.share, rng=rng):
                start, end, label, drawn = mentions[place]
                while drawn == row.text[start:end]:
                    drawn = pools[label][int(rng.integers(len(pools[label])))]
                edits.append(Edit(start, end, drawn))
            made.append(applied(row.text, edits))
        return made


def _mentions(row: Original) -> list[tuple[int, int, str, str]]:
    """Each span of a row from left to right: its characters, its label, and what stands there."""
    spans = sorted((int(one["start"]), int(one["end"]), str(one["label"])) for one in row.label or ())
    return [(start, end, label, row.text[start:end]) for start, end, label in spans]
