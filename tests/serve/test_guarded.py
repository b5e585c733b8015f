"""Whatever is told of a text has passed the rules for answers, with places in what is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from stillroom.runtime.deferral import Decision
from stillroom.serve.escalation import Behind, Escalation
from stillroom.serve.faults import Fault
from stillroom.serve.replies import Passed, Reply
from stillroom.serve.service import Service
from stillroom.tasks import Task
from stillroom.tasks.proofreading import Proofreading
from stillroom.tasks.text_to_text import TextPrediction, TextToText
from tests.runtime.test_reading import reader
from tests.serve import lanes


def _service(task: Task, pattern: str, action: str, *, teacher: str | None = None) -> Service:
    """A student behind which somebody says one and the same, and a rule for what is told."""
    student = reader(task, words=4)
    said = student.predict
    if teacher is not None:
        student.predict = lambda texts: [Decision(one, False, 0.1) for one in said(texts)]
    lane = lanes.lane(student)

    async def ask(texts: Sequence[str]) -> list[Any]:
        return [TextPrediction(teacher or "") for _ in texts]

    lane.escalation = Escalation(Behind(), ask, price=None) if teacher is not None else None
    rule = {"detector": {"kind": "output", "patterns": [pattern], "links": False}, "action": action}
    return lanes.service(lane, guard={"*": {"output": [rule]}})


def _asked(service: Service, text: str, **told: Any) -> dict[str, Any]:
    (found,) = asyncio.run(service.ask(lanes.request(), [text], model="toy", **told)).replies
    return found.as_dict()


def _streamed(service: Service, text: str, **told: Any) -> list[Passed | Reply]:
    async def ask() -> list[Passed | Reply]:
        return [one async for one in service.parts(lanes.request(), text, model="toy", **told)]

    return asyncio.run(ask())


def _counted(service: Service) -> float | None:
    labels = {"detector": "output", "side": "output", "action": "mask"}
    return service.meters._own.get_sample_value("stillroom_guard_total", labels)


def test_what_is_masked_in_the_text_is_masked_in_its_corrections() -> None:
    text = "I saw teh cat. And teh dog."
    told = _asked(_service(Proofreading(), "the dog", "mask"), text)
    assert told["corrected"] == "I saw the cat. And [removed]."
    assert [one["replacement"] for one in told["corrections"]] == ["the", "[removed]"]
    assert [text[one["start"] : one["end"]] for one in told["corrections"]] == ["teh", "teh"]
    ((start, end),) = told["flags"][0]["places"]
    assert text.replace("teh", "the")[start:end] == "the dog"


def test_places_of_a_part_are_those_of_the_whole() -> None:
    text = "I saw tehcat teh teh. And teh dog.  Now teh dog."
    for task, pattern in ((Proofreading(), "the dog"), (TextToText(), "TEH DOG")):
        parts = _streamed(_service(task, pattern, "flag"), text)
        whole = parts.pop().as_dict()
        flags = [one for part in parts for one in part.as_dict().get("flags", ())]
        assert len(parts) > 2
        assert [place for one in flags for place in one["places"]] == whole["flags"][0]["places"]
        assert {one["side"] for one in flags} == {"output"}


def test_a_part_whose_text_grows_moves_those_behind_it() -> None:
    student = reader(TextToText(), words=4)
    student.predict = lambda texts: [TextPrediction(f"<{one.upper()}>") for one in texts]
    rule = {"detector": {"kind": "output", "patterns": ["DOG"], "links": False}, "action": "mask"}
    parts = _streamed(lanes.service(lanes.lane(student), guard={"*": {"output": [rule]}}), "A dog. A dog. A dog.")
    whole = parts.pop().as_dict()
    places = [place for part in parts for one in part.as_dict()["flags"] for place in one["places"]]
    assert places == whole["flags"][0]["places"]
    assert whole["text"] == "<A [removed].> <A [removed].> <A [removed].>"


@pytest.mark.parametrize("asking", ["when_unsure", "beside"])
def test_what_student_and_teacher_say_beside_is_masked_too(asking: str) -> None:
    service = _service(TextToText(), "secret", "mask", teacher="the secret of the teacher")
    told = _asked(service, "a secret", teacher=asking)
    assert told["text"] == "the [removed] of the teacher"
    assert told["student"]["text"] == "A [removed]"
    if asking == "beside":
        assert told["teacher"]["prediction"]["text"] == told["text"]
        assert told["teacher"]["ms"] >= 0
    assert [one.get("of") for one in told["flags"]] == [None, *(["teacher"] if asking == "beside" else []), "student"]
    assert _counted(service) == 2.0


def test_a_stream_counts_once_what_it_tells_twice() -> None:
    service = _service(TextToText(), "secret", "mask", teacher="the secret of the teacher")
    *_, told = _streamed(service, "a secret")
    assert told.as_dict()["student"]["text"] == "A [removed]"
    assert _counted(service) == 2.0


def test_what_is_refused_beside_is_refused_and_says_where() -> None:
    service = _service(TextToText(), "secret", "refuse", teacher="all is well")
    with pytest.raises(Fault) as refused:
        _asked(service, "a secret")
    (problem,) = refused.value.problems
    assert problem.where == "predictions[0].student"
    assert "secret" not in str(problem)
