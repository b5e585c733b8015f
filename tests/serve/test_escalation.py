"""Where the student is not sure its teacher is asked, within a time and a budget; where it can't be, that is said."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from starlette.testclient import TestClient

from stillroom import cascade as cascades
from stillroom.cascade.elder import Elder
from stillroom.core import artifact
from stillroom.core.errors import InputError, Occupied, Problem
from stillroom.runtime import deferral
from stillroom.serve import app, shelf
from stillroom.serve.batcher import Late, Refused
from stillroom.serve.escalation import Behind, Escalation
from stillroom.tasks.token_labelling import TokenLabelling
from tests.runtime.test_reading import reader
from tests.serve import lanes
from tests.serve.conftest import serving

TEXTS = ["the film was dull today", "we found it great at last"]


class Teacher:
    """Says each text in capitals, unless it is told not to."""

    def __init__(self, *, seconds: float = 0.0, error: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.seconds, self.error = seconds, error

    async def __call__(self, texts: Sequence[str]) -> list[Any]:
        self.asked += texts
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        return [None if text == "silence" else text.upper() for text in texts]


def _hear(escalation: Escalation, *texts: str) -> list[Any]:
    return [one.prediction or one.why for one in asyncio.run(escalation.hear(texts))]


def test_its_answers_come_in_order_and_its_silence_is_told() -> None:
    teacher = Teacher()
    paid: list[tuple[int, float]] = []
    escalation = Escalation(Behind(), teacher, price=2e6, paid=lambda texts, cost: paid.append((texts, cost)))
    assert _hear(escalation, "a", "silence", "b") == ["A", "silent", "B"]
    assert paid == [(3, 6.0)]


@pytest.mark.parametrize(("teacher", "why"), [(Teacher(error=OSError()), "down"), (Teacher(seconds=5), "late")])
def test_after_a_failure_nobody_waits_for_it_for_a_while(teacher: Teacher, why: str) -> None:
    now = [0.0]
    escalation = Escalation(Behind(seconds=0.05), teacher, price=None, clock=lambda: now[0])
    assert _hear(escalation, "a") == [why]
    assert _hear(escalation, "b") == ["down"]
    assert teacher.asked == ["a"]
    teacher.error, teacher.seconds, now[0] = None, 0.0, 31.0
    assert _hear(escalation, "c") == ["C"]


def test_its_budget_is_never_passed_and_comes_anew_each_day() -> None:
    now, teacher = [0.0], Teacher()
    escalation = Escalation(Behind(per_day=1.0), teacher, price=0.4e6, clock=lambda: now[0])
    assert _hear(escalation, "a", "b") == ["A", "B"]
    assert _hear(escalation, "c") == ["budget"]
    now[0] = 86_401.0
    assert _hear(escalation, "d") == ["D"]
    assert teacher.asked == ["a", "b", "d"]


def test_a_budget_that_nobody_could_hold_is_refused() -> None:
    with pytest.raises(InputError, match="price nobody knows"):
        Escalation(Behind(per_day=1.0), Teacher(), price=None)


def test_no_more_wait_for_it_than_are_allowed() -> None:
    async def crowd() -> list[Any]:
        escalation = Escalation(Behind(at_once=2), Teacher(seconds=0.05), price=None)
        return [one[0].why for one in await asyncio.gather(*(escalation.hear(["a"]) for _ in range(5)))]

    assert asyncio.run(crowd()).count("busy") == 3


def test_another_student_that_is_busy_is_no_failure_and_costs_nothing() -> None:
    now, teacher = [0.0], Teacher(error=Refused(retry_after=1.0))
    escalation = Escalation(Behind(per_day=1.0), teacher, price=1e6, clock=lambda: now[0])
    assert _hear(escalation, "a") == ["busy"]
    teacher.error = Late()
    assert _hear(escalation, "a") == ["late"]
    teacher.error = None
    assert _hear(escalation, "b") == ["B"]  # there is no pause, and the day's budget is whole
    assert _hear(escalation, "c") == ["budget"]


def test_its_teacher_reads_a_long_text_to_its_end_and_each_passage_is_paid() -> None:
    task = TokenLabelling(labels=("place",))
    student, text = reader(task, words=20), "Nobody knows the way to the island yet. " * 30
    lane = lanes.lane(student)

    class Blinkered:
        """Reads no more than twenty words of what it is given."""

        asked: ClassVar[list[str]] = []

        def ask(self, texts: Sequence[str]) -> list[Any]:
            self.asked += texts
            return [None if "silent" in one else reader(task, words=20).predict([one])[0] for one in texts]

    async def hear() -> list[Any]:
        with ThreadPoolExecutor(1) as threads:
            ask, part = shelf._own_teacher(lane, Blinkered(), threads)
            escalation = Escalation(Behind(), ask, price=1e6, part=part)
            return await escalation.hear([text, "silent. " + text, "An island."])

    whole, silent, short = asyncio.run(hear())
    assert [text[one.start : one.end] for one in whole.prediction.spans] == ["island"] * 30
    assert (silent.prediction, silent.why) == (None, "silent")
    assert [one.text for one in short.prediction.spans] == ["island"]
    assert whole.cost == pytest.approx(len(Blinkered.asked) / 3)
    assert len(Blinkered.asked) > 20


def test_who_keeps_a_ledger_is_asked_by_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    elder = Elder.__new__(Elder)
    tried: list[int] = []

    class Keeper:
        precisions = ("float32",)

        def ask(self, texts: Sequence[str], **told: Any) -> tuple[Any, Any]:
            tried.append(len(tried))
            if len(tried) < 3:
                raise Occupied(Problem("ledger", "another process at work on it", "to be alone", "Wait for it."))
            return {"said": texts}, None

    elder._teacher = Keeper()  # type: ignore[assignment]
    assert elder._said(["a"]) == {"said": ["a"]}
    assert len(tried) == 3
    monkeypatch.setattr("stillroom.cascade.elder._PATIENCE_SECONDS", 0.1)
    elder._teacher.ask = lambda texts, **told: (_ for _ in ()).throw(
        Occupied(  # type: ignore[method-assign]
            Problem("ledger", "another process at work on it", "to be alone", "Wait for it.")
        )
    )
    with pytest.raises(Occupied):
        elder._said(["a"])


@pytest.fixture(scope="module")
def certified(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run in a work folder of its own, certified, with a threshold between its answers: half of them are unsure."""
    work = tmp_path_factory.mktemp("certified") / "work"
    shutil.copytree(folder.parent.parent, work)
    run = work / "runs" / folder.name
    assert cascades.certify(run, epsilon=0.5, delta=0.2).passed
    return run


def _strict(run: Path, threshold: float) -> Path:
    """Its bundle with another threshold."""
    from stillroom import runtime

    record = runtime.certified(run)
    assert record is not None
    source = run.parent.parent / "bundle" / record["bundle"]
    other = source.with_name(f"strict-{threshold}")
    if not other.exists():
        shutil.copytree(source, other)
        told = replace(deferral.read(other / deferral.FILE), threshold=threshold)
        artifact.write_json(other / deferral.FILE, told.as_dict())
        manifest = artifact.load(source).manifest
        files = {**manifest["files"], deferral.FILE: artifact.file_sha256(other / deferral.FILE)}
        facts = {"files": files, "facts": manifest["facts"], "stage": manifest["stage"]}
        digest = artifact.sha256(artifact.canonical(facts))
        artifact.write_json(other / artifact.MANIFEST, {**manifest, "files": files, "digest": digest})
    record_file = run / runtime.CASCADE
    artifact.write_json(record_file, {**record, "bundle": other.name})
    return run


def _client(run: Path, **behind: Any) -> TestClient:
    models = [{"name": "toy", "path": str(run), "behind": {"who": "own", **behind}}]
    return TestClient(app.make(serving(run, models=models)))


def test_what_it_is_not_sure_of_its_own_teacher_answers(certified: Path) -> None:
    with _client(_strict(certified, 2.0)) as client:  # nobody is ever so sure
        told = client.post("/predict", json={"texts": TEXTS}).json()["predictions"]
        own = Elder(certified).ask(TEXTS)
        for found, teacher in zip(told, own, strict=True):
            assert found["escalated"] is True
            assert found["sure"] is False
            assert found["label"] == teacher.label
            assert found["student"]["label"] in ("negative", "positive")
        cost = client.get("/models/toy/cost").json()
        assert (cost["texts"], cost["escalated"]) == (2, 2)
        assert cost["paid_share"] > 1  # both were asked
        assert client.get("/models/toy/certificate").json()["threshold"] == 2.0
        assert 'stillroom_escalated_total{model="toy",teacher="answered"} 2.0' in client.get("/metrics").text


def test_what_it_is_sure_of_it_answers_itself(certified: Path) -> None:
    with _client(_strict(certified, 0.0)) as client:
        told = client.post("/predict", json={"texts": TEXTS}).json()["predictions"]
        assert [(one["sure"], "escalated" in one) for one in told] == [(True, False)] * 2
        cost = client.get("/models/toy/cost").json()
        assert (cost["escalated"], cost["paid_share"] < 1) == (0, True)
        (beside,) = client.post("/predict", json={"text": TEXTS[0], "teacher": "beside"}).json()["predictions"]
        assert beside["teacher"]["prediction"]["label"] == Elder(certified).ask(TEXTS[:1])[0].label
        assert beside["teacher"]["price"] > 0
        assert "escalated" not in beside


def _streamed(client: TestClient, **body: Any) -> list[tuple[str, dict[str, Any]]]:
    told = client.post("/predict", json={**body, "stream": True})
    assert told.status_code == 200
    events = [one.removeprefix("event: ").split("\ndata: ") for one in told.text.strip().split("\n\n")]
    return [(name, json.loads(data)) for name, data in events]


def _untimed(told: dict[str, Any]) -> dict[str, Any]:
    teacher = {name: one for name, one in told.get("teacher", {}).items() if name != "ms"}
    return {**told, "teacher_ms": None, "teacher": teacher}


@pytest.mark.parametrize("threshold", [2.0, 0.0])
@pytest.mark.parametrize("teacher", ["when_unsure", "beside", "never"])
def test_a_stream_ends_as_the_plain_answer(certified: Path, threshold: float, teacher: str) -> None:
    with _client(_strict(certified, threshold)) as client:
        body = {"text": TEXTS[0], "teacher": teacher}
        (plain,) = client.post("/predict", json=body).json()["predictions"]
        before = client.get("/models/toy/cost").json()
        (part, own), (end, told) = _streamed(client, **body)
        assert (part, end) == ("part", "prediction")
        assert _untimed(told) == _untimed(plain)
        assert own["label"] == told.get("student", told)["label"], "a part is what the student says"
        assert ("student" in told) == (threshold == 2.0 and teacher != "never")
        after = client.get("/models/toy/cost").json()
        assert all(after[name] == 2 * before[name] for name in ("texts", "escalated")), "it costs the same"


def test_a_bundle_alone_knows_the_prices_it_was_certified_with(certified: Path) -> None:
    from stillroom import runtime

    run = _strict(certified, 0.0)
    bundle = runtime.load(run).folder
    with TestClient(app.make(serving(run))) as client, TestClient(app.make(serving(bundle))) as other:
        told, alone = (one.get("/models").json()["models"][0]["price_per_1000"] for one in (client, other))
        assert told == alone
        assert told["teacher"] > told["student"] > 0


def test_without_its_teacher_its_answer_stands_and_says_so(certified: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Elder, texts: Sequence[str]) -> list[Any]:
        raise OSError("nobody there")

    monkeypatch.setattr(Elder, "ask", fails)
    with _client(_strict(certified, 2.0)) as client:
        told = client.post("/predict", json={"texts": TEXTS})
        assert told.status_code == 200
        assert [(one["escalated"], one["teacher_silent"]) for one in told.json()["predictions"]] == [
            (False, "down")
        ] * 2


def test_without_a_certificate_there_is_no_cascade(folder: Path) -> None:
    with pytest.raises(InputError, match="without a certificate"), _client(folder):
        pass


def test_who_stands_behind_has_to_be_there(certified: Path) -> None:
    with pytest.raises(InputError, match="no model of that name"), _client(_strict(certified, 0.0), who="nobody"):
        pass
