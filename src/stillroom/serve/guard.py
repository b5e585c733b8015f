"""What is looked for in the texts of a route, on their way in and out, and what happens where it is found.

    settings = Guard(input=["unicode", {"detector": "personal", "action": "mask"}], output=["output"])
    chain = guard.open(settings.input)
    seen = chain.look(text)  # seen.text, seen.flags, seen.refused

A guard is a signal and no wall: whoever writes against it gets through, and some who mean no harm are stopped. So what
is found is flagged, and no more, unless a rule says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

from pydantic import SerializeAsAny, field_validator

from stillroom.core import edits, plugins
from stillroom.core.edits import Edit
from stillroom.core.errors import InputError, OutsideError, Problem, StillroomError
from stillroom.core.plugins import Settings
from stillroom.detectors import Detector, Finding, Look, Place, _reading

Action = Literal["allow", "flag", "mask", "refuse"]


@final
class Rule(Settings):
    """A detector, and what happens where it finds something."""

    detector: SerializeAsAny[Detector]
    """The name (or a table) of one of the family `detectors`."""
    action: Action = "flag"
    """`allow`: it is counted and told to nobody; `flag`: the answer says so; `mask`: it is also replaced in the text;
    `refuse`: the text is not used."""

    @field_validator("detector", mode="before")
    @classmethod
    def _built(cls, value: Any) -> Any:
        if not isinstance(value, str | dict):
            return value
        try:
            return plugins.build("detectors", value)
        except InputError as error:
            told = (f"{one.where}: {one.expected}. {one.todo}" for one in error.problems)
            raise ValueError("a detector: " + "; ".join(told)) from None


@final
class Guard(Settings):
    """The rules of a route; each list in the order in which they look."""

    input: tuple[Rule, ...] = ()
    """For what is asked."""
    output: tuple[Rule, ...] = ()
    """For what is answered."""

    @field_validator("input", "output", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return [{"detector": one} if isinstance(one, str) else one for one in value] if _several(value) else value


def _several(value: Any) -> bool:
    return isinstance(value, list | tuple)


@final
@dataclass(frozen=True)
class Flag:
    """What one rule found: names and places (code points of the text as it came), and never a word of it."""

    detector: str
    action: Action
    names: tuple[str, ...]
    places: tuple[tuple[int, int], ...]
    score: float | None

    def as_dict(self) -> dict[str, Any]:
        """The flag as a program reads it."""
        found: dict[str, Any] = {"detector": self.detector, "action": self.action, "names": list(self.names)}
        found["places"] = [list(one) for one in self.places]
        return found if self.score is None else found | {"score": round(self.score, 4)}


@final
@dataclass(frozen=True)
class Seen:
    """A text that was looked at."""

    text: str
    """What is to be used: with masks, where a rule says so; "" where it was refused."""
    flags: tuple[Flag, ...] = ()
    """For the answer."""
    refused: str | None = None
    """Why it is not to be used, without a word of it."""
    counted: tuple[Flag, ...] = ()
    """All that was found, what is allowed too: for whoever counts."""
    masks: tuple[Place, ...] = ()
    """What was replaced, where it stood in the text as it came."""


@final
class Chain:
    """Detectors that are ready, one after the other; may be asked from several threads."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = [(rule.detector, rule.action, rule.detector.open()) for rule in rules]

    def look(self, text: str, *, asked: str = "") -> Seen:
        """What is to be done with a text; `asked` is what it answers, where it is an answer.

        Raises:
            OutsideError: a detector that failed; it is named, and nothing of the text is.
        """
        reading = _reading.whole(text)
        hidden: list[Place] = []
        found: list[Flag] = []
        for detector, action, look in self._rules:
            finding = _asked(detector, look, reading.text, asked)
            places = [_original(reading, one) for one in finding.places]
            if detector.clears:
                reading = reading.without(finding.places)
            if not places:
                continue
            found.append(_flag(finding, action, places))
            if action == "refuse":
                told = f"{detector.kind} found {', '.join(finding.names)}"
                return Seen("", _told(found), told, tuple(found))
            if action == "mask":
                hidden += places
        return Seen(masked(text, hidden), _told(found), None, tuple(found), tuple(hidden))


def open(rules: Sequence[Rule]) -> Chain:
    """The chain of a route, with all that it needs in memory.

    Raises:
        StillroomError: something that a detector needs is not there.
    """
    return Chain(rules)


def _asked(detector: Detector, look: Look, text: str, asked: str) -> Finding:
    """What a detector says. A library's error may quote what it was given: ours names the detector alone."""
    try:
        return look(text, asked=asked)
    except StillroomError:
        raise
    except Exception as error:  # of whatever kind: what a library says of it may quote the text
        kind = f"a failure ({type(error).__name__})"
        todo = "Leave the detector out, or report what text it fails on."
        raise OutsideError(Problem(f"guard, detector `{detector.kind}`", kind, "a finding", todo)) from None


def _original(reading: _reading.Reading, place: Place) -> Place:
    start, end = reading.original(place.start, place.end)
    return Place(start, end, place.name, place.replacement)


def _flag(finding: Finding, action: Action, places: Iterable[Place]) -> Flag:
    spans = tuple((one.start, one.end) for one in places)
    return Flag(finding.kind, action, finding.names, spans, finding.score)


def _told(found: Iterable[Flag]) -> tuple[Flag, ...]:
    return tuple(one for one in found if one.action != "allow")


def masked(text: str, places: Sequence[Place]) -> str:
    """The text with its places replaced; those that overlap become one, with the words of the longest."""
    joined: list[tuple[int, int, Place]] = []
    for one in sorted(places):
        if joined and one.start < joined[-1][1]:
            start, end, longest = joined[-1]
            longer = one if one.end - one.start > longest.end - longest.start else longest
            joined[-1] = start, max(end, one.end), longer
        else:
            joined.append((one.start, one.end, one))
    return edits.applied(text, [Edit(start, end, one.replacement) for start, end, one in joined])
