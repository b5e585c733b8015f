"""Whose answer stands where a student is not sure enough: its own, or that of the teacher behind it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from stillroom.serve.replies import Reply

if TYPE_CHECKING:
    from stillroom.serve.meters import Meters
    from stillroom.serve.shelf import Lane
    from stillroom.tasks import Prediction

#: When the teacher behind a student is asked.
Asking = Literal["when_unsure", "beside", "never"]


async def escalated(
    lane: Lane, texts: Sequence[str], own: Sequence[Reply], *, asking: Asking, meters: Meters
) -> Sequence[Reply]:
    """What is said of texts: the teacher's answer where the student is not sure enough and the teacher can be asked.

    Asked `beside`, it says something of all of them, which is told beside what the student says.
    """
    meters.asked(lane.name, len(texts), prices=lane.prices)
    if asking == "never":
        return own
    beside = asking == "beside"
    asked = [place for place, one in enumerate(own) if beside or one.notes.get("sure") is False]
    if lane.escalation is None or not asked:
        return own
    begun = time.perf_counter()
    heard = await lane.escalation.hear([texts[place] for place in asked])
    took_ms = round((time.perf_counter() - begun) * 1e3, 2)
    found = list(own)
    for place, one in zip(asked, heard, strict=True):
        its = own[place]
        unsure = its.notes.get("sure") is False
        if unsure:
            meters.escalated(lane.name, why=one.why)
        if one.prediction is None:
            found[place] = Reply(its.prediction, {**its.notes, "escalated": False, "teacher_silent": one.why})
            continue
        notes = dict(its.notes)
        others: dict[str, Prediction] = {}
        if beside:
            notes["teacher"], others["teacher"] = {"ms": took_ms, "price": one.cost}, one.prediction
        if unsure:
            notes |= {"escalated": True, "teacher_ms": took_ms}
            others["student"] = its.prediction
        found[place] = Reply(one.prediction if unsure else its.prediction, notes, others)
    return found
