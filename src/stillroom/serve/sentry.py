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
        self._chains = {at: (guard.open(one.input), guard.open(one.output)) for at, one in rules.items()
                        if one.input or one.output}  # fmt: skip
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
        self._refuse("texts", seen)
        notes = [_notes("input", one) | ({"asked": one.text} if one.text != text else {})
                 for one, text in zip(seen, texts, strict=True)]  # fmt: skip
        return Looked([one.text for one in seen], notes)

    async def answered(
        self, at: str, texts: Sequence[str], predictions: Sequence[Any], *, again: bool = False
    ) -> tuple[Sequence[Any], Sequence[Mapping[str, Any]]]:
        """Predictions as they may be told, and what is told of each beside.

        `again`: their parts were looked at before, so that what is found was counted.

        Raises:
            Fault: a rule refuses one of them.
        """
        chains = self._chains.get(at, self._chains.get(_ALL))
        name = next((one for one in _WRITTEN if predictions and hasattr(predictions[0], one)), None)
        if chains is None or name is None or not self.looks_at_answers(at):
            return predictions, [{}] * len(predictions)
        written = [getattr(one, name) for one in predictions]
        seen = await asyncio.to_thread(_each, chains[1], written, texts)
        if not again:
            self._count("output", seen)
        self._refuse("predictions", seen)
        told = [replace(one, **{name: its.text}) if its.text != text else one
                for one, its, text in zip(predictions, seen, written, strict=True)]  # fmt: skip
        return told, [_notes("output", one) for one in seen]

    def _count(self, side: str, seen: Sequence[Seen]) -> None:
        for one in seen:
            for flag in one.counted:
                self._meters.guarded(flag.detector, side=side, action=flag.action)

    def _refuse(self, where: str, seen: Sequence[Seen]) -> None:
        problems = [
            Problem(f"{where}[{place}]", one.refused, "a text that the guard lets through", "Leave it out.")
            for place, one in enumerate(seen)
            if one.refused is not None
        ]
        if problems:
            raise Fault(422, "refused", *problems)


def _each(chain: Chain, texts: Sequence[str], asked: Sequence[str]) -> list[Seen]:
    return [chain.look(text, asked=one) for text, one in zip(texts, asked, strict=True)]


def _notes(side: str, seen: Seen) -> dict[str, Any]:
    return {"flags": [{"side": side, **flag.as_dict()} for flag in seen.flags]} if seen.flags else {}


def joined(*notes: Mapping[str, Any]) -> dict[str, Any]:
    """Notes of several, flags one behind the other."""
    flags = [flag for one in notes for flag in one.get("flags", ())]
    whole: dict[str, Any] = {}
    for one in notes:
        whole |= one
    return whole | ({"flags": flags} if flags else {})
