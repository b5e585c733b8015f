"""What a student says of each text: read passage by passage, of the length that is wished, and how sure it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, final

from stillroom.runtime import reading
from stillroom.runtime.deferral import Decision
from stillroom.runtime.reading import Part, Piece, Reading
from stillroom.runtime.runners import Written

if TYPE_CHECKING:
    from stillroom.serve.shelf import Lane
    from stillroom.tasks import Prediction

_SHORT = 4096  # characters that are parted at once


@final
@dataclass(frozen=True)
class Reply:
    """What is said of one text."""

    prediction: Prediction
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What was done to it beside: flags, cuts, whether the teacher was asked."""
    beside: Mapping[str, Prediction] = field(default_factory=dict)
    """What the other of `student` and `teacher` says of it, which is to be looked at before it is told in the notes."""

    def as_dict(self) -> dict[str, Any]:
        """As a program reads it."""
        return {**self.prediction.as_dict(), **self.notes}


@final
@dataclass(frozen=True)
class Passed:
    """What is said of one passage of a text."""

    part: Part
    notes: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """As a program reads it."""
        return {**self.part.as_dict(), **self.notes}


@final
@dataclass(frozen=True)
class Finished:
    """How a text that was written came to its end, and what was done to it and to what it is written for."""

    written: Written
    notes: Mapping[str, Any]


async def ask(
    lane: Lane, texts: Sequence[str], *, deadline_s: float | None = None, length: int | None = None
) -> tuple[list[Reply], float]:
    """What it says of each text, and the seconds that the first of them waited.

    Raises:
        Refused: there is no room.
        Late: it took too long after all.
    """
    parted = await pieces(lane, texts)
    said, waited = await lane.batcher.ask(
        [one.text for one in parted], deadline_s=deadline_s, lengths=reading.wished(parted, length)
    )
    return await joined(lane, texts, parted, said, length=length), waited


async def pieces(lane: Lane, texts: Sequence[str]) -> list[Piece]:
    """The passages of texts. Long ones are parted in a thread, so that nobody else waits for it."""
    if sum(map(len, texts)) <= _SHORT:
        return reading.pieces(lane.predictor, texts)
    return await asyncio.to_thread(reading.pieces, lane.predictor, texts)


async def joined(
    lane: Lane, texts: Sequence[str], pieces: Sequence[Piece], said: Sequence[Any], *, length: int | None = None
) -> list[Reply]:
    """What is said of each text, from what was said of its passages; what is too long together is read again.

    Where the bundle carries a certificate, also whether the student is sure enough.
    """
    decided = [one for one in said if isinstance(one, Decision)]
    predictions = [one.prediction for one in decided] if decided else said
    found = [_reply(one) for one in reading.readings(lane.predictor, texts, pieces, predictions, length=length)]
    if decided:
        # A text is as sure as the least sure of its passages.
        for piece, one in zip(pieces, decided, strict=True):
            before = found[piece.owner].notes
            sure = {"sure": before.get("sure", True) and one.sure,
                    "confidence": round(min(before.get("confidence", 1.0), one.confidence), 4)}  # fmt: skip
            found[piece.owner] = Reply(found[piece.owner].prediction, {**before, **sure})
    again = {place: text for place, one in enumerate(found)
             if (text := reading.too_long(lane.predictor, one.prediction, length=length)) is not None}  # fmt: skip
    if again:
        shorter, _ = await ask(lane, list(again.values()), length=length)
        for place, its in zip(again, shorter, strict=True):
            found[place] = replace(found[place], prediction=its.prediction)
    return found


def _reply(found: Reading) -> Reply:
    """What is said of a text, and where it was cut."""
    return Reply(found.prediction, {"cuts": [asdict(one) for one in found.cuts]} if found.cuts else {})
