"""What was measured adds up: figures that are figures, and prices that follow from them. No speed is asserted."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stillroom import corpus as corpora
from stillroom import cost, cost_worker, gates, journey, pipeline
from stillroom.core import artifact, recipe
from stillroom.core.artifact import Artifact, Store
from stillroom.core.errors import InputError
from stillroom.core.progress import Report, silent
from stillroom.corpora.table import Table
from stillroom.documents import Evidence
from stillroom.documents import _ledger as ledger
from stillroom.journey import Run
from tests.conftest import LABELS, Travelled, sentences, write_csv

PRICE = 360.0  # a vCPU-hour, so that a CPU-second costs 0.1
SIDES = ("teacher", "student")


@pytest.fixture
def measured(travelled: Travelled) -> dict[str, Any]:
    found: dict[str, Any] = travelled.run.artifacts["cost"].read_json("cost.json")
    return found


def numbers(value: Any) -> Iterator[float]:
    """Every number in plain data."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from numbers(one)
    elif isinstance(value, int | float):
        yield value


class TestOfAFinishedRun:
    def test_every_figure_is_positive_and_finite(self, measured: dict[str, Any]) -> None:
        for side in SIDES:
            asked = measured[side].pop("price_asked_per_million_texts", 0.0)
            assert asked == 0.0, "nobody bills for this teacher"
            assert set(measured[side]) == {"texts_per_second", "rounds", "latency_ms", "flops_per_text", "resident_mb",
                                           "parameters", "disk_mb", "price_per_million_texts"}  # fmt: skip
        assert all(math.isfinite(one) and one > 0 for one in numbers(measured))

    def test_both_sides_have_as_many_rounds_as_were_asked_for(
        self, measured: dict[str, Any], travelled: Travelled
    ) -> None:
        for side in SIDES:
            assert len(measured[side]["rounds"]) == travelled.run.recipe.cost.repeats
            assert measured[side]["texts_per_second"] == sorted(measured[side]["rounds"])[1]

    def test_percentiles_are_in_order(self, measured: dict[str, Any]) -> None:
        for side in SIDES:
            latency = measured[side]["latency_ms"]
            assert latency["p50"] <= latency["p95"] <= latency["p99"]
            assert latency["n"] == cost_worker._SINGLES[side], "both are quick here"

    def test_speed_up_is_the_median_of_the_rounds_ratios(self, measured: dict[str, Any], travelled: Travelled) -> None:
        rounds = zip(*(measured[side]["rounds"] for side in SIDES), strict=True)
        ratios = sorted(student / teacher for teacher, student in rounds)
        expected = {"value": ratios[1], "low": ratios[0], "high": ratios[2], "n": 3}
        assert travelled.run.summary["speedup"] == pytest.approx(expected)

    def test_price_and_break_even_follow_from_time(self, measured: dict[str, Any], travelled: Travelled) -> None:
        settings, run = travelled.run.recipe.cost, travelled.run
        for side in SIDES:
            hours = 1e6 / measured[side]["texts_per_second"] / 3600
            expected = hours * settings.price_per_vcpu_hour / settings.utilisation
            assert measured[side]["price_per_million_texts"] == pytest.approx(expected)
        asking = sum(shard["seconds"] for shard in run.artifacts["transfer"].circumstances["ledger"]["shards"])
        hidden = measured["hidden"]
        assert hidden["seconds"] == pytest.approx({
            "teacher": run.artifacts["teacher"].circumstances["seconds"],
            "transfer": asking,
            "train": run.artifacts["train"].circumstances["seconds"],
        })  # fmt: skip
        hours = (asking + hidden["seconds"]["train"]) * os.cpu_count() / 3600
        assert hidden["spend"] == pytest.approx(hours * settings.price_per_vcpu_hour)
        saved = measured["teacher"]["price_per_million_texts"] - measured["student"]["price_per_million_texts"]
        assert measured["break_even_texts"] == pytest.approx(hidden["spend"] / saved * 1e6)

    def test_disk_and_parameters_are_those_of_what_is_shipped(
        self, measured: dict[str, Any], travelled: Travelled
    ) -> None:
        bundle, student = travelled.run.artifacts["export"], travelled.run.artifacts["train"]
        size = sum((bundle.folder / name).stat().st_size for name in ("static.safetensors", "tokenizer.json"))
        assert measured["student"]["disk_mb"] == pytest.approx(size / 1e6)
        for name in ("parameters", "flops_per_text"):
            assert measured["student"][name] == student.manifest["facts"][name]
        # Four bytes a parameter, and a tokenizer.
        assert measured["teacher"]["disk_mb"] > measured["teacher"]["parameters"] * 4 / 1e6

    def test_the_machine_is_named(self, measured: dict[str, Any]) -> None:
        assert measured["machine"] == cost.machine()
        assert measured["machine"]["cores"] == os.cpu_count()
        assert isinstance(measured["machine"]["cpu"], str)

    def test_it_says_that_it_can_not_be_reproduced(self, travelled: Travelled) -> None:
        assert "time" in travelled.run.artifacts["cost"].manifest["facts"]["reproducible"]

    def test_the_summary_has_the_same_figures_without_the_rounds(
        self, measured: dict[str, Any], travelled: Travelled
    ) -> None:
        raw = travelled.run.artifacts["cost"].read_json("cost.json")
        for side in SIDES:
            rounds = raw[side].pop("rounds")
            assert rounds == measured[side]["rounds"]
            assert travelled.run.summary[side]["cost"] == raw[side]


@given(st.lists(st.tuples(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6)), min_size=1, max_size=9))
def test_speed_up_against_a_plain_median(rounds: list[tuple[float, float]]) -> None:
    found = cost.speedup({"teacher": [one for one, _ in rounds], "student": [other for _, other in rounds]})
    ratios = sorted(student / teacher for teacher, student in rounds)
    middle = (ratios[(len(ratios) - 1) // 2] + ratios[len(ratios) // 2]) / 2
    assert found == pytest.approx({"value": middle, "low": ratios[0], "high": ratios[-1], "n": len(ratios)})


class TestMoney:
    """By hand, on round numbers: with `PRICE`, a text that takes a tenth of a second costs a hundredth."""

    def money(self, travelled: Travelled, *, asked: float = 0.0, teacher: float | None = 10.0, student: float = 1000.0,
              utilisation: float = 1.0, spend: float = 0.0, texts: int = 0) -> dict[str, Any]:  # fmt: skip
        def made(**circumstances: Any) -> Artifact:
            return Artifact(travelled.work, {"circumstances": circumstances})

        said = type("Said", (), {"artifact": made(ledger={"seconds": 30.0, "spend": spend, "texts": texts})})()
        measured = {
            "teacher": {"price_asked_per_million_texts": asked, **({"texts_per_second": teacher} if teacher else {})},
            "student": {"texts_per_second": student},
        }
        settings = recipe.Cost(price_per_vcpu_hour=PRICE, utilisation=utilisation)
        found: dict[str, Any] = cost._money(
            measured, settings=settings, said=said, student=made(seconds=70.0), teacher=made(seconds=500.0)
        )
        return found

    def test_time_has_a_price(self, travelled: Travelled) -> None:
        found = self.money(travelled)
        assert found["teacher"]["price_per_million_texts"] == pytest.approx(1e6 / 10 * 0.1)
        assert found["student"]["price_per_million_texts"] == pytest.approx(1e6 / 1000 * 0.1)
        cores = os.cpu_count() or 1
        assert found["hidden"]["spend"] == pytest.approx(100.0 * cores * 0.1), "asking and training, not the teacher"
        assert found["break_even_texts"] == pytest.approx(100.0 * cores * 0.1 / (0.01 - 0.0001))
        assert found["price"] == {"per_vcpu_hour": PRICE, "currency": "USD", "utilisation": 1.0}

    def test_an_idle_machine_costs_more_a_text_and_no_more_to_train_on(self, travelled: Travelled) -> None:
        busy, idle = self.money(travelled), self.money(travelled, utilisation=0.25)
        for side in SIDES:
            price = busy[side]["price_per_million_texts"]
            assert idle[side]["price_per_million_texts"] == pytest.approx(4 * price)
        assert idle["hidden"]["spend"] == pytest.approx(busy["hidden"]["spend"])
        assert idle["break_even_texts"] == pytest.approx(busy["break_even_texts"] / 4)

    def test_a_bill_counts_before_time(self, travelled: Travelled) -> None:
        found = self.money(travelled, asked=500.0, spend=7.0)
        assert found["teacher"]["price_per_million_texts"] == 500.0
        cores = os.cpu_count() or 1
        assert found["hidden"]["spend"] == pytest.approx(100.0 * cores * 0.1 + 7.0)
        assert found["break_even_texts"] == pytest.approx((10.0 * cores + 7.0) / ((500.0 - 100.0) / 1e6))

    def test_what_was_paid_is_the_price_where_none_is_stated(self, travelled: Travelled) -> None:
        found = self.money(travelled, teacher=None, spend=7.0, texts=2_000)
        assert found["teacher"]["price_per_million_texts"] == pytest.approx(3500.0)
        cores = os.cpu_count() or 1
        assert found["break_even_texts"] == pytest.approx((10.0 * cores + 7.0) / ((3500.0 - 100.0) / 1e6))

    def test_a_student_that_saves_nothing_never_pays(self, travelled: Travelled) -> None:
        assert self.money(travelled, student=10.0)["break_even_texts"] is None
        assert self.money(travelled, student=5.0)["break_even_texts"] is None

    def test_a_teacher_without_a_price_has_none(self, travelled: Travelled) -> None:
        found = self.money(travelled, teacher=None)
        assert found["teacher"]["price_per_million_texts"] is None
        assert found["break_even_texts"] is None


class TestInThisProcess:
    """The worker's own functions, without a process each; what they measure here is nobody's figure."""

    @pytest.fixture
    def jobs(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
        asked: list[dict[str, Any]] = []

        def work(job: dict[str, Any], report: Report = silent) -> dict[str, Any]:
            asked.append({**job, "read": json.loads(Path(job["texts"]).read_text(encoding="utf-8"))})
            return cost_worker.speed(job) if job["what"] == "speed" else cost_worker.memory(job)

        monkeypatch.setattr(cost, "_worker", work)
        monkeypatch.setattr(cost_worker, "_SINGLES", {"teacher": 10, "student": 10})
        threads = torch.get_num_threads()
        yield asked
        torch.set_num_threads(threads)

    @pytest.fixture
    def travel(self, travelled: Travelled) -> Callable[..., Run]:
        def again(**changes: Any) -> Run:
            return pipeline.run(recipe.parse({**travelled.recipe, **changes}), work=travelled.work, until="cost")

        return again

    def test_the_sides_take_turns_on_texts_of_training(
        self, jobs: list[dict[str, Any]], travel: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rated: list[tuple[int, int]] = []
        rate = cost_worker._rate

        def noting(answer: Any, texts: Any, *, at_once: int) -> float:
            rated.append((len(texts), at_once))
            return rate(answer, texts, at_once=at_once)

        monkeypatch.setattr(cost_worker, "_rate", noting)
        run = travel(name="turns", cost={"texts": 16, "repeats": 4})
        assert rated == [(4, 4), (64, 32)] * 4, "teacher and student by turns, the quick one on more texts"
        assert [job["what"] for job in jobs] == ["speed", "memory"]
        train = pq.read_table(run.artifacts["corpus"].folder / "train.parquet")
        assert jobs[0]["read"] == train["text"].to_pylist()
        assert len(run.artifacts["cost"].read_json("cost.json")["student"]["rounds"]) == 4

    def test_more_rounds_than_texts_are_still_rounds(
        self, jobs: list[dict[str, Any]], travel: Callable[..., Run]
    ) -> None:
        found = travel(name="many", cost={"texts": 16, "repeats": 20}).artifacts["cost"].read_json("cost.json")
        assert jobs[0]["per_round"] == 1
        assert all(len(found[side]["rounds"]) == 20 for side in SIDES)
        assert all(math.isfinite(one) and one > 0 for side in SIDES for one in found[side]["rounds"])

    def test_a_recorded_teacher_is_not_timed(
        self, jobs: list[dict[str, Any]], travel: Callable[..., Run], tmp_path: Path
    ) -> None:
        outputs = tmp_path / "said.jsonl"
        lines = [json.dumps({"text": text, "logits": [4.0 * (label == one) for one in LABELS]})
                 for text, label in sentences()]  # fmt: skip
        outputs.write_text("\n".join([json.dumps({"labels": LABELS}), *lines]), encoding="utf-8")
        student = {"kind": "bag", "features": {"kind": "ngrams", "bits": 10}, "epochs": 2}
        teacher = {"kind": "recorded", "outputs": str(outputs), "price_per_million_texts": 2500.0}
        run = travel(name="recorded", teacher=teacher, student=student)
        assert [job["what"] for job in jobs] == ["speed", "memory"]
        found = run.artifacts["cost"].read_json("cost.json")
        price = {"price_asked_per_million_texts": 2500.0, "price_per_million_texts": 2500.0}
        assert found["teacher"] == {"flops_per_text": None, "parameters": None, "disk_mb": None, **price}
        assert {"rounds", "latency_ms", "texts_per_second", "resident_mb"} <= set(found["student"])
        assert found["break_even_texts"] > 0
        texts = run.artifacts["transfer"].circumstances["ledger"]
        assert texts["spend"] == pytest.approx(texts["texts"] * 2500.0 / 1e6)
        told = journey.summary(run.recipe, run.artifacts)
        assert told["speedup"] is None
        cost = told["teacher"]["cost"]
        assert [cost[name] for name in ("texts_per_second", "resident_mb")] == [None, None]
        assert cost["latency_ms"] == {"p50": None, "p95": None, "p99": None}
        assert "asked elsewhere" in cost["reason"]
        assert "reason" not in told["student"]["cost"]
        gate = recipe.Gate(measure="teacher.cost.latency_ms.p50", at_most=1.0)
        (verdict,) = gates.judge([gate], told)
        assert (verdict.state, verdict.reason) == ("not measurable", cost["reason"])
        shown = ledger.costs(Evidence(told))
        assert [row[1].text for row in shown.rows[:5]] == ["not measured"] * 5


def test_fresh_texts_come_after_those_of_the_warm_up_and_around_again() -> None:
    many = [f"text {number}" for number in range(10_000)]
    assert list(islice(cost_worker._fresh(many), 3)) == many[4096:4099]
    assert list(islice(cost_worker._fresh(many[:4]), 5)) == ["text 2", "text 3", "text 2", "text 3", "text 2"]
    assert list(islice(cost_worker._fresh(many[:1]), 2)) == ["text 0", "text 0"]


def test_texts_without_labels_are_timed_on_and_none_at_all_is_refused(
    tmp_path: Path, travelled: Travelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, held = ([text for text, _ in sentences()[part]] for part in (slice(0, 50), slice(100, 160)))
    source = Table(
        unlabelled=str(write_csv(tmp_path / "unlabelled.csv", [(text, "") for text in rows])),
        dev=str(write_csv(tmp_path / "dev.csv", [row for row in sentences() if row[0] in held[::2]])),
        test=str(write_csv(tmp_path / "test.csv", [row for row in sentences() if row[0] in held[1::2]])),
    )
    asked = travelled.run.recipe
    found = corpora.load(source, task=asked.task, store=Store(tmp_path / "work"))
    read: list[list[str]] = []
    monkeypatch.setattr(
        cost, "_worker", lambda job, report=silent: read.append(json.loads(Path(job["texts"]).read_text())) or {}
    )
    artifacts = travelled.run.artifacts
    timed = partial(
        cost.lightly, asked.teacher, artifacts["teacher"], artifacts["export"], task=asked.task, beside=False
    )
    assert timed([found.train, found.unlabelled]) == {}
    assert sorted(read[0]) == sorted(found.unlabelled.texts())
    assert len(read[0]) > 0
    with pytest.raises(InputError, match="no text to time"):
        timed([found.train])
    with pytest.raises(ValueError, match="no text"):
        next(cost_worker._fresh([]))


def test_single_texts_are_asked_in_turns_and_told_in_milliseconds() -> None:
    asked: list[tuple[str, str]] = []
    sides = {side: lambda texts, side=side: asked.append((side, *texts)) for side in SIDES}
    found = cost_worker._latencies(sides, iter(map(str, range(10_000))), most={"teacher": 200, "student": 1000})
    assert [side for side, _ in asked] == (["teacher"] * 20 + ["student"] * 100) * 10
    assert [text for _, text in asked] == [str(number) for number in range(1200)], "each text is fresh"
    for side, texts in (("teacher", 200), ("student", 1000)):
        assert found[side]["n"] == texts
        assert found[side]["p99"] is not None


def test_a_round_of_one_that_writes_ends_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 4))  # four seconds a batch
    monkeypatch.setattr(cost_worker.time, "process_time", lambda: next(clock))
    asked: list[int] = []

    def answer(texts: Any) -> None:
        asked.append(len(texts))

    texts = [str(number) for number in range(100)]
    assert cost_worker._rate(answer, texts, at_once=20) == 60 / 12
    assert asked == [20, 20, 20]
    assert cost_worker._rate(answer, texts[:25], at_once=20) == 25 / 8, "all of them, where there is time"
    assert cost_worker._rate(answer, texts, at_once=100) == 100 / 4, "a batch at least"


@pytest.mark.parametrize(
    ("texts", "teacher", "student"), [(256, 200, 1000), (100, 99, 495), (16, 20, 200), (5000, 200, 1000)]
)
def test_where_few_texts_are_timed_few_are_alone(texts: int, teacher: int, student: int) -> None:
    job = {"rounds": 3, "per_round": texts // 3}
    assert cost_worker._singles(job) == {"teacher": teacher, "student": student}


def test_a_slow_side_gets_fewer_texts_and_no_percentile_that_they_can_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_worker, "_BLOCK_SECONDS", 0.001)
    sides = {"teacher": lambda texts: time.sleep(0.002), "student": lambda texts: None}
    found = cost_worker._latencies(sides, iter(map(str, range(10_000))), most={"teacher": 200, "student": 50})
    assert found["teacher"]["n"] == 10
    assert found["teacher"]["p50"] >= 2
    assert found["teacher"]["p95"] is None
    assert found["student"]["p95"] is not None
    assert found["student"]["p99"] is None


@pytest.mark.parametrize(("texts", "known"), [(2, 1), (19, 1), (20, 2), (99, 2), (100, 3)])
def test_a_percentile_takes_one_text_beyond_it(texts: int, known: int) -> None:
    found = cost_worker._percentiles([0.001 * number for number in range(texts)])
    assert [found[name] is not None for name in ("p50", "p95", "p99")] == [number < known for number in range(3)]
    assert found["p50"] == pytest.approx((texts - 1) / 2)
    assert found["n"] == texts


def test_how_far_a_measurement_is_is_told_while_it_goes_on(travelled: Travelled) -> None:
    told = [event for event in travelled.events if event.stage == "cost" and not event.note]
    steps = travelled.run.recipe.cost.repeats + cost_worker._BLOCKS + 1
    assert [(event.done, event.total) for event in told] == [(done, steps) for done in range(steps + 1)]
    assert {event.unit for event in told} == {"rounds"}


def test_the_same_bundle_is_measured_once(travelled: Travelled) -> None:
    again = pipeline.run(recipe.parse({**travelled.recipe, "name": "again"}), work=travelled.work, until="cost")
    assert again.stages["cost"]["reused"]
    assert again.artifacts["cost"].digest == travelled.run.artifacts["cost"].digest
    assert artifact.load(again.artifacts["cost"].folder).digest == again.artifacts["cost"].digest
    assert np.isfinite(again.stages["cost"]["seconds"])
