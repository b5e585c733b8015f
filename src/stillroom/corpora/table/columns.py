"""Which columns of a file make a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from stillroom.core.errors import Problem, nearest
from stillroom.corpora import Row

#: A name is shown up to this length: where a file has no header, its first row stands in for the names.
_SHOWN = 40


@final
@dataclass(frozen=True)
class Wanted:
    """The columns that are read: `label` is None where the label does not matter."""

    text: str
    label: str | None
    columns: tuple[str, ...]
    columns_required: bool
    other: str | None = None
    """The column of a second text: the label then says how near the two are."""

    def missing(self, names: Sequence[str], *, where: str) -> list[Problem]:
        """A problem for each column that is needed and not there, or there more than once."""
        needed = [*self._own(), *(self.columns if self.columns_required else ())]
        listed = ", ".join(f"`{shortened(name)}`" for name in names[:10]) + (", …" if len(names) > 10 else "")
        found = f"the columns {listed}" if names else "no columns"
        return [
            Problem(
                where,
                found if name not in names else f"the column `{name}` {names.count(name)} times",
                f"one column `{name}`",
                f"{nearest(name, [shortened(n) for n in names])} Set the recipe's `corpus.text`, `corpus.label` or "
                "`corpus.columns` to the names in the file.",
            )
            for name in dict.fromkeys(needed)
            if names.count(name) != 1
        ]

    def present(self, names: Sequence[str]) -> list[str]:
        """The wanted columns that are there."""
        wanted = [*self._own(), *self.columns]
        return [name for name in dict.fromkeys(wanted) if name in names]

    def _own(self) -> list[str]:
        return [name for name in (self.text, self.label, self.other) if name]

    def row(self, values: Mapping[str, Any], *, where: str) -> Row | Problem:
        """The row made of a record's values."""
        text = values[self.text]
        if text is None:
            text = ""
        if not isinstance(text, str):
            return Problem(
                where,
                f"a value of type {type(text).__name__} in the column `{self.text}`",
                "a text",
                "Set `corpus.text` to the column of texts, or write the value as a string.",
            )
        label = values[self.label] if self.label else None
        if not isinstance(label, list | dict):  # what is none of these, a task reads as it stands: spans, say
            label = plain(label)
        if self.other is not None:
            label = {"other": plain(values[self.other]), "score": label}
        kept = {name: plain(values.get(name)) for name in self.columns}
        return Row(text, label, where, {name: value for name, value in kept.items() if value is not None})


def plain(value: Any) -> str | None:
    """A label or another small value as the string that people would type for it; None where there is none.

    Whole numbers lose their point: tables with a gap in a column of integers often hold them as 1.0.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value != value:  # not a number: how some tables say that there is nothing
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def shortened(name: str) -> str:
    """A name short enough to be shown."""
    return name if len(name) <= _SHOWN else f"{name[: _SHOWN - 1]}…"
