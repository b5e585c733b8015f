"""The guard at work: what is looked for in the texts of a request before they are read, and in what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

from stillroom.core.errors import Problem
from stillroom.serve import guard
from stillroom.serve.faults import Fault
from stillroom.serve.guard import Chain, Guard, Seen

if TYPE_CHECKING:
    from stillroom.serve.meters import Meters

_ALL = "*"
_WRITTEN = ("text", "corrected")  # the parts of a prediction that are a text of its own


@final
@dataclass(frozen=True)
class Looked:
    """Texts that were let through."""

    texts: Sequence[str]
    """As they are read: with masks, where a rule says so."""
    notes: Sequence[Mapping[str, Any]]
    """What is told of each."""


@final
class Sentry:
    """The chains of all addresses."""

    def __init__(self, rules: Mapping[str, Guard], meters: Meters) -> None:
        """Raises StillroomError where something that a detector needs is not there."""
        self._chains = {at: (guard.open(one.input), guard.open(one.output)) for at, one in rules.items()}
        self._rules, self._meters = rules, meters

    def looks_at_answers(self, at: str) -> bool:
        """Whether what is answered there is looked at."""
        rules = self._rules.get(at, self._rules.get(_ALL))
        return rules is not None and bool(rules.output)

    async def asked(self, at: str, texts: Sequence[str]) -> Looked:
        """The texts of a request, as they may be read.

        Raises:
            Fault: a rule refuses one of them; it is told which rule, and nothing of the text.
        """
        chains = self._chains.get(at, self._chains.get(_ALL))
        if chains is None:
            return Looked(texts, [{}] * len(texts))
        seen = await asyncio.to_thread(_each, chains[0], texts, [""] * len(texts))
        self._count("input", seen)
        self._refuse([f"texts[{place}]" for place in range(len(seen))], seen)
        notes = [_notes("input", one) | ({"asked": one.text} if one.text != text else {})
                 for one, text in zip(seen, texts, strict=True)]  # fmt: skip
        return Looked([one.text for one in seen], notes)

    async def answered(
        self,
        at: str,
        texts: Sequence[str],
        predictions: Sequence[Any],
        *,
        where: Sequence[str] | None = None,
        known: Sequence[Any] = (),
    ) -> tuple[Sequence[Any], Sequence[Mapping[str, Any]]]:
        """Predictions as they may be told, and what is told of each beside.

        `where` each stands in the answer. `known`: those whose parts were looked at, so that what is found was counted.

        Raises:
            Fault: a rule refuses one of them.
        """
        chains = self._chains.get(at, self._chains.get(_ALL))
        name = next((one for one in _WRITTEN if predictions and hasattr(predictions[0], one)), None)
        if chains is None or name is None or not self.looks_at_answers(at):
            return predictions, [{}] * len(predictions)
        written = [getattr(one, name) for one in predictions]
        seen = await asyncio.to_thread(_each, chains[1], written, texts)
        once = {id(one): its for one, its in zip(predictions, seen, strict=True)}
        self._count("output", [its for which, its in once.items() if which not in {id(one) for one in known}])
        self._refuse(where or [f"predictions[{place}]" for place in range(len(seen))], seen)
        told = [_veiled(one, name, its) if its.text != text else one
                for one, its, text in zip(predictions, seen, written, strict=True)]  # fmt: skip
        return told, [_notes("output", one) for one in seen]

    def _count(self, side: str, seen: Sequence[Seen]) -> None:
        for one in seen:
            for flag in one.counted:
                self._meters.guarded(flag.detector, side=side, action=flag.action)

    def _refuse(self, where: Sequence[str], seen: Sequence[Seen]) -> None:
        problems = [
            Problem(place, one.refused, "a text that the guard lets through", "Leave it out.")
            for place, one in zip(where, seen, strict=True)
            if one.refused is not None
        ]
        if problems:
            raise Fault(422, "refused", *problems)


def _each(chain: Chain, texts: Sequence[str], asked: Sequence[str]) -> list[Seen]:
    return [chain.look(text, asked=one) for text, one in zip(texts, asked, strict=True)]


def _veiled(prediction: Any, name: str, seen: Seen) -> Any:
    """A prediction with masks: in its text, and in what its corrections put there."""
    told = {name: seen.text}
    if not hasattr(prediction, "corrections"):
        return replace(prediction, **told)
    corrections, shift = [], 0
    for one in prediction.corrections:  # from left to right, as they were made
        start = one.start + shift
        end = start + len(one.replacement)
        shift = end - one.end
        inside = [replace(place, start=max(place.start, start) - start, end=min(place.end, end) - start)
                  for place in seen.masks if place.start < end and start < place.end]  # fmt: skip
        corrections.append(replace(one, replacement=guard.masked(one.replacement, inside)) if inside else one)
    return replace(prediction, corrections=tuple(corrections), **told)


def length(prediction: Any) -> int:
    """Of what was written; 0 where nothing is."""
    return next((len(getattr(prediction, one)) for one in _WRITTEN if hasattr(prediction, one)), 0)


def moved(notes: Mapping[str, Any], by: int) -> Mapping[str, Any]:
    """Notes of a part, with places in the whole of what is written."""
    if "flags" not in notes:
        return notes
    flags = [{**one, "places": [[start + by, end + by] for start, end in one["places"]]} for one in notes["flags"]]
    return {**notes, "flags": flags}


def of(notes: Mapping[str, Any], who: str) -> Mapping[str, Any]:
    """Notes of what somebody else says beside; "": of the answer itself."""
    if not who or "flags" not in notes:
        return notes
    return {**notes, "flags": [{**one, "of": who} for one in notes["flags"]]}


def _notes(side: str, seen: Seen) -> dict[str, Any]:
    return {"flags": [{"side": side, **flag.as_dict()} for flag in seen.flags]} if seen.flags else {}


def joined(*notes: Mapping[str, Any]) -> dict[str, Any]:
    """Notes of several, flags one behind the other."""
    flags = [flag for one in notes for flag in one.get("flags", ())]
    whole: dict[str, Any] = {}
    for one in notes:
        whole |= one
    return whole | ({"flags": flags} if flags else {})
