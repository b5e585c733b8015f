"""What a browser runs in a member's place: a script of ours that goes by the member's name, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

from stillroom.core.errors import MismatchError, Problem


@final
@dataclass(frozen=True)
class Scripted:
    """What a script needs to do in a browser what a member does here, with the same answers."""

    told: Mapping[str, Any]
    """What the script is told, as JSON; its `kind` is the script's name."""
    files: tuple[str, ...] = ()
    """The files of the bundle that it reads."""
    made: Mapping[str, str] = field(default_factory=dict)
    """The files that it reads and no bundle holds: their texts by their names."""
    graph: bool = False
    """Whether it runs a graph, so that ONNX Runtime has to come along."""

    def holding(self, **parts: Scripted) -> Scripted:
        """The same with others that its script opens under these names."""
        every = (self, *parts.values())
        return replace(
            self,
            told={**self.told, **{name: dict(one.told) for name, one in parts.items()}},
            files=tuple(dict.fromkeys(name for one in every for name in one.files)),
            made={name: text for one in every for name, text in one.made.items()},
            graph=any(one.graph for one in every),
        )


def refused(
    found: str, *, expected: str = "one that a script of ours runs in a browser", todo: str = ""
) -> MismatchError:
    """The error for what no browser can do the same as."""
    return MismatchError(Problem("web", found, expected, todo or "Serve it from Python, or export another student."))
